"""Queues are read where providers tell of them, and nothing that they say can do harm."""

import math
import threading
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends.adapter.queues import QueueWatch, ask, probe_for
from qiskit_gateway.backends.interface.queue_reading import QueueReading
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember

# -- what providers tell: objects with the shapes of their SDKs ------------------------------


@dataclass
class Depth:
    quantum_tasks: object
    jobs: str = "0 (1 prioritized job(s) running)"


class Braket:
    def __init__(self, **tasks):
        self.depth = Depth(tasks)

    def queue_depth(self):
        return self.depth


class Ibm:
    def __init__(self, pending):
        self.pending = pending

    def status(self):
        return SimpleNamespace(operational=True, pending_jobs=self.pending)


class IonQ:
    """A QPU of IonQ: its own status says nothing of a queue."""

    _api_backend_name = "qpu.forte-1"
    _simulator = False

    def __init__(self, seconds):
        self.asked = []
        self.client = SimpleNamespace(estimate_job=self.estimate)
        self.seconds = seconds

    def estimate(self, **job):
        self.asked.append(job)
        return SimpleNamespace(queue_time=self.seconds, exec_time=1.0)

    def status(self):
        return True


class Azure:
    def __init__(self, *seconds, listed=True):
        found = [SimpleNamespace(name="x", _average_queue_time=each) for each in seconds]
        self.targets = found if listed else found[0]

    def _get_azure_target_id(self):
        return "ionq.qpu"

    def _get_azure_workspace(self):
        return SimpleNamespace(get_targets=lambda name: self.targets)


class Asked:
    """A backend that asks its provider for every attribute that it does not have."""

    def __getattr__(self, name):
        raise ConnectionError(name)


@pytest.mark.parametrize(
    ("backend", "wait", "pending"),
    [
        (Braket(Normal="7", Priority="3"), None, 10),
        (Braket(Normal=">4000", Priority="2000"), None, 6000),
        (Braket(Normal="0 (1 prioritized job(s) running)"), None, 0),
        (Braket(Normal="many", Priority="2"), None, 2),
        (Braket(Normal="many"), None, None),
        (Braket(), None, None),
        (Ibm(12), None, 12),
        (Ibm(0), None, 0),
        (Ibm(-1), None, None),
        (Ibm(None), None, None),
        (Ibm(True), None, None),
        (IonQ(90.5), 90.5, None),
        (IonQ(None), None, None),
        (Azure(345), 345, None),
        (Azure(345.0, listed=False), 345, None),
        (Azure(None, 5), 5, None),
        (Azure(), None, None),
        (Azure(math.nan), None, None),
    ],
)
def test_what_providers_tell_is_read(backend, wait, pending):
    """Strings, numbers and objects of each provider become seconds or jobs, or unknown."""
    reading = probe_for(backend)()
    assert (reading.wait_seconds, reading.pending_jobs) == (wait, pending)
    assert reading.known is bool(not reading.error)


def test_ionq_is_asked_about_its_own_machine():
    """The estimate is of a job that can be, on the machine in question."""
    backend = IonQ(1)
    probe_for(backend)()
    assert backend.asked == [
        {"backend": "qpu.forte-1", "oneq_gates": 1, "twoq_gates": 1, "qubits": 2, "shots": 100}
    ]


def test_a_depth_that_is_no_object_is_read_too():
    """An older or newer shape of the answer is understood as far as it goes."""
    backend = Braket()
    backend.depth = "5"
    assert probe_for(backend)().pending_jobs == 5


@pytest.mark.parametrize("make", [BasicSimulator, Asked, object, lambda: None])
def test_nothing_to_ask_is_no_probe(make):
    """A backend that tells nothing has no probe, and is not asked anything to find that out."""
    assert probe_for(make()) is None


def test_simulators_of_ionq_have_no_queue():
    """IonQ estimates queues of machines only."""
    backend = IonQ(1)
    backend._simulator = True
    assert probe_for(backend) is None


def test_the_users_own_callable_wins():
    """Who knows better than the provider is believed."""
    assert probe_for(Ibm(12), lambda: 60)() == QueueReading(wait_seconds=60)


