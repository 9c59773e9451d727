"""What a job's status says decides what it means that there is no result."""

import enum
import threading
from types import SimpleNamespace

import pytest
from qiskit.providers import JobError, JobStatus, JobTimeoutError
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import Member
from qiskit_gateway.backends.adapter import jobs
from qiskit_gateway.backends.adapter.jobs import has_started, is_cancelled, result_of, stage_of
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.protocol import Handle, JobStage, TellsStage

Own = enum.Enum("Own", {"Failed": 1, "aborted": 2, "InQueue": 3, "Running": 4})
Texts = enum.Enum("Texts", {"A": "job is queued", "B": "failed", "FAILED": "3"}, type=str)
Number = enum.IntEnum("Number", {"EXECUTING": 4, "EXPIRED": 9})
STAGES = [
    ("queued", [JobStatus.INITIALIZING, JobStatus.QUEUED, JobStatus.VALIDATING, "queued", "PENDING",
                "pending execution", "Submitted", "CREATED", "in_queue",
                Own.InQueue, b"QUEUED", ("QUEUED", 3), Texts.A, JobStatus.QUEUED.value]),
    ("running", [JobStatus.RUNNING, "RUNNING", "executing", "IN_PROGRESS", "In progress",
                 Own.Running, JobStatus.RUNNING.value, "JobStatus.RUNNING", Number.EXECUTING]),
    ("done", [JobStatus.DONE, "COMPLETED", "Succeeded", "done", "finished", JobStatus.DONE.value]),
    ("failed", [JobStatus.ERROR, "FAILED", "Failed", "EXPIRED", "rejected", b"FAILED", "ERROR - TOO HOT",
                "TIMED_OUT", "timeout", Own.Failed, Texts.B, Texts.FAILED, Number.EXPIRED, JobStatus.ERROR.value]),
    ("cancelled", [JobStatus.CANCELLED, "CANCELLED - RAN TOO LONG", "canceled", "ABORTED",
                   "terminated", Own.aborted, JobStatus.CANCELLED.value]),
    (None, ["", "ready", "cancelling", "CancellationRequested", "who knows", None, 7, True]),
]  # fmt: skip
CASES = [(name, status) for name, statuses in STAGES for status in statuses]


class Job:
    """A job whose status and result are values, or exceptions that are raised."""

    def __init__(self, status=JobStatus.DONE, result="result"):
        self.answers = {"status": status, "result": result}
        self.cancels = 0

    def status(self):
        return self._answer("status")

    def result(self):
        return self._answer("result")

    def cancel(self):
        self.cancels += 1

    def _answer(self, verb):
        if isinstance(self.answers[verb], BaseException):
            raise self.answers[verb]
        return self.answers[verb]


@pytest.mark.parametrize(("name", "status"), CASES, ids=str)
def test_a_stage_is_known_by_whatever_word_a_provider_has_for_it(name, status):
    """Qiskit's enumeration, texts, and enumerations of a provider's own."""
    job = Job(status)
    assert stage_of(job).name == name
    started = {"queued": False, None: None, "cancelled": None}
    assert has_started(job) is started.get(name, True)
    assert is_cancelled(job) is (name == "cancelled")
    assert stage_of(SimpleNamespace(status=status)).name == name


@pytest.mark.parametrize("thing", [None, [Job()], {"job": 1}, "job-7", SimpleNamespace(result=3)])
def test_what_run_returns_may_be_no_job(thing):
    """The next answer will be none, either: the member is left after the second."""
    with pytest.raises(BackendError, match="which is no job") as raised:
        result_of(thing)
    assert raised.value.unreadable
    assert raised.value.bad_result
    assert raised.value.submitted


def test_a_job_may_fail_as_its_result_is_looked_up():
    """What a property raises is a failure of that request, told as facts."""
    odd = type("Odd", (), {"result": property(lambda self: 1 / 0)})()
    with pytest.raises(BackendError, match="ZeroDivisionError"):
        result_of(odd)


def test_a_status_that_raises_is_a_failure_of_asking():
    """It is told as facts, whatever is raised, and also where only the enumeration does."""
    odd = type("Odd", (), {"__str__": lambda self: 1 / 0})()
    for status in (RuntimeError("no"), odd):
        with pytest.raises(BackendError):
            stage_of(Job(status))


@pytest.mark.parametrize(("name", "status"), CASES)
def test_a_cancellation_that_is_refused(name, status):
    """Of a job that is over, the status is the answer; of any other, the refusal is a failure."""

    class Refuses(Job):
        def cancel(self):
            raise RuntimeError("409: it cannot be cancelled")

    if name in {"done", "failed", "cancelled"}:
        assert is_cancelled(Refuses(status)) is (name == "cancelled")
    else:
        with pytest.raises(BackendError, match="409"):
            is_cancelled(Refuses(status))


