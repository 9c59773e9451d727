"""The events of a run as frozen values: the vocabulary of observers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from qiskit_gateway.work.record.attempt import AttemptOutcome
from qiskit_gateway.work.tasks import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """Base class of all events of a run.

    Attributes:
        job_id: The run: ``RouterJob.job_id()``.
        seconds: When, in seconds since the run began.
    """

    job_id: str
    seconds: float


class RunObserver(Protocol):
    """Told of every event of the runs over a fleet: ``Fleet(..., observers=[...])``.

    Implementing:
        ``on_event`` is called in a thread of its own, one event at a time, in the order in which
        they happened. It may block or raise: that holds up no run. Events that come while too many
        wait are dropped and counted. Handle the types that you know, and ignore others: more may
        come in later versions.
    """

    def on_event(self, event: RunEvent) -> None:
        """Take in an event."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlanned(RunEvent):
    """The work is known and the first shards are about to be sent.

    Attributes:
        circuits: Circuits of the run.
        shots: Shots, summed over circuits.
        members: Members of the fleet.
        settled: Whether cuts and members are fixed beforehand, as they are with a seed.
    """

    circuits: int
    shots: int
    members: int
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEvent(RunEvent):
    """Base class of the events of one shard.

    Attributes:
        shard: Its number in the run.
        member: The member that it is about.
    """

    shard: int
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSubmitted(ShardEvent):
    """A job is about to be handed to a provider.

    Attributes:
        attempt: Which try of the shard there, from 1.
        circuits: Circuits of the job.
        shots: Shots of each.
        pieces: What of the work it covers.
    """

    attempt: int
    circuits: int
    shots: int
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardAccepted(ShardEvent):
    """A provider has taken a job.

    Attributes:
        circuits: Circuits of the job.
        shots: Shots of each.
        provider_job_id: The provider's id, ``""`` where it gave none.
    """

    circuits: int
    shots: int
    provider_job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStarted(ShardEvent):
    """A provider says that it runs a job; one that ends before it is asked says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFinished(ShardEvent):
    """A job came back.

    Attributes:
        circuits: Circuits that succeeded.
        circuit_shots: Shots that arrived, summed over circuits.
    """

    circuits: int
    circuit_shots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDenied(ShardEvent):
    """A job was not sent: all processes of the journal together have no room for it there now.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRetried(ShardEvent):
    """A try failed, and the same member is tried again after a wait.

    Attributes:
        attempt: Which try failed.
        wait_seconds: How long until the next one.
        reason: Why it failed.
    """

    attempt: int
    wait_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFailed(ShardEvent):
    """A job failed for good at its member; its work goes elsewhere or is given up.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRefused(ShardEvent):
    """A member cannot run some of a shard; nothing was sent.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMoved(ShardEvent):
    """Work that others failed at, or gave back, goes to this member.

    Attributes:
        from_members: Those others.
    """

    from_members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecalled(ShardEvent):
    """A provider gave back a job that it had not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallFailed(ShardEvent):
    """A provider was asked to give a job back, and did not.

    Attributes:
        answered: Whether it answered at all.
        reason: Why not.
    """

    answered: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyReserved(ShardEvent):
    """The expected price of a try is set aside.

    Attributes:
        usd: In USD.
        free_units: Units of the member's allowance, set aside beside it.
    """

    usd: float
    free_units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneySettled(ShardEvent):
    """A try is over, and its price known.

    Attributes:
        usd: In USD; 0 where nothing was sent.
        free_units: Units of the member's allowance, used beside it.
        outcome: What became of the try.
        reason: What went wrong, for people.
    """

    usd: float
    free_units: float
    outcome: AttemptOutcome = AttemptOutcome.DONE
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRead(RunEvent):
    """The rest of the budget was read: at the start of a run, and whenever a shard has ended.

    Attributes:
        left_usd: What may still be spent by the tightest of its limits on all members, in USD.
            What is set aside for jobs in flight is not left.
    """

    left_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEjected(RunEvent):
    """A member gets no work for a while.

    Attributes:
        member: Its name.
        wait_seconds: How long; infinity for the rest of the run.
        reason: Why.
        elsewhere: Whether another process of the journal has ejected it.
    """

    member: str
    wait_seconds: float
    reason: str
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecovered(RunEvent):
    """A member that was ejected did a shard again.

    Attributes:
        member: Its name.
    """

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDown(RunEvent):
    """No member is healthy: work waits, and they are probed one at a time.

    Attributes:
        reason: Why the last of them is not.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeldUp(RunEvent):
    """Nothing is in flight, and no member may take what waits; told again only once work was done since.

    Attributes:
        reasons: Why each member does not take it.
    """

    reasons: Mapping[str, tuple[str, ...]]

    @property
    def reason(self) -> str:
        """All of them as one text."""
        return ", ".join(f"{name}: {'; '.join(why)}" for name, why in self.reasons.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsDelayed(RunEvent):
    """A decision of the run took so long that all runs of the process were held up; told once a run.

    Attributes:
        delay_seconds: How long it took.
        reason: Which code of the user's own was called for it.
    """

    delay_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRead(RunEvent):
    """A member's queue was read.

    Attributes:
        member: Its name.
        wait_seconds: How long a job waits, if that was told.
        pending_jobs: How many jobs wait, if that was told.
    """

    member: str
    wait_seconds: float | None
    pending_jobs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotsDropped(RunEvent):
    """Shots will not be done; one event for each reason.

    Attributes:
        shots: How many, summed over circuits.
        reason: Why.
        quiet: Whether the user knows already: the run was cancelled, or its error says so at once.
    """

    shots: int
    reason: str
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFailed(RunEvent):
    """The journal cannot be written now, or something never; the run continues where it can.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(RunEvent):
    """A run is over.

    Attributes:
        attempts: Attempts, those of earlier processes included.
        members: Members that were tried.
        price_usd: Expected price, failed attempts included.
        given_up: Pieces that were not done.
        shots_dropped: Their shots, summed over circuits.
        reason: Why most of them were not; ``""`` where all was done.
        quiet: Whether nobody need be told of that: the run was cancelled.
    """

    attempts: int
    members: int
    price_usd: float
    given_up: int
    shots_dropped: int = 0
    reason: str = ""
    quiet: bool = False
