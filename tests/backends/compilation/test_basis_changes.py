"""A measurement of X or Y takes a gate or two, which nothing need be compiled for."""

import subprocess
import sys
from math import pi

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import (
    CXGate,
    HGate,
    RGate,
    RXGate,
    RYGate,
    RZGate,
    SdgGate,
    SXGate,
    U2Gate,
    U3Gate,
    UGate,
    XGate,
)
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Operator, Pauli
from qiskit.transpiler import InstructionProperties, Target

from qiskit_gateway.backends.compilation.target import Site

A, B, C = Parameter("a"), Parameter("b"), Parameter("c")
# For each kind of target its gates, and what X and Y are expected to take there.
KINDS = {
    "textbook": ([HGate(), SdgGate()], ["h"], ["sdg", "h"]),
    "rotations": ([RXGate(A), RYGate(A), RZGate(A)], ["ry"], ["rx"]),
    "superconducting": ([RZGate(A), SXGate(), XGate()], ["rz", "sx"], ["sx"]),
    "quarter turns": ([RZGate(A), RXGate(pi / 2)], ["rz", "rx"], ["rx"]),
    "ions": ([RGate(A, B), RZGate(A)], ["r"], ["r"]),
    "u": ([UGate(A, B, C)], ["u"], ["u"]),
    "u3": ([U3Gate(A, B, C)], ["u3"], ["u3"]),
    "u2": ([U2Gate(A, B), RZGate(A)], ["u2"], ["u2"]),
}


def backend_with(gates, *, names=None, places=(0, 1, 2)):
    """Return a backend whose target has some gates, under other names if asked."""
    target = Target(num_qubits=3)
    properties = {(place,): InstructionProperties() for place in places}
    for gate in gates:
        target.add_instruction(gate, dict(properties), name=(names or {}).get(gate.name))
    target.add_instruction(CXGate(), {(0, 1): None, (1, 2): None})
    target.add_instruction(Measure(), {(qubit,): None for qubit in range(3)})
    backend = GenericBackendV2(3, seed=1)
    backend._target = target
    return backend


def measured_by(change, qubit=1):
    """Return the Pauli that is measured when Z is measured after a change, as a matrix."""
    circuit = QuantumCircuit(1)
    for gate, place in change:
        assert place == qubit
        circuit.append(gate, [0])
    turned = Operator(circuit).data
    return turned.conj().T @ Pauli("Z").to_matrix() @ turned


@pytest.mark.parametrize("letter", ["X", "Y"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_target_with_the_gates_needs_no_compiler(kind, letter):
    """The change turns Z into the letter, in gates that the target has, and no preset is made."""
    gates, *expected = KINDS[kind]
    site = Site(backend_with(gates))
    change = site.basis_change(letter, [1])
    assert [gate.name for gate, _ in change] == expected["XY".index(letter)]
    np.testing.assert_allclose(measured_by(change), Pauli(letter).to_matrix(), atol=1e-12)
    circuit = QuantumCircuit(3)
    for gate, place in change:
        circuit.append(gate, [place])
    assert site.misfit(circuit) is None
    assert not site._made


@pytest.mark.parametrize("letter", ["X", "Y"])
def test_a_gate_by_another_name_is_not_mistaken(letter):
    """A target may call anything "h": then its other gates are used."""
    gates = [XGate(), RZGate(A), SXGate(), SdgGate()]
    site = Site(backend_with(gates, names={"x": "h"}))
    change = site.basis_change(letter, [1])
    assert "h" not in [gate.name for gate, _ in change]
    np.testing.assert_allclose(measured_by(change), Pauli(letter).to_matrix(), atol=1e-12)


def test_an_angle_that_a_target_has_not_is_not_used():
    """Of a gate with a fixed angle only that angle is there."""
    site = Site(backend_with([RYGate(pi / 2), RZGate(A), SXGate()]))
    assert [gate.name for gate, _ in site.basis_change("X", [1])] == ["rz", "sx"]


def test_each_qubit_has_the_gates_that_it_has():
    """Where a qubit lacks the textbook's gates, what it has is found by compiling."""
    backend = backend_with([RZGate(A), SXGate()])
    hadamard = {(0,): InstructionProperties()}
    backend.target.add_instruction(HGate(), hadamard)
    names = [(gate.name, place) for gate, place in Site(backend).basis_change("X", [0, 1])]
    assert names == [("h", 0), ("rz", 1), ("sx", 1)]


def test_what_no_textbook_has_is_compiled():
    """A target with other gates still gets its change."""
    site = Site(backend_with([RGate(pi / 2, A), RZGate(A)]))
    change = site.basis_change("X", [1])
    np.testing.assert_allclose(measured_by(change), Pauli("X").to_matrix(), atol=1e-9)


FIRST_RUN = """
import sys
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_gateway import RouterEstimator, RouterSampler
backend = {backend}
circuit = QuantumCircuit(2)
circuit.{gate}(0)
circuit.cx(0, 1)
before = set(sys.modules)
RouterEstimator(backend).run([(circuit, SparsePauliOp(["ZZ", "XX", "YY"]))]).result()
circuit.measure_all()
RouterSampler(backend).run([circuit]).result()
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    ("backend", "gate"),
    [("BasicSimulator()", "h"), ("GenericBackendV2(2, coupling_map=[[0, 1]], seed=1)", "sx")],
)
def test_first_runs_of_circuits_that_fit_load_no_compiler(backend, gate):
    """Plug-ins of the transpiler bring whole packages: they are left alone, and so is structlog."""
    program = FIRST_RUN.format(backend=backend, gate=gate)
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    loaded = done.stdout.split()
    assert not {"structlog", "rich", "stevedore"} & {*loaded}
    assert not [name for name in loaded if name.startswith("qiskit.transpiler")]
