"""Dealing the waiting work to members: who takes a shard now, and how large."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qiskit_gateway.allocate import allocate
from qiskit_gateway.cutting import Backlog, Barred
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.standing import Standing
from qiskit_gateway.terms import Quoting, Terms, guess_seconds
from qiskit_gateway.unfinished import intersection, without
from qiskit_gateway.workload import Compiled, Load, Piece

Slots = Callable[[str], int]

# The first shards of a member never seen at work are together this part of what it should take in
# all; later ones are each half of what is left for it.
_FIRST_PARTS = 12
_PARTS = 2
# A shard runs at least this many times as long as its job's overhead.
_OVERHEADS = 4
# A plan is made anew when this share of the planned work is gone.
_STALE_SHARE = 0.75
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Group:
    """Pieces that go out together as one shard.

    Attributes:
        pieces: The pieces.
        barred: Who must not take them.
        isolating: Whether they are part of a shard that failed, sent to find the bad circuit.
    """

    pieces: tuple[Piece, ...]
    barred: Barred
    isolating: bool = False


@dataclass(slots=True)
class _Plan:
    """How many circuits of a class each member should take, as of some moment."""

    quotas: dict[str, float]
    circuits: int
    left: float
    shots: float
    usable: tuple[str, ...]
    deals: int = 0


@dataclass(slots=True)
class Dealer:
    """Give waiting work to members, by a policy.

    Attributes:
        terms: By member.
        standings: By member; read, never changed.
        policy: The rules.
        backlog: What waits for whoever should take it.
        lined_up: What waits for one member, already cut.
        assigned: Circuit-shots given to each member in this run.
        verdicts: Why the policy's filters refused members, by class of work.
        mixes: What the circuits of a kind are on each member on average, where that is known.
    """

    terms: dict[str, Terms]
    standings: dict[str, Standing]
    policy: Policy
    backlog: Backlog
    lined_up: dict[str, deque[Group]] = field(default_factory=dict)
    assigned: dict[str, float] = field(default_factory=dict)
    verdicts: dict[Barred, dict[str, Verdict]] = field(default_factory=dict)
    mixes: Mapping[int, Mapping[str, Compiled]] = field(default_factory=dict)
    _plans: dict[Barred, _Plan] = field(default_factory=dict)
    _eligibles: dict[Barred, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    @property
    def guess(self) -> Load | None:
        """Return seconds per circuit and circuit-shot to assume of members never seen at work."""
        return guess_seconds(standing.speed for standing in self.standings.values())

    @property
    def empty(self) -> bool:
        """Return whether nothing waits."""
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
        """Give shards to members as long as somebody who should take one has a free slot.

        Args:
            now: Seconds of the loop's clock.
            usable: The members that may be sent work, busy ones too.
            slots: How many shards a member may be sent now; asked again after each.
            freed: The only member whose slots have changed since the last deal; ``None`` for any.
        """
        yield from self._deal_own(usable, slots)
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
        for barred in list(self.backlog.classes):
            eligible = self._eligible(barred, usable)
            if eligible and (freed is None or slots(freed)):
                yield from self._deal_class(barred, eligible, now, slots, freed)

    def _deal_own(self, usable: tuple[str, ...], slots: Slots) -> Iterator[tuple[str, Group]]:
        waiting = {*self.lined_up, *self.backlog.keeping}
        for member in filter(waiting.__contains__, usable) if waiting else ():
            while slots(member) and (group := self._own(member)) is not None:
                yield member, group

    def _eligible(self, barred: Barred, usable: tuple[str, ...]) -> tuple[str, ...]:
        if not (barred.never or barred.tried):
            return usable
        known = self._eligibles.get(barred)
        if known is None or known[0] is not usable:
            known = (usable, tuple(name for name in usable if name not in barred))
            self._eligibles[barred] = known
        return known[1]

    def _own(self, member: str) -> Group | None:
        queue = self.lined_up.get(member)
        if queue:
            group = queue.popleft()
            if not queue:
                del self.lined_up[member]
            return group
        kept = self.backlog.cut_kept(member, self.terms[member].room())
        return None if kept is None else Group(*kept)

    def _deal_class(
        self,
        barred: Barred,
        eligible: tuple[str, ...],
        now: float,
        slots: Slots,
        freed: str | None,
    ) -> Iterator[tuple[str, Group]]:
        if freed is None and not any(map(slots, eligible)):
            return
        plan, is_new = self._plan(barred, eligible, now)
        takers = list(plan.quotas) if is_new or freed is None else [freed]
        for member in takers:
            while (free := slots(member)) and plan.quotas.get(member, 0.0) > _ROUNDING:
                group = self._cut(member, barred, self._part(member, plan, free))
                if group is not None:
                    taken = self._circuits(group, plan.shots)
                    plan.quotas[member] -= taken
                    plan.left -= taken
                    yield member, group
                if barred not in self.backlog.classes:
                    return

    def _plan(self, barred: Barred, eligible: tuple[str, ...], now: float) -> tuple[_Plan, bool]:
        """Return a plan for a class that is still good, or make one; and whether it is new."""
        waiting = self.backlog.classes[barred]
        plan = self._plans.get(barred)
        if (
            plan is not None
            and plan.usable is eligible
            and _STALE_SHARE * plan.circuits <= waiting.circuits <= plan.left + _ROUNDING
            and plan.deals <= len(eligible) // 2
        ):
            plan.deals += 1
            return plan, False
        quotas = self._divide(barred, eligible, now)
        total = waiting.circuits
        plan = _Plan(quotas, total, total, self._mean_shots(barred), eligible)
        self._plans[barred] = plan
        return plan, True

    def _divide(
        self, barred: Barred, eligible: Sequence[str], now: float, *, blank: bool = False
    ) -> dict[str, float]:
        """Return how many circuits of a class each member should take."""
        waiting = self.backlog.classes[barred]
        load = Load(waiting.circuits, waiting.circuit_shots)
        standings = {name: Standing() for name in eligible} if blank else self.standings
        quote = Quoting(
            terms=self.terms,
            standings=standings,
            assigned={} if blank else self.assigned,
            waiting=load,
            guess=guess_seconds(standing.speed for standing in standings.values()),
            uses=self.policy.uses,
            now=now,
            mix=self.mixes.get(barred.kind, {}),
        )
        one = load.part(1 / load.circuits)
        verdicts = {member: self.policy.where(quote(member, one)) for member in eligible}
        self.verdicts[barred] = {name: verdict for name, verdict in verdicts.items() if not verdict}
        allowed = [member for member in eligible if verdicts[member]]
        if not allowed:
            return {}
        divisible = self.policy.spread == "shots"
        return allocate(load, allowed, quote, self.policy.minimize, divisible=divisible)

    def _part(self, member: str, plan: _Plan, free: int) -> float:
        """Return how much of its quota a member takes in one shard.

        All of it, where there is nobody to share with or a further job costs money; otherwise
        less, so that what is not known of the members' speeds can be put right later.
        """
        quota = plan.quotas[member]
        terms, standing = self.terms[member], self.standings[member]
        if standing.breaker.phase != "closed":
            return min(quota, 1.0)
        if len(plan.quotas) == 1 or not self.policy.minimize.grows or terms.job_fee_usd:
            return quota
        if not standing.speed.jobs:
            return quota / (_FIRST_PARTS * (free + len(standing.in_flight)))
        each = standing.speed.seconds(1, plan.shots, jobs=0)
        worth = _OVERHEADS * standing.speed.overhead_seconds / each if each else quota
        return min(quota, max(quota / (_PARTS * free), worth))

    def _cut(self, member: str, barred: Barred, circuits: float) -> Group | None:
        divisible = self.policy.spread == "shots"
        if divisible and circuits < 1:
            shots = circuits * self._mean_shots(barred)
            room = self.terms[member].room(1, most_shots=max(1, round(shots)))
        else:
            whole = math.floor if divisible else math.ceil
            room = self.terms[member].room(max(1, whole(circuits - _ROUNDING)))
        pieces = self.backlog.cut(member, barred, room)
        return Group(pieces, barred) if pieces else None

    def _circuits(self, group: Group, shots: float) -> float:
        """Return how many circuits a shard counts for in a plan."""
        circuits = sum(piece.rows for piece in group.pieces)
        if self.policy.spread != "shots":
            return circuits
        return sum(piece.circuit_shots for piece in group.pieces) / shots

    # -- dealing beforehand --------------------------------------------------------------------

    def settle(self, now: float, usable: tuple[str, ...]) -> None:
        """Cut all that waits and line it up, looking at nothing that depends on time."""
        for barred in list(self.backlog.classes):
            eligible = self._eligible(barred, usable)
            while eligible and barred in self.backlog.classes:
                shots = self._mean_shots(barred)
                quotas = self._divide(barred, eligible, now, blank=True)
                if not quotas:
                    break
                for member, quota in quotas.items():
                    self._settle_member(member, barred, quota, shots)

    def settle_as_before(
        self, now: float, usable: tuple[str, ...], whole: Iterable[tuple[Piece, Barred]]
    ) -> None:
        """Line up what waits in the shards that it had when the whole work was settled.

        What does not fill such a shard any more is left to be settled anew.

        Args:
            now: Seconds of the loop's clock.
            usable: The members that may be sent work.
            whole: The whole work, done or not, and who must not take it.
        """
        left = list(self.waiting())
        self.clear()
        for piece, barred in whole:
            self.backlog.put(piece, barred)
        self.settle(now, usable)
        settled = [(name, group) for name, groups in self.lined_up.items() for group in groups]
        self.clear()
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

    def _settle_member(self, member: str, barred: Barred, quota: float, shots: float) -> None:
        while quota > _ROUNDING and barred in self.backlog.classes:
            group = self._cut(member, barred, quota)
            if group is None:
                break
            quota -= self._circuits(group, shots)
            self.line_up(member, group)
        while kept := self.backlog.cut_kept(member, self.terms[member].room()):
            self.line_up(member, Group(*kept))

    def _mean_shots(self, barred: Barred) -> float:
        waiting = self.backlog.classes[barred]
        return waiting.circuit_shots / waiting.circuits


def _covers(left: Iterable[tuple[Piece, Barred]], piece: Piece, barred: Barred) -> bool:
    """Return whether a piece waits as a whole, for the same members."""
    return any(theirs == barred and intersection(piece, one) == piece for one, theirs in left)
