"""A simulated member takes the time that its model says, on any clock."""

import heapq
import math
from functools import partial
from itertools import pairwise

import anyio
import numpy as np
import pytest
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import FleetMember, Handle
from qiskit_gateway.backends.pricing.rates import FREE, Pricing
from qiskit_gateway.backends.readout.decode import decode, tally
from qiskit_gateway.backends.simulation.machine import Machine, SimulatedJob
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember

pytestmark = pytest.mark.anyio

HOUR = 3600.0


def program(num_qubits=2):
    circuit = QuantumCircuit(num_qubits)
    circuit.measure_all()
    return Program(circuit=circuit)


TWO, TEN = program(2), program(10)


def batch(circuits=1, shots=100, *, programs=(TWO,), kept_shots=None):
    entries = tuple(Entry(program=p, rows=np.empty((circuits, 0))) for p in programs)
    return Batch(entries=entries, shots=shots, kept_shots=kept_shots or shots)


def virtually(function, *arguments):
    """Run an async function on a virtual clock, for laws that hypothesis calls."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(function, *arguments, backend="trio", backend_options={"clock": clock})


async def all_ran(member, batches):
    """Run all at once; return the jobs and when each came back."""
    came = {}

    async def run(number):
        handle = await member.submit(batches[number])
        await member.collect(handle)
        came[number] = (handle.job, anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for number in range(len(batches)):
            tasks.start_soon(run, number)
    return [came[number] for number in range(len(batches))]


async def failure(awaitable):
    with pytest.raises(BackendError) as caught:
        await awaitable
    return caught.value


# What it gives.


def test_is_a_member():
    """It has all that a fleet needs, and its limits are its width and what is given."""
    member = SimulatedMember("qpu", num_qubits=20, limits=Limits(max_circuits=7), tags="a")
    assert isinstance(member, FleetMember)
    assert member.limits == Limits(num_qubits=20, max_circuits=7)
    assert (member.pricing, member.weight, member.tags) == (FREE, 1.0, {"a"})
    assert SimulatedMember("qpu", limits=Limits(num_qubits=3)).limits.num_qubits == 3
    assert SimulatedMember("qpu", pricing=Pricing(per_job=2)).pricing == Pricing(per_job=2)
    assert repr(member) == "SimulatedMember('qpu')"


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 0},
        {"fidelity": 1.1},
        {"failure_rate": -0.1},
        {"parallel_jobs": 0},
        {"queue_seconds": -1},
        {"shot_seconds": math.nan},
        {"outages": [(2, 2)]},
        {"outages": [(2, 10**400)]},
        {"outages": [(math.nan, 2)]},
        {"seed": -1},
        {"weight": 10**400},
        {"job_seconds": 10**400},
        {"fidelity": 10**400},
    ],
    ids=str,
)
def test_numbers_out_of_range(wrong):
    """A number that makes no sense is a ValueError with the number in it."""
    with pytest.raises(ValueError, match=r"must be|starts before"):
        SimulatedMember("qpu", **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"failure_rate": "0.1"}, "failure_rate must be a number, got '0.1'"),
        ({"parallel_jobs": 1.5}, "parallel_jobs must be a whole number, got 1.5"),
        ({"told": "x"}, "told must be True or False, got 'x'"),
        ({"seed": "x"}, "seed must be a whole number of zero or more, or several, got 'x'"),
        ({"seed": 1.5}, "seed must be a whole number of zero or more, or several, got 1.5"),
        ({"queue_seconds": "x"}, "queue_seconds must be a number, got 'x'"),
        ({"told": True, "job_seconds": lambda *_: "1"}, "job_seconds must be a number, got '1'"),
    ],
    ids=[
        "text",
        "part of a job",
        "text for a flag",
        "text for a seed",
        "part of a seed",
        "text for seconds",
        "text of a function",
    ],
)
def test_kinds_of_values(wrong, said):
    """What is no number is a TypeError with the value in it."""
    with pytest.raises(TypeError, match=said):
        SimulatedMember("qpu", **wrong)


async def test_zeros():
    """Every circuit gets its wanted shots, all zeros, at the cost of one object for all alike."""
    member = SimulatedMember("qpu")
    asked = batch(1000, 50, kept_shots=30, programs=(TWO, TEN))
    outcomes = await member.collect(await member.submit(asked))
    assert len(outcomes) == 2000
    assert len(set(map(id, outcomes))) == 2
    assert tally(outcomes[999:1001], partial(np.random.default_rng, 0))[0][1].tolist() == [30]
    out = np.full((1, 30, 2), 255, np.uint8)
    assert decode(outcomes[1000:1001], [range(10)], [out], partial(np.random.default_rng, 0)) == (
        None,
    )
    assert not out.any()


async def test_refusals():
    """What can never run is refused by position, and nothing was sent."""
    member = SimulatedMember("qpu", num_qubits=5, limits=Limits(min_shots=10))
    assert member.refusal(TEN, 100, {}) == "needs 10 qubits, has 5"
    assert "at least 10 shots" in member.refusal(TWO, 9, {})
    assert not member.refusal(TWO, 10, {})
    with pytest.raises(Refused) as caught:
        await member.submit(batch(programs=(TWO, TEN)))
    assert caught.value.reasons == {1: "needs 10 qubits, has 5"}


async def test_limits_are_enforced():
    """A job above the limits is the caller's fault; one job too many is throttled."""
    limits = Limits(max_circuits=3, max_shots=200, max_in_flight=2)
    member = SimulatedMember("qpu", limits=limits, job_seconds=HOUR)
    for asked in (batch(4), batch(1, 201)):
        error = await failure(member.submit(asked))
        assert (error.fault, error.transient, error.submitted) == ("caller", False, False)
    first = await member.submit(batch(3, 200))
    await member.submit(batch())
    error = await failure(member.submit(batch()))
    assert (error.throttled, error.transient, error.submitted) == (True, True, False)
    await member.collect(first)
    assert await member.submit(batch())


