"""The worker's side: build the backend once, run jobs on it, answer in plain data."""

import importlib
import pickle
import sys
from contextlib import nullcontext
from typing import Any

from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.executors.work import (
    Answer,
    BackendSpec,
    WorkOrder,
    answer_of,
    unpack_work,
    write_failure,
    write_told,
)
from qiskit_gateway.backends.failures.errors import BackendError, caller_fault
from qiskit_gateway.backends.failures.translate import text_of, translated
from qiskit_gateway.backends.forks import ProcessLock, renew_in_children


class _Backends:
    """The backends of this process, each built at its first use."""

    def __init__(self) -> None:
        self.renew_in_child()
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Begin with none: the threads of a simulator do not survive a fork."""
        self._building = ProcessLock()
        self._members: dict[BackendSpec, tuple[Member, Any]] = {}
        self._built: dict[tuple[str, bytes], BackendV2] = {}

    def backend(self, path: str, arguments: bytes) -> BackendV2:
        with self._building:
            if (path, arguments) not in self._built:
                self._built[path, arguments] = _build(path, pickle.loads(arguments))  # noqa: S301  Ours.
            return self._built[path, arguments]

    def member(self, spec: BackendSpec) -> tuple[Member, Any]:
        """Return the member over the backend of a spec, and what to hold while it runs a job."""
        backend = self.backend(spec.path, spec.arguments)
        with self._building:
            if spec not in self._members:
                options = pickle.loads(spec.run_options)  # noqa: S301  As above.
                made = Member(backend, run_options=options, adaptation=spec.adaptation)
                self._members[spec] = made, nullcontext() if made.overlaps else ProcessLock()
            return self._members[spec]


_BACKENDS = _Backends()


def run(work: WorkOrder) -> Answer:
    """Run a job in a worker.

    Never raises over the job: an exception of somebody's package might not survive the way back.
    """
    try:
        member, turn = _BACKENDS.member(work.backend)
        with translated("collect"):
            batch, prepared = unpack_work(work)
        with turn:
            if work.as_told:
                return write_told(member.result_of_prepared(batch, prepared))
            return answer_of(member.run_prepared(batch, prepared))
    except BackendError as error:
        return write_failure(error)


def build_backend(path: str, arguments: bytes) -> BackendV2:
    """Build a backend, or return the one that this process has of it.

    Args:
        path: Import path of what is called for it.
        arguments: What it is called with, pickled.

    Raises:
        BackendError: If it cannot be built here.
    """
    return _BACKENDS.backend(path, arguments)


def _build(path: str, arguments: dict[str, Any]) -> BackendV2:
    try:
        backend = _find(path)(**arguments)
    except Exception as error:
        raise BackendError(
            f"{path} cannot be built in this process: {text_of(error)}",
            transient=False,
            fault="backend",
            submitted=False,
        ) from error
    if not isinstance(backend, BackendV2):
        raise caller_fault(f"{path} gave {type(backend).__name__}, which is no qiskit BackendV2")
    return backend


def _find(path: str) -> Any:
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    # A path may come from a configuration file, which is not to call whatever is imported.
    if str(getattr(found, "__module__", "")).partition(".")[0] in sys.stdlib_module_names:
        raise TypeError(f"{names!r} is a part of Python, and gives no backend")
    return found
