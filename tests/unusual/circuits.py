"""Random circuits of the unusual kind, all of them legal.

Their classical bits are written more than once, loose, in several registers or in reversed ones;
registers are empty or have odd names; sub-circuits are called like gates; control flow reads and
writes bits on the way.
"""

from math import pi

import numpy as np
from qiskit.circuit import (
    AnnotatedOperation,
    ClassicalRegister,
    Clbit,
    ControlModifier,
    Parameter,
    QuantumCircuit,
    QuantumRegister,
    Qubit,
)
from qiskit.circuit.classical import expr

REGISTER_NAMES = ("c", "meas", "if", "π", "1", "a-b", "measure", "q", "C", "creg")
# Names of gates and of what compilers look for, that sub-circuits have here.
TAKEN = ("h", "x", "z", "sx", "cx", "swap", "u", "p", "delay", "initialize", "measure", "reset")
TAKEN_TOO = ("barrier", "unitary", "mcx", "iswap", "id", "if_else", "clifford", "qft", "ccx", "ry")
ONES = ("h", "x", "y", "z", "s", "sdg", "t", "sx")
TURNS = ("rx", "ry", "rz", "p")


def sampled(rng):
    """Return a circuit with measurements; its parameters are free."""
    builder = _Builder(rng, most_qubits=4)
    if rng.random() < 0.4:
        return builder.measured_at_the_end()
    return builder.circuit(flow=rng.random() < 0.5)


def estimated(rng):
    """Return a circuit whose final state is asked for; it may measure on the way."""
    return _Builder(rng, most_qubits=3).circuit(flow=rng.random() < 0.2, mostly_gates=True)


