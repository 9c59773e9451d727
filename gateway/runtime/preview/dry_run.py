"""A run tried out: the real scheduler and shell over models of the members, on a clock that jumps.

Members that are simulated take part as they are; real ones are replaced by a model of their
limits, tariff, queue, the speed that earlier runs over the fleet have taught, and what they say of
the circuits. Nothing is sent, and no shot is sampled.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, TypeVar

import anyio
import numpy as np

from qiskit_gateway.backends.adapter.queues import QueueWatch, can_be_read
from qiskit_gateway.backends.circuits.estimates import Estimate, GateCounts
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.protocol import FleetMember, Handle, TellsSpeed, able
from qiskit_gateway.backends.interface.queue_reading import QueueReading
from qiskit_gateway.backends.member_facts import costs_nothing
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.readout.decode import Dice
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.results.coverage import Coverage, book_outcomes
from qiskit_gateway.runtime.notifications.logs import silent_logger
from qiskit_gateway.runtime.preview.virtual_clock import JumpingLoop, work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.runtime.survey import (
    Answer,
    average_shot_seconds,
    foretell,
    profile_of,
    provider_of,
    quote_batch,
    read_declared_seconds,
)
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.state import FleetState, MemberState
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.speed_estimate import SpeedEstimate
from qiskit_gateway.work.tasks import Load, Piece, Shard
from qiskit_gateway.work.workload import Work

T = TypeVar("T")
Answers = Mapping[str, Mapping[int, Answer]]
"""What members said of programs: by member, and by identity of the program."""
JobKind = tuple[int, tuple[tuple[int, bytes], ...]]
"""What a job is, as far as its price goes: its shots; identity of each program, and its rows."""
Prices = Mapping[str, Mapping[JobKind, Charge]]
"""What providers said that jobs would cost: by member, and by what the job is."""

_QUEUE_SECONDS = 10.0
_PATIENCE_SECONDS = 86_400.0
_NO_GATES = GateCounts(num_1q=0, num_2q=0, num_measure=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """The facts a dry run starts from.

    Attributes:
        fleet_state: What the scheduler begins with; it is not changed.
        models: What the models of real members go by.
        origins: When the clocks of simulated members show 0, on the clock of the fleet's runs.
        now: At what time it begins, on the clock of the fleet's runs.
        answers: What members said of the circuits.
        prices: What providers said that jobs would cost; that is what they are taken to charge.
        wall: What the wall clock says then, in seconds: days of budgets go by it.
    """

    fleet_state: FleetState = field(default_factory=FleetState)
    models: Mapping[str, MemberState] = field(default_factory=dict)
    origins: Mapping[str, float | None] = field(default_factory=dict)
    now: float = 0.0
    answers: Answers = field(default_factory=dict)
    prices: Prices = field(default_factory=dict)
    wall: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A run that was tried out.

    Attributes:
        run: The run.
        fleet: The stand-ins.
        began: When it began, on the clock of the stand-ins.
    """

    run: Run
    fleet: Fleet
    began: float

    def find_start_seconds(self, attempt: Attempt) -> float:
        """Seconds from the start at which a job began to run, or ended if it never did."""
        end = attempt.finished_seconds
        assert end is not None  # noqa: S101  The run is over.
        member = self.fleet[attempt.member]
        assert isinstance(member, SimulatedMember)  # noqa: S101
        if not attempt.job_id:
            return end
        return min(member.job(attempt.job_id).started - self.began, end)


def rehearse(
    fleet: Fleet, policy: Policy, work: Work, prospect: Prospect, *, seed: int | None = None
) -> Rehearsal:
    """Try out a run. It blocks until that is done, which takes no longer than the deciding.

    Args:
        fleet: The fleet that the stand-ins are made of. It is not changed.
        policy: The rules.
        work: What to do, as stated for the fleet. Its stores are not written to.
        prospect: What is known before.
        seed: Seed of the simulated randomness.
    """
    seeds = np.random.SeedSequence(seed).generate_state(len(fleet) + 1).tolist()
    estimator = _make_estimator(fleet, work, prospect)
    busy = _estimate_busy_seconds(estimator, prospect.now)
    circuits = sum(task.rows for task in work.tasks)
    waiting = Load(circuits, sum(task.rows * task.shots for task in work.tasks))
    queues = {name: estimator.queue_seconds(name, waiting) for name in fleet.names}
    stand_ins = Fleet(
        [
            _make_stand_in(
                member,
                estimator.speed_of(member.name),
                prospect,
                seed=one,
                queue=_Queue(queues[member.name], busy.get(member.name, 0.0)),
            )
            for member, one in zip(fleet, seeds, strict=False)
        ]
    )
    prospect.fleet_state.copy_into(stand_ins.keep(FleetState))
    for name, seconds in busy.items():
        state = stand_ins.keep(FleetState).of(name)
        state.queue_seconds = max(state.queue_seconds, seconds)
    stores = tuple(_Books(task.rows, task.shots) for task in work.tasks)
    run = Run(
        "rehearsal",
        stand_ins,
        policy,
        replace(work, stores=stores),
        environment=Environment(
            draw=Random(seeds[-1]).random,  # noqa: S311  Jitter.
            log=silent_logger(),
            in_thread=work_at_once,
            clock=lambda: prospect.wall,
        ),
    )
    options = {"loop_factory": partial(JumpingLoop, prospect.now)}
    _run_in_thread(lambda: anyio.run(_execute, run, backend_options=options))
    return Rehearsal(run=run, fleet=stand_ins, began=prospect.now)


