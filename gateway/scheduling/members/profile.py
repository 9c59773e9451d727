"""Facts about a member that do not change during a run."""

from collections.abc import Callable
from dataclasses import dataclass, field

from qiskit_gateway.scheduling.backlog import Room
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.tasks import Load

_ANY = 1 << 62


def _free(_jobs: float, _circuits: float, _circuit_shots: float, _seconds: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProfile:
    """The facts about a member that do not change during a run.

    Attributes:
        name: The member.
        order: Its place in the fleet, from 0.
        weight: Its share under policies that weigh.
        tags: The user's labels.
        fidelity: Expected fidelity there, if known.
        max_circuits: Most circuits of a job, or ``None``.
        max_shots: Most shots of a job, or ``None``.
        min_shots: Fewest shots of a job.
        max_executions: Most circuits times shots of a job, or ``None``.
        max_payload_bytes: Most bytes of a job, or ``None``.
        max_in_flight: Most jobs at once, or ``None``.
        submissions_per_minute: Most submissions in any minute, or ``None``.
        overlaps: Whether its jobs may overlap where ``max_in_flight`` does not say.
        price: USD for given jobs, circuits, circuit-shots and seconds, and, where that is known,
            for circuits that are such on average; units of the allotment where there is one.
        allotment: What of it costs nothing; ``None`` where all is to be paid.
        free: Whether it was said that nothing is ever paid for it.
        job_fee_usd: The part of a job's price that does not depend on its size.
        provider: Whose it is; ``""`` where nobody knows.
        machine: What it shares with others, one of which works at a time; ``""`` where it shares nothing.
        shot_seconds: What a circuit-shot of the run takes on average, by the durations of what its
            circuits are compiled to, if known.
        told_seconds: What a job, a circuit and a circuit-shot take, as told beforehand, if so.
        most_shots: Most shots of a job of one circuit, or ``None``.
    """

    name: str
    order: int = 0
    weight: float = 1.0
    tags: frozenset[str] = frozenset()
    fidelity: float | None = None
    max_circuits: int | None = None
    max_shots: int | None = None
    min_shots: int = 1
    max_executions: int | None = None
    max_payload_bytes: int | None = None
    max_in_flight: int | None = None
    submissions_per_minute: int | None = None
    overlaps: bool = True
    price: Callable[..., float] = _free
    allotment: Allotment | None = None
    free: bool = True
    job_fee_usd: float = 0.0
    provider: str = ""
    machine: str = ""
    shot_seconds: float | None = None
    told_seconds: tuple[float, float, float] | None = None
    most_shots: int | None = field(init=False)

    def __post_init__(self) -> None:
        # Once: it is asked for with every estimate.
        limits = [limit for limit in (self.max_shots, self.max_executions) if limit]
        object.__setattr__(self, "most_shots", min(limits, default=None))

    def room(self, circuits: int = _ANY, *, most_shots: int | None = None) -> Room:
        """Return the largest size of a shard, within a number of circuits and shots."""
        return Room(
            circuits=circuits if self.max_circuits is None else min(circuits, self.max_circuits),
            max_shots=self.most_shots,
            min_shots=self.min_shots,
            executions=self.max_executions,
            payload_bytes=self.max_payload_bytes,
            most_shots=most_shots,
        )

    def most_circuits(self, shots: float) -> float | None:
        """Return the most circuits of a job, given the shots of each, or ``None``."""
        if self.max_executions is None:
            return self.max_circuits
        fit = max(1, self.max_executions // max(1.0, min(shots, self.max_executions)))
        return fit if self.max_circuits is None else min(fit, self.max_circuits)

    def usd(self, asked: float, left: float) -> float:
        """Return the expected price of a load, given the free units left.

        Where no more are sold, what does not fit is not done there, and nothing is paid.
        """
        if self.allotment is None:
            return asked
        return self.allotment.usd(asked, left) if self.allotment.sells_more else 0.0

    def jobs(self, load: Load) -> float:
        """Count the jobs in a load; less than one circuit is a circuit of fewer shots."""
        # With no call for what a member does not limit: this is asked all the time.
        circuits, jobs = load.circuits, 1.0
        shots = load.circuit_shots / circuits if circuits > 1 else load.circuit_shots
        most = self.max_circuits if self.max_executions is None else self.most_circuits(shots)
        if most and circuits > most:
            jobs = circuits / most
        most_shots = self.most_shots
        if most_shots is not None and shots > most_shots:
            jobs *= shots / most_shots
        return jobs
