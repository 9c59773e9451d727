"""Operations that are not what their name says, replaced by what they are defined to be.

Qiskit compiles by name: anything called ``h``, where a target has an ``h``, is taken
for that gate, and so it is when Qiskit makes the controlled version of a sub-circuit. Circuits
that pass here can be told by their names from then on.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    CircuitInstruction,
    ControlledGate,
    Gate,
    Instruction,
    QuantumCircuit,
    Store,
    get_control_flow_name_mapping,
)
from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
from qiskit.circuit.library import (
    Initialize,
    MCMTGate,
    UnitaryGate,
    get_standard_gate_name_mapping,
)
from qiskit.transpiler import Target

# What Qiskit makes of sub-circuits: nothing but their definition says what they do.
_GENERIC = (Instruction, Gate, ControlledGate)
# What passes know by name, whatever the target.
_SPECIAL = {
    "annotated": AnnotatedOperation,
    "barrier": Barrier,
    "initialize": Initialize,
    "store": Store,
    "unitary": UnitaryGate,
}


class _Synthesized:
    """Stands for a class of Qiskit that is known by name alone."""


def list_operations(target: Target | None) -> dict[str, type]:
    """List the names that mean an operation to Qiskit or to a target, each with its class.

    The class is :class:`qiskit.circuit.Instruction` where the name is all that is known.
    """
    names = dict(_names_of_qiskit())
    equivalences = SessionEquivalenceLibrary.keys()
    names |= {key.name: names.get(key.name, Instruction) for key in equivalences}
    if target is not None:
        operations = {name: target.operation_from_name(name) for name in target.operation_names}
        names |= {name: _class_of(operation) for name, operation in operations.items()}
    return names


def expand_misnamed(circuit: QuantumCircuit, names: Mapping[str, type]) -> QuantumCircuit:
    """Put the definition in the place of each operation that is not what its name says.

    Sub-circuits with classical bits are always put in, so that their measurements can be seen.
    Bodies of control flow, definitions of definitions, and what is controlled are looked into.

    Args:
        circuit: Any circuit. Not modified.
        names: The names that mean something, as :func:`list_operations` lists them.

    Returns:
        A circuit over the same bits; the very same one if there was nothing to put in.
    """
    meanings = [_find_replacement(instruction, names) for instruction in circuit.data]
    if not any(meaning is not None for meaning in meanings):
        return circuit
    expanded = circuit.copy_empty_like()
    for instruction, meaning in zip(circuit.data, meanings, strict=True):
        if isinstance(meaning, QuantumCircuit):
            expanded.compose(meaning, instruction.qubits, instruction.clbits, inplace=True)
        elif meaning is not None:
            expanded.append(instruction.replace(operation=meaning))
        else:
            expanded.append(instruction)
    return expanded


def _find_replacement(instruction: CircuitInstruction, names: Mapping[str, type]) -> Any:
    """Find what has to replace an instruction; ``None`` if it can stay."""
    if instruction.is_standard_gate():
        return None
    operation = instruction.operation
    if instruction.is_control_flow():
        blocks = [expand_misnamed(block, names) for block in operation.blocks]
        same = all(new is old for new, old in zip(blocks, operation.blocks, strict=True))
        return None if same else operation.replace_blocks(blocks)
    if isinstance(operation, AnnotatedOperation):
        named = _rename(operation, names)
        return None if named is operation else named
    return _find_definition(operation, names)


def _find_definition(operation: Any, names: Mapping[str, type]) -> QuantumCircuit | None:
    """Find the definition of an operation that is needed to know what it does."""
    kind = _class_of(operation)
    if kind in (ControlledGate, MCMTGate):
        return _define_controlled(operation, names)
    if not issubclass(kind, Instruction) or _is_what_it_is_called(kind, operation.name, names):
        return None
    given = _bind_definition(operation)
    if given is None:  # Then there is only the name.
        return None
    expanded = expand_misnamed(given, names)
    hides = operation.name in names or operation.num_clbits
    return expanded if hides or expanded is not given else None


def _define_controlled(
    gate: ControlledGate | MCMTGate, names: Mapping[str, type]
) -> QuantumCircuit | None:
    """Return the definition of a controlled gate, made anew if names in its base misled Qiskit."""
    base = _rename(gate.base_gate, names)
    if base is gate.base_gate and (isinstance(gate, MCMTGate) or gate.name not in names):
        return None
    if base is not gate.base_gate:
        controls, state = gate.num_ctrl_qubits, gate.ctrl_state
        if isinstance(gate, MCMTGate):
            gate = MCMTGate(base, controls, gate.num_target_qubits, state)
        else:
            gate = base.control(controls, ctrl_state=state, annotated=False)
    return expand_misnamed(gate.definition, names)


def _rename(operation: Any, names: Mapping[str, type]) -> Any:
    """Return an operation under a name that means nothing, if its own would mislead."""
    if isinstance(operation, AnnotatedOperation):
        base = _rename(operation.base_op, names)
        if base is operation.base_op:
            return operation
        return AnnotatedOperation(base, operation.modifiers)
    definition = _find_definition(operation, names)
    if definition is None:
        return operation
    name = operation.name
    while name in names:
        name += "_"
    named = Gate(name, operation.num_qubits, operation.params)
    named.definition = definition
    return named


def _bind_definition(operation: Instruction) -> QuantumCircuit | None:
    """Return the definition of an operation with its parameters as they are now."""
    definition: QuantumCircuit | None = operation.definition
    free = () if definition is None else definition.parameters
    # The base of a controlled gate learns new values of its parameters; its definition does not.
    if definition is None or len(free) != len(operation.params) or not free:
        return definition
    return definition.assign_parameters(dict(zip(free, operation.params, strict=True)))


def _is_what_it_is_called(kind: type, name: str, names: Mapping[str, type]) -> bool:
    """Check whether a class of operations is the one that its name means."""
    if kind in _GENERIC:
        return False
    if kind.__module__.partition(".")[0] == "qiskit":
        return True
    known = names.get(name)
    if known is None:
        return False
    return known in _GENERIC or issubclass(kind, known) or issubclass(known, kind)


def _class_of(operation: Any) -> type:
    """Return the class of an operation, or a class itself, which is how targets have control flow."""
    if isinstance(operation, type):
        return operation
    kind: type = getattr(operation, "base_class", type(operation))
    return kind


@cache
def _names_of_qiskit() -> dict[str, type]:
    gates = get_standard_gate_name_mapping()
    names: dict[str, type] = {}
    # Plug-ins of the compiler know how to synthesize these.
    for plugin in entry_points(group="qiskit.synthesis"):
        names[plugin.name.partition(".")[0]] = _Synthesized
    names |= _SPECIAL
    names |= {name: _class_of(gate) for name, gate in gates.items()}
    names |= get_control_flow_name_mapping()
    return names
