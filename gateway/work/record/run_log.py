"""The log of a run, as the run sees it: the port that a journal fills."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.errors import JournalError
from qiskit_gateway.policies.budget import Budget
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.record.remaining import Past
from qiskit_gateway.work.record.run_status import RunStatus
from qiskit_gateway.work.speed_evidence import SpeedEvidence

Write = Callable[[], object]
# A process on another machine that works on a run is taken for dead after this many missed beats.
SILENT_BEATS = 4


class TakenOverError(JournalError):
    """A run that this process worked on belongs to another one now, or was forgotten."""


class DeniedError(JournalError):
    """An attempt for which the runs of a journal together have no room.

    Attributes:
        verdict: Why.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The limits of an attempt over all processes that use a journal; ``None`` is no limit.

    Attributes:
        max_in_flight: Most jobs at once on its member.
        submissions_per_minute: Most jobs handed to its member in any minute.
        allotment: What its member does for nothing.
        sharers: The members that share the allotment.
        used_otherwise: Units of it that were used by others than the runs of the journal.
        budget: What may be spent.
        user: On whose behalf it is.
        is_local: Whether its member belongs to this process, and its jobs end with that.
    """

    max_in_flight: int | None = None
    submissions_per_minute: int | None = None
    allotment: Allotment | None = None
    sharers: frozenset[str] = frozenset()
    used_otherwise: float = 0.0
    budget: Budget | None = None
    user: str = ""
    is_local: bool = False

    @property
    def claims_nothing(self) -> bool:
        """A job that costs nothing takes nothing that anybody else could miss."""
        counted = self.budget is not None and self.budget.counts_free_jobs
        return self.is_local and self.allotment is None and not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftJob:
    """A job in flight of another process, which may have died.

    Attributes:
        key: The attempt: its run, its shard, its number.
        member: Where.
        party: Whose it is.
        provider_job_id: The provider's id; ``""`` where that is not known.
        lives: Whether somebody works on its run; ``None`` where only their beats tell.
        heard: What changes whenever something is heard of them.
    """

    key: tuple[str, int, int]
    member: str
    party: str
    provider_job_id: str
    lives: bool | None
    heard: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The last that a process has found of a member.

    Attributes:
        kind: What it is about: ``"health"`` or ``"queue"``.
        member: The member.
        age_seconds: How long ago that was.
        facts: Plain data.
        mark: What no other sighting in the journal has.
    """

    kind: str
    member: str
    age_seconds: float
    facts: Mapping[str, Any]
    mark: tuple[object, ...] = ()


class RunLog:
    """The log of a run, from which another process can take the run over; this one writes nothing.

    Subclassing:
        Override all of it. :meth:`perform` is called in the event loop, one call after the other,
        and calls those that write, wherever they may block. Once it has returned, what they were
        told must survive the process. It raises a :class:`~qiskit_gateway.errors.JournalError` if
        nothing can be written now, after which it is called again with the same and more. So
        writing something twice must be as good as once.

    Attributes:
        lasting: Whether anything is written down at all. Where it is, a run that is torn down
            leaves its jobs with their providers.
        beat_seconds: How often :meth:`beat` is to be called.
        look_seconds: How often :meth:`look` is to be called.
        place: Where it is written, the same for all runs of one journal.
        past: What was done before.
        cancel_asked: Whether the run is to be cancelled, as of the last :meth:`perform` or
            :meth:`look`.
    """

    lasting = False
    beat_seconds = look_seconds = 0.0
    place = ""
    past = Past()
    cancel_asked = False

    async def perform(self, writes: Sequence[Write]) -> tuple[JournalError | None, ...]:
        """Call other methods, in order; say of each why what it was told can never be written.

        Raises:
            TakenOverError: If another process works on the run.
            JournalError: If nothing can be written now.
        """
        return (None,) * len(writes)

    async def count_elsewhere(self) -> dict[str, int]:
        """Count the jobs that other processes have in flight, by member.

        Raises:
            JournalError: If that cannot be read now.
        """
        return {}

    async def list_left_behind(self, members: Sequence[str]) -> list[LeftJob]:
        """List the jobs that other processes have in flight at some members.

        Raises:
            JournalError: If that cannot be read now.
        """
        return []

    async def list_sightings(self) -> list[Sighting]:
        """List what other processes have found of members.

        Raises:
            JournalError: If that cannot be read now.
        """
        return []

    async def free(self, job: LeftJob) -> None:
        """Give back the slot of a job of a process that died, which is over.

        Raises:
            JournalError: If that cannot be written now.
        """

    def leave(self, writes: Sequence[Write]) -> None:
        """Call other methods later, once that is possible; the run is over and waits for nothing."""

    def abandon(self) -> None:
        """Work on the run no more; it may not be written that it is so."""

    def record_intent(self, attempt: Attempt, seed: int | None, terms: Terms | None = None) -> None:
        """Write down that an attempt is about to be made; if that fails, it must not be made.

        Raises:
            DeniedError: If all runs that are written down together have no room for it.
        """

    def record_acceptance(self, attempt: Attempt) -> None:
        """Write down that a provider has taken an attempt, and under which id."""

    def record_start(self, attempt: Attempt) -> None:
        """Write down when an attempt began to run."""

    def record_outcomes(
        self, attempt: Attempt, outcomes: Sequence[Outcome], seconds: float
    ) -> None:
        """Write down what an attempt brought, and when, in seconds from the start of the run."""

    def record_end(self, attempt: Attempt, *, taken: bool = True) -> None:
        """Write down how an attempt ended that brought nothing, and whether its provider took it."""

    def record_standing(
        self, kind: str, member: str, seconds: float, facts: Mapping[str, Any]
    ) -> None:
        """Record the present state of something, in place of the last.

        Args:
            kind: What it is about.
            member: Whom it is about; ``""`` for the run.
            seconds: Since when, from the start of the run.
            facts: Plain data, fit for JSON.
        """

    def record_sighting(
        self, kind: str, member: str, facts: Mapping[str, Any], *, age_seconds: float = 0.0
    ) -> None:
        """Record for other processes what was found of a member, and how long ago."""

    def record_speeds(self, speeds: Mapping[str, SpeedEvidence]) -> None:
        """Write down what jobs taught of members' speeds."""

    async def look(self) -> None:
        """Read whether a cancel or the like was asked for, without waiting for writers.

        Raises:
            TakenOverError: If another process works on the run.
            JournalError: If that cannot be read now.
        """

    def beat(self) -> None:
        """Record that the run is alive; if that fails, another process has taken it."""

    def close(self, status: RunStatus) -> None:
        """Record the final state of the run and give up its lease."""


NO_RUN_LOG = RunLog()
