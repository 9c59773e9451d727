"""The plainest form of a circuit: what providers get registers wrong about, taken out."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from qiskit.circuit import ClassicalRegister, Clbit, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr

_ORDINARY_NAME = re.compile(r"[a-z][a-z0-9_]*", re.IGNORECASE | re.ASCII)
# What a measured qubit may go through without anything being known of whether it was measured.
_IDLING = frozenset({"barrier", "delay"})
# They name all bits of the loop that they leave, and do nothing to them.
_JUMPS = frozenset({"break_loop", "continue_loop"})


def plain_form(
    circuit: QuantumCircuit, *, flatten: bool = False, measured_after: bool = False
) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return a circuit that measures the same, with classical bits that nobody can mistake.

    A circuit is plain if every classical bit is in exactly one register, the registers follow
    each other in the order of the bits and have ordinary names, every bit is written, and no
    qubit is loose. Any other gets one classical register that holds exactly the bits that are
    written, in their order, and one quantum register. Measurements are left out whose bit is
    measured anew before anything reads it, as far as no qubit can tell: not every backend knows
    which of two measurements is the last. A circuit with control flow, or with variables, is
    returned unchanged: what its bits mean there cannot be told from outside.

    Args:
        circuit: Any circuit. Not modified.
        flatten: Whether even a plain circuit must have no more than one classical register.
        measured_after: Whether the state at the end of the circuit is measured afterwards.

    Returns:
        The circuit, the very same if it was plain, and the index in the given circuit of each
        of its classical bits.
    """
    if is_dynamic(circuit):
        return circuit, tuple(range(circuit.num_clbits))
    bits = find_written_bits(circuit)
    if _measures_twice(circuit):
        circuit = _drop_overwritten(circuit, measured_after=measured_after)
    if _is_plain(circuit, bits) and not (flatten and len(circuit.cregs) > 1):
        return circuit, bits
    return _rewrite(circuit, bits), bits


def is_dynamic(circuit: QuantumCircuit) -> bool:
    """Check whether a circuit has control flow, or variables that it could store to."""
    return bool(
        circuit.has_control_flow_op()
        or circuit.num_identifiers
        or any(instruction.name == "store" for instruction in circuit.data)
    )


def find_written_bits(circuit: QuantumCircuit) -> tuple[int, ...]:
    """Find the classical bits that some instruction may write, by index, ascending."""
    index = {bit: number for number, bit in enumerate(circuit.clbits)}
    return tuple(sorted({index[bit] for bit in _write(circuit)}))


def writes_any(circuit: QuantumCircuit, bits: Container[Clbit]) -> bool:
    """Check whether some instruction may write one of some classical bits.

    Most circuits end with what they write, so that hardly any of them is read.
    """
    return any(bit in bits for bit in _write(circuit))


def register_sizes(circuit: QuantumCircuit) -> tuple[int, ...]:
    """Return the sizes of the classical registers if they tile the bits in order, else ``()``."""
    tiled = [bit for register in circuit.cregs for bit in register]
    return tuple(r.size for r in circuit.cregs) if tiled == circuit.clbits else ()


def lengthen_name(name: str, registers: Sequence[ClassicalRegister | QuantumRegister]) -> str:
    """Lengthen a name until no register has it."""
    taken = {register.name for register in registers}
    while name in taken:
        name += "_"
    return name


def _write(circuit: QuantumCircuit) -> Iterator[Clbit]:
    """Go through the classical bits that instructions may write, the last ones first."""
    for instruction in reversed(circuit.data):
        if instruction.name == "store":
            for variable in expr.iter_vars(instruction.operation.lvalue):
                yield from _bits_of(variable.var)
        elif not instruction.is_control_flow() and instruction.name not in _JUMPS:
            yield from instruction.clbits
        # The bits of control flow are those of its condition too, which is only read.
        for block in instruction.operation.blocks if instruction.is_control_flow() else ():
            outer = dict(zip(block.clbits, instruction.clbits, strict=True))
            yield from (outer.get(bit, bit) for bit in _write(block))


def _bits_of(variable: Any) -> Iterable[Clbit]:
    """Return the classical bits that a variable stands for; none where it has storage of its own."""
    if isinstance(variable, ClassicalRegister):
        return list(variable)
    return [variable] if isinstance(variable, Clbit) else []


def _measures_twice(circuit: QuantumCircuit) -> bool:
    measured = [clbit for i in circuit.data if i.name == "measure" for clbit in i.clbits]
    return len(set(measured)) < len(measured)


def _drop_overwritten(circuit: QuantumCircuit, *, measured_after: bool) -> QuantumCircuit:
    """Leave out measurements of a circuit without control flow that nothing can tell from none."""
    kept = []
    # Seen from the end: bits that are measured anew before they are read, and qubits that are
    # measured, reset or done with before a gate could tell whether they have been measured.
    anew: set[Clbit] = set()
    settled = set() if measured_after else set(circuit.qubits)
    for instruction in reversed(circuit.data):
        qubits, clbits = instruction.qubits, instruction.clbits
        if instruction.name == "measure":
            if anew.issuperset(clbits) and settled.issuperset(qubits):
                continue
            anew.update(clbits)
            settled.update(qubits)
        elif instruction.name == "reset":
            settled.update(qubits)
        elif instruction.name not in _IDLING:
            anew.difference_update(clbits)
            settled.difference_update(qubits)
        kept.append(instruction)
    if len(kept) == len(circuit.data):
        return circuit
    without = circuit.copy_empty_like()
    for instruction in reversed(kept):
        without.append(instruction)
    return without


def _is_plain(circuit: QuantumCircuit, written: tuple[int, ...]) -> bool:
    return (
        len(written) == circuit.num_clbits
        and len(register_sizes(circuit)) == len(circuit.cregs)
        and all(register.size for register in circuit.cregs)
        and all(_ORDINARY_NAME.fullmatch(register.name) for register in circuit.cregs)
        and [qubit for register in circuit.qregs for qubit in register] == circuit.qubits
    )


def _rewrite(circuit: QuantumCircuit, bits: tuple[int, ...]) -> QuantumCircuit:
    qubits = QuantumRegister(circuit.num_qubits, "q")
    clbits = ClassicalRegister(len(bits), "c")
    registers = [register for register in (qubits, clbits) if register.size]
    plain = QuantumCircuit(*registers, name=circuit.name, global_phase=circuit.global_phase)
    qubit_of = dict(zip(circuit.qubits, qubits, strict=True))
    clbit_of = dict(zip((circuit.clbits[bit] for bit in bits), clbits, strict=True))
    for instruction in circuit.data:
        plain.append(
            instruction.replace(
                qubits=[qubit_of[qubit] for qubit in instruction.qubits],
                clbits=[clbit_of[clbit] for clbit in instruction.clbits],
            )
        )
    return plain
