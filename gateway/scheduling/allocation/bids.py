"""Bids of members for work of one class: the price of a job by its size, and the time."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

# A price is taken as so many lines where it bends everywhere, as a square root does, and as more, up to
# so many, only where one is off by more than this part: each line is two variables of the program.
_FEW_LINES, _MOST_LINES, _OFF = 8, 64, 1 / 100
# The golden section.
_PART = (3 - math.sqrt(5)) / 2
_TIE = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """What a job between two sizes costs at most: ``fee + each * size``.

    Its price is that of the least of the lines for its size.

    Attributes:
        smallest: The smallest size.
        largest: The largest.
        fee: In USD; in units of the credit where the member has one.
        each: For each unit of work in the job, likewise.
    """

    smallest: int
    largest: int
    fee: float = 0.0
    each: float = 0.0

    @classmethod
    def between(cls, low: int, low_price: float, high: int, high_price: float) -> "Line":
        """Return the line through the prices of two sizes."""
        each = (high_price - low_price) / (high - low) if high > low else low_price / low
        return cls(low, high, low_price - each * low, each)

    def __call__(self, size: float) -> float:
        """Return the price of a job."""
        return self.fee + self.each * size


def lines_of(price: Callable[[int], float], most: int) -> tuple[Line, ...]:
    """Learn the price of jobs of 1 to ``most`` units by asking for some sizes.

    How a price is written makes no difference.
    """
    asked = cache(price)

    def line(low: int, high: int) -> Line:
        return Line.between(low, asked(low), high, asked(high))

    def gap(low: int, high: int) -> tuple[float, int, int]:
        """Return a stretch of sizes after how far the price is off its line, as a negative number."""
        # No even parts: a price in steps lies on its line at these.
        straight, part = line(low, high), round((high - low) * _PART)
        inner = {low + 1, low + part, (low + high) // 2, high - part, high - 1}
        return -max(abs(asked(n) - straight(n)) for n in inner if low <= n <= high), low, high

    gaps = [gap(1, most)] if most > 1 else [(0.0, 1, 1)]
    while len(gaps) < _MOST_LINES:
        off, low, high = gaps[0]
        if -off <= (_TIE if len(gaps) < _FEW_LINES else _OFF) * abs(asked(high)):
            break
        middle = _bend(asked, low, high)
        heapq.heapreplace(gaps, gap(low, middle))
        heapq.heappush(gaps, gap(middle, high))
    lines: list[Line] = []
    for _, low, high in sorted(gaps, key=lambda one: one[1]):
        before = line(lines[-1].smallest, high) if lines else None
        if before is not None and _near(before(low), asked(low)):
            lines[-1] = before
        else:
            lines.append(line(low, high))
    return tuple(_extend(lines))


def _extend(lines: Sequence[Line]) -> Iterator[Line]:
    """Let each line reach down to smaller sizes as far as it is no lower than the price."""
    for place, line in enumerate(lines):
        smallest = line.smallest
        for before in reversed(lines[:place]):
            if line(before.smallest) < before(before.smallest) - _TIE:
                break
            smallest = before.smallest
        yield replace(line, smallest=smallest)


def _bend(price: Callable[[int], float], low: int, high: int) -> int:
    """Guess where a price bends: where the lines meet that it follows at both ends, or in the middle."""
    first, last = price(low + 1) - price(low), price(high) - price(high - 1)
    middle = (low + high) // 2
    if not _near(first, last):
        meet = low + (price(high) - price(low) - last * (high - low)) / (first - last)
        middle = math.floor(meet + _TIE) if low + 1 <= meet + _TIE < high else middle
    return middle


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _TIE * max(1.0, abs(one), abs(other))


@dataclass(frozen=True, slots=True)
class Credit:
    """The free work of a member, before it is paid.

    Attributes:
        pot: From which it comes; members may share one.
        left: How much is left, in the unit of the member's price.
        usd_per_unit: What a unit beyond costs; infinite where none is sold.
    """

    pot: str
    left: float
    usd_per_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """A member's price and time for work of one class, in units that are alike.

    Attributes:
        member: Its name.
        lines: The price of a job, in order of its size.
        wait_seconds: Until it begins.
        unit_seconds: For each unit.
        job_seconds: For each job, beside its units.
        slots: How many jobs it has at once, where further ones queue anew.
        again_seconds: How long it does nothing each time that its slots are filled again.
        credit: What it does for nothing.
        other_usd: What else counts for each unit.
    """

    member: str
    lines: tuple[Line, ...]
    wait_seconds: float = 0.0
    unit_seconds: float = 0.0
    job_seconds: float = 0.0
    slots: int = 1
    again_seconds: float = 0.0
    credit: Credit | None = None
    other_usd: float = 0.0

    @property
    def most(self) -> int:
        """The most units of a job."""
        return self.lines[-1].largest

    @property
    def linear(self) -> bool:
        """Whether a unit costs the same in any job, and after any other."""
        return self.credit is None and len(self.lines) == 1 and _near(self.lines[0].fee, 0.0)

    @property
    def plain(self) -> bool:
        """Whether fewer jobs never cost more, as with fees, floors and discounts."""
        few = self.credit is None and len(self.lines) <= 2
        return few and all(line.fee >= -_TIE for line in self.lines)

    @property
    def free(self) -> bool:
        """Whether nothing counts but time."""
        return self.linear and _near(self.lines[0].each + self.other_usd, 0.0)

    def price(self, size: float) -> float:
        """Return the price of a job, of one that nothing is left of the credit for."""
        return min(line(size) for line in self.lines if line.smallest <= size <= line.largest)

    def seconds(self, units: int, jobs: int = 0) -> float:
        """Return the time at which some units in jobs, or as few as can be, would be done; 0 for none."""
        if not units:
            return 0.0
        jobs = max(jobs, -(-units // self.most))
        again = self.again_seconds * (-(-jobs // self.slots) - 1)
        return self.wait_seconds + again + units * self.unit_seconds + jobs * self.job_seconds

    def is_as_cheap(self, other: "Bid", size: int) -> bool:
        """Whether a job of some size costs as much as at another member, and is paid likewise."""
        pots = [one.credit and one.credit.pot for one in (self, other)]
        return (
            pots[0] == pots[1]
            and size <= self.most
            and _near(self.price(size), other.price(size))
            and _near(self.other_usd, other.other_usd)
        )

    def cut(self, units: int, *, most: int = 0, jobs: int = 0) -> list[int]:
        """Cut units into jobs, the largest first: equal ones, or full ones and the rest.

        Args:
            units: How many.
            most: The most of a job; what the member takes, if not given.
            jobs: How many; as few as can be, if not given.
        """
        most = most or self.most
        jobs = max(jobs, -(-units // most))
        size, larger = divmod(units, jobs) if jobs else (0, 0)
        equal = [size + 1] * larger + [size] * (jobs - larger)
        full, rest = divmod(units, most)
        packed = [most] * full + [rest] * bool(rest)
        if len(packed) > jobs or sum(map(self.price, equal)) <= sum(map(self.price, packed)) + _TIE:
            return equal
        return packed


def capacities(bids: Sequence[Bid], seconds: float, most: int) -> NDArray[np.int64]:
    """Count the units that members would have done by a time, at most ``most`` each."""
    if seconds == math.inf:
        return np.full(len(bids), most)
    wait, unit, job, size, slots, again = np.array(
        [
            (
                bid.wait_seconds,
                bid.unit_seconds,
                bid.job_seconds,
                bid.most,
                bid.slots,
                bid.again_seconds,
            )
            for bid in bids
        ]
    ).T
    # What ends at the horizon is in time.
    left = seconds * (1 + _TIE) + _TIE - wait
    full = size * unit + job
    with np.errstate(divide="ignore", invalid="ignore"):
        # Each round begins with a queue; of the first one the wait tells.
        rounds = (left + again) // (slots * full + again)
        rounds = np.where(again > 0, np.minimum(rounds, most), 0)
        left_then = left - rounds * (slots * full + again)
        jobs = np.where(full > 0, np.minimum(left_then // full, most), most)
        jobs = np.where(again > 0, np.clip(jobs, 0, slots - 1), jobs)
        rest = left_then - jobs * full - job
        part = np.where(unit > 0, np.minimum(rest // unit, size), size)
    done = (rounds * slots + jobs) * size + np.where(rest >= 0, part, 0)
    return np.where(left > 0, np.minimum(done, most), 0).astype(np.int64)


def level_seconds(bids: Sequence[Bid], units: int) -> float:
    """Return the least time by which members can do so many units together."""
    low, high = 0.0, min(bid.seconds(units) for bid in bids)
    while high - low > _TIE * high:
        middle = (low + high) / 2
        enough = capacities(bids, middle, units).sum() >= units
        low, high = (low, middle) if enough else (middle, high)
    return high
