"""Unusual circuits over the native primitives of providers: right, or refused with a reason."""

import math

import exact
import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Clbit, QuantumCircuit, Qubit
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp
from unusual import circuits as random_circuits
from unusual.judging import SHOTS, check_row

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import EstimatorMember, Fleet, Limits, Member, PrimitiveMember
from qiskit_gateway.policies import round_robin

pytestmark = [
    pytest.mark.providers,
    pytest.mark.unusual,
    # Third parties warn about their own dependencies.
    pytest.mark.filterwarnings("ignore"),
]


def _aer():
    return pytest.importorskip("qiskit_aer.primitives").SamplerV2()


def _braket():
    braket = pytest.importorskip("qiskit_braket_provider")
    return braket.BraketSampler(braket.BraketLocalBackend("braket_sv"))


def _ibm():
    kind = pytest.importorskip("qiskit_ibm_runtime.executor_sampler").Sampler
    return kind(mode=pytest.importorskip("qiskit_aer").AerSimulator(max_parallel_threads=1))


NATIVE = {"aer": _aer, "braket": _braket, "ibm": _ibm, "statevector": StatevectorSampler}
FEW = Limits(max_circuits=4, max_shots=70)


def _aer_estimator():
    return pytest.importorskip("qiskit_aer.primitives").EstimatorV2()


def _braket_estimator():
    braket = pytest.importorskip("qiskit_braket_provider")
    return braket.BraketEstimator(braket.BraketLocalBackend("braket_sv"))


def _ibm_estimator(module, name):
    def make():
        kind = getattr(pytest.importorskip(f"qiskit_ibm_runtime.{module}"), name)
        return kind(mode=pytest.importorskip("qiskit_aer").AerSimulator(max_parallel_threads=1))

    return make


ESTIMATORS = {
    "aer": _aer_estimator,
    "braket": _braket_estimator,
    "ibm": _ibm_estimator("executor_estimator", "Estimator"),
    "ibm v2": _ibm_estimator("estimator", "EstimatorV2"),
    "statevector": StatevectorEstimator,
}


@pytest.fixture(scope="module")
def samplers():
    return {name: make() for name, make in NATIVE.items()}


def asked(request, share):
    """Draw circuits with their values, a share of those that the others of this folder are asked."""
    first = request.config.getoption("--unusual-seed")
    number = math.ceil(share * request.config.getoption("--unusual-circuits"))
    for index in range(number):
        rng = np.random.default_rng([first, 77, index])
        circuit = random_circuits.sampled(rng)
        yield circuit, random_circuits.values_for(circuit, rng)


@pytest.mark.parametrize("name", NATIVE)
def test_each_alone(request, samplers, name):
    """What a sampler is given it does rightly; what it cannot do is refused before it is sent."""
    sampler = RouterSampler(
        PrimitiveMember(samplers[name], name=name), policy=round_robin(deadline_seconds=100)
    )
    right = 0
    for circuit, rows in asked(request, 0.2):
        job = sampler.run([(circuit, rows)], shots=SHOTS)
        try:
            (found,) = job.result()
        except PlanError:
            # By us, or by a client that took nothing.
            assert all(one.accepted_seconds is None for one in job.report().attempts)
            continue
        for index, row in enumerate(rows):
            check_row(circuit.assign_parameters(row), found, index)
        right += 1
    assert right


@pytest.mark.parametrize("name", ["aer", "ibm"])
@pytest.mark.parametrize(
    "places", [{"r": [1, 0]}, {"r": [3, 0], "s": [1, 2]}, {"r": [2], "s": [1, 0]}]
)
def test_registers_out_of_order(samplers, name, places):
    """Where control flow keeps registers as they are, their bits are read where they are."""
    number = sum(map(len, places.values()))
    circuit = QuantumCircuit([Qubit(), Qubit()], [Clbit() for _ in range(number)])
    for register, bits in places.items():
        circuit.add_register(
            ClassicalRegister(bits=[circuit.clbits[b] for b in bits], name=register)
        )
    circuit.rx(0.7, 0)
    circuit.measure(0, 0)
    with circuit.switch(circuit.cregs[0]) as case:
        with case(0):
            circuit.x(1)
        with case(case.DEFAULT):
            circuit.ry(2.1, 1)
    circuit.measure(1, 1)
    with circuit.if_test((circuit.cregs[-1], 1)):
        circuit.x(0)
        circuit.measure(0, number - 1)
    sampler = RouterSampler(PrimitiveMember(samplers[name], name=name))
    (found,) = sampler.run([circuit], shots=SHOTS).result()
    check_row(circuit, found, ())


