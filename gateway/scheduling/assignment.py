"""Dealing the waiting work to members: which one takes a shard now, and how large."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from qiskit_gateway.policies.recall import covers
from qiskit_gateway.scheduling.allocation.plan import ROUNDING, Lot, Plan
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.backlog import Backlog, Barred, Group
from qiskit_gateway.work.rectangles import intersection, without
from qiskit_gateway.work.tasks import Load, Piece

Slots = Callable[[str], int]

# A member never seen at work takes this part of what it should take in all in each shard, so that one
# ten times as slow as thought still ends in time.
_FIRST = 1 / 10
# Until the first speed of any is known, this part of it may wait in its queue.
_QUEUED = 1 / 3
# A job that runs shorter than this part of the whole run gains less time than is worth a job: what
# `benchmarks.planner` counts so is a twentieth.
_FINEST = 1 / 25
# The part of a member's time that is thought to be in doubt: at least, since machines and queues vary
# whatever was seen of them, and at most, since half kept back puts right what was twice as slow.
_LEAST_DOUBT, _MOST_DOUBT = 1 / 20, 1 / 2


@dataclass(slots=True)
class Dealer:
    """Give waiting work to members, as it is planned.

    Attributes:
        planner: How much each should take.
        lined_up: What waits for one member, already cut.
        whole: The whole work of a run, done or not, and the members barred from it, where its cuts are to be
            what they were in an earlier process.
        backlog: The waiting work.
    """

    planner: Planner
    lined_up: dict[str, deque[Group]] = field(default_factory=dict)
    whole: Sequence[tuple[Piece, Barred]] = ()
    backlog: Backlog = field(init=False)

    def __post_init__(self) -> None:
        self.backlog = self.planner.backlog

    @property
    def empty(self) -> bool:
        """True if nothing waits."""
        return self.backlog.empty and not self.lined_up

    def waiting(self) -> Iterator[tuple[Piece, Barred]]:
        """Go through all that waits."""
        yield from self.backlog.pieces()
        for groups in self.lined_up.values():
            for group in groups:
                for piece in group.pieces:
                    yield piece, group.barred

    def clear(self) -> None:
        """Forget all that waits."""
        self.backlog.clear()
        self.lined_up.clear()

    def line_up(self, member: str, group: Group, *, first: bool = False) -> None:
        """Let a group wait for one member, behind the others or before them."""
        queue = self.lined_up.setdefault(member, deque())
        queue.appendleft(group) if first else queue.append(group)

    def give_back(self, member: str) -> None:
        """Let others take what waits for one member."""
        self.backlog.unkeep(member)
        for group in self.lined_up.pop(member, ()):
            for piece in group.pieces:
                self.backlog.put(piece, group.barred)

    # -- dealing as members become free --------------------------------------------------------

    def deal(
        self, now: float, usable: tuple[str, ...], slots: Slots, freed: str | None = None
    ) -> Iterator[tuple[str, Group]]:
        """Give shards to members as long as one that should take a shard has a free slot.

        Args:
            now: Seconds of the loop's clock.
            usable: The members that may be sent work, busy ones too.
            slots: How many shards a member may be sent now; asked again after each.
            freed: The only member whose slots have changed since the last deal; ``None`` for any.
        """
        yield from self._deal_own(usable, slots)
        if freed is not None and self.planner.learns(freed):
            freed = None
        self.backlog.redirected = False
        yield from self._deal_classes(now, usable, slots, freed)
        while self.backlog.redirected:
            self.backlog.redirected = False
            yield from self._deal_classes(now, usable, slots, None)
        # Dealing out a class may have found work that belongs to a member.
        yield from self._deal_own(usable, slots)

    def _deal_classes(
        self, now: float, usable: tuple[str, ...], slots: Slots, freed: str | None
    ) -> Iterator[tuple[str, Group]]:
        able = {one: self.planner.eligible(one, usable) for one in self.backlog.classes}
        # What few may take goes first.
        for barred, eligible in sorted(able.items(), key=lambda one: len(one[1])):
            again = bool(eligible)
            while again and barred in self.backlog.classes and (freed is None or slots(freed)):
                again = yield from self._deal_class(barred, eligible, now, slots, freed)

    def _deal_own(self, usable: tuple[str, ...], slots: Slots) -> Iterator[tuple[str, Group]]:
        waiting = {*self.lined_up, *self.backlog.keeping}
        for member in filter(waiting.__contains__, usable) if waiting else ():
            while slots(member) and (group := self._own(member)) is not None:
                yield member, group

    def _own(self, member: str) -> Group | None:
        queue = self.lined_up.get(member)
        if queue:
            group = queue.popleft()
            if not queue:
                del self.lined_up[member]
            return group
        kept = self.backlog.cut_kept(member, self.planner.estimator.profiles[member].room())
        return None if kept is None else Group(*kept)

    def _deal_class(
        self,
        barred: Barred,
        eligible: tuple[str, ...],
        now: float,
        slots: Slots,
        freed: str | None,
    ) -> Generator[tuple[str, Group], None, bool]:
        """Deal out a class; return whether that made lots of it which nobody has been dealt yet."""
        if freed is None and not any(map(slots, eligible)):
            return False
        rest = False
        for height in self.planner.heights(barred):
            planned = self.planner.plan(Lot(barred, height), eligible, now, freed)
            if planned is None:
                continue
            plan, is_new = planned
            for member in list(plan.quotas) if is_new or freed is None else [freed]:
                for group in self._deal_to(member, plan, slots, now):
                    yield member, group
                    rest |= height is not None and group.pieces[-1].shots < height
                    if member in self.backlog.keeping:
                        # The other shots of these rows, at once: a job as large as this one.
                        yield from self._deal_own((member,), slots)
        # Rows of fewer shots than before are lots of their own.
        return rest and self.backlog.divides_rows

    def _deal_to(self, member: str, plan: Plan, slots: Slots, now: float) -> Iterator[Group]:
        """Cut shards for a member, as long as it has slots and should take more."""
        while (free := slots(member)) and plan.quotas.get(member, 0.0) > ROUNDING:
            part = self._part(member, plan, free, now)
            if not part:
                break  # Until something of what it has comes back.
            group = self._cut(member, plan, part)
            if group is not None:
                plan.take(member, self._circuits(group, plan.shots))
                yield group
            if not self.planner.load(plan.lot).circuits:
                break

    def _part(self, member: str, plan: Plan, free: int, now: float) -> float:
        """Choose how much of its quota a member takes in one shard; 0 for nothing more now.

        All of it, where there is nobody to share with or a further job costs more than the time that it
        may save is worth; otherwise less, so that what is not known of the members' speeds can be
        put right later.
        """
        quota = plan.quotas[member]
        estimator = self.planner.estimator
        state = estimator.states[member]
        if state.breaker.phase != "closed":
            return min(quota, 1.0)
        dear_seconds = (
            self.planner.cut_seconds(member, plan, now) if self._hurries(plan) else math.inf
        )
        if dear_seconds == math.inf:
            return self._planned_part(member, quota, plan)
        load = Load(quota, quota * plan.shots)
        seconds = estimator.seconds(member, load)
        each = seconds / quota
        off = self._relative_error(member)
        doubt = min(off, _MOST_DOUBT)
        ends = self.planner.foresee_end(member, plan, now) - self.planner.began
        # Half of what is in doubt is saved by one cut more, so it must be worth what that costs.
        cut_seconds = dear_seconds + (state.speed.overhead_seconds if state.speed.jobs else 0.0)
        least = max(2 / off * cut_seconds, _FINEST * ends)
        # A member that does not say how many jobs it takes at once works on one after the other.
        lanes = free if estimator.profiles[member].max_in_flight else 1
        # Of jobs more than it takes at once each queues anew.
        queued_seconds = estimator.cut_seconds(member, load)
        least = max(least, min(2 / off * (cut_seconds + queued_seconds), seconds / lanes))
        part = quota * (1 - doubt) / lanes
        if not state.speed.jobs:
            part = self._first_part(member, quota, plan)
            if not part:
                return 0.0
        elif each and not state.speed.seen:
            shows = self._unseen_seconds(plan, now)
            # What only waits by then may still go to others.
            if estimator.wait_seconds(member, now) < shows:
                part = min(part, shows / each)
        part = max(part, least / each if each else quota)
        # What would be left over for a job of its own goes with this one.
        return part if each and part + least / each <= quota + ROUNDING else quota

    def _relative_error(self, member: str) -> float:
        """Say by what part of it a member's time may be longer than thought: by its speed, and failures."""
        state = self.planner.estimator.states[member]
        return max(_LEAST_DOUBT, math.exp(state.speed.doubt) - 1 + state.failure_rate)

    def _first_part(self, member: str, quota: float, plan: Plan) -> float:
        """Choose how much a member takes that has never been seen at work; 0 for nothing more now."""
        planner = self.planner
        state = planner.estimator.states[member]
        given = self._in_plan(state.load.circuits, state.load.circuit_shots, plan.shots)
        whole = quota + given
        if state.queue_seconds and given:
            movable = covers(
                planner.policy.recall.idle, planner.estimator.profiles[member].job_fee_usd
            )
            if not movable or (planner.estimator.guess is None and given >= whole * _QUEUED):
                return 0.0
        # The third and further are larger: by jobs of one size nobody could tell what a job takes
        # beside its circuits, and they may still be taken back when the first is done.
        return max(whole * _FIRST, given)

    def _unseen_seconds(self, plan: Plan, now: float) -> float:
        """Say in how many seconds it shows how fast the first member is that was never seen at work.

        A member that shares with it gets no larger jobs: running work is not divided anew.
        """
        estimator = self.planner.estimator
        shows = [math.inf]
        for member in plan.unseen:
            state, quota = estimator.states[member], plan.quotas.get(member, 0.0)
            if state.speed.jobs or not (state.in_flight or quota > ROUNDING):
                continue
            if state.in_flight and estimator.late_seconds(member, now) > 0:
                continue  # It is slower than thought: others will have more to do, not less.
            seconds = estimator.wait_seconds(member, now)
            if not state.in_flight:
                first = quota * _FIRST
                seconds += estimator.seconds(member, Load(first, first * plan.shots))
            shows.append(seconds)
        return min(shows)

    def _hurries(self, plan: Plan) -> bool:
        """Check that time counts, and that there is somebody to share the work with."""
        planner = self.planner
        hurries = planner.grows if planner.trade is None else not planner.timeless
        return hurries and not planner.estimator.is_one_machine(plan.usable)

    def _planned_part(self, member: str, quota: float, plan: Plan) -> float:
        """Return the size of the next job as planned; else of as few and as equal ones as can be.

        A last small job would pay a floor that larger ones do not notice.
        """
        if jobs := plan.jobs.get(member):
            return min(jobs[0], quota)
        most = self.planner.estimator.profiles[member].most_circuits(plan.shots)
        return quota if most is None or quota <= most else quota / math.ceil(quota / most)

    def _cut(self, member: str, plan: Plan, circuits: float) -> Group | None:
        divisible, lot = self.backlog.divides_rows, plan.lot
        if divisible and circuits < 1:
            shots = circuits * plan.shots
            room = self.planner.estimator.profiles[member].room(1, most_shots=max(1, round(shots)))
        else:
            whole = math.floor if divisible else math.ceil
            room = self.planner.estimator.profiles[member].room(max(1, whole(circuits - ROUNDING)))
        pieces = self.backlog.cut(member, lot.barred, room, lot.height)
        return Group(pieces, lot.barred) if pieces else None

    def _circuits(self, group: Group, shots: float) -> float:
        """Count the circuits of a plan that a shard covers."""
        circuits = sum([piece.row_stop - piece.row_start for piece in group.pieces])
        return self._in_plan(circuits, circuits * group.pieces[0].shots, shots)

    def _in_plan(self, circuits: float, circuit_shots: float, shots: float) -> float:
        """Count work in circuits of a plan, of which a shard has a part where they may be divided."""
        return circuit_shots / shots if self.backlog.divides_rows else circuits

    # -- dealing beforehand --------------------------------------------------------------------

    def settle(self, now: float, usable: tuple[str, ...]) -> None:
        """Cut what waits and line it up, as far as that is known, looking at nothing that depends on time."""
        for barred in list(self.backlog.classes):
            eligible = self.planner.eligible(barred, usable)
            while eligible and barred in self.backlog.classes:
                lot = Lot(barred, self.planner.heights(barred)[0])
                plan = self.planner.settle(lot, eligible, now)
                if plan is None:
                    return  # What follows may depend on which member has this.
                if not plan.quotas:
                    break
                for member in plan.quotas:
                    self._settle_member(member, plan)

    def settle_as_before(self, now: float, usable: tuple[str, ...]) -> None:
        """Line up what waits in the shards that it had when the whole work was settled.

        What does not fill such a shard any more is left to be settled anew. All is left as it is while
        that waits for an answer.

        Args:
            now: Seconds of the loop's clock.
            usable: The members that may be sent work.
        """
        if self.planner.is_asking:
            return
        left = list(self.waiting())
        self.clear()
        for piece, barred in self.whole:
            self.backlog.put(piece, barred)
        self.settle(now, usable)
        settled = [(name, group) for name, groups in self.lined_up.items() for group in groups]
        self.clear()
        if self.planner.is_asking:
            settled = []
        else:
            self.whole = ()
        self._line_up_whole(settled, left)

    def _line_up_whole(
        self, settled: Iterable[tuple[str, Group]], left: Sequence[tuple[Piece, Barred]]
    ) -> None:
        """Line up the shards all of which is left; the rest waits for anybody."""
        by_task: dict[int, list[tuple[Piece, Barred]]] = {}
        for piece, barred in left:
            by_task.setdefault(piece.task, []).append((piece, barred))
        kept: dict[int, list[Piece]] = {}
        for member, group in settled:
            if all(_covers(by_task.get(p.task, ()), p, group.barred) for p in group.pieces):
                self.line_up(member, group)
                for piece in group.pieces:
                    kept.setdefault(piece.task, []).append(piece)
        for piece, barred in left:
            for part in without(piece, kept.get(piece.task, ())):
                self.backlog.put(part, barred)

    def _settle_member(self, member: str, plan: Plan) -> None:
        quota = plan.quotas[member]
        while quota > ROUNDING and self.planner.load(plan.lot).circuits:
            # Anew for what is left: 10 in jobs of 3 are 3, 3, 2, 2.
            part = self._planned_part(member, quota, plan) if self.planner.trade else quota
            group = self._cut(member, plan, part)
            if group is None:
                break
            plan.take(member, self._circuits(group, plan.shots))
            quota = plan.quotas[member]
            self.line_up(member, group)
            # The other shots of these rows, at once: a job as large as this one.
            self._settle_kept(member)
        self._settle_kept(member)

    def _settle_kept(self, member: str) -> None:
        while kept := self.backlog.cut_kept(member, self.planner.estimator.profiles[member].room()):
            self.line_up(member, Group(*kept))


def _covers(left: Iterable[tuple[Piece, Barred]], piece: Piece, barred: Barred) -> bool:
    """Check that a piece waits as a whole, for the same members."""
    return any(theirs == barred and intersection(piece, one) == piece for one, theirs in left)