# How long it takes.


async def test_time_of_a_job():
    """A job takes its queue, its overhead, and so much for each circuit and each shot."""
    member = SimulatedMember(
        "qpu", queue_seconds=HOUR, job_seconds=10, circuit_seconds=2, shot_seconds=0.25
    )
    ((job, came),) = await all_ran(member, [batch(4, 100)])
    assert (job.started, job.finished) == (HOUR, HOUR + 10 + 4 * 2 + 400 * 0.25)
    assert came == job.finished


@given(
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 50)), min_size=1, max_size=12),
    job_seconds=st.integers(0, 60),
    queue_seconds=st.integers(0, 1000),
)
def test_jobs_run_one_after_another(sizes, job_seconds, queue_seconds):
    """The makespan of one machine is its queue and the sum of its jobs, in order of submission."""
    member = SimulatedMember(
        "qpu",
        job_seconds=job_seconds,
        queue_seconds=queue_seconds,
        circuit_seconds=1,
        shot_seconds=0.5,
    )

    async def main():
        handles = [await member.submit(batch(circuits, shots)) for circuits, shots in sizes]
        for handle in handles:
            await member.collect(handle)
        return [handle.job for handle in handles], anyio.current_time()

    jobs, end = virtually(main)
    total = sum(job_seconds + n + n * shots * 0.5 for n, shots in sizes)
    assert end == pytest.approx(queue_seconds + total)
    for before, after in pairwise(jobs):
        assert after.started == before.finished


