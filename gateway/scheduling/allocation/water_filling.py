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
from math import ceil, inf, isfinite
from operator import itemgetter
from typing import NamedTuple

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
RoundOf = Callable[[str], float]
"""How many circuits a member takes before its jobs queue anew, each for a slot of one that has ended."""


def allocate(  # noqa: PLR0913  A question with one answer.
    work: Load,
    members: Sequence[str],
    offer_of: OfferOf,
    objective: Objective,
    *,
    divisible: bool = False,
    round_of: RoundOf = lambda _: inf,
) -> dict[str, float]:
    """Divide work among members.

    Args:
        work: What waits.
        members: Who may take it.
        offer_of: What it would mean for a member to take a load after another.
        objective: What to minimize.
        divisible: Whether a circuit may be divided, by its shots.
        round_of: How many circuits a member takes before its jobs queue anew; infinite where none do.

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
    return _level(Filling(work, part, offer_of, round_of), members, objective)


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


class Filling(NamedTuple):
    """What members are filled with, and what that means for each.

    Attributes:
        whole: All of it.
        part: The part by which it is dealt out.
        offer_of: What it would mean for a member to take a load after another.
        round_of: How many circuits a member takes before its jobs queue anew.
    """

    whole: Load
    part: Load
    offer_of: OfferOf
    round_of: RoundOf


class Rise(NamedTuple):
    """How a member's value of an objective rises with its work.

    Attributes:
        first: The value of the first circuit.
        slope: What each adds.
        circuits: After how many of them the value rises by a step.
        step: By how much.
    """

    first: float
    slope: float
    circuits: float = inf
    step: float = 0.0

    def holds(self, level: float) -> float:
        """Return how many circuits raise the value to a level above the first."""
        left = level - self.first
        if self.circuits == inf:
            return left / self.slope if self.slope > 0 else inf
        each = self.slope * self.circuits + self.step
        rounds = left // each
        rest = left - rounds * each
        part = rest / self.slope if self.slope > 0 else inf
        return rounds * self.circuits + min(part, self.circuits)


def _level(work: Filling, members: Sequence[str], objective: Objective) -> dict[str, float]:
    """Fill all members to one level of the objective, read as linear in the load between its steps."""
    chosen, one, total = list(members), work.part, work.whole.circuits
    # What comes later is asked for only where nothing before it decides.
    for part in objective.objectives if isinstance(objective, Then) else (objective,):
        base = [value_of(part, work.offer_of(member, one, NO_LOAD)) for member in chosen]
        # Infinity is for members that are taken only where no other may be.
        finite = [isfinite(value) for value in base]
        if not any(finite):
            continue
        chosen, base = list(compress(chosen, finite)), list(compress(base, finite))
        slope = [
            (value_of(part, work.offer_of(member, one, work.whole)) - value) / total
            for member, value in zip(chosen, base, strict=True)
        ]
        if max(slope) > _TIE * max(1.0, *map(abs, base)):
            rises = [
                _read_steps(part, work, member, Rise(*linear))
                for member, *linear in zip(chosen, base, slope, strict=True)
            ]
            stepped = any(rise.step for rise in rises)
            shares = _fill_rounds(rises, total) if stepped else _fill(base, slope, total)
            return {
                member: share for member, share in zip(chosen, shares, strict=True) if share > 0
            }
        least = min(base)
        tied = [value <= least + _TIE * max(1.0, abs(least)) for value in base]
        chosen = list(compress(chosen, tied))
    return dict.fromkeys(chosen, total / len(chosen))


def _read_steps(part: Objective, work: Filling, member: str, mean: Rise) -> Rise:
    """Tell the steps of a member's value from how it rises between them."""
    circuits, total, one = work.round_of(member), work.whole.circuits, work.part.circuits
    # The last that begins in the first round.
    last = circuits - one
    if not 0 < last < total:
        return mean
    offer = work.offer_of(member, work.part, work.whole.part(last / total))
    slope = (value_of(part, offer) - mean.first) / last
    steps = ceil((total + one) / circuits - _TIE) - 1
    step = (mean.slope - slope) * total / steps if steps else 0.0
    return Rise(mean.first, slope, circuits, step) if step > _TIE * abs(mean.first) else mean


def _fill_rounds(rises: Sequence[Rise], total: float) -> list[float]:
    """Return shares at one level, summing to the total, of members whose values may rise in steps."""
    low, high = min(rise.first for rise in rises), max(rise.first for rise in rises)

    def shares(level: float) -> list[float]:
        return [min(total, rise.holds(level)) if level > rise.first else 0.0 for rise in rises]

    while sum(shares(high)) < total:
        high += max(high - low, _TIE)
    while high - low > _TIE * max(1.0, abs(low)):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(shares(middle)) >= total else (middle, high)
    found = shares(high)
    return [share * total / sum(found) for share in found]


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
