"""A scripted backend fails as providers do, and the adapter tells each failure as it is."""

import math
import re
import threading
from copy import copy
from functools import partial

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import QuantumCircuit
from qiskit.providers import JobError, JobStatus
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.backends.readout.decode import tally
from qiskit_gateway.backends.scripted import (
    AcceptsThenRaises,
    Cancels,
    CountsOnly,
    Delays,
    Drops,
    Errors,
    Fails,
    FailsExperiments,
    Hangs,
    Malforms,
    Poison,
    ProviderHTTPError,
    Runs,
    ScriptedBackend,
    Short,
    Swaps,
)

pytestmark = pytest.mark.anyio

SHOTS = 40
PATIENCE_SECONDS = 60


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Real clocks: what is tested here happens in threads, which a clock that jumps outruns."""
    return request.param


def ones(number):
    """A circuit of 3 bits whose every shot is ``number``, which is its name too."""
    circuit = QuantumCircuit(3, 3, name=f"ones-{number}", metadata={"number": number})
    for qubit in range(3):
        if number >> qubit & 1:
            circuit.x(qubit)
    circuit.measure(range(3), range(3))
    return circuit


def batch(*numbers, shots=SHOTS):
    entries = [Entry(program=Program(circuit=ones(n)), rows=np.empty((1, 0))) for n in numbers]
    return Batch(entries=tuple(entries), shots=shots, kept_shots=shots, seed=1)


def scripted(*script, **more):
    backend = ScriptedBackend(BasicSimulator(), script, **more)
    return Member(backend), backend


def told(outcome):
    """What an outcome says: the histogram of numbers."""
    ((patterns, counts),) = tally([outcome], partial(np.random.default_rng, 0))
    return dict(zip(patterns[:, 0].tolist(), counts.tolist(), strict=True))


def named(value):
    """A name for a parameter of a test that is the same in every process."""
    return re.sub(r" at 0x\w+", "", repr(value))


async def ran(member, *numbers, **more):
    with anyio.fail_after(PATIENCE_SECONDS):
        return await member.collect(await member.submit(batch(*numbers, **more)))


async def failing(awaitable):
    with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(BackendError) as caught:
        await awaitable
    return caught.value


async def until(condition):
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  What is waited for happens in a thread.
            await anyio.sleep(0.001)


# What is not faulty.


async def test_faithful():
    """Without a script the results are the backend's, and the calls are on record."""
    member, backend = scripted()
    outcomes = await ran(member, 5, 2)
    assert [told(outcome) for outcome in outcomes] == [{5: SHOTS}, {2: SHOTS}]
    assert all(outcome.ordered for outcome in outcomes)
    (call,) = backend.calls
    assert (call.number, call.circuits, call.shots) == (0, 2, SHOTS)
    assert call.options == {"shots": SHOTS, "memory": True, "seed_simulator": 1}
    assert (call.job,) == backend.jobs
    assert not call.cancel_requested


def test_looks_like_what_it_wraps():
    """What is read off a backend is that of the wrapped one, legacy attributes included."""
    wrapped = GenericBackendV2(5, seed=1)
    wrapped.max_shots = 700
    backend = ScriptedBackend(wrapped)
    assert backend.name == f"scripted({wrapped.name})"
    assert ScriptedBackend(wrapped, name="other").name == "other"
    assert backend.target is wrapped.target
    assert backend.options is wrapped.options
    assert (backend.num_qubits, backend.max_circuits) == (5, wrapped.max_circuits)
    assert Member(backend).limits == Member(wrapped).limits
    assert Member(backend).limits.max_shots == 700
    backend.set_options(shots=3)
    assert wrapped.options.shots == 3
    assert not hasattr(backend, "no_such_thing")
    assert copy(backend).wrapped is wrapped


def test_a_script_needs_a_backend_and_steps():
    """What is no backend, or no step, is a TypeError; what is no call, a ValueError."""
    with pytest.raises(TypeError, match="BackendV2"):
        ScriptedBackend(17)
    with pytest.raises(TypeError, match="steps"):
        ScriptedBackend(BasicSimulator(), [Fails]).run(ones(1))
    for make in (lambda: Fails(at="submit"), lambda: Hangs("never"), lambda: Malforms("odd")):
        with pytest.raises(ValueError, match="there are"):
            make()
    with pytest.raises(ValueError, match="AcceptsThenRaises"):
        Fails(submitted=True)
    with pytest.raises(ValueError, match="fraction"):
        Short(1.5)


