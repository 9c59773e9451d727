"""What a run would take and cost: the real scheduler and shell, on a virtual clock.

Members that are simulated take part as they are; real backends are stood in for by a model of
their limits, tariff, queue, and the speed that earlier runs over the fleet have taught. Nothing
is sent, and no shot is sampled.
"""

import math
import threading
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from math import prod
from random import Random
from typing import Any, TypeVar

import anyio
import numpy as np
from qiskit.primitives.containers import SamplerPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.batch import Program
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.member import FleetMember
from qiskit_gateway.backends.outcomes import Outcome
from qiskit_gateway.backends.simulated import SimulatedMember
from qiskit_gateway.clock import JumpingLoop
from qiskit_gateway.dispatch import Run
from qiskit_gateway.events import GivenUp
from qiskit_gateway.logs import silent_logger
from qiskit_gateway.merge import Coverage, Receipt, book_outcomes
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.report import table
from qiskit_gateway.router import Backends, Router, parameter_rows
from qiskit_gateway.standing import FleetStanding, Standing
from qiskit_gateway.work import Work
from qiskit_gateway.workload import Piece, Task

T = TypeVar("T")

# What a real backend is taken to be where nothing was learned of its speed.
_CIRCUIT_SECONDS = 1e-3
_SHOT_SECONDS = 1e-6


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
    """

    member: str
    submitted_seconds: float
    started_seconds: float
    finished_seconds: float
    circuits: int
    shots: int
    price_usd: float
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberUse:
    """What one member did in a simulated run.

    Attributes:
        jobs: Jobs that delivered.
        failures: Jobs that did not.
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
    """What came of a simulated run.

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

    def __str__(self) -> str:
        """Return a table of the members, with the makespan and the cost above it."""
        rows = [["member", "jobs", "failures", "circuits", "shots", "busy s", "USD"]]
        for name, use in self.members.items():
            numbers = [use.jobs, use.failures, use.circuits, use.shots]
            rows.append(
                [name, *map(str, numbers), f"{use.busy_seconds:.1f}", f"{use.cost_usd:.4f}"]
            )
        head = f"{self.makespan_seconds:.1f} s, {self.cost_usd:.4f} USD"
        lost = [f"not done: {one}" for one in self.given_up]
        return "\n".join([head, table(rows), *lost])


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
    router = Router(fleet, policy)
    seeds = np.random.SeedSequence(seed).generate_state(len(router.fleet) + 1).tolist()
    known = router.fleet.keep(FleetStanding).members
    stand_ins = Fleet(
        [_stand_in(member, known, one) for member, one in zip(router.fleet, seeds, strict=False)]
    )
    work = _stated(router, pubs, 1024 if shots is None else shots)
    draw = Random(seeds[-1]).random  # noqa: S311  Jitter.
    log = silent_logger()
    run = Run(
        "simulation",
        stand_ins,
        router.policy,
        work,
        draw=draw,
        log=log,
        inline_shots=math.inf,
        clock=lambda: 0.0,  # The first day begins with it.
    )
    _on_virtual_clock(run)
    return _told(run, stand_ins)


class _Books:
    """A store that only keeps the books."""

    def __init__(self, rows: int, shots: int) -> None:
        self._coverage = Coverage(rows, shots)

    def receive(
        self, piece: Piece, outcomes: Sequence[Outcome], rng: np.random.Generator
    ) -> Receipt:
        return book_outcomes(self._coverage, piece, outcomes)


def _stated(router: Router, pubs: Iterable[SamplerPubLike], shots: int) -> Work:
    coerced = [SamplerPub.coerce(pub, shots) for pub in pubs]
    programs: dict[int, Program] = {}
    for pub in coerced:
        programs.setdefault(id(pub.circuit), Program(circuit=pub.circuit))
    sizes = [(prod(pub.shape), int(pub.shots or 0)) for pub in coerced]
    work = Work(
        tasks=tuple(
            Task(index=index, rows=rows, shots=each, group=index)
            for index, (rows, each) in enumerate(sizes)
        ),
        programs=tuple(programs[id(pub.circuit)] for pub in coerced),
        rows=tuple(parameter_rows(pub.parameter_values, pub.circuit) for pub in coerced),
        stores=tuple(_Books(*size) for size in sizes),
    )
    return router.stated(work)


def _stand_in(member: FleetMember, known: dict[str, Standing], seed: int) -> SimulatedMember:
    """Return a member to simulate with, in place of one of the fleet."""
    if isinstance(member, SimulatedMember):
        same = copy(member)
        same.reseed(seed)
        same.start_clock(None)
        return same
    standing = known.get(member.name, Standing())
    speed, learned = standing.speed, bool(standing.speed.jobs)
    width = member.limits.num_qubits
    return SimulatedMember(
        member.name,
        limits=member.limits if width else replace(member.limits, num_qubits=1 << 20),
        pricing=member.pricing,
        weight=member.weight,
        tags=member.tags,
        fidelity=member.fidelity,
        queue_seconds=standing.queue_seconds,
        job_seconds=speed.overhead_seconds,
        circuit_seconds=speed.circuit_seconds if learned else _CIRCUIT_SECONDS,
        shot_seconds=speed.shot_seconds if learned else _SHOT_SECONDS,
        seed=seed,
    )


def _on_virtual_clock(run: Run) -> None:
    """Execute a run on a loop of its own, also where the caller's thread has one running."""
    failure: list[BaseException] = []

    def live() -> None:
        try:
            anyio.run(run.execute, backend_options={"loop_factory": JumpingLoop})
        except BaseException as error:  # noqa: BLE001  Raised to the caller below.
            failure.append(error)

    thread = threading.Thread(target=live, name="qiskit-gateway simulation")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


def _told(run: Run, fleet: Fleet) -> Simulation:
    shards = tuple(_shard(attempt, fleet) for attempt in run.record)
    assert run.ended is not None  # noqa: S101
    return Simulation(
        makespan_seconds=run.seconds,
        cost_usd=sum(shard.price_usd for shard in shards),
        members={name: _use(name, shards) for name in fleet.names},
        shards=shards,
        given_up=run.ended.given_up,
    )


def _shard(attempt: Any, fleet: Fleet) -> SimulatedShard:
    member = fleet[attempt.member]
    assert isinstance(member, SimulatedMember)  # noqa: S101
    end = attempt.finished_seconds
    # The clock of a simulation begins at 0, with the run.
    started = member.job(attempt.job_id).started if attempt.job_id else end
    return SimulatedShard(
        member=attempt.member,
        submitted_seconds=attempt.submitted_seconds,
        started_seconds=min(started, end),
        finished_seconds=end,
        circuits=attempt.circuits,
        shots=attempt.shots,
        price_usd=attempt.price_usd,
        succeeded=attempt.outcome in {"done", "short"},
    )


def _use(name: str, shards: Sequence[SimulatedShard]) -> MemberUse:
    mine = [shard for shard in shards if shard.member == name]
    done = [shard for shard in mine if shard.succeeded]
    return MemberUse(
        jobs=len(done),
        failures=len(mine) - len(done),
        circuits=sum(shard.circuits for shard in done),
        shots=sum(shard.circuits * shard.shots for shard in done),
        busy_seconds=sum(shard.finished_seconds - shard.started_seconds for shard in mine),
        cost_usd=sum(shard.price_usd for shard in mine),
    )
