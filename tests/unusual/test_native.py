"""Unusual circuits over the native samplers of providers: right, or refused with a reason."""

import math

import exact
import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Clbit, QuantumCircuit, Qubit
from qiskit.primitives import StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp
from unusual import circuits as random_circuits
from unusual.judging import SHOTS, check_row

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, PrimitiveMember
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
