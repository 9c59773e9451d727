"""Tasks at Braket found again by a tag, over the real client, which checks what is asked and answered."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

boto3 = pytest.importorskip("boto3")
stub = pytest.importorskip("botocore.stub")
braket = pytest.importorskip("qiskit_braket_provider.providers.braket_backend")
aws = pytest.importorskip("braket.aws")

from qiskit_gateway.backends import BackendError  # noqa: E402
from qiskit_gateway.backends.adapter.job_lookup import find, label_of  # noqa: E402
from qiskit_gateway.backends.providers import aws_braket  # noqa: E402

pytestmark = pytest.mark.providers
DEVICE = "arn:aws:braket:us-east-1::device/qpu/acme/one"
FILTERS = [{"name": "deviceArn", "operator": "EQUAL", "values": [DEVICE]}]
GIVEN = frozenset({"tags"})


class Offline(braket.BraketAwsBackend):
    """The real backend over the real client, without a device to ask what it can do."""

    def __init__(self, session):
        self._device = SimpleNamespace(aws_session=session, arn=DEVICE)


@pytest.fixture
def cloud(monkeypatch):
    """Return a backend, and the stub by which its client is answered."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    session = boto3.Session(**keys)
    client = session.client("braket")
    with stub.Stubber(client) as answers:
        yield Offline(aws.AwsSession(boto_session=session, braket_client=client)), answers


def task(name, **tags):
    """Return a task as it is listed."""
    return {
        "quantumTaskArn": f"arn:aws:braket:us-east-1:123456789012:quantum-task/{name}",
        "status": "QUEUED",
        "deviceArn": DEVICE,
        "shots": 10,
        "outputS3Bucket": "amazon-braket-x",
        "outputS3Directory": "tasks",
        "createdAt": datetime(2026, 1, 1, tzinfo=UTC),
        "tags": tags,
    }


def answer(stubber, *tasks, after=None, more=None):
    asked = {"filters": FILTERS, "maxResults": 100} | ({"nextToken": after} if after else {})
    page = {"quantumTasks": list(tasks)} | ({"nextToken": more} if more else {})
    stubber.add_response("search_quantum_tasks", page, asked)


def test_a_task_is_found_by_its_tag_on_whatever_page(cloud):
    """The tasks of the device are gone through, and the one with the tag is the job."""
    backend, stubber = cloud
    answer(stubber, task("a"), task("b", qiskit_gateway="other", mine="k"), more="next")
    answer(stubber, task("c", qiskit_gateway="k"), after="next")

    job = find(backend, label_of(backend, GIVEN), "k")

    assert isinstance(job, braket.BraketQuantumTask)
    assert job.job_id().endswith("quantum-task/c")
    stubber.assert_no_pending_responses()


def test_no_task_with_the_tag_is_no_job(cloud):
    """Where the whole list has none, there is none."""
    backend, stubber = cloud
    answer(stubber, task("a"), task("b", qiskit_gateway="other"))
    assert find(backend, label_of(backend, GIVEN), "k") is None


def test_several_tasks_of_one_job_are_not_told_apart(cloud):
    """Which task is which circuit nobody says, so that such a job stays of unknown fate."""
    backend, stubber = cloud
    answer(stubber, task("a", qiskit_gateway="k"), task("b", qiskit_gateway="k"))
    with pytest.raises(BackendError, match="2 jobs with the label"):
        find(backend, label_of(backend, GIVEN), "k")


def test_a_list_without_end_is_given_up(cloud, monkeypatch):
    """So many pages prove nothing."""
    monkeypatch.setattr(aws_braket, "MAX_PAGES", 2)
    backend, stubber = cloud
    for page in range(3):
        answer(stubber, after=f"{page}" if page else None, more=f"{page + 1}")
    with pytest.raises(BackendError, match="more than 2 pages") as raised:
        find(backend, label_of(backend, GIVEN), "k")
    assert raised.value.submitted is None


def test_tags_are_the_users_to_give(cloud):
    """Without tags nothing is tagged, since that may not be permitted; given ones are kept."""
    backend, _ = cloud
    assert label_of(backend, frozenset()) is None
    assert label_of(backend, GIVEN).labelled({"mine": "x"}, "k") == {
        "mine": "x",
        "qiskit_gateway": "k",
    }
