"""A member that only takes time: for simulating a fleet on a virtual clock.

It models when jobs start, end and fail, and nothing of quantum mechanics: every bit of every shot
is 0. It keeps no task running. As all times of a job are drawn when it is submitted, when each
job starts and ends is known at once, and a task that waits for one sleeps until then.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from math import inf
from numbers import Integral
from typing import Any

import anyio
import numpy as np
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from qiskit_gateway.arguments import check_amount, check_flag, check_real, is_finite
from qiskit_gateway.backends.circuits.estimates import Estimate, gate_counts
from qiskit_gateway.backends.failures.errors import BackendError, Refused, caller_fault, unknown_job
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.member_terms import MemberTerms, check_name, seed_sequence
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.member_facts import member_html
from qiskit_gateway.backends.pricing.rates import FREE, Tariff
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.backends.readout.packed_bits import num_bytes
from qiskit_gateway.backends.simulation.machine import Machine, SimulatedJob, Window

Duration = float | Callable[[float, np.random.Generator], float]
"""Seconds, or a callable of now, in seconds of the member's clock, and randomness."""
# Of times that are drawn, the mean of this many is told, which is off by a tenth of their spread.
_DRAWS = 100


class SimulatedMember:
    """A member that takes time and gives zeros: a model of timing only.

    Its machine runs ``parallel_jobs`` jobs at a time, in the order in which they may start, which
    is the time of submission plus the time in the queue behind the jobs of others. A job runs for
    ``job_seconds + circuits * circuit_seconds + circuits * shots * shot_seconds``. All of these
    are drawn when the job is submitted, from randomness of its own, so that they do not depend on
    what other members or jobs do.

    During an outage nothing can be submitted, cancelled or looked up, and no job starts. Jobs that
    run when one begins fail at that moment; those that wait stay in line.

    A job whose caller has gone away runs on, as it would at a provider, until it is cancelled.

    Its clock shows seconds since its first use in an event loop, or since :meth:`start_clock`. It
    serves one event loop at a time; in a new one it begins anew, and has no jobs.

    Args:
        name: Its label; a fleet makes it unique.
        num_qubits: Its width.
        limits: What a job may be; ``num_qubits`` given here wins. It enforces them, except for
            payload and rate.
        pricing: Any callable from a :class:`~qiskit_gateway.backends.pricing.rates.Usage` to USD.
        weight: Share of the work under policies that weigh; positive.
        tags: Free labels that filters may ask for.
        fidelity: Expected fidelity of its circuits in [0, 1].
        queue_seconds: How long a job waits behind those of others.
        job_seconds: The part of a job's run that does not depend on its size.
        circuit_seconds: For each circuit.
        shot_seconds: For each shot of each circuit.
        failure_rate: Share of the jobs that fail, at their end, in [0, 1].
        outages: Windows ``(start, end)`` in seconds of its clock; the end is not in it.
        parallel_jobs: How many jobs the machine runs at a time.
        told: Whether it tells beforehand how long its jobs run, as a user may of a backend; else
            that is found out, as it is of most.
        seed: Seed of its randomness; see :meth:`reseed`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is out of range, or the name is empty or has control characters.
    """

    def __init__(  # noqa: PLR0913  Each has its own word in a configuration.
        self,
        name: str,
        *,
        num_qubits: int = 127,
        limits: Limits | None = None,
        pricing: Tariff | None = None,
        weight: float = 1.0,
        tags: Iterable[str] = (),
        fidelity: float | None = None,
        queue_seconds: Duration = 0.0,
        job_seconds: Duration = 0.0,
        circuit_seconds: Duration = 0.0,
        shot_seconds: Duration = 0.0,
        failure_rate: float = 0.0,
        outages: Iterable[Window] = (),
        parallel_jobs: int = 1,
        told: bool = False,
        seed: int | Sequence[int] | None = None,
    ) -> None:
        check_name(name)  # Which has no default here.
        terms = MemberTerms(
            limits=limits, pricing=pricing, weight=weight, fidelity=fidelity, tags=tags
        )
        check_real("failure_rate", failure_rate)
        if not 0 <= failure_rate <= 1:
            raise ValueError(f"failure_rate must be in [0, 1], got {failure_rate!r}")
        _check_whole("parallel_jobs", parallel_jobs)
        if parallel_jobs < 1:
            raise ValueError(f"parallel_jobs must be positive, got {parallel_jobs!r}")
        check_flag("told", told)
        self.name = name
        self.limits = Limits(num_qubits=num_qubits).overridden_by(limits)
        self.pricing: Tariff = FREE if pricing is None else pricing
        self.weight = float(terms.weight)
        self.tags = frozenset(terms.tags)
        self.fidelity = terms.fidelity
        self.overlaps = True
        durations = {
            "queue_seconds": queue_seconds,
            "job_seconds": job_seconds,
            "circuit_seconds": circuit_seconds,
            "shot_seconds": shot_seconds,
        }
        self._durations = {
            what: given if callable(given) else _check_seconds(what, given)
            for what, given in durations.items()
        }
        self._failure_rate = float(failure_rate)
        self._outages = _windows(outages)
        self._parallel_jobs = parallel_jobs
        self.speed = self._average_speed() if told else None
        self._token: EventLoopToken | None = None
        self.reseed(seed)
        self.start_clock(None)

    def __repr__(self) -> str:
        return f"SimulatedMember({self.name!r})"

    def _repr_html_(self) -> str:
        """Render the member for a notebook."""
        return member_html(self)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have no jobs, and a clock that starts when they are first used."""
        unused = dict.fromkeys(("_token", "_origin", "_machine"))
        return {**self.__dict__, **unused, "_jobs": {}, "_numbers": count(1)}

    def _average_speed(self) -> Speed | None:
        """Average the times of its jobs; ``None`` where they take none."""
        draw = np.random.default_rng(0)
        means = {
            what: sum(_check_seconds(what, given(0.0, draw)) for _ in range(_DRAWS)) / _DRAWS
            if callable(given)
            else given
            for what, given in self._durations.items()
            if what != "queue_seconds"
        }
        return Speed(**means) if any(means.values()) else None

    def reseed(self, seed: int | Sequence[int] | None) -> None:
        """Start the randomness anew: the n-th job from here draws the same for the same seed."""
        self._seeds = seed_sequence(seed)
        self._readings = np.random.default_rng(self._seeds.spawn(1)[0])

    def start_clock(self, now: float | None) -> None:
        """Forget all jobs, and let the clock show 0 at a time of the event loop's clock.

        Args:
            now: When; ``None`` is when the member is next used.
        """
        self._token = None
        self._origin = now
        self._jobs: dict[str, SimulatedJob] = {}
        self._numbers = count(1)
        self._machine: Machine | None = None

    def origin(self) -> float | None:
        """The time at which its clock shows 0, on the clock of the event loop it runs in."""
        return self._origin if self._token == current_token() else None

    def queue(self) -> float:
        """Estimate the wait of a job submitted now behind those of others, in seconds.

        Where that is random, one more draw of it; jobs to be submitted do not draw another for it.
        """
        if not callable(self._durations["queue_seconds"]):
            return self._durations["queue_seconds"]
        return self._draw("queue_seconds", self._time()[0], self._readings)

    def refusal(self, program: Program, shots: int, options: Mapping[str, Any]) -> str:
        """Give the reason why a program cannot run here, or ``""``; it takes any options."""
        width, needed = self.limits.num_qubits, program.circuit.num_qubits
        if width is not None and needed > width:
            return f"needs {needed} qubits, has {width}"
        fewest = self.limits.min_shots
        if fewest is not None and shots < fewest:
            return f"needs at least {fewest} shots in a job, {shots} are asked for"
        return ""

    async def estimate(self, program: Program) -> Estimate:
        """Estimate a program by the gates of the circuit as it is written."""
        counts = gate_counts(program.circuit)
        if program.basis is not None:
            turned = sum(letter in "XY" for letter in program.basis)
            counts = replace(
                counts,
                num_1q=counts.num_1q + turned,
                num_measure=counts.num_measure + program.num_bits,
            )
        return Estimate(gates=counts, fidelity=self.fidelity)

    # -- the four verbs ----------------------------------------------------------------------

    async def submit(self, batch: Batch) -> Handle:
        """Put a job into the line.

        Raises:
            Refused: If some entries cannot run here.
            BackendError: During an outage, or if a limit is exceeded.
        """
        # The only await, and before anything is done: a cancelled caller leaves nothing behind.
        now, machine = await self._reach(submitted=False)
        self._require_room(batch, machine.busy(now))
        job = self._job(batch, now)
        self._jobs[job.job_id] = job
        machine.add(job, now)
        return Handle(job_id=job.job_id, job=job, batch=batch)

    async def collect(self, handle: Handle) -> Sequence[Outcome]:
        """Sleep until the job ends, and return zeros.

        Raises:
            BackendError: If it failed, was cancelled, or is not known.
        """
        await checkpoint()
        self._time()
        job = self.job(handle.job_id)
        while (now := anyio.current_time()) < job.finished:
            waits = job.announce is not None and now < job.started
            if not waits:
                _announce(job)
            with anyio.CancelScope(deadline=job.started if waits else job.finished):
                await job.moved.wait()
        _announce(job)
        if job.end != "done":
            raise _failure(self.name, job)
        return _zeros(job)

    async def cancel(self, handle: Handle) -> bool:
        """Take a job out of the line, or stop it; return whether it did not end otherwise.

        Raises:
            BackendError: During an outage, or if the job is not known.
        """
        now, machine = await self._reach(submitted=True)
        job = self.job(handle.job_id)
        if job.finished > now:
            machine.stop(job, now)
        return job.end == "cancelled"

    async def started(self, handle: Handle) -> bool:
        """Check whether a job has begun to run.

        Raises:
            BackendError: During an outage, or if the job is not known.
        """
        now, _ = await self._reach(submitted=True)
        return self.job(handle.job_id).started <= now

    def announce_start(self, handle: Handle, call: Callable[[], None]) -> None:
        """Call something once a job runs, while its result is waited for."""
        self.job(handle.job_id).announce = call

    async def reattach(self, job_id: str) -> Handle:
        """Find a job again by its id.

        Raises:
            BackendError: During an outage, or if the job is not known.
        """
        await self._reach(submitted=True)
        return Handle(job_id=job_id, job=self.job(job_id))

    # -- behind them -------------------------------------------------------------------------

    def _time(self) -> tuple[float, Machine]:
        """Return the event loop's time, and the machine in it."""
        token, now = current_token(), anyio.current_time()
        if self._token is not None and self._token != token:
            self.start_clock(None)
        self._token = token
        if self._machine is None:
            origin = self._origin = now if self._origin is None else self._origin
            outages = [(origin + start, origin + end) for start, end in self._outages]
            self._machine = Machine(self._parallel_jobs, outages)
        return now, self._machine

    def _job(self, batch: Batch, now: float) -> SimulatedJob:
        rng = np.random.default_rng(self._seeds.spawn(1)[0])
        wait, job, circuit, shot = (self._draw(what, now, rng) for what in self._durations)
        return SimulatedJob(
            job_id=f"{self.name}-{next(self._numbers)}",
            shape=tuple((entry.program.num_bits, entry.circuits) for entry in batch.entries),
            shots=batch.kept_shots,
            ready=now + wait,
            seconds=job + batch.circuits * (circuit + batch.shots * shot),
            fails=bool(rng.random() < self._failure_rate),
        )

    def _draw(self, what: str, now: float, rng: np.random.Generator) -> float:
        given = self._durations[what]
        if not callable(given):
            return given
        return _check_seconds(what, given(now - (self._origin or 0.0), rng))

    def job(self, job_id: str) -> SimulatedJob:
        """Return a job that was submitted, with its times as known now.

        Raises:
            BackendError: If there is none of that id.
        """
        if job_id not in self._jobs:
            raise unknown_job(f"{self.name} has no job {job_id!r}")
        return self._jobs[job_id]

    async def _reach(self, *, submitted: bool) -> tuple[float, Machine]:
        """Return the time and the machine, which must be up."""
        await checkpoint()
        now, machine = self._time()
        if machine.is_down(now):
            raise BackendError(
                f"{self.name} cannot be reached: it is down",
                transient=True,
                fault="network",
                submitted=submitted,
            )
        return now, machine

    def _require_room(self, batch: Batch, in_flight: int) -> None:
        reasons = {
            index: reason
            for index, entry in enumerate(batch.entries)
            if (reason := self.refusal(entry.program, batch.shots, batch.options))
        }
        if reasons:
            raise Refused(reasons)
        for what, amount, most in (
            ("circuits", batch.circuits, self.limits.max_circuits),
            ("shots", batch.shots, self.limits.max_shots),
            ("executions", batch.circuits * batch.shots, self.limits.max_executions),
        ):
            if most is not None and amount > most:
                raise caller_fault(f"{self.name} takes {most} {what} in a job, got {amount}")
        most = self.limits.max_in_flight
        if most is not None and in_flight >= most:
            raise BackendError(
                f"{self.name} takes {most} jobs at once", transient=True, throttled=True
            )


