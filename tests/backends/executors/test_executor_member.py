"""A simulator on workers is right like one in this process, and nothing is lost when a worker dies."""

import copy
import gc
import os
import pickle
import pickletools
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import executor_backends
import numpy as np
import pytest
from dask_cluster import start_cluster
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target
from small_circuits import ones

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import (
    BackendError,
    ExecutorMember,
    Fleet,
    Limits,
    Member,
    Pricing,
    check_member,
)
from qiskit_gateway.backends.executors.pool import connect_dask, make_process_pool
from qiskit_gateway.policies import Policy, RetryPolicy, failover, fastest, round_robin

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

TESTS = Path(__file__).parents[2]
BASIC = "qiskit.providers.basic_provider:BasicSimulator"
# What the scheduler is asked to do, of which it has no function.
FORGIVE_NOTHING = (
    "[setattr(one, 'allowed_failures', 0) "
    "for one in __import__('distributed').Scheduler._instances]"
)
SOON = Policy(minimize=fastest().minimize, retry=RetryPolicy(wait_initial_seconds=0.01))


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def dask() -> Iterator[Executor]:
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client.get_executor()


@pytest.fixture(scope="module", params=[threads, dask], ids=["threads", "dask"])
def executor(request):
    with request.param() as made:
        yield made


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as made:
        yield made


def counts(result):
    return [pub.data.meas.get_counts() for pub in result]


# -- the contract ------------------------------------------------------------------------------


def test_every_bit_is_in_its_place(executor):
    """Registers, bits that nothing measures and rows come back as they were asked for."""
    wide = QuantumCircuit(
        QuantumRegister(3), a := ClassicalRegister(2, "a"), ClassicalRegister(2, "b")
    )
    wide.x(0)
    wide.measure(0, a[1])
    turn = QuantumCircuit(1)
    turn.rx(Parameter("angle"), 0)
    turn.measure_all()
    sampler = RouterSampler(ExecutorMember(executor, BASIC))
    result = sampler.run([wide, (turn, [[0.0], [np.pi], [0.0]], 50)], shots=20).result(timeout=120)
    assert result[0].data.a.get_counts() == {"10": 20}
    assert result[0].data.b.get_counts() == {"00": 20}
    assert [result[1].data.meas[row].get_counts() for row in range(3)] == [
        {"0": 50},
        {"1": 50},
        {"0": 50},
    ]


def test_estimates_are_those_of_the_exact_state(executor):
    """Bases are measured on the workers, and rows with free parameters are bound there."""
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("angle"), 0)
    circuit.cx(0, 1)
    pub = (circuit, SparsePauliOp(["ZI", "XX", "YY"], [1, 0.5, 0.25]), [[0.3], [1.2], [2.5]])
    estimator = RouterEstimator(ExecutorMember(executor, "qiskit_aer:AerSimulator"))
    found = estimator.run([pub], precision=0.01).result(timeout=120)[0].data
    exact = StatevectorEstimator().run([pub]).result()[0].data
    assert np.all(np.abs(found.evs - exact.evs) < 6 * np.maximum(found.stds, 1e-3))


def test_a_seed_decides_the_shots(executor):
    """The same seed brings the shots that a member in this process brings; none brings others."""
    pubs = executor_backends.turned()
    seeded = [
        RouterSampler(member, options={"seed_simulator": 5}).run(pubs, shots=64).result(timeout=120)
        for member in (ExecutorMember(executor, BASIC), Member(BasicSimulator()))
    ]
    assert counts(seeded[0]) == counts(seeded[1])
    sampler = RouterSampler(ExecutorMember(executor, BASIC))
    runs = [sampler.run([pubs[2]], shots=256).result(timeout=120) for _ in range(2)]
    # Dask would answer the second of two equal calls with what it has of the first.
    assert not np.array_equal(*(run[0].data.meas.array for run in runs))


def test_it_is_examined_like_any_member(executor):
    """The kit for those who write members finds nothing wrong."""
    member = ExecutorMember(executor, "qiskit_aer:AerSimulator")
    found = anyio.run(check_member, member)
    assert found.ok, str(found)


