"""Failures of an executor's workers: death, shutdown, cancellation."""

from qiskit_gateway.backends.failures.errors import BackendError, amend
from qiskit_gateway.backends.failures.translate import text_of, translate

# By the names of classes, so that no package of a cluster is imported: Python's and loky's pools,
# Dask's, Parsl's.
_LOST = frozenset(
    {
        "BrokenExecutor",
        "CancelledError",
        "CommClosedError",
        "FuturesCancelledError",
        "KilledWorker",
        "ManagerLost",
        "NoValidWorkerError",
        "WorkerLost",
    }
)


def is_worker_lost(error: BaseException) -> bool:
    """Check whether an exception means that the worker is gone, not that the job failed."""
    return any(kind.__name__ in _LOST for kind in type.mro(type(error)))


def is_executor_broken(error: BaseException) -> bool:
    """Check whether an exception means that the executor will never run anything again."""
    return any(kind.__name__ == "BrokenExecutor" for kind in type.mro(type(error)))


def takes_nothing(error: BaseException) -> bool:
    """Check whether an exception means that the executor is broken, or was shut down."""
    shut_down = isinstance(error, RuntimeError) and "cannot schedule new futures" in str(error)
    return shut_down or is_executor_broken(error)


def worker_failure(error: BaseException, *, sent: bool) -> BackendError:
    """Translate a failure of an executor; raise the result ``from`` the error.

    Args:
        error: What the executor raised, or its future.
        sent: Whether the executor had taken the job.
    """
    if is_worker_lost(error):
        # Nobody bills for it, and nothing is left of it that could still bring a result.
        return BackendError(
            f"the workers lost the job: {text_of(error)}",
            transient=True,
            fault="backend",
            submitted=sent,
            unbilled=True,
        )
    failure = translate(error, phase="collect" if sent else "submit")
    facts: dict[str, object] = {}
    if failure.submitted is None:
        # A job that nobody reads the result of costs nothing.
        facts["submitted"] = False
    return amend(failure, **facts) if facts or failure is error else failure
