"""What is recorded of a run: every attempt, and where that is written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qiskit_gateway.backends.outcomes import Outcome
from qiskit_gateway.unfinished import Unfinished
from qiskit_gateway.workload import Piece

CHECK = -1
"""In place of the number of a shard: a job by which a member is checked, ``Member(check=True)``."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try to run one shard on one member, as it is reported.

    Attributes:
        shard: Number of the shard in the run, or :data:`CHECK`.
        member: Where.
        number: Which try of the shard there, or which job of a check in the run, from 1.
        pieces: What it covered; nothing in a check.
        circuits: Circuits of the job.
        shots: Shots of each circuit, as asked for.
        job_id: The provider's id, where the provider took the job and gave one.
        submitted_seconds: When it was handed over, in seconds from the start of the run.
        accepted_seconds: When the provider had taken it; ``None`` if it did not.
        finished_seconds: When its end was known; ``None`` while it runs.
        price_usd: What it is expected to cost; 0 where the provider is known not to have taken it,
            or to have cancelled it.
        free_units: What it is expected to use of its member's allowance, in units of that.
        outcome: ``"running"``, ``"done"``, ``"short"`` (something is missing), ``"failed"``,
            ``"refused"`` (a verdict, nothing was sent), ``"unknown"`` (nobody knows whether the
            provider took it), or ``"cancelled"``.
        failure: What went wrong, for people.
    """

    shard: int
    member: str
    number: int
    pieces: tuple[Piece, ...]
    circuits: int
    shots: int
    job_id: str = ""
    submitted_seconds: float = 0.0
    accepted_seconds: float | None = None
    finished_seconds: float | None = None
    price_usd: float = 0.0
    free_units: float = 0.0
    outcome: str = "running"
    failure: str = ""

    @property
    def costs(self) -> bool:
        """Return whether it costs anything, money or part of an allowance."""
        return bool(self.price_usd or self.free_units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was done of a run before this process took it up.

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


class Diary(Protocol):
    """Where a run is written down while it goes on, so that another process can take it up.

    Implementing:
        All methods are called in the event loop and must be quick, except :meth:`arrived` and
        :meth:`tidy`, which may be called in a thread. Once :meth:`intended` has returned, what it
        was told must survive the process. Any may raise a
        :class:`~qiskit_gateway.errors.JournalError`.

    Attributes:
        lasting: Whether anything is written down at all. Where it is, a run that is torn down
            leaves its jobs with their providers.
        beat_seconds: How often :meth:`beat` is to be called.
        past: What was done before.
    """

    lasting: bool
    beat_seconds: float
    past: Past

    def intended(self, attempt: Attempt, seed: int | None) -> None:
        """Write down that an attempt is about to be made; if that fails, it must not be made."""
        ...

    def accepted(self, attempt: Attempt) -> None:
        """Write down that a provider has taken an attempt, and under which id."""
        ...

    def arrived(self, attempt: Attempt, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Write down what an attempt brought, and when, in seconds from the start of the run."""
        ...

    def ended(self, attempt: Attempt) -> None:
        """Write down how an attempt ended that brought nothing."""
        ...

    def beat(self) -> None:
        """Write down that the run goes on; if that fails, another process has taken it."""
        ...

    def closed(self, state: str) -> None:
        """Write down how the run stands, and let go of it."""
        ...

    @property
    def wants_tidying(self) -> bool:
        """Return whether :meth:`tidy` should be called."""
        ...

    def tidy(self) -> None:
        """Do what takes time."""
        ...


class NoDiary:
    """Write nothing down."""

    lasting = False
    beat_seconds = 0.0
    past = Past()
    wants_tidying = False

    def intended(self, attempt: Attempt, seed: int | None) -> None:
        """Do nothing."""

    def accepted(self, attempt: Attempt) -> None:
        """Do nothing."""

    def arrived(self, attempt: Attempt, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Do nothing."""

    def ended(self, attempt: Attempt) -> None:
        """Do nothing."""

    def beat(self) -> None:
        """Do nothing."""

    def closed(self, state: str) -> None:
        """Do nothing."""

    def tidy(self) -> None:
        """Do nothing."""


NO_DIARY = NoDiary()
