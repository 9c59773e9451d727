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
    parameters = circuit.parameters
    shape = (prod(values.shape), len(parameters))
    if 0 in shape:
        return np.zeros(shape)
    # As they are stated most often, in the circuit's order, no column need be looked for.
    names = tuple([parameter.name for parameter in parameters])
    whole = values.data.get(names) if len(values.data) == 1 else None
    if whole is None:
        whole = values.as_array(parameters)
    # A copy: what the caller does to the array afterwards is nothing to the run.
    rows = np.array(whole, dtype=float).reshape(shape)
    if not np.isfinite(rows).all():
        raise ValueError("parameter values must be finite numbers, and some are not")
    return rows
