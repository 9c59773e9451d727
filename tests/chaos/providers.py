"""Providers without threads, for a clock that jumps: they keep their jobs, keep books, and misbehave.

A :class:`Provider` outlives the processes that use it. It computes results of its own for circuits
whose every shot can be recognised (:mod:`chaos.circuits`), and lets the same steps act on them that
:class:`~qiskit_gateway.backends.ScriptedBackend` has, told apart and translated by the real code:
only waiting is done here in another way, because a step that blocks would stop the clock.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import numpy as np
from chaos import circuits
from chaos.books import Ask, Job
from chaos.money import meter_of
from chaos.steps import AcceptsThenHangs, EndsSilently, Refuses, StopsWaiting, are_unlike
from qiskit.providers import JobError
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData

from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.translate import translate
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import Handle, JobStage
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.rates import Pricing, Usage
from qiskit_gateway.backends.readout.outcomes import read
from qiskit_gateway.backends.scripted.spoiled_results import Swaps
from qiskit_gateway.backends.scripted.steps import Call, Hangs, Step, Together

FOREVER = math.inf
# The code of circuits that are in no scenario.
NOBODYS_CODE = 255


@dataclass(slots=True, kw_only=True)
class Nature:
    """How a provider is.

    Attributes:
        fault_rate: How often something is wrong with a call of ``submit``.
        faults: Of what kinds that is: each makes a step.
        outages: When it is down, in seconds; jobs that run then are lost where it is ``frail``.
        lets_cancel: Whether it cancels jobs on request.
        looks_up: Whether it knows jobs by their ids.
        finds: Whether it knows them by our name for them.
        says_when: Whether it says of a job that it runs.
        tells_stage: Whether it says how far a job is, and so that it is over.
        every: A step that happens to all jobs, such as :class:`PoisonRow`.
    """

    submit_seconds: float = 0.1
    queue_seconds: float = 0.0
    job_seconds: float = 1.0
    circuit_seconds: float = 0.1
    fault_rate: float = 0.0
    faults: tuple[Callable[[random.Random], Step], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    frail: bool = False
    lets_cancel: bool = True
    looks_up: bool = True
    finds: bool = False
    says_when: bool = True
    counts_only: bool = False
    tells_stage: bool = False
    every: Step | None = None


@dataclass(eq=False)
class Provider:
    """A provider that keeps its jobs, as a member of a fleet.

    Attributes:
        jobs: Those that it has taken, by id.
        batches: Those that it was asked to take, whether it did or not.
        asks: When it was asked for jobs, and what it answered.
    """

    name: str
    nature: Nature
    seed: int
    serials: "object"
    limits: Limits = field(default_factory=Limits)
    pricing: Pricing | Allowance = field(default_factory=Pricing)
    weight: float = 1.0
    tags: frozenset = frozenset()
    fidelity: float | None = None
    overlaps: bool = True
    unique: bool = True
    jobs: dict = field(default_factory=dict)
    batches: list = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)

    def __post_init__(self):
        self._rng = random.Random(self.seed)

    def forget(self):
        """Be a provider that nobody has asked yet."""
        self.jobs.clear()
        self.batches.clear()
        self.asks.clear()

    # -- the verbs -------------------------------------------------------------------------------

    def refusal(self, program, shots, options):
        return ""

    async def submit(self, batch: Batch) -> Handle:
        self.batches.append(batch)
        call = self._call(batch)
        await anyio.sleep(self.nature.submit_seconds)
        if isinstance(call.step, Refuses):
            raise Refused({0: "it does not fit"})
        with Translated("submit"):
            self._check_up()
            await _before("run", call)
            job = self._taken(batch, call)
            await anyio.sleep(self.nature.submit_seconds)
            if any(isinstance(step, AcceptsThenHangs) for step in leaves(call.step)):
                await anyio.sleep_forever()
            call.step.taken(call)
        return Handle(job_id=job.job_id, job=job, batch=batch)

    async def collect(self, handle: Handle):
        result = await self._answered(handle)
        wirings = [circuits.wiring(e.program) for e in handle.batch.entries for _ in e.rows]
        batch = handle.batch
        return read(result, wirings, batch.kept_shots, asked=batch.shots)

    async def _answered(self, handle: Handle):
        job = self.jobs[handle.job_id]
        steps = leaves(job.call.step)
        patience = min(
            (one.seconds for one in steps if isinstance(one, StopsWaiting)), default=FOREVER
        )
        wait_ends = anyio.current_time() + patience
        with Translated("collect"):
            if any(isinstance(one, EndsSilently) for one in steps):
                await job.over.wait()
            with anyio.CancelScope(deadline=min(job.ready, wait_ends)):
                await job.over.wait()
            if not job.cancelled and anyio.current_time() < job.ready:
                raise BackendError("our wait is over", submitted=True, unfinished=True)
            if job.cancelled:
                job.told = True
                raise JobError(f"job {job.job_id} was cancelled")
            self._check_up()
            if self.nature.frail and any(job.taken < down < job.ready for down in self._downs()):
                job.told = True
                raise JobError("the job was lost in an outage")
            await self._deliver(job)
            result = job.call.step.edit(self._result(job), job.call)
        job.told = True
        self._note(job, result)
        return result

    async def cancel(self, handle: Handle) -> bool:
        job = self.jobs[handle.job_id]
        job.let_go.append(anyio.current_time())
        with Translated("cancel"):
            await _before("cancel", job.call)
            self._check_up()
            if self.nature.lets_cancel and anyio.current_time() < job.ready:
                job.cancelled = True
                job.over.set()
            await _before("status", job.call)
        return job.cancelled

    async def started(self, handle: Handle) -> bool | None:
        job = self.jobs[handle.job_id]
        job.let_go.append(anyio.current_time())  # Asking that begins so.
        with Translated("cancel"):
            await _before("status", job.call)
            self._check_up()
        if not self.nature.says_when:
            return None
        return anyio.current_time() >= job.taken + self.nature.queue_seconds

    async def stage(self, handle: Handle) -> JobStage:
        if not self.nature.tells_stage:
            return JobStage()
        job, now = self.jobs[handle.job_id], anyio.current_time()
        with Translated("cancel"):
            await _before("status", job.call)
            self._check_up()
        ends = [one.stage for one in leaves(job.call.step) if isinstance(one, EndsSilently)]
        if job.cancelled:
            return JobStage(name="cancelled", said="CANCELLED")
        if now < job.ready:
            waits = now < job.taken + self.nature.queue_seconds
            return JobStage(name="queued" if waits else "running", said="...")
        if ends:
            job.told = True
            return JobStage(name=ends[0], said=ends[0].upper())
        return JobStage(name="done", said="DONE")

    async def reattach(self, job_id: str) -> Handle:
        await anyio.sleep(self.nature.submit_seconds)
        job = self.jobs.get(job_id)
        with Translated("reattach"):
            if self._answer(job_id, job, can_tell=self.nature.looks_up) is None:
                raise JobError(f"there is no job {job_id}")
        return Handle(job_id=job_id, job=job)

    async def find(self, key: str) -> Handle | None:
        await anyio.sleep(self.nature.submit_seconds)
        found = next((job for job in self.jobs.values() if job.batch.key == key), None)
        with Translated("reattach"):
            job = self._answer(key, found, can_tell=self.nature.finds)
            if job is None and not self.nature.finds:
                raise BackendError(f"{self.name} cannot look for jobs", transient=False)
        return None if job is None else Handle(job_id=job.job_id, job=job)

    # -- what happens ----------------------------------------------------------------------------

    def _downs(self):
        return [down for down, _ in self.nature.outages]

    def _is_down(self):
        now = anyio.current_time()
        return any(down <= now < up for down, up in self.nature.outages)

    def _check_up(self):
        if self._is_down():
            raise ConnectionRefusedError(111, "Connection refused")

    def _answer(self, name: str, job: Job | None, *, can_tell: bool) -> Job | None:
        """Return a job, where the provider can tell; take note that it was asked."""
        down = self._is_down()
        answer = "yes" if job is not None else "no"
        answer = "down" if down else answer if can_tell else "cannot tell"
        self.asks.append(Ask(at=anyio.current_time(), name=name, answer=answer))
        self._check_up()
        return job if can_tell else None

    def _call(self, batch: Batch) -> Call:
        nature, rng = self.nature, self._rng
        step = rng.choice(nature.faults)(rng) if rng.random() < nature.fault_rate else Step()
        if nature.every is not None:
            step = nature.every + step
        return Call(
            number=len(self.batches) - 1,
            sent=tuple(circuits.blank(e.program.num_bits) for e in batch.entries for _ in e.rows),
            options={"shots": batch.shots, "codes": codes_of(batch)},
            step=step,
            rng=np.random.default_rng(rng.getrandbits(32)),
        )

    def _taken(self, batch: Batch, call: Call) -> Job:
        now, nature, codes = anyio.current_time(), self.nature, codes_of(batch)
        seconds = nature.queue_seconds + nature.job_seconds + nature.circuit_seconds * len(codes)
        serial = next(self.serials)
        usage = Usage(circuits=len(codes), shots=len(codes) * batch.shots)
        job = Job(
            serial=serial,
            job_id=f"{self.name}-{serial}",
            batch=batch,
            call=call,
            codes=codes,
            taken=now,
            ready=now + seconds + _held_seconds("result", call.step),
            units=meter_of(self.pricing)(usage),
            over=anyio.Event(),
        )
        self.jobs[job.job_id] = job
        return job

    async def _deliver(self, job: Job):
        """Let the steps spoil the call; what says that the job is over says so for good."""
        try:
            for step in leaves(job.call.step):
                if not isinstance(step, Hangs):
                    step.before("result", job.call)
        except Exception as error:
            # A connection that breaks says nothing of the job, which is done all the same.
            job.told = not isinstance(error, ConnectionError)
            raise

    def _result(self, job: Job) -> Result:
        rng = np.random.default_rng([self.seed, job.serial])
        shots, number, experiments = job.batch.shots, 0, []
        programs = [entry.program for entry in job.batch.entries for _ in entry.rows]
        for position, (program, code) in enumerate(zip(programs, job.codes, strict=True)):
            if program.basis is None:
                serials = [(job.serial, number + shot) for shot in range(shots)]
                serials = serials if self.unique else [(0, 0)] * shots
                values = circuits.shots_of(program.circuit, code, serials, rng)
            else:
                values = [circuits.bits_of(code, program.basis, job.serial, position)] * shots
            number += shots
            experiments.append(_experiment(values, shots, counts_only=self.nature.counts_only))
        return Result(results=experiments)

    def _note(self, job: Job, result):
        """Keep what the result that is told has, position by position, as anybody could count it."""
        experiments = getattr(result, "results", None)
        experiments = list(experiments) if isinstance(experiments, list) else []
        if experiments and result.success is False and all(one.success for one in experiments):
            experiments = []  # The job failed, whatever it holds.
        shown, origins = list(job.codes), list(range(len(job.codes)))
        job.ran = 0
        for step in leaves(job.call.step):
            if isinstance(step, Swaps) and max(step.i, step.j) < len(shown):
                shown[step.i], shown[step.j] = shown[step.j], shown[step.i]
                origins[step.i], origins[step.j] = origins[step.j], origins[step.i]
                job.swapped |= {shown[step.i], shown[step.j]}
        for position, code in enumerate(job.codes):
            whole = len(experiments) == len(job.codes)
            job.shown[code].add(shown[position])
            bits = job.call.sent[position].num_clbits
            usable = _usable(experiments[position], bits) if whole else 0
            job.usable[code].append((position, min(usable, job.batch.kept_shots)))
            job.ran += usable or job.batch.shots  # What fails has run, too.
            if usable:
                job.good.add(origins[position])
        # What is short was not run, and is not billed.
        job.units = meter_of(self.pricing)(Usage(circuits=len(job.codes), shots=job.ran))


class Translated:
    """Turn what a provider raises into facts, as the adapter does."""

    def __init__(self, phase):
        self._phase = phase

    def __enter__(self):
        return None

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception) and not isinstance(error, BackendError):
            raise translate(error, phase=self._phase) from error


def leaves(step: Step) -> list[Step]:
    """Return the steps that a step is made of."""
    if isinstance(step, Together):
        return [leaf for part in step.steps for leaf in leaves(part)]
    return [step]


async def _before(moment, call):
    for step in leaves(call.step):
        if not isinstance(step, Hangs):
            step.before(moment, call)
        elif step.at == moment:
            await anyio.sleep(FOREVER if step.seconds is None else step.seconds)


def _held_seconds(moment, step):
    held = [one for one in leaves(step) if isinstance(one, Hangs) and one.at == moment]
    return sum(FOREVER if one.seconds is None else one.seconds for one in held)


def codes_of(batch: Batch) -> tuple[int, ...]:
    """Return the code of the row of each circuit: its parameter."""
    return tuple(int(row[0]) for entry in batch.entries for row in entry.rows)


def _experiment(values, shots, *, counts_only):
    texts = [hex(value) for value in values]
    counts = defaultdict(int)
    for text in texts:
        counts[text] += 1
    data = {"counts": dict(counts)} if counts_only else {"counts": dict(counts), "memory": texts}
    return ExperimentResult(shots=shots, success=True, data=ExperimentResultData(**data))


def _usable(experiment, bits):
    """Return how many shots an experiment has that can be believed."""
    counts = getattr(experiment.data, "counts", None) or {}
    memory = getattr(experiment.data, "memory", None) or []
    whole = all(math.isfinite(n) and n >= 0 and n == int(n) for n in counts.values())
    narrow = all(int(name, 16) < 1 << bits for name in counts)
    disowned = not experiment.success or str(getattr(experiment, "status", "")).startswith("ERROR")
    if not whole or not narrow or disowned:
        return 0
    total = int(sum(counts.values()))
    if memory and total and are_unlike(counts, memory):
        return 0  # One of them is of something else.
    # Counts that were rounded do not add up; a memory that is whole does.
    return len(memory) if total < len(memory) == experiment.shots else total
