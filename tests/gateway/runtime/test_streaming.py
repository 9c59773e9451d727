"""Work is bound as it is sent and let go of as it comes back; no part of a run waits for another."""

import gc
import threading
import weakref
from typing import ClassVar

import anyio
import numpy as np
import pytest
from made_up import Delivered, MadeUp
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import HGate, Measure, RXGate, RZGate
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import JobStatus
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, Outcome
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.policies import Policy, RetryPolicy, fastest
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work

PATIENCE = 30.0
ROWS, IN_A_JOB, IN_FLIGHT = 60, 3, 2


class Taken(Delivered):
    """A job all of whose shots are 0, over once its backend lets it be."""

    def __init__(self, backend, circuits, shots):
        super().__init__(backend, [{"counts": {"0x0": shots}} for _ in circuits], shots)
        self._shots = shots

    def status(self):
        return JobStatus.RUNNING

    def result(self):
        self._backend.before_result(self._shots)
        return super().result()


class Watching(MadeUp):
    """A backend that notes how many circuits of a run there are when it is given some.

    Attributes:
        alive: How many of those that it was given were alive, each time, those given last included.
        bound: How many circuits without parameters there were at first, of all that Python knows of.
        fails: How many of its next jobs it refuses to take.
    """

    def __init__(self, fails=0):
        target = Target(num_qubits=1)
        for gate in (RXGate(Parameter("angle")), RZGate(Parameter("angle")), HGate(), Measure()):
            target.add_instruction(gate, {(0,): None})
        super().__init__("watching", target)
        self.alive, self.bound, self.fails = [], None, fails
        self._given = []
        self._lock = threading.Lock()

    def run(self, run_input, **options):
        with self._lock:
            self._given += map(weakref.ref, run_input)
            self.alive.append(self.still_alive())
            if self.bound is None:
                self.bound = bound_circuits()
            self.fails -= 1
            if self.fails >= 0:
                raise ConnectionRefusedError
        return Taken(self, run_input, options["shots"])

    def before_result(self, shots):
        """Hold a job up."""

    def still_alive(self):
        gc.collect()  # A circuit of Qiskit's refers to itself.
        return sum(circuit() is not None for circuit in self._given)


class Meeting(Watching):
    """A backend whose first jobs, by their shots, are over only when all of them are there."""

    def __init__(self, values):
        super().__init__()
        self._first = set(values)
        self._barrier = threading.Barrier(len(values))

    def before_result(self, shots):
        with self._lock:
            waits = shots in self._first
            self._first.discard(shots)
        if waits:
            self._barrier.wait(PATIENCE)


@pytest.fixture(autouse=True)
def frozen():
    """Spare the collections of garbage what there was before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def bound_circuits():
    gc.collect()
    return sum(isinstance(it, QuantumCircuit) and not it.parameters for it in gc.get_objects())


def turned():
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("angle"), 0)
    return circuit


def sampled(backend):
    circuit = turned()
    circuit.measure_all()
    rows = np.linspace(0, 1, ROWS)[:, np.newaxis]
    return RouterSampler(member(backend), policy=POLICY).run([(circuit, rows)], shots=4)


def estimated(backend):
    rows = np.linspace(0, 1, ROWS // 2)[:, np.newaxis]
    pub = turned(), SparsePauliOp(["X", "Z"]), rows
    return RouterEstimator(member(backend), policy=POLICY).run([pub], precision=0.5)


def member(backend):
    return Member(backend, limits=Limits(max_circuits=IN_A_JOB, max_in_flight=IN_FLIGHT))


POLICY = fastest(retry=RetryPolicy(wait_initial_seconds=0))


@pytest.mark.parametrize("run", [sampled, estimated])
def test_the_first_job_leaves_before_the_last_is_bound(run):
    """When a provider is first called, no more is bound than what can be in flight by then."""
    run(Watching()).result()  # What is compiled is kept.
    backend, before = Watching(), bound_circuits()

    run(backend).result()

    # Compiled for this backend anew: a circuit of each kind, its copy and its plain form.
    assert backend.bound - before <= IN_FLIGHT * IN_A_JOB + 8 < ROWS // 2


@pytest.mark.parametrize("run", [sampled, estimated])
@pytest.mark.parametrize("fails", [0, 3])
def test_bound_circuits_are_let_go_of_as_jobs_end(run, fails):
    """There are never more of them than jobs in flight hold, also where jobs are tried again."""
    backend = Watching(fails)

    job = run(backend)
    job.result()

    assert len(backend.alive) >= ROWS // IN_A_JOB
    assert max(backend.alive) <= IN_FLIGHT * IN_A_JOB
    assert backend.still_alive() == 0  # Though the handle of the run is still there.


def test_pubs_of_different_shots_do_not_wait_for_one_another():
    """A job has one number of shots; those of all numbers are in flight at the same time."""
    shots = (4, 8, 16)
    circuit = turned()
    circuit.measure_all()
    backend = Meeting(shots)

    job = RouterSampler(Member(backend, limits=Limits(max_in_flight=3))).run(
        [(circuit, [[0.0], [1.0]], each) for each in shots]
    )

    assert [pub.data.meas.num_shots for pub in job.result(PATIENCE)] == list(shots)


def test_observables_of_different_precision_do_not_wait_for_one_another():
    """The same of an estimator, whose shots follow from the precision."""
    backend = Meeting((4, 16, 64))
    pubs = [(turned(), "Z", [[0.0]], precision) for precision in (0.5, 0.25, 0.125)]

    job = RouterEstimator(Member(backend, limits=Limits(max_in_flight=3))).run(pubs)

    assert [float(pub.data.evs[0]) for pub in job.result(PATIENCE)] == [1.0] * 3


class Remembering(Watching):
    """A backend that returns many shots of each circuit in their order."""

    defaults: ClassVar = {"shots": 1024, "memory": False}

    def run(self, run_input, *, shots, memory):
        assert memory
        one = {"counts": {"0x0": shots}, "memory": ["0x0"] * shots}
        return Delivered(self, [one] * len(run_input), shots)


class Noting(SamplerStore):
    """The results of a PUB that note how many outcomes there are when some of them come.

    Attributes:
        alive: How many there were, each time.
    """

    def receive(self, piece, outcomes, dice):
        self.alive.append(sum(isinstance(it, Outcome) for it in gc.get_objects()))
        return super().receive(piece, outcomes, dice)


def test_outcomes_of_a_large_job_are_let_go_of_as_they_are_written():
    """What is in its place in the arrays is held nowhere else: neither by the run nor by the member."""
    circuit = turned()
    circuit.measure_all()
    pub = SamplerPub.coerce((circuit, np.zeros((24, 1)), 200_000))
    store = Noting(pub)
    store.alive = []
    work = Work(
        tasks=(Task(index=0, group=0, rows=24, shots=200_000),),
        programs=(Program(circuit=circuit),),
        rows=(np.zeros((24, 1)),),
        stores=(store,),
    )

    anyio.run(Run("job", Fleet([Remembering()]), Policy(), work).execute)

    assert store.coverage.complete
    assert store.alive == [24, 19, 14, 9, 4]
