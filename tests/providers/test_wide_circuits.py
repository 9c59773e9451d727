"""Circuits that are wider than what a simulator tells, and right."""

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Limits, Member

pytestmark = pytest.mark.providers
WIDTH = 70


@pytest.fixture
def simulator():
    """Return what makes Aer's simulator of a method."""
    aer = pytest.importorskip("qiskit_aer")
    return lambda method: aer.AerSimulator(method=method, max_parallel_threads=1)


def ghz():
    """Return a GHZ state."""
    circuit = QuantumCircuit(WIDTH)
    circuit.h(0)
    for qubit in range(1, WIDTH):
        circuit.cx(qubit - 1, qubit)
    return circuit


@pytest.mark.parametrize("limits", [None, Limits(num_qubits=200)])
@pytest.mark.parametrize("method", ["automatic", "matrix_product_state", "stabilizer"])
def test_wide_circuits_run(simulator, method, limits):
    """On methods whose memory does not double with each qubit, in both primitives."""
    member = Member(simulator(method), limits=limits)
    job = RouterSampler(member).run([ghz().measure_all(inplace=False)], shots=50)
    counts = job.result(timeout=60)[0].data.meas.get_counts()
    assert set(counts) <= {"0" * WIDTH, "1" * WIDTH}
    assert sum(counts.values()) == 50
    ends = SparsePauliOp.from_sparse_list([("ZZ", [0, WIDTH - 1], 1.0)], WIDTH)
    job = RouterEstimator(member).run([(ghz(), ends)], precision=0.2)
    assert job.result(timeout=60)[0].data.evs == 1


def test_a_method_of_the_member_counts(simulator):
    """It is an option of all its jobs, and says what they may be."""
    member = Member(simulator("statevector"), run_options={"method": "matrix_product_state"})
    job = RouterSampler(member).run([ghz().measure_all(inplace=False)], shots=50)
    assert job.result(timeout=60)[0].data.meas.num_shots == 50
    member = Member(simulator("automatic"), run_options={"method": "statevector"})
    with pytest.raises(PlanError, match="needs 70 qubits"):
        RouterSampler(member).run([ghz().measure_all(inplace=False)], shots=50).result(timeout=60)


def test_more_than_the_user_allows_is_refused(simulator):
    """A limit that is given holds, on a simulator that has none of its own."""
    member = Member(simulator("matrix_product_state"), limits=Limits(num_qubits=69))
    with pytest.raises(PlanError, match="needs 70 qubits, has 69"):
        RouterSampler(member).run([ghz().measure_all(inplace=False)], shots=50).result(timeout=60)