def test_in_a_fleet(request, samplers):
    """Together with a simulator that takes whatever they refuse, they do all, each a part."""
    members = [PrimitiveMember(one, name=name, limits=FEW) for name, one in samplers.items()]
    members.append(Member(BasicSimulator(), name="basic", limits=FEW))
    members.append(Member(pytest.importorskip("qiskit_aer").AerSimulator(), name="whatever"))
    pubs = list(asked(request, 1.0))
    job = RouterSampler(Fleet(members), policy=round_robin(deadline_seconds=250)).run(
        pubs, shots=SHOTS
    )
    for (circuit, rows), found in zip(pubs, job.result(), strict=True):
        for index, row in enumerate(rows):
            check_row(circuit.assign_parameters(row), found, index)
    used = job.report().members
    assert used.keys() == {*NATIVE, "basic", "whatever"}
    # Braket's client refuses what is done to a qubit after its measurement.
    assert {name for name, one in used.items() if one["failures"]} <= {"braket"}


def test_estimates_in_a_fleet(request, samplers):
    """Expectation values are within five standard errors of the exact ones."""
    members = [PrimitiveMember(one, name=name, limits=FEW) for name, one in samplers.items()]
    members.append(Member(pytest.importorskip("qiskit_aer").AerSimulator(), name="whatever"))
    first = request.config.getoption("--unusual-seed")
    pubs, labels = [], []
    for index in range(request.config.getoption("--unusual-pubs")):
        rng = np.random.default_rng([first, 78, index])
        circuit = random_circuits.estimated(rng)
        labels.append(random_circuits.label_for(circuit, rng))
        pubs.append((circuit, SparsePauliOp(labels[-1]), random_circuits.values_for(circuit, rng)))
    estimator = RouterEstimator(Fleet(members), policy=round_robin(deadline_seconds=250))
    result = estimator.run(pubs, precision=1 / math.sqrt(SHOTS)).result()
    for (circuit, _, rows), label, found in zip(pubs, labels, result, strict=True):
        for index, row in enumerate(rows):
            expected = exact.expectation(circuit.assign_parameters(row), label)
            error = math.sqrt(max(0.0, 1 - expected**2) / SHOTS)
            assert abs(float(found.data.evs[index]) - expected) <= 5.5 * error + 1e-9, circuit


# -- native estimators ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimators():
    return {name: make() for name, make in ESTIMATORS.items()}


def estimated(request, number, entropy):
    """Draw circuits with a Pauli each, and their values."""
    first = request.config.getoption("--unusual-seed")
    for index in range(number):
        rng = np.random.default_rng([first, entropy, index])
        circuit = random_circuits.estimated(rng)
        label = random_circuits.label_for(circuit, rng)
        yield circuit, label, random_circuits.values_for(circuit, rng)


def check_estimates(circuit, label, rows, found):
    """Each value is within 5.5 of its standard errors, and these are not far above the precision."""
    precision = 1 / math.sqrt(SHOTS)
    for index, row in enumerate(rows):
        expected = exact.expectation(circuit.assign_parameters(row), label)
        assert abs(float(found.data.evs[index]) - expected) <= 5.5 * precision + 1e-9, circuit
        # What few groups of shots scatter by, as IBM's says, may be twice as much by chance.
        assert 0 <= float(found.data.stds[index]) <= 3 * precision


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_estimator_alone(request, estimators, name):
    """What an estimator is given it does rightly; what it cannot do is refused before it is sent."""
    router = RouterEstimator(
        EstimatorMember(estimators[name], name=name), policy=round_robin(deadline_seconds=100)
    )
    right = 0
    number = math.ceil(0.2 * request.config.getoption("--unusual-circuits"))
    for circuit, label, rows in estimated(request, number, 79):
        pub = (circuit, SparsePauliOp(label), rows)
        job = router.run([pub], precision=1 / math.sqrt(SHOTS))
        try:
            (found,) = job.result()
        except PlanError:
            # By us, or by a client that took nothing.
            assert all(one.accepted_seconds is None for one in job.report().attempts)
            continue
        except RunError as error:
            # IBM's client builds a circuit when it has taken the job, and says what it cannot.
            if "SamplexConstructionError" not in str(error):
                raise
            continue
        check_estimates(circuit, label, rows, found)
        right += 1
    assert right


def test_primitives_of_both_kinds_in_a_fleet(request, samplers, estimators):
    """What estimators refuse others measure; the values of all agree with the exact ones."""
    members = [PrimitiveMember(one, name=name, limits=FEW) for name, one in samplers.items()]
    members += [
        EstimatorMember(one, name=f"{name} estimator", limits=FEW)
        for name, one in estimators.items()
    ]
    members.append(Member(pytest.importorskip("qiskit_aer").AerSimulator(), name="whatever"))
    asked = list(estimated(request, request.config.getoption("--unusual-pubs"), 80))
    pubs = [(circuit, SparsePauliOp(label), rows) for circuit, label, rows in asked]
    router = RouterEstimator(Fleet(members), policy=round_robin(deadline_seconds=250))
    job = router.run(pubs, precision=1 / math.sqrt(SHOTS))
    for (circuit, label, rows), found in zip(asked, job.result(), strict=True):
        check_estimates(circuit, label, rows, found)
    done = job.report().members
    assert any(
        done[f"{name} estimator"]["shots"] for name in ESTIMATORS if f"{name} estimator" in done
    )
