"""What an operation is defined to be counts, whatever it is called."""

from math import pi

import numpy as np
import pytest
from qiskit import transpile
from qiskit.circuit import (
    AnnotatedOperation,
    ControlledGate,
    ControlModifier,
    Gate,
    InverseModifier,
    Parameter,
    QuantumCircuit,
)
from qiskit.circuit.library import HGate, MCMTGate, MCXGate, UnitaryGate, XGate
from qiskit.exceptions import QiskitError
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Clifford

from qiskit_gateway.backends.circuits.definitions import expand_misnamed, list_operations
from qiskit_gateway.backends.compilation.cache import bind, prepare
from qiskit_gateway.backends.interface.batch import Program

# Gates of targets, gates that Qiskit knows ways to write, what its passes and its plug-ins look for.
NAMES = (
    *("h", "x", "u", "cx", "delay", "measure", "reset", "barrier"),
    *("iswap", "initialize", "unitary", "mcx", "clifford", "annotated", "if_else"),
)


def flip(name):
    """A gate of that name which is an X."""
    circuit = QuantumCircuit(1, name=name)
    circuit.x(0)
    return circuit.to_gate()


def turn(name):
    """A gate of that name which is an RX."""
    circuit = QuantumCircuit(1, name=name)
    circuit.rx(Parameter("t"), 0)
    return circuit.to_gate()


def within(gate, name="outer"):
    circuit = QuantumCircuit(gate.num_qubits, name=name)
    circuit.append(gate, circuit.qubits)
    return circuit.to_gate()


def controlled(base, num_controls=1, state=None):
    """The controlled gate as Qiskit makes it; without a definition where it stumbles over names."""
    try:
        return base.control(num_controls, ctrl_state=state, annotated=False)
    except (QiskitError, IndexError, TypeError, ValueError):
        return ControlledGate(
            f"c{base.name}",
            base.num_qubits + num_controls,
            base.params,
            num_ctrl_qubits=num_controls,
            ctrl_state=state,
            base_gate=base,
        )


def own(name):
    """A gate of the user's own class."""

    class Own(Gate):
        def __init__(self):
            super().__init__(name, 1, [])

        def _define(self):
            self.definition = QuantumCircuit(1)
            self.definition.x(0)

    return Own()


# Each returns a gate, the qubits to flip before it, and the outcome.
WAYS = {
    "gate": lambda name: (flip(name), "0", "1"),
    "class": lambda name: (own(name), "0", "1"),
    "nested": lambda name: (within(within(flip(name))), "0", "1"),
    "nested in one more": lambda name: (within(flip(name), "sx"), "0", "1"),
    "inverse": lambda name: (flip(name).inverse(), "0", "1"),
    "repeated": lambda name: (flip(name).repeat(3), "0", "1"),
    "controlled": lambda name: (controlled(flip(name)), "01", "11"),
    "not controlled": lambda name: (controlled(flip(name)), "00", "00"),
    "controlled by zero": lambda name: (controlled(flip(name), state=0), "00", "10"),
    "controlled by two": lambda name: (controlled(flip(name), 2, state=1), "001", "101"),
    "controlled twice": lambda name: (controlled(controlled(flip(name))), "011", "111"),
    "controlled class": lambda name: (controlled(own(name)), "01", "11"),
    "controlled nested": lambda name: (controlled(within(flip(name))), "01", "11"),
    "annotated": lambda name: (
        AnnotatedOperation(flip(name), [ControlModifier(1), InverseModifier()]),
        "01",
        "11",
    ),
    "annotated nested": lambda name: (
        AnnotatedOperation(within(flip(name)), ControlModifier(1)),
        "01",
        "11",
    ),
    "annotated twice": lambda name: (
        AnnotatedOperation(AnnotatedOperation(flip(name), []), ControlModifier(1)),
        "01",
        "11",
    ),
    "multiplexed": lambda name: (MCMTGate(flip(name), 1, 2), "001", "111"),
}


