"""Bids of members for circuits of one class: the price of a job by its size, and the time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Up to so many circuits of a job, a price that is no maximum of two lines is asked for each.
_TABLE = 512
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class JobPrice:
    """The price of one job by its circuits: a maximum of two lines, or a table.

    Attributes:
        most: Most circuits of a job.
        first: The price of one circuit.
        rise: What a further one costs at first.
        last: The price of a job of most circuits.
        slope: What a further one costs at last.
        table: The prices of 0 to ``most`` circuits, where they are no maximum of two lines.
    """

    most: int
    first: float
    rise: float
    last: float
    slope: float
    table: tuple[float, ...] | None = None

    @classmethod
    def of(cls, price: Callable[[int], float], most: int) -> "JobPrice":
        """Learn a price by asking for a few sizes."""
        first, last = price(1), price(most)
        rise, slope = (price(2) - first, last - price(most - 1)) if most > 1 else (first, first)
        lines = cls(most, first, rise, last, slope)
        middle, kink = (1 + most) // 2, lines.kink
        if all(_near(price(k), lines(k)) for k in {middle, max(1, kink), min(kink + 1, most)}):
            return lines
        if most <= _TABLE:
            table = (0.0, *(price(k) for k in range(1, most + 1)))
            return cls(most, first, rise, last, slope, table)
        return lines

    @property
    def kink(self) -> int:
        """The largest size up to which the first line holds."""
        if self.slope <= self.rise:
            return self.most
        gap = self.first + self.rise * (self.most - 1) - self.last
        return max(1, min(self.most, math.floor(self.most + gap / (self.slope - self.rise) + _TIE)))

    @property
    def linear(self) -> bool:
        """Whether a circuit costs the same in any job."""
        return self.table is None and all(
            _near(one, self.first) for one in (self.rise, self.slope, self.last / self.most)
        )

    def __call__(self, circuits: int) -> float:
        """Return the price of a job; nothing for none."""
        if self.table is not None:
            return self.table[circuits]
        low = self.first + self.rise * (circuits - 1)
        return max(low, self.last - self.slope * (self.most - circuits)) if circuits else 0.0

    def all(self, circuits: NDArray[np.int64]) -> Floats:
        """Return the prices of jobs of these sizes."""
        if self.table is not None:
            return np.array(self.table)[circuits]
        low = self.first + self.rise * (circuits - 1)
        high = self.last - self.slope * (self.most - circuits)
        return np.where(circuits > 0, np.maximum(low, high), 0.0)

    def whole(self, circuits: NDArray[np.int64]) -> Floats:
        """Return the prices of so many circuits each, in as few and as equal jobs as can be."""
        jobs = np.maximum(1, -(-circuits // self.most))
        small = circuits // jobs
        large = circuits - small * jobs
        more = np.where(large > 0, small + 1, small)
        prices: Floats = (jobs - large) * self.all(small) + large * self.all(more)
        return prices

    def sizes(self) -> Iterator[int]:
        """Yield the sizes that all jobs but one have in a cheapest division."""
        if self.table is not None:
            yield from range(1, self.most + 1)
        else:
            yield from {self.most, self.kink, min(self.kink + 1, self.most)}


@dataclass(frozen=True, slots=True)
class Credit:
    """The free work of a member, before it is paid.

    Attributes:
        pot: From which it comes; members may share one.
        left: How much is left, in the unit of the member's price.
        usd_per_unit: What a unit beyond counts.
    """

    pot: str
    left: float
    usd_per_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A member's price and time for circuits of one class.

    Attributes:
        member: Its name.
        price: Of a job, in USD; in units of the credit, where it has one.
        wait_seconds: Until it begins with them.
        circuit_seconds: For each.
        job_seconds: For each job, beside its circuits.
        credit: What it does for nothing.
        other_usd: What else counts for each circuit, where it has a credit.
    """

    member: str
    price: JobPrice
    wait_seconds: float = 0.0
    circuit_seconds: float = 0.0
    job_seconds: float = 0.0
    credit: Credit | None = None
    other_usd: float = 0.0

    @property
    def linear(self) -> bool:
        """Whether a circuit costs the same in any job, and after any other."""
        return self.credit is None and self.price.linear

    def usd(self, units: Floats, circuits: NDArray[np.int64]) -> Floats:
        """Price a number of circuits that use a given number of units."""
        if self.credit is None:
            return units
        beyond = units - self.credit.left
        beyond = np.where(beyond > _TIE * units, beyond, 0.0)
        usd: Floats = beyond * self.credit.usd_per_unit + circuits * self.other_usd
        return usd

    def for_nothing(self) -> "Bid":
        """Return the bid if its credit were without end."""
        each, most = self.other_usd, self.price.most
        return replace(self, credit=None, price=JobPrice(most, each, each, most * each, each))

    @property
    def full_usd(self) -> float:
        """Price a job of the largest size."""
        return float(self.whole(np.array([self.price.most]))[0])

    def whole(self, circuits: NDArray[np.int64]) -> Floats:
        """Price each number of circuits, in the fewest jobs of nearly equal sizes."""
        return self.usd(self.price.whole(circuits), circuits)

    def seconds(self, circuits: int) -> float:
        """Return the time at which a number of circuits would be done; 0 for none."""
        if not circuits:
            return 0.0
        jobs = -(-circuits // self.price.most)
        return self.wait_seconds + circuits * self.circuit_seconds + jobs * self.job_seconds

    def capacity(self, seconds: float, most: int) -> int:
        """Count the circuits that would be done by a time, at most ``most``."""
        times = (self.wait_seconds, self.circuit_seconds, self.job_seconds, self.price.most)
        return int(capacities(np.array(times)[:, None], seconds, most)[0])


def capacities(times: Floats, seconds: float, most: int) -> NDArray[np.int64]:
    """Count the circuits that members would have done by a time, at most ``most`` each.

    Args:
        times: A column for each member: wait, seconds of a circuit and of a job, circuits of a job.
        seconds: By when, from now.
        most: How many there are.
    """
    wait, circuit, job, size = times
    # What ends at the horizon is in time.
    left = seconds * (1 + _TIE) + _TIE - wait
    full = size * circuit + job
    with np.errstate(divide="ignore", invalid="ignore"):
        jobs = np.where(full > 0, np.minimum(left // full, most), most)
        rest = left - jobs * full - job
        part = np.where(circuit > 0, np.minimum(rest // circuit, size), size)
    done = jobs * size + np.where(rest >= 0, part, 0)
    return np.where(left > 0, np.minimum(done, most), 0).astype(np.int64)


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _TIE * max(1.0, abs(one), abs(other))
