"""Packages written for Qiskit's samplers, run unchanged over a fleet.

Each is compared with the same over ``BackendSamplerV2``, or with the exact answer.
"""

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from qiskit.primitives import BackendSamplerV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.policies import round_robin

# The packages warn of what will change in Qiskit; which of it depends on their release.
pytestmark = [pytest.mark.dropin, pytest.mark.filterwarnings("ignore")]

SHOTS = 20_000
# Six standard deviations of a frequency over so many shots; the seeds are fixed besides.
CLOSE = 6 * 0.5 / SHOTS**0.5


def fleet():
    """Return a fleet of unlike members, over which whatever is run gets cut."""
    limits = [Limits(max_circuits=2), Limits(max_shots=3000), Limits()]
    return Fleet(
        [Member(BasicSimulator(), name=f"m{i}", limits=limit) for i, limit in enumerate(limits)]
    )


def router(**options):
    options = {"default_shots": SHOTS, "seed_simulator": 7} | options
    return RouterSampler(fleet(), policy=round_robin(), options=options)


def stock(**options):
    options = {"default_shots": SHOTS, "seed_simulator": 7} | options
    return BackendSamplerV2(backend=BasicSimulator(), options=options)


def rotated():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.rx(Parameter("b"), 1)
    return circuit


# -- qiskit-algorithms -----------------------------------------------------------------------------


@pytest.fixture
def algorithms():
    return pytest.importorskip("qiskit_algorithms")


@pytest.mark.parametrize("local", [False, True])
def test_fidelity(algorithms, local):
    """Fidelities of pairs of states, and the options that the package hands through."""
    from qiskit_algorithms.state_fidelities import ComputeUncompute

    circuit = rotated()
    left, right = [[0.0, 0.0], [0.3, 0.4], [1.0, 2.0]], [[np.pi, 0.0], [0.3, 0.4], [0.5, 1.0]]
    results = [
        ComputeUncompute(sampler, local=local)
        .run([circuit] * 3, [circuit] * 3, left, right)
        .result()
        for sampler in (router(), stock())
    ]
    ours, expected = (np.asarray(result.fidelities) for result in results)
    assert ours[1] == 1.0
    assert np.allclose(ours, expected, atol=2 * CLOSE)


def test_sampler_gradients(algorithms):
    """Gradients of outcome probabilities, by shifts of parameters and by a linear combination."""
    from qiskit_algorithms.gradients import LinCombSamplerGradient, ParamShiftSamplerGradient

    circuit = rotated()
    circuit.measure_all()
    values = [0.4, 0.9]
    for kind in (ParamShiftSamplerGradient, LinCombSamplerGradient):
        ours, expected = (
            kind(sampler).run([circuit], [values]).result().gradients[0]
            for sampler in (router(), stock())
        )
        for left, right in zip(ours, expected, strict=True):
            outcomes = left.keys() | right.keys()
            assert all(abs(left.get(o, 0) - right.get(o, 0)) < 3 * CLOSE for o in outcomes)


def bernoulli(algorithms, probability=0.3):
    """Return the problem of estimating one probability."""
    angle = 2 * np.arcsin(np.sqrt(probability))
    prepare, step = QuantumCircuit(1), QuantumCircuit(1)
    prepare.ry(angle, 0)
    step.ry(2 * angle, 0)
    return algorithms.EstimationProblem(
        state_preparation=prepare, grover_operator=step, objective_qubits=[0]
    )


@pytest.mark.parametrize(
    ("kind", "settings", "tolerance"),
    [
        ("AmplitudeEstimation", {"num_eval_qubits": 4}, 0.05),
        ("IterativeAmplitudeEstimation", {"epsilon_target": 0.02, "alpha": 0.001}, 0.03),
        ("MaximumLikelihoodAmplitudeEstimation", {"evaluation_schedule": 3}, 0.02),
        ("FasterAmplitudeEstimation", {"delta": 0.01, "maxiter": 3}, 0.05),
    ],
)
def test_amplitude_estimation(algorithms, kind, settings, tolerance):
    """Amplitude estimation of every kind finds the probability.

    Maximum likelihood reads ``default_shots``, which stock does not have.
    """
    estimator = getattr(algorithms, kind)(sampler=router(default_shots=2000), **settings)
    if kind == "FasterAmplitudeEstimation":
        estimator._rescale = False
    result = estimator.estimate(bernoulli(algorithms))
    assert result.estimation == pytest.approx(0.3, abs=tolerance)


