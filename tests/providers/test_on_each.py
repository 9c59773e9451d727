"""The same work on real providers of every kind, each for itself."""

import numpy as np
import pytest
from faulty_primitive import FaultySampler, loses_one
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qiskit_gateway import RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import Fleet, PrimitiveMember
from qiskit_gateway.policies import BreakerPolicy, RetryPolicy, fastest

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]

NAMES = ("aer", "ddsim", "braket sampler", "ibm sampler ideal", "aer sampler", "ionq qpu", "ibm")
SHOTS = 200


@pytest.fixture
def fleet(provider_members):
    """Return seven providers, and a sampler that loses a part of each result."""
    lies = FaultySampler(provider_members("aer sampler").sampler, spoil=loses_one)
    return Fleet([*map(provider_members, NAMES), PrimitiveMember(lies, name="lies")])


# Who lies is tried again after a while; here that is soon.
POLICY = fastest(
    retry=RetryPolicy(wait_initial_seconds=0.01), breaker=BreakerPolicy(eject_seconds=0.1)
)


def test_the_sampler(fleet):
    """Each is right for each row; the one that lies is told, and has nothing."""
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("angle"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    pubs = [(circuit, np.pi * np.arange(3)[:, None], SHOTS), (circuit, [np.pi], SHOTS + 1)]
    group = RouterSampler(fleet, policy=POLICY).run_on_each(pubs)
    result = group.result(timeout=120)
    assert list(result) == list(NAMES)
    assert result.errors.keys() == {"lies"}
    assert isinstance(result.errors["lies"], RunError)
    for first, second in result.values():
        best = [max(c := first.data.meas.get_counts(row), key=c.get) for row in range(3)]
        assert best == ["00", "11", "00"]
        assert first.data.meas.num_shots == SHOTS
        assert second.data.meas.num_shots == SHOTS + 1
    used = group.report().members
    assert {used[name]["shots"] for name in NAMES} == {3 * SHOTS + SHOTS + 1}
    assert used["lies"]["failures"] > 0


def test_the_estimator(fleet):
    """Each is within its standard error, and what its noise explains."""
    circuit = QuantumCircuit(2)
    circuit.ry(0.6, 0)
    circuit.cx(0, 1)
    group = RouterEstimator(fleet, policy=POLICY).run_on_each(
        [(circuit, ["ZZ", "IZ", "XX"])] * 2, precision=0.05
    )
    result = group.result(timeout=120)
    assert list(result) == list(NAMES)
    exact = np.array([1, np.cos(0.6), np.sin(0.6)])
    for name, pubs in result.items():
        noise = 0.2 if name == "ibm" else 0.0
        for pub in pubs:
            far = np.abs(pub.data.evs - exact)
            assert (far <= noise + 6 * np.maximum(pub.data.stds, 0.01)).all()
