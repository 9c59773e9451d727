"""Fault injection over any backend: a backend that behaves until the script says otherwise.

For tests of everything that uses backends. The faults happen where a provider's would, behind
``backend.run`` and the job, with real circuits and results.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2, JobError, JobStatus, JobV1, Options

from qiskit_gateway.backends.scripted.steps import (
    Call,
    Runs,
    Step,
    Together,
)

StepLike = Step | tuple[Step, ...]
Chooser = Callable[[int, Sequence[QuantumCircuit], Mapping[str, Any]], StepLike | None]


class ScriptedBackend(BackendV2):
    """A real backend, with faults.

    It looks like the backend that it wraps, attributes of its class included, but is not of that
    class: what is known of a class of backends (:mod:`~qiskit_gateway.backends.interface.adaptation`) does
    not apply. So a member made of it is given one job at a time unless its limits say otherwise.

    Whether several threads may use it at once is up to the backend that it wraps.

    Args:
        backend: The backend that does the work.
        script: One step for each call of :meth:`run`, in order; a tuple of steps happens
            together. An iterator is read as it is needed. Or a callable ``(call number,
            circuits, options) -> step``, asked for every call, ``None`` meaning ``then``.
        then: What happens after the script; by default what the backend does.
        name: Its name; by default ``scripted(<name of the backend>)``.
        seed: Seed of the steps' own randomness, such as which shots are missing.

    Raises:
        TypeError: If ``backend`` is not a ``BackendV2``, or an argument is of the wrong kind.
        ValueError: If the seed is negative.
    """

    def __init__(
        self,
        backend: BackendV2,
        script: Iterable[StepLike] | Chooser = (),
        *,
        then: StepLike | None = None,
        name: str | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(backend, BackendV2):
            raise TypeError(f"a script needs a qiskit BackendV2 to run over, got {backend!r}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a backend must be a text, got {name!r}")
        super().__init__(
            name=name or f"scripted({backend.name})",
            description=backend.description,
            backend_version=backend.backend_version,
        )
        self.wrapped = backend
        self._script = _read_script(script)
        self._then = _step(Runs() if then is None else then)
        try:
            self._seeds = np.random.SeedSequence(seed)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"seed must be a whole number of zero or more, got {seed!r}"
            ) from None
        self._calls: list[Call] = []
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles continue with the rest of the script, and have seen no calls."""
        return {name: one for name, one in self.__dict__.items() if name not in ("_calls", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._calls = []
        self._lock = Lock()

    def __getattr__(self, name: str) -> Any:
        # Only what neither this class nor BackendV2 has comes here.
        if "wrapped" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    # -- what the provider saw ---------------------------------------------------------------

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of :meth:`run`, in order, refused ones included."""
        return tuple(self._calls)

    @property
    def jobs(self) -> tuple["ScriptedJob", ...]:
        """The jobs that were taken, in order."""
        return tuple(call.job for call in self.calls if isinstance(call.job, ScriptedJob))

    def release(self) -> None:
        """Let go of whatever is held up, or would be, in the calls made so far."""
        for call in self.calls:
            call.released.set()

    # -- the backend -------------------------------------------------------------------------

    def run(
        self, run_input: QuantumCircuit | Sequence[QuantumCircuit], **options: Any
    ) -> "ScriptedJob":
        """Do what the script says, over the backend's own ``run``."""
        call = self._begin(run_input, options)
        call.step.before("run", call)
        job = ScriptedJob(self, self.wrapped.run(run_input, **options), call)
        call.job, call.taken_at = job, monotonic()
        call.step.taken(call)
        return job

    def retrieve_job(self, job_id: str) -> "ScriptedJob":
        """Return a job that was taken.

        Raises:
            JobError: If there is none of that id.
        """
        for job in self.jobs:
            if job.job_id() == job_id:
                return job
        raise JobError(f"{self.name} has no job {job_id}")

    @property
    def target(self) -> Any:
        """The target of the backend."""
        return self.wrapped.target

    @property
    def num_qubits(self) -> Any:
        """The width of the backend."""
        return self.wrapped.num_qubits

    @property
    def max_circuits(self) -> Any:
        """The most circuits of a job."""
        return self.wrapped.max_circuits

    @property
    def options(self) -> Any:
        """The options of the backend itself."""
        return self.wrapped.options

    def set_options(self, **fields: Any) -> None:
        """Set options of the backend itself."""
        self.wrapped.set_options(**fields)

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def _begin(
        self, run_input: QuantumCircuit | Sequence[QuantumCircuit], options: dict[str, Any]
    ) -> Call:
        circuits = (run_input,) if isinstance(run_input, QuantumCircuit) else tuple(run_input)
        with self._lock:
            number = len(self._calls)
            chosen = self._script(number, circuits, options)
            call = Call(
                number=number,
                sent=circuits,
                options=options,
                step=self._then if chosen is None else _step(chosen),
                rng=np.random.default_rng(self._seeds.spawn(1)[0]),
            )
            self._calls.append(call)
        return call


class ScriptedJob(JobV1):
    """A real job, with faults.

    Args:
        backend: The backend that took it.
        job: The job that does the work.
        call: The call that it came from.
    """

    def __init__(self, backend: ScriptedBackend, job: JobV1, call: Call) -> None:
        super().__init__(backend, job.job_id())
        self.wrapped = job
        self._call = call
        self._lock = Lock()
        self._results: list[Any] = []

    def submit(self) -> None:
        """Do nothing: the job was submitted when it was made."""

    def status(self) -> JobStatus:
        """Return the status that the script says, or the job's own."""
        self._call.step.before("status", self._call)
        if self._call.cancelled:
            return JobStatus.CANCELLED
        return self._call.step.status(self._call) or self.wrapped.status()

    def result(self) -> Any:
        """Return the result, or what the script makes of it.

        Raises:
            JobError: If the job was cancelled.
        """
        self._call.step.before("result", self._call)
        if self._call.cancelled:
            raise JobError(f"job {self.job_id()} was cancelled")
        with self._lock:
            if not self._results:
                result = self.wrapped.result()
                self._results.append(self._call.step.edit(result, self._call))
        return self._results[0]

    def cancel(self) -> Any:
        """Cancel the job if the script holds it up; else leave that to the job."""
        self._call.cancel_requested = True
        self._call.step.before("cancel", self._call)
        if self._call.step.status(self._call) == JobStatus.RUNNING:
            self._call.cancelled = True
            self._call.released.set()
        return self._call.cancelled or self.wrapped.cancel()


def _read_script(script: Iterable[StepLike] | Chooser) -> Chooser:
    # A class is callable too: a step whose brackets were forgotten.
    if callable(script) and not isinstance(script, type):
        return script
    return partial(_next_of, _read_steps(script))


def _read_steps(script: object) -> Iterator[StepLike]:
    """Go through a script; what is there already is looked at now."""
    if isinstance(script, Step | str | Mapping | type) or not isinstance(script, Iterable):
        raise TypeError(
            "a script must be steps, such as [Fails(), Hangs()], or a callable that gives them; got "
            f"{script!r}"
        )
    if isinstance(script, Sequence):
        for one in script:
            if one is not None:
                _step(one)
    return iter(script)


def _next_of(
    steps: Iterator[StepLike], _number: int, _circuits: object, _options: object
) -> StepLike | None:
    return next(steps, None)


def _step(given: StepLike) -> Step:
    if isinstance(given, tuple):
        return Together(tuple(map(_step, given)))
    if not isinstance(given, Step):
        raise TypeError(f"a script has steps, such as Fails(), and tuples of them; got {given!r}")
    return given
