"""Water-filling: level the waiting work over all members, a list schedule as a pure function.

The work is divided so that no member could take a further part at a better value of the objective
than the one that has it. For an objective that grows with the load, such as a finish time, this
is water-filling: all members that take part end at one level. For one that does not, such as a
price, all goes to the best. For a lexicographic objective the first component decides, and the
next divides the work among those that tie on it.
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

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
        base = np.array([value_of(part, offer_of(member, one, NO_LOAD)) for member in chosen])
        finite = np.isfinite(base)
        if not finite.any():
            continue
        # Infinity is for members that are taken only where no other may be.
        chosen, base = list(compress(chosen, finite)), base[finite]
        high = np.array([value_of(part, offer_of(member, one, work)) for member in chosen])
        slope = (high - base) / work.circuits
        if slope.max(initial=0.0) > _TIE * max(1.0, float(np.abs(base).max())):
            shares = fill(base, slope, work.circuits).tolist()
            return {
                member: share for member, share in zip(chosen, shares, strict=True) if share > 0
            }
        chosen = list(compress(chosen, base <= base.min() + _TIE * max(1.0, abs(base.min()))))
    return dict.fromkeys(chosen, work.circuits / len(chosen))


def fill(
    base: NDArray[np.float64], slope: NDArray[np.float64], total: float
) -> NDArray[np.float64]:
    """Return shares with ``base + slope * share`` level where positive, summing to the total."""
    flat = slope <= 0
    slope = np.where(flat, np.inf, slope)
    order = np.argsort(base, kind="stable")
    ceiling = base[flat].min(initial=np.inf)
    capacity = np.cumsum(1 / slope[order])
    weighted = np.cumsum(base[order] / slope[order])
    # The level at which the first k members, in order of their base, hold the whole work.
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = (total + weighted) / capacity
    above = np.append(base[order][1:], np.inf)
    fitting = np.flatnonzero(levels <= above)
    level = min(float(levels[fitting[0]]) if fitting.size else np.inf, ceiling)
    shares = np.where(flat, 0.0, np.maximum(0.0, (level - base) / slope))
    left = total - shares.sum()
    if flat.any() and left > _TIE * total:
        # Members whose value does not grow take all that the others would take at a worse one.
        best = flat & (base <= ceiling)
        shares = np.where(best, left / best.sum(), shares)
    return shares
