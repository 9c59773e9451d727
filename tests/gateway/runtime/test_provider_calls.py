"""Each call to a member has its own deadline, exactly that, and what it leaves behind is a fact."""

import anyio
import pytest

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.policies import Policy, RetryPolicy
from qiskit_gateway.runtime.provider_calls import Calls, OverdueError

pytestmark = pytest.mark.anyio

BATCH = Batch(entries=(), shots=1, kept_shots=1, key="ours")
JOB = Handle(job_id="theirs", batch=BATCH)
LOST = BackendError("reset by peer", transient=True, fault="network", submitted=None)
PATIENT = RetryPolicy(on_unknown="wait", jitter=0)
HANGS = "hangs"


class Mute:
    """A member whose verbs answer, raise or hang, each after some seconds, as it is told to."""

    name = "mute"

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    async def _answer(self, verb):
        self.asked.append(verb)
        seconds, answer = self.answers[verb]
        await anyio.sleep(seconds)
        if answer == HANGS:
            await anyio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit(self, batch):
        return await self._answer("submit")

    async def collect(self, handle):
        return await self._answer("collect")

    async def cancel(self, handle):
        return await self._answer("cancel")

    async def started(self, handle):
        return await self._answer("started")

    async def reattach(self, job_id):
        return await self._answer("reattach")


class Finding(Mute):
    """A member that can be asked for a job by our name for it."""

    async def find(self, key):
        return await self._answer("find")


class Labelling(Finding):
    """One that has the verb, and says that it is of no use."""

    finds = False


def calls(**given):
    rules = {"submit_seconds": 100, "collect_seconds": 1000, "cancel_seconds": 10, **given}
    return Calls(policy=Policy(**rules), draw=lambda: 0.0)


async def timed(doing):
    """Return how long something took, and what it returned or raised."""
    began = anyio.current_time()
    try:
        answer = await doing
    except BackendError as error:
        answer = error
    return anyio.current_time() - began, answer


@pytest.mark.parametrize("retry", [RetryPolicy(jitter=0), PATIENT], ids=["move", "wait"])
@pytest.mark.parametrize("submit", [(0, HANGS), (30, LOST), (74, LOST)])
@pytest.mark.parametrize("find", [(0, HANGS), (0, None), (0, LOST), (26, JOB)])
async def test_a_submission_and_the_search_for_it_have_one_deadline(retry, submit, find):
    """However a member hangs, its submission is found, or of unknown fate, when its time is up."""
    member = Finding(submit=submit, find=find)

    seconds, answer = await timed(calls(retry=retry).submit(BATCH, member))

    found = find[1] is JOB and submit[0] + find[0] < 100 and submit[1] != HANGS
    assert seconds <= 100
    assert "find" in member.asked
    assert answer.job_id == "theirs" if found else answer.submitted is None


async def test_a_hung_submission_is_looked_for_before_its_deadline():
    """Where a member can be asked, the last quarter of the time is kept for that."""
    member = Finding(submit=(0, HANGS), find=(20, JOB))

    seconds, handle = await timed(calls().submit(BATCH, member))

    assert (seconds, handle.job_id) == (95, "theirs")


@pytest.mark.parametrize("kind", [Mute, Labelling])
async def test_who_cannot_be_asked_has_all_the_time_to_take_a_job(kind):
    """Nothing is kept for a search that cannot be made."""
    taken, handle = await timed(calls().submit(BATCH, kind(submit=(99, JOB))))
    seconds, hung = await timed(calls().submit(BATCH, kind(submit=(0, HANGS))))

    assert (taken, handle) == (99, JOB)
    assert (seconds, hung.submitted) == (100, None)
    assert isinstance(hung, OverdueError)


@pytest.mark.parametrize("job_id", ["theirs", ""])
async def test_a_member_that_hangs_is_asked_once_for_a_job_of_an_earlier_process(job_id):
    """The hang of a lookup costs one deadline; a connection that breaks is asked again over."""
    hung = Finding(reattach=(0, HANGS), find=(0, HANGS))
    reset = Finding(reattach=(1, LOST), find=(1, LOST))

    seconds, error = await timed(calls().find_again(hung, BATCH, job_id))
    await timed(calls().find_again(reset, BATCH, job_id))

    assert seconds == 100
    assert isinstance(error, OverdueError)
    assert (len(hung.asked), len(reset.asked)) == (1, RetryPolicy().max_attempts)


async def test_who_is_to_wait_asks_a_member_that_hangs_again():
    """``on_unknown="wait"`` asks until there is an answer."""
    member = Finding(reattach=(0, HANGS))
    with anyio.move_on_after(1000):
        await calls(retry=PATIENT).find_again(member, BATCH, "theirs")

    assert 5 < len(member.asked) <= 10


@pytest.mark.parametrize("answer", [HANGS, LOST])
async def test_waiting_for_a_result_has_one_deadline_however_often_it_is_asked_for(answer):
    """A result that does not come costs its deadline, in one request or in many."""
    member = Mute(collect=(0 if answer == HANGS else 400, answer))

    seconds, error = await timed(calls().collect(member, JOB))

    assert seconds == 1000
    assert isinstance(error, OverdueError)
    assert error.submitted


@pytest.mark.parametrize("unless", ["never", "running", "perhaps running"])
@pytest.mark.parametrize("verb", ["started", "cancel"])
async def test_asking_a_job_back_has_one_deadline(unless, verb):
    """To ask if a job runs, and to cancel it, are one call with one deadline."""
    answers = {"started": (6, False), "cancel": (6, True), verb: (6, HANGS)}
    member = Mute(**answers)

    seconds, reply = await timed(calls().cancel(member, JOB, unless=unless))

    if unless == "never" and verb == "started":
        assert (seconds, reply.confirmed) == (6, True)
    else:
        assert seconds == 10
        assert reply.failure is not None
        assert not reply.confirmed


async def test_to_look_at_a_job_has_a_deadline():
    """A member that does not say whether it runs a job has said nothing."""
    assert await timed(calls().started(Mute(started=(0, HANGS)), JOB)) == (10, None)
