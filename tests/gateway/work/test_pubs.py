"""Parameter values of PUBs are read as rows, in the circuit's order, however they are stated."""

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray

from qiskit_gateway.work.pubs import read_parameter_rows

NAMES = ("a", "b", "c")


def circuit_of(names=NAMES):
    circuit = QuantumCircuit(1)
    for name in reversed(names):
        circuit.rx(Parameter(name), 0)
    return circuit


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
def test_rows_are_in_the_order_of_the_circuit(shape):
    """So they are as one array in that order or another, or as several."""
    values = np.arange(3.0 * np.prod(shape, dtype=int)).reshape(*shape, 3)
    stated = [
        {NAMES: values},
        {("c", "a", "b"): values[..., [2, 0, 1]]},
        {("b",): values[..., 1:2], ("a", "c"): values[..., [0, 2]]},
    ]
    for data in stated:
        rows = read_parameter_rows(BindingsArray(data, shape), circuit_of())
        assert rows.tolist() == values.reshape(-1, 3).tolist()


def test_rows_are_the_run_s_own():
    """What the caller does to the array afterwards does not show."""
    values = np.ones((2, 3))
    rows = read_parameter_rows(BindingsArray({NAMES: values}), circuit_of())
    values[:] = 7.0
    assert (rows == 1.0).all()


def test_what_is_missing_or_no_number_is_an_error():
    """Neither is taken for a value."""
    with pytest.raises(ValueError, match="finite"):
        read_parameter_rows(BindingsArray({NAMES: [1.0, np.inf, 0.0]}), circuit_of())
    with pytest.raises(ValueError, match="parameters"):
        read_parameter_rows(BindingsArray({("a", "b"): [1.0, 2.0]}), circuit_of())
    assert read_parameter_rows(BindingsArray(), circuit_of(())).shape == (1, 0)
