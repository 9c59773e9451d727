"""What ``backend.run`` is sent: bound circuits, or free ones with their values."""

from collections.abc import Sequence
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2

from qiskit_gateway.backends.batch import Entry
from qiskit_gateway.backends.errors import Refused
from qiskit_gateway.backends.isa import Prepared, bind, parameter_binds
from qiskit_gateway.backends.quirks import takes_parameter_binds

Pairs = Sequence[tuple[Entry, Prepared]]


def payload_of(
    backend: BackendV2, pairs: Pairs
) -> tuple[list[QuantumCircuit], list[dict[Any, list[float]]] | None]:
    """Return the circuits to send, and the values of those that are not bound.

    Raises:
        Refused: If some entries cannot be bound.
    """
    if (
        takes_parameter_binds(backend)
        and all(ready.binds or not ready.columns for _, ready in pairs)
        and any(ready.columns for _, ready in pairs)
    ):
        return _unbound(pairs)
    circuits: list[QuantumCircuit] = []
    reasons: dict[int, str] = {}
    for index, (entry, ready) in enumerate(pairs):
        try:
            circuits += bind(ready, entry.rows)
        except Refused as refused:
            reasons[index] = refused.reasons[0]
    if reasons:
        raise Refused(reasons)
    return circuits, None


def _unbound(pairs: Pairs) -> tuple[list[QuantumCircuit], list[dict[Any, list[float]]]]:
    circuits: list[QuantumCircuit] = []
    binds: list[dict[Any, list[float]]] = []
    for entry, ready in pairs:
        if ready.columns:
            circuits.append(ready.circuit)
            binds.append(parameter_binds(ready, entry.rows))
        else:
            circuits += [ready.circuit] * entry.circuits
            binds += [{}] * entry.circuits
    return circuits, binds
