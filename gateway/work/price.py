"""The price of a job: money, and what it takes of an allowance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a job costs.

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


FREE = Price()
"""The price of what costs nothing."""


class PriceError(ValueError):
    """Report that a tariff has no price for a job: it raised, or what it answered is no price."""
