"""A simulator on the workers of an executor, as one member of a fleet.

Circuits are compiled here, once, and go to the workers as QPY. What comes back is what was read
there: rows of packed bits.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import uuid4

from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.adapter.queues import probe_for
from qiskit_gateway.backends.adapter.serial import Errand
from qiskit_gateway.backends.adapter.threads import call_within
from qiskit_gateway.backends.compilation.cache import Prepared
from qiskit_gateway.backends.executors.pool import Pool, WorkerJob
from qiskit_gateway.backends.executors.work import (
    BackendSpec,
    WorkOrder,
    pack_work,
    read_outcomes,
    read_told,
)
from qiskit_gateway.backends.executors.worker import build_backend
from qiskit_gateway.backends.failures.errors import BackendError, network_fault
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.backends.interface.queue_reading import Probe
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.rates import FREE
from qiskit_gateway.backends.readout.outcomes import Outcome

# How long an executor may take until it says how many workers it has.
_ASKING_SECONDS = 60.0


class ExecutorMember(Member):
    """A simulator on the workers of a ``concurrent.futures.Executor``.

    Dask's, a pool of processes, loky's, executorlib's and Parsl's are all such executors. Each
    worker builds the backend once per process, and gets circuits that were compiled here. Workers
    need qiskit-gateway and the package of the backend.

    A job whose worker dies is lost for certain, so it is always sent again; its price is given
    back. A job is cancelled only while it waits. Nothing of it outlives this process: a resumed run
    sends it again, with the same seed.

    Args:
        executor: An executor, a Dask client, or a callable that makes either; one that breaks is
            then made anew.
        backend: Import path of what is called on a worker for its backend, such as
            ``"qiskit_aer:AerSimulator"``.
        arguments: What it is called with; must be picklable.
        target: What circuits are compiled for, a ``Target`` or a ``BackendV2``. By default the
            backend is built here, too; where it cannot be, as one that needs a GPU, say it.
        limits: What a job may be; ``max_in_flight`` is by default how many jobs the workers run at
            once, where that is known.
        **others: As for :class:`~qiskit_gateway.backends.adapter.backend_member.Member`.

    Attributes:
        executor: As given.

    Raises:
        TypeError: If an argument is of the wrong kind, or cannot be pickled.
        ValueError: If ``backend`` is no import path.
        BackendError: If the backend cannot be built here and there is no target, or the executor
            cannot be made or asked.
    """

    def __init__(
        self,
        executor: Any,
        backend: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        target: Target | BackendV2 | None = None,
        limits: Limits | None = None,
        **others: Any,
    ) -> None:
        path = _import_path(backend)
        called_with = _pickle("arguments", arguments)
        run_options = _pickle("run_options", others.get("run_options"))
        self._pool = Pool(executor)
        super().__init__(_backend_for(path, called_with, target), limits=limits, **others)
        self.executor = executor
        self.overlaps = True
        self.costs_nothing = others.get("pricing") is None or others["pricing"] == FREE
        self._spec = BackendSpec(
            path=path, arguments=called_with, run_options=run_options, adaptation=self.adaptation
        )
        if limits is None or limits.max_in_flight is None:
            self.limits = replace(self.limits, max_in_flight=_workers(self._pool))

    def __repr__(self) -> str:
        return f"ExecutorMember({self.name!r}, {self._spec.path!r})"

    @property
    def _given(self) -> dict[str, object]:
        return {**super()._given, "executor": self.executor}

    @cached_property
    def queue_probe(self) -> Probe | None:
        """A function that reads the wait, if the user gave one."""
        # The local copy of the backend is not where jobs run.
        return None if self.queue is None else probe_for(self.backend, self.queue)

    @property
    def finds(self) -> bool:
        """It is always known whether there is a job: see :meth:`find`."""
        return True

    @property
    def is_local(self) -> bool:
        """True: its jobs end with this process, and workers that several use take turns themselves."""
        return True

    @property
    def machine(self) -> str:
        """``""``: each worker has an interpreter of its own."""
        return ""

    @property
    def _tells_durations(self) -> bool:
        """False: its workers simulate, whatever device the circuits are compiled for."""
        return False

    async def find(self, key: str) -> Handle | None:
        """Find no job: none outlives the process that sent it."""
        return None

    async def charge(self, handle: Handle) -> Charge | None:
        """Return no charge: workers send no bills."""
        return None

    async def quote(self, batch: Batch) -> Charge | None:
        """Return no quote: workers have no prices."""
        return None

    async def reattach(self, job_id: str) -> Handle:
        """Fail: a job of an earlier process is gone.

        Raises:
            BackendError: Always.
        """
        raise BackendError(
            f"{self.name} keeps no jobs of an earlier process, so {job_id!r} is gone",
            transient=False,
            submitted=False,
        )

    # -- in a thread -------------------------------------------------------------------------

    def run_prepared(self, batch: Batch, prepared: Sequence[Prepared]) -> Sequence[Outcome]:
        """Run a batch whose programs were prepared elsewhere, and read the result. Blocks."""
        return read_outcomes(self._run(batch, prepared, Errand()).answer())

    def result_of_prepared(self, batch: Batch, prepared: Sequence[Prepared]) -> Any:
        """Run a batch likewise, and return what the backend on the worker says itself. Blocks."""
        work = replace(self._work_for(batch, prepared), as_told=True)
        return read_told(self._pool.submit(work).answer())

    def _run(self, batch: Batch, prepared: Sequence[Prepared], errand: Errand) -> WorkerJob:
        if batch.circuits > 1:
            self._require_company(prepared)
        work = self._work_for(batch, prepared)
        errand.begin()
        return self._pool.submit(work)

    def _work_for(self, batch: Batch, prepared: Sequence[Prepared]) -> WorkOrder:
        # Dask would give a second job of the same name the result of the first.
        token = f"{batch.key}-{uuid4().hex[:12]}"
        return pack_work(batch, prepared, self._spec, token)

    def _collect(self, handle: Handle) -> Sequence[Outcome]:
        return read_outcomes(handle.job.answer())


class _Blueprint(BackendV2):
    """The compilation target, where only a target is known."""

    def __init__(self, name: str, target: Target) -> None:
        super().__init__(name=name)
        self._target = target

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise NotImplementedError("this only says what circuits are compiled for")


def _backend_for(path: str, arguments: bytes, target: object) -> BackendV2:
    if isinstance(target, BackendV2):
        return target
    if isinstance(target, Target):
        return _Blueprint(path.rpartition(":")[2], target)
    if target is not None:
        raise TypeError(f"target must be a qiskit Target or BackendV2, got {target!r}")
    try:
        return build_backend(path, arguments)
    except BackendError as error:
        raise BackendError(
            f"{error}; if it can be built on the workers alone, say what to compile circuits for: "
            "ExecutorMember(..., target=...)",
            transient=False,
            fault=error.fault,
            submitted=False,
        ) from error


def _workers(pool: Pool) -> int | None:
    try:
        return call_within(pool.workers, _ASKING_SECONDS)
    except TimeoutError as error:
        raise network_fault(
            f"the executor did not say within {_ASKING_SECONDS:g} s how many workers it has"
        ) from error


def _import_path(backend: object) -> str:
    if not isinstance(backend, str):
        raise TypeError(
            "backend must be the import path of what a worker calls for its backend, such as "
            f"'qiskit_aer:AerSimulator', got {backend!r}"
        )
    module, _, names = backend.partition(":")
    if not names or not all(map(str.isidentifier, [*module.split("."), *names.split(".")])):
        raise ValueError(
            f"backend must be an import path such as 'qiskit_aer:AerSimulator', got {backend!r}"
        )
    return backend


def _pickle(name: str, given: object) -> bytes:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a dictionary, got {given!r}")
    try:
        return pickle.dumps(dict(given or {}))
    except Exception as error:
        raise TypeError(
            f"{name} cannot be pickled, so it cannot be sent to workers ({error}); name a function "
            "that makes them as the backend"
        ) from error
