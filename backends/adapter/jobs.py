"""What is asked of a provider's job object. All of it may block."""

from typing import Any

from qiskit.providers import JobStatus

from qiskit_gateway.backends.failures.translate import translated

# What the status of a job is called before it has begun, and from then on.
_QUEUED = frozenset({"INITIALIZING", "QUEUED", "VALIDATING"})
_BEGUN = frozenset({"RUNNING", "DONE", "ERROR"})


def job_id_of(job: Any) -> str:
    """Return a job's id, or ``""`` where it has none to give."""
    try:
        return str(job.job_id())
    except Exception:  # noqa: BLE001  A job without an id is still a job.
        return ""


def has_started(job: Any) -> bool | None:
    """Return whether a provider runs a job already; ``None`` if it does not say."""
    with translated("cancel"):
        status = job.status()
    # Some providers have a status of their own, with the names of Qiskit's.
    name = str(getattr(status, "name", status)).upper()
    return True if name in _BEGUN else False if name in _QUEUED else None


def is_cancelled(job: Any) -> bool:
    """Ask for a job to be cancelled; return whether its provider confirmed that."""
    with translated("cancel"):
        job.cancel()
        return bool(job.status() == JobStatus.CANCELLED)
