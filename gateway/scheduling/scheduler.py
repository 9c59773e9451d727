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
from collections.abc import Iterable, Iterator, Sequence

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.allocation.task_classes import means_of
from qiskit_gateway.scheduling.assignment import Dealer
from qiskit_gateway.scheduling.backlog import Backlog, Barred
from qiskit_gateway.scheduling.events import (
    Close,
    Command,
    Done,
    EjectedElsewhere,
    Event,
    RecoveredElsewhere,
    ResultArrived,
    Solve,
    TryFailed,
    WakeAt,
)
from qiskit_gateway.scheduling.members.allowances import Allowances
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.fair_queue import Flow
from qiskit_gateway.scheduling.members.health import Health
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.spending import Spending
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.outlook import foresee
from qiskit_gateway.scheduling.recall.review import next_review, review
from qiskit_gateway.scheduling.requeue import (
    give_up_waiting,
    queue_left,
    queue_new,
    requeue_refused,
)
from qiskit_gateway.scheduling.run_state import RunState, RunView
from qiskit_gateway.scheduling.submission import adopt, assign, carry_out
from qiskit_gateway.scheduling.transitions import judge_result, may_retry, stop, take_in
from qiskit_gateway.work.record.outlook import Outlook
from qiskit_gateway.work.record.remaining import Unfinished
from qiskit_gateway.work.speed_estimate import SpeedEstimate
from qiskit_gateway.work.tasks import Piece, Shard, Task


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
        self._unfinished = unfinished
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
            state.planner.deadline = (now if began is None else began) + seconds
            if unfinished is None:
                _refuse_if_late(state, now, state.planner.deadline - now)
        if state.given_up and unfinished is None:
            give_up_waiting(state, "other work of the run can run nowhere")
        state.health.begin()
        adopted = [] if unfinished is None else list(_resume(state, unfinished, now))
        changed = [command for event in found for command in take_in(state, event, now)]
        return [*adopted, *changed, *self._proceed(now)]

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take in an event and return what to do about it.

        Args:
            event: What happened.
            now: Seconds of the loop's clock, never running backwards.
        """
        state = self._state
        if state.done:
            return []
        match event:
            case ResultArrived():
                return [judge_result(state, event, now)]
            case TryFailed() if not may_retry(state, event, now):
                return []
            case Close():
                state.close(now)
                return []
        answers = list(take_in(state, event, now))
        if now >= state.planner.deadline:
            answers += stop(state, f"the deadline of {state.policy.deadline_seconds:g} s is over")
        return [*answers, *self._proceed(now)]

    def _proceed(self, now: float) -> Iterator[Command]:
        """Give out work, have second thoughts, and find the end or the time to look again."""
        state = self._state
        if not state.is_through:
            yield from assign(state, now)
            if not state.stopped:
                yield from carry_out(state, review(state, now), now)
        yield from _conclude(state, now)
        if not state.done and (problem := state.planner.take_problem()) is not None:
            yield Solve(problem=problem)

    @property
    def done(self) -> bool:
        """True if the run is over."""
        return self._state.done

    @property
    def waits(self) -> bool:
        """True if some of the work has no member yet, so that a free slot may be of use."""
        return not self.done and not self._state.dealer.empty

    @property
    def held_up_by(self) -> dict[str, tuple[str, ...]]:
        """Why nobody takes what waits, by member; empty while anything is in flight."""
        if not (self.waits and _idles(self._state)):
            return {}
        found = self._state.reasons_against
        # Else somebody may take it, and is only busy, as with the work of other runs.
        return found if found.keys() >= self._state.states.keys() else {}

    @property
    def was_denied(self) -> bool:
        """True if members were denied what other processes may have, and it is not known to be back."""
        return bool(self._state.denials)

    @property
    def flow(self) -> Flow:
        """The run among those that share the fleet."""
        return self._state.flow

    def take_held(self) -> set[str]:
        """Take the members where the run has stepped back, which are to be offered to others."""
        held, self._state.held = self._state.held, set()
        return held

    @property
    def in_flight(self) -> dict[int, tuple[Shard, str]]:
        """The shards in flight and their members, by number."""
        flights = self._state.flights.items()
        return {index: (flight.shard, flight.member) for index, flight in flights}

    @property
    def view(self) -> RunView:
        """The current state of the run."""
        return RunView(
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
        """Estimate how long the run still takes; ``None`` while that cannot be told."""
        return None if self.done else foresee(self._state, now)

    def left_usd(self, now: float) -> float | None:
        """Money that may still be spent, in USD; ``None`` without a limit."""
        return self._state.spending.left_usd(now)


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
        spending=Spending(
            policy.budget,
            fleet_state.accounts,
            allowances,
            fleet_state.spent_usd,
            user=policy.share.user,
        ),
        planner=planner,
        dealer=Dealer(planner),
        rated=[one for one in members if one.submissions_per_minute is not None],
        fleet=fleet_state,
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
        state.dealer.whole = [
            (piece, Barred(never=frozenset(state.tasks[piece.task].refusals)))
            for piece in _whole(state.tasks)
        ]
    for flying in unfinished.flights:
        yield adopt(state, flying, now)


def _conclude(state: RunState, now: float) -> Iterator[Command]:
    """End the run where nothing is left to do; else find the time to look again."""
    while _idles(state) and requeue_refused(state):
        yield from assign(state, now)
    if _idles(state):
        _give_up_hopeless(state, now)
    if state.is_through:
        state.close(now)
        yield Done(given_up=tuple(state.given_up), sent=state.sent)
        return
    deadline = state.planner.deadline
    wake = min(deadline if now < deadline else math.inf, _next_look(state, now))
    if wake < math.inf:
        yield WakeAt(seconds=wake)


def _idles(state: RunState) -> bool:
    """Nothing is in flight, though work waits, and that not for an answer."""
    return not (state.flights or state.dealer.empty or state.planner.is_asking)


def _give_up_hopeless(state: RunState, now: float) -> None:
    """Give up what nothing in sight will get done."""
    if _is_for_any(state.dealer, state.health.usable(now)):
        return
    if state.down_since is None:
        state.down_since = now
    patience = state.policy.patience_seconds
    # Told as the alarm was set: rounding might else let it ring in vain.
    lost = patience is not None and now >= state.down_since + patience
    if state.planner.deadline == math.inf and lost:
        give_up_waiting(state, f"no member was usable for {patience:.0f} s")


def _is_for_any(dealer: Dealer, members: Iterable[str]) -> bool:
    """Some of what waits is for one of these members, which does not refuse it for good."""
    theirs, verdicts = {*dealer.lined_up, *dealer.backlog.keeping}, dealer.planner.verdicts

    def may_take(name: str, barred: Barred) -> bool:
        verdict = verdicts.get(barred, {}).get(name)
        return name not in barred and (verdict is None or verdict.waits)

    classes = dealer.backlog.classes
    return any(name in theirs or any(may_take(name, one) for one in classes) for name in members)


def _next_look(state: RunState, now: float) -> float:
    """Find when something may change that no event tells."""
    looks = [state.health.next_opening(now)]
    if state.down_since is not None and state.policy.patience_seconds is not None:
        looks.append(state.down_since + state.policy.patience_seconds)
    if state.broke or any(state.planner.verdicts.values()):
        looks.append(now + state.policy.probe_seconds)
    if not state.stopped:
        looks.append(next_review(state, now))
    if not state.dealer.empty:
        # It may have been another run that met its limit.
        looks += state.fleet.openings(state.states)
        looks += state.denied.values()
    for profile in state.rated:
        known = state.states[profile.name]
        if known.submissions_left(profile.submissions_per_minute, now) < 1:
            looks.append(known.submissions[0] + 60)
    return min((look for look in looks if look > now), default=math.inf)
