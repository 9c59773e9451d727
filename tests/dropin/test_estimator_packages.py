"""Packages written for Qiskit's estimators, run unchanged over a fleet.

Each is compared with the exact answer, or with the same over ``StatevectorEstimator``.
"""

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import efficient_su2, real_amplitudes
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp, Statevector

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.policies import round_robin

# The packages warn of what will change in Qiskit; which of it depends on their release.
pytestmark = [pytest.mark.dropin, pytest.mark.filterwarnings("ignore")]

PRECISION = 0.02
ISING = SparsePauliOp.from_list([("ZZ", 0.8), ("XI", 0.3), ("IX", 0.3)])
GROUND = float(np.linalg.eigvalsh(ISING.to_matrix())[0])


def fleet():
    """Return a fleet of unlike members, over which whatever is run gets cut."""
    limits = [Limits(max_circuits=2), Limits(max_shots=3000), Limits()]
    return Fleet(
        [Member(BasicSimulator(), name=f"m{i}", limits=limit) for i, limit in enumerate(limits)]
    )


def router(**options):
    options = {"default_precision": PRECISION, "seed_simulator": 7} | options
    return RouterEstimator(fleet(), policy=round_robin(), options=options)


# -- qiskit-algorithms -----------------------------------------------------------------------------


@pytest.fixture
def algorithms():
    return pytest.importorskip("qiskit_algorithms")


def test_vqe(algorithms):
    """Finds the ground state; metadata of the run arrive where the package keeps them."""
    from qiskit_algorithms.optimizers import SPSA

    algorithms.utils.algorithm_globals.random_seed = 3
    seen = []
    vqe = algorithms.VQE(
        router(),
        real_amplitudes(2, reps=1),
        SPSA(maxiter=60, learning_rate=0.2, perturbation=0.1),
        initial_point=[0.4, -0.7, 0.9, 0.2],
        callback=lambda _count, _point, _value, metadata: seen.append(metadata),
    )
    found = vqe.compute_minimum_eigenvalue(ISING, aux_operators={"zz": SparsePauliOp("ZZ")})
    assert found.eigenvalue.real == pytest.approx(GROUND, abs=0.1)
    assert abs(found.aux_operators_evaluated["zz"][0]) <= 1 + 5 * PRECISION
    assert seen[0]["target_precision"] == PRECISION


def test_vqd(algorithms):
    """Excited states: estimator and sampler over fleets, together."""
    from qiskit_algorithms.optimizers import COBYLA
    from qiskit_algorithms.state_fidelities import ComputeUncompute

    sampler = RouterSampler(fleet(), options={"seed_simulator": 1, "default_shots": 4000})
    vqd = algorithms.VQD(
        router(),
        ComputeUncompute(sampler),
        real_amplitudes(2, reps=1),
        COBYLA(maxiter=80),
        k=2,
        betas=[3, 3],
        initial_point=[0.4, -0.7, 0.9, 0.2],
    )
    found = vqd.compute_eigenvalues(SparsePauliOp.from_list([("ZI", 1.0), ("IZ", 0.4)]))
    assert found.eigenvalues[0].real == pytest.approx(-1.4, abs=0.15)
    assert found.eigenvalues[1].real == pytest.approx(-0.6, abs=0.25)


@pytest.mark.parametrize("name", ["ParamShift", "FiniteDiff", "SPSA", "LinComb"])
def test_gradients(algorithms, name):
    """As over the exact estimator, within the precision."""
    from qiskit_algorithms import gradients

    kind = getattr(gradients, f"{name}EstimatorGradient")
    extra = {"FiniteDiff": {"epsilon": 0.3}, "SPSA": {"epsilon": 0.3, "seed": 2}}.get(name, {})
    circuit = QuantumCircuit(2)
    angles = ParameterVector("t", 3)
    circuit.ry(angles[0], 0)
    circuit.rx(angles[1], 1)
    circuit.cx(0, 1)
    circuit.ry(angles[2], 1)
    values = [[0.3, -0.4, 1.1], [0.1, 0.2, 0.3]]
    found = kind(router(), **extra).run([circuit] * 2, [ISING] * 2, values).result()
    expected = kind(StatevectorEstimator(), **extra).run([circuit] * 2, [ISING] * 2, values)
    for mine, exact in zip(found.gradients, expected.result().gradients, strict=True):
        assert np.allclose(mine, exact, atol=0.3)
        assert not np.array_equal(mine, exact)


def test_trotter_evolution(algorithms):
    """Auxiliary operators of an evolved state."""
    from qiskit_algorithms import TimeEvolutionProblem, TrotterQRTE

    problem = TimeEvolutionProblem(
        ISING,
        time=0.7,
        aux_operators=[SparsePauliOp("ZI"), SparsePauliOp("XX")],
        initial_state=QuantumCircuit(2),
    )
    found = TrotterQRTE(estimator=router(), num_timesteps=4).evolve(problem)
    exact = TrotterQRTE(estimator=StatevectorEstimator(), num_timesteps=4).evolve(problem)
    for (mine, _), (expected, _) in zip(
        found.aux_ops_evaluated, exact.aux_ops_evaluated, strict=True
    ):
        assert mine == pytest.approx(expected, abs=6 * PRECISION)