def test_a_waiting_job_is_called_off_and_a_running_one_is_not(executor, tmp_path):
    """Cancelling is confirmed only where no worker has begun, and then none ever does."""
    executor_backends.prepare(tmp_path)
    member = ExecutorMember(executor, "executor_backends:Held", {"folder": str(tmp_path)})
    jobs = [member._pool.submit(work) for work in works(member, 4)]
    (tmp_path / "began").read_text()
    held = next(job for job in jobs if job.status() == "RUNNING")
    assert not held.cancel()
    assert held.status() == "RUNNING"
    last = jobs[-1]
    assert last.status() == "QUEUED"
    assert last.cancel()
    assert last.status() == "CANCELLED"
    (tmp_path / "gate").write_text("open")
    assert len(held.answer()["outcomes"]) == 1
    with pytest.raises(BackendError) as caught:
        last.answer()
    assert caught.value.transient
    assert caught.value.unbilled


def works(member, number):
    """Make jobs that no two workers run at once: their backend takes one at a time."""
    from qiskit_gateway.backends.executors.work import pack_work
    from qiskit_gateway.backends.interface.batch import Batch, Entry, Program

    program = Program(circuit=ones())
    batch = Batch(entries=(Entry(program=program, rows=np.empty((1, 0))),), shots=10, kept_shots=10)
    prepared = [member._isa.prepare(program)]
    return [
        pack_work(batch, prepared, member._spec, f"job-{n}-{id(member)}") for n in range(number)
    ]


def test_nothing_of_qiskit_is_pickled():
    """What goes to a worker and comes back names no class of Qiskit's, or of a simulator's."""

    class Watched(ThreadPoolExecutor):
        seen: list[object]

        def submit(self, function, /, *arguments, **named):
            future: Future = super().submit(function, *arguments, **named)
            self.seen += [arguments, future]
            return future

    circuit = QuantumCircuit(2, metadata={"mine": object()})
    circuit.ry(Parameter("angle"), 0)
    circuit.measure_all()
    with Watched(2) as pool:
        pool.seen = []
        member = ExecutorMember(pool, "qiskit_aer:AerSimulator", {"method": "statevector"})
        RouterSampler(member).run([(circuit, [[0.1], [0.2]])]).result(timeout=60)
        texts = [
            pickle.dumps(one.result() if isinstance(one, Future) else one) for one in pool.seen
        ]
    names = {
        argument.partition(".")[0]
        for text in texts
        for _, argument, _ in pickletools.genops(text)
        if isinstance(argument, str) and re.fullmatch(r"\w+(\.\w+)+", argument)
    }
    assert len(texts) == 2
    assert names == {"numpy", "qiskit_gateway"}


def test_rows_travel_as_numbers():
    """A job of many rows of one circuit is hardly larger than one of a few."""
    member = ExecutorMember(ThreadPoolExecutor, "qiskit_aer:AerSimulator")
    from qiskit_gateway.backends.executors.work import pack_work
    from qiskit_gateway.backends.interface.batch import Batch, Entry, Program

    circuit = QuantumCircuit(5)
    for qubit in range(5):
        circuit.ry(Parameter(f"angle{qubit}"), qubit)
    circuit.measure_all()
    program = Program(circuit=circuit)

    def size(rows):
        entry = Entry(program=program, rows=np.zeros((rows, 5)))
        batch = Batch(entries=(entry,), shots=10, kept_shots=10)
        work = pack_work(batch, [member._isa.prepare(program)], member._spec, "a")
        return len(pickle.dumps(work))

    assert size(1001) - size(1) == pytest.approx(1000 * 5 * 8, rel=0.02)


def test_a_backend_is_built_once_per_process(executor):
    """However many jobs and members there are; other arguments are another backend."""
    executor_backends.BUILT.clear()
    one, two = (f"{label} of {type(executor).__name__}" for label in ("one", "two"))
    for label in (one, two, one):
        member = ExecutorMember(executor, "executor_backends:Counted", {"label": label})
        RouterSampler(member).run([ones()] * 5, shots=5).result(timeout=60)
    assert sorted(executor_backends.BUILT) == [one, two]


