"""Find a job at its provider again: by the provider's id, or by our own label.

A submission whose answer was lost may have been taken. Where a provider lets a job carry a label
and lists jobs with their labels, every job is sent with one of ours, the key of its batch, and is
looked for by it. The profile of the provider says where and how; where it does not, and the backend
has no ``jobs(job_tags=...)``, nobody can be asked, and the fate of such a submission stays unknown:

* IQM's client, and the simulators of all packages, list no jobs.
* Azure Quantum lists jobs by names that it lets be chosen, and Quantinuum's Nexus too; neither is tried
  here yet.
"""

from collections.abc import Iterable
from inspect import getattr_static
from typing import Any

from qiskit.providers import BackendV2, JobStatus

from qiskit_gateway.backends.failures.errors import unknown_job
from qiskit_gateway.backends.interface.provider_profile import Label
from qiskit_gateway.backends.registry import profiles, profiles_of

# How a job is fetched by its id, in the order of trying: an attribute path and a method.
_RETRIEVERS = (
    ("retrieve_job",),
    ("provider", "retrieve_job"),
    ("provider", "get_job"),
    ("service", "job"),
)


def can_fetch(backend: Any) -> bool:
    """Tell whether a backend may be able to look up jobs; nothing is asked of its provider."""
    # Qiskit's own attribute is there in any backend, and holds nothing for most simulators.
    if getattr_static(backend, "provider", None) is BackendV2.provider:
        if backend.provider is not None:
            return True
    elif getattr_static(backend, "provider", None) is not None:
        return True
    names = {path[0] for path in _RETRIEVERS} - {"provider"}
    return any(getattr_static(backend, name, None) is not None for name in names)


def fetch(backend: Any, job_id: str) -> Any:
    """Return a job by the provider's id; ``None`` where the provider cannot look up jobs. Blocks.

    Raises whatever the provider does.
    """
    for *path, method in _RETRIEVERS:
        retrieve = getattr(_follow(backend, path), method, None)
        if callable(retrieve):
            try:
                return retrieve(job_id)
            except Exception as error:
                if any(type(error).__name__ in one.failed_job_errors for one in profiles()):
                    return FailedJob(job_id, error)
                raise
    return None


class FailedJob:
    """A job that exists and has failed, where the provider raises instead of returning it."""

    def __init__(self, job_id: str, error: Exception) -> None:
        self._job_id = job_id
        self._error = error

    def job_id(self) -> str:
        """Return the provider's id."""
        return self._job_id

    def status(self) -> JobStatus:
        """Report that it has failed."""
        return JobStatus.ERROR

    def cancel(self) -> None:
        """Do nothing: it is over."""

    def result(self) -> None:
        """Raise the failure that the provider reported."""
        raise self._error


def label_of(backend: Any, options: frozenset[str]) -> Label | None:
    """Find how the jobs of a backend are labelled; ``None`` where they cannot be.

    Args:
        backend: The backend.
        options: The options that it says it knows, or that are given to it.
    """
    return next((label for label in labels_of(backend) if label.option in options), None)


def labels_of(backend: Any) -> list[Label]:
    """List how the jobs of a backend may be labelled, if it knows the option that this takes."""
    labels = [one.label for one in profiles_of(backend) if one.label is not None]
    return labels if _lister(backend) is None else [*labels, _TAGS]


def find(backend: Any, label: Label, key: str) -> Any:
    """Return the job that has a key, or ``None`` if the provider has none. Blocks.

    Raises:
        BackendError: If there are several. Whatever the provider raises is raised too.
    """
    listed = label.jobs(backend, key)
    return only_one((fetch(backend, one) if isinstance(one, str) else one for one in listed), key)


def only_one(jobs: Iterable[Any], key: str) -> Any:
    """Return the job that has a key, of all that have it; ``None`` if none has.

    Raises:
        BackendError: If there are several.
    """
    found = list(jobs)
    if len(found) > 1:
        raise unknown_job(
            f"there are {len(found)} jobs with the label {key!r}: which one counts is not known"
        )
    return found[0] if found else None


def _follow(source: Any, path: Any) -> Any:
    for name in path:
        source = getattr(source, name, None)
    return source


# -- jobs(job_tags=...), as IBM has it ---------------------------------------------------------------


def _lister(backend: Any) -> Any:
    for path in ((), ("provider",), ("service",)):
        listed = getattr(_follow(backend, path), "jobs", None)
        if callable(listed):
            return listed
    return None


def _add_tag(tags: Any, key: str) -> list[str]:
    return [*(tags or ()), key]


def _list_tagged_jobs(backend: Any, key: str) -> Iterable[Any]:
    listed: Iterable[Any] = _lister(backend)(job_tags=[key])
    return listed


_TAGS = Label(option="job_tags", labelled=_add_tag, jobs=_list_tagged_jobs)
