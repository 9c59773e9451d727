"""The price of a job: money, and units of an allowance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a job.

    Attributes:
        usd: In USD.
        free_units: What it takes of its member's allotment, in units of that.
    """

    usd: float = 0.0
    free_units: float = 0.0

    @property
    def costs(self) -> bool:
        """It costs something: to do it twice would be to pay twice."""
        return bool(self.usd or self.free_units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The due part of a job's price, once its result is there.

    Attributes:
        share: What part of what was expected, by the shots that ran, from 0 to 1.
        units: All of it as its provider says, in units of its member's allotment, or in USD where
            there is none; ``None`` where the provider says nothing, and the share counts.
    """

    share: float = 1.0
    units: float | None = None

    def of(self, asked: float) -> float:
        """Scale an expected amount to what the job used."""
        return self.share * asked if self.units is None else self.units


FREE = Price()
"""The price of what costs nothing."""


class PriceError(ValueError):
    """A tariff has no price for a job: it raised, or what it answered is no price."""
