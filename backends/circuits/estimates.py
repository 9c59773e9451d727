"""Count the operations of a compiled circuit, and estimate its fidelity and time by its target."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, inf, isfinite
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

_INSTANT = frozenset({"barrier", "store"})
_IDLING = frozenset({"barrier", "delay", "store"})
_NOT_GATES = frozenset({"barrier", "delay", "reset", "store"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCounts:
    """The operation counts of a circuit, for tariffs that price them.

    The bodies of control flow are counted once each, whether they run or not. A gate on more
    than two qubits counts as ``6 (n - 2)`` two-qubit gates, which is how IonQ bills it.

    Attributes:
        num_1q: One-qubit gates.
        num_2q: Two-qubit gates.
        num_measure: Measurements.
        num_prepare: Preparations of a qubit: once for each that is used, and its resets.
    """

    num_1q: int
    num_2q: int
    num_measure: int
    num_prepare: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The estimates for one program on one backend, before it has run there.

    Attributes:
        gates: How many operations it has, as compiled for the backend.
        fidelity: The chance that nothing goes wrong in a shot, or ``None`` if the backend tells no
            errors.
        shot_seconds: Machine time of a shot, or ``None`` if the backend tells no durations.
    """

    gates: GateCounts
    fidelity: float | None = None
    shot_seconds: float | None = None


def gate_counts(circuit: QuantumCircuit) -> GateCounts:
    """Count the operations of a circuit."""
    one = two = measure = resets = 0
    used: set[int] = set()
    for instruction, qubits in _operations(circuit, tuple(range(circuit.num_qubits))):
        if instruction.name not in _IDLING:
            used.update(qubits)
        if instruction.name in _NOT_GATES:
            resets += instruction.name == "reset"
        elif instruction.name == "measure":
            measure += 1
        elif len(qubits) == 1:
            one += 1
        elif len(qubits) == 2:
            two += 1
        else:
            two += 6 * max(0, len(qubits) - 2)
    return GateCounts(num_1q=one, num_2q=two, num_measure=measure, num_prepare=len(used) + resets)


def estimate_fidelity(circuit: QuantumCircuit, target: Target | None) -> float | None:
    """Return the chance that nothing goes wrong, as far as a target tells.

    The product of one minus the error of every operation, readout included, and of what qubits
    keep while they wait for others, where T1 and T2 and all durations are known. Bodies of
    control flow count once each, and with any of them nothing is counted for waiting.

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
    for qubit, seconds in _schedule(circuit, target)[1].items():
        fidelity *= _relaxation_fidelity(target, qubit, seconds)
    return fidelity


def estimate_seconds(circuit: QuantumCircuit, target: Target | None) -> float | None:
    """Estimate the time of one shot, in seconds, from the durations that a target tells.

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
        seconds = float(circuit.estimate_duration(target, unit="s"))
    except (QiskitError, TypeError, KeyError, ValueError):
        # Qiskit takes no delay in ns, us or ms. Where it is something else, that is found here, too.
        clocks, _ = _schedule(circuit, target)
        seconds = max(clocks.values(), default=inf)
    return seconds if isfinite(seconds) else None


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


def _schedule(circuit: QuantumCircuit, target: Target) -> tuple[dict[int, float], dict[int, float]]:
    """Find when each qubit is done, and how long it waits for others before that, in seconds.

    Each operation begins as early as it can. Nothing is returned where a duration is not known.
    """
    clocks: dict[int, float] = {}
    waits: dict[int, float] = {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        seconds = _seconds(target, instruction, qubits)
        if seconds is None:
            return {}, {}
        start = max((clocks.get(qubit, 0.0) for qubit in qubits), default=0.0)
        idles = instruction.name in _IDLING
        for qubit in qubits:
            # Before its first gate a qubit rests in its ground state, and loses nothing.
            if qubit in waits:
                waits[qubit] += start - clocks[qubit] + (seconds if idles else 0.0)
            elif not idles:
                waits[qubit] = 0.0
            clocks[qubit] = start + seconds
    return clocks, waits


def _seconds(target: Target, instruction: Any, qubits: tuple[int, ...]) -> float | None:
    if instruction.is_control_flow():
        return None
    if instruction.name in _INSTANT:
        return 0.0
    if instruction.name == "delay":
        return _delay_seconds(instruction.operation, target.dt)
    return _read_property(target, instruction.name, qubits, "duration")


def _delay_seconds(delay: Any, dt: float | None) -> float | None:
    scales = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "dt": dt}
    scale = scales.get(delay.unit)
    try:
        return None if scale is None else float(delay.duration) * scale
    except TypeError:  # A free parameter.
        return None


def _relaxation_fidelity(target: Target, qubit: int, seconds: float) -> float:
    """Return the average fidelity of a qubit that relaxes and dephases for a time."""
    properties = target.qubit_properties
    known = properties[qubit] if properties and qubit < len(properties) else None
    t1, t2 = getattr(known, "t1", None), getattr(known, "t2", None)
    if not (t1 and t2 and seconds):
        return 1.0
    return 1 / 2 + exp(-seconds / t1) / 6 + exp(-seconds / t2) / 3


def _error(target: Target, name: str, qubits: tuple[int, ...]) -> float | None:
    return _read_property(target, name, qubits, "error")


def _read_property(target: Target, name: str, qubits: tuple[int, ...], what: str) -> float | None:
    if name not in target.operation_names:
        return None
    properties = target[name] or {}
    found = properties.get(qubits) or properties.get(None)
    told = getattr(found, what, None)
    return None if told is None else float(told)