class _Builder:
    """Adds what it draws to a circuit of its own."""

    def __init__(self, rng, *, most_qubits):
        self.rng = rng
        self.names = list(rng.permutation(REGISTER_NAMES))
        self.made = QuantumCircuit()
        self._add_qubits(int(rng.integers(1, most_qubits + 1)))
        self._add_clbits(int(rng.integers(1, 6)))

    def circuit(self, *, flow, mostly_gates=False):
        """Return the circuit after some random steps."""
        steps = [self.gate, self.gate, self.sub_circuit, self.sub_circuit, self.pause]
        if not mostly_gates:
            steps += [self.measure] * 3 + [self.measuring_sub_circuit]
        steps += [self.measure, self.reset]
        if flow:
            steps += [self.branch, self.loop, self.switch, self.repeat, self.store]
        for _ in range(int(self.rng.integers(2, 9))):
            self.pick(steps)()
        if not mostly_gates:
            for _ in range(int(self.rng.integers(0, 4))):
                self.measure()
        return self.made

    def measured_at_the_end(self):
        """Return a circuit that measures each qubit once, several into one bit, in any order."""
        for _ in range(int(self.rng.integers(2, 9))):
            self.pick([self.gate, self.gate, self.sub_circuit])()
        for qubit in self.qubits(self.made.num_qubits):
            if self.odds(0.8):
                self.made.measure(qubit, self.clbit())
        return self.made

    def pick(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def odds(self, chance):
        return self.rng.random() < chance

    def name(self):
        return str(self.names.pop()) if self.names else f"r{len(self.made.cregs)}"

    # Bits and registers.

    def _add_qubits(self, number):
        if self.odds(0.3):
            self.made.add_register(QuantumRegister(0, "empty"))
        if self.odds(0.4):
            self.made.add_bits([Qubit() for _ in range(number)])
            if self.odds(0.5):
                chosen = self.rng.permutation(number)[: int(self.rng.integers(1, number + 1))]
                bits = [self.made.qubits[place] for place in chosen]
                self.made.add_register(QuantumRegister(bits=bits, name="some"))
        else:
            self.made.add_register(QuantumRegister(number, self.name()))

    def _add_clbits(self, number):
        while self.made.num_clbits < number:
            size = int(self.rng.integers(0, 1 + number - self.made.num_clbits))
            if self.odds(0.3):
                self.made.add_bits([Clbit() for _ in range(size)])
            else:
                self.made.add_register(ClassicalRegister(size, self.name()))
        for _ in range(int(self.rng.integers(0, 3))):
            # Over bits that are loose or in other registers, in any order.
            size = int(self.rng.integers(1, self.made.num_clbits + 1))
            bits = [self.made.clbits[place] for place in self.rng.permutation(number)[:size]]
            self.made.add_register(ClassicalRegister(bits=bits, name=self.name()))
        if not any(register.size for register in self.made.cregs):
            self.made.add_register(ClassicalRegister(bits=self.made.clbits, name=self.name()))

    def qubits(self, number):
        return [int(place) for place in self.rng.permutation(self.made.num_qubits)[:number]]

    def clbit(self):
        return self.pick(self.made.clbits)

    # Steps.

    def gate(self):
        if self.made.num_qubits > 1 and self.odds(0.4):
            getattr(self.made, self.pick(("cx", "cz", "swap", "ch")))(*self.qubits(2))
        elif self.odds(0.6):
            getattr(self.made, self.pick(ONES))(*self.qubits(1))
        else:
            getattr(self.made, self.pick(TURNS))(self.angle(), *self.qubits(1))

    def angle(self):
        """Return a parameter, of the circuit or new, or a number."""
        free = list(self.made.parameters)
        if self.odds(0.6):
            return float(self.rng.uniform(-pi, pi))
        return self.pick(free) if free and self.odds(0.3) else Parameter(f"p{len(free)}")

    def pause(self):
        if self.odds(0.5):
            self.made.barrier()
        else:
            self.made.delay(int(self.rng.integers(1, 9)), *self.qubits(1))

    def measure(self):
        self.made.measure(self.qubits(1)[0], self.clbit())

    def reset(self):
        self.made.reset(*self.qubits(1))

    def sub_circuit(self):
        """Append a gate that is not what it is called."""
        inner = self._inner(self.pick((1, 1, min(2, self.made.num_qubits))))
        gate = inner.to_gate()
        if self.odds(0.3):
            outer = self._inner(inner.num_qubits)
            outer.append(gate, outer.qubits)
            gate = outer.to_gate()
        if gate.num_qubits < self.made.num_qubits and self.odds(0.4):
            state = int(self.rng.integers(2))
            if inner.parameters or self.odds(0.5):
                gate = AnnotatedOperation(gate, ControlModifier(1, state))
            else:
                gate = self._controlled(gate, state)
        self.made.append(gate, self.qubits(gate.num_qubits))

    def _inner(self, size):
        inner = QuantumCircuit(size, name=self.pick(TAKEN + TAKEN_TOO + ("mine",)))
        for _ in range(int(self.rng.integers(1, 4))):
            if size > 1 and self.odds(0.3):
                inner.cx(*map(int, self.rng.permutation(2)))
            else:
                getattr(inner, self.pick(ONES))(int(self.rng.integers(size)))
        if self.odds(0.2):
            inner.global_phase = float(self.rng.uniform(0, pi))
        return inner

    @staticmethod
    def _controlled(gate, state):
        try:
            return gate.control(1, ctrl_state=state, annotated=False)
        except Exception:  # noqa: BLE001  Qiskit stumbles over some of the names by itself.
            return AnnotatedOperation(gate, ControlModifier(1, state))

    def measuring_sub_circuit(self):
        inner = QuantumCircuit(1, 1, name=self.pick(("h", "reset", "mine")))
        inner.measure(0, 0)
        getattr(inner, self.pick(ONES))(0)
        inner.measure(0, 0)
        self.made.append(inner.to_instruction(), self.qubits(1), [self.clbit()])

    # Control flow.

    def condition(self):
        """Return something about the bits that may hold or not."""
        registers = [register for register in self.made.cregs if register.size]
        if self.odds(0.5) or not registers:
            return self.clbit(), int(self.rng.integers(2))
        register = self.pick(registers)
        value = int(self.rng.integers(1 << register.size))
        if self.odds(0.5):
            return register, value
        return self.pick((expr.less, expr.equal, expr.greater_equal))(register, value)

    def body(self):
        for _ in range(int(self.rng.integers(1, 4))):
            self.pick([self.gate_without_parameter, self.sub_circuit, self.measure, self.reset])()

    def gate_without_parameter(self):
        getattr(self.made, self.pick(ONES))(*self.qubits(1))

    def branch(self):
        with self.made.if_test(self.condition()) as otherwise:
            self.body()
            if self.odds(0.2):
                with self.made.if_test(self.condition()):
                    self.body()
        if self.odds(0.5):
            with otherwise:
                self.body()

    def loop(self):
        with self.made.for_loop(range(int(self.rng.integers(0, 3)))):
            self.body()
            if self.odds(0.3):
                with self.made.if_test(self.condition()):
                    self.pick((self.made.break_loop, self.made.continue_loop))()

    def repeat(self):
        """Flip and measure a qubit as long as a bit is 1, which is twice at most."""
        (qubit,), bit = self.qubits(1), self.clbit()
        with self.made.while_loop((bit, 1)):
            self.made.x(qubit)
            self.made.measure(qubit, bit)

    def switch(self):
        registers = [register for register in self.made.cregs if register.size]
        register = self.pick(registers)
        with self.made.switch(register) as case:
            with case(*{0, int(self.rng.integers(1 << register.size))}):
                self.body()
            if self.odds(0.5):
                with case(case.DEFAULT):
                    self.body()

    def store(self):
        value = expr.logic_not(self.clbit()) if self.odds(0.6) else expr.lift(self.odds(0.5))
        self.made.store(self.clbit(), value)


def values_for(circuit, rng):
    """Return one or two rows of values for the parameters of a circuit."""
    return rng.uniform(-pi, pi, (int(rng.integers(1, 3)), circuit.num_parameters))


def registers_of(circuit, bits):
    """Return what each register of a circuit holds, as a tuple of numbers."""
    place = {bit: number for number, bit in enumerate(circuit.clbits)}
    return tuple(
        sum(bits[place[bit]] << number for number, bit in enumerate(register))
        for register in circuit.cregs
    )


def label_for(circuit, rng):
    """Return a Pauli label over the qubits of a circuit."""
    return "".join(np.array(list("IXYZ"))[rng.integers(0, 4, circuit.num_qubits)])
