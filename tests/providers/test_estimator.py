"""Real provider packages through ``RouterEstimator``: each alone, and those without noise as one."""

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparseObservable, SparsePauliOp, Statevector

from qiskit_gateway import PlanError, RouterEstimator
from qiskit_gateway.backends import Fleet, Limits
from qiskit_gateway.policies import round_robin

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = pytest.mark.filterwarnings("ignore")

# Those that refuse for good; the others have to be right.
REFUSING = {"ddsim hybrid", "ddsim path"}
# How far the noise of a device may pull a value of size 1 from the exact one.
NOISY = {"generic": 0.2, "ibm": 0.2, "iqm adonis": 0.5, "iqm deneb": 0.5, "iqm apollo": 0.5}
NOISY |= {"ibm sampler": 0.2, "ibm sampler v2": 0.2}
PRECISION = 0.05


def pub():
    """Every letter, projectors, several bases, unlike qubits, two parameters in no usual order."""
    b, a = ParameterVector("b", 2)
    circuit = QuantumCircuit(3)
    circuit.ry(a, 0)
    circuit.cx(0, 2)
    circuit.rx(b, 1)
    circuit.x(2)
    wanted = [
        "IIZ",
        "ZIZ",
        "IYI",
        "XIX",
        SparsePauliOp.from_list([("ZII", 0.5), ("YIY", -0.25), ("III", 0.25)]),
        SparseObservable.from_list([("0I1", 0.5), ("IrI", 0.5)]),
    ]
    return circuit, wanted, np.array([[[0.4, 1.9]], [[-1.2, 0.3]]]), PRECISION


def exact():
    stated = EstimatorPub.coerce(pub())
    wanted = stated.observables.sparse_observables_array()
    operators = [SparsePauliOp.from_sparse_observable(one) for one in wanted]
    return np.array(
        [
            [Statevector(bound).expectation_value(operator).real for operator in operators]
            for bound in stated.parameter_values.bind_all(stated.circuit).ravel()
        ]
    )


def check(data, noise):
    assert np.isfinite(data.evs).all()
    assert (np.abs(data.evs - exact()) <= noise + 6 * np.maximum(data.stds, 0.01)).all()


def test_each_alone(provider_member):
    """The exact values within the standard error, and what its noise explains; or a refusal."""
    job = RouterEstimator(provider_member, options={"seed_simulator": 5}).run([pub()])
    if provider_member.name in REFUSING:
        with pytest.raises(PlanError):
            job.result()
        return
    check(job.result()[0].data, NOISY.get(provider_member.name, 0))


@pytest.mark.providers
def test_all_as_one_fleet(provider_members):
    """Six packages in one run, each of which takes a part of every basis."""
    names = ["basic", "aer", "ddsim", "braket", "qsharp", "tket"]
    fleet = Fleet([provider_members(name, limits=Limits(max_circuits=1)) for name in names])
    estimator = RouterEstimator(fleet, policy=round_robin(spread="shots"))
    job = estimator.run([pub()] * 2)
    for result in job.result():
        check(result.data, 0)
        assert set(result.metadata) == {"target_precision", "shots", "circuit_metadata"}
    assert set(job.report().members) == set(names)
