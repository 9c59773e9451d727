"""Numbers, money and times as people read them."""

from collections.abc import Iterable, Iterator
from itertools import groupby

# How many ranges of numbers are told: about a line.
_MOST_RANGES = 8
# Units of time, how many seconds each is, and the least number told in it.
_UNITS = (("d", 86_400.0, 2.0), ("h", 3600.0, 1.0), ("min", 60.0, 2.0), ("s", 1.0, 1.0))


def span(seconds: float | None) -> str:
    """Format a length of time in a suitable unit; ``-`` if it is unknown."""
    if seconds is None:
        return "-"
    for unit, size, least in _UNITS:
        # As rounded to three digits, lest 0.9999 s is told as 1000 ms.
        if seconds >= 0.9995 * least * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-6 else "0 s"


def number(value: float) -> str:
    """A number with its thousands set apart, and a decimal only where it has one."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def usd(value: float) -> str:
    """An amount of money: cents for what costs much, more digits for what costs little."""
    return f"{value:,.2f} USD" if abs(value) >= 10 or not value else f"{value:.4f} USD"


def join_short(parts: Iterable[str]) -> str:
    """Several short texts as one."""
    return ", ".join(parts)


def ranges(numbers: Iterable[int]) -> str:
    """Several whole numbers as ranges, ``0-7, 12``, of which a line shows the first."""
    every = list(_runs(sorted(set(numbers))))
    shown, rest = every[:_MOST_RANGES], every[_MOST_RANGES:]
    texts = [str(low) if low == high else f"{low}-{high}" for low, high in shown]
    more = sum(high - low + 1 for low, high in rest)
    return ", ".join(texts) + (f" and {more} more" if more else "")


def _runs(ascending: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of the numbers that follow each other."""
    for _, run in groupby(enumerate(ascending), lambda placed: placed[1] - placed[0]):
        members = [number for _, number in run]
        yield members[0], members[-1]
