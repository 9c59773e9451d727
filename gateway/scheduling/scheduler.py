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
from collections.abc import Generator, Iterable, Iterator, Sequence

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.allocation.task_classes import means_of
from qiskit_gateway.scheduling.assignment import Dealer
from qiskit_gateway.scheduling.backlog import Backlog, Barred
from qiskit_gateway.scheduling.completion import (
    complete,
    fail_try,
    give_up_waiting,
    is_last,
    judge_result,
    queue_left,
    queue_new,
    requeue_refused,
    requeue_unaffordable,
    sweep,
    waits_for_slot,
)
from qiskit_gateway.scheduling.decisions import (
    Abandon,
    AskBack,
    Blame,
    Decision,
    Expect,
    Hedge,
    Keep,
    Postpone,
)
from qiskit_gateway.scheduling.events import (
    Cancel,
    Close,
    Command,
    Done,
    EjectedElsewhere,
    Event,
    Recall,
    RecallFailed,
    RecoveredElsewhere,
    ResultArrived,
    ShardCancelled,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardQueued,
    ShardRefused,
    ShardStarted,
    Stop,
    Submit,
    TryFailed,
    WakeAt,
    Watch,
)
from qiskit_gateway.scheduling.flight import Phase
from qiskit_gateway.scheduling.members.allowances import Allowances
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.fair_queue import Flow
from qiskit_gateway.scheduling.members.health import Health
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.spending import Spending
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.outlook import foresee, note_surprise
from qiskit_gateway.scheduling.overdue import look_later
from qiskit_gateway.scheduling.recall import (
    is_better_elsewhere,
    judge_refusal,
    next_review,
    review,
)
from qiskit_gateway.scheduling.run_state import RunState, RunView
from qiskit_gateway.scheduling.submission import adopt, learns_wait, submit, submit_duplicate
from qiskit_gateway.work.outlook import Outlook
from qiskit_gateway.work.remaining import Unfinished
from qiskit_gateway.work.speed_estimate import SpeedEstimate
from qiskit_gateway.work.tasks import Piece, Task