def _announce(job: SimulatedJob) -> None:
    """Report once to its watchers that a job runs, or ran."""
    # One that was cancelled in the queue starts when it ends.
    if job.announce is not None and (job.started < job.finished or job.end == "done"):
        job.announce()
    job.announce = None


def _failure(name: str, job: SimulatedJob) -> BackendError:
    said = {
        "failed": "failed on the machine",
        "outage": "was lost: the machine went down",
        "cancelled": "was cancelled",
    }
    return BackendError(
        f"job {job.job_id} on {name} {said[job.end]}",
        transient=None if job.end == "cancelled" else True,
        submitted=True,
    )


def _zeros(job: SimulatedJob) -> tuple[Outcome, ...]:
    """Return one outcome for each circuit; those of as many bits are one object."""
    counts = np.array([job.shots], np.int64)
    by_bits = {
        bits: Outcome(
            shots=job.shots,
            num_bits=bits,
            patterns=np.zeros((1, num_bytes(bits)), np.uint8),
            counts=counts,
        )
        for bits, _ in job.shape
    }
    return tuple(by_bits[bits] for bits, circuits in job.shape for _ in range(circuits))


def _windows(outages: Iterable[Window]) -> list[Window]:
    """Sort windows, and join windows that touch."""
    merged: list[Window] = []
    for start, end in sorted(_read_windows(outages)):
        if not start < end:
            raise ValueError(f"an outage starts before it ends, got ({start}, {end})")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _read_windows(outages: object) -> list[Window]:
    windows = []
    for one in outages if isinstance(outages, Iterable) else [outages]:
        window = tuple(one) if isinstance(one, Iterable) and not isinstance(one, str) else ()
        if len(window) != 2:
            raise TypeError(
                "outages must be windows of seconds, (start, end) each, such as [(60, 120)]; got "
                f"{outages!r}"
            )
        for seconds in window:
            check_real("the start or end of an outage", seconds)
            if not (is_finite(seconds) or abs(seconds) == inf):
                raise ValueError(f"the start or end of an outage must be seconds, got {seconds!r}")
        windows.append((float(window[0]), float(window[1])))
    return windows


def _check_whole(what: str, given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise TypeError(f"{what} must be a whole number, got {given!r}")


def _check_seconds(what: str, seconds: float) -> float:
    check_amount(what, seconds)
    return float(seconds)