def test_sampling_vqe(algorithms):
    """A variational search over samples finds the lowest state of a diagonal operator."""
    from qiskit_algorithms.minimum_eigensolvers import SamplingVQE
    from qiskit_algorithms.optimizers import COBYLA

    algorithms.utils.algorithm_globals.random_seed = 5
    operator = SparsePauliOp.from_list([("ZZ", 1.0), ("IZ", -0.5)])
    results = [
        SamplingVQE(
            sampler,
            real_amplitudes(2, reps=1),
            COBYLA(maxiter=25),
            initial_point=[0.5, 1.0, 1.5, 2.0],
        ).compute_minimum_eigenvalue(operator)
        for sampler in (router(default_shots=500), stock(default_shots=500))
    ]
    assert results[0].eigenvalue.real == pytest.approx(results[1].eigenvalue.real, abs=0.3)
    assert results[0].best_measurement["value"].real == pytest.approx(-1.5)


@pytest.mark.parametrize("aggregation", [None, 0.5])
def test_qaoa(algorithms, aggregation):
    """The largest cut of a ring of four is found, over all samples or the best half of them."""
    from qiskit_algorithms.optimizers import COBYLA

    algorithms.utils.algorithm_globals.random_seed = 5
    ring = [("ZZ", [number, (number + 1) % 4], 0.5) for number in range(4)]
    operator = SparsePauliOp.from_sparse_list(ring, num_qubits=4)
    seen = []
    qaoa = algorithms.QAOA(
        router(default_shots=1000),
        COBYLA(maxiter=30),
        reps=2,
        initial_point=[0.5, 0.5, 0.5, 0.5],
        aggregation=aggregation,
        callback=lambda _count, _point, value, _metadata: seen.append(value),
    )
    found = qaoa.compute_minimum_eigenvalue(operator)
    assert found.best_measurement["bitstring"] in {"0101", "1010"}
    assert found.best_measurement["value"] == pytest.approx(-2.0)
    assert found.eigenvalue.real < min(-0.8, seen[0])


def test_grover(algorithms):
    """An amplitude amplifier finds the marked state."""
    oracle = QuantumCircuit(2)
    oracle.cz(0, 1)
    problem = algorithms.AmplificationProblem(oracle, is_good_state=["11"])
    result = algorithms.Grover(iterations=1, sampler=router(default_shots=500)).amplify(problem)
    assert result.top_measurement == "11"
    assert result.oracle_evaluation


def test_phase_estimation(algorithms):
    """Phase estimation reads the register that the package measures."""
    eigenstate, unitary = QuantumCircuit(1), QuantumCircuit(1)
    eigenstate.x(0)
    unitary.p(2 * np.pi * 0.25, 0)
    estimation = algorithms.PhaseEstimation(3, sampler=router(default_shots=200))
    assert estimation.estimate(unitary, eigenstate).phase == 0.25


# -- qiskit-machine-learning -----------------------------------------------------------------------


def test_sampler_network():
    """A neural network of samples goes forward and backward as over stock."""
    networks = pytest.importorskip("qiskit_machine_learning.neural_networks")
    gradients = pytest.importorskip("qiskit_machine_learning.gradients")
    inputs = QuantumCircuit(2)
    inputs.ry(x := Parameter("x"), 0)
    inputs.ry(y := Parameter("y"), 1)
    weights = real_amplitudes(2, reps=1)
    circuit = inputs.compose(weights)
    data, point = np.array([[0.1, 0.7], [1.2, 0.3], [0.5, 2.5]]), np.array([0.2, 0.4, 0.6, 0.8])

    found = []
    for sampler in (router(), stock()):
        network = networks.SamplerQNN(
            circuit=circuit,
            sampler=sampler,
            input_params=[x, y],
            weight_params=list(weights.parameters),
            interpret=lambda number: number.bit_count() % 2,
            output_shape=2,
            gradient=gradients.ParamShiftSamplerGradient(sampler),
        )
        found.append((network.forward(data, point), network.backward(data, point)[1]))
    (ours, our_slopes), (expected, expected_slopes) = found
    assert ours.shape == expected.shape == (3, 2)
    assert np.allclose(ours.sum(axis=1), 1)
    assert np.allclose(ours, expected, atol=2 * CLOSE)
    assert np.allclose(our_slopes, expected_slopes, atol=4 * CLOSE)


