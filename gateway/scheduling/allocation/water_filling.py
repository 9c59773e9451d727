"""Water-filling: level the waiting work over all members, a list schedule as a pure function.

The work is divided so that no member could take a further part at a better value of the objective
than the one that has it. For an objective that grows with the load, such as a finish time, this
is water-filling: all members that take part end at one level. For one that does not, such as a
price, all goes to the best. For a lexicographic objective the first component decides, and the
next divides the work among those that tie on it.
"""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, compress
from math import inf, isfinite
from operator import itemgetter

from qiskit_gateway.policies.answers import value_of
from qiskit_gateway.policies.objectives import Objective, Then
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.work.tasks import NO_LOAD, Load

# Up to this many circuits per member the division is found circuit by circuit.
_EXACT_PER_MEMBER = 4
# Where circuits may be divided by their shots, what is dealt next is such a part of one.
_PARTS = 1000
_TIE = 1e-9

OfferOf = Callable[[str, Load, Load], Offer]
"""What it would mean for a member to take a load, after another that it was given before."""


def allocate(
    work: Load,
    members: Sequence[str],
    offer_of: OfferOf,
    objective: Objective,
    *,
    divisible: bool = False,
) -> dict[str, float]:
    """Divide work among members.

    Args:
        work: What waits.
        members: Who may take it.
        offer_of: What it would mean for a member to take a load after another.
        objective: What to minimize.
        divisible: Whether a circuit may be divided, by its shots.

    Returns:
        Circuits by member, summing to ``work.circuits``; members that should take nothing are
        left out. Whole numbers where the work is few circuits that are not divisible.
    """
    if len(members) == 1:
        return {members[0]: work.circuits}
    if not objective.grows:
        one = work.part(1 / work.circuits)
        best = min(members, key=lambda member: objective.key(offer_of(member, one, NO_LOAD)))
        return {best: work.circuits}
    if not divisible and work.circuits <= _EXACT_PER_MEMBER * len(members):
        return _one_by_one(work, members, offer_of, objective)
    # What is dealt next is a circuit, or a small part of one.
    part = work.part(1 / (_PARTS if divisible else 1) / work.circuits)
    return _level(work, part, members, offer_of, objective)


def _one_by_one(
    work: Load, members: Sequence[str], offer_of: OfferOf, objective: Objective
) -> dict[str, float]:
    """Give each circuit to the member that values it best, given what it has by then."""
    one = work.part(1 / work.circuits)

    def value(member: str, before: Load) -> tuple[float, ...]:
        return objective.key(offer_of(member, one, before))

    heap = [(value(member, NO_LOAD), order, member) for order, member in enumerate(members)]
    heapq.heapify(heap)
    taken: dict[str, float] = {}
    for _ in range(round(work.circuits)):
        _, order, member = heap[0]
        taken[member] = taken.get(member, 0.0) + 1
        heapq.heapreplace(heap, (value(member, one.part(taken[member])), order, member))
    return taken


def _level(
    work: Load, one: Load, members: Sequence[str], offer_of: OfferOf, objective: Objective
) -> dict[str, float]:
    """Fill all members to one level of the objective, read as linear in the load."""
    chosen = list(members)
    # What comes later is asked for only where nothing before it decides.
    for part in objective.objectives if isinstance(objective, Then) else (objective,):
        base = [value_of(part, offer_of(member, one, NO_LOAD)) for member in chosen]
        # Infinity is for members that are taken only where no other may be.
        finite = [isfinite(value) for value in base]
        if not any(finite):
            continue
        chosen, base = list(compress(chosen, finite)), list(compress(base, finite))
        slope = [
            (value_of(part, offer_of(member, one, work)) - value) / work.circuits
            for member, value in zip(chosen, base, strict=True)
        ]
        if max(slope) > _TIE * max(1.0, *map(abs, base)):
            shares = _fill(base, slope, work.circuits)
            return {
                member: share for member, share in zip(chosen, shares, strict=True) if share > 0
            }
        least = min(base)
        tied = [value <= least + _TIE * max(1.0, abs(least)) for value in base]
        chosen = list(compress(chosen, tied))
    return dict.fromkeys(chosen, work.circuits / len(chosen))


def _fill(base: Sequence[float], slope: Sequence[float], total: float) -> list[float]:
    """Return shares with ``base + slope * share`` level where positive, summing to the total."""
    flat = [each <= 0 for each in slope]
    ceiling = min(compress(base, flat), default=inf)
    rising = [(value, each) for value, each in zip(base, slope, strict=True) if 0 < each < inf]
    level = min(Level(rising).of(total), ceiling) if rising else ceiling
    shares = [
        max(0.0, (level - value) / each) if each > 0 else 0.0
        for value, each in zip(base, slope, strict=True)
    ]
    left = total - sum(shares)
    if ceiling < inf and left > _TIE * total:
        # Members whose value does not grow take all that the others would take at a worse one.
        best = [is_flat and value <= ceiling for is_flat, value in zip(flat, base, strict=True)]
        shares = [
            left / sum(best) if is_best else share
            for is_best, share in zip(best, shares, strict=True)
        ]
    return shares


class Level:
    """The one level to which members are filled that share some work, for any amount of it.

    In plain Python: fleets are small as a rule, and to ask numpy takes longer than to add up ten
    numbers. In a large one this is little beside the offers that it is made of.

    Args:
        members: The value of each before it has any of the work, and how much a unit of it adds,
            above 0.

    Attributes:
        first: The least value.
        rate: How many units raise the level by one once all members take part.
    """

    def __init__(self, members: Iterable[tuple[float, float]]) -> None:
        ordered = sorted(members, key=itemgetter(0))
        self.first = ordered[0][0]
        # Of the first k members: their rate, what they lack to the level of 0, and the work with which
        # the next one takes part, too.
        self._rates = list(accumulate([1 / slope for _, slope in ordered]))
        self._lacks = list(accumulate([value / slope for value, slope in ordered]))
        self.rate = self._rates[-1]
        self._joins = [
            after * rate - lack
            for (after, _), rate, lack in zip(ordered[1:], self._rates, self._lacks, strict=False)
        ]

    def of(self, work: float) -> float:
        """Return the level of so much work."""
        if not work:
            return self.first
        last = bisect_left(self._joins, work)
        return (work + self._lacks[last]) / self._rates[last]