def test_jobs_in_flight_are_as_many_as_workers(executor):
    """By default; what is said wins."""
    assert ExecutorMember(executor, BASIC).limits.max_in_flight == 2
    limits = Limits(max_in_flight=7, max_circuits=3)
    assert ExecutorMember(executor, BASIC, limits=limits).limits.max_in_flight == 7


# -- workers that die ----------------------------------------------------------------------------


def test_a_pool_that_breaks_is_made_anew(tmp_path):
    """A worker is killed in the middle of a run: nothing is lost, and nothing is charged for it."""
    executor_backends.prepare(tmp_path)
    arguments = {"folder": str(tmp_path)}
    pools = []

    def make():
        pools.append(make_process_pool(2))
        return pools[-1]

    member = ExecutorMember(
        make,
        "executor_backends:Held",
        arguments,
        limits=Limits(max_circuits=1),
        pricing=Pricing(per_job=1.0),
    )
    job = RouterSampler(member, policy=SOON).run([ones(w) for w in (1, 2, 3, 2, 1)], shots=30)
    executor_backends.kill_holder(tmp_path)
    widths = (1, 2, 3, 2, 1)
    assert counts(job.result(timeout=200)) == [{"1" * width: 30} for width in widths]
    assert len(pools) == 2
    report = job.report()
    failed = [one for one in report.attempts if one.outcome == "failed"]
    assert failed
    assert [(one.failure, one.price_usd) for one in failed if "lost" not in one.failure] == []
    assert [
        (one.outcome, one.failure[:90], one.price_usd) for one in report.attempts if one.price_usd
    ] == [("done", "", 1.0)] * 5
    pools[-1].shutdown()


def test_a_given_pool_that_breaks_says_what_to_do(tmp_path):
    """It cannot be made anew; others take the work over, or the error says how that is changed."""
    executor_backends.prepare(tmp_path)
    arguments = {"folder": str(tmp_path)}
    with make_process_pool(1) as pool:
        held = ExecutorMember(pool, "executor_backends:Held", arguments, name="held")
        fleet = Fleet([held, Member(BasicSimulator(), name="here")])
        job = RouterSampler(fleet, policy=round_robin()).run([ones()] * 4, shots=10)
        executor_backends.kill_holder(tmp_path)
        assert counts(job.result(timeout=200)) == [{"1": 10}] * 4
        once = Policy(
            minimize=fastest().minimize,
            retry=RetryPolicy(max_attempts=1, wait_initial_seconds=0.01, budget_floor=0),
        )
        with pytest.raises((PlanError, RunError), match="a callable that makes the executor"):
            RouterSampler(held, policy=once).run([ones()]).result(timeout=60)


class Odd(Executor):
    """An executor that takes no job: its answer is no future, or an exception."""

    def __init__(self, answer=None):
        self.answer = answer
        self.asked = 0

    def submit(self, function, /, *arguments, **named):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "submit() of Odd returned None, which is no future"),
        (7, "submit() of Odd returned 7, which is no future"),
        (BrokenExecutor("all died"), "BrokenExecutor: all died; give a callable"),
    ],
)
def test_an_executor_that_takes_no_job_is_asked_once_for_each(answer, said):
    """What it will not take later either is no matter of retries, and the error says what it did."""
    executor = Odd(answer)
    with pytest.raises(PlanError, match=re.escape(said)):
        RouterSampler(ExecutorMember(executor, BASIC)).run([ones()] * 30).result(timeout=60)
    assert executor.asked == 1


def test_other_members_take_over_from_an_executor_that_takes_no_job():
    """It is the executor that is at fault, and not the circuits."""
    executor = Odd()
    fleet = Fleet(
        [ExecutorMember(executor, BASIC, name="odd"), Member(BasicSimulator(), name="here")]
    )
    job = RouterSampler(fleet, policy=failover("odd", "here")).run([ones(), ones(2)], shots=10)
    assert counts(job.result(timeout=60)) == [{"1": 10}, {"11": 10}]
    assert executor.asked == 1