class Scheduler:
    """One run's decisions.

    Args:
        tasks: The work.
        members: The profiles of the members, in the fleet's order.
        policy: The rules.
        fleet_state: What is known of the fleet; shared with other runs, and changed here.
        settled: Whether cuts and members are settled before anything runs, looking at nothing that
            depends on time, so that the same input gives the same shards.
        unfinished: What is left to do, where an earlier process began.
    """

    def __init__(  # noqa: PLR0913  The last is for runs that are taken up again.
        self,
        tasks: Sequence[Task],
        members: Sequence[MemberProfile],
        policy: Policy,
        *,
        fleet_state: FleetState,
        settled: bool = False,
        unfinished: Unfinished | None = None,
    ) -> None:
        self._state = _begin(tasks, members, policy, fleet_state)
        self._state.settled = settled
        self._state.sent = unfinished is not None
        self._state.next_shard = unfinished.next_shard if unfinished else 0
        # The others are not looked at: that would cost every event in proportion to the fleet.
        self._rated = [one for one in members if one.submissions_per_minute is not None]
        self._unfinished = unfinished
        self._deadline = math.inf
        self.done = False
        if unfinished is None:
            queue_new(self._state, _whole(self._state.tasks))
        for left in () if unfinished is None else unfinished.left:
            queue_left(self._state, left)

    # -- the one door ------------------------------------------------------------------------

    def start(
        self,
        now: float,
        *,
        epoch: float = 0.0,
        began: float | None = None,
        found: Sequence[EjectedElsewhere | RecoveredElsewhere] = (),
    ) -> list[Command]:
        """Return the first instructions.

        Work that no member can take is found here, and then nothing is sent at all.

        Args:
            now: Seconds of the loop's clock.
            epoch: When the first of all days began, on that clock: a budget of a day is of one of
                the days counted from there.
            began: Since when the deadline is counted, if not from now.
            found: What other processes have found of members.
        """
        state, unfinished = self._state, self._unfinished
        state.spending.epoch = epoch
        state.planner.began = now
        seconds = state.policy.deadline_seconds
        if seconds is not None:
            self._deadline = state.planner.deadline = (now if began is None else began) + seconds
            if unfinished is None:
                _refuse_if_late(state, now, self._deadline - now)
        if state.given_up and unfinished is None:
            give_up_waiting(state, "other work of the run can run nowhere")
        state.health.begin()
        adopted = [] if unfinished is None else list(_resume(state, unfinished, now))
        changed = [command for event in found for command in self._take_in(event, now)]
        return [*adopted, *changed, *self._proceed(now)]

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take in an event and return what to do about it.

        Args:
            event: What happened.
            now: Seconds of the loop's clock, never running backwards.
        """
        if self.done:
            return []
        state = self._state
        match event:
            case ResultArrived():
                return [judge_result(state, event, now)]
            case TryFailed() if not self._may_retry(event, now):
                return []
            case Close():
                self._close(now)
                return []
        freed = None
        if isinstance(event, ShardFinished):
            freed = state.flights[event.shard].member
            note_surprise(state, event.shard, now)
        answers = list(self._take_in(event, now))
        if now >= self._deadline:
            answers += _stop(state, f"the deadline of {state.policy.deadline_seconds:g} s is over")
        return [*answers, *self._proceed(now, freed)]

    def _take_in(self, event: Event, now: float) -> Iterable[Command]:
        state = self._state
        match event:
            case (
                ShardFinished()
                | ShardFailed()
                | ShardRefused()
                | ShardDenied()
                | ShardCancelled()
                | ShardLost()
            ):
                return complete(state, event, now)
            case TryFailed():
                return fail_try(state, event, now)
            case Stop():
                return _stop(state, event.reason)
            case EjectedElsewhere() | RecoveredElsewhere():
                return state.health.follow(event, now)
            case RecallFailed():
                return self._carry_out(judge_refusal(state, event, now), now)
            case ShardQueued() if event.shard in state.flights:
                state.flights[event.shard].queued_until = now
            case ShardStarted() if event.shard in state.flights:
                state.flights[event.shard].started = now
        return ()

    def _proceed(self, now: float, freed: str | None = None) -> Iterator[Command]:
        """Give out work, have second thoughts, and find the end or the time to look again."""
        yield from self._assign(now, freed)
        if not self._state.stopped:
            yield from self._carry_out(review(self._state, now), now)
        yield from self._conclude(now)

    @property
    def waits(self) -> bool:
        """True if some of the work has no member yet, so that a free slot may be of use."""
        return not self.done and not self._state.dealer.empty

    @property
    def flow(self) -> Flow:
        """The run among those that share the fleet."""
        return self._state.flow

    def take_held(self) -> set[str]:
        """Take the members where the run has stepped back, which are to be offered to others."""
        held, self._state.held = self._state.held, set()
        return held

    @property
    def view(self) -> RunView:
        """The current state of the run."""
        flights = self._state.flights.items()
        return RunView(
            in_flight={index: (flight.shard, flight.member) for index, flight in flights},
            reasons_against=self._state.reasons_against,
            plan=self._state.planner.record,
        )

    @property
    def speeds(self) -> dict[str, SpeedEstimate]:
        """Expected running times of jobs on each member, with their sources."""
        known = self._state.estimator
        # Another one: what the run goes by must not depend on whether somebody asked.
        estimator = Estimator(profiles=known.profiles, states=known.states)
        estimator.refresh()
        return {name: estimator.speed_of(name) for name in known.states}

    def outlook(self, now: float) -> Outlook | None:
        """Estimate how long the run goes on; ``None`` while that cannot be told."""
        return None if self.done else foresee(self._state, now)

    def left_usd(self, now: float) -> float | None:
        """Money that may still be spent, in USD; ``None`` without a limit."""
        return self._state.spending.left_usd(now)

    # -- the end of a try ----------------------------------------------------------------------

    def _may_retry(self, event: TryFailed, now: float) -> bool:
        """Decide whether a shard is tried again where it is.

        One that was sent to find out whether its member is healthy again is not tried twice there,
        nor one that has a duplicate elsewhere in case it fails, and none beyond the budget.
        """
        state, failure = self._state, event.failure
        flight = state.flights[event.shard]
        if flight.probing or state.duplicate_of(flight) is not None:
            return False
        rules = state.policy.retry
        # Of a job that the provider has taken, and that may still run, nobody needs a second one.
        lost = event.accepted and failure.submitted is None
        at_last = not lost and rules.may_repeat_at_last(failure, event.attempt)
        if not rules.may_repeat(failure, event.attempt) and not (
            at_last and is_last(state, flight, failure)
        ):
            return False
        if waits_for_slot(state, flight, failure):
            return False
        paid = failure.submitted is not False
        if paid and not state.spending.affords_again(state.key(event.shard), now):
            return False
        if paid and is_better_elsewhere(state, flight, now):
            return False
        return state.may_retry()

    def _close(self, now: float) -> None:
        """Give back what the run holds of its fleet."""
        state = self._state
        for index, flight in state.flights.items():
            state.states[flight.member].release(state.key(index), now)
        state.spending.close()
        state.queue.forget(state.flow)
        self.done = True

    # -- giving out work ---------------------------------------------------------------------

    def _assign(self, now: float, freed: str | None = None) -> Iterator[Command]:
        state = self._state
        if state.stopped:
            give_up_waiting(state, state.stopped)
            return
        state.broke.clear()
        sweep(state)
        again = True
        while again and not state.stopped:
            moved = yield from self._deal(now, freed)
            # Some work may have turned out to be for nobody it was kept for, or only for others.
            again, freed = sweep(state) or moved, None

    def _deal(self, now: float, freed: str | None) -> Generator[Command, None, bool]:
        """Submit shards as members have slots; return whether some of the work had to move."""
        state, moved = self._state, False
        usable = state.health.usable(now)
        for name in state.health.ejected:
            state.dealer.give_back(name)
        if state.settled:
            state.dealer.settle(now, usable)
        for member, group in state.dealer.deal(
            now, usable, lambda name: state.slots(name, now), freed
        ):
            sent = submit(state, member, group, now)
            if isinstance(sent, Verdict):
                moved |= requeue_unaffordable(state, member, group, sent)
            else:
                yield sent
                if learns_wait(state, sent, now):
                    yield Watch(shard=sent.shard.index, member=member)
            if state.stopped:
                break
        return moved

    # -- second thoughts ---------------------------------------------------------------------

    def _carry_out(self, decisions: Iterable[Decision], now: float) -> Iterator[Command]:
        """Apply decisions about shards in flight, one at a time."""
        state = self._state
        for decision in decisions:
            match decision:
                case AskBack():
                    flight = state.flights[decision.shard]
                    flight.ask_back(decision.reason)
                    yield Recall(shard=decision.shard, member=flight.member, unless=decision.unless)
                case Hedge():
                    sent = submit_duplicate(state, decision.shard, decision.member, now)
                    if isinstance(sent, Submit):
                        yield sent
                case Abandon():
                    state.flights[decision.shard].cancel()
                    yield Cancel(shard=decision.shard)
                case Blame():
                    yield from state.health.failed(
                        decision.member, decision.failure, decision.reason, now
                    )
                case Keep() | Postpone() | Expect():
                    _note(state, decision, now)

    # -- the end, or when to look again ------------------------------------------------------

    def _conclude(self, now: float) -> Iterator[Command]:
        state = self._state
        while self._idles and requeue_refused(state):
            yield from self._assign(now)
        if self._idles:
            self._give_up_hopeless(now)
        if not state.flights and state.dealer.empty:
            self._close(now)
            yield Done(given_up=tuple(state.given_up), sent=state.sent)
            return
        deadline = self._deadline if now < self._deadline else math.inf
        wake = min(deadline, self._next_look(now))
        if wake < math.inf:
            yield WakeAt(seconds=wake)

    @property
    def _idles(self) -> bool:
        """Nothing is in flight, though work waits."""
        return not self._state.flights and not self._state.dealer.empty

    def _give_up_hopeless(self, now: float) -> None:
        """Give up what nothing in sight will get done."""
        state = self._state
        if _is_for_any(state.dealer, state.health.usable(now)):
            return
        if state.down_since is None:
            state.down_since = now
        patience = state.policy.patience_seconds
        # Told as the alarm was set: rounding might else let it ring in vain.
        lost = patience is not None and now >= state.down_since + patience
        if self._deadline == math.inf and lost:
            give_up_waiting(state, f"no member was usable for {patience:.0f} s")

    def _next_look(self, now: float) -> float:
        """Find when something may change that no event tells."""
        state = self._state
        looks = [state.health.next_opening(now)]
        if state.down_since is not None and state.policy.patience_seconds is not None:
            looks.append(state.down_since + state.policy.patience_seconds)
        if state.broke or any(state.planner.verdicts.values()):
            looks.append(now + state.policy.probe_seconds)
        if not state.stopped:
            looks.append(next_review(state, now))
        if not state.dealer.empty:
            # It may have been another run that met its limit.
            looks += [known.opens_at for known in state.states.values()]
            looks += state.denied.values()
        for profile in self._rated:
            known = state.states[profile.name]
            if known.submissions_left(profile.submissions_per_minute, now) < 1:
                looks.append(known.submissions[0] + 60)
        return min((look for look in looks if look > now), default=math.inf)


def _begin(
    tasks: Sequence[Task], members: Sequence[MemberProfile], policy: Policy, fleet_state: FleetState
) -> RunState:
    profiles = {member.name: member for member in members}
    states = {name: fleet_state.of(name) for name in profiles}
    for member in members:
        if member.told_seconds is not None:
            states[member.name].speed.tell(member.told_seconds)
    allotted = {one.name: one.allotment for one in members if one.allotment is not None}
    allowances = Allowances(allotted, fleet_state.pots)
    planner = Planner(
        estimator=Estimator(profiles=profiles, states=states),
        policy=policy,
        backlog=Backlog(tuple(tasks), policy.split_rule),
        mixes=means_of(tasks),
        allowances=allowances,
    )
    return RunState(
        tasks=tuple(tasks),
        policy=policy,
        states=states,
        health=Health(profiles, fleet_state, policy.breaker, policy.probe_seconds),
        spending=Spending(policy.budget, fleet_state.accounts, allowances, fleet_state.spent_usd),
        planner=planner,
        dealer=Dealer(planner),
        queue=fleet_state.queue,
        flow=Flow(policy.share),
    )


def _whole(tasks: Iterable[Task]) -> Iterator[Piece]:
    """Go through all the work of a run, as if nothing of it were done."""
    for task in tasks:
        if task.rows and task.shots:
            yield Piece(task.index, 0, task.rows, 0, task.shots)


def _refuse_if_late(state: RunState, now: float, seconds: float) -> None:
    """Give all up before anything is sent, if it cannot be done by the deadline."""
    earliest = state.planner.earliest_seconds(now)
    if earliest > seconds:
        give_up_waiting(
            state,
            f"it cannot be done by the deadline of {seconds:g} s: by the queues and speeds that "
            f"are known, {earliest:.4g} s is the earliest",
        )


def _resume(state: RunState, unfinished: Unfinished, now: float) -> Iterator[Command]:
    """Go on where an earlier process ended."""
    for number, spent in enumerate(unfinished.spent):
        key = (id(state), "before", number)
        amount = Amount(usd=spent.usd, shots=spent.shots, attempts=spent.attempts)
        state.spending.owe(key, spent.member, amount, now)
        state.spending.settle(key)
    if state.settled:
        whole = [
            (piece, Barred(never=frozenset(state.tasks[piece.task].refusals)))
            for piece in _whole(state.tasks)
        ]
        state.dealer.settle_as_before(now, state.health.usable(now), whole)
    for flying in unfinished.flights:
        yield adopt(state, flying, now)


def _stop(state: RunState, reason: str) -> Iterator[Cancel]:
    # It may have stopped sending before, for want of money, and waited for what flies.
    state.stopped = state.stopped or reason
    for index, flight in state.flights.items():
        if flight.phase is not Phase.CANCELLING:
            flight.cancel()
            yield Cancel(shard=index)
    give_up_waiting(state, state.stopped)


def _note(state: RunState, decision: Keep | Postpone | Expect, now: float) -> None:
    """Apply a decision that no provider needs to hear of."""
    flight = state.flights[decision.shard]
    match decision:
        case Keep():
            flight.keep(may_ask_again=decision.may_ask_again)
        case Postpone():
            look_later(state, flight, now)
        case Expect():
            flight.expected_end = decision.end


def _is_for_any(dealer: Dealer, members: Iterable[str]) -> bool:
    """Some of what waits is for one of these members."""
    theirs, classes = {*dealer.lined_up, *dealer.backlog.keeping}, dealer.backlog.classes
    return any(name in theirs or any(name not in barred for barred in classes) for name in members)
