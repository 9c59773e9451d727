"""Simulate a run's duration and cost: the real scheduler and shell, on a virtual clock.

Members that are simulated take part as they are; real backends are replaced by a model of
their limits, tariff, queue, and the speed that earlier runs over the fleet have taught. Nothing
is sent, and no shot is sampled.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from html import escape
from math import prod
from typing import TYPE_CHECKING

from qiskit.primitives.containers import SamplerPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.fleet import Backends, Fleet
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.display.tables import Remark, render_html, write_table
from qiskit_gateway.display.units import span, usd
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.reporting.pictures import draw_timeline
from qiskit_gateway.reporting.timeline import arrange_timeline
from qiskit_gateway.runtime.preview.dry_run import Prospect, Rehearsal, ask_members, rehearse
from qiskit_gateway.runtime.survey import questions_of
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.preparation import prepare
from qiskit_gateway.work.pubs import read_parameter_rows
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.remaining import GivenUp
from qiskit_gateway.work.snapshots import Snapshots
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedShard:
    """One job of a simulated run; times in seconds from its start.

    Attributes:
        member: Where.
        submitted_seconds: When it was submitted.
        started_seconds: When it began to run; when it ended, if it never did.
        finished_seconds: When it ended.
        circuits: Circuits of the job.
        shots: Shots of each circuit.
        price_usd: What it cost.
        succeeded: Whether it delivered.
        taken_back: Whether it was cancelled, to be done elsewhere or not at all, which is no failure.
            A job that may still run, since nobody confirmed its cancelling, is one.
        outcome: As of an :class:`~qiskit_gateway.Attempt`.
        failure: What went wrong, for people.
    """

    member: str
    submitted_seconds: float
    started_seconds: float
    finished_seconds: float
    circuits: int
    shots: int
    price_usd: float
    succeeded: bool
    taken_back: bool = False
    outcome: AttemptOutcome = AttemptOutcome.DONE
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberUse:
    """The part of one member in a simulated run.

    Attributes:
        jobs: Jobs that delivered.
        failures: Jobs that failed. One that was taken back, to go elsewhere, did not.
        circuits: Circuits delivered.
        shots: Shots delivered, summed over circuits.
        busy_seconds: How long jobs ran there.
        cost_usd: What it is paid.
    """

    jobs: int = 0
    failures: int = 0
    circuits: int = 0
    shots: int = 0
    busy_seconds: float = 0.0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The outcome of a simulated run.

    Attributes:
        makespan_seconds: From start to end.
        cost_usd: In all, failed jobs included.
        members: Use by member.
        shards: Every job, in order of submission.
        given_up: What was not done, and why.
    """

    makespan_seconds: float
    cost_usd: float
    members: dict[str, MemberUse]
    shards: tuple[SimulatedShard, ...]
    given_up: tuple[GivenUp, ...] = field(default=())

    def draw(self) -> "Figure":
        """Draw the timeline: each job by member, with queue, run, failure and recall told apart.

        Returns:
            A matplotlib figure; a notebook shows it, and ``savefig(path)`` writes it.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        attempts = [_make_attempt(number, shard) for number, shard in enumerate(self.shards)]
        title = f"simulated: {span(self.makespan_seconds)}, {usd(self.cost_usd)}"
        return draw_timeline(arrange_timeline(attempts, self.makespan_seconds), title)

    def __str__(self) -> str:
        """A table of the members, with the makespan and the cost above it."""
        lost = [f"not done: {one}" for one in self.given_up]
        return "\n".join([self._head(), write_table(self._rows()), *lost])

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        lost = tuple(Remark(str(one)) for one in self.given_up)
        remarks = [Remark("not done", lost)] if lost else []
        members = render_html(self._rows(), remarks, footed=False)
        return f"<div><strong>simulated: {escape(self._head())}</strong>{members}</div>"

    def _head(self) -> str:
        return f"{self.makespan_seconds:.1f} s, {self.cost_usd:.4f} USD"

    def _rows(self) -> list[list[str]]:
        rows = [["member", "jobs", "failures", "circuits", "shots", "busy s", "USD"]]
        for name, use in self.members.items():
            numbers = [use.jobs, use.failures, use.circuits, use.shots]
            rows.append(
                [name, *map(str, numbers), f"{use.busy_seconds:.1f}", f"{use.cost_usd:.4f}"]
            )
        return rows


def simulate(
    fleet: Backends,
    pubs: Iterable[SamplerPubLike],
    *,
    policy: Policy | None = None,
    shots: int | None = None,
    seed: int | None = None,
) -> Simulation:
    """Run PUBs over a fleet on a virtual clock, by the scheduler and shell of a real run.

    Args:
        fleet: A fleet, or whatever makes one. It is not changed.
        pubs: Sampler PUBs.
        policy: The rules; the default finishes soonest.
        shots: Shots of PUBs that do not say; 1024 by default.
        seed: Seed of the simulated randomness: queues, durations, failures, jitter. It settles no
            cuts, as ``seed_simulator`` of a sampler does.

    Returns:
        Makespan, cost, use of the members, and every job.
    """
    fleet, policy = Fleet.coerce(fleet), Policy.coerce(policy)
    policy.check_names(fleet.names)
    work = prepare(_prepare_pubs(pubs, 1024 if shots is None else shots), fleet, Snapshots())
    known = fleet.keep(FleetState).members
    names = questions_of(fleet, policy)
    answers = ask_members(fleet, work, names, seconds=policy.submit_seconds)
    # Of what is known of the fleet, only what real members are like is taken over, and what a
    # real run would know of speeds.
    models = {name: state.alone() for name, state in known.items()}
    begins = FleetState()
    for name, model in models.items():
        begins.of(name).speed = deepcopy(model.speed)
    prospect = Prospect(fleet_state=begins, models=models, answers=answers)
    rehearsal = rehearse(fleet, policy, work, prospect, seed=seed)
    return _build_simulation(rehearsal)


def _prepare_pubs(pubs: Iterable[SamplerPubLike], shots: int) -> Work:
    coerced = [SamplerPub.coerce(pub, shots) for pub in pubs]
    programs: dict[int, Program] = {}
    for pub in coerced:
        programs.setdefault(id(pub.circuit), Program(circuit=pub.circuit))
    tasks = tuple(
        Task(index=index, rows=prod(pub.shape), shots=int(pub.shots or 0), group=index)
        for index, pub in enumerate(coerced)
    )
    return Work(
        tasks=tasks,
        programs=tuple(programs[id(pub.circuit)] for pub in coerced),
        rows=tuple(read_parameter_rows(pub.parameter_values, pub.circuit) for pub in coerced),
        stores=(),
    )


def _build_simulation(rehearsal: Rehearsal) -> Simulation:
    run = rehearsal.run
    shards = tuple(_make_shard(rehearsal, attempt) for attempt in run.record)
    assert run.ended is not None  # noqa: S101
    return Simulation(
        makespan_seconds=run.seconds,
        cost_usd=sum(shard.price_usd for shard in shards),
        members={name: _sum_use(name, shards) for name in rehearsal.fleet.names},
        shards=shards,
        given_up=run.ended.given_up,
    )


def _make_shard(rehearsal: Rehearsal, attempt: Attempt) -> SimulatedShard:
    end = attempt.finished_seconds
    assert end is not None  # noqa: S101  The run is over.
    return SimulatedShard(
        member=attempt.member,
        submitted_seconds=attempt.submitted_seconds,
        started_seconds=rehearsal.find_start_seconds(attempt),
        finished_seconds=end,
        circuits=attempt.circuits,
        shots=attempt.shots,
        price_usd=attempt.price_usd,
        succeeded=attempt.outcome.delivered,
        taken_back=attempt.taken_back,
        outcome=attempt.outcome,
        failure=attempt.failure,
    )


def _make_attempt(number: int, shard: SimulatedShard) -> Attempt:
    began = shard.started_seconds < shard.finished_seconds or shard.succeeded
    return Attempt(
        shard=number,
        member=shard.member,
        number=1,
        pieces=(),
        circuits=shard.circuits,
        shots=shard.shots,
        submitted_seconds=shard.submitted_seconds,
        started_seconds=shard.started_seconds if began else None,
        finished_seconds=shard.finished_seconds,
        price_usd=shard.price_usd,
        outcome=shard.outcome,
        failure=shard.failure,
    )


def _sum_use(name: str, shards: Sequence[SimulatedShard]) -> MemberUse:
    mine = [shard for shard in shards if shard.member == name]
    done = [shard for shard in mine if shard.succeeded]
    return MemberUse(
        jobs=len(done),
        failures=sum(not shard.succeeded and not shard.taken_back for shard in mine),
        circuits=sum(shard.circuits for shard in done),
        shots=sum(shard.circuits * shard.shots for shard in done),
        busy_seconds=sum(shard.finished_seconds - shard.started_seconds for shard in mine),
        cost_usd=sum(shard.price_usd for shard in mine),
    )
