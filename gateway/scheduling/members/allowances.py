"""Allowances of members: units free or paid in advance for a period, used up by jobs.

As with budgets, what a job takes is set aside before it is sent, and given back where nothing came
of it. So jobs in flight never count the same free minute twice.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from math import inf

from qiskit_gateway.policies.verdict import ALLOWED, Verdict
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.price import FREE, Due, Price

# So little more than there is, relatively, is a rounding error.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedUp(Verdict):
    """The refusal of a job for which an allotment has no room, and of which no more is sold."""


@dataclass(slots=True)
class Pot:
    """The used units of one allotment, over all runs of a fleet.

    Attributes:
        allotment: The allotment; of members that share it any one's, whose prices do not matter.
        used: Units used, by step of time.
        held: Units set aside for jobs in flight, with the step of each, by a name of its own.
        seen: At which step what was used otherwise was counted; ``None`` if it was not yet.
    """

    allotment: Allotment
    used: dict[int, float] = field(default_factory=dict)
    held: dict[object, tuple[int, float]] = field(default_factory=dict)
    seen: int | None = None

    def left(self, wall: float) -> float:
        """Count the units left, at a time of the wall clock."""
        step = self.allotment.step_of(wall)
        if self.seen is None:
            self.seen = step
            self._use(step, self.allotment.used)
        first = step - self.allotment.steps
        self.used = {at: units for at, units in self.used.items() if at >= first}
        gone = sum(self.used.values()) + sum(units for _, units in self.held.values())
        left = self.allotment.amount - gone
        # What is left by rounding is no room for a job, and others may not see it.
        return left if left > _ROUNDING * gone else 0.0

    def otherwise(self, wall: float) -> float:
        """Count the used units that other users took."""
        first = self.allotment.step_of(wall) - self.allotment.steps
        return self.allotment.used if self.seen is not None and self.seen >= first else 0.0

    def note_left(self, wall: float, units: float) -> None:
        """Note that no more than these units are left: others have used the rest."""
        self._use(self.allotment.step_of(wall), max(0.0, self.left(wall) - units))

    def count(self, wall: float, units: float) -> None:
        """Count units that were used before, at a time of the wall clock."""
        self._use(self.allotment.step_of(wall), units)

    def settle(self, key: object) -> None:
        """Turn what is set aside for a job into what is used."""
        if key in self.held:
            self._use(*self.held.pop(key))

    def copy(self) -> "Pot":
        """Return a pot that says the same, and goes its own way."""
        return Pot(self.allotment, deepcopy(self.used), dict(self.held), self.seen)

    def _use(self, step: int, units: float) -> None:
        if units:
            self.used[step] = self.used.get(step, 0.0) + units


class Allowances:
    """The allotments of a fleet's members, as one run sees them.

    Args:
        allotments: By member; others have none.
        pots: The fleet's pots, by name of the allotment: all runs share them.

    Attributes:
        epoch: When the wall clock showed 0, in seconds of the loop's clock.
    """

    def __init__(
        self,
        allotments: Mapping[str, Allotment] | None = None,
        pots: dict[str, Pot] | None = None,
    ) -> None:
        pots = {} if pots is None else pots
        self._allotments = allotments or {}
        self._pots = {
            member: pots.setdefault(allotment.name, Pot(allotment))
            for member, allotment in self._allotments.items()
        }
        self.epoch = 0.0
        # Whose pot, and how much a try takes in all: free or not.
        self._open: dict[object, tuple[str, float]] = {}

    def left(self, now: float) -> dict[str, float]:
        """Count the units left, by member."""
        return {member: pot.left(now - self.epoch) for member, pot in self._pots.items()}

    def price(self, member: str, asked: float, now: float) -> Price:
        """Return the price of a job now.

        Args:
            member: Where.
            asked: What it takes, in units of the allotment; in USD where there is none.
            now: Seconds of the loop's clock.
        """
        pot = self._pots.get(member)
        if pot is None:
            return Price(usd=asked) if asked else FREE
        return self._price_of(member, asked, pot.left(now - self.epoch))

    def _price_of(self, member: str, asked: float, left: float) -> Price:
        usd = self._allotments[member].usd(asked, left)
        return Price(usd=usd, free_units=min(asked, left))

    def verdict(self, member: str, asked: float, now: float) -> Verdict:
        """Judge whether a job can be had at all, for money or not."""
        pot = self._pots.get(member)
        if pot is None or self.price(member, asked, now).usd < inf:
            return ALLOWED
        reason = say_used_up(pot.allotment, asked, pot.left(now - self.epoch))
        return UsedUp(allowed=False, reason=reason)

    def take(self, key: object, member: str, asked: float, now: float) -> None:
        """Set aside what a job takes."""
        pot = self._pots.get(member)
        if pot is not None:
            wall = now - self.epoch
            pot.held[key] = pot.allotment.step_of(wall), min(asked, pot.left(wall))
            self._open[key] = member, asked

    def again(self, key: object, now: float) -> Price | None:
        """Price one more try of a job; ``None`` if the price depends on no allotment."""
        if key not in self._open:
            return None
        member, asked = self._open[key]
        pot, wall = self._pots[member], now - self.epoch
        step, held = pot.held[key]
        # What the try before it used in an earlier period does not count in this one.
        first = pot.allotment.step_of(wall) - pot.allotment.steps
        return self._price_of(member, asked, pot.left(wall) + (held if step < first else 0.0))

    def renew(self, key: object, now: float) -> None:
        """Count what is set aside for a job as used, and set aside what one more try takes."""
        if key in self._open:
            member, asked = self._open[key]
            self.settle(key)
            self.take(key, member, asked, now)

    def amend(self, key: object, member: str, price: Price, due: Due, now: float) -> Price:
        """Set aside for a job what it turned out to take, and return its price then.

        Args:
            key: Name of the job.
            member: Where.
            price: Its price so far.
            due: What it took.
            now: Seconds of the loop's clock.
        """
        pot = self._pots.get(member)
        if pot is None:
            return Price(usd=due.of(price.usd))
        allotment = self._allotments[member]
        sells_more = allotment.sells_more
        if key not in self._open:
            # Of an earlier process, and counted as used since then.
            free = price.free_units if price.usd and sells_more else inf
            return self._price_of(member, due.of(allotment.units(price)), free)
        (step, held), expected = pot.held[key], self._open[key][1]
        asked, free = due.of(expected), inf  # Where none is sold, there is no bill.
        if sells_more:
            # More than was expected may be free, too, unless some of it was to be paid already.
            free = held if held < expected else held + pot.left(now - self.epoch)
        self._open[key], pot.held[key] = (member, asked), (step, min(asked, free))
        return self._price_of(member, asked, free)

    def note_left(self, member: str, units: float, now: float) -> None:
        """Note that no more than these units are left to a member: others have used the rest."""
        self._pots[member].note_left(now - self.epoch, units)

    def settle(self, key: object) -> None:
        """Count what is set aside for a job as used."""
        if key in self._open:
            self._pots[self._open.pop(key)[0]].settle(key)

    def release(self, key: object) -> None:
        """Give back what is set aside for a job: nothing was used."""
        if key in self._open:
            self._pots[self._open.pop(key)[0]].held.pop(key, None)

    def close(self) -> None:
        """Count reservations that were never settled as used, because their jobs may have run."""
        for key in list(self._open):
            self.settle(key)


def count_use(
    allotments: Mapping[str, Allotment],
    pots: dict[str, Pot],
    used: Iterable[tuple[str, float, float]],
) -> None:
    """Count what was used before: by which member, when by the wall clock, how many units."""
    for member, wall, units in used:
        if member in allotments:
            allotment = allotments[member]
            pots.setdefault(allotment.name, Pot(allotment)).count(wall, units)


def say_used_up(allotment: Allotment, asked: float, left: float) -> str:
    """Explain for people why an allotment has no room for a job."""
    return (
        f"its allowance of {allotment.amount:.10g} {allotment.unit} has {left:.6g} left, "
        f"{asked:.6g} asked, and no more is sold"
    )
