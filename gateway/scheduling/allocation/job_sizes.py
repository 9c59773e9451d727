"""Which jobs do so many circuits that are alike at the least price.

As the number of jobs is free, only the size of the jobs counts, and all but one of them are as large
as a member takes or as its floor pays for.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.scheduling.allocation.bids import Bid, Floats, JobPrice

# So many circuits at the end are divided exactly; those before go out at the best rate.
_EXACT = 4096


def job_sizes(prices: Collection[JobPrice], circuits: int) -> Iterator[int]:
    """Yield the sizes of jobs that do so many circuits at the least price."""
    jobs, size, left = _bulk(prices, circuits)
    yield from repeat(size, jobs)
    if left > _EXACT:
        # Only jobs without a limit are that large, and one of them is best.
        yield left
    elif left:
        yield from _exact_sizes(prices, left)


def parts_of(bids: Sequence[Bid], circuits: int) -> Iterator[tuple[list[Bid], int]]:
    """Divide circuits among pots at the least price.

    Yields:
        Bids that draw on one pot, or on none, and how many circuits they should do together.
    """
    pots: dict[str, list[Bid]] = {}
    for bid in bids:
        pots.setdefault(bid.credit.pot if bid.credit else "", []).append(bid)
    if len(pots) == 1:
        yield list(bids), circuits
        return
    step = max(1, -(-circuits // _EXACT))
    counts = np.arange(-(-circuits // step) + 1) * step
    counts[-1] = circuits
    costs = [_pot_costs(group, counts) for group in pots.values()]
    for group, share in zip(pots.values(), _shares(costs, len(counts) - 1), strict=True):
        if share:
            most = min(share * step, circuits)
            circuits -= most
            yield group, most


def shares_within(prices: Floats, limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide circuits among members at the least price, each within a limit.

    Looks at every number of circuits for one member after the other, for all limits at once.

    Args:
        prices: A row for each member: what 0, 1, 2, ... and all circuits cost there.
        limits: A row for each division that is asked for, none below the one before: the most
            circuits of each member. Together they allow for all.

    Returns:
        The shares: a row for each division, with the circuits of each member.
    """
    count = len(prices[0]) - 1
    best = np.full((len(limits), count + 1), np.inf)
    best[:, 0] = 0.0
    choices = []
    for member, most in zip(prices, limits.T, strict=True):
        costs, choice = best.copy(), np.zeros(best.shape, np.int64)
        for share in range(1, int(most[-1]) + 1):
            # Those divisions in which the member may have as much.
            first = int(np.searchsorted(most, share))
            sums = best[first:, : count + 1 - share] + member[share]
            better = sums < costs[first:, share:]
            np.copyto(costs[first:, share:], sums, where=better)
            np.copyto(choice[first:, share:], share, where=better)
        best = costs
        choices.append(choice)
    left, rows, shares = np.full(len(limits), count), np.arange(len(limits)), []
    for choice in reversed(choices):
        shares.append(choice[rows, left])
        left = left - shares[-1]
    return np.array(shares[::-1]).T


def _pot_costs(bids: Sequence[Bid], counts: NDArray[np.int64]) -> Floats:
    """Return the least total price of the members of one pot for each number of circuits, in USD."""
    least = _least({bid.price for bid in bids}, counts)
    return bids[0].usd(least, counts)


def _shares(costs: Sequence[Floats], parts: int) -> list[int]:
    """Divide parts at the least sum of costs, each given by the number of parts."""
    best, choices = costs[0], []
    for cost in costs[1:]:
        best, choice = _joined(best, cost)
        choices.append(choice)
    shares = []
    for choice in reversed(choices):
        shares.append(int(choice[parts]))
        parts -= shares[-1]
    return [parts, *reversed(shares)]


def _joined(one: Floats, other: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the least sums of two costs for so many parts in all, and the other's share in each."""
    best, choice = one + other[0], np.zeros(len(one), np.int64)
    for share in range(1, len(other)):
        sums = one[: len(one) - share] + other[share]
        better = sums < best[share:]
        best[share:][better] = sums[better]
        choice[share:][better] = share
    return best, choice


def _least(prices: Collection[JobPrice], counts: NDArray[np.int64]) -> Floats:
    """Return the least price of each of so many circuits."""
    exact = _exact_prices(prices, min(int(counts[-1]), _EXACT))
    found = np.empty(len(counts))
    for place, count in enumerate(counts):
        jobs, size, left = _bulk(prices, int(count))
        rest = exact[left] if left <= _EXACT else _one_job(prices, left)
        found[place] = rest + jobs * _one_job(prices, size)
    return found


def _one_job(prices: Collection[JobPrice], size: int) -> float:
    return min(price(size) for price in prices if price.most >= size)


def _bulk(prices: Collection[JobPrice], circuits: int) -> tuple[int, int, int]:
    """Count the jobs at the best rate beyond what is divided exactly, and return the rest.

    Returns:
        How many jobs, their size, and how many circuits are left.
    """
    best = min(prices, key=lambda price: price.last / price.most)
    if circuits <= _EXACT or best.most >= circuits:
        return 0, best.most, circuits
    jobs = min((circuits - _EXACT + best.most) // best.most, circuits // best.most)
    return jobs, best.most, circuits - jobs * best.most


def _exact_sizes(prices: Collection[JobPrice], circuits: int) -> Iterator[int]:
    envelope, costs, usual = _costs(prices, circuits)
    # One job may be of any size.
    odd = int((envelope + costs[::-1]).argmin())
    if odd:
        yield odd
    left = circuits - odd
    while left:
        size = min(
            (size for size in usual if size <= left),
            key=lambda size: abs(costs[left - size] + envelope[size] - costs[left]),
        )
        yield size
        left -= size


def _exact_prices(prices: Collection[JobPrice], circuits: int) -> Floats:
    """Return the least price of 0 to so many circuits."""
    envelope, costs, _ = _costs(prices, circuits)
    return _joined(costs, envelope)[0]


def _costs(prices: Collection[JobPrice], circuits: int) -> tuple[Floats, Floats, set[int]]:
    """Return the least costs of one job, the least costs with standard sizes, and those sizes."""
    envelope = np.full(circuits + 1, np.inf)
    envelope[0] = 0.0
    for price in prices:
        sizes = np.arange(min(price.most, circuits) + 1)
        envelope[sizes] = np.minimum(envelope[sizes], price.all(sizes))
    usual = {size for price in prices for size in price.sizes() if size <= circuits}
    # A size is useless if a larger one costs no more.
    larger = np.append(np.minimum.accumulate(envelope[::-1])[::-1][1:], np.inf)
    usual = {size for size in usual if envelope[size] < larger[size]}
    costs = np.where(np.arange(circuits + 1) == 0, 0.0, np.inf)
    for size in usual:
        costs = _with_jobs_of(costs, size, envelope[size])
    return envelope, costs, usual


def _with_jobs_of(costs: Floats, size: int, price: float) -> Floats:
    """Return the least prices of so many circuits where any number of such jobs may be added."""
    rows = -(-len(costs) // size)
    padded = np.full(rows * size, np.inf)
    padded[: len(costs)] = costs
    added = price * np.arange(rows)[:, None]
    # Down a column each row has one such job more.
    least = np.minimum.accumulate(padded.reshape(rows, size) - added, axis=0) + added
    flat: Floats = least.reshape(-1)
    return flat[: len(costs)]
