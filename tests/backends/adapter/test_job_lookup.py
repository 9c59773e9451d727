"""Jobs found again by the provider's id, or by our own name for them."""

from types import SimpleNamespace

import pytest
from qiskit.providers import JobStatus, Options
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import BackendError, Member
from qiskit_gateway.backends.adapter.job_lookup import FailedJob, fetch, find, label_of
from qiskit_gateway.backends.interface.batch import Batch

pytestmark = pytest.mark.anyio
OPTIONS = frozenset({"shots", "job_tags", "extra_metadata"})


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Run on real clocks: a member calls its backend in threads, whose work no virtual one sees."""
    return request.param


def job(name):
    return SimpleNamespace(job_id=lambda: name)


class Tagging:
    """A provider that lists jobs by their tags."""

    def __init__(self, **tagged):
        self.tagged = tagged

    def jobs(self, job_tags):
        return [job(name) for name, tags in self.tagged.items() if set(job_tags) <= set(tags)]


def test_one_job_with_the_label_is_found():
    """Where one job has the label it is the one; where none has, there is none."""
    backend = SimpleNamespace(service=Tagging(a=["k"], b=["l", "m"]))
    label = label_of(backend, OPTIONS)
    assert find(backend, label, "m").job_id() == "b"
    assert find(backend, label, "n") is None


def test_several_with_one_label_are_no_answer():
    """Which of several jobs of one label holds the shots cannot be known, so none is taken."""
    backend = Tagging(a=["k"], b=["k"])
    with pytest.raises(BackendError, match="2 jobs with the label 'k'"):
        find(backend, label_of(backend, OPTIONS), "k")


def test_the_users_tags_are_kept():
    """Our label comes after whatever tags the user has given."""
    assert label_of(Tagging(), OPTIONS).labelled(["mine"], "k") == ["mine", "k"]
    assert label_of(Tagging(), OPTIONS).labelled(None, "k") == ["k"]


@pytest.mark.parametrize("backend", [BasicSimulator(), SimpleNamespace(jobs=None)])
def test_nothing_is_sent_where_nothing_is_listed(backend):
    """A backend that lists no jobs, or takes no tags, is sent no label."""
    assert label_of(backend, OPTIONS) is None
    assert label_of(Tagging(), frozenset({"shots"})) is None


async def test_a_member_that_cannot_list_says_so():
    """Not to be able to look is an error, and no proof that there is no job."""
    member = Member(BasicSimulator())
    with pytest.raises(BackendError, match="cannot look up jobs by our label"):
        await member.find("k")
    with pytest.raises(BackendError, match="cannot look up jobs"):
        await member.reattach("7")
    assert set(member.options_for(Batch(entries=(), shots=3, kept_shots=3, key="k"))) == {"shots"}


class IonQBackend:
    """The part of IonQ's backend that lists jobs, of an account whose list never ends."""

    __module__ = "qiskit_ionq.ionq_backend"

    def __init__(self):
        self.pages = 0
        self.client = self
        self.api_headers = {}

    def make_path(self, *parts):
        return "/".join(parts)

    def get_with_retry(self, path, params=None, headers=None):
        assert params == ({"next": str(self.pages)} if self.pages else None)
        self.pages += 1
        page = {"jobs": [{"id": "a", "metadata": None}], "next": str(self.pages)}
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: page)


def test_an_endless_list_is_given_up():
    """A list that does not end is not read for ever, and proves nothing."""
    backend = IonQBackend()
    with pytest.raises(BackendError, match="more than 200 pages") as raised:
        find(backend, label_of(backend, OPTIONS), "k")
    assert raised.value.submitted is None
    assert backend.pages == 200


def test_a_job_that_failed_is_still_a_job():
    """Where a provider raises over a failed job instead of returning it, the job is known to exist."""

    class IonQJobFailureError(Exception):
        """As IonQ's."""

    def retrieve(job_id):
        raise {"bad": IonQJobFailureError, "gone": KeyError}[job_id](job_id)

    backend = SimpleNamespace(retrieve_job=retrieve)
    found = fetch(backend, "bad")
    assert isinstance(found, FailedJob)
    assert (found.job_id(), found.status(), found.cancel()) == ("bad", JobStatus.ERROR, None)
    with pytest.raises(IonQJobFailureError):
        found.result()
    with pytest.raises(KeyError):
        fetch(backend, "gone")
    assert fetch(BasicSimulator(), "7") is None


def test_a_member_tells_beforehand_whether_it_can_be_asked():
    """So that a submission has all its time where nothing is to be had from looking for it."""

    class Listing(BasicSimulator):
        """A backend whose jobs have tags."""

        @classmethod
        def _default_options(cls):
            return Options(shots=1, job_tags=None)

        def jobs(self, job_tags):
            return []

    assert Member(Listing()).finds
    assert not Member(BasicSimulator()).finds


def test_braket_is_sent_a_tag_where_tags_are_given():
    """To tag a task takes a permission of its own, so it is the user who begins with it."""

    class Tagged(BasicSimulator):
        """A backend of Braket's package, as far as the name tells."""

        __module__ = "qiskit_braket_provider.providers.braket_backend"

    batch = Batch(entries=(), shots=3, kept_shots=3, key="k")
    plain, tagged = Member(Tagged()), Member(Tagged(), run_options={"tags": {"mine": "x"}})
    assert not plain.finds
    assert "tags" not in plain.options_for(batch)
    assert tagged.finds
    assert tagged.options_for(batch)["tags"] == {"mine": "x", "qiskit_gateway": "k"}
    assert tagged.run_options == {"tags": {"mine": "x"}}