def outcome(circuit, backend, rows=((),)):
    """Return the one outcome that a circuit has, as it is sent to a backend."""
    prepared = prepare(Program(circuit=circuit), backend)
    sent = bind(prepared, np.array(rows, float))
    (text,) = backend.run(sent, shots=20).result().get_counts()
    digits = text.replace(" ", "")[::-1]
    found = {user: digits[bit] for bit, user in enumerate(prepared.wiring.to_user)}
    return "".join(found[bit] for bit in reversed(range(circuit.num_clbits)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_definition_counts(name, way):
    """A gate is its definition: alone, in others, controlled, of a class of its own."""
    gate, before, after = WAYS[way](name)
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in (qubit for qubit, digit in enumerate(reversed(before)) if digit == "1"):
        circuit.x(qubit)
    circuit.append(gate, circuit.qubits)
    circuit.measure_all()
    assert outcome(circuit, BasicSimulator()) == after


@pytest.mark.parametrize("name", ["h", "rx", "p", "unitary"])
@pytest.mark.parametrize("way", ["gate", "controlled", "nested", "annotated"])
def test_parameters_of_definitions(name, way):
    """Parameters stay free, and can be bound before or afterwards."""
    gate = {
        "gate": turn,
        "controlled": lambda name: controlled(turn(name)),
        "nested": lambda name: within(turn(name)),
        "annotated": lambda name: AnnotatedOperation(turn(name), ControlModifier(1)),
    }[way](name)
    circuit = QuantumCircuit(gate.num_qubits)
    for control in circuit.qubits[:-1]:
        circuit.x(control)
    circuit.append(gate, circuit.qubits)
    circuit.measure_all()
    after = "1" * gate.num_qubits
    assert outcome(circuit, BasicSimulator(), [[pi]]) == after
    assert outcome(circuit.assign_parameters([pi]), BasicSimulator()) == after


@pytest.mark.parametrize("name", ["h", "delay", "if_else", "measure"])
def test_bodies_of_control_flow(name):
    """Bodies of control flow are looked into, of which the outer bits are kept."""
    aer = pytest.importorskip("qiskit_aer").AerSimulator()
    circuit = QuantumCircuit(2, 3)
    with circuit.for_loop(range(3)), circuit.if_test((circuit.clbits[0], 0)):
        circuit.append(flip(name), [1])
    inner = QuantumCircuit(1, 1, name=name)
    inner.x(0)
    inner.measure(0, 0)
    with circuit.if_test((circuit.clbits[1], 0)):
        circuit.append(inner.to_instruction(), [0], [1])
    circuit.measure([1, 0], [0, 2])
    assert outcome(circuit, aer) == "111"


def test_a_laid_out_circuit_is_translated_where_it_stands():
    """Qiskit's transpiler leaves a misnamed gate as it is; its definition need not be native."""
    backend = BasicSimulator(
        target=GenericBackendV2(3, basis_gates=["rz", "sx", "x", "cx"], seed=1).target
    )
    inner = QuantumCircuit(1, name="sx")
    inner.h(0)
    inner.z(0)
    inner.h(0)
    circuit = QuantumCircuit(2, 2)
    circuit.append(inner.to_gate(), [1])
    circuit.measure([0, 1], [0, 1])
    laid_out = transpile(circuit, backend, initial_layout=[2, 0], optimization_level=0)
    assert "sx" in laid_out.count_ops()
    assert outcome(laid_out, backend) == "10"


def test_measurements_of_sub_circuits_are_seen():
    """A sub-circuit with classical bits is put in, whatever it is called."""
    inner = QuantumCircuit(2, 2, name="nothing known")
    inner.x(0)
    inner.measure([0, 1], [1, 0])
    circuit = QuantumCircuit(3, 3)
    circuit.append(inner.to_instruction(), [2, 0], [1, 2])
    expanded = expand_misnamed(circuit, {})
    assert [i.name for i in expanded.data] == ["x", "measure", "measure"]
    found = [(expanded.find_bit(i.qubits[0]).index, i.clbits) for i in expanded.data[1:]]
    assert found == [(2, (circuit.clbits[2],)), (0, (circuit.clbits[1],))]


def test_what_is_what_its_name_says_stays():
    """Gates of Qiskit and of the target, and sub-circuits with names of their own, are left alone."""

    class Native(Gate):
        def __init__(self):
            super().__init__("native", 1, [])

        def _define(self):
            raise AssertionError("nobody has to know what it is")

    target = BasicSimulator().target
    target.add_instruction(Native())
    target.add_instruction(Gate("placeholder", 1, []))
    circuit = QuantumCircuit(4)
    for gate in (HGate(), XGate(), Native(), own("placeholder"), Gate("opaque", 1, [])):
        circuit.append(gate, [0])
    circuit.append(within(flip("oracle"), "mine"), [0])
    circuit.append(flip("oracle").control(2), [0, 1, 2])
    circuit.append(MCXGate(3), range(4))
    circuit.append(UnitaryGate(np.eye(2)), [0])
    circuit.append(Clifford(HGate()), [0])
    circuit.append(AnnotatedOperation(XGate(), ControlModifier(1)), [0, 1])
    circuit.barrier()
    circuit.reset(0)
    circuit.delay(3, 0)
    circuit.initialize("0", 0)
    assert expand_misnamed(circuit, list_operations(target)) is circuit


def test_a_target_that_knows_a_controlled_gate_by_name():
    """A controlled gate whose name is taken is put in as Qiskit defines it."""
    names = {"coracle": ControlledGate}
    circuit = QuantumCircuit(2)
    circuit.append(flip("oracle").control(1), [0, 1])
    assert [i.name for i in expand_misnamed(circuit, names).data] == ["cx"]