def test_an_executor_that_was_shut_down_is_asked_once():
    """It never takes a job again; a callable is asked for another one first."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    for given in (pool, lambda: pool):
        job = RouterSampler(ExecutorMember(given, BASIC)).run([ones()])
        with pytest.raises(PlanError, match="cannot schedule new futures after shutdown"):
            job.result(timeout=60)
        assert len(job.report().attempts) == 1


def test_an_executor_may_ask_for_patience(pool):
    """What a cluster says of its network is believed, and the job is sent again."""

    class Distant(Odd):
        def submit(self, function, /, *arguments, **named):
            if self.asked:
                return pool.submit(function, *arguments, **named)
            return super().submit(function)

    for error in (ConnectionRefusedError("no route"), RuntimeError("no slot now, 8 of 8 in use")):
        executor = Distant(error)
        job = RouterSampler(ExecutorMember(executor, BASIC), policy=SOON).run([ones()], shots=10)
        assert counts(job.result(timeout=60)) == [{"1": 10}]
        assert len(job.report().attempts) == 2


def test_an_error_of_a_callable_keeps_what_it_says_of_itself():
    """How long it asks to be let alone, and that it knows nobody there."""

    def make_pool():
        raise BackendError("a moment", transient=True, throttled=True, retry_after_seconds=4.0)

    with pytest.raises(BackendError) as caught:
        ExecutorMember(make_pool, BASIC)
    assert (caught.value.throttled, caught.value.retry_after_seconds) == (True, 4.0)


def test_workers_share_no_machine():
    """Each has an interpreter of its own, also where a simulator here would have to share it."""
    assert ExecutorMember(ThreadPoolExecutor(1), "qiskit_aer:AerSimulator").machine == ""


@pytest.mark.parametrize("error", [ValueError("no licence"), RuntimeError("no licence")])
def test_the_error_of_a_callable_says_that_it_is_its(error):
    """Whatever it raises, as the member is made."""

    def make_pool():
        raise error

    with pytest.raises(BackendError) as caught:
        ExecutorMember(make_pool, BASIC)
    assert "the callable for executors, " in str(caught.value)
    assert f"make_pool, raised {type(error).__name__}: no licence" in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.fixture
def cluster(tmp_path):
    """A scheduler of Dask's with two workers, each a process of its own."""
    with start_cluster(tmp_path) as started:
        yield started


def test_dask_loses_nothing_when_a_worker_is_killed(cluster, tmp_path):
    """A real scheduler with two workers, one of them killed in the middle of a run."""
    address, workers = cluster
    folder = tmp_path / "held"
    folder.mkdir()
    executor_backends.prepare(folder)
    with connect_dask(address) as client:
        member = ExecutorMember(
            client,
            "executor_backends:Held",
            {"folder": str(folder)},
            limits=Limits(max_circuits=2),
        )
        assert member.limits.max_in_flight == 2
        widths = (1, 2, 3, 4) * 5
        job = RouterSampler(member, policy=SOON).run([ones(w) for w in widths], shots=25)
        killed = executor_backends.kill_holder(folder)
        assert killed in {process.pid for process in workers}
        assert counts(job.result(timeout=200)) == [{"1" * width: 25} for width in widths]
        assert len(client.nthreads()) == 1


def test_a_result_that_dask_loses_on_its_way_is_a_lost_job(cluster, tmp_path):
    """The scheduler dies when a job is done and its result not here yet; another member takes over."""
    address, _ = cluster
    os.mkfifo(tmp_path / "asked")
    with connect_dask(address, timeout_seconds=2) as client:
        client.run(executor_backends.keep_results, str(tmp_path))
        fleet = Fleet([ExecutorMember(client, BASIC, name="dask"), Member(BasicSimulator())])
        job = RouterSampler(fleet, policy=failover("dask", "basic_simulator")).run(
            [ones()], shots=5
        )
        (tmp_path / "asked").read_text()
        os.kill(client.run_on_scheduler(os.getpid), signal.SIGKILL)
        assert counts(job.result(timeout=60)) == [{"1": 5}]
        first, *_, last = job.report().attempts
        assert (first.member, last.member) == ("dask", "basic_simulator")
        assert "the workers lost the job" in first.failure


