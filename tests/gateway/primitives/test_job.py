"""The handle of a run: asking, waiting, cancelling, and what is left when it is over."""

import asyncio
import gc
import math
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from threading import Event, Thread

import anyio
import pytest
import trio
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BasePrimitiveJob
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import JobError, JobStatus
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import GatewayError, PlanError, RouterJob, RouterSampler, RunError
from qiskit_gateway.backends import Fleet, Limits, Member, SimulatedMember
from qiskit_gateway.backends.scripted import Fails, Hangs, Poison, ScriptedBackend
from qiskit_gateway.backends.scripted.steps import Call, Moment, Runs, Step
from qiskit_gateway.policies import BreakerPolicy, RetryPolicy, failover, fastest, round_robin
from qiskit_gateway.primitives.sampler import SamplerOptions, _state
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.run import Run

# Longer than anything here takes on a slow machine; only what hangs for ever reaches it.
PATIENCE = 30.0


@dataclass(frozen=True)
class Signals(Step):
    """Say that a call of the provider has come, and go on when told to, or at once."""

    at: Moment
    came: Event
    go: Event | None = None

    def before(self, moment: Moment, call: Call) -> None:
        if moment == self.at:
            self.came.set()
            if self.go is not None:
                assert self.go.wait(PATIENCE)


def turned(angles):
    """Return a PUB with a row for each angle, named so that a provider can tell it."""
    circuit = QuantumCircuit(1, name="turned")
    circuit.rx(Parameter("angle"), 0)
    circuit.measure_all()
    return circuit, angles


def poisoned():
    circuit = bell()
    circuit.name = "poison"
    return circuit


POISON = Poison(lambda circuit: circuit.name.startswith("poison"))
AT_ONCE = RetryPolicy(wait_initial_seconds=0)
HEALTHY = BreakerPolicy(max_ejected_share=0)


def scripted(*script, then=None):
    return ScriptedBackend(BasicSimulator(), script, then=then)


@pytest.fixture
def held():
    """Return a backend whose results are held up until it is released or they are cancelled."""
    backend = scripted(then=Hangs("result"))
    yield backend
    backend.release()


def wait_for_call(backend, number=0):
    """Wait until the backend has taken a job."""
    until(lambda: len(backend.jobs) > number)
    return backend.calls[number]


def until(condition):
    """Wait for something that nobody announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        Event().wait(0.002)


def counts(result, index=0):
    return result[index].data.meas.get_counts()


# -- waiting ---------------------------------------------------------------------------------------


def test_run_returns_at_once():
    """run() does not wait for the provider, not even for it to take the job."""
    came, go = Event(), Event()
    job = RouterSampler(scripted(Signals("run", came, go))).run([bell()])
    assert isinstance(job, RouterJob)
    assert isinstance(job, BasePrimitiveJob)
    assert came.wait(PATIENCE)
    assert job.status() == JobStatus.QUEUED
    assert not job.running()
    assert not job.done()
    assert not job.in_final_state()
    go.set()
    assert counts(job.result()).keys() <= {"00", "11"}


def test_status_of_a_job_that_runs(held):
    """A job is queued, runs once a provider has it, and is done once its result is there."""
    came, go = Event(), Event()
    backend = scripted(Signals("run", came, go) + Hangs("result"))
    job = RouterSampler(backend).run([bell()])
    assert came.wait(PATIENCE)
    assert job.status() is JobStatus.QUEUED
    go.set()
    wait_for_call(backend)
    with pytest.raises(TimeoutError):
        job.result(timeout=0.05)
    assert job.status() is JobStatus.RUNNING
    assert job.running()
    backend.release()
    job.result()
    assert job.status() is JobStatus.DONE
    assert job.done()
    assert job.in_final_state()
    assert not job.running()
    assert not job.cancelled()
    assert job.error_message() is None


def test_result_with_a_timeout(held):
    """A timeout ends the waiting and not the run."""
    job = RouterSampler(held).run([bell()])
    with pytest.raises(TimeoutError, match=job.job_id()):
        job.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        job.result(0)
    held.release()
    wait_for_call(held)
    held.release()
    assert job.result(timeout=PATIENCE) is job.result()


@pytest.mark.parametrize("timeout", [math.inf, 1e30, 10**400])
def test_a_wait_may_be_longer_than_a_thread_can_wait(timeout):
    job = RouterSampler(BasicSimulator()).run([bell()], shots=1)
    job.wait_for_final_state(timeout)
    assert job.result(timeout) is job.result()


def test_ids_are_unique():
    """A job has an id of its own, a str, and metadata that nobody else writes to."""
    sampler = RouterSampler(BasicSimulator())
    jobs = [sampler.run([bell()], shots=1) for _ in range(20)]
    assert len({job.job_id() for job in jobs}) == 20
    assert all(type(job.job_id()) is str for job in jobs)
    assert all(job.metadata == {} for job in jobs)
    assert not any(hasattr(job, "backend") for job in jobs)


# -- waiting without blocking ----------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_await(loop, held):
    """``await job`` gives the result and lets the caller's loop go on meanwhile."""

    async def main():
        job = RouterSampler(held).run([bell()], shots=10)

        async def release():
            # Only a loop that is not blocked gets here.
            await anyio.to_thread.run_sync(wait_for_call, held)
            held.release()

        async with anyio.create_task_group() as group:
            group.start_soon(release)
            result = await job
        assert result is await job
        assert result is job.result()
        return sum(counts(result).values())

    assert anyio.run(main, backend=loop) == 10


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)])
def test_await_a_failure(run):
    """``await job`` raises what ``result()`` raises."""
    wide = QuantumCircuit(30, 1)
    wide.measure(0, 0)

    async def main():
        with pytest.raises(PlanError):
            await RouterSampler(BasicSimulator()).run([wide])

    run(main())


