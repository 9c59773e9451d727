"""The member protocol: the four verbs that every member speaks.

Implementing:
    A provider that needs its own handling is a subclass of
    :class:`~qiskit_gateway.backends.adapter.backend_member.Member` that overrides a verb, or any class with the
    attributes and the four async methods of :class:`FleetMember`. The verbs may await, and must
    not block the event loop. They raise :class:`~qiskit_gateway.backends.failures.errors.BackendError`
    for failures and :class:`~qiskit_gateway.backends.failures.errors.Refused` for work that cannot run
    there, and nothing else. They set no deadlines of their own and do not retry: the caller
    them does both, and may cancel them at any await.

    What a member can do beside that, it shows by having the methods of a protocol below, in any
    combination: :class:`CanEstimate`, :class:`RemembersEstimates`, :class:`CanFind`, :class:`CanPrepare`, :class:`TellsIfItFinds`, :class:`TellsIfLocal`,
    :class:`TellsStarted`, :class:`TellsStage`, :class:`AnnouncesStart`, :class:`KnowsUnsent`,
    :class:`TellsQueue`, :class:`ProbesQueue`, :class:`TellsOptions`, :class:`TellsIfFree`,
    :class:`TellsSpeed`, :class:`TellsProvider`, :class:`TellsMachine`, :class:`TellsCharge`,
    :class:`CanQuote`. Nothing needs to be declared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, TypeGuard, TypeVar, runtime_checkable

from qiskit_gateway.backends.circuits.estimates import Estimate
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.queue_reading import Probe
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.rates import Tariff
from qiskit_gateway.backends.readout.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handle:
    """A job that a provider has taken.

    Attributes:
        job_id: The provider's own id, or ``""`` where it gave none.
        job: The provider's job object; ``None`` for a handle that was found again by id before
            anybody asked for its result.
        batch: What was submitted, where that is known.
    """

    job_id: str
    job: Any = None
    batch: Batch | None = None


Stage = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStage:
    """The stage of a job at its provider.

    Attributes:
        name: Where it is; ``None`` where the provider does not say, or in unknown words.
        said: What the provider calls that.
    """

    name: Stage | None = None
    said: str = ""


@runtime_checkable
class FleetMember(Protocol):
    """One backend in a fleet.

    Attributes:
        name: The label under which the router knows it; unique in a fleet.
        limits: What one job, and all jobs together, may be.
        pricing: What a job costs in USD, from its :class:`~qiskit_gateway.backends.pricing.rates.Usage`.
        weight: Share of the work under policies that weigh; relative, positive.
        tags: Free labels that filters may ask for.
        fidelity: Expected fidelity of its circuits in [0, 1], or ``None``.
        overlaps: Whether several of its jobs may be in flight at once where ``limits`` does not
            say how many.
    """

    name: str
    limits: Limits
    pricing: Tariff
    weight: float
    tags: frozenset[str]
    fidelity: float | None
    overlaps: bool

    def refusal(self, program: Program, shots: int, options: Mapping[str, Any]) -> str:
        """Give the reason why a program cannot run here, as far as can be told at once, or ``""``."""
        ...

    async def submit(self, batch: Batch) -> Handle:
        """Hand a batch to the provider as one job, and return as soon as it was taken."""
        ...

    async def collect(self, handle: Handle) -> Sequence[Outcome]:
        """Wait for a job and return one outcome per circuit, in the order of the batch."""
        ...

    async def cancel(self, handle: Handle) -> bool:
        """Ask the provider to cancel a job; return whether it confirmed that."""
        ...

    async def reattach(self, job_id: str) -> Handle:
        """Find a job again by the provider's id."""
        ...


# -- what a member may be able to do besides ---------------------------------------------------

Ability = TypeVar("Ability")


def able(member: object, ability: type[Ability]) -> TypeGuard[Ability]:
    """Check whether a member has the verbs of one of the protocols below.

    As ``isinstance`` does, but that no property is read to find out, which may take its time.
    """
    kind = type(member)
    # Runs ask this of each member again and again, so in the plainest way.
    for name in _names_of(ability):  # type: ignore[arg-type]
        if not hasattr(kind, name):
            if not hasattr(member, name):
                return False
        elif getattr(kind, name) is None:  # A class takes a verb back by None.
            return False
    return True


@cache
def _names_of(ability: type) -> tuple[str, ...]:
    return tuple(
        name
        for name in (*vars(ability), *vars(ability).get("__annotations__", ()))
        if name[0] != "_"
    )


@runtime_checkable
class CanEstimate(Protocol):
    """A member that tells what a program would be there.

    Prices of gates, and policies that read the fidelity, go by it. Of other members they know no
    gates, and no fidelity but the member's own.
    """

    async def estimate(self, program: Program) -> Estimate:
        """Estimate a program's gates, fidelity and time; send nothing.

        Raises:
            Refused: If it cannot run there.
        """
        ...


@runtime_checkable
class RemembersEstimates(Protocol):
    """A member that keeps the estimates that it has made."""

    def look_up_estimate(self, program: Program) -> Estimate | None:
        """Look up the estimate of a program, at once; ``None`` if it was not estimated before."""
        ...


