"""A site is as wide as its limits say, where its gates are the same everywhere."""

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CCXGate, CXGate, RZGate, SXGate, XGate
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import InstructionProperties, Target

from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.backends.compilation.target import Site
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.interface.batch import Program

WIDTH = 3


def ghz(width):
    """Return a GHZ state, measured."""
    circuit = QuantumCircuit(width)
    circuit.h(0)
    for qubit in range(1, width):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    return circuit


def uniform(*, listed, width=WIDTH):
    """Return a backend with the same gates on all qubits, either listed one by one or not."""
    target = Target(num_qubits=width)
    singles = {(qubit,): InstructionProperties(error=0.01) for qubit in range(width)}
    for gate in (XGate(), SXGate(), RZGate(Parameter("t")), Measure()):
        target.add_instruction(gate, dict(singles) if listed else None)
    pairs = [(a, b) for a in range(width) for b in range(width) if a != b]
    target.add_instruction(CXGate(), dict.fromkeys(pairs) if listed else None)
    made = GenericBackendV2(width, seed=1)
    made._target = target
    return made


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("limits", [Limits(num_qubits=8), Limits()])
def test_limits_win_over_a_uniform_target(listed, limits):
    """Any width up to the limit is compiled for, in the gates of the target."""
    site = Site(uniform(listed=listed), limits=limits)
    compiled = site.compile(ghz(8))
    assert set(compiled.count_ops()) <= {"x", "sx", "rz", "cx", "measure", "barrier"}
    assert compiled.num_qubits == 8
    assert site.misfit(compiled) is None
    assert (site.misfit(ghz(9)) or "").startswith("needs 9 qubits") is (limits.num_qubits == 8)


@pytest.mark.parametrize(
    "limits", [None, Limits(num_qubits=2), Limits(num_qubits=WIDTH)], ids=["none", "less", "same"]
)
def test_a_target_that_is_wide_enough_is_left_as_it_is(limits):
    """Also with fewer qubits allowed: a circuit that was laid out has all those of the target."""
    backend = uniform(listed=True)
    site = Site(backend, limits=limits)
    assert site.target is backend.target
    assert site.width == WIDTH


def test_no_limit_widens_a_machine():
    """A coupling map is a fact, whatever the user says; so is a gate that not all qubits have."""
    line = GenericBackendV2(WIDTH, coupling_map=[[0, 1], [1, 2]], seed=1)
    lame = uniform(listed=True)
    lame.target.add_instruction(CCXGate(), {(0, 1, 2): None})
    for backend in (line, lame):
        site = Site(backend, limits=Limits(num_qubits=8))
        assert site.target is backend.target
        member = Member(backend, limits=Limits(num_qubits=8))
        with pytest.raises(Refused, match=r"needs 8 qubits, .* has 3"):
            member._isa.prepare(Program(circuit=ghz(8)))