def test_several_await_one_job(held):
    """Any number of tasks may wait for one job, and one that gives up disturbs no other."""

    async def main():
        job = RouterSampler(held).run([bell()])

        async def wait():
            return await job

        tasks = [asyncio.create_task(wait()) for _ in range(5)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0.01)
        tasks[0].cancel()
        await asyncio.to_thread(wait_for_call, held)
        held.release()
        results = await asyncio.gather(*tasks[1:])
        assert all(result is job.result() for result in results)

    asyncio.run(main())


def test_result_inside_a_running_loop():
    """In a notebook code runs inside a loop: result() blocks it, and does not hang."""

    async def main():
        sampler = RouterSampler(BasicSimulator())
        assert len(sampler.run([bell()]).result(timeout=PATIENCE)) == 1
        return await sampler.run([bell()])

    assert len(asyncio.run(main())) == 1


def test_a_blocked_loop_blocks_no_other_job(held):
    """A loop that awaits one job and is blocked in the result of another does not stop either."""

    async def main():
        first = RouterSampler(held).run([bell()])

        async def wait():
            return await first

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)

        class AfterFirst(Step):
            def before(self, moment, call):
                if moment == "run":
                    held.release()
                    first.result(PATIENCE)

        wait_for_call(held)
        second = RouterSampler(scripted(AfterFirst())).run([bell()])
        assert len(second.result(timeout=PATIENCE)) == 1
        assert len(await waiting) == 1

    asyncio.run(main())


def test_a_loop_that_has_ended(held):
    """A job outlives the loop that awaited it, and nothing waits for that loop."""

    async def main():
        job = RouterSampler(held).run([bell()])
        with anyio.move_on_after(0.01):
            await job
        return job

    jobs = [anyio.run(main, backend=loop) for loop in ("asyncio", "trio")]
    for number in range(2):
        wait_for_call(held, number)
        held.release()
        assert len(jobs[number].result(PATIENCE)) == 1


def test_jobs_do_not_wait_for_each_other(held):
    """Jobs run side by side, on one sampler and on several."""
    sampler = RouterSampler([held, BasicSimulator()], policy=failover())
    stuck = RouterSampler(held).run([bell()])
    wait_for_call(held)
    free = RouterSampler(BasicSimulator())
    jobs = [free.run([bell()], shots=5) for _ in range(30)]
    assert all(len(job.result(PATIENCE)) == 1 for job in jobs)
    assert not stuck.in_final_state()
    waiting = sampler.run([bell()])
    held.release()
    assert len(stuck.result(PATIENCE)) == 1
    wait_for_call(held, 1)
    held.release()
    assert len(waiting.result(PATIENCE)) == 1