@runtime_checkable
class CanFind(Protocol):
    """A member that can be asked for a job whose submission was not answered."""

    async def find(self, key: str) -> Handle | None:
        """Look for the job of a batch by the batch's key; ``None`` if there is certainly none.

        Raises:
            BackendError: If that cannot be told.
        """
        ...


@runtime_checkable
class TellsIfItFinds(Protocol):
    """A member that knows beforehand whether ``find`` is of any use.

    Where it is of none, a submission has all the time of its deadline.
    """

    @property
    def finds(self) -> bool:
        """True if ``find`` can answer."""
        ...


@runtime_checkable
class TellsStarted(Protocol):
    """A member that tells whether a job has begun to run, so that to cancel it would lose work."""

    async def started(self, handle: Handle) -> bool | None:
        """Check whether a job has begun; ``None`` if the provider does not say."""
        ...


@runtime_checkable
class AnnouncesStart(Protocol):
    """A member that says by itself when a job begins to run, so that nobody need ask."""

    def announce_start(self, handle: Handle, call: Callable[[], None]) -> None:
        """Call something in the event loop once a job begins, while its result is waited for."""
        ...


@runtime_checkable
class TellsStage(Protocol):
    """A member that tells how far a job is while its result is waited for.

    So a job is noticed that is over at its provider and never brings a result.
    """

    async def stage(self, handle: Handle) -> JobStage:
        """Return the stage of a job."""
        ...


@runtime_checkable
class ReadsTarget(Protocol):
    """A member that asks its provider once what the backend can do, before it compiles for it.

    Where a member has this, its estimates and preparations ask no provider, and may take their time.
    """

    async def read_target(self) -> None:
        """Ask, unless that is known. This is under the deadline of a submission.

        Raises:
            BackendError: If the provider could not be asked.
        """
        ...


@runtime_checkable
class CanPrepare(Protocol):
    """A member that has something to do before its provider is asked, such as compiling."""

    async def prepare(self, batch: Batch) -> None:
        """Do that. It may take its time: the deadline of a submission begins after it.

        Raises:
            Refused: If some entries cannot run here.
        """
        ...


@runtime_checkable
class TellsIfLocal(Protocol):
    """A member of which it is known whether it belongs to the process that uses it."""

    @property
    def is_local(self) -> bool:
        """True if its jobs run here, or on workers of this process, and end with it.

        Other processes have such members of their own: nothing of it is shared but its price.
        """
        ...


@runtime_checkable
class KnowsUnsent(Protocol):
    """A member that can rule out that an unanswered submission reached the provider."""

    def was_sent(self, batch: Batch) -> bool:
        """Check whether a submission that was left unanswered may have reached the provider."""
        ...


@runtime_checkable
class TellsCharge(Protocol):
    """A member whose provider says what it charged for a job that is done.

    It is asked once for each job that brought a result, before that counts.
    """

    async def charge(self, handle: Handle) -> Charge | None:
        """Return the charge for a job; ``None`` if the provider does not say."""
        ...


@runtime_checkable
class CanQuote(Protocol):
    """A member whose provider can be asked what a batch would cost, without sending it."""

    async def quote(self, batch: Batch) -> Charge | None:
        """Price a batch; ``None`` if the provider cannot be asked."""
        ...


@runtime_checkable
class TellsQueue(Protocol):
    """A member that knows how long its queue is, and tells it at once in the event loop."""

    def queue(self) -> Any:
        """Return the wait in seconds, or a ``QueueReading``; ``None`` if it is unknown."""
        ...


@runtime_checkable
class ProbesQueue(Protocol):
    """A member whose provider is asked how long its queue is, in a thread."""

    @property
    def queue_probe(self) -> Probe | None:
        """A function that reads the queue, and may block; ``None`` if there is none."""
        ...


@runtime_checkable
class TellsSpeed(Protocol):
    """A member that tells beforehand how long its jobs run."""

    @property
    def speed(self) -> Speed | None:
        """The declared time of jobs, without their queue; ``None`` if it is unknown."""
        ...


@runtime_checkable
class TellsProvider(Protocol):
    """A member that says whose it is.

    Before it was seen at work, it is expected to take as long as others of the same provider.
    """

    @property
    def provider(self) -> str:
        """The name of the provider; ``""`` if it is unknown."""
        ...


@runtime_checkable
class TellsMachine(Protocol):
    """A member that says on what its jobs run, where that is not its own.

    Members of one machine take turns: what one of them works on, the others wait for. Policies that
    count time give the work of a plan to one of them; the others are there for when that one fails.
    """

    @property
    def machine(self) -> str:
        """The name of the machine; ``""`` if the member has one of its own."""
        ...


@runtime_checkable
class TellsOptions(Protocol):
    """A member that says which options of ``backend.run`` it knows.

    An option of a run that some member knows goes to no member that does not.
    """

    @property
    def known_options(self) -> frozenset[str]:
        """The names of the options."""
        ...


@runtime_checkable
class TellsIfFree(Protocol):
    """A member of which it was said whether it costs anything.

    Of others, a ``pricing`` of ``Pricing()`` says that they cost nothing.
    """

    costs_nothing: bool
