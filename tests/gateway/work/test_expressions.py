"""Expressions of parameters without a value are refused before anything is sent."""

import re

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends.scripted import ScriptedBackend
from qiskit_gateway.work.expressions import find_fragile

T, G = Parameter("t"), Parameter("g")


def rotated(angle, *, measured=True):
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    if measured:
        circuit.measure_all()
    return circuit


@pytest.mark.parametrize(
    ("expression", "values", "wrong"),
    [
        (1 / T, [1.0, 2.0, 0.0], "t = 0 (row 2 of 3"),
        (T.log(), [1.0, 0.0], "t = 0 (row 1 of 2"),
        (T.log(), [-1.0], "t = -1 (row 0 of 1"),
        (T**0.5, [4.0, -1.0], "t = -1 (row 1 of 2"),
        (T.arccos(), [0.5, 2.0], "t = 2 (row 1 of 2"),
        (T.exp(), [1e4], "t = 10000 (row 0 of 1"),
    ],
)
def test_what_has_no_value_is_an_error_before_anything_is_sent(expression, values, wrong):
    """It names PUB, row and parameter, for both primitives and for quotes."""
    backend = ScriptedBackend(BasicSimulator())
    sampler, estimator = RouterSampler(backend), RouterEstimator(backend)
    rows = np.array(values)[:, None]
    pubs = [(rotated(2 * T), [0.5]), (rotated(expression), rows)]
    observed = (rotated(expression, measured=False), SparsePauliOp(["X", "Z"]), rows)
    told = f"{re.escape(str(expression))} is no finite, real number at {re.escape(wrong)}"

    for refuse in (sampler.run, sampler.quote):
        with pytest.raises(ValueError, match=f"pub 1: {told}"):
            refuse(pubs)
    with pytest.raises(ValueError, match=f"pub 0: {told}"):
        estimator.run([observed])
    assert not backend.calls


def test_what_has_a_value_runs():
    """A value that is defined for each row is none of this."""
    backend = BasicSimulator()
    result = RouterSampler(backend).run([(rotated(np.pi / T), [[1.0], [2.0]])], shots=10).result()
    assert result[0].data.meas.get_counts(0) == {"1": 10}


def test_parameters_of_a_loop_are_given_by_the_loop():
    """None of a PUB's values are theirs."""
    circuit = QuantumCircuit(1)
    circuit.rx(G, 0)
    with circuit.for_loop(range(1, 3), T):
        circuit.rx(1 / T, 0)
    circuit.measure_all()
    backend = ScriptedBackend(BasicSimulator())
    assert {str(one) for one in find_fragile(circuit)} == {"1/t"}
    RouterSampler(backend).quote([(circuit, [0.5])])


def test_circuits_that_are_too_many_to_be_kept_are_looked_at():
    circuits = [rotated(1 / Parameter(f"t{number}")) for number in range(1030)]
    pubs = [(one, [0.0 if number == 0 else 1.0]) for number, one in enumerate(circuits)]
    with pytest.raises(ValueError, match="pub 0: 1/t0 is no finite"):
        RouterSampler(BasicSimulator()).quote(pubs)


def test_phases_and_bodies_of_control_flow_are_looked_at():
    circuit = QuantumCircuit(1, 1, global_phase=1 / T)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rx(G.log(), 0)
    assert {str(one) for one in find_fragile(circuit)} == {"1/t", "log(g)"}


def test_what_always_has_a_value_is_not_evaluated():
    """Sums and products with numbers, and sines, as most circuits have them."""
    circuit = QuantumCircuit(1)
    for angle in (T, 2 * T, T / 2 + G, -T * G - 0.5, T.sin(), (T / 2).cos(), T.arctan(), abs(T)):
        circuit.rz(angle, 0)
    assert find_fragile(circuit) == ()
