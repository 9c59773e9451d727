"""Qiskit's addons round a run of the primitives, over a fleet: each against the exact answer."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import PauliList, SparsePauliOp, Statevector
from qiskit.transpiler import CouplingMap

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.policies import round_robin

# The packages warn of what will change in Qiskit; which of it depends on their release.
pytestmark = [pytest.mark.dropin, pytest.mark.filterwarnings("ignore")]

SHOTS = 20_000
PRECISION = 0.01


def fleet(backend):
    """Return a fleet of unlike members, over which whatever is run gets cut."""
    limits = [Limits(max_circuits=2), Limits(max_shots=3000), Limits()]
    return Fleet([Member(backend(), name=f"m{i}", limits=limit) for i, limit in enumerate(limits)])


def sampler(backend=BasicSimulator):
    options = {"default_shots": SHOTS, "seed_simulator": 7}
    return RouterSampler(fleet(backend), policy=round_robin(), options=options)


def estimator():
    options = {"default_precision": PRECISION, "seed_simulator": 7}
    return RouterEstimator(fleet(BasicSimulator), policy=round_robin(), options=options)


def heisenberg():
    """Return a chain of four spins, and its state after a while, by qiskit-addon-utils."""
    generators = pytest.importorskip("qiskit_addon_utils.problem_generators")
    from qiskit.synthesis import LieTrotter

    hamiltonian = generators.generate_xyz_hamiltonian(
        CouplingMap.from_line(4),
        coupling_constants=(0.4, 0.8, 1.2),
        ext_magnetic_field=(0.3, 0, 0.2),
    )
    evolved = generators.generate_time_evolution_circuit(
        hamiltonian, time=0.4, synthesis=LieTrotter(reps=2)
    )
    circuit = QuantumCircuit(4)
    circuit.x([0, 2])
    return hamiltonian, circuit.compose(evolved)


def exact(circuit, observable):
    return Statevector(circuit).expectation_value(observable).real


def test_an_evolved_state():
    """The energy of a state that qiskit-addon-utils has generated."""
    hamiltonian, circuit = heisenberg()
    data = estimator().run([(circuit, hamiltonian)]).result()[0].data
    assert abs(data.evs - exact(circuit, hamiltonian)) < 6 * data.stds


def test_expectation_values_of_samples():
    """Bases chosen and samples evaluated by qiskit-addon-utils, sampled by the router."""
    hamiltonian, circuit = heisenberg()
    from qiskit_addon_utils.exp_vals import executor_expectation_values, get_measurement_bases

    bases, mapping = get_measurement_bases(hamiltonian, bases_in_int_format=False)
    pubs = []
    for basis in bases:
        rotated = circuit.copy()
        for qubit, letter in enumerate(reversed(str(basis))):
            if letter == "Y":
                rotated.sdg(qubit)
            if letter in "XY":
                rotated.h(qubit)
        rotated.measure_all()
        pubs.append(rotated)
    result = sampler().run(pubs).result()
    shots = [pub.data.meas.to_bool_array(order="little") for pub in result]
    ((value, _),) = executor_expectation_values(np.array(shots), mapping, 0)
    # Six times what independent terms would spread.
    spread = np.linalg.norm(hamiltonian.coeffs) / SHOTS**0.5
    assert abs(value - exact(circuit, hamiltonian)) < 6 * spread


def test_operator_backpropagation():
    """Part of a circuit taken into the observable by qiskit-addon-obp, the rest run."""
    obp = pytest.importorskip("qiskit_addon_obp")
    _, circuit = heisenberg()
    from qiskit_addon_obp.utils.simplify import OperatorBudget
    from qiskit_addon_utils.slicing import combine_slices, slice_by_depth

    observable = SparsePauliOp("IIZZ")
    slices = slice_by_depth(circuit.decompose(reps=3), 4)
    moved, left, _ = obp.backpropagate(
        observable, slices, operator_budget=OperatorBudget(max_qwc_groups=6)
    )
    assert len(left) < len(slices)
    data = estimator().run([(combine_slices(left), moved)]).result()[0].data
    assert abs(data.evs - exact(circuit, observable)) < 6 * data.stds


def test_circuit_cutting():
    """A circuit cut in two by qiskit-addon-cutting, its many small experiments run in one job."""
    aer = pytest.importorskip("qiskit_aer")
    cutting = pytest.importorskip("qiskit_addon_cutting")
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(0.3 + 0.4 * qubit, qubit)
    for qubit in range(3):
        circuit.cz(qubit, qubit + 1)
        circuit.rx(0.5, qubit)
    observables = PauliList(["ZZII", "IZZI", "XIII", "ZIIZ"])
    problem = cutting.partition_problem(
        circuit=circuit, partition_labels="AABB", observables=observables
    )
    experiments, coefficients = cutting.generate_cutting_experiments(
        problem.subcircuits, problem.subobservables, num_samples=np.inf
    )
    pubs = [(label, pub) for label, circuits in experiments.items() for pub in circuits]
    # They measure half-way, which Qiskit's own simulator does shot by shot.
    found = sampler(aer.AerSimulator).run([pub for _, pub in pubs]).result()
    parts = {label: [] for label in experiments}
    for (label, _), pub in zip(pubs, found, strict=True):
        parts[label].append(pub)
    results = {label: type(found)(part, metadata={}) for label, part in parts.items()}
    values = cutting.reconstruct_expectation_values(results, coefficients, problem.subobservables)
    expected = [exact(circuit, pauli) for pauli in observables]
    assert np.allclose(values, expected, atol=0.08)
