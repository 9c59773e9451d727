"""The cost-time frontier of dividing work: end, price and shares of the members.

Jobs have fees and floors, so that a circuit has no price of its own, and a member has time for so
many circuits by a horizon. For each horizon there is a cheapest division; together they are the
frontier of price and time, from which the worth of an hour picks one.

With all the time in the world the cheapest division is found exactly, for up to some thousand
circuits: see :mod:`~qiskit_gateway.scheduling.allocation.job_sizes`. Within a horizon it is exact for a small fleet and few
circuits; else members are filled in the order of their price.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.scheduling.allocation.bids import Bid, Floats, capacities
from qiskit_gateway.scheduling.allocation.job_sizes import job_sizes, parts_of, shares_within

# Up to so many circuits, and circuits times members, each horizon's division is exact.
_FEW_CIRCUITS = 300
_FEW_SHARES = 2048
_FEW_LINEAR = 256
_FEW_HORIZONS = 64
_HORIZONS = 24
# So many members at most are looked at for whether they can be left out.
_DROPS = 16
_ROUGH = 1e-3
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Division:
    """Circuits by member, what they cost, and when all are done."""

    circuits: Mapping[str, int]
    usd: float
    seconds: float


@dataclass(slots=True)
class Frontier:
    """The divisions of work over members that no other beats in both price and time.

    Args:
        bids: The members that may take it.
        circuits: How many.
        prefer: What orders equally cheap members for a job: of a member, what it has, and the
            job's circuits.
    """

    bids: Sequence[Bid]
    circuits: int
    prefer: Callable[[str, int, int], tuple[float, ...]] | None = None
    _by_name: dict[str, Bid] = field(init=False)
    _times: Floats = field(init=False)
    _lines: Floats = field(init=False)
    _credits: Floats = field(init=False)
    _prices: Floats | None = None

    def __post_init__(self) -> None:
        self._by_name = {bid.member: bid for bid in self.bids}
        self._times = np.array(
            [
                (bid.wait_seconds, bid.circuit_seconds, bid.job_seconds, bid.price.most)
                for bid in self.bids
            ]
        ).T
        self._lines = np.array(
            [
                (one.first, one.rise, one.last, one.slope, one.most)
                for one in (bid.price for bid in self.bids)
            ]
        ).T

        self._credits = np.array(
            [
                (one.credit.left, one.credit.usd_per_unit, one.other_usd)
                if one.credit
                else (0.0, 1.0, 0.0)
                for one in self.bids
            ]
        ).T

    def best(
        self, usd_per_hour: float, horizon: float = math.inf, busy_seconds: float = 0.0
    ) -> Division:
        """Return the division of the least price, where an hour is worth so much.

        Args:
            usd_per_hour: What it is worth to be done an hour earlier.
            horizon: When all should be done, in seconds from now. If no division can, the one
                that is done first.
            busy_seconds: Until when other work lasts, so that to be done earlier is worth nothing.
        """
        cheapest = self.cheapest()
        if cheapest.seconds <= (horizon if usd_per_hour == 0 else min(horizon, busy_seconds)):
            return cheapest
        (fastest,) = self._by(self.level_seconds())
        if fastest.seconds > horizon:
            return fastest
        found = [one for one in self._divisions(fastest, cheapest) if one.seconds <= horizon]
        for limit in {horizon, min(horizon, busy_seconds)}:
            if fastest.seconds <= limit < cheapest.seconds:
                found += self._by(limit)

        def usd(one: Division) -> float:
            return one.usd + usd_per_hour * max(one.seconds, busy_seconds) / 3600

        return min(found, key=lambda one: (usd(one), one.seconds))

    def _divisions(self, fastest: Division, cheapest: Division) -> Iterator[Division]:
        """Yield divisions from the fastest to the cheapest, the same whatever an hour is worth."""
        yield cheapest
        yield fastest
        if self._few:
            ends = {bid.seconds(k) for bid in self.bids for k in range(1, self.circuits + 1)}
            ends = {end for end in ends if fastest.seconds < end < cheapest.seconds}
            horizons = sorted(ends)
            if len(horizons) > _FEW_HORIZONS:
                places = np.linspace(0, len(horizons) - 1, _FEW_HORIZONS)
                horizons = [horizons[round(place)] for place in places]
        else:
            horizons = self._levels(fastest.seconds, cheapest.seconds)
        yield from self._by(*horizons) if horizons else ()

    def _levels(self, fastest: float, cheapest: float) -> list[float]:
        """Return horizons at which the cheapest members, so many of them, are filled."""
        order = sorted(self.bids, key=lambda bid: bid.full_usd / bid.price.most)
        counts = {round(n) for n in np.geomspace(1, len(order), min(len(order), _HORIZONS // 2))}
        places = {bid.member: place for place, bid in enumerate(self.bids)}
        inside = np.array([places[bid.member] for bid in order])
        levels = {self._level(inside[:count], _ROUGH) for count in counts}
        low = max(fastest, _TIE)
        if cheapest > low:
            levels.update(np.geomspace(low, cheapest, _HORIZONS // 4).tolist())
        return sorted(level for level in levels if fastest < level < cheapest)

    @property
    def _few(self) -> bool:
        if all(bid.linear for bid in self.bids):
            # There is no fee or floor that filling would overlook.
            return len(self.bids) * self.circuits <= _FEW_LINEAR
        return self.circuits <= min(_FEW_CIRCUITS, _FEW_SHARES // len(self.bids))

    def level_seconds(self) -> float:
        """Return the least time by which the members can do all the circuits together."""
        return self._level(np.arange(len(self.bids)))

    def _level(self, members: NDArray[np.int64], close: float = _TIE) -> float:
        times = self._times[:, members]
        wait, circuit, job, most = times
        alone = wait + self.circuits * circuit + np.ceil(self.circuits / most) * job
        low, high = 0.0, float(alone.min())
        while high - low > close * high:
            middle = (low + high) / 2
            enough = capacities(times, middle, self.circuits).sum() >= self.circuits
            low, high = (low, middle) if enough else (middle, high)
        return high

    def _made(self, circuits: Mapping[str, int]) -> Division:
        """Return a division with its price and time."""
        held = {member: count for member, count in circuits.items() if count}
        seconds = max(self._by_name[name].seconds(n) for name, n in held.items())
        return Division(held, self._usd(held), seconds)

    def _usd(self, circuits: Mapping[str, int]) -> float:
        """Return the price of a division, in which a pot is used up but once."""
        total, left = 0.0, dict[str, float]()
        for name, count in circuits.items():
            bid, some = self._by_name[name], np.array([count])
            units = bid.price.whole(some)
            if bid.credit is not None:
                here = left.get(bid.credit.pot, bid.credit.left)
                left[bid.credit.pot] = max(0.0, here - float(units[0]))
                bid = replace(bid, credit=replace(bid.credit, left=here))
            total += float(bid.usd(units, some)[0])
        return total

    # -- within a horizon ----------------------------------------------------------------------

    def _by(self, *horizons: float) -> list[Division]:
        """Return the cheapest division for each of rising deadlines that can be met."""
        limits = [capacities(self._times, one, self.circuits) for one in horizons]
        if not self._few:
            return [self._made(self._filled(one)) for one in limits]
        if self._prices is None:
            sizes = np.arange(self.circuits + 1)
            self._prices = np.array([bid.whole(sizes) for bid in self.bids])
        found = shares_within(self._prices, np.array(limits))
        return [self._made(self._named(shares)) for shares in found]

    def _named(self, shares: NDArray[np.int64]) -> dict[str, int]:
        return {bid.member: int(count) for bid, count in zip(self.bids, shares, strict=True)}

    def _filled(self, limits: NDArray[np.int64]) -> dict[str, int]:
        """Fill members in the order of their full price, and give the rest to the members it suits.

        Then leave out whose part the one with the rest would do for less.
        """
        prices = self._prices_of(limits)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.where(limits > 0, prices / limits, np.inf)
        order = np.argsort(rates, kind="stable")
        room = np.cumsum(limits[order])
        full = int(np.searchsorted(room, self.circuits))
        taken = np.zeros_like(limits)
        taken[order[:full]] = limits[order[:full]]
        left = self.circuits - int(taken.sum())
        others = order[full:][limits[order[full:]] >= left]
        at = others[self._prices_of(np.full_like(limits, left))[others].argmin()]
        taken[at] = left
        self._drop_dear(taken, limits, int(at))
        return self._named(taken)

    def _drop_dear(self, taken: NDArray[np.int64], limits: NDArray[np.int64], at: int) -> None:
        """Let one member do what others do for more, as far as it is in time."""
        prices = self._prices_of(taken)
        for other in np.argsort(-prices, kind="stable")[:_DROPS]:
            more = taken[at] + taken[other]
            if other == at or not taken[other] or more > limits[at]:
                continue
            together = float(self.bids[at].whole(np.array([more]))[0])
            if together < prices[at] + prices[other]:
                taken[at], taken[other], prices[at] = more, 0, together

    def _prices_of(self, circuits: NDArray[np.int64]) -> Floats:
        """Price a number of circuits on each member, by the lines of its price."""
        first, rise, last, slope, most = self._lines
        jobs = np.maximum(1, -(-circuits // most))
        small = circuits // jobs
        large = circuits - small * jobs

        def price(size: Floats) -> Floats:
            two = np.maximum(first + rise * (size - 1), last - slope * (most - size))
            return np.where(size > 0, two, 0.0)

        units: Floats = (jobs - large) * price(small) + large * price(small + 1)
        left, rate, other = self._credits
        beyond = units - left
        usd: Floats = np.where(beyond > _TIE * units, beyond, 0.0) * rate + circuits * other
        return usd

    # -- with all the time in the world --------------------------------------------------------

    def cheapest(self) -> Division:
        """Return the division of the least price."""
        taken: dict[str, int] = {}
        for bids, circuits in parts_of(self.bids, self.circuits):
            sizes = sorted(job_sizes({bid.price for bid in bids}, circuits), reverse=True)
            tied = {size: _tied(bids, size) for size in sizes}
            for size in sizes:
                member = self._taker(size, tied[size], taken)
                taken[member] = taken.get(member, 0) + size
        return self._made(taken)

    def _taker(self, size: int, tied: Sequence[Bid], taken: Mapping[str, int]) -> str:
        """Choose among members of equal price for a job of a size, by the other criteria."""
        if len(tied) == 1:
            return tied[0].member

        def key(bid: Bid) -> tuple[float, ...]:
            held = taken.get(bid.member, 0)
            if self.prefer is None:
                return (bid.seconds(held + size),)
            return self.prefer(bid.member, held, size)

        return min(tied, key=key).member


def _tied(bids: Sequence[Bid], size: int) -> list[Bid]:
    """List the members with the least price for a job of a size."""
    offers = [(bid.price(size), bid) for bid in bids if bid.price.most >= size]
    least = min(price for price, _ in offers)
    close = least + _TIE * max(1.0, least)
    return [bid for price, bid in offers if price <= close]
