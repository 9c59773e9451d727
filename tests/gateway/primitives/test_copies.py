"""Routers, fleets and members are copied and pickled, and run in other processes."""

import contextlib
import copy
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

import pytest
from made_up import Delivered, MadeUp
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import PassManager, Target, generate_preset_pass_manager
from qiskit.transpiler.passes import RemoveBarriers
from small_circuits import ones
from workers import Events, wait, work

from qiskit_gateway import Journal, RouterEstimator, RouterSampler
from qiskit_gateway.backends import (
    Adaptation,
    Fleet,
    Limits,
    Member,
    Pricing,
    SimulatedMember,
    forks,
)
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import cheapest, failover, fastest, round_robin, weighted

RIGHT = [{"1": 20}, {"11": 20}]


def by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))  # noqa: S301  Of our own.


def by_cloudpickle(thing):
    module = pytest.importorskip("cloudpickle")
    return pickle.loads(module.dumps(thing))  # noqa: S301  Of our own.


WAYS = [by_pickle, by_cloudpickle, copy.deepcopy, copy.copy]


def everything():
    """Return a member of which everything was said that there is to say."""
    backend = GenericBackendV2(5, noise_info=False, seed=1)
    return Member(
        backend,
        name="said",
        limits=Limits(max_circuits=7),
        pricing=Pricing(per_job=1.0),
        weight=2.0,
        fidelity=0.5,
        queue=wait,
        run_options={"meas_level": 2},
        pass_manager=PassManager([RemoveBarriers()]),
        tags=["tag"],
        adaptation=Adaptation(flatten=True),
    )


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_says_and_does_the_same(way, used, tmp_path):
    """With all that was said of members, before runs and after them."""
    fleet = Fleet([everything(), BasicSimulator()])
    options = {"default_shots": 7, "seed_simulator": 3}
    sampler = RouterSampler(fleet, options=options, journal=tmp_path / "runs.db")
    if used:
        assert work(sampler)[1] == RIGHT
    made = way(sampler)
    assert made.options == sampler.options
    assert made.policy == sampler.policy
    assert made.fleet.names == fleet.names
    for name in ("limits", "pricing", "weight", "fidelity", "run_options", "tags", "adaptation"):
        assert getattr(made.fleet["said"], name) == getattr(fleet["said"], name)
    assert made.fleet["said"].queue is wait
    for one in (made, sampler):
        assert work(one)[1] == RIGHT
    assert len(Journal(tmp_path / "runs.db").runs()) == 2 + used


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "policy",
    [fastest(), cheapest(), round_robin(), weighted({"a": 2.0}), failover("b", "a")],
    ids=["fastest", "cheapest", "round_robin", "weighted", "failover"],
)
def test_policies_are_copied(way, policy):
    """They decide as before."""
    fleet = Fleet([Member(BasicSimulator(), name=name) for name in "ab"])
    made = way(RouterSampler(fleet, policy=policy))
    assert made.policy == policy
    assert work(made)[1] == RIGHT


@pytest.mark.parametrize("way", WAYS[:3])
def test_simulated_members_are_copied(way):
    """Also after a forecast; a copy has none of the jobs."""
    fleet = Fleet([SimulatedMember("model", queue_seconds=5.0, pricing=Pricing(per_job=1.0))])
    for _ in range(2):
        made = way(fleet)
        assert made["model"].queue() == 5.0
        assert made["model"]._jobs is not fleet["model"]._jobs
        assert RouterSampler(made).quote([ones()], shots=20).price_usd == 1
        RouterSampler(fleet).quote([ones()], shots=20)


@pytest.mark.parametrize("way", WAYS)
def test_a_copied_fleet_remembers_nothing_of_runs(way):
    """Jobs in flight, and money spent, are those of the fleet that has them."""
    fleet = Fleet([Member(BasicSimulator(), pricing=Pricing(per_job=1.0))], observers=[Events()])
    assert work(RouterSampler(fleet))[1] == RIGHT
    assert fleet.flush_observers()
    made = way(fleet)
    assert fleet._kept
    assert not made._kept
    assert any(owner() is made for owner in forks._owners.values())  # For what it will keep.
    heard = made.mailboxes[0].observer.events
    before = len(heard)
    assert work(RouterSampler(made))[1] == RIGHT
    assert made.flush_observers()
    assert len(heard) > before


@pytest.mark.parametrize("way", [by_pickle, by_cloudpickle, copy.deepcopy])
def test_members_over_one_backend_still_are(way):
    """They take turns on the copy, and nobody on the original does."""
    backend = BasicSimulator()
    fleet = Fleet([Member(backend, name="a"), Member(backend, name="b")])
    made = way(fleet)
    assert made["a"].backend is made["b"].backend is not backend
    assert made["a"]._turns is made["b"]._turns is not fleet["a"]._turns
    assert work(RouterSampler(made))[1] == RIGHT


class Holding(MadeUp):
    """A backend that holds its jobs, and leaves what waits out of copies."""

    def __init__(self, held):
        super().__init__("held", BasicSimulator().target)
        self.held, self.asked = held, threading.Event()

    def __reduce__(self):
        return BasicSimulator, ()

    def run(self, circuits, **options):
        self.asked.set()
        self.held.wait(30)
        shots = options["shots"]
        return Delivered(self, [{"counts": {"0x1": shots}} for _ in circuits], shots)


@pytest.mark.parametrize("way", [by_pickle, by_cloudpickle, copy.deepcopy])
def test_routers_are_copied_in_mid_run(way):
    """What flies stays with the one that sent it."""
    held = threading.Event()
    member = Member(Holding(held), name="held")
    sampler = RouterSampler(member)
    job = sampler.run([ones()], shots=20)
    try:
        assert member.backend.asked.wait(10)
        made = way(sampler)
        assert work(made)[1] == RIGHT
    finally:
        held.set()
    assert job.result(timeout=30)[0].data.meas.get_counts() == {"1": 20}