@given(
    count=st.integers(1, 30),
    parallel_jobs=st.integers(1, 5),
    spread=st.sampled_from([0, 5, 500]),
    seed=st.integers(0, 99),
)
def test_never_more_than_fit(count, parallel_jobs, spread, seed):
    """No more than ``parallel_jobs`` run at once, and no machine idles while a job may start."""
    member = SimulatedMember(
        "qpu",
        parallel_jobs=parallel_jobs,
        queue_seconds=lambda _now, rng: rng.uniform(0, spread) if spread else 0.0,
        job_seconds=lambda _now, rng: rng.exponential(60),
        seed=seed,
    )
    jobs = [job for job, _ in virtually(all_ran, member, [batch()] * count)]
    for job in jobs:
        running = [j for j in jobs if j.started <= job.started < j.finished]
        assert len(running) <= parallel_jobs
        if job.started > job.ready:
            before = [j for j in jobs if j.started < job.started <= j.finished]
            assert len(before) >= parallel_jobs
        assert all(j.started >= job.started for j in jobs if j.ready > job.ready)


async def test_who_may_start_first_starts_first():
    """A job with a shorter queue overtakes those that wait, and none that runs."""
    queue = iter([0.0, 50.0, 20.0])
    member = SimulatedMember("qpu", queue_seconds=lambda _now, _rng: next(queue), job_seconds=30)
    ran = await all_ran(member, [batch()] * 3)
    assert sorted((job.started, came) for job, came in ran) == [(0, 30), (30, 60), (60, 90)]
    assert [job.ready for job, _ in sorted(ran, key=lambda one: one[1])] == [0, 20, 50]


async def test_durations_see_now():
    """A callable is given the seconds of the member's clock, at submission."""
    seen = []

    def seconds(now, _rng):
        seen.append(now)
        return 5.0

    member = SimulatedMember("qpu", job_seconds=seconds)
    await anyio.sleep(7)
    for _ in range(2):
        await member.collect(await member.submit(batch()))
        await anyio.sleep(1)
    assert seen == [0, 6]
    member = SimulatedMember("qpu", job_seconds=lambda _now, _rng: -1.0)
    with pytest.raises(ValueError, match="job_seconds must be zero or more"):
        await member.submit(batch())


async def test_seeds_fix_the_randomness():
    """The same seed draws the same times, job by job, whatever was asked in between."""
    member = SimulatedMember(
        "qpu",
        queue_seconds=lambda _now, rng: rng.exponential(100),
        job_seconds=lambda _now, rng: rng.exponential(10),
        failure_rate=0.5,
        seed=3,
    )

    async def drawn(*, reading):
        member.start_clock(None)
        drawn = []
        for _ in range(20):
            if reading:
                assert member.queue() > 0
            job = (await member.submit(batch())).job
            drawn.append((job.ready - anyio.current_time(), job.seconds, job.fails))
        return drawn

    first = await drawn(reading=False)
    other = await drawn(reading=False)
    member.reseed(3)
    assert await drawn(reading=True) == first != other
    assert len(set(first)) == 20


async def test_queue_reading():
    """The queue is read in seconds; a constant one needs no event loop."""
    assert SimulatedMember("qpu", queue_seconds=90).queue() == 90.0
    await anyio.sleep(5)
    member = SimulatedMember("qpu", queue_seconds=lambda now, _rng: 10 + now)
    assert member.queue() == 10
    await anyio.sleep(5)
    assert member.queue() == 15


async def test_millions_of_circuits_cost_nothing_per_shot():
    """A job of a million circuits of a million shots is no more work than its outcomes' places."""
    member = SimulatedMember("qpu", shot_seconds=1e-6)
    rows = np.empty((1_000_000, 0))
    entry = Entry(program=TWO, rows=rows)
    asked = Batch(entries=(entry,), shots=1_000_000, kept_shots=1_000_000)
    outcomes = await member.collect(await member.submit(asked))
    assert len(outcomes) == 1_000_000
    assert anyio.current_time() == pytest.approx(1e6)


# Failures.


