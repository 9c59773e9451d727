"""What may be a native estimator, and what is said of all else; over Qiskit's own estimator."""

import copy
import pickle

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import CXGate, RZGate, SXGate
from qiskit.primitives import (
    BackendEstimatorV2,
    BaseEstimatorV2,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparseObservable, SparsePauliOp
from qiskit.transpiler import Target
from small_circuits import rotated

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import EstimatorMember, Fleet, Limits, Member, check_member

pytestmark = pytest.mark.anyio


class Plain(BaseEstimatorV2):
    """An estimator of somebody's, of which nothing is known."""

    def __init__(self):
        self.seen = []

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.seen += pubs
        return StatevectorEstimator().run(pubs, precision=precision)


@pytest.fixture
def anyio_backend():
    """On a real clock: the estimator works in a thread of its own."""
    return "asyncio"


def bell():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def line_of_four():
    """A target on whose qubits 3 and 2 alone the two can be entangled."""
    target = Target(num_qubits=4)
    for gate in (RZGate(Parameter("angle")), SXGate()):
        target.add_instruction(gate, {(place,): None for place in range(4)})
    target.add_instruction(CXGate(), {(3, 2): None})
    return target


async def test_the_verbs_are_as_the_router_expects():
    """The check for authors of members finds nothing wrong."""
    found = await check_member(EstimatorMember(StatevectorEstimator()))
    assert found.ok, str(found)
    assert {one.name: one.ok for one in found.findings}["basis"]


def test_observables_follow_the_layout():
    """A circuit is compiled for the target that is given, and its observables with it."""
    estimator = Plain()
    member = EstimatorMember(estimator, backend=line_of_four())
    observables = [[SparsePauliOp("IZ")], [SparsePauliOp("XX")], [SparseObservable("1I")]]
    angles = np.array([[0.4], [2.2]])
    (found,) = RouterEstimator(member).run([(rotated(), observables, angles, 0.01)]).result()
    exact = [np.cos(angles[:, 0]), np.sin(angles[:, 0]), (1 - np.cos(angles[:, 0])) / 2]
    assert np.abs(found.data.evs - np.array(exact)).max() < 0.05
    (sent,) = {pub[0].num_qubits for pub in estimator.seen}
    assert sent == 4
    assert {*estimator.seen[0][0].count_ops()} <= {"rz", "sx", "cx"}
    (gate,) = estimator.seen[0][0].get_instructions("cx")
    circuit = estimator.seen[0][0]
    assert [circuit.find_bit(qubit).index for qubit in gate.qubits] == [3, 2]


def test_standard_errors_are_those_of_the_noise():
    """Qiskit's estimator adds noise and tells an error of 0; here it is what was asked for."""
    pubs = [(bell(), [SparsePauliOp("XX", 4.0), SparsePauliOp("ZI")], None, 0.02)] * 40
    results = list(RouterEstimator(StatevectorEstimator()).run(pubs).result())
    assert all(np.allclose(one.data.stds, [0.08, 0.02]) for one in results)
    off = np.array([one.data.evs - [4.0, 0.0] for one in results]) / [0.08, 0.02]
    assert 0.7 < off.std() < 1.3


def test_identities_are_not_asked_for():
    """They are constants, as everywhere."""
    pub = (bell(), [SparsePauliOp("II", 3.0), SparsePauliOp(["II", "ZZ"], [1.0, 0.5])], None, 0.05)
    (found,) = RouterEstimator(StatevectorEstimator()).run([pub]).result()
    assert found.data.evs[0] == 3.0
    assert found.data.stds[0] == 0.0
    assert abs(found.data.evs[1] - 1.5) < 5 * found.data.stds[1]


def test_an_upper_bound_is_the_error_that_was_told():
    """A member that estimates knows no terms to take for varying together."""
    options = {"stds": "upper_bound"}
    pub = (bell(), SparsePauliOp(["ZZ", "ZI"], [1.0, -1.0]), None, 0.05)
    (found,) = RouterEstimator(StatevectorEstimator(), options=options).run([pub]).result()
    assert found.data.stds == pytest.approx(0.1)


def test_projectors_that_are_too_many_are_refused():
    """Written out in Paulis they have no room; a backend measures them."""
    qubits = 14
    circuit = QuantumCircuit(qubits)
    pub = (circuit, SparseObservable("0" * qubits), None, 0.1)
    with pytest.raises(PlanError, match="projectors are more than 4096 Paulis"):
        RouterEstimator(StatevectorEstimator()).run([pub]).result()
    (found,) = RouterEstimator([StatevectorEstimator(), BasicSimulator()]).run([pub]).result()
    assert found.data.evs == 1.0


@pytest.mark.parametrize("given", [StatevectorSampler(), StatevectorEstimator, None])
def test_what_is_no_estimator_is_refused(given):
    """With what was seen, and what is wanted."""
    with pytest.raises(TypeError, match="needs an EstimatorV2; a PrimitiveMember takes"):
        EstimatorMember(given)


def test_a_backend_estimator_is_its_backend():
    """It adds nothing to that."""
    given = BackendEstimatorV2(backend=BasicSimulator())
    (member,) = Fleet(given)
    assert type(member) is Member
    assert member.backend is given.backend
    with pytest.raises(TypeError, match=r"Member\(estimator.backend\)"):
        EstimatorMember(given)


def test_a_primitive_without_a_backend_says_what_it_needs():
    """Nobody can tell what to compile for."""
    with pytest.raises(ValueError, match=r"Plain names no backend.*a BackendV2 or a Target"):
        EstimatorMember(Plain())
    with pytest.raises(ValueError, match="StatevectorEstimator has no mode 'batch'"):
        EstimatorMember(StatevectorEstimator(), mode="batch")


def test_a_bare_estimator_becomes_a_member():
    """In a router and in a fleet; for a sampler there is nothing that it could do."""
    (member,) = RouterEstimator(StatevectorEstimator()).fleet
    assert isinstance(member, EstimatorMember)
    measured = bell()
    measured.measure_all()
    with pytest.raises(PlanError, match="is an EstimatorV2, which gives expectation values"):
        RouterSampler(StatevectorEstimator()).run([measured]).result()


def test_options_of_backend_run_are_refused():
    """A primitive has options of its own."""
    router = RouterEstimator(StatevectorEstimator(), options={"run_options": {"noise_model": None}})
    with pytest.raises(PlanError, match=r"takes no options of backend.run, such as 'noise_model'"):
        router.run([(bell(), SparsePauliOp("ZZ"))]).result()


def by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))  # noqa: S301  Of our own.


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, by_pickle])
def test_members_are_copied(way):
    """With all that was said of them; a copy runs."""
    member = EstimatorMember(
        StatevectorEstimator(), name="exact", limits=Limits(max_executions=500), tags=["free"]
    )
    made = way(member)
    assert (made.name, made.limits, made.tags) == ("exact", member.limits, {"free"})
    job = RouterEstimator(made).run([(rotated(), SparsePauliOp("XX"), [[0.1]] * 7, 0.1)])
    assert job.result()[0].data.evs.shape == (7,)
    assert all(one.circuits * one.shots <= 500 for one in job.report().attempts)