def test_variational_evolution(algorithms):
    """Imaginary time: the gradients and the metric come from the same estimator."""
    from qiskit_algorithms import TimeEvolutionProblem, VarQITE
    from qiskit_algorithms.gradients import LinCombEstimatorGradient, LinCombQGT
    from qiskit_algorithms.time_evolvers.variational import ImaginaryMcLachlanPrinciple

    ansatz = efficient_su2(2, reps=1, su2_gates=["ry"])
    estimator = router()
    principle = ImaginaryMcLachlanPrinciple(
        LinCombQGT(estimator), LinCombEstimatorGradient(estimator)
    )
    start = [0.4, 0.7, 0.3, -0.5]
    evolver = VarQITE(ansatz, start, principle, estimator, num_timesteps=6)
    before = Statevector(ansatz.assign_parameters(start)).expectation_value(ISING).real
    result = evolver.evolve(TimeEvolutionProblem(ISING, time=1.2, aux_operators=[ISING]))
    after, _ = result.aux_ops_evaluated[0]
    assert after < before - 0.2
    assert after > GROUND - 6 * PRECISION


def test_pvqd(algorithms):
    """Projected dynamics: a fidelity over a sampler, observables over the estimator."""
    from qiskit_algorithms import PVQD, TimeEvolutionProblem
    from qiskit_algorithms.optimizers import COBYLA
    from qiskit_algorithms.state_fidelities import ComputeUncompute

    pvqd = PVQD(
        ComputeUncompute(StatevectorSampler(seed=1, default_shots=4000)),
        efficient_su2(2, reps=1),
        np.zeros(8),
        estimator=router(),
        optimizer=COBYLA(maxiter=40),
        num_timesteps=2,
    )
    result = pvqd.evolve(TimeEvolutionProblem(ISING, time=0.1, aux_operators=[ISING]))
    values = [observed[0] for observed in result.observables]
    assert values[0] == pytest.approx(0.8, abs=6 * PRECISION)


def test_adaptive_vqe(algorithms):
    """Grows its ansatz by gradients that it asks the estimator for."""
    from qiskit_algorithms.optimizers import COBYLA

    pool = [SparsePauliOp("XY"), SparsePauliOp("YZ"), SparsePauliOp("YI"), SparsePauliOp("IY")]
    vqe = algorithms.VQE(router(), QuantumCircuit(2), COBYLA(maxiter=40))
    adaptive = algorithms.AdaptVQE(vqe, operators=pool, max_iterations=3, gradient_threshold=0.05)
    found = adaptive.compute_minimum_eigenvalue(ISING)
    assert found.eigenvalue.real == pytest.approx(GROUND, abs=0.3)


# -- qiskit-machine-learning -----------------------------------------------------------------------


def test_estimator_qnn():
    """Forward and backward passes, with batches, several observables and gradients of inputs."""
    pytest.importorskip("qiskit_machine_learning")
    from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
    from qiskit_machine_learning.neural_networks import EstimatorQNN

    circuit = QuantumCircuit(2)
    data, weight = Parameter("x"), Parameter("w")
    circuit.ry(data, 0)
    circuit.rx(weight, 1)
    circuit.cx(0, 1)

    def network(estimator):
        return EstimatorQNN(
            circuit=circuit,
            estimator=estimator,
            observables=[SparsePauliOp("ZZ"), SparsePauliOp.from_list([("XI", 1), ("IZ", 0.5)])],
            input_params=[data],
            weight_params=[weight],
            gradient=ParamShiftEstimatorGradient(estimator),
            input_gradients=True,
        )

    mine, exact = network(router()), network(StatevectorEstimator())
    inputs, weights = np.array([[0.2], [0.9], [-1.4]]), np.array([0.7])
    found, expected = mine.forward(inputs, weights), exact.forward(inputs, weights)
    # The network sets a precision of its own, of 1/64 by default.
    assert found.shape == expected.shape == (3, 2)
    assert np.allclose(found, expected, atol=0.12)
    for one, other in zip(
        mine.backward(inputs, weights), exact.backward(inputs, weights), strict=True
    ):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=0.15)


def test_a_regressor_learns():
    """A whole training loop."""
    pytest.importorskip("qiskit_machine_learning")
    from qiskit_machine_learning.algorithms.regressors import NeuralNetworkRegressor
    from qiskit_machine_learning.neural_networks import EstimatorQNN
    from qiskit_machine_learning.optimizers import COBYLA

    circuit = QuantumCircuit(1)
    data, weight = Parameter("x"), Parameter("w")
    circuit.ry(data, 0)
    circuit.ry(weight, 0)
    network = EstimatorQNN(
        circuit=circuit, estimator=router(), input_params=[data], weight_params=[weight]
    )
    regressor = NeuralNetworkRegressor(
        network, optimizer=COBYLA(maxiter=30), initial_point=np.array([0.1])
    )
    points = np.linspace(-1, 1, 8)[:, np.newaxis]
    regressor.fit(points, np.cos(points[:, 0] + 0.8))
    assert regressor.weights[0] == pytest.approx(0.8, abs=0.15)
