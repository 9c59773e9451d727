"""Expressions of parameters that have no value for some of a PUB's rows, found before anything is sent."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit

# What is made of sums and products with numbers, and of these functions, is finite wherever its
# parameters are.
_MAY_FAIL = re.compile(r"/(?!\d)|\*\*|\^|\b(?!(?:sin|cos|atan|abs|sign|conj)\()\w+\(")


def find_fragile(circuit: QuantumCircuit) -> tuple[ParameterExpression, ...]:
    """Find the expressions of a circuit that may be no real, finite number: ``1/t``, ``log(t)``."""
    if not circuit.num_parameters:
        return ()
    found = {str(one): one for one in _walk(circuit)}
    return tuple(one for text, one in found.items() if _MAY_FAIL.search(text))


def _walk(circuit: QuantumCircuit) -> Iterator[ParameterExpression]:
    for value in (circuit.global_phase, *(one for each in circuit.data for one in each.params)):
        if type(value) is ParameterExpression:
            yield value
        elif isinstance(value, QuantumCircuit):
            yield from _walk(value)


def check_values(
    pub: int,
    fragile: Sequence[ParameterExpression],
    parameters: Sequence[Parameter],
    rows: NDArray[np.float64],
) -> None:
    """Check that expressions have a value for every row.

    Args:
        pub: The PUB that they are of.
        fragile: The expressions.
        parameters: The parameters of the circuit, as the columns of the rows.
        rows: Values of the parameters.

    Raises:
        ValueError: If one has none: where it divides by zero, is infinite, or complex.
    """
    columns = {one: place for place, one in enumerate(parameters)}
    for expression in fragile:
        if not columns.keys() >= expression.parameters:
            continue  # A loop in the circuit gives the others their values.
        asked = {one: columns[one] for one in expression.parameters}
        for number, row in enumerate(rows):
            values = {one: float(row[place]) for one, place in asked.items()}
            if not _is_number(expression, values):
                at = ", ".join(f"{one.name} = {value:g}" for one, value in values.items())
                raise ValueError(
                    f"pub {pub}: {expression} is no finite, real number at {at} (row {number} of "
                    f"{len(rows)}, counted from 0); leave that value out"
                )


def _is_number(expression: ParameterExpression, values: dict[Parameter, float]) -> bool:
    try:
        value = expression.bind(values).numeric()
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return False
    return not isinstance(value, complex) and math.isfinite(value)