def test_kernel():
    """A quantum kernel over a fidelity is the one that the states have."""
    kernels = pytest.importorskip("qiskit_machine_learning.kernels")
    fidelities = pytest.importorskip("qiskit_machine_learning.state_fidelities")
    feature_map = QuantumCircuit(1)
    feature_map.ry(Parameter("x"), 0)
    kernel = kernels.FidelityQuantumKernel(
        feature_map=feature_map, fidelity=fidelities.ComputeUncompute(sampler=router())
    )
    points = np.array([[0.0], [1.0], [2.0]])
    expected = np.cos((points - points.T) / 2) ** 2
    assert np.allclose(kernel.evaluate(points), expected, atol=2 * CLOSE)


# -- qiskit-experiments ----------------------------------------------------------------------------


@pytest.fixture
def experiments():
    pytest.importorskip("qiskit_aer")
    return pytest.importorskip("qiskit_experiments")


def test_experiment_with_a_fit(experiments):
    """A relaxation time is measured through the router as it is through stock."""
    from qiskit_experiments.library import T1
    from qiskit_experiments.test.noisy_delay_aer_simulator import NoisyDelayAerBackend

    t1 = 25e-6
    backend = NoisyDelayAerBackend([t1], [t1])
    experiment = T1([0], np.linspace(1e-6, 75e-6, 12), backend=backend)
    experiment.set_run_options(shots=2000, seed_simulator=3)
    sampler = RouterSampler([backend, Member(backend, name="again")], policy=round_robin())
    data = experiment.run(sampler=sampler).block_for_results()
    assert data.status().name == "DONE", data.errors()
    found = data.analysis_results("T1", dataframe=True).iloc[0].value
    assert found.n == pytest.approx(t1, rel=0.15)
    assert len(data.data()) == 12
    assert all(sum(datum["counts"].values()) == 2000 for datum in data.data())
    # The package finds each circuit's description in the metadata of its result.
    assert [datum["metadata"]["xval"] for datum in data.data()] == pytest.approx(
        list(np.linspace(1e-6, 75e-6, 12))
    )


def test_experiment_of_many_circuits(experiments):
    """Tomography of a Bell state over a fleet gives the Bell state."""
    from qiskit_aer import AerSimulator
    from qiskit_experiments.library import StateTomography

    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    backend = AerSimulator(seed_simulator=5)
    experiment = StateTomography(circuit, backend=backend)
    sampler = RouterSampler(
        [Member(backend, limits=Limits(max_circuits=2)), AerSimulator(seed_simulator=6)]
    )
    data = experiment.run(sampler=sampler, shots=4000).block_for_results()
    assert data.status().name == "DONE", data.errors()
    assert data.analysis_results("state_fidelity", dataframe=True).iloc[0].value > 0.97
    assert len(data.job_ids) == len(set(data.job_ids)) == 1


def test_experiment_that_fails(experiments):
    """An experiment whose job fails says so, with the reason, and does not hang."""
    from qiskit_aer import AerSimulator
    from qiskit_experiments.library import T1

    from qiskit_gateway.backends.scripted import Fails, ScriptedBackend

    backend = ScriptedBackend(AerSimulator(), then=Fails(transient=False))
    experiment = T1([0], [1e-6, 2e-6, 3e-6], backend=backend)
    data = experiment.run(sampler=RouterSampler(backend)).block_for_results()
    assert data.status().name == "ERROR"
    assert "retired" in data.errors()


def test_experiments_in_parallel(experiments):
    """Experiments side by side in one circuit read each their own register."""
    from qiskit_experiments.framework import ParallelExperiment
    from qiskit_experiments.library import T1
    from qiskit_experiments.test.noisy_delay_aer_simulator import NoisyDelayAerBackend

    times = [25e-6, 40e-6]
    backend = NoisyDelayAerBackend(times, times)
    delays = np.linspace(1e-6, 90e-6, 12)
    experiment = ParallelExperiment(
        [T1([qubit], delays) for qubit in range(2)], backend=backend, flatten_results=True
    )
    experiment.set_run_options(shots=3000, seed_simulator=3)
    data = experiment.run(sampler=RouterSampler(backend)).block_for_results()
    assert data.status().name == "DONE", data.errors()
    found = data.analysis_results("T1", dataframe=True)
    assert [value.n for value in found.value] == pytest.approx(times, rel=0.2)