def test_threads_share_a_sampler():
    """Several threads may run, wait and ask on one sampler at a time."""
    backends = [BasicSimulator() for _ in range(3)]
    sampler = RouterSampler(backends, policy=round_robin())
    found = []

    def use(shots):
        for _ in range(5):
            job = sampler.run([(bell(), None, shots)] * 3)
            job.progress()
            job.report()
            job.partial_result()
            found.extend(pub.data.meas.num_shots == shots for pub in job.result(PATIENCE))

    threads = [Thread(target=use, args=[10 + number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 * 5 * 3
    assert all(found)


# -- cancelling ------------------------------------------------------------------------------------


def test_cancel_reaches_the_provider(held):
    """cancel() ends the job, and asks the provider to cancel what it has of it."""
    job = RouterSampler(held).run([bell()])
    call = wait_for_call(held)
    assert job.cancel() is True
    with pytest.raises(RunError, match="cancelled") as caught:
        job.result(PATIENCE)
    assert call.cancel_requested
    assert job.status() is JobStatus.CANCELLED
    assert job.cancelled()
    assert job.in_final_state()
    assert not job.done()
    assert job.cancel() is False
    assert job.error_message() == str(caught.value)
    assert [attempt.outcome for attempt in job.report().attempts] == ["cancelled"]


def test_cancel_keeps_what_is_done():
    """What had arrived before the job was cancelled is in its partial result."""
    backend = scripted(Runs(), Hangs("result"))
    member = Member(backend, limits=Limits(max_circuits=1))
    job = RouterSampler(member).run([(bell(), None, 5)] * 3)
    wait_for_call(backend, 1)
    assert job.cancel()
    with pytest.raises(RunError) as caught:
        job.result(PATIENCE)
    for partial in (caught.value.partial_result, job.partial_result()):
        assert sum(counts(partial).values()) == 5
        assert [pub.metadata.get("received_shots", 5) for pub in partial] == [5, 0, 0]
    assert len(backend.calls) == 2


def test_cancel_at_any_moment():
    """However soon it is cancelled, a job ends, and no job of its own stays with the provider."""
    backend = scripted(then=Hangs("result"))
    for delay in [0.0] * 20 + [0.0003 * number for number in range(20)]:
        job = RouterSampler(backend).run([bell()])
        Event().wait(delay)
        assert job.cancel() is True
        with pytest.raises(RunError):
            job.result(timeout=10)
        assert job.cancelled()
    # A provider that took a job after nobody waited any more is told a moment later.
    until(lambda: all(call.cancel_requested for call in backend.calls))


def test_stop_the_moment_after_a_submission():
    """A run that is stopped between the order to submit a shard and its start stops it too."""
    backend = scripted(then=Hangs("result"))
    work, _ = _state([SamplerPub.coerce(bell(), 10)], SamplerOptions())
    run = Run("job", Fleet(backend), fastest(), work)

    async def main():
        with anyio.move_on_after(2):
            async with anyio.create_task_group() as group:
                group.start_soon(run.execute)
                await anyio.lowlevel.checkpoint()
                run.stop("enough")

    anyio.run(main)
    assert run.ended is not None


def test_cancel_what_is_over():
    """A job that is over cannot be cancelled, and stays as it is."""
    job = RouterSampler(BasicSimulator()).run([bell()])
    job.result()
    assert job.cancel() is False
    assert job.done()


def test_cancel_while_the_provider_takes_the_job():
    """A job that the provider takes when nobody waits any more is cancelled there after all."""
    came, go = Event(), Event()
    backend = scripted(Signals("run", came, go) + Hangs("result"))
    job = RouterSampler(backend).run([bell()])
    assert came.wait(PATIENCE)
    job.cancel()
    with pytest.raises(RunError):
        job.result(PATIENCE)
    assert job.cancelled()
    go.set()
    call = wait_for_call(backend)
    assert call.released.wait(PATIENCE)
    assert call.cancel_requested


def test_cancel_with_a_provider_that_cannot():
    """A provider that refuses to cancel does not keep a job alive, and the report says so."""
    backend = scripted(Hangs("result") + Fails(NotImplementedError("no cancelling"), at="cancel"))
    job = RouterSampler(backend).run([bell()])
    wait_for_call(backend)
    job.cancel()
    with pytest.raises(RunError):
        job.result(PATIENCE)
    (attempt,) = job.report().attempts
    assert "may still run" in attempt.failure
    assert "no cancelling" in str(job.report())
    backend.release()


def test_cancel_leaves_other_jobs_alone(held):
    """Cancelling one job gives its place to the next, which was not cancelled."""
    sampler = RouterSampler(held)
    first, second = sampler.run([bell()]), sampler.run([bell()])
    wait_for_call(held)
    first.cancel()
    with pytest.raises(RunError):
        first.result(PATIENCE)
    wait_for_call(held, 1)
    held.release()
    assert len(second.result(PATIENCE)) == 1


# -- meanwhile -------------------------------------------------------------------------------------


def test_progress_and_partial_result():
    """While a job runs, it tells what is done, runs and waits, and shows what has arrived."""
    came, go = Event(), Event()
    backend = scripted(Runs(), Runs(), Signals("result", came, go))
    member = Member(backend, name="only", limits=Limits(max_circuits=2))
    job = RouterSampler(member).run([(*turned([[0.0]] * 8), 10), (bell(), None, 5)])
    assert came.wait(PATIENCE)
    until(lambda: job.progress().shots_done == 40)

    progress = job.progress()
    assert (progress.circuits, progress.shots) == (9, 85)
    assert progress.shots_done == 40
    assert progress.members["only"].circuits_done == 4
    assert progress.members["only"].circuits_running == 2
    assert progress.shots_running == 20
    assert progress.shots_waiting == 25

    partial = job.partial_result()
    assert partial[0].metadata["received_shots"].tolist() == [10] * 4 + [0] * 4
    assert partial[0].metadata["shots"] == 10
    assert partial[1].metadata["received_shots"] == 0
    assert partial[0].data.meas.num_shots == 10

    report = job.report()
    assert [attempt.outcome for attempt in report.attempts] == ["done", "done", "running"]
    assert report.members["only"]["circuits"] == 4
    go.set()
    job.result()


def test_what_was_asked_meanwhile_stays():
    """A partial result and a report are the caller's: what comes later does not change them."""
    came, go = Event(), Event()
    backend = scripted(Runs(), Signals("result", came, go))
    member = Member(backend, limits=Limits(max_circuits=2))
    job = RouterSampler(member).run([(*turned([[3.141592653589793]] * 4), 10)])
    assert came.wait(PATIENCE)
    until(lambda: job.progress().shots_done == 20)
    partial, report, progress = job.partial_result(), job.report(), job.progress()
    go.set()
    result = job.result()
    assert partial[0].metadata["received_shots"].tolist() == [10, 10, 0, 0]
    assert partial[0].data.meas.array[..., 0].tolist() == [[1] * 10] * 2 + [[0] * 10] * 2
    assert report.attempts[1].outcome == "running"
    assert report.attempts[1].finished_seconds is None
    assert progress.shots_done == 20
    assert "received_shots" not in result[0].metadata
    assert job.partial_result() is result
    assert job.progress().shots_done == 40
    assert job.progress().shots_waiting == 0


def test_a_part_of_the_shots():
    """Of a row whose shots are cut, those that have come stand first and are counted."""
    came, go = Event(), Event()
    backend = scripted(Runs(), Runs(), Signals("result", came, go))
    member = Member(backend, limits=Limits(max_shots=10))
    job = RouterSampler(member).run([turned([[3.141592653589793]])], shots=40)
    assert came.wait(PATIENCE)
    until(lambda: job.progress().shots_done == 20)
    partial = job.partial_result()[0]
    assert partial.metadata["received_shots"].tolist() == [20]
    assert partial.data.meas.array[0, :, 0].tolist() == [1] * 20
    go.set()
    assert job.result()[0].data.meas.get_counts() == {"1": 40}


def test_report():
    """The report names each attempt: where, as which job, what of, when, and how it ended."""
    backend = scripted(Fails())
    members = [Member(backend, name="shaky"), Member(BasicSimulator(), name="calm")]
    policy = failover(retry=RetryPolicy(wait_initial_seconds=0, max_attempts=1))
    job = RouterSampler(members, policy=policy).run([(bell(), None, 7)])
    job.result()
    report = job.report()
    assert report.job_id == job.job_id()
    first, second = report.attempts
    assert (first.member, first.outcome, first.accepted_seconds) == ("shaky", "failed", None)
    assert "refused" in first.failure
    assert (second.member, second.outcome, second.circuits, second.shots) == ("calm", "done", 1, 7)
    assert second.job_id
    assert second.submitted_seconds <= second.accepted_seconds <= second.finished_seconds
    assert second.finished_seconds <= report.seconds
    assert report.members["shaky"]["failures"] == 1
    assert report.members["calm"] == {
        "jobs": 1,
        "circuits": 1,
        "shots": 7,
        "failures": 0,
        "price_usd": 0.0,
    }
    assert "shaky" in str(report)
    assert "1 x shaky: " in str(report)
    assert report.to_dict()["attempts"][1]["member"] == "calm"


# -- failures --------------------------------------------------------------------------------------


def too_wide():
    circuit = QuantumCircuit(9, 1)
    circuit.measure(0, 0)
    return circuit


def small(name, qubits):
    return Member(scripted(), name=name, limits=Limits(num_qubits=qubits))


def test_plan_error():
    """Work that nobody can take is an error with everybody's reason, and nothing is sent."""
    members = [small("three", 3), small("five", 5)]
    job = RouterSampler(members).run([bell(), too_wide()])
    with pytest.raises(PlanError, match="pub 1") as caught:
        job.result(PATIENCE)
    assert caught.value.reasons.keys() == {"three", "five"}
    assert all("9 qubits" in reason for reason in caught.value.reasons.values())
    assert "three: needs 9 qubits, has 3" in str(caught.value)
    assert not any(member.backend.calls for member in members)
    assert job.status() is JobStatus.ERROR
    assert job.in_final_state()
    assert job.error_message() == str(caught.value)
    assert job.report().attempts == ()


def test_run_error():
    """One circuit that nobody can run is found and named; the rest is in the partial result."""
    members = [Member(scripted(then=POISON), name=name) for name in ("one", "two")]
    sampler = RouterSampler(members, policy=fastest(retry=AT_ONCE))
    job = sampler.run([(bell(), None, 5), (poisoned(), None, 6), (bell(), None, 7)])
    with pytest.raises(RunError, match="pub 1") as caught:
        job.result(PATIENCE)
    error = caught.value
    assert [failure.pub for failure in error.failures] == [1]
    assert error.failures[0].reasons.keys() == {"one", "two"}
    assert all("9999" in reason for reason in error.failures[0].reasons.values())
    assert {attempt.member for attempt in error.attempts} == {"one", "two"}
    received = [pub.metadata.get("received_shots", -1) for pub in error.partial_result]
    assert received == [-1, 0, -1]
    assert [sum(counts(error.partial_result, index).values()) for index in (0, 2)] == [5, 7]
    assert job.status() is JobStatus.ERROR
    assert job.report().given_up == error.failures
    assert [pub.metadata["shots"] for pub in job.partial_result()] == [5, 6, 7]


def test_partial_results_on_request():
    """A policy may want the finished part in place of an error."""
    policy = fastest(retry=AT_ONCE, breaker=HEALTHY, on_failure="partial")
    job = RouterSampler(scripted(then=POISON), policy=policy).run([poisoned(), bell()], shots=5)
    result = job.result(PATIENCE)
    assert [pub.metadata.get("received_shots", -1) for pub in result] == [0, -1]
    assert job.done()
    assert job.report().given_up


def failed_jobs():
    """Return jobs that failed in each way."""
    cancelled = RouterSampler(scripted(then=Hangs("result"))).run([bell()])
    cancelled.cancel()
    return [
        RouterSampler(small("three", 3)).run([too_wide()]),
        RouterSampler(scripted(then=POISON), policy=fastest(retry=AT_ONCE)).run([poisoned()]),
        cancelled,
    ]


def test_errors_repeat():
    """result() raises the very same exception every time."""
    for job in failed_jobs():
        with pytest.raises((PlanError, RunError)) as first:
            job.result(PATIENCE)
        with pytest.raises((PlanError, RunError)) as second:
            job.result()
        assert first.value is second.value


def test_errors_can_be_pickled():
    """An error goes to another process with all that it carries."""
    for job in failed_jobs():
        with pytest.raises((PlanError, RunError)) as caught:
            job.result(PATIENCE)
        error, again = caught.value, again_from(pickle.dumps(caught.value))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again).keys() == vars(error).keys()
        if isinstance(error, RunError):
            assert again.failures == error.failures
            assert again.attempts == error.attempts
            assert len(again.partial_result) == len(error.partial_result)


@pytest.mark.parametrize(
    ("raised", "told", "kind"),
    [
        (ZeroDivisionError("a bug in a member"), "a bug", ZeroDivisionError),
        (SystemExit(3), "SystemExit was raised", GatewayError),
        (KeyboardInterrupt(), "KeyboardInterrupt was raised", GatewayError),
    ],
)
def test_what_must_not_happen_is_an_error_of_the_job(raised, told, kind):
    """An error that nobody foresaw ends the job, alone and not in a group, and no other."""

    class Odd(Member):
        @property
        def weight(self):
            if threading.current_thread() is threading.main_thread():
                return 1.0
            raise raised

        @weight.setter
        def weight(self, given):
            pass

    job = RouterSampler(Odd(BasicSimulator())).run([(bell(), None, 50), (bell(), None, 200)])
    with pytest.raises(kind, match=told):
        job.result(PATIENCE)
    assert job.status() is JobStatus.ERROR
    assert told in job.error_message()
    assert len(RouterSampler(BasicSimulator()).run([bell()]).result(PATIENCE)) == 1


# -- when it is over -------------------------------------------------------------------------------


def test_a_finished_job_can_be_pickled():
    """A finished job keeps all that can be asked of it."""
    job = RouterSampler(BasicSimulator()).run([(bell(), None, 9)])
    result = job.result()
    again = again_from(pickle.dumps(job))
    assert again.job_id() == job.job_id()
    assert again.status() is JobStatus.DONE
    assert again.done()
    assert counts(again.result()) == counts(result)
    assert again.result().metadata == {"version": 2}
    assert counts(again.partial_result()) == counts(result)
    assert again.progress() == job.progress()
    assert again.report() == job.report()
    assert again.metadata == {}
    assert again.cancel() is False
    assert asyncio.run(awaited(again)) is again.result()
    assert counts(again_from(pickle.dumps(again)).result()) == counts(result)


def again_from(pickled):
    return pickle.loads(pickled)  # noqa: S301  Our own, of a moment ago.


async def awaited(job):
    return await job


def test_failed_jobs_can_be_pickled():
    """A job that failed, too, with its error and its partial result."""
    for job in failed_jobs():
        with pytest.raises((PlanError, RunError)) as caught:
            job.result(PATIENCE)
        again = again_from(pickle.dumps(job))
        assert again.status() is job.status()
        assert again.cancelled() == job.cancelled()
        assert again.error_message() == str(caught.value)
        assert len(again.partial_result()) == 1
        with pytest.raises(type(caught.value)):
            again.result()


def test_pickling_waits_for_the_end(held):
    """As with Qiskit's own jobs, a job that runs is pickled when it is over."""
    job = RouterSampler(held).run([bell()])
    pickled = []
    thread = Thread(target=lambda: pickled.append(pickle.dumps(job)))
    thread.start()
    wait_for_call(held)
    assert not pickled
    held.release()
    thread.join(PATIENCE)
    assert again_from(pickled[0]).done()


_ENDING = """
import sys, threading
from qiskit import QuantumCircuit
from qiskit.providers import JobStatus, JobV1
from qiskit.providers.basic_provider import BasicSimulator
from qiskit_gateway import RouterSampler

class Hung(JobV1):
    def submit(self): pass
    def status(self): return JobStatus.RUNNING
    def result(self): threading.Event().wait()
    def cancel(self):
        print("cancelled\\n", end="", flush=True)
        return True

came = threading.Event()

class Provider(BasicSimulator):
    def run(self, circuits, **options):
        print("taken\\n", end="", flush=True)
        came.set()
        if sys.argv[1] == "run":
            threading.Event().wait()
        return Hung(self, "1")

circuit = QuantumCircuit(1, 1)
circuit.measure(0, 0)
job = RouterSampler(Provider()).run([circuit])
came.wait(30)
if sys.argv[1] == "thread":
    def wait():
        try:
            job.result(1)
        except TimeoutError:
            print("waited\\n", end="", flush=True)
    threading.Thread(target=wait).start()
print("leaving\\n", end="", flush=True)
"""


# Python 3.12.0 and 3.12.1 start no thread once the main thread has ended.
_REFUSING = """
import threading
from qiskit_gateway.backends.adapter import threads
threads.REFUSES_AT_EXIT = True
start = threading.Thread.start
def refuse(self):
    if not threading.main_thread().is_alive():
        raise RuntimeError("can't create new thread at interpreter shutdown")
    start(self)
threading.Thread.start = refuse
"""

_CROWD = """
import sys, threading
from qiskit import QuantumCircuit
from qiskit.providers import JobStatus, JobV1
from qiskit.providers.basic_provider import BasicSimulator
from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.policies import round_robin

came = threading.Semaphore(0)

class Hung(JobV1):
    def submit(self): pass
    def status(self): return JobStatus.RUNNING
    def result(self): threading.Event().wait()
    def cancel(self):
        print(f"cancelled {self.job_id()}\\n", end="", flush=True)  # In one piece.
        if sys.argv[1]:
            threading.Event().wait()
        return True

class Provider(BasicSimulator):
    def run(self, circuits, **options):
        came.release()
        return Hung(self, self.name)

def member(number):
    backend = Provider()
    backend.name = f"m{number}"
    return Member(backend, limits=Limits(max_circuits=1))

circuit = QuantumCircuit(1, 1)
circuit.measure(0, 0)
sampler = RouterSampler([member(number) for number in range(4)], policy=round_robin())
job = sampler.run([circuit] * 4)
for _ in range(4):
    came.acquire()
"""


@pytest.mark.parametrize(("refusing", "hangs"), [(False, ""), (True, ""), (True, "hangs")])
def test_all_that_flies_is_cancelled_at_the_end(refusing, hangs):
    """Each provider hears of it, though none answers, also where Python starts no thread any more."""
    program = (_REFUSING if refusing else "") + _CROWD
    ended = subprocess.run(  # noqa: S603  A program of our own.
        [sys.executable, "-W", "error", "-c", program, hangs],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ended.stderr == ""
    assert sorted(ended.stdout.splitlines()) == [f"cancelled m{number}" for number in range(4)]


@pytest.mark.parametrize("refusing", [False, True])
@pytest.mark.parametrize(
    ("where", "heard"),
    [
        ("result", {"taken", "leaving", "cancelled"}),
        ("run", {"taken", "leaving"}),
        ("thread", {"taken", "leaving", "waited", "cancelled"}),
    ],
)
def test_the_process_ends(where, heard, refusing):
    """A program with a job in flight ends within seconds, and well; the provider is told."""
    # The provider never answers, so a program that waited for it would not end at all.
    ended = subprocess.run(  # noqa: S603  A program of our own.
        [sys.executable, "-W", "error", "-c", (_REFUSING if refusing else "") + _ENDING, where],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},
    )
    assert ended.stderr == ""
    said = ended.stdout.split()
    assert set(said) >= heard
    if where == "thread":
        assert said[-2:] == ["waited", "cancelled"]


def test_a_provider_that_raises_from_status(held):
    """What a provider's own job says of itself is not asked when it is not needed."""
    backend = scripted(Fails(JobError("no status"), at="status"))
    assert len(RouterSampler(backend).run([bell()]).result(PATIENCE)) == 1


def test_a_circuit_that_changes_after_run_was_called():
    """A run is of the circuits as they were when it was asked for, however late they are sent."""
    came, go = Event(), Event()
    held = scripted(Signals("result", came, go))
    sampler = RouterSampler(Member(held, limits=Limits(max_in_flight=1)))
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    first = sampler.run([circuit], shots=10)
    assert came.wait(PATIENCE)
    second = sampler.run([circuit], shots=10)
    circuit.x(0)
    circuit.measure(0, 0)
    go.set()

    third = sampler.run([circuit], shots=10)

    counts = [job.result(PATIENCE)[0].data.c.get_counts() for job in (first, second, third)]
    assert counts == [{"0": 10}, {"0": 10}, {"1": 10}]


def test_the_end_is_waited_for_however_it_comes():
    """Waiting raises no error of the run, only one of time that says that the run goes on."""
    made = QuantumCircuit(1)
    made.measure_all()
    job = RouterSampler(SimulatedMember("a", queue_seconds=3600.0)).run([made])
    with pytest.raises(TimeoutError, match="goes on"):
        job.wait_for_final_state(timeout=0.0)
    assert not job.in_final_state()
    job.cancel()
    job.wait_for_final_state(timeout=60)
    assert job.cancelled()
    job.wait_for_final_state()


def test_what_is_done_goes_with_its_job():
    """Arrays are freed with the last handle of their run, not when Python next looks for cycles."""
    sampler = RouterSampler(scripted())
    gc.collect()
    gc.disable()
    try:
        job = sampler.run([bell()])
        job.result()
        run = weakref.ref(job._run)
        del job
        until = time.monotonic() + PATIENCE
        while run() is not None and time.monotonic() < until:
            ENGINE.call(lambda: None)  # Its task is about to end.
        assert run() is None
    finally:
        gc.enable()