def test_a_script_goes_on():
    """A copy of a scripted backend has the rest of the script, and no calls."""
    backend = ScriptedBackend(BasicSimulator(), [Fails(), Fails(), Fails()])
    for expected in (3, 2):
        made, failed = by_pickle(backend), 0
        for _ in range(5):
            try:
                made.run([ones()], shots=1)
            except OSError:
                failed += 1
        assert failed == expected
        assert len(made.calls) == 5
        with pytest.raises(OSError, match="refused"):
            backend.run([ones()], shots=1)


class Locked(MadeUp):
    """A backend that holds a lock, as sessions do."""

    def __init__(self):
        super().__init__("locked", BasicSimulator().target)
        self.lock = threading.Lock()

    def run(self, circuits, **options):
        raise NotImplementedError


@pytest.mark.parametrize("way", [by_pickle, by_cloudpickle, copy.deepcopy])
@pytest.mark.parametrize("wrap", [Member, Fleet, RouterSampler, RouterEstimator])
def test_what_cannot_be_copied_is_named(way, wrap):
    """The member, its backend, why, and what to do instead."""
    thing = wrap(Locked())
    said = "member 'locked' cannot be .* its backend, a Locked, cannot .*lock.*make the member"
    with pytest.raises(TypeError, match=said):
        way(thing)
    assert copy.copy(thing) is not thing


class Annotated(Target):
    """A target with an attribute of its own, which Qiskit's way of copying loses."""

    def __init__(self, *_, **__):
        self.extra = "kept"


@pytest.mark.parametrize("way", [by_pickle, by_cloudpickle, copy.deepcopy])
def test_a_copy_that_would_lack_something_is_refused(way):
    """Before that is found out in a worker, over something else."""
    backend = GenericBackendV2(2, seed=1)
    backend._target = Annotated(num_qubits=2)
    with pytest.raises(TypeError, match="a copy of Annotated lacks 'extra'"):
        way(RouterSampler(backend))


def test_what_pickle_refuses_may_be_taken_by_others():
    """Qiskit's preset pass managers, and lambdas, are taken by cloudpickle."""
    stages = generate_preset_pass_manager(1, BasicSimulator())
    for given, name in (
        ({"pass_manager": stages}, "pass_manager"),
        ({"queue": lambda: 1}, "queue"),
    ):
        member = Member(BasicSimulator(), **given)
        with pytest.raises(TypeError, match=f"its {name}, a .* cannot"):
            by_pickle(member)
        for way in (by_cloudpickle, copy.deepcopy):
            assert work(RouterSampler(way(member)))[1] == RIGHT


class Queued(Member):
    """A member that is its own queue."""

    def __init__(self, backend):
        super().__init__(backend, queue=self.wait)

    def wait(self):
        return 2.0


@pytest.mark.parametrize("way", WAYS)
def test_a_member_may_hold_itself(way):
    """A method of its own as its queue, and it is that of the copy."""
    made = way(Queued(BasicSimulator()))
    if way is not copy.copy:
        assert made.queue.__self__ is made
    assert made.queue_probe().wait_seconds == 2.0


# -- other processes ---------------------------------------------------------------------------------


def backends():
    """Return backends of Qiskit, and Aer where that is installed."""
    made = [BasicSimulator(), GenericBackendV2(5, noise_info=False, seed=1)]
    with contextlib.suppress(ImportError):
        made.append(import_module("qiskit_aer").AerSimulator(max_parallel_threads=1))
    return made


def test_first_runs_in_spawned_workers(tmp_path):
    """Whether the router has run here before or not; and the workers end when they are let go."""
    members = [Member(one, limits=Limits(max_circuits=1)) for one in backends()]
    fresh = RouterSampler(members, policy=round_robin(), journal=tmp_path / "runs.db")
    used = RouterSampler(backends())
    assert work(used)[1] == RIGHT
    estimator = RouterEstimator(BasicSimulator())
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(work, one, estimator) for one in (fresh, used) * 2]
        found = [future.result(timeout=120) for future in futures]
    assert [counts for _, counts, _ in found] == [RIGHT] * 4
    assert [value for *_, value in found] == [-1] * 4
    assert os.getpid() not in {process for process, *_ in found}
    assert [run.state for run in Journal(tmp_path / "runs.db").runs()] == ["done"] * 2


def test_first_runs_in_workers_of_joblib():
    """Its default, which pickles with cloudpickle and keeps its workers."""
    joblib = pytest.importorskip("joblib")
    sampler = RouterSampler(backends(), policy=round_robin())
    estimator = RouterEstimator(BasicSimulator())
    tasks = (joblib.delayed(work)(one, estimator) for one in [sampler] * 4)
    found = joblib.Parallel(n_jobs=2, timeout=120)(tasks)
    assert [counts for _, counts, _ in found] == [RIGHT] * 4
    assert [value for *_, value in found] == [-1] * 4
    assert os.getpid() not in {process for process, *_ in found}


def test_first_runs_in_workers_of_dask():
    """A router is sent along with each task, and runs on the worker that has it."""
    distributed = pytest.importorskip("distributed")
    sampler = RouterSampler(backends(), policy=round_robin())
    estimator = RouterEstimator(BasicSimulator())
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        futures = [client.submit(work, sampler, estimator, pure=False) for _ in range(4)]
        found = client.gather(futures)
    assert [counts for _, counts, _ in found] == [RIGHT] * 4
    assert [value for *_, value in found] == [-1] * 4
    assert os.getpid() not in {process for process, *_ in found}
