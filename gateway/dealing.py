"""Dealing the waiting work to members: who takes a shard now, and how large."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qiskit_gateway.cutting import Backlog, Barred
from qiskit_gateway.dividing import divide, earliest_seconds
from qiskit_gateway.policies.objectives import Trade
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.standing import Standing
from qiskit_gateway.terms import Quoting, Terms, guess_seconds
from qiskit_gateway.unfinished import intersection, without
from qiskit_gateway.workload import NO_LOAD, Compiled, Load, Piece

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


@dataclass(frozen=True, slots=True)
class _Lot:
    """Waiting work that is planned together: a class, or its rows of so many shots."""

    barred: Barred
    height: int | None = None


class _Plan:
    """How many circuits of a lot each member should take, as of some moment."""

    __slots__ = ("circuits", "deals", "left", "lot", "quotas", "shots", "usable")

    def __init__(
        self, lot: _Lot, quotas: dict[str, float], load: Load, usable: tuple[str, ...]
    ) -> None:
        self.lot = lot
        self.quotas = quotas
        self.circuits = self.left = load.circuits
        self.shots = load.circuit_shots / load.circuits if load.circuits else 0.0
        self.usable = usable
        self.deals = 0


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
        deadline: When all should be done, in seconds of the loop's clock.
        trade: What the policy trades, price against time, if it does.
        rough_guess: The guess of a while ago: what it was when plans were last thrown away.
    """

    terms: dict[str, Terms]
    standings: dict[str, Standing]
    policy: Policy
    backlog: Backlog
    lined_up: dict[str, deque[Group]] = field(default_factory=dict)
    assigned: dict[str, float] = field(default_factory=dict)
    verdicts: dict[Barred, dict[str, Verdict]] = field(default_factory=dict)
    mixes: Mapping[int, Mapping[str, Compiled]] = field(default_factory=dict)
    deadline: float = math.inf
    trade: Trade | None = field(init=False)
    rough_guess: Load | None = None
    _plans: dict[_Lot, _Plan] = field(default_factory=dict)
    # How many members' speeds are known, and at how many more all is planned anew.
    _seen: int = 0
    _seen_next: int = 1
    _eligibles: dict[Barred, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trade = Trade.of(self.policy.minimize)

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
        if freed is not None and self._is_news(freed):
            freed = None
        self.backlog.redirected = False
        yield from self._deal_classes(now, usable, slots, freed)
        while self.backlog.redirected:
            self.backlog.redirected = False
            yield from self._deal_classes(now, usable, slots, None)
        # Dealing out a class may have found work that belongs to a member.
        yield from self._deal_own(usable, slots)

    def _is_news(self, member: str) -> bool:
        """Return whether so much more is known since a member's return that plans are worth nothing.

        So it is when the first speed is known, then two, four: not at each, or in a large fleet
        planning would never end.
        """
        if self.standings[member].speed.jobs == 1:
            self._seen += 1
        if self._seen < self._seen_next:
            return False
        self._seen_next = 2 * self._seen
        self.rough_guess = self.guess
        self._plans.clear()
        return True

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
        for height in self._heights(barred):
            plan, is_new = self._plan(_Lot(barred, height), eligible, now)
            takers = list(plan.quotas) if is_new or freed is None else [freed]
            for member in takers:
                while (free := slots(member)) and plan.quotas.get(member, 0.0) > _ROUNDING:
                    group = self._cut(member, plan, self._part(member, plan, free))
                    if group is not None:
                        taken = self._circuits(group, plan.shots)
                        plan.quotas[member] -= taken
                        plan.left -= taken
                        yield member, group
                    if not self._load(plan.lot).circuits:
                        break

    def _heights(self, barred: Barred) -> Sequence[int | None]:
        """Return what is planned by itself: rows of so many shots, where jobs have prices."""
        if self.trade is None:
            return [None]
        return sorted(self.backlog.classes[barred].heights, reverse=True)

    def _load(self, lot: _Lot) -> Load:
        """Return how much of a lot waits."""
        waiting = self.backlog.classes.get(lot.barred)
        if waiting is None:
            return NO_LOAD
        if lot.height is None:
            return Load(waiting.circuits, waiting.circuit_shots)
        rows = waiting.rows.get(lot.height, 0)
        return Load(rows, rows * lot.height)

    def _plan(self, lot: _Lot, eligible: tuple[str, ...], now: float) -> tuple[_Plan, bool]:
        """Return a plan for a lot that is still good, or make one; and whether it is new."""
        load = self._load(lot)
        plan = self._plans.get(lot)
        if (
            plan is not None
            and plan.usable is eligible
            and _STALE_SHARE * plan.circuits <= load.circuits <= plan.left + _ROUNDING
            and (plan.deals <= len(eligible) // 2 or self._timeless)
        ):
            plan.deals += 1
            return plan, False
        quotas = self._divide(lot, eligible, now) if load.circuits else {}
        plan = _Plan(lot, quotas, load, eligible)
        self._plans[lot] = plan
        return plan, True

    def _divide(
        self, lot: _Lot, eligible: Sequence[str], now: float, *, blank: bool = False
    ) -> dict[str, float]:
        """Return how many circuits of a lot each member should take."""
        load = self._load(lot)
        quote = self._quoting(load, now, lot.barred, blank=blank)
        one = load.part(1 / load.circuits)
        verdicts = {member: self.policy.where(quote(member, one)) for member in eligible}
        self.verdicts[lot.barred] = {
            name: verdict for name, verdict in verdicts.items() if not verdict
        }
        allowed = [member for member in eligible if verdicts[member]]
        if not allowed:
            return {}
        divisible = self.policy.spread == "shots"
        horizon = math.inf if blank else max(0.0, self.deadline - now)
        objective = self.policy.minimize
        return divide(quote, allowed, objective, divisible=divisible, horizon=horizon)

    def _quoting(
        self, load: Load, now: float, barred: Barred | None = None, *, blank: bool = False
    ) -> Quoting:
        standings = {name: Standing() for name in self.terms} if blank else self.standings
        return Quoting(
            terms=self.terms,
            standings=standings,
            assigned={} if blank else self.assigned,
            waiting=load,
            guess=guess_seconds(standing.speed for standing in standings.values()),
            uses=self.policy.uses,
            now=now,
            mix=self.mixes.get(barred.kind, {}) if barred else {},
        )

    def earliest_seconds(self, now: float) -> float:
        """Return the least time in which all that waits can be done, as far as that is known.

        That of any class alone, and of all together if every member could take all.
        """
        earliest = 0.0
        whole, anybody = NO_LOAD, dict[str, None]()
        for barred in self.backlog.classes:
            load = self._load(_Lot(barred))
            quote = self._quoting(load, now, barred)
            one = load.part(1 / load.circuits)
            verdicts = {name: self.policy.where(quote(name, one)) for name in self.terms}
            open_to = {name for name, verdict in verdicts.items() if verdict or verdict.waits}
            able = [name for name in self.terms if name in open_to and name not in barred]
            earliest = max(earliest, earliest_seconds(quote, able))
            whole, anybody = whole.plus(load), anybody | dict.fromkeys(able)
        if len(self.backlog.classes) > 1:
            quote = self._quoting(whole, now)
            earliest = max(earliest, earliest_seconds(quote, list(anybody)))
        return earliest

    def _part(self, member: str, plan: _Plan, free: int) -> float:
        """Return how much of its quota a member takes in one shard.

        All of it, where there is nobody to share with or a further job costs money; otherwise
        less, so that what is not known of the members' speeds can be put right later.
        """
        quota = plan.quotas[member]
        terms, standing = self.terms[member], self.standings[member]
        if standing.breaker.phase != "closed":
            return min(quota, 1.0)
        if not self._hurries(plan) or terms.job_fee_usd:
            return self._equal_part(member, quota)
        if not standing.speed.jobs:
            return quota / (_FIRST_PARTS * (free + len(standing.in_flight)))
        each = standing.speed.seconds(1, plan.shots, jobs=0)
        worth = _OVERHEADS * standing.speed.overhead_seconds / each if each else quota
        return min(quota, max(quota / (_PARTS * free), worth))

    def _hurries(self, plan: _Plan) -> bool:
        """Return whether time counts, and there is somebody to share the work with."""
        if self.trade is None:
            return len(plan.usable) > 1 and self.policy.minimize.grows
        return len(plan.usable) > 1 and not self._timeless

    @property
    def _timeless(self) -> bool:
        """Return whether only prices count."""
        return self.trade is not None and not self.trade.usd_per_hour and self.deadline == math.inf

    def _equal_part(self, member: str, quota: float) -> float:
        """Return the size of as few and as equal jobs as a quota can go in.

        A last small job would pay a floor that larger ones do not notice.
        """
        most = self.terms[member].max_circuits
        return quota if most is None or quota <= most else quota / math.ceil(quota / most)

    def _cut(self, member: str, plan: _Plan, circuits: float) -> Group | None:
        divisible, lot = self.policy.spread == "shots", plan.lot
        if divisible and circuits < 1:
            shots = circuits * plan.shots
            room = self.terms[member].room(1, most_shots=max(1, round(shots)))
        else:
            whole = math.floor if divisible else math.ceil
            room = self.terms[member].room(max(1, whole(circuits - _ROUNDING)))
        pieces = self.backlog.cut(member, lot.barred, room, lot.height)
        return Group(pieces, lot.barred) if pieces else None

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
                lot = _Lot(barred, self._heights(barred)[0])
                quotas = self._divide(lot, eligible, now, blank=True)
                plan = _Plan(lot, quotas, self._load(lot), eligible)
                if not plan.quotas:
                    break
                for member in plan.quotas:
                    self._settle_member(member, plan)

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

    def _settle_member(self, member: str, plan: _Plan) -> None:
        quota = plan.quotas[member]
        part = self._equal_part(member, quota) if self.trade else quota
        while quota > _ROUNDING and self._load(plan.lot).circuits:
            group = self._cut(member, plan, min(quota, part))
            if group is None:
                break
            quota -= self._circuits(group, plan.shots)
            self.line_up(member, group)
        while kept := self.backlog.cut_kept(member, self.terms[member].room()):
            self.line_up(member, Group(*kept))


def _covers(left: Iterable[tuple[Piece, Barred]], piece: Piece, barred: Barred) -> bool:
    """Return whether a piece waits as a whole, for the same members."""
    return any(theirs == barred and intersection(piece, one) == piece for one, theirs in left)