def ask_members(
    fleet: Fleet, work: Work, names: Collection[str], *, seconds: float
) -> dict[str, dict[int, Answer]]:
    """Ask real members what the programs of some work are there. Blocks, and sends nothing.

    Args:
        fleet: The fleet.
        work: The work, as stated for the fleet.
        names: The members to ask; simulated ones are not.
        seconds: How long each may take over a program.
    """
    answers: dict[str, dict[int, Answer]] = {name: {} for name in names}
    curious = [name for name in names if not isinstance(fleet[name], SimulatedMember)]

    async def ask_all() -> None:
        async with anyio.create_task_group() as group:
            for name in curious:
                programs = [
                    program
                    for task, program in zip(work.tasks, work.programs, strict=True)
                    if task.rows and name not in task.refusals
                ]
                group.start_soon(foretell, fleet[name], programs, answers[name], seconds)

    if curious:
        _run_in_thread(lambda: anyio.run(ask_all))
    return answers


def ask_prices(fleet: Fleet, rehearsal: Rehearsal, work: Work, *, seconds: float) -> Prices:
    """Ask real members what the jobs of a rehearsal would cost. Blocks, and sends nothing.

    Args:
        fleet: The real members.
        rehearsal: Whose jobs; of those that are alike, one is asked about.
        work: The work, as stated for the fleet.
        seconds: How long each member may take over a job. Once it has not answered it is not asked
            again.
    """
    prices: dict[str, dict[JobKind, Charge]] = {name: {} for name in fleet.names}

    async def ask(member: FleetMember, batches: Mapping[JobKind, Batch]) -> None:
        for kind, batch in batches.items():
            charge = await quote_batch(member, batch, seconds)
            if charge is None:
                return
            prices[member.name][kind] = charge

    async def ask_all() -> None:
        async with anyio.create_task_group() as group:
            for member in fleet:
                shards = [
                    Shard(index=one.shard, pieces=one.pieces, shots=one.shots)
                    for one in rehearsal.run.record
                    if one.member == member.name and one.outcome.delivered
                ]
                batches = [work.batch_of(shard, "") for shard in shards]
                group.start_soon(ask, member, {_kind_of(batch): batch for batch in batches})

    _run_in_thread(lambda: anyio.run(ask_all))
    return prices


def _kind_of(batch: Batch) -> JobKind:
    entries = ((id(entry.program), entry.rows.tobytes()) for entry in batch.entries)
    return batch.shots, tuple(entries)


def read_queues(fleet: Fleet, prospect: Prospect, policy: Policy) -> None:
    """Read the queues of real members anew where the last reading is too old. Blocks."""
    stale = [
        member
        for member in fleet
        if not isinstance(member, SimulatedMember)
        and can_be_read(member)
        and prospect.fleet_state.of(member.name).read_at + policy.queue_seconds <= prospect.now
    ]
    missing = {member.name for member in stale}

    async def read() -> None:
        with anyio.move_on_after(_QUEUE_SECONDS) as scope:

            def note(name: str, reading: QueueReading) -> None:
                for state in (prospect.fleet_state.of(name), prospect.models.get(name)):
                    if state is not None:
                        state.note_queue(reading.wait_seconds, reading.pending_jobs, prospect.now)
                missing.discard(name)
                if not missing:
                    scope.cancel()

            await QueueWatch().watch(stale, note, timeout_seconds=_QUEUE_SECONDS)

    if stale:
        _run_in_thread(lambda: anyio.run(read))


async def _execute(run: Run) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_see_that_it_moves, run)
        await run.execute()
        group.cancel_scope.cancel()


async def _see_that_it_moves(run: Run) -> None:
    """Stop a run that waits for what no model does, such as a shorter queue."""
    attempts = -1
    while attempts != len(run.record) or run.progress().shots_running:
        attempts = len(run.record)
        await anyio.sleep(_PATIENCE_SECONDS)
    run.stop("nothing is expected to change what it waits for")


def _estimate_busy_seconds(estimator: Estimator, now: float) -> dict[str, float]:
    """Estimate how long members will work on what other runs have in flight there."""
    return {
        name: max(0.0, estimator.jobs_seconds(name, state.load, len(state.in_flight)) - worked)
        for name, state in estimator.states.items()
        if state.in_flight
        for worked in [now - state.busy_since]
    }


