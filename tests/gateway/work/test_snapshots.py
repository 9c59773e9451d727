"""A circuit is known again as long as it is what it was, and whatever changes it is noticed."""

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, Delay, Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import RXGate

from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.work.snapshots import Snapshots


def plain():
    """Return a circuit of gates and measurements, as most are."""
    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(2, "c"), global_phase=0.1)
    circuit.rx(Parameter("a"), 0)
    circuit.rx(0.5, 1)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def dynamic():
    """Return one with a condition and a delay besides."""
    circuit = plain()
    circuit.delay(100, 0)
    with circuit.if_test((0, True)):
        circuit.x(0)
    return circuit


def copy_of(snapshots, circuit):
    (program,) = snapshots.of((Program(circuit=circuit),))
    return program.circuit


def _replace_body(circuit):
    body = circuit.data[-1].operation.blocks[0].copy()
    body.x(0)
    operation = circuit.data[-1].operation.replace_blocks([body, None])
    circuit.data[-1] = circuit.data[-1].replace(operation=operation)


def _wait_longer(circuit):
    circuit.data[-2] = circuit.data[-2].replace(operation=Delay(200))


def _turn(circuit):
    circuit.data[1] = circuit.data[1].replace(operation=RXGate(0.6))


def _swap(circuit):
    circuit.data[2] = circuit.data[2].replace(qubits=circuit.data[2].qubits[::-1])


CHANGES = {
    "an instruction more": lambda circuit: circuit.x(0),
    "an instruction less": lambda circuit: circuit.data.pop(),
    "another angle": _turn,
    "other qubits": _swap,
    "another phase": lambda circuit: setattr(circuit, "global_phase", 0.2),
    "a parameter bound": lambda circuit: circuit.assign_parameters([0.3], inplace=True),
    "a parameter renamed": lambda circuit: circuit.assign_parameters(
        [Parameter("b")], inplace=True
    ),
    "a classical register more": lambda circuit: circuit.add_register(ClassicalRegister(1, "d")),
    "a quantum register more": lambda circuit: circuit.add_register(QuantumRegister(1, "r")),
    "a variable": lambda circuit: circuit.add_var("v", True),
}


DEEPER_CHANGES = {"another body": _replace_body, "a longer delay": _wait_longer}


@pytest.mark.parametrize(
    ("make", "change"),
    [
        *((make, change) for make in (plain, dynamic) for change in CHANGES.values()),
        *((dynamic, change) for change in DEEPER_CHANGES.values()),
    ],
)
def test_a_changed_circuit_is_another(make, change):
    """Its copy is made anew, and the one of before is left as it was."""
    snapshots, circuit = Snapshots(), make()
    before = copy_of(snapshots, circuit)
    kept = before.copy()
    change(circuit)
    after = copy_of(snapshots, circuit)
    assert after is not before
    assert after == circuit
    assert before == kept != circuit


@pytest.mark.parametrize("make", [plain, dynamic])
def test_an_unchanged_circuit_is_known_again(make):
    """Also one that was written anew in between, with the same in it."""
    snapshots, circuit = Snapshots(), make()
    before = copy_of(snapshots, circuit)
    assert copy_of(snapshots, circuit) is before
    circuit.data = list(circuit.data)
    assert copy_of(snapshots, circuit) is before


def test_an_order_that_makes_no_difference_makes_none():
    """Instructions on different qubits may change places."""
    snapshots, circuit = Snapshots(), QuantumCircuit(2)
    circuit.x(0)
    circuit.y(1)
    before = copy_of(snapshots, circuit)
    circuit.data = [*circuit.data][::-1]
    assert copy_of(snapshots, circuit) is before


def test_matrices_are_compared_by_what_they_hold():
    """An operation that holds an array is written alike only where the array is."""
    snapshots, circuit = Snapshots(), QuantumCircuit(1)
    circuit.unitary(np.eye(2), [0])
    before = copy_of(snapshots, circuit)
    assert copy_of(snapshots, circuit) is before
    circuit.data.pop()
    circuit.unitary(np.array([[0, 1], [1, 0]]), [0])
    assert copy_of(snapshots, circuit) is not before
