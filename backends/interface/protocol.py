"""What a fleet is made of: the four verbs that every member speaks.

Implementing:
    A provider that needs its own handling is a subclass of
    :class:`~qiskit_gateway.backends.adapter.backend_member.Member` that overrides a verb, or any class with the
    attributes and the four async methods of :class:`FleetMember`. The verbs may await, and must
    not block the event loop. They raise :class:`~qiskit_gateway.backends.failures.errors.BackendError`
    for failures and :class:`~qiskit_gateway.backends.failures.errors.Refused` for work that cannot run
    there, and nothing else. They set no deadlines of their own and do not retry: whoever calls
    them does both, and may cancel them at any await.

    A member may also have ``async find(key) -> Handle | None``: look for the job of a batch by the
    batch's key, for a submission whose answer was lost. ``None`` says for certain that the
    provider has no such job; whatever cannot be told is a ``BackendError``. Where that can be known
    beforehand to be of no use, ``finds`` is false, and submissions have all the time of their deadline.

    And it may have ``async estimate(program) -> Estimate``: tell what a program would be there,
    its gates, fidelity and time, without sending anything; ``Refused`` where it cannot run. Prices
    of gates and policies that read the fidelity go by it; without it they know of no gates and of
    no fidelity but the member's own.

    It may also have ``was_sent(batch) -> bool``: whether a submission that was left unanswered may
    have reached the provider; without it, any may have.

    It may also have ``async started(handle) -> bool | None``: whether a job has begun to run, so
    that to cancel it would lose work; ``None`` where the provider does not say.

    And it may have ``costs_nothing``: whether it was said that nothing is paid there; without it, that
    is what a ``pricing`` of ``Pricing()`` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
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
        """Return why a program cannot run here, as far as can be told at once, or ``""``."""
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