def estimate_speeds(fleet: Fleet, work: Work, prospect: Prospect) -> dict[str, SpeedEstimate]:
    """Estimate how long jobs of each member run, before a run is tried out."""
    estimator = _make_estimator(fleet, work, prospect)
    return {name: estimator.speed_of(name) for name in fleet.names}


def _make_estimator(fleet: Fleet, work: Work, prospect: Prospect) -> Estimator:
    states = {member.name: _model(member, prospect) for member in fleet}
    profiles = {
        member.name: profile_of(
            member, order, shot_seconds=_average_shot_seconds(member, work, prospect)
        )
        for order, member in enumerate(fleet)
    }
    estimator = Estimator(profiles=profiles, states=states)
    estimator.refresh()
    return estimator


def _average_shot_seconds(member: FleetMember, work: Work, prospect: Prospect) -> float | None:
    answers = prospect.answers.get(member.name, {})
    return average_shot_seconds(work, member.name, lambda program: answers.get(id(program)))


def _model(member: FleetMember, prospect: Prospect) -> MemberState:
    """Model a member from advance knowledge, declared speeds included."""
    state = prospect.models.get(member.name) or MemberState()
    if (told := read_declared_seconds(member)) is not None:
        state.speed.tell(told)
    return state


@dataclass(frozen=True, slots=True)
class _Queue:
    """What waits at a member before a run is tried out, in seconds: jobs of others, and of ours."""

    others: float
    ours: float

    def tell_wait(self, now: float, _: object) -> float:
        """Tell how long a job waits: what ours take goes by, the queue of others is as it was read."""
        return max(self.others, self.ours - now)


class _Books:
    """A store that only keeps the books."""

    def __init__(self, rows: int, shots: int) -> None:
        self._coverage = Coverage(rows, shots)

    def receive(self, piece: Piece, outcomes: Sequence[Outcome], dice: Dice) -> Receipt:
        return book_outcomes(self._coverage, piece, outcomes)


class _StandIn(SimulatedMember):
    """A model of a real member, which says of circuits what that one said.

    Attributes:
        answers: What that was.
        prices: What its provider said that jobs would cost.
        costs_nothing: Whether it was said that that one costs nothing.
        provider: Whose that one is.
    """

    answers: Mapping[int, Answer]
    prices: Mapping[JobKind, Charge]
    costs_nothing: bool
    provider: str

    async def estimate(self, program: Program) -> Estimate:
        """Pass on the estimate of the real member; without one, no gates are known."""
        answer = self.answers.get(id(program))
        if isinstance(answer, BackendError):
            raise answer
        return Estimate(gates=_NO_GATES) if answer is None else answer

    def look_up_estimate(self, program: Program) -> Estimate | None:
        """Look up the estimate of the real member, which was made by now."""
        answer = self.answers.get(id(program))
        return answer if isinstance(answer, Estimate) else None

    def refusal(self, program: Program, shots: int, options: Mapping[str, Any]) -> str:
        """Give the reason why a program cannot run there, or ``""``."""
        answer = self.answers.get(id(program))
        if isinstance(answer, Refused):
            return answer.reasons[0]
        return super().refusal(program, shots, options)

    async def charge(self, handle: Handle) -> Charge | None:
        """Charge what the provider has said."""
        return None if handle.batch is None else self.prices.get(_kind_of(handle.batch))


def _make_stand_in(
    member: FleetMember, speed: SpeedEstimate, prospect: Prospect, *, seed: int, queue: _Queue
) -> SimulatedMember:
    if isinstance(member, SimulatedMember):
        same = copy(member)
        same.reseed(seed)
        same.start_clock(prospect.origins.get(member.name))
        return same
    answers = prospect.answers.get(member.name, {})
    stand_in = _StandIn(
        member.name,
        limits=member.limits
        if member.limits.num_qubits
        else replace(member.limits, num_qubits=1 << 20),
        pricing=member.pricing,
        weight=member.weight,
        tags=member.tags,
        fidelity=member.fidelity,
        queue_seconds=queue.tell_wait if queue.ours > queue.others else queue.others,
        job_seconds=speed.job_seconds,
        circuit_seconds=speed.circuit_seconds,
        shot_seconds=speed.shot_seconds,
        seed=seed,
    )
    stand_in.speed = member.speed if able(member, TellsSpeed) else None
    stand_in.provider = provider_of(member)
    stand_in.overlaps = member.overlaps
    stand_in.answers = answers
    stand_in.prices = prospect.prices.get(member.name, {})
    stand_in.costs_nothing = costs_nothing(member)
    return stand_in


def _run_in_thread(function: Callable[[], T]) -> T:
    """Call a function that runs an event loop, also where the caller's thread has one running."""
    answers: list[T] = []
    failures: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(function())
        except BaseException as error:  # noqa: BLE001  Raised to the caller below.
            failures.append(error)

    # A daemon, so that a user who interrupts the wait can end the program.
    thread = threading.Thread(target=call, name="qiskit-gateway rehearsal", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]
