"""Second thoughts about shards in flight, as values: recall, rebalancing and hedging decide them.

They are carried out one at a time, so each sees the effect of those before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.events import Unless
from qiskit_gateway.scheduling.flight import Reason


@dataclass(frozen=True, slots=True)
class AskBack:
    """Ask a provider to give a shard back.

    Attributes:
        shard: Its number.
        reason: Why.
        unless: When not to ask, see :class:`~qiskit_gateway.scheduling.events.Recall`.
    """

    shard: int
    reason: Reason
    unless: Unless = "perhaps running"


@dataclass(frozen=True, slots=True)
class Hedge:
    """Queue a shard at a second member as well."""

    shard: int
    member: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """Look at an overdue shard again when it has taken twice as long."""

    shard: int


@dataclass(frozen=True, slots=True)
class Blame:
    """Count a failure against a member's health."""

    member: str
    failure: Failure
    reason: str


@dataclass(frozen=True, slots=True)
class Expect:
    """Expect shards to end at other times than was thought.

    Attributes:
        ends: When each is to end, by its number, in seconds of the loop's clock.
    """

    ends: Mapping[int, float]


Decision = AskBack | Hedge | Postpone | Blame | Expect
