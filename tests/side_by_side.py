"""Runs that go on side by side over one fleet, to any of which anything may happen."""

import itertools
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qiskit_gateway.policies import Policy
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.events import (
    Accept,
    Cancel,
    Close,
    Done,
    ResultArrived,
    Retry,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    ShardRefused,
    Solve,
    Solved,
    Stop,
    Submit,
    Tick,
    TryFailed,
)
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.tasks import Task

DAY = 86_400.0
FAILURES = [
    Failure(transient=True, submitted=True),
    Failure(transient=True, submitted=False),
    Failure(transient=True, throttled=True, submitted=False),
    Failure(transient=True, submitted=None, fault="network"),
    Failure(transient=False, fault="caller"),
]
SIZES = st.tuples(st.integers(1, 12), st.sampled_from([7, 10, 41]))


@dataclass(eq=False)
class Going:
    """A run that goes on; what each shard in flight was booked as is the test's own business."""

    scheduler: Scheduler
    policy: Policy
    number: int
    flying: dict[int, tuple[Submit, object]] = field(default_factory=dict)


class SideBySide(RuleBasedStateMachine):
    """What may happen to runs. A test begins them, and says how it books their submissions.

    Args:
        members: The fleet's.
    """

    def __init__(self, members):
        super().__init__()
        self.fleet_state = FleetState()
        self.profiles = {one.name: one for one in members}
        self.now = 0.0
        self.runs: list[Going] = []
        self.booked: list = []
        self._numbers = itertools.count()

    def book(self, run, submit):
        """Return what a submission is booked as."""
        raise NotImplementedError

    def book_short(self, submit, booked, ran_shots, asked, price):
        """Return what a submission is booked as once it is known how few shots of it ran, at what."""
        raise NotImplementedError

    def start(self, policy, size, *, settled):
        """Begin a run over so many rows of so many shots."""
        scheduler = Scheduler(
            [Task(index=0, rows=size[0], shots=size[1])],
            list(self.profiles.values()),
            policy,
            fleet_state=self.fleet_state,
            settled=settled,
        )
        run = Going(scheduler, policy, next(self._numbers))
        self.runs.append(run)
        self._perform(run, scheduler.start(self.now))

    def _perform(self, run, instructions):
        for instruction in instructions:
            match instruction:
                case Submit():
                    self._book(run, instruction)
                case Cancel(shard=index):
                    self._end(run, index, ShardCancelled(shard=index))
                case Solve(problem=problem):
                    self._perform(run, run.scheduler.handle(Solved(answer=problem()), self.now))
                case Done():
                    self.runs.remove(run)

    def _book(self, run, submit):
        booked = self.book(run, submit)
        self.booked.append(booked)
        run.flying[submit.shard.index] = submit, booked

    def _end(self, run, index, event, *, refund=False):
        _, booked = run.flying.pop(index)
        if refund:
            self.booked.remove(booked)
        self._perform(run, run.scheduler.handle(event, self.now))

    def _any_flight(self, data):
        flights = [(run, index) for run in self.runs for index in run.flying]
        return data.draw(st.sampled_from(flights)) if flights else None

    @rule(data=st.data(), failure=st.none() | st.sampled_from(FAILURES))
    def end_shard(self, data, failure):
        """A shard comes back, or fails before or after the provider took it."""
        if (found := self._any_flight(data)) is None:
            return
        run, index = found
        if failure is None:
            self._end(run, index, ShardFinished(shard=index))
            return
        event = ShardFailed(shard=index, failure=failure, reason="it failed")
        self._end(run, index, event, refund=failure.submitted is False)

    @rule(
        data=st.data(),
        share=st.sampled_from([0.0, 0.3, 0.9]),
        charged=st.none() | st.sampled_from([0.0, 0.5]),
    )
    def arrive_short(self, data, share, charged):
        """A shard comes back of which fewer shots ran than were asked for, and counts or not.

        Its provider says what it charged, which is less yet, or says nothing.
        """
        if (found := self._any_flight(data)) is None:
            return
        run, index = found
        submit, booked = run.flying[index]
        shard = submit.shard
        ran = max(shard.circuits, int(share * shard.circuits * shard.shots))
        asked = self.profiles[submit.member].price(1, shard.circuits, ran, 0.0)
        if charged is not None:
            asked *= charged
        arrived = ResultArrived(
            shard=index, ran_shots=ran, charged_units=None if charged is None else asked
        )
        (answer,) = run.scheduler.handle(arrived, self.now)
        self.booked.remove(booked)
        less = self.book_short(submit, booked, ran, asked, answer.price)
        self.booked.append(less)
        run.flying[index] = submit, less
        short = tuple(piece.split_shots(1)[1] for piece in shard.pieces if piece.shots > 1)
        end = ShardFinished(shard=index, missing=short, top_up_shots=1)
        self._end(run, index, end if isinstance(answer, Accept) else ShardCancelled(shard=index))

    @rule(data=st.data(), confirmed=st.booleans(), refused=st.booleans())
    def take_back(self, data, confirmed, refused):
        """A shard is refused before it is sent, or cancelled, surely or perhaps."""
        if (found := self._any_flight(data)) is None:
            return
        run, index = found
        if refused:
            self._end(run, index, ShardRefused(shard=index, reasons={0: "too wide"}), refund=True)
        else:
            event = ShardCancelled(shard=index, confirmed=confirmed)
            self._end(run, index, event, refund=confirmed)

    @rule(data=st.data(), failure=st.sampled_from(FAILURES))
    def retry(self, data, failure):
        """A shard is tried again where it is, if that is allowed: a submission more."""
        if (found := self._any_flight(data)) is None:
            return
        run, index = found
        event = TryFailed(shard=index, failure=failure, reason="busy")
        instructions = run.scheduler.handle(event, self.now)
        retries = [one for one in instructions if isinstance(one, Retry)]
        if not retries:
            return
        if failure.submitted is not False:
            self._book(run, replace(run.flying[index][0], price=retries[0].price))
        self._perform(run, instructions)

    @rule(seconds=st.sampled_from([1.0, 60.0, DAY]))
    def wait(self, seconds):
        """Time passes, perhaps to the next day, and everybody looks again."""
        self.now += seconds
        for run in list(self.runs):
            self._perform(run, run.scheduler.handle(Tick(), self.now))

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), torn=st.booleans())
    def stop(self, data, torn):
        """A run is stopped, or torn down with jobs in flight."""
        run = data.draw(st.sampled_from(self.runs))
        if torn:
            run.scheduler.handle(Close(), self.now)
            self.runs.remove(run)
        else:
            self._perform(run, run.scheduler.handle(Stop(reason="enough"), self.now))

    @invariant()
    def nothing_stays_held(self):
        """When no run goes on, nothing is set aside and no slot is taken."""
        if not self.runs:
            accounts = self.fleet_state.accounts.values()
            assert not any(account.ledger.reserved for account in accounts)
            assert not any(pot.held for pot in self.fleet_state.pots.values())
            assert not any(one.in_flight for one in self.fleet_state.members.values())
