"""The free units in a member's tariff."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from qiskit_gateway.work.price import Price

# So little more than there is, relatively, is a rounding error.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """The free units in a member's tariff.

    Attributes:
        name: Members with an allotment of one name share it.
        amount: Units in each period.
        unit: What they are called.
        usd_per_unit: Price of each beyond; infinite where none is sold.
        used: Units that were used otherwise, as of the first look.
        step_of: Numbers the steps of time, by seconds of the wall clock.
        steps: For how many steps before the present one what was used counts.
    """

    name: str
    amount: float
    unit: str = "USD"
    usd_per_unit: float = 1.0
    used: float = 0.0
    step_of: Callable[[float], int] = lambda _: 0
    steps: int = 0

    @property
    def sells_more(self) -> bool:
        """Whether units beyond the allotment can be bought."""
        return self.usd_per_unit < inf

    def units(self, price: Price) -> float:
        """Units that a job of a price takes, free or not; those of no price are not among them."""
        sold = price.usd / self.usd_per_unit if price.usd and self.sells_more else 0.0
        return price.free_units + sold

    def usd(self, units: float, left: float) -> float:
        """Return the price of a number of units of which some are free."""
        beyond = units - left
        return beyond * self.usd_per_unit if beyond > _ROUNDING * units else 0.0
