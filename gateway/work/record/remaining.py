"""The remaining work of a run that an earlier process began."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.tasks import Piece, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A piece that has not arrived and that no provider is known to have.

    Attributes:
        piece: The piece.
        unknown: Members whose submission status is unknown, with the reason.
        paid: Those of them that would charge for it a second time.
        failed: Members that failed at it, with the reason; they get it only when no other is left.
    """

    piece: Piece
    unknown: Mapping[str, str] = field(default_factory=dict)
    paid: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flying:
    """A shard that a provider has, or may have.

    Attributes:
        shard: The shard.
        member: Where.
        number: Which try of the shard there it is, from 1.
        job_id: The provider's id; ``""`` where it is not known whether the provider took it.
        price_usd: What it costs.
        free_units: What it takes of its member's allotment.
    """

    shard: Shard
    member: str
    job_id: str
    number: int = 1
    price_usd: float = 0.0
    free_units: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Earlier spending on one member.

    Attributes:
        member: Its name.
        usd: In USD.
        shots: Shots, summed over circuits.
        attempts: Jobs.
    """

    member: str
    usd: float
    shots: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """The remaining work of a run.

    Attributes:
        left: What has not arrived and is not in flight.
        flights: What providers have, or may have.
        spent: What was spent before, by members, flights not counted.
        next_shard: The first number that no shard has had.
    """

    left: tuple[Left, ...] = ()
    flights: tuple[Flying, ...] = ()
    spent: tuple[Spent, ...] = ()
    next_shard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The part of a run that earlier processes did.

    Attributes:
        attempts: The attempts, in order; those in flight are ``"running"``.
        done: By member, how many circuits and shots have arrived.
        seconds: How long ago the run began.
        unfinished: What is left to do; ``None`` for a run that begins now.
    """

    attempts: tuple[Attempt, ...] = ()
    done: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0
    unfinished: Unfinished | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A piece that will not be done.

    Attributes:
        piece: The piece.
        pub: Number of the PUB that it belongs to.
        reasons: Why, by member name; the empty name for reasons that concern no member.
    """

    piece: Piece
    pub: int
    reasons: Mapping[str, str]

    @property
    def why(self) -> str:
        """The reasons as one line."""
        return "; ".join(f"{name}: {why}" if name else why for name, why in self.reasons.items())

    @property
    def place(self) -> str:
        """The lost rows and shots, as one line."""
        piece = self.piece
        rows = f"rows {piece.row_start} to {piece.row_stop - 1}"
        return f"pub {self.pub}, {rows}, {piece.shots} shots each"

    def __str__(self) -> str:
        """Return the place and the reasons as one line."""
        return f"{self.place}: {self.why}"
