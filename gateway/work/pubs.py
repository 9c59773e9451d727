"""Parameter values of PUBs, as rows."""

from math import prod

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray


def read_parameter_rows(values: BindingsArray, circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Read parameter values as ``(rows, parameters)``, in the circuit's order of parameters.

    Raises:
        ValueError: If one is not finite.
    """
    shape = (prod(values.shape), circuit.num_parameters)
    if 0 in shape:
        return np.zeros(shape)
    rows = np.asarray(values.as_array(circuit.parameters), dtype=float).reshape(shape)
    if not np.isfinite(rows).all():
        raise ValueError("parameter values must be finite numbers, and some are not")
    return rows
