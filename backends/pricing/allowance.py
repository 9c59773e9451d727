"""Tariffs with an amount that is free, or was paid for beforehand, in every period.

Free minutes of a plan, a subscription's credits, credits bought in advance: what a job uses is
counted in units of the allowance, and only what is beyond it costs money, where more is sold at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, inf
from numbers import Real
from typing import Any, Literal

from qiskit_gateway.arguments import check_amount, is_finite, make_plain
from qiskit_gateway.backends.pricing.rates import (
    Tariff,
    Usage,
    needs_gates,
    needs_seconds,
)

Period = Literal["day", "month"] | float
"""A day or a month of the calendar, in UTC; or a number of days back from now."""

_DAY_SECONDS = 86_400.0
# The number of steps in which usage is forgotten as it grows older than the period.
_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """A tariff with an amount that is free, or paid for already, in every period.

    How much is left lives with the fleet, and is set aside before a job is sent. Called with the
    usage of one job it returns the price where nothing of the allowance is used yet.

    Attributes:
        meter: What a job uses, in units of the allowance, from its usage:
            ``Pricing(per_second=1)`` counts seconds, ``Hqc(usd_per_hqc=1)`` credits.
        amount: Units that are free in each period.
        period: After what time what was used is free again: ``"day"`` or ``"month"`` of the
            calendar in UTC, or a number of days back from now; never by default, as with credits
            that were bought.
        unit: What the units are called.
        usd_per_unit: Price of each unit beyond the allowance; infinite where none is sold.
        used: Units of the present period that were used otherwise, as the provider tells.
        name: Members whose allowances bear one name share it; without, it is the member's own.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number is negative, or a period is not more than nothing.
    """

    meter: Tariff
    amount: float
    period: Period | None = None
    unit: str = "USD"
    usd_per_unit: float = 1.0
    used: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        if not callable(self.meter):
            raise TypeError(
                f"meter must be a tariff such as Pricing(per_second=1), got {self.meter!r}"
            )
        check_amount("amount", self.amount)
        check_amount("used", self.used)
        if self.usd_per_unit != inf:
            check_amount("usd_per_unit", self.usd_per_unit)
        if self.period not in (None, "day", "month"):
            kinds = "period must be 'day', 'month' or a number of days above 0"
            if isinstance(self.period, bool) or not isinstance(self.period, Real):
                raise TypeError(f"{kinds}, got {self.period!r}")
            if not (self.period > 0 and is_finite(self.period)):
                raise ValueError(f"{kinds}, got {self.period!r}")
        make_plain(self)

    def __call__(self, usage: Usage) -> float:
        """Return the price of the job in USD, as the first of a period."""
        beyond = self.meter(usage) - self.amount
        return beyond * self.usd_per_unit if beyond > 0 else 0.0

    @property
    def allowance(self) -> "Allowance":
        """Return itself; a tariff that holds one says so under this name."""
        return self

    @property
    def needs_seconds(self) -> bool:
        """True if the use depends on the machine time."""
        return needs_seconds(self.meter)

    @property
    def needs_gates(self) -> bool:
        """True if the use depends on the gates of the circuits as compiled."""
        return needs_gates(self.meter)

    @property
    def steps(self) -> int:
        """Number of steps of time before the present one whose use counts."""
        return _STEPS if isinstance(self.period, int | float) else 0

    @property
    def step_of(self) -> Callable[[float], int]:
        """Function that numbers the steps of time, by seconds since 1970."""
        if self.period is None:
            return lambda _: 0
        if self.period == "day":
            return lambda wall: floor(wall / _DAY_SECONDS)
        if self.period == "month":
            return _month
        step_seconds = float(self.period) * _DAY_SECONDS / _STEPS
        return lambda wall: ceil(wall / step_seconds)


def allowance_of(tariff: Any) -> Allowance | None:
    """Return the allowance of a tariff, or ``None``."""
    found = getattr(tariff, "allowance", None)
    return found if isinstance(found, Allowance) else None


def _month(wall: float) -> int:
    when = datetime.fromtimestamp(wall, UTC)
    return 12 * when.year + when.month
