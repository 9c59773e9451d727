"""What a compiled circuit holds, and how good and how long a target says it will be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

_NOT_GATES = frozenset({"barrier", "delay", "reset", "store"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCounts:
    """How many operations a circuit has, for tariffs that price them.

    The bodies of control flow are counted once each, whether they run or not. A gate on more
    than two qubits counts as ``6 (n - 2)`` two-qubit gates, which is how IonQ bills it.

    Attributes:
        num_1q: One-qubit gates.
        num_2q: Two-qubit gates.
        num_measure: Measurements.
    """

    num_1q: int
    num_2q: int
    num_measure: int


def gate_counts(circuit: QuantumCircuit) -> GateCounts:
    """Return how many operations a circuit has."""
    one = two = measure = 0
    for instruction, qubits in _operations(circuit, tuple(range(circuit.num_qubits))):
        if instruction.name in _NOT_GATES:
            continue
        if instruction.name == "measure":
            measure += 1
        elif len(qubits) == 1:
            one += 1
        elif len(qubits) == 2:
            two += 1
        else:
            two += 6 * max(0, len(qubits) - 2)
    return GateCounts(num_1q=one, num_2q=two, num_measure=measure)


def estimated_fidelity(circuit: QuantumCircuit, target: Target | None) -> float | None:
    """Return the chance that nothing goes wrong, as far as a target tells.

    The product of one minus the error of every operation, readout included. Idling is not
    counted, and the bodies of control flow count once each.

    Args:
        circuit: A circuit made for the target.
        target: Where it would run.

    Returns:
        A number from 0 to 1, or ``None`` if the target knows no error of any operation.
    """
    if target is None:
        return None
    errors = [
        error
        for instruction, qubits in _operations(circuit, tuple(range(circuit.num_qubits)))
        if (error := _error(target, instruction.name, qubits)) is not None
    ]
    if not errors:
        return None
    fidelity = 1.0
    for error in errors:
        fidelity *= 1.0 - min(1.0, max(0.0, error))
    return fidelity


def estimated_seconds(circuit: QuantumCircuit, target: Target | None) -> float | None:
    """Return how long one shot takes, from the durations that a target tells.

    Args:
        circuit: A circuit made for the target, without free parameters in its delays.
        target: Where it would run.

    Returns:
        Seconds along the longest chain of operations, or ``None`` if a duration is not known or
        the circuit has control flow.
    """
    if target is None:
        return None
    try:
        return float(circuit.estimate_duration(target, unit="s"))
    except (QiskitError, TypeError, KeyError, ValueError):
        return None


def _operations(
    circuit: QuantumCircuit, places: tuple[int, ...]
) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield every instruction with the indices of its qubits, bodies of control flow included."""
    index = dict(zip(circuit.qubits, places, strict=True))
    for instruction in circuit.data:
        qubits = tuple(index[qubit] for qubit in instruction.qubits)
        if not instruction.is_control_flow():
            yield instruction, qubits
            continue
        for block in instruction.operation.blocks:
            yield from _operations(block, qubits)


def _error(target: Target, name: str, qubits: tuple[int, ...]) -> float | None:
    if name not in target.operation_names:
        return None
    properties = target[name]
    found = properties.get(qubits) or properties.get(None)
    error = getattr(found, "error", None)
    return None if error is None else float(error)