def named(name, *bases, text="it is not here"):
    module, _, own = name.rpartition(".")
    return type(own, bases or (Exception,), {"__module__": module})(text)


ENDED = [
    named("iqm.iqm_client.errors.APITimeoutError"),
    named("exa.common.errors.iqm_error.OperationTimeoutError"),
    JobTimeoutError("Timeout while waiting for job 7."),
    TimeoutError("Timed out waiting for job 7"),
    TimeoutError(),
    named("requests.exceptions.ReadTimeout", OSError),
    named("own.PollingExpired", text="gave up after 600 s"),
    named("own.Odd", text="The job did not finish within 900 seconds"),
    named("own.Odd", text="job 7 is still running"),
    JobError("the job has not completed"),
    ValueError("Result not ready after waiting 10 s"),
    RuntimeError("deadline exceeded"),
]


@pytest.mark.parametrize("ended", ENDED, ids=repr)
@pytest.mark.parametrize("status", [JobStatus.QUEUED, "executing", Own.Running])
def test_a_wait_that_ends_while_the_job_does_not_is_no_failure_of_it(ended, status):
    """Whatever the class is called, its job is to be waited for on."""
    with pytest.raises(BackendError, match=type(ended).__name__) as caught:
        result_of(Job(status, ended))
    error = caught.value
    assert error.unfinished
    assert (error.transient, error.fault, error.submitted) == (True, "network", True)


@pytest.mark.parametrize("ended", ENDED, ids=repr)
@pytest.mark.parametrize("status", [JobStatus.ERROR, "CANCELLED - RAN TOO LONG", Own.Failed])
def test_a_wait_that_ends_after_the_job_failed_is_the_failure_of_the_job(ended, status):
    """The message has the provider's words of both."""
    with pytest.raises(BackendError, match=str(getattr(status, "name", status))) as caught:
        result_of(Job(status, ended))
    error = caught.value
    assert not error.unfinished
    assert (error.transient, error.fault, error.submitted) == (None, "backend", True)


@pytest.mark.parametrize("ended", ENDED, ids=repr)
def test_a_wait_that_ends_after_the_job_is_asked_for_again(ended):
    """The result is there; only the way to it was too slow."""
    with pytest.raises(BackendError) as caught:
        result_of(Job(JobStatus.DONE, ended))
    error = caught.value
    assert (error.transient, error.fault, error.unfinished) == (True, "network", False)


@pytest.mark.parametrize("failure", [JobError("no result"), KeyError("results"), ValueError("no")])
def test_what_is_raised_while_a_job_goes_on_is_no_failure_of_it(failure):
    """The result is not there yet: it is asked for again, but not without end."""
    with pytest.raises(BackendError, match="RUNNING") as caught:
        result_of(Job(JobStatus.RUNNING, failure))
    error = caught.value
    assert (error.transient, error.fault, error.unfinished) == (True, "network", False)


def test_refused_credentials_are_that_whatever_the_job_does():
    """Nothing but new ones helps."""
    with pytest.raises(BackendError) as caught:
        result_of(Job(JobStatus.RUNNING, RuntimeError("HTTP 401: the session timed out")))
    assert caught.value.authentication


@pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.ERROR, RuntimeError("no"), "ready"])
def test_other_failures_are_what_they_are(status):
    """The status need not be told, nor say more."""
    for failure in (JobError("no calibration"), named("own.Odd"), KeyError("counts")):
        with pytest.raises(BackendError) as caught:
            result_of(Job(status, failure))
        assert (caught.value.transient, caught.value.unfinished) == (None, False)
    assert result_of(Job(status)) == "result"


def test_a_status_that_hangs_holds_up_no_failure(monkeypatch):
    """What the job does is then not known, and the failure says what it says."""
    released = threading.Event()
    monkeypatch.setattr(jobs, "_STATUS_SECONDS", 0.01)
    job = SimpleNamespace(
        status=released.wait, result=lambda: (_ for _ in ()).throw(JobError("no"))
    )
    with pytest.raises(BackendError, match=r"JobError: no$") as caught:
        result_of(job)
    released.set()
    assert caught.value.transient is None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_member_tells_the_stage_of_a_job():
    """So its result is not waited for in vain."""
    member = Member(BasicSimulator())
    assert isinstance(member, TellsStage)
    handle = Handle(job_id="7", job=Job("CANCELLED - RAN TOO LONG"))
    found = await member.stage(handle)
    assert found == JobStage(name="cancelled", said="CANCELLED - RAN TOO LONG")