@settings(max_examples=10)
@given(rate=st.sampled_from([0.0, 0.2, 1.0]), seed=st.integers(0, 5))
def test_failure_rate(rate, seed):
    """So many jobs fail, at their end, and the failure says that they were submitted."""
    member = SimulatedMember("qpu", failure_rate=rate, job_seconds=10, seed=seed)

    async def main():
        errors = []
        for _ in range(200):
            before = anyio.current_time()
            try:
                await member.collect(await member.submit(batch()))
            except BackendError as error:
                errors.append((error.transient, error.submitted, error.fault))
            assert anyio.current_time() - before == pytest.approx(10)
        return errors

    errors = virtually(main)
    assert abs(len(errors) - 200 * rate) <= 30
    assert set(errors) <= {(True, True, "backend")}


@pytest.mark.parametrize("wrong", [5, [5], [(1, 2, 3)], ["ab"], [(1, "a")], [(None, 2)]])
def test_outages_that_are_no_windows_are_refused_in_our_words(wrong):
    """Python's own errors would not say what is wanted."""
    with pytest.raises(TypeError, match=r"outages? must be"):
        SimulatedMember("qpu", outages=wrong)


async def test_outages():
    """An outage refuses submission, fails what runs when it begins, and holds up what waits."""
    member = SimulatedMember("qpu", job_seconds=40, outages=[(100, 200), (60, 100), (500, 501)])
    await member.collect(await member.submit(batch()))
    runs, waits = [await member.submit(batch()) for _ in range(2)]
    error = await failure(member.collect(runs))
    assert (error.transient, error.submitted) == (True, True)
    assert anyio.current_time() == 60
    await anyio.sleep(1)
    for verb, submitted in (
        (member.submit(batch()), False),
        (member.cancel(waits), True),
        (member.reattach(waits.job_id), True),
    ):
        error = await failure(verb)
        assert (error.transient, error.fault, error.submitted) == (True, "network", submitted)
    await member.collect(waits)
    assert (waits.job.started, anyio.current_time()) == (200, 240)
    assert await member.submit(batch())


async def test_the_clock_starts_with_the_first_use():
    """Outages count from the member's first use, or from when its clock was started."""
    await anyio.sleep(1000)
    member = SimulatedMember("qpu", outages=[(10, 20)])
    await member.submit(batch())
    await anyio.sleep(15)
    assert (await failure(member.submit(batch()))).transient
    member.start_clock(anyio.current_time() - 5)
    await member.submit(batch())
    await anyio.sleep(5)
    assert (await failure(member.submit(batch()))).transient


def test_a_new_event_loop_is_a_new_beginning():
    """Jobs and outages of an event loop that is gone do not reach into the next."""
    member = SimulatedMember("qpu", job_seconds=HOUR, outages=[(HOUR, 2 * HOUR)])

    async def main():
        handles = [await member.submit(batch()) for _ in range(2)]
        await member.collect(handles[0])
        return handles[0], anyio.current_time()

    async def later(handle):
        return await failure(member.collect(handle))

    handle, end = virtually(main)
    assert end == HOUR
    assert virtually(main)[1] == HOUR
    error = virtually(later, handle)
    assert (error.transient, error.submitted) == (False, None)


# Cancelling, and finding again.