# Scripts.


async def test_a_script_is_played_in_order_and_then_over():
    """Each call takes the next step; after the last comes ``then``."""
    member, backend = scripted(Fails(), Runs(), then=Fails(throttled=True))
    assert not (await failing(ran(member, 1))).throttled
    assert told((await ran(member, 1))[0]) == {1: SHOTS}
    for _ in range(2):
        assert (await failing(ran(member, 1))).throttled
    assert [call.job is not None for call in backend.calls] == [False, True, False, False]


async def test_a_script_may_be_a_function_of_the_call():
    """A callable is asked at every call, with its number, the circuits and the options."""
    asked = []

    def script(number, circuits, options):
        asked.append((number, len(circuits), options["shots"]))
        return Fails() if number == 1 else None

    member = Member(ScriptedBackend(BasicSimulator(), script, then=Short(0.5)))
    assert told((await ran(member, 1))[0]) == {1: SHOTS // 2}
    assert (await failing(ran(member, 1, 2))).transient
    assert asked == [(0, 1, SHOTS), (1, 2, SHOTS)]


async def test_steps_add_up():
    """Steps that are added, or in a tuple, happen to one job, the first one first."""
    member, _ = scripted(CountsOnly() + Short(10) + Drops(0), (Swaps(0, 1), Drops(0)))
    for _ in range(2):
        outcomes = await ran(member, 1, 2)
        assert all(outcome.error.bad_result for outcome in outcomes)
    member, _ = scripted(CountsOnly() + Short(10))
    (outcome,) = await ran(member, 1)
    assert (told(outcome), outcome.ordered) == ({1: 10}, False)


# Failing calls.


@pytest.mark.parametrize(
    ("step", "facts"),
    [
        (Fails(), {"transient": True, "submitted": False, "fault": "network"}),
        (Fails(throttled=True), {"transient": True, "throttled": True, "submitted": False}),
        (
            Fails(throttled=True, retry_after_seconds=2.5),
            {"throttled": True, "retry_after_seconds": 2.5},
        ),
        (
            Fails(retry_after_seconds=9),
            {"transient": True, "retry_after_seconds": 9, "submitted": False},
        ),
        (
            Fails(retry_after_seconds=9, submitted=None),
            {"transient": True, "retry_after_seconds": 9, "submitted": None},
        ),
        (Fails(submitted=None), {"transient": True, "submitted": None}),
        (Fails(transient=False), {"transient": False, "submitted": False}),
        (Fails(transient=None), {"transient": None, "submitted": None}),
        (Fails(ProviderHTTPError(401, "no")), {"authentication": True, "transient": False}),
        (Fails(BackendError("down", throttled=True)), {"throttled": True, "submitted": False}),
        (Poison(lambda circuit: True, at="run"), {"transient": False, "fault": "caller"}),
    ],
    ids=named,
)
async def test_failing_to_submit(step, facts):
    """What fails at submission is told as facts, and no job exists."""
    member, backend = scripted(step)
    error = await failing(ran(member, 1))
    assert {name: getattr(error, name) for name in facts} == facts
    assert not backend.jobs
    assert told((await ran(member, 1))[0]) == {1: SHOTS}


@pytest.mark.parametrize(
    ("step", "transient"),
    [
        (Fails(at="result"), True),
        (Fails(at="result", transient=None), None),
        (Fails(at="result", throttled=True), True),
        (Errors(), None),
        (Cancels(), None),
        (Poison(lambda circuit: circuit.name == "ones-1"), None),
    ],
    ids=named,
)
async def test_failing_to_collect(step, transient):
    """What fails after submission is told as facts, and the job is known to exist."""
    member, backend = scripted(step)
    error = await failing(ran(member, 0, 1))
    assert (error.submitted, error.transient) == (True, transient)
    assert len(backend.jobs) == 1


async def test_poison_harms_only_with_the_bad_circuit():
    """A job without the bad circuit is none the worse; names and metadata reach the predicate."""
    member, _ = scripted(then=Poison(lambda circuit: circuit.metadata["number"] == 6))
    await failing(ran(member, 5, 6))
    assert told((await ran(member, 5))[0]) == {5: SHOTS}


async def test_status_of_jobs_that_ended_badly():
    """A job says itself that it failed or was cancelled."""
    backend = ScriptedBackend(BasicSimulator(), [Errors(), Cancels(), Fails(at="status"), Runs()])
    statuses = [backend.run(ones(1)) for _ in range(4)]
    assert statuses[0].status() == JobStatus.ERROR
    assert statuses[1].status() == JobStatus.CANCELLED
    with pytest.raises(ConnectionRefusedError):
        statuses[2].status()
    assert statuses[3].status() == JobStatus.DONE
    assert statuses[3].submit() is None


async def test_a_lost_answer_leaves_a_job_behind():
    """After AcceptsThenRaises the fate is unknown, and the job can be found by its id."""
    member, backend = scripted(AcceptsThenRaises())
    error = await failing(ran(member, 3))
    assert (error.submitted, error.transient) == (None, True)
    (job,) = backend.jobs
    found = await member.reattach(job.job_id())
    assert found.job is job
    assert job.result().get_counts() == {"011": SHOTS}
    error = await failing(member.reattach("no such job"))
    assert (error.transient, error.submitted) == (None, True)


# Holding up calls.


async def test_a_hanging_submission_is_left_behind_and_undone():
    """A caller leaves a hanging submission at once; the job that comes of it is cancelled."""
    member, backend = scripted(Hangs() + Hangs(at="result"))
    with anyio.move_on_after(0.05) as scope:
        await member.submit(batch(1))
    assert scope.cancelled_caught
    (call,) = backend.calls
    assert call.job is None
    backend.release()
    await until(lambda: call.cancel_requested)
    assert backend.jobs == (call.job,)


async def test_nothing_is_sent_for_callers_who_have_left():
    """A submission that waits behind a hanging one is not made once its caller has left."""
    member, backend = scripted(Hangs())
    for _ in range(3):
        with anyio.move_on_after(0.05):
            await member.submit(batch(1))
    backend.release()
    await until(lambda: backend.calls[0].cancel_requested)
    assert told((await ran(member, 2))[0]) == {2: SHOTS}
    assert [call.sent[0].name for call in backend.calls] == ["ones-1", "ones-2"]


async def test_a_job_that_waits_can_be_cancelled():
    """A job that the script holds up runs until it is cancelled, and then its result raises."""
    member, backend = scripted(Hangs(at="result"))
    handle = await member.submit(batch(1))
    assert handle.job.status() == JobStatus.RUNNING
    caught = []

    async def collect():
        caught.append(await failing(member.collect(handle)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect)
        assert await member.cancel(handle)
    assert caught[0].submitted
    assert handle.job.status() == JobStatus.CANCELLED
    assert backend.calls[0].cancel_requested
    assert backend.calls[0].cancelled


async def test_a_job_that_is_done_cannot_be_cancelled():
    """Cancelling a job that nothing holds up is left to it, and is on record."""
    member, backend = scripted(Runs(), Fails(at="cancel"))
    for _ in range(2):
        assert not await member.cancel(await member.submit(batch(1)))
    assert [(c.cancel_requested, c.cancelled) for c in backend.calls] == 2 * [(True, False)]


async def test_release():
    """Releasing the backend lets all calls go on, and nothing is lost."""
    member, backend = scripted(Hangs(at="result"))
    handle = await member.submit(batch(4))
    outcomes = []

    async def collect():
        outcomes.extend(await member.collect(handle))

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect)
            await until(lambda: handle.job.status() == JobStatus.RUNNING)
            backend.release()
    assert told(outcomes[0]) == {4: SHOTS}
    assert handle.job.status() == JobStatus.DONE


@pytest.mark.parametrize("at", ["run", "result", "status"])
async def test_delays(at):
    """A delay holds a call up for its time, and changes nothing else."""
    member, _ = scripted(Delays(0.05, at=at) + Short(0.5))
    began = anyio.current_time()
    handle = await member.submit(batch(7))
    outcomes = await member.collect(handle)
    if at == "status":
        assert await anyio.to_thread.run_sync(handle.job.status) == JobStatus.DONE
    assert anyio.current_time() - began >= 0.045
    assert told(outcomes[0]) == {7: SHOTS // 2}


# Spoiled results.


@pytest.mark.parametrize(
    "kind",
    [
        "no_data",
        "zeros_shots",
        "wide_hex",
        "huge_hex",
        "negative",
        "nan",
        "none",
        "garbage",
    ],
)
async def test_malformed_results_are_errors(kind):
    """What cannot be a result is an error for each circuit, never zeros."""
    member, _ = scripted(Malforms(kind))
    outcomes = await ran(member, 1, 0)
    assert [(o.shots, o.error.bad_result, o.error.submitted) for o in outcomes] == 2 * [
        (0, True, True)
    ]
    assert [told(outcome) for outcome in outcomes] == [{}, {}]


async def test_probabilities_are_no_counts():
    """Fractions in place of counts are an error."""
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    entry = Entry(program=Program(circuit=circuit), rows=np.empty((1, 0)))
    member, _ = scripted(Malforms("probabilities"))
    handle = await member.submit(Batch(entries=(entry,), shots=SHOTS, kept_shots=SHOTS, seed=1))
    (outcome,) = await member.collect(handle)
    assert outcome.error.bad_result


async def test_one_malformed_experiment_spoils_no_other():
    """An experiment that is malformed is an error alone."""
    member, _ = scripted(Malforms("wide_hex", 1))
    one, two, three = await ran(member, 1, 2, 3)
    assert (told(one), told(three)) == ({1: SHOTS}, {3: SHOTS})
    assert two.error.bad_result


@pytest.mark.parametrize("number", [0, 5])
async def test_memory_that_lies_is_not_believed(number):
    """Where memory and counts contradict each other nobody knows which is right."""
    member, _ = scripted(Malforms("bin_memory_lies"))
    (outcome,) = await ran(member, number)
    assert outcome.error.bad_result
    assert "contradict" in str(outcome.error)


@pytest.mark.parametrize("amount", [0.25, 10])
@pytest.mark.parametrize("memory", [True, False])
async def test_short_results_say_so(amount, memory):
    """Fewer shots than asked are as many as there are, counted right."""
    member, _ = scripted(Short(amount) if memory else CountsOnly() + Short(amount))
    outcomes = await ran(member, 2, 6)
    assert [told(outcome) for outcome in outcomes] == [{2: 10}, {6: 10}]
    assert [(o.shots, o.ordered) for o in outcomes] == 2 * [(10, memory)]


async def test_no_shots_at_all_are_an_error():
    """A result of no shots is an error."""
    member, _ = scripted(Short(0))
    assert (await ran(member, 2))[0].error is not None


async def test_missing_experiments_are_an_error_for_all():
    """Where experiments are missing nobody knows which belongs to which circuit."""
    member, _ = scripted(Drops(1))
    assert all(outcome.error.bad_result for outcome in await ran(member, 1, 2, 3))


async def test_failed_experiments_spoil_no_other():
    """Of a job that completed in part, the part is used."""
    member, _ = scripted(FailsExperiments(0, 2), FailsExperiments(9))
    one, two, three = await ran(member, 1, 2, 3)
    assert told(two) == {2: SHOTS}
    assert not one.error.bad_result
    assert one.error.submitted
    assert three.error is not None
    assert [told(outcome) for outcome in await ran(member, 1)] == [{1: SHOTS}]


async def test_swapped_experiments_go_unnoticed():
    """Two experiments that are exchanged cannot be told; out of range nothing is exchanged."""
    member, _ = scripted(Swaps(0, 1), Swaps(0, 5))
    assert [told(outcome) for outcome in await ran(member, 1, 2)] == [{2: SHOTS}, {1: SHOTS}]
    assert [told(outcome) for outcome in await ran(member, 1, 2)] == [{1: SHOTS}, {2: SHOTS}]


async def test_counts_only():
    """Without memory the counts are right and the order is not known."""
    member, _ = scripted(CountsOnly())
    (outcome,) = await ran(member, 6)
    assert (told(outcome), outcome.ordered) == ({6: SHOTS}, False)


# Laws.


def noisy():
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.measure_all()
    return circuit


@given(amount=st.integers(0, 30) | st.floats(0, 1), seed=st.integers(0, 9), memory=st.booleans())
def test_short_draws_from_what_there_is(amount, seed, memory):
    """Missing shots are missing from the real ones, the same for the same seed."""
    steps = Short(amount) if memory else CountsOnly() + Short(amount)

    def run(step):
        backend = ScriptedBackend(BasicSimulator(), [step], seed=seed)
        return backend.run(noisy(), shots=20, memory=True, seed_simulator=1).result().results[0]

    whole, short = run(Runs()), run(steps)
    shots = min(20, int(20 * amount) if isinstance(amount, float) else amount)
    assert short.shots == sum(short.data.counts.values()) == shots
    assert all(count <= whole.data.counts[name] for name, count in short.data.counts.items())
    assert run(steps).data.counts == short.data.counts


def test_results_are_made_once():
    """A job returns the same result each time, and the real one is left as it was."""
    backend = ScriptedBackend(BasicSimulator(), [Short(3) + FailsExperiments(0)])
    job = backend.run([ones(1)], shots=SHOTS)
    assert job.result() is job.result()
    assert job.wrapped.result().success
    assert job.wrapped.result().get_counts() == {"001": SHOTS}


def test_threads_share_a_script():
    """Each step of a script is taken once, whichever threads call."""
    backend = ScriptedBackend(BasicSimulator(), [Fails()] * 8 + [Cancels()])
    lost = []

    def run():
        try:
            backend.run(ones(1), shots=1)
        except ConnectionRefusedError:
            lost.append(1)

    threads = [threading.Thread(target=run) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 8
    assert [call.number for call in backend.calls] == list(range(9))
    with pytest.raises(JobError, match="no job"):
        backend.retrieve_job("x")


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: ScriptedBackend(BasicSimulator(), Fails()), TypeError, "a script must be steps"),
        (lambda: ScriptedBackend(BasicSimulator(), 7), TypeError, "a script must be steps"),
        (lambda: ScriptedBackend(BasicSimulator(), Fails), TypeError, "must be steps.*got <class"),
        (lambda: ScriptedBackend(BasicSimulator(), JobStatus), TypeError, "a script must be steps"),
        (
            lambda: ScriptedBackend(BasicSimulator(), {0: Fails()}),
            TypeError,
            "must be steps.*got {0",
        ),
        (lambda: ScriptedBackend(BasicSimulator(), {}), TypeError, "a script must be steps"),
        (lambda: ScriptedBackend(BasicSimulator(), [Fails]), TypeError, "a script has steps"),
        (lambda: ScriptedBackend(BasicSimulator(), then=Fails), TypeError, "a script has steps"),
        (lambda: ScriptedBackend(BasicSimulator(), ["x"]), TypeError, "a script has steps"),
        (lambda: ScriptedBackend(BasicSimulator(), name=7), TypeError, "the name of a backend"),
        (lambda: ScriptedBackend(BasicSimulator(), seed="x"), TypeError, "seed must be"),
        (lambda: ScriptedBackend(BasicSimulator(), seed=-1), ValueError, "seed must be"),
        (lambda: Fails("down"), TypeError, "exception must be an exception"),
        (lambda: Fails(retry_after_seconds="1"), TypeError, "retry_after_seconds must be a number"),
        (
            lambda: Fails(retry_after_seconds=math.nan),
            ValueError,
            "retry_after_seconds must be zero",
        ),
        (lambda: Hangs(seconds=-1), ValueError, "seconds must be zero or more"),
        (lambda: Delays(10**400), ValueError, "seconds must be zero or more"),
        (lambda: Delays("x"), TypeError, "seconds must be a number"),
        (lambda: Poison("x"), TypeError, "predicate must be a function"),
        (lambda: Errors(7), TypeError, "message must be a text"),
        (lambda: Short("x"), TypeError, "amount must be a number"),
        (lambda: Short(math.nan), ValueError, "a fraction in"),
        (lambda: Drops("x"), TypeError, "indices must be whole numbers"),
        (lambda: FailsExperiments(1.5), TypeError, "indices must be whole numbers"),
        (lambda: Malforms("zeros_shots", True), TypeError, "indices must be whole numbers"),
    ],
)
def test_what_makes_no_sense_is_refused_as_it_is_made(make, error, said):
    """Each argument is named, before any job is run."""
    with pytest.raises(error, match=said):
        make()