# -- what a callable may answer --------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wait", "pending"),
    [
        (60, 60, None),
        (0.5, 0.5, None),
        (timedelta(minutes=2), 120, None),
        (QueueReading(wait_seconds=3, pending_jobs=4), 3, 4),
        (QueueReading(wait_seconds=math.nan, pending_jobs="x"), None, None),
        (QueueReading(pending_jobs=-1), None, None),
        (timedelta(seconds=-1), None, None),
        (None, None, None),
        (-1, None, None),
        (math.inf, None, None),
        ("60", None, None),
        (True, None, None),
        ([], None, None),
    ],
)
def test_an_answer_is_seconds_or_a_reading(answer, wait, pending):
    """A number is a wait in seconds; jobs are told by a reading; all else is unknown."""
    reading = ask(lambda: answer)
    assert (reading.wait_seconds, reading.pending_jobs) == (wait, pending)


anything = st.none() | st.text() | st.binary() | st.floats() | st.integers() | st.lists(st.text())


@given(anything, st.dictionaries(st.text(), anything))
def test_garbage_is_unknown_and_never_raises(garbage, tasks):
    """Whatever a provider says, a reading has sound numbers or none."""
    strange = Braket()
    strange.depth = Depth(tasks)
    backends = [Ibm(garbage), IonQ(garbage), Azure(garbage), strange]
    probes = [*map(probe_for, backends), lambda: ask(lambda: garbage)]
    for probe in probes:
        reading = probe()
        for number in (reading.wait_seconds, reading.pending_jobs):
            assert number is None or (math.isfinite(number) and number >= 0)


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("no route"), "ConnectionError: no route"),
        (RuntimeError("token=abcdef123"), "RuntimeError: token=[redacted]"),
        (ValueError(), "ValueError"),
        (MuteError(), "MuteError"),
        (SystemExit(1), "SystemExit: 1"),
    ],
)
def test_a_failure_is_a_reading_with_a_reason(error, said):
    """A probe never raises; why it failed is told, without secrets."""

    def fail():
        raise error

    assert ask(fail) == QueueReading(error=said)
    assert not ask(fail).answered


def test_a_user_can_interrupt():
    """Ctrl-C is nobody's answer."""

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(interrupted)


# -- the watch: in the event loop, on a clock that jumps -------------------------------------


def member(name, queue):
    return SimpleNamespace(name=name, queue=queue)


async def watched(members, seconds, **times):
    """Watch for a time, and return what was noted, with when."""
    noted, watch = [], QueueWatch()
    began = anyio.current_time()
    with anyio.move_on_after(seconds):
        await watch.watch(
            members,
            lambda name, reading: noted.append((anyio.current_time() - began, name, reading)),
            **times,
        )
    return noted, watch


@pytest.mark.anyio
async def test_every_queue_is_read_at_once_and_at_every_interval():
    """Readings come at 0, one interval, two; each says when it was asked for."""
    members = [SimulatedMember("a", queue_seconds=60), member("b", lambda: 5)]
    began = anyio.current_time()
    noted, watch = await watched(members, 650)
    for name, wait in (("a", 60), ("b", 5)):
        own = [(when, reading) for when, who, reading in noted if who == name]
        assert [when for when, _ in own] == pytest.approx([0, 300, 600])
        assert {reading.wait_seconds for _, reading in own} == {wait}
        assert [r.read_at for _, r in own] == pytest.approx([began, began + 300, began + 600])
    assert watch.failures == {"a": 0, "b": 0}


@pytest.mark.anyio
async def test_a_simulated_queue_is_read_in_its_own_time():
    """A queue that changes with time is read as it is at the time."""
    qpu = SimulatedMember("qpu", queue_seconds=lambda now, rng: now)
    noted, _ = await watched([qpu], 25, interval_seconds=10)
    assert [reading.wait_seconds for _, _, reading in noted] == pytest.approx([0, 10, 20])


@pytest.mark.anyio
async def test_failures_are_counted_and_noted_and_end_nothing():
    """A queue that fails is read again at the next interval; a success starts the count anew."""
    answers = iter([1.0, None, "x", 2.0])

    def queue():
        return next(answers, None)

    noted, watch = await watched([member("a", queue)], 35, interval_seconds=10)
    assert [bool(reading.error) for _, _, reading in noted] == [False, True, True, False]
    assert watch.failures == {"a": 0}
    _, watch = await watched([member("a", queue)], 35, interval_seconds=10)
    assert watch.failures == {"a": 4}


