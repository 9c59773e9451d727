"""How a job is found again at a provider: by the provider's id, or by our own name for it.

A submission whose answer was lost may have been taken. Where a provider lets a job carry a label
and lists jobs with their labels, every job is sent with one of ours, the key of its batch, and is
looked for by it. :data:`_LABELS` says where and how; whatever is not there cannot be asked, and
the fate of such a submission stays unknown:

* IQM's client, and the simulators of all packages, list no jobs.
* Braket's tasks have tags where the user gives some, since to tag them takes a permission of its own.
  All tasks of one call have the same, so that only a job that is one task is told from others.
* Azure Quantum lists jobs by names that it lets be chosen, and Quantinuum's Nexus too; neither is tried
  here yet.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from qiskit.providers import JobStatus

from qiskit_gateway.backends.failures.errors import BackendError

# How a job is fetched by its id, in the order of trying: an attribute path and a method.
_RETRIEVERS = (
    ("retrieve_job",),
    ("provider", "retrieve_job"),
    ("provider", "get_job"),
    ("service", "job"),
)
# What is raised in place of a job that exists and has failed.
_SAYS_FAILED = frozenset({"IonQJobFailureError"})
# What keys go by where a label has a name.
_LABEL = "qiskit_gateway"
# A provider that goes on for longer than this is not listing jobs in any order that helps.
_MAX_PAGES = 200


def fetch(backend: Any, job_id: str) -> Any:
    """Return a job by the provider's id; ``None`` where the provider cannot look up jobs. Blocks.

    Raises whatever the provider does.
    """
    for *path, method in _RETRIEVERS:
        retrieve = getattr(_followed(backend, path), method, None)
        if callable(retrieve):
            try:
                return retrieve(job_id)
            except Exception as error:
                if type(error).__name__ in _SAYS_FAILED:
                    return FailedJob(job_id, error)
                raise
    return None


class FailedJob:
    """A job that exists and has failed, where the provider raises instead of returning it.

    Args:
        job_id: The provider's id.
        error: What the provider raised.
    """

    def __init__(self, job_id: str, error: Exception) -> None:
        self._job_id = job_id
        self._error = error

    def job_id(self) -> str:
        """Return the provider's id."""
        return self._job_id

    def status(self) -> JobStatus:
        """Return that it has failed."""
        return JobStatus.ERROR

    def cancel(self) -> None:
        """Do nothing: it is over."""

    def result(self) -> None:
        """Raise what the provider said of it."""
        raise self._error


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """How the jobs of a provider are labelled, and listed by their labels.

    Attributes:
        option: The option of ``backend.run`` that holds the label.
        labelled: Return that option with a key in it, from what it holds without.
        jobs: Yield all jobs of a backend that have a key. Blocks, and raises whatever the provider
            does.
    """

    option: str
    labelled: Callable[[Any, str], Any]
    jobs: Callable[[Any, str], Iterable[Any]]


def label_of(backend: Any, options: frozenset[str]) -> Label | None:
    """Return how the jobs of a backend are labelled, or ``None`` where they cannot be.

    Args:
        backend: The backend.
        options: The options that it says it knows, or that are given to it.
    """
    for kind in type(backend).__mro__:
        found = _LABELS.get(kind.__module__.partition(".")[0])
        if found is not None and found.option in options:
            return found
    return _TAGS if _TAGS.option in options and _lister(backend) is not None else None


def find(backend: Any, label: Label, key: str) -> Any:
    """Return the job that has a key, or ``None`` if the provider has none. Blocks.

    Raises:
        BackendError: If there are several. Whatever the provider raises is raised too.
    """
    found = list(label.jobs(backend, key))
    if len(found) > 1:
        raise BackendError(
            f"there are {len(found)} jobs with the label {key!r}: which one counts is not known",
            transient=False,
            submitted=None,
        )
    return found[0] if found else None


def _followed(source: Any, path: Any) -> Any:
    for name in path:
        source = getattr(source, name, None)
    return source


# -- jobs(job_tags=...), as IBM has it ---------------------------------------------------------------


def _lister(backend: Any) -> Any:
    for path in ((), ("provider",), ("service",)):
        listed = getattr(_followed(backend, path), "jobs", None)
        if callable(listed):
            return listed
    return None


def _with_tag(tags: Any, key: str) -> list[str]:
    return [*(tags or ()), key]


def _tagged_jobs(backend: Any, key: str) -> Iterable[Any]:
    listed: Iterable[Any] = _lister(backend)(job_tags=[key])
    return listed


_TAGS = Label(option="job_tags", labelled=_with_tag, jobs=_tagged_jobs)


# -- IonQ: a field of the job's metadata -------------------------------------------------------------


def _with_field(fields: Any, key: str) -> dict[str, str]:
    return {**(fields or {}), _LABEL: key}


def _ionq_jobs(backend: Any, key: str) -> Iterator[Any]:
    """Go through all jobs of the project: the API cannot be asked for those of one name."""
    client = backend.client
    after: dict[str, str] = {}
    for _ in range(_MAX_PAGES):
        answer = client.get_with_retry(
            client.make_path("jobs"), params=after or None, headers=client.api_headers
        )
        answer.raise_for_status()
        page = answer.json()
        for job in page["jobs"]:
            # The circuits of a job are jobs too, and have its metadata.
            if not job.get("parent_job_id") and (job.get("metadata") or {}).get(_LABEL) == key:
                yield fetch(backend, str(job["id"]))
        if not page.get("next"):
            return
        after = {"next": page["next"]}
    raise _too_many()


# -- Braket: a tag of the task, where tags are given --------------------------------------------------


def _braket_tasks(backend: Any, key: str) -> Iterator[Any]:
    """Go through all tasks of the device: they cannot be asked for by a tag."""
    device = _followed(backend, ("_device",))
    pages = device.aws_session.braket_client.get_paginator("search_quantum_tasks").paginate(
        filters=[{"name": "deviceArn", "operator": "EQUAL", "values": [device.arn]}],
        PaginationConfig={"PageSize": 100},
    )
    for number, page in enumerate(pages):
        if number == _MAX_PAGES:
            raise _too_many()
        for task in page["quantumTasks"]:
            if (task.get("tags") or {}).get(_LABEL) == key:
                yield fetch(backend, str(task["quantumTaskArn"]))


def _too_many() -> BackendError:
    return BackendError(
        f"the provider lists more than {_MAX_PAGES} pages of jobs", transient=False, submitted=None
    )


# By the package of the backend's class.
_LABELS = {
    "qiskit_braket_provider": Label(option="tags", labelled=_with_field, jobs=_braket_tasks),
    "qiskit_ionq": Label(option="extra_metadata", labelled=_with_field, jobs=_ionq_jobs),
}
