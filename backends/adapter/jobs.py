"""Calls to a provider's job object. All of them may block."""

import re
import reprlib
from contextlib import suppress
from typing import Any

from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.threads import call_within
from qiskit_gateway.backends.failures.errors import BackendError, bad_result
from qiskit_gateway.backends.failures.translate import translated
from qiskit_gateway.backends.failures.wording import tells_of_time
from qiskit_gateway.backends.interface.protocol import JobStage, Stage

# What providers call the stages of a job, Qiskit's names among them. What means one thing here and
# another there, as "ready" does, is left out.
_WORDS: dict[Stage, str] = {
    "queued": "INITIALIZING INITIALIZED CREATED SUBMITTED ACCEPTED SCHEDULED QUEUED QUEUE INQUEUE ENQUEUED "
    "VALIDATING VALIDATED PENDING WAITING COMPILING TRANSPILING HELD PAUSED",
    "running": "RUNNING EXECUTING STARTED PROCESSING PROGRESS FINISHING RETRYING",
    "done": "DONE COMPLETED COMPLETE FINISHED SUCCEEDED SUCCESS SUCCESSFUL SUCCESSFULLY",
    "failed": "ERROR ERRORED FAILED FAILURE EXPIRED REJECTED INVALID TIMEOUT TIMED TIMEDOUT CRASHED "
    "DELETED UNSUCCESSFUL LOST",
    "cancelled": "CANCELLED CANCELED ABORTED TERMINATED KILLED STOPPED REVOKED",
}
_STAGES: dict[str, Stage] = {
    word: stage for stage, words in _WORDS.items() for word in words.split()
}
_MAX_SAID = 100
# A provider that does not answer within this time does not say.
_STATUS_SECONDS = 30.0


def job_id_of(job: Any) -> str:
    """Return a job's id, or ``""`` where it has none to give."""
    try:
        return str(job.job_id())
    except Exception:  # noqa: BLE001  A job without an id is still a job.
        return ""


def stage_of(job: Any) -> JobStage:
    """Ask how far a job is.

    Raises:
        BackendError: If that could not be asked.
    """
    with translated("cancel"):
        status = job.status
        status = status() if callable(status) else status
        # A text, or a member of somebody's enumeration: its name, its value, or a code of neither.
        named = (getattr(status, name, None) for name in ("name", "value"))
        texts = [text for text in (*named, str(status)) if isinstance(text, str)]
    stages = [_stage_in(text) for text in texts]
    number = next((number for number, stage in enumerate(stages) if stage), 0)
    return JobStage(name=stages[number], said=texts[number][:_MAX_SAID])


def _stage_in(text: str) -> Stage | None:
    """Read "CANCELLED - RAN TOO LONG", "job is queued", "JobStatus.ERROR", "in_progress"."""
    words = re.findall("[A-Z]+", text.upper())
    return next((_STAGES[word] for word in words if word in _STAGES), None)


# The ids of the jobs of this process, by the package of their backends: other objects of one package
# talk to the same provider. Sets, because what is done to them needs no lock.
_SENT: dict[str, set[str]] = {}
# So many are remembered; a job that is older has long had its result.
_MOST_SENT = 100_000


def note_sent(backend: BackendV2, job_id: str) -> None:
    """Remember a job of ours by its id."""
    sent = _SENT.setdefault(_package_of(backend), set())
    if len(sent) >= _MOST_SENT:
        sent.clear()
    sent.add(job_id)


def require_own(result: Any, backend: BackendV2, job_id: str) -> None:
    """Make sure that a result is not that of another job of ours.

    An id that we never sent may be anything: many providers write one of their own there.

    Raises:
        BackendError: If it names another job.
    """
    for part in result if isinstance(result, list | tuple) else (result,):
        named = part.get("job_id") if isinstance(part, dict) else getattr(part, "job_id", None)
        if (
            job_id
            and isinstance(named, str)
            and named != job_id
            and named in _SENT.get(_package_of(backend), ())
        ):
            raise bad_result(
                f"the result of job {job_id!r} says that it is of job {named!r}, another of ours"
            )


def _package_of(backend: BackendV2) -> str:
    return type(backend).__module__.partition(".")[0]


def has_started(job: Any) -> bool | None:
    """Ask whether a provider runs a job already; ``None`` if it does not say."""
    stage = stage_of(job).name
    if stage is None or stage == "cancelled":
        return None
    return stage != "queued"


def is_cancelled(job: Any) -> bool:
    """Ask for a job to be cancelled; return whether its provider confirmed that.

    Raises:
        BackendError: If that could not be asked, or was refused though the job is not over.
    """
    try:
        with translated("cancel"):
            job.cancel()
    except BackendError:
        # Some answer by an error that the job is over.
        if stage_of(job).name not in {"done", "failed", "cancelled"}:
            raise
    return stage_of(job).name == "cancelled"


def result_of(job: Any) -> Any:
    """Wait for a job and return what its provider makes of it.

    Providers give up their own waits after some time, and some raise where a result is not there yet.
    What that means for the job, its status says.

    Raises:
        BackendError: If there is no result.
    """
    with translated("collect"):
        is_job = callable(getattr(job, "result", None))
    if not is_job:
        # A coroutine, a list of jobs, nothing: the next answer will be no job, either.
        raise bad_result(
            f"run() returned {reprlib.repr(job)}, which is no job: it has no result()",
            unreadable=True,
        )
    try:
        with translated("collect"):
            return job.result()
    except BackendError as error:
        told = _judge(job, error)
        if told is None:
            raise
        raise told from error


def _judge(job: Any, error: BackendError) -> BackendError | None:
    """Interpret a failed request for a result; ``None`` if it means what it says."""
    waited = tells_of_time(str(error))
    if error.authentication or (error.transient and not waited):
        return None
    stage = JobStage()
    with suppress(BackendError, TimeoutError):
        stage = call_within(lambda: stage_of(job), _STATUS_SECONDS)
    goes_on = stage.name in {"queued", "running"}
    if stage.name is None or not (waited or goes_on):
        return None
    over = stage.name in {"failed", "cancelled"}
    return BackendError(
        f"{error}; the status of the job is {stage.said!r}",
        transient=None if over else True,
        fault="backend" if over else "network",
        submitted=True,
        unfinished=waited and goes_on,
    )
