"""A shard in flight: where it is, when it should end, and whether it is being taken back."""

import math
from dataclasses import dataclass
from enum import Enum, auto

from qiskit_gateway.scheduling.backlog import Group
from qiskit_gateway.scheduling.events import ShardFinished
from qiskit_gateway.work.price import FREE, Price
from qiskit_gateway.work.tasks import Compiled, Load, Shard


class Phase(Enum):
    """Stage of taking back a shard in flight.

    A shard flies, is asked back, and is then kept by its provider (and flies on) or cancelled. Only
    from ``CANCELLING`` there is no way back.
    """

    FLYING = auto()
    """Nothing was asked of its provider."""
    ASKED_BACK = auto()
    """Its provider was asked to cancel it; a result counts if it comes first."""
    KEPT = auto()
    """It was asked back, and its provider kept it."""
    CANCELLING = auto()
    """It is cancelled, whatever its provider says; only its end is still to be reported."""


class Reason(Enum):
    """The reason why a shard is recalled."""

    OVERDUE = auto()
    """It takes far longer than expected."""
    SOONER_ELSEWHERE = auto()
    """It waits, and other members would end it sooner."""


@dataclass(slots=True)
class Duplicate:
    """Two shards in flight that carry the same pieces: the second in case the first fails.

    Attributes:
        original: The number of the first.
        hedge: The number of the second.
        winner: The number of the one whose result counts, once one has claimed that.
        unsettled: The one that ended first, and how: the pieces that it did not bring wait until it
            is known what became of the other.
    """

    original: int
    hedge: int
    winner: int | None = None
    unsettled: "tuple[ShardFinished, Flight] | None" = None

    def other(self, shard: int) -> int:
        """Return the number of the other one."""
        return self.hedge if shard == self.original else self.original


@dataclass(slots=True, kw_only=True)
class Flight:
    """A shard in flight.

    Attributes:
        shard: The shard.
        member: Where.
        group: The pieces, and the members that must not take them.
        submitted: When it was sent, in seconds of the loop's clock.
        expected_end: When it is expected to end.
        foreseen_seconds: How long it was expected to take as it was sent; 0 where nothing was known
            of the speed of its member.
        giveup_at: From when on nobody waits for it any more, if its member is unhealthy.
        recall_at: From when on it is asked back from a member that seems healthy.
        phase: Whether it is being taken back.
        reason: Why it is asked back, or was before it was cancelled; ``None`` if it is not.
        times_kept: How often it was overdue and stayed where it is.
        duplicate: The pair that it belongs to, if it has a duplicate or is one.
        separable: Whether its pieces may run apart from the rest of their rows and PUBs.
        alone: Whether its member had nothing else of ours when it was sent.
        queued_until: When its provider last said that it waits in the queue.
        started: When its provider first said that it does not.
        seconds: How long its member worked on it, once that is known.
        retried: Whether it took more than one try, so that its time tells nothing of a speed.
        probing: Whether it was sent to find out whether its member is healthy again.
        adopted: Whether an earlier process sent it.
        price: The price of its present try.
        compiled: What its circuits are on its member on average, if that is known.
        ran_shots: How many shots its member ran, summed over circuits, where these are known to be
            fewer than it was asked for.
    """

    shard: Shard
    member: str
    group: Group
    submitted: float
    expected_end: float = math.inf
    foreseen_seconds: float = 0.0
    giveup_at: float = math.inf
    recall_at: float = math.inf
    phase: Phase = Phase.FLYING
    reason: Reason | None = None
    times_kept: int = 0
    duplicate: Duplicate | None = None
    separable: bool = False
    alone: bool = False
    queued_until: float | None = None
    started: float = math.inf
    seconds: float = 0.0
    retried: bool = False
    probing: bool = False
    adopted: bool = False
    price: Price = FREE
    compiled: Compiled | None = None
    ran_shots: int | None = None

    @property
    def load(self) -> Load:
        """Its work, with the shots that its job asks for."""
        return Load(self.shard.circuits, self.shard.circuits * self.shard.shots)

    @property
    def circuit_shots(self) -> int:
        """Shots summed over circuits: the shots that ran if that is known, else the requested ones."""
        asked = self.shard.circuits * self.shard.shots
        return asked if self.ran_shots is None else self.ran_shots

    @property
    def may_be_asked(self) -> bool:
        """It is neither being asked back nor cancelled."""
        return self.phase in {Phase.FLYING, Phase.KEPT}

    @property
    def is_movable(self) -> bool:
        """It may be asked back, or have a duplicate: neither was done yet, and it is no probe."""
        untouched = self.phase is Phase.FLYING and self.duplicate is None
        return untouched and not self.probing and not self.adopted

    @property
    def is_beaten(self) -> bool:
        """Its duplicate has brought the pieces: they are not its own any more."""
        pair = self.duplicate
        return pair is not None and pair.winner not in {None, self.shard.index}

    def wait_seconds(self, now: float) -> tuple[float, float]:
        """Return the least and the most time that it can have waited in the queue."""
        queued_until = self.submitted if self.queued_until is None else self.queued_until
        return queued_until - self.submitted, min(self.started, now) - self.submitted

    # -- transitions -----------------------------------------------------------------------------

    def ask_back(self, reason: Reason) -> None:
        """Its provider is asked to cancel it."""
        assert self.may_be_asked, self.phase  # noqa: S101
        self.phase, self.reason = Phase.ASKED_BACK, reason

    def keep(self, *, may_ask_again: bool = False) -> None:
        """Its provider did not give it back: it flies on."""
        assert self.phase is Phase.ASKED_BACK, self.phase  # noqa: S101
        self.phase, self.reason = Phase.FLYING if may_ask_again else Phase.KEPT, None

    def cancel(self) -> None:
        """It is cancelled, whatever its provider says."""
        self.phase = Phase.CANCELLING
