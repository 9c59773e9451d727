"""What a plan gave each member, and the numbers that it went by."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qiskit_gateway.work.tasks import NO_LOAD, Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What a plan knew of one member, as it was made.

    Attributes:
        member: Its name.
        given: The work that it was given.
        wait_seconds: How long a job of it would have waited, for its queue or for what it had to do.
        run_seconds: How long it would work on what it was given, and its jobs queue anew meanwhile.
        price_usd: What that would cost.
        alone_seconds: When it would be done with all of the work alone, its wait included.
        alone_usd: What all of the work would cost there; infinite where it has no price.
        source: Where its times come from: ``"seen"`` in its jobs, recorded in the ``"journal"``,
            ``"told"`` beforehand, the ``"durations"`` of gates, what its ``"peers"`` of the same
            provider take, a ``"guess"`` by what other members take, or ``"nothing"``.
        reason: Why the policy refused it, or ``""``.
    """

    member: str
    given: Load = NO_LOAD
    wait_seconds: float = 0.0
    run_seconds: float = 0.0
    price_usd: float = 0.0
    alone_seconds: float = 0.0
    alone_usd: float = 0.0
    source: str = "nothing"
    reason: str = ""

    def plus(self, other: "Considered") -> "Considered":
        """Add what it was given of other work."""
        return replace(
            self,
            given=self.given.plus(other.given),
            run_seconds=self.run_seconds + other.run_seconds,
            price_usd=self.price_usd + other.price_usd,
            alone_seconds=self.alone_seconds + other.alone_seconds - other.wait_seconds,
            alone_usd=self.alone_usd + other.alone_usd,
            reason=self.reason and other.reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """The first plan of a run.

    Attributes:
        usd_per_hour: What an hour of the run is worth: infinite where finishing first is all that
            counts, ``None`` where the policy counts something else than time and money.
        members: What was known of each member, and what it was given.
    """

    usd_per_hour: float | None = None
    members: tuple[Considered, ...] = ()

    @property
    def seconds(self) -> float:
        """When all would be done, in seconds from when it was made."""
        takers = [one for one in self.members if one.given.circuits]
        return max((one.wait_seconds + one.run_seconds for one in takers), default=0.0)

    @property
    def price_usd(self) -> float:
        """What all would cost, in USD."""
        return sum(one.price_usd for one in self.members)


def add_up(parts: Iterable[Iterable[Considered]]) -> tuple[Considered, ...]:
    """Add up what members were given of several parts of the work."""
    found: dict[str, Considered] = {}
    for part in parts:
        for one in part:
            before = found.get(one.member)
            found[one.member] = one if before is None else before.plus(one)
    return tuple(found.values())
