"""What a circuit gives, worked out exactly: every branch of every measurement is followed.

It knows nothing of the product, and goes by what operations are, never by what they are called.
"""

from dataclasses import dataclass

import numpy as np
from qiskit.circuit import (
    AnnotatedOperation,
    BreakLoopOp,
    ClassicalRegister,
    Clbit,
    ContinueLoopOp,
    ControlledGate,
    ControlModifier,
    ForLoopOp,
    Gate,
    IfElseOp,
    Instruction,
    InverseModifier,
    Measure,
    PowerModifier,
    Reset,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr
from qiskit.circuit.controlflow import CASE_DEFAULT

# Branches that are less likely than this are not followed.
NEVER = 1e-12


@dataclass(frozen=True)
class Branch:
    """One way that things may have gone.

    Attributes:
        state: The state of all qubits, first qubit in the first axis; its norm is the probability.
        bits: The classical bits.
        leaves: What leaves the loop it is in, if it does.
    """

    state: np.ndarray
    bits: tuple[int, ...]
    leaves: type | None = None

    @property
    def weight(self):
        return float(np.vdot(self.state, self.state).real)


def branches(circuit):
    """Return all ways that a circuit without free parameters may go."""
    state = np.zeros((2,) * circuit.num_qubits, complex)
    state[(0,) * circuit.num_qubits] = 1
    start = Branch(state, (0,) * circuit.num_clbits)
    return _Walk(circuit).through(circuit, range(circuit.num_qubits), circuit.clbits, [start])


def distribution(circuit):
    """Return the probability of each outcome, as a tuple of the classical bits, bit 0 first."""
    found = {}
    for branch in branches(circuit):
        found[branch.bits] = found.get(branch.bits, 0.0) + branch.weight
    return found


def expectation(circuit, label):
    """Return the expectation value of a Pauli label in the state at the end of a circuit."""
    total = 0.0
    for branch in branches(circuit):
        turned = branch.state
        for qubit, letter in enumerate(reversed(label)):
            turned = _applied(_PAULIS[letter], turned, [qubit])
        total += np.vdot(branch.state, turned).real
    return float(total)


_PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


class _Walk:
    def __init__(self, circuit):
        self.index = {bit: number for number, bit in enumerate(circuit.clbits)}

    def through(self, circuit, places, clbits, found):
        """Take branches through a circuit; its bits are those bits of the outermost circuit."""
        place_of = dict(zip(circuit.qubits, places, strict=True))
        bit_of = dict(zip(circuit.clbits, clbits, strict=True))
        for instruction in circuit.data:
            qubits = [place_of[qubit] for qubit in instruction.qubits]
            bits = [bit_of[clbit] for clbit in instruction.clbits]
            found = [
                after
                for branch in found
                for after in (
                    [branch]
                    if branch.leaves
                    else self.step(instruction.operation, qubits, bits, branch)
                )
                if after.weight > NEVER
            ]
        return found

    def step(self, operation, qubits, bits, branch):  # noqa: PLR0911  A table of operations.
        kind = type(operation) if not isinstance(operation, Instruction) else operation.base_class
        if kind is Measure:
            return [self._measured(branch, qubits[0], bits[0], value) for value in (0, 1)]
        if kind is Reset:
            return [_projected(branch, qubits[0], value, then=0) for value in (0, 1)]
        if kind is Store:
            return [self._stored(branch, operation)]
        if kind in (BreakLoopOp, ContinueLoopOp):
            return [Branch(branch.state, branch.bits, kind)]
        flow = _FLOW.get(kind)
        if flow is not None:
            return flow(self, operation, qubits, bits, branch)
        if kind is Instruction and operation.definition is not None:
            return self.through(operation.definition, qubits, bits, [branch])
        if operation.name in ("barrier", "delay") and kind not in (Gate, ControlledGate):
            return [branch]
        return [Branch(_applied(unitary(operation), branch.state, qubits), branch.bits)]

    def _measured(self, branch, qubit, bit, value):
        after = _projected(branch, qubit, value, then=value)
        return Branch(after.state, self._written(branch.bits, bit, value))

    def _written(self, bits, bit, value):
        place = self.index[bit]
        return (*bits[:place], value, *bits[place + 1 :])

    def _stored(self, branch, store):
        value, bits, variable = self.value(store.rvalue, branch), branch.bits, store.lvalue.var
        for place, bit in enumerate([variable] if isinstance(variable, Clbit) else variable):
            bits = self._written(bits, bit, int(value) >> place & 1)
        return Branch(branch.state, bits)

    # Control flow.

    def _if(self, operation, qubits, bits, branch):
        number = 0 if self.holds(operation.condition, branch) else 1
        if number == len(operation.blocks):
            return [branch]
        return self.through(operation.blocks[number], qubits, bits, [branch])

    def _for(self, operation, qubits, bits, branch):
        values, parameter, body = operation.params
        found, done = [branch], []
        for value in values:
            block = body if parameter is None else body.assign_parameters({parameter: value})
            found, left = self._round(block, qubits, bits, found)
            done += left
        return done + found

    def _while(self, operation, qubits, bits, branch):
        found, done = [branch], []
        while found:
            done += [one for one in found if not self.holds(operation.condition, one)]
            found = [one for one in found if self.holds(operation.condition, one)]
            found, left = self._round(operation.blocks[0], qubits, bits, found)
            done += left
        return done

    def _round(self, block, qubits, bits, found):
        """Go through the body of a loop once; return who goes on and who has left."""
        after = self.through(block, qubits, bits, found)
        on = [Branch(one.state, one.bits) for one in after if one.leaves is not BreakLoopOp]
        left = [Branch(one.state, one.bits) for one in after if one.leaves is BreakLoopOp]
        return on, left

    def _switch(self, operation, qubits, bits, branch):
        value = int(self.value(operation.target, branch))
        for labels, block in operation.cases_specifier():
            if value in labels or CASE_DEFAULT in labels:
                return self.through(block, qubits, bits, [branch])
        return [branch]

    # Classical values.

    def holds(self, condition, branch):
        if isinstance(condition, tuple):
            return self.value(condition[0], branch) == int(condition[1])
        return bool(self.value(condition, branch))

    def value(self, thing, branch):  # noqa: C901, PLR0911  A table of expressions.
        match thing:
            case Clbit():
                return branch.bits[self.index[thing]]
            case ClassicalRegister():
                return sum(branch.bits[self.index[bit]] << place for place, bit in enumerate(thing))
            case expr.Var():
                return self.value(thing.var, branch)
            case expr.Value():
                return int(thing.value)
            case expr.Cast():
                return self.value(thing.operand, branch)
            case expr.Unary(op=expr.Unary.Op.LOGIC_NOT):
                return int(not self.value(thing.operand, branch))
            case expr.Unary(op=expr.Unary.Op.BIT_NOT):
                width = getattr(thing.type, "width", 1)
                return ~self.value(thing.operand, branch) & ((1 << width) - 1)
            case expr.Binary():
                left, right = self.value(thing.left, branch), self.value(thing.right, branch)
                return int(_BINARY[thing.op](left, right))
        raise NotImplementedError(thing)


_FLOW = {
    IfElseOp: _Walk._if,
    ForLoopOp: _Walk._for,
    WhileLoopOp: _Walk._while,
    SwitchCaseOp: _Walk._switch,
}
_BINARY = {
    expr.Binary.Op.BIT_AND: lambda a, b: a & b,
    expr.Binary.Op.BIT_OR: lambda a, b: a | b,
    expr.Binary.Op.BIT_XOR: lambda a, b: a ^ b,
    expr.Binary.Op.LOGIC_AND: lambda a, b: a and b,
    expr.Binary.Op.LOGIC_OR: lambda a, b: a or b,
    expr.Binary.Op.EQUAL: lambda a, b: a == b,
    expr.Binary.Op.NOT_EQUAL: lambda a, b: a != b,
    expr.Binary.Op.LESS: lambda a, b: a < b,
    expr.Binary.Op.LESS_EQUAL: lambda a, b: a <= b,
    expr.Binary.Op.GREATER: lambda a, b: a > b,
    expr.Binary.Op.GREATER_EQUAL: lambda a, b: a >= b,
}


# Gates.


def unitary(operation):
    """Return the matrix of a gate by its definition, first qubit least significant."""
    if isinstance(operation, AnnotatedOperation):
        matrix = unitary(operation.base_op)
        for modifier in operation.modifiers:
            matrix = _modified(matrix, modifier)
        return matrix
    kind = operation.base_class
    if kind is ControlledGate:
        base = unitary(operation.base_gate)
        return _controlled(base, operation.num_ctrl_qubits, operation.ctrl_state)
    if kind in (Gate, Instruction) or not kind.__module__.startswith("qiskit."):
        return _of_definition(operation.definition)
    return operation.to_matrix()


def _of_definition(definition):
    columns = np.eye(1 << definition.num_qubits, dtype=complex)
    size = definition.num_qubits
    # Axes of a tensor run from the most significant qubit down, ours from the first qubit up.
    state = columns.reshape((2,) * size + (-1,)).transpose(*reversed(range(size)), size)
    for instruction in definition.data:
        if instruction.name in ("barrier", "delay") and instruction.operation.definition is None:
            continue
        places = [definition.find_bit(qubit).index for qubit in instruction.qubits]
        state = _applied(unitary(instruction.operation), state, places)
    state = state.transpose(*reversed(range(size)), size).reshape(columns.shape)
    return np.exp(1j * float(definition.global_phase)) * state


def _controlled(matrix, controls, ctrl_state):
    """Return a matrix that acts where the controls, the first qubits, are in a state."""
    size = len(matrix) << controls
    found = np.eye(size, dtype=complex)
    rows = np.arange(len(matrix)) << controls | ctrl_state
    found[np.ix_(rows, rows)] = matrix
    return found


def _modified(matrix, modifier):
    match modifier:
        case InverseModifier():
            return matrix.conj().T
        case PowerModifier():
            return np.linalg.matrix_power(matrix, int(modifier.power))
        case ControlModifier():
            return _controlled(matrix, modifier.num_ctrl_qubits, modifier.ctrl_state)
    raise NotImplementedError(modifier)


def _applied(matrix, state, places):
    """Apply a matrix to some qubits; any axes behind those of the qubits stay."""
    count = len(places)
    tensor = np.asarray(matrix).reshape((2,) * (2 * count))
    # The first qubit is the last axis of each half.
    axes = [2 * count - 1 - number for number in range(count)]
    moved = np.tensordot(tensor, state, (axes, places))
    return np.moveaxis(moved, range(count), list(reversed(places)))


def _projected(branch, qubit, value, *, then):
    """Return what is left of a branch where a qubit was found in a state, and set to one."""
    state = np.zeros_like(branch.state)
    where, to = [slice(None)] * state.ndim, [slice(None)] * state.ndim
    where[qubit], to[qubit] = value, then
    state[tuple(to)] = branch.state[tuple(where)]
    return Branch(state, branch.bits)