def test_a_client_that_cannot_connect_is_closed():
    """Nothing is left of it that the end of the process would wait for."""
    distributed = pytest.importorskip("distributed")

    def clients():
        return [one for one in gc.get_objects() if type(one) is distributed.Client]

    before = {id(client) for client in clients()}
    with pytest.raises(BackendError, match="does not answer") as caught:
        connect_dask("no-port")
    # The error keeps it alive, until somebody is done with that.
    left = [client.status for client in clients() if id(client) not in before]
    assert left == ["closed"], caught.value


def test_dask_gives_up_a_job_that_kills_workers_and_the_router_does_not(cluster, tmp_path):
    """What Dask will not run again is told as a lost worker, and sent again."""
    address, _ = cluster
    folder = tmp_path / "held"
    folder.mkdir()
    executor_backends.prepare(folder)
    with connect_dask(address) as client:
        # By name, as the scheduler has no module of tests.
        client.run_on_scheduler(eval, FORGIVE_NOTHING)
        member = ExecutorMember(client, "executor_backends:Held", {"folder": str(folder)})
        job = RouterSampler(member, policy=SOON).run([ones()], shots=25)
        executor_backends.kill_holder(folder)
        assert counts(job.result(timeout=200)) == [{"1": 25}]
        first, *_ = job.report().attempts
        assert (first.outcome, "KilledWorker" in first.failure) == ("failed", True)


class Losing(Executor):
    """An executor that loses its first job in some way."""

    def __init__(self, error):
        self.error = error
        self.jobs = 0
        self.inner = ThreadPoolExecutor(1)

    def submit(self, function, /, *arguments, **named):
        self.jobs += 1
        if self.jobs > 1:
            return self.inner.submit(function, *arguments, **named)
        future = Future()
        if self.error is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    "error",
    [
        BrokenExecutor("all workers died"),
        CancelledError(),
        None,
        distributed.scheduler.KilledWorker("job", None, 3),
        distributed.CancelledError("job"),
    ],
)
def test_a_lost_job_is_sent_again(error):
    """Whatever a library calls that; where nobody else is, to the same member."""
    executor = Losing(error)
    job = RouterSampler(ExecutorMember(executor, BASIC), policy=SOON).run([ones()], shots=10)
    assert counts(job.result(timeout=60)) == [{"1": 10}]
    assert executor.jobs == 2
    executor.inner.shutdown()


def test_a_run_goes_on_after_its_process_was_killed(tmp_path):
    """Jobs on workers are gone with it: they are sent again, with the same seed."""
    executor_backends.prepare(tmp_path)
    command = [sys.executable, executor_backends.__file__, str(tmp_path)]
    with (tmp_path / "said").open("w") as said:
        # A session of its own, since its workers do not end with it.
        died = subprocess.Popen(command, stdout=said, start_new_session=True)  # noqa: S603
    try:
        assert died.wait(timeout=200) == -signal.SIGKILL
    finally:
        os.killpg(died.pid, signal.SIGKILL)
    run = (tmp_path / "said").read_text().strip()
    resumed = executor_backends.sampler_over(tmp_path).resume(run)
    found = resumed.result(timeout=200)
    seeded = RouterSampler(
        ExecutorMember(partial(ThreadPoolExecutor, 2), BASIC), options={"seed_simulator": 5}
    )
    whole = seeded.run(executor_backends.turned(), shots=200).result(timeout=60)
    assert counts(found) == counts(whole)


# -- what is said wrong --------------------------------------------------------------------------


def test_failures_on_workers_are_told_as_facts(pool):
    """An exception that no pickle survives, a backend that cannot be built, a bad circuit."""
    with pytest.raises(RunError, match="LocalError: "):
        RouterSampler(ExecutorMember(pool, "executor_backends:Spent")).run([ones()]).result(60)
    target = BasicSimulator().target
    missing = ExecutorMember(pool, "no_such_package:Simulator", target=target)
    with pytest.raises((PlanError, RunError), match="No module named 'no_such_package'"):
        RouterSampler(missing).run([ones()]).result(timeout=60)


