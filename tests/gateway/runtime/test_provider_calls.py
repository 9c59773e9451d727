"""Each call to a member has its own deadline, exactly that, and what it leaves behind is a fact."""

import anyio
import pytest

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import Handle, JobStage
from qiskit_gateway.policies import Policy, RetryPolicy
from qiskit_gateway.runtime.alarms import Alarms
from qiskit_gateway.runtime.provider_calls import Calls, OverdueError

pytestmark = pytest.mark.anyio

BATCH = Batch(entries=(), shots=1, kept_shots=1, key="ours")
JOB = Handle(job_id="theirs", batch=BATCH)
LOST = BackendError("reset by peer", transient=True, fault="network", submitted=None)
PATIENT = RetryPolicy(on_unknown="wait")
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
    return Calls(policy=Policy(**rules), draw=lambda: 0.0, alarms=ALARMS)


class _Alarms(Alarms):
    """The alarms of whatever is being timed."""

    def __init__(self):
        """Have no group before something is timed."""

    begin = Alarms.__init__


ALARMS = _Alarms()


async def timed(doing):
    """Return how long something took, and what it returned or raised."""
    over = anyio.Event()
    async with anyio.create_task_group() as group:
        ALARMS.begin(group)
        group.start_soon(ALARMS.ring_until, over)
        began = anyio.current_time()
        try:
            answer = await doing
        except BackendError as error:
            answer = error
        seconds = anyio.current_time() - began
        over.set()
    return seconds, answer


@pytest.mark.parametrize("retry", [RetryPolicy(), PATIENT], ids=["move", "wait"])
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


WAITED = BackendError(
    "TimeoutError: gave up", transient=True, fault="network", submitted=True, unfinished=True
)


class Waits(Mute):
    """A member whose own waits end, some seconds after each begins, until the job does."""

    def __init__(self, seconds, ready):
        super().__init__()
        self.seconds, self.ready = seconds, ready

    async def collect(self, handle):
        self.asked.append("collect")
        await anyio.sleep(max(0, min(self.seconds, self.ready - anyio.current_time())))
        if anyio.current_time() < self.ready:
            raise WAITED
        return ()


@pytest.mark.parametrize("seconds", [0, 0.3, 900])
@pytest.mark.parametrize("ready", [5, 3600, 80_000])
async def test_waits_of_the_provider_that_end_before_the_job_are_begun_again(seconds, ready):
    """However many they are; the result is noticed soon, and the provider not asked too often."""
    member = Waits(seconds, anyio.current_time() + ready)

    took, answer = await timed(calls(collect_seconds=86_400).collect(member, JOB))

    assert answer == ()
    assert ready <= took <= ready + max(1, min(0.1 * ready, 30))
    assert len(member.asked) <= 50 + ready / 30


async def test_waits_that_end_are_begun_again_until_the_deadline_of_the_result():
    """A provider that says "running" for ever is waited for as long as the policy says."""
    took, error = await timed(calls().collect(Waits(10, anyio.current_time() + 1e6), JOB))

    assert took == 1000
    assert isinstance(error, OverdueError)


class Staged(Mute):
    """A member that tells the stage of a job by the seconds since it was first asked."""

    def __init__(self, *stages, **answers):
        super().__init__(**answers)
        self.stages, self.began = stages, anyio.current_time()

    async def stage(self, handle):
        waited = anyio.current_time() - self.began
        answer = [answer for since, answer in self.stages if since <= waited][-1]
        if answer == HANGS:
            await anyio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        return JobStage(name=answer, said=f"{answer} in its own words")


@pytest.mark.parametrize("over", ["failed", "cancelled"])
@pytest.mark.parametrize("run_seconds", [None, 500])
@pytest.mark.parametrize("since", [0, 100, 700])
async def test_a_job_that_is_over_and_brings_nothing_ends_within_a_minute(over, run_seconds, since):
    """Its failure says what the provider said, and it is not the deadline that ends it."""
    stages = [(0, "queued"), (since, over)]
    member = Staged(*stages, collect=(0, HANGS), started=(0, False))

    took, error = await timed(calls(run_seconds=run_seconds).collect(member, JOB))

    assert since + 10 <= took <= since + 50
    assert not isinstance(error, OverdueError)
    assert (error.transient, error.submitted) == (None, True)
    assert f"{over} in its own words" in str(error)


@pytest.mark.parametrize("answer", [(5, ()), (9, BackendError("why it failed", submitted=True))])
async def test_what_comes_soon_after_a_job_is_over_counts(answer):
    """The provider's own reason is worth waiting for."""
    member = Staged((0, "failed"), collect=answer)

    assert await timed(calls().collect(member, JOB)) == answer


async def test_a_result_that_does_not_come_of_a_job_that_is_done_is_given_up():
    """It may be a large one, and takes its time; but not all of it."""
    member = Staged((0, "running"), (10, "done"), collect=(0, HANGS))
    took, error = await timed(calls().collect(member, JOB))
    assert 300 <= took <= 360
    assert "done in its own words" in str(error)

    slow = Staged((0, "running"), (10, "done"), collect=(250, ()))
    assert await timed(calls().collect(slow, JOB)) == (250, ())


@pytest.mark.parametrize(
    "stages",
    [
        [(0, "done")],  # It says so of what result() is about to work out.
        [(0, "queued"), (50, "running")],
        [(0, None)],
        [(0, HANGS)],
        [(0, BackendError("cannot tell"))],
        [(0, ValueError("odd"))],
        [(since, "failed" if since % 12 else "running") for since in range(0, 1000, 6)],
    ],
)
async def test_a_job_that_is_not_surely_over_is_waited_for(stages):
    """Who does not say that a job is over, or takes that back, loses nothing."""
    member = Staged(*stages, collect=(900, ()))

    assert await timed(calls().collect(member, JOB)) == (900, ())


@pytest.mark.parametrize("error", [TimeoutError("slow"), KeyError("x")])
async def test_whatever_a_member_raises_in_collecting_is_a_fact(error):
    """Its class names it, and nothing but the attempt ends."""

    class Odd(Mute):
        async def collect(self, handle):
            raise error

    _, told = await timed(calls().collect(Odd(), JOB))
    assert type(error).__name__ in str(told)


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
    assert await timed(calls().ask_started(Mute(started=(0, HANGS)), JOB)) == (10, None)