@pytest.mark.anyio
async def test_members_without_a_queue_are_left_alone():
    """Where there is nothing to read, the watch is over at once."""
    silent = SimpleNamespace(name="a", queue=lambda: 1, queue_probe=None)
    with anyio.fail_after(1):
        noted, _ = await watched([silent, SimpleNamespace(name="b")], 100)
    assert noted == []


@pytest.mark.anyio
@pytest.mark.parametrize("times", [{"interval_seconds": 0}, {"timeout_seconds": -1}])
async def test_times_are_positive(times):
    """A watch that would never rest is refused."""
    with pytest.raises(ValueError, match="must be positive"):
        await QueueWatch().watch([], lambda name, reading: None, **times)


# -- the watch: in threads, in real time -----------------------------------------------------


def in_real_time(backend, main):
    """Run a test whose threads must not be overtaken by a clock that jumps."""
    anyio.run(main, backend=backend)


def probed(name, probe):
    return SimpleNamespace(name=name, queue_probe=probe)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_probes_run_in_threads_and_a_slow_one_holds_up_no_other(backend):
    """A probe that hangs is late alone, is not asked twice at once, and costs one thread."""
    hung, calls, noted = threading.Event(), [], {"slow": [], "quick": []}

    def slow():
        calls.append(threading.current_thread().daemon)
        hung.wait(30)
        return QueueReading(wait_seconds=1)

    async def main():
        async with anyio.create_task_group() as group:

            def note(name, reading):
                noted[name].append(reading)
                if min(len(noted["slow"]), len(noted["quick"])) >= 3:
                    group.cancel_scope.cancel()

            members = [probed("slow", slow), probed("quick", lambda: QueueReading(pending_jobs=4))]
            with anyio.fail_after(20):
                await QueueWatch().watch(members, note, interval_seconds=0.05, timeout_seconds=0.02)

    in_real_time(backend, main)
    hung.set()
    assert calls == [True]
    assert noted["slow"][0].error == "no answer within 0.02 s"
    assert noted["slow"][1].error == "has still not answered when it was asked before"
    assert any(reading.pending_jobs == 4 for reading in noted["quick"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_probe_that_answers_late_is_asked_again(backend):
    """A queue that was slow once is read again as soon as it has answered."""
    first, noted = threading.Event(), []

    def probe():
        first.wait(30)
        return 7  # Any callable will do.

    async def main():
        async with anyio.create_task_group() as group:

            def note(_, reading):
                noted.append(reading)
                first.set()
                if reading.known:
                    group.cancel_scope.cancel()

            with anyio.fail_after(20):
                await QueueWatch().watch(
                    [probed("a", probe)], note, interval_seconds=0.05, timeout_seconds=0.1
                )

    in_real_time(backend, main)
    assert noted[0].error == "no answer within 0.1 s"
    assert noted[-1].wait_seconds == 7


# -- real packages ---------------------------------------------------------------------------


@pytest.mark.providers
def test_ibm_tells_pending_jobs():
    """A backend of IBM's package, though a fake one, is read as it is."""
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    assert probe_for(provider.FakeManilaV2())() == QueueReading(pending_jobs=0)


@pytest.mark.providers
def test_braket_tells_its_depths():
    """Braket's own type of answer is read, and its local simulators have no queue."""
    provider = pytest.importorskip("qiskit_braket_provider")
    from braket.aws.queue_information import QueueDepthInfo, QueueType

    tasks = {QueueType.NORMAL: ">4000", QueueType.PRIORITY: "3"}
    backend = object.__new__(provider.BraketAwsBackend)
    backend._device = SimpleNamespace(queue_depth=lambda: QueueDepthInfo(tasks, "0"))
    assert probe_for(backend)() == QueueReading(pending_jobs=4003)


@pytest.mark.providers
def test_ionq_tells_by_an_estimate():
    """A machine in IonQ's package is asked by its own client."""
    ionq = pytest.importorskip("qiskit_ionq.ionq_backend")
    client = pytest.importorskip("qiskit_ionq.ionq_client")
    backend = object.__new__(ionq.IonQQPUBackend)
    backend.name, backend._simulator = "ionq_qpu.forte-1", False
    answer = client.JobEstimate({"current_predicted_queue_time": 7})
    backend._client = SimpleNamespace(estimate_job=lambda **job: answer)
    assert probe_for(backend)() == QueueReading(wait_seconds=7)