async def test_cancel():
    """Cancelling is confirmed unless the job has ended, and frees the machine at once."""
    member = SimulatedMember("qpu", job_seconds=100)
    runs, waits, last = [await member.submit(batch()) for _ in range(3)]
    errors = []

    async def collect(handle):
        errors.append(await failure(member.collect(handle)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect, runs)
        tasks.start_soon(collect, waits)
        await anyio.sleep(30)
        assert await member.cancel(waits)
        assert await member.cancel(waits)
        assert await member.cancel(runs)
    assert [(error.transient, error.submitted) for error in errors] == 2 * [(None, True)]
    assert anyio.current_time() == 30
    assert (waits.job.started, waits.job.finished) == (30, 30)
    await member.collect(last)
    assert (last.job.started, anyio.current_time()) == (30, 130)
    assert not await member.cancel(last)


async def test_whoever_goes_away_leaves_the_job():
    """A cancelled collect leaves the job to the provider, where it can be found again by its id."""
    member = SimulatedMember("qpu", job_seconds=100)
    handle = await member.submit(batch(3))
    with anyio.move_on_after(10):
        await member.collect(handle)
    found = await member.reattach(handle.job_id)
    assert len(await member.collect(found)) == 3
    assert len(await member.collect(Handle(job_id=handle.job_id))) == 3
    assert anyio.current_time() == 100
    error = await failure(member.reattach("other"))
    assert (error.transient, error.submitted) == (False, None)


async def test_a_cancelled_submission_leaves_nothing():
    """A caller who is cancelled before submit returns has put nothing into the line."""
    member = SimulatedMember("qpu", job_seconds=100)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await member.submit(batch())
    handle = await member.submit(batch())
    assert handle.job.started == anyio.current_time()
    assert handle.job_id == "qpu-1"


# The plan, against another way to find it.


def served(arrivals, lanes, stops):
    """Replay a queue event by event: ``(submitted, ready, seconds)`` and ``{number: when}``."""
    waiting, running, started, finished = [], [], {}, {}
    times = {t for submitted, ready, _ in arrivals for t in (submitted, ready)} | set(
        stops.values()
    )
    agenda = sorted(times)
    heapq.heapify(agenda)
    last = -1.0
    while agenda:
        now = heapq.heappop(agenda)
        if now == last:
            continue
        last = now
        for number in [n for n in running if finished[n] <= now]:
            running.remove(number)
        for number, when in stops.items():
            if when == now and finished.get(number, math.inf) > now:
                started.setdefault(number, now)
                finished[number] = now
                running = [n for n in running if n != number]
        waiting = sorted(
            (ready, number)
            for number, (submitted, ready, _) in enumerate(arrivals)
            if submitted <= now and ready <= now and number not in started
        )
        for _, number in waiting[: lanes - len(running)]:
            started[number], finished[number] = now, now + arrivals[number][2]
            running.append(number)
            heapq.heappush(agenda, finished[number])
    return [(started[n], finished[n]) for n in range(len(arrivals))]


times = st.integers(0, 20)


@given(
    arrivals=st.lists(st.tuples(times, times, st.integers(1, 9)), min_size=1, max_size=12),
    lanes=st.integers(1, 3),
    stops=st.dictionaries(st.integers(0, 11), st.integers(0, 60), max_size=4),
)
def test_plan(arrivals, lanes, stops):
    """The plan that is kept up as jobs come and go is the one that a replay of the queue finds."""
    arrivals = sorted((when, when + wait, seconds) for when, wait, seconds in arrivals)
    stops = {n: max(when, arrivals[n][0]) + 0.5 for n, when in stops.items() if n < len(arrivals)}
    machine = Machine(lanes, [])
    jobs = [
        SimulatedJob(job_id=str(n), shape=(), shots=1, ready=ready, seconds=seconds, fails=False)
        for n, (_, ready, seconds) in enumerate(arrivals)
    ]
    moments = [(when, n, machine.add) for n, (when, _, _) in enumerate(arrivals)]
    moments += [(when, n, machine.stop) for n, when in stops.items()]
    for now, n, act in sorted(moments, key=lambda moment: moment[:2]):
        if act == machine.add or jobs[n].finished > now:
            act(jobs[n], now)
    assert [(job.started, job.finished) for job in jobs] == served(arrivals, lanes, stops)
    assert machine.busy(1000) == 0


# Both event loops.


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_real_clocks(anyio_backend):
    """It works on the clocks of both event loops, cancellation included."""
    member = SimulatedMember("qpu", job_seconds=0.02)
    began = anyio.current_time()
    ran = await all_ran(member, [batch()] * 3)
    assert anyio.current_time() - began >= 0.06
    assert sorted(came >= job.finished for job, came in ran) == 3 * [True]
    handle = await member.submit(batch())
    assert await member.cancel(handle)
    assert (await failure(member.collect(handle))).submitted
