"""The scheduler: which piece, which member, how much, and what after a failure.

It does no I/O. Events go in, instructions come out; it holds no task, thread, clock or logger, so
that it is tested as a table, and the same code serves runs, tests and simulation.

Rules:

* A piece is in exactly one place: waiting, in flight, done, or given up.
* A member's slot is taken when the instruction to submit is made, and released when the shard's
  end is handled, whatever end that is.
* Pieces that failed wait like any others, barred from the members that failed at them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.allocation.task_classes import means_of
from qiskit_gateway.scheduling.assignment import Dealer, Group
from qiskit_gateway.scheduling.backlog import NOBODY, Backlog, Barred
from qiskit_gateway.scheduling.check_fees import Checks
from qiskit_gateway.scheduling.completion import Endings, lack_money
from qiskit_gateway.scheduling.events import (
    Cancel,
    Done,
    Event,
    Instruction,
    RecallFailed,
    ShardFinished,
    ShardQueued,
    ShardStarted,
    Stop,
    Submit,
    WakeAt,
    Watch,
)
from qiskit_gateway.scheduling.members.allowances import Allowances, Price
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.health import Health
from qiskit_gateway.scheduling.members.profile import Terms
from qiskit_gateway.scheduling.members.spending import Purse
from qiskit_gateway.scheduling.members.state import FleetStanding
from qiskit_gateway.scheduling.recall import Recaller
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.scheduling.submission import Launcher
from qiskit_gateway.work.remaining import Unfinished
from qiskit_gateway.work.tasks import Piece, Shard, Task


class Scheduler:
    """One run's decisions.

    Args:
        tasks: The work.
        members: The terms of the members, in the fleet's order.
        policy: The rules.
        standing: What is known of the fleet; shared with other runs, and changed here.
        settled: Whether cuts and members are settled before anything runs, looking at nothing that
            depends on time, so that the same input gives the same shards.
        unfinished: What is left to do, where an earlier process began.
    """

    def __init__(  # noqa: PLR0913  The last is for runs that are taken up again.
        self,
        tasks: Sequence[Task],
        members: Sequence[Terms],
        policy: Policy,
        *,
        standing: FleetStanding,
        settled: bool = False,
        unfinished: Unfinished | None = None,
    ) -> None:
        terms = {member.name: member for member in members}
        standings = {name: standing.of(name) for name in terms}
        allotted = {one.name: one.allotment for one in members if one.allotment is not None}
        allowances = Allowances(allotted, standing.pots)
        planner = Planner(
            estimator=Estimator(profiles=terms, states=standings),
            policy=policy,
            backlog=Backlog(tuple(tasks), policy.spread),
            mixes=means_of(tasks),
            allowances=allowances,
        )
        self._state = RunState(
            tasks=tuple(tasks),
            policy=policy,
            standings=standings,
            health=Health(terms, standing, policy.breaker, policy.probe_seconds),
            purse=Purse(policy.budget, standing.accounts, allowances),
            planner=planner,
            dealer=Dealer(planner),
            settled=settled,
            sent=unfinished is not None,
        )
        self._endings = Endings(self._state)
        self._launcher = Launcher(self._state, unfinished.next_shard if unfinished else 0)
        self._recaller = Recaller(self._state, self._launcher.launch)
        # The others are not looked at: that would cost every event in proportion to the fleet.
        self._rated = [term for term in members if term.submissions_per_minute is not None]
        self._unfinished = unfinished
        self._deadline = math.inf
        self._moved = False
        self.done = False
        if unfinished is None:
            self._endings.begin(self._whole)
        for left in () if unfinished is None else unfinished.left:
            self._endings.put(left)

    @property
    def _whole(self) -> Iterator[Piece]:
        """Go through all the work of the run, as if nothing of it were done."""
        for task in self._state.tasks:
            if task.rows and task.shots:
                yield Piece(task.index, 0, task.rows, 0, task.shots)

    # -- the one door ------------------------------------------------------------------------

    def start(
        self, now: float, *, epoch: float = 0.0, began: float | None = None
    ) -> list[Instruction]:
        """Return the first instructions.

        Work that no member can take is found here, and then nothing is sent at all.

        Args:
            now: Seconds of the loop's clock.
            epoch: When the first of all days began, on that clock: a budget of a day is of one of
                the days counted from there.
            began: Since when the deadline is counted, if not from now.
        """
        self._state.purse.epoch = epoch
        seconds = self._state.policy.deadline_seconds
        if seconds is not None:
            self._deadline = (now if began is None else began) + seconds
            self._state.planner.deadline = self._deadline
            if self._unfinished is None:
                self._refuse_if_late(now, self._deadline - now)
        if self._state.given_up and self._unfinished is None:
            self._state.give_up_waiting("other work of the run can run nowhere")
        self._state.health.begin()
        adopted = [] if self._unfinished is None else list(self._resume(self._unfinished, now))
        return [*adopted, *self._assign(now), *self._look_after(now), *self._conclude(now)]

    def _refuse_if_late(self, now: float, seconds: float) -> None:
        """Give all up before anything is sent, if it cannot be done by the deadline."""
        earliest = self._state.planner.earliest_seconds(now)
        if earliest > seconds:
            self._state.give_up_waiting(
                f"it cannot be done by the deadline of {seconds:g} s: by the queues and speeds that "
                f"are known, {earliest:.4g} s is the earliest"
            )

    def _resume(self, unfinished: Unfinished, now: float) -> Iterator[Instruction]:
        """Go on where an earlier process ended."""
        for number, spent in enumerate(unfinished.spent):
            key = (id(self._state), "before", number)
            amount = Amount(usd=spent.usd, shots=spent.shots, attempts=spent.attempts)
            self._state.purse.owe(key, spent.member, amount, now)
            self._state.purse.settle(key)
        if self._state.settled:
            whole = [
                (piece, Barred(never=frozenset(self._state.tasks[piece.task].refusals)))
                for piece in self._whole
            ]
            self._state.dealer.settle_as_before(now, self._state.health.usable(now), whole)
        for flying in unfinished.flights:
            fetch = self._launcher.adopt(flying, now)
            self._recaller.watch_over(flying.shard.index)
            yield fetch

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take in an event and return what to do about it.

        Args:
            event: What happened.
            now: Seconds of the loop's clock, never running backwards.
        """
        if self.done:
            return []
        freed = (
            self._state.flights[event.shard].member if isinstance(event, ShardFinished) else None
        )
        answers = list(self._take_in(event, now))
        if now >= self._deadline:
            answers += self._stop(
                f"the deadline of {self._state.policy.deadline_seconds:g} s is over"
            )
        answers += self._assign(now, freed)
        return [*answers, *self._look_after(now), *self._conclude(now)]

    def _look_after(self, now: float) -> Iterable[Instruction]:
        return () if self._state.stopped else self._recaller.look(now)

    def _take_in(self, event: Event, now: float) -> Iterable[Instruction]:
        match event:
            case Stop():
                return self._stop(event.reason)
            case RecallFailed():
                return self._recaller.refused(event, now)
            case ShardQueued() | ShardStarted():
                return self._seen(event, now)
        return self._endings.take_in(event, now)

    def _seen(self, event: ShardQueued | ShardStarted, now: float) -> Iterator[Instruction]:
        """Take in what a provider says of a shard in its queue."""
        flight = self._state.flights.get(event.shard)
        if flight is None:
            return
        if isinstance(event, ShardQueued):
            flight.queued_until = now
        else:
            flight.started = now
            yield from self._recaller.started(event)

    @property
    def in_flight(self) -> Mapping[int, tuple[Shard, str]]:
        """Return the shards in flight and their members, by number."""
        return {
            index: (flight.shard, flight.member) for index, flight in self._state.flights.items()
        }

    @property
    def against(self) -> Mapping[str, tuple[str, ...]]:
        """Return why members could not take some of the work, by member."""
        return self._state.against

    def price(self, shard: int) -> Price:
        """Return what the present try of a shard costs."""
        return self._state.flights[shard].price

    def may_retry(self, shard: int, failure: Failure, now: float) -> bool:
        """Return whether a shard may be tried again where it is.

        One that was sent to find out whether its member is well again is not tried twice there,
        nor one that is queued elsewhere in case it fails, and none beyond the budget.
        """
        flight = self._state.flights[shard]
        if flight.probing or self._state.has_spare(flight):
            return False
        paid = failure.submitted is not False
        if paid and not self._state.purse.affords_again(self._state.key(shard), now):
            return False
        if paid and self._recaller.is_better_elsewhere(shard, now):
            return False
        return self._state.may_retry()

    @property
    def checks(self) -> Checks:
        """Return what the checks of members cost."""
        return self._launcher.checks

    def claim(self, shard: int) -> bool:
        """Return whether what a shard has brought counts: that of its twin then does not."""
        return self._recaller.claim(shard)

    def release_all(self, now: float) -> None:
        """Give back what the run holds of its fleet, also when it was torn down from outside."""
        for index, flight in self._state.flights.items():
            self._state.standings[flight.member].release(self._state.key(index), now)
        self.checks.close_all()
        self._state.purse.close()

    def _stop(self, reason: str) -> Iterator[Instruction]:
        # It may have stopped sending before, for want of money, and waited for what flies.
        self._state.stopped = self._state.stopped or reason
        for index, flight in self._state.flights.items():
            if not flight.recalled:
                flight.recalled = True
                yield Cancel(shard=index)
        self._state.give_up_waiting(self._state.stopped)

    # -- giving out work ---------------------------------------------------------------------

    def _assign(self, now: float, freed: str | None = None) -> Iterator[Instruction]:
        if self._state.stopped:
            self._state.give_up_waiting(self._state.stopped)
            return
        self._state.broke.clear()
        self._sweep()
        again = True
        while again and not self._state.stopped:
            self._moved = False
            yield from self._deal(now, freed)
            # Some work may have turned out to be for nobody it was kept for, or only for others.
            again, freed = self._sweep() or self._moved, None

    def _deal(self, now: float, freed: str | None = None) -> Iterator[Instruction]:
        usable = self._state.health.usable(now)
        for name in self._state.health.ejected:
            self._state.dealer.give_back(name)
        if self._state.settled:
            self._state.dealer.settle(now, usable)

        def slots(member: str) -> int:
            return self._state.slots(member, now)

        for member, group in self._state.dealer.deal(now, usable, slots, freed):
            submit = self._submit(member, group, now)
            if submit is not None:
                yield submit
                if self._launcher.learns_wait(submit, now):
                    yield Watch(shard=submit.shard.index)
            if self._state.stopped:
                return

    def _sweep(self) -> bool:
        """Put right the classes of work that no member may take; return whether any go on."""
        classes = self._state.dealer.backlog.classes
        goes_on = False
        for barred in [key for key in classes if key != NOBODY and not self._state.may_wait(key)]:
            # Those who may have failed by accident are asked again when nobody else is left.
            again = replace(barred, tried=frozenset())
            for piece in classes.pop(barred):
                if self._state.may_go(again):
                    self._state.dealer.backlog.put(piece, again)
                    goes_on = True
                else:
                    self._state.give_up(piece)
        return goes_on

    def _submit(self, member: str, group: Group, now: float) -> Submit | None:
        submit = self._launcher.launch(member, group, now)
        if isinstance(submit, Verdict):
            self._moved |= lack_money(self._state, member, group, submit)
            return None
        self._recaller.watch_over(submit.shard.index)
        return submit

    # -- the end, or when to look again ------------------------------------------------------

    def _conclude(self, now: float) -> Iterator[Instruction]:
        while self._idles and self._see_to_refused():
            yield from self._assign(now)
        if self._idles:
            self._give_up_hopeless(now)
        if not self._state.flights and self._state.dealer.empty:
            self.done = True
            yield Done(given_up=tuple(self._state.given_up), sent=self._state.sent)
            return
        deadline = self._deadline if now < self._deadline else math.inf
        wake = min(deadline, self._next_look(now))
        if wake < math.inf:
            yield WakeAt(seconds=wake)

    @property
    def _idles(self) -> bool:
        """Return whether nothing is in flight, though work waits."""
        return not self._state.flights and not self._state.dealer.empty

    def _see_to_refused(self) -> bool:
        """Ask those again who failed at what all others refuse, or give up; return if any goes on."""
        refused = list(self._state.planner.verdicts.items())
        go_on = [self._state.see_to_refused(*one) for one in refused]
        return any(go_on)

    def _give_up_hopeless(self, now: float) -> None:
        """Give up what nothing in sight will get done."""
        if self._is_for_any(self._state.health.usable(now)):
            return
        if self._state.down_since is None:
            self._state.down_since = now
        patience = self._state.policy.patience_seconds
        # Told as the alarm was set: rounding might else let it ring in vain.
        lost = patience is not None and now >= self._state.down_since + patience
        if self._deadline == math.inf and lost:
            self._state.give_up_waiting(f"no member was usable for {patience:.0f} s")

    def _is_for_any(self, members: Iterable[str]) -> bool:
        """Return whether some of what waits is for one of these members."""
        dealer = self._state.dealer
        theirs, classes = {*dealer.lined_up, *dealer.backlog.keeping}, dealer.backlog.classes
        return any(
            name in theirs or any(name not in barred for barred in classes) for name in members
        )

    def _next_look(self, now: float) -> float:
        """Return when something may change that no event tells."""
        looks = [self._state.health.next_opening(now)]
        if self._state.down_since is not None and self._state.policy.patience_seconds is not None:
            looks.append(self._state.down_since + self._state.policy.patience_seconds)
        if self._state.broke or any(self._state.planner.verdicts.values()):
            looks.append(now + self._state.policy.probe_seconds)
        if not self._state.stopped:
            looks.append(self._recaller.next_look(now))
        for terms in self._rated:
            standing = self._state.standings[terms.name]
            if standing.submissions_left(terms.submissions_per_minute, now) < 1:
                looks.append(standing.submissions[0] + 60)
        return min((look for look in looks if look > now), default=math.inf)
