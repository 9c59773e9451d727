"""The record of one attempt, and its outcomes."""

from dataclasses import dataclass
from enum import StrEnum

from qiskit_gateway.work.tasks import Piece

# Why an attempt counts as cancelled whose job ran to its end: the job that it doubled was first.
SURPLUS = "what it brought had arrived before"


class AttemptOutcome(StrEnum):
    """The state or outcome of an attempt. A member equals its text: ``AttemptOutcome.DONE == "done"``.

    Attributes:
        RUNNING: In progress.
        DONE: Everything arrived.
        SHORT: Something is missing.
        FAILED: Nothing arrived.
        REFUSED: A verdict; nothing was sent.
        UNKNOWN: It is unknown whether the provider took it.
        CANCELLED: It was taken back, or the run ended before it did.
    """

    RUNNING = "running"
    DONE = "done"
    SHORT = "short"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"

    @property
    def delivered(self) -> bool:
        """A result arrived, whole or not."""
        return self in {AttemptOutcome.DONE, AttemptOutcome.SHORT}


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try to run one shard on one member, as it is reported.

    Attributes:
        shard: Number of the shard in the run.
        member: Where.
        number: Which try of the shard there, from 1.
        pieces: What it covered.
        circuits: Circuits of the job.
        shots: Shots of each circuit, as asked for.
        ran_shots: Shots that its provider ran, summed over circuits, where these are known to be
            fewer than were asked for; otherwise ``None``.
        job_id: The provider's id, where the provider took the job and gave one.
        submitted_seconds: When it was handed over, in seconds from the start of the run.
        accepted_seconds: When the provider had taken it; ``None`` if it did not.
        started_seconds: When it began to run, as its provider told; ``None`` where that is not known.
            A provider that is asked from time to time tells it late by up to a tenth of the time
            that the job has waited, 30 s at most.
        finished_seconds: When its end was known; ``None`` while it runs.
        price_usd: What it did cost where ``charged``; else what it is expected to, by the shots that
            ran once these are known; 0 where the provider is known not to have taken it, or to have
            cancelled it.
        free_units: What it uses of its member's allowance, likewise, in units of that.
        charged: Whether the provider has said what it charged.
        outcome: Its state, or how it ended.
        failure: What went wrong, for people.
    """

    shard: int
    member: str
    number: int
    pieces: tuple[Piece, ...]
    circuits: int
    shots: int
    ran_shots: int | None = None
    job_id: str = ""
    submitted_seconds: float = 0.0
    accepted_seconds: float | None = None
    started_seconds: float | None = None
    finished_seconds: float | None = None
    price_usd: float = 0.0
    free_units: float = 0.0
    charged: bool = False
    outcome: AttemptOutcome = AttemptOutcome.RUNNING
    failure: str = ""

    def __post_init__(self) -> None:
        self.outcome = AttemptOutcome(self.outcome)  # Its text will do.

    @property
    def circuit_shots(self) -> int:
        """Shots summed over circuits: the shots its provider ran, as far as that is known."""
        return self.circuits * self.shots if self.ran_shots is None else self.ran_shots

    @property
    def taken_back(self) -> bool:
        """It was cancelled for certain, or came to the same as another: no failure of its member."""
        return self.outcome is AttemptOutcome.CANCELLED and self.failure in {"", SURPLUS}

    @property
    def costs(self) -> bool:
        """It costs something: money or part of an allowance."""
        return bool(self.price_usd or self.free_units)