def test_what_cannot_be_built_here_has_a_target(monkeypatch):
    """A backend of the workers alone is compiled for by what is said of it."""
    path = "executor_backends:only_on_workers"
    with pytest.raises(BackendError, match=r"cannot be built .* target=") as caught:
        ExecutorMember(make_process_pool, path)
    assert caught.value.submitted is False
    monkeypatch.setenv("IS_WORKER", "1")
    with make_process_pool(1) as pool:
        for target in (BasicSimulator().target, BasicSimulator()):
            member = ExecutorMember(pool, path, target=target)
            assert counts(RouterSampler(member).run([ones(2)], shots=9).result(60)) == [{"11": 9}]
        assert member.refusal is not None


def test_a_target_decides_what_can_run(pool):
    """Circuits that do not fit are refused before anything is sent."""
    target = BasicSimulator().target
    small = Target(num_qubits=2)
    for name in ("h", "cx", "measure"):
        places = {(0, 1): None, (1, 0): None} if name == "cx" else {(0,): None, (1,): None}
        small.add_instruction(target.operation_from_name(name), places)
    member = ExecutorMember(pool, BASIC, target=small)
    with pytest.raises(PlanError, match="needs 3 qubits, has 2"):
        RouterSampler(member).run([ones(3)]).result(timeout=60)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((3, BASIC), TypeError, "executor must be a concurrent.futures.Executor"),
        ((ThreadPoolExecutor, BasicSimulator()), TypeError, "backend must be the import path"),
        ((ThreadPoolExecutor, "qiskit"), ValueError, "import path such as"),
        ((ThreadPoolExecutor, BASIC, 3), TypeError, "arguments must be a dictionary"),
        ((ThreadPoolExecutor, BASIC, {"a": lambda: 1}), TypeError, "arguments cannot be pickled"),
        ((lambda: 3, BASIC), BackendError, "returned 3, which is no"),
        ((partial(int, "x"), BASIC), BackendError, "invalid literal"),
        ((ThreadPoolExecutor, "executor_backends:not_a_backend"), BackendError, "gave int"),
        ((ThreadPoolExecutor, "json:dumps"), BackendError, "a part of Python"),
        ((ThreadPoolExecutor, "executor_backends:os.getpid"), BackendError, "a part of Python"),
    ],
)
def test_bad_arguments_are_told_at_once(arguments, error, text):
    """Before anything is sent, with what was seen and what to do."""
    with pytest.raises(error, match=text):
        ExecutorMember(*arguments)
    with pytest.raises(TypeError, match="target must be"):
        ExecutorMember(ThreadPoolExecutor, BASIC, target=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'shots'"):
        ExecutorMember(ThreadPoolExecutor, BASIC, shots=3)


def test_copies_make_an_executor_of_their_own(pool):
    """Where they can; an executor that was given is named in the error."""
    member = ExecutorMember(executor_backends.make_pool, BASIC, name="mine")
    for made in (pickle.loads(pickle.dumps(member)), copy.deepcopy(member)):  # noqa: S301
        assert made.name == "mine"
        assert made.limits == member.limits
        assert counts(RouterSampler(made).run([ones()], shots=5).result(timeout=100)) == [{"1": 5}]
        made._pool._current().shutdown()
    given = ExecutorMember(pool, BASIC)
    with pytest.raises(TypeError, match="because its executor, a ThreadPoolExecutor, cannot"):
        pickle.dumps(given)
    fleet = Fleet([given, ExecutorMember(pool, BASIC)])
    assert fleet.names == ("basic_simulator", "basic_simulator-2")


def test_what_costs_nothing_may_be_done_twice(pool):
    """A simulator of one's own costs nothing, unless a price is said."""
    assert ExecutorMember(pool, BASIC).costs_nothing
    assert not ExecutorMember(pool, BASIC, pricing=Pricing(per_second=0.01)).costs_nothing
