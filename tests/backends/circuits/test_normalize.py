"""The plain form of a circuit gives what the circuit gives."""

import exact
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, Clbit, QuantumCircuit
from qiskit.circuit.classical import expr

from qiskit_gateway.backends.circuits.normalize import find_written_bits, plain_form, writes_any

STEPS = ("h", "x", "z", "measure", "measure", "measure", "reset", "cx", "barrier", "delay")


@st.composite
def circuits(draw):
    """Draw circuits that measure few qubits into few bits, again and again."""
    circuit = QuantumCircuit(2, draw(st.integers(1, 2)))
    qubit, bit = st.integers(0, 1), st.integers(0, circuit.num_clbits - 1)
    for step in draw(st.lists(st.sampled_from(STEPS), max_size=10)):
        place = draw(qubit)
        match step:
            case "measure":
                circuit.measure(place, draw(bit))
            case "cx":
                circuit.cx(place, 1 - place)
            case "barrier":
                circuit.barrier()
            case "delay":
                circuit.delay(10, place)
            case _:
                getattr(circuit, step)(place)
    return circuit


def user_distribution(circuit, to_user, num_bits):
    """Return the distribution of a plain form over the user's bits."""
    found = {}
    for bits, weight in exact.distribution(circuit).items():
        user = [0] * num_bits
        for bit, place in zip(bits, to_user, strict=True):
            user[place] = bit
        found[tuple(user)] = found.get(tuple(user), 0.0) + weight
    return found


@given(circuits(), st.booleans())
def test_bits_are_as_before(circuit, measured_after):
    """Whatever is left out, the bits have the distribution that they had."""
    plain, to_user = plain_form(circuit, measured_after=measured_after)
    found = user_distribution(plain, to_user, circuit.num_clbits)
    assert found == pytest.approx(exact.distribution(circuit))


@given(circuits(), st.text("IXYZ", min_size=2, max_size=2))
def test_the_state_is_as_before(circuit, label):
    """Where it is measured afterwards, the state at the end is what it was."""
    plain, _ = plain_form(circuit, measured_after=True)
    assert exact.expectation(plain, label) == pytest.approx(exact.expectation(circuit, label))


def steps(*given):
    """Return a circuit of gates and measurements, ``(qubit, bit)``."""
    circuit = QuantumCircuit(2, 2)
    for step in given:
        if isinstance(step, tuple):
            circuit.measure(*step)
        else:
            getattr(circuit, step[:-1])(int(step[-1]))
    return circuit


@pytest.mark.parametrize(
    ("given", "left"),
    [
        # Overwritten unread, and the qubit done with, measured or reset.
        ([(1, 0), (0, 0)], 1),
        ([(0, 0), (1, 0)], 1),
        ([(0, 0), (1, 0), (0, 0)], 1),
        ([(0, 0), (0, 1), (1, 0)], 2),
        ([(0, 0), (0, 0)], 1),
        ([(0, 0), "reset0", "h0", (0, 0)], 1),
        # What comes after can tell whether the qubit was measured.
        (["h0", (0, 0), "h0", (0, 0)], 2),
        ([(0, 0), "x0", (1, 0)], 2),
        # Nothing is overwritten.
        ([(0, 0), (1, 1)], 2),
        ([(0, 0), (0, 1)], 2),
    ],
)
def test_what_is_overwritten_unread_is_left_out(given, left):
    """A measurement stays if anybody can tell it from none."""
    plain, _ = plain_form(steps(*given))
    assert plain.count_ops()["measure"] == left


def test_the_end_is_no_end_where_a_basis_is_measured():
    """A qubit that is measured in another basis afterwards stays measured before."""
    circuit = steps("h1", (1, 0), (0, 0))
    assert plain_form(circuit, measured_after=True)[0].count_ops()["measure"] == 2
    again = steps("h1", (1, 0), (1, 0))
    assert plain_form(again, measured_after=True)[0].count_ops()["measure"] == 1


def test_a_measurement_that_is_read_in_between_stays():
    """Control flow, an expression or a variable may read what is overwritten later."""
    branch = QuantumCircuit(2, 2)
    branch.measure(0, 0)
    with branch.if_test((branch.clbits[0], 1)):
        branch.x(1)
    branch.measure(1, 0)
    stored = QuantumCircuit(2, 2)
    stored.measure(0, 0)
    stored.store(stored.clbits[1], expr.lift(stored.clbits[0]))
    stored.measure(1, 0)
    for circuit in (branch, stored):
        assert plain_form(circuit)[0] is circuit


def test_written_bits_of_control_flow():
    """Bits that are only read, or only in reach, are not written."""
    bits = [Clbit() for _ in range(6)]
    circuit = QuantumCircuit(2)
    circuit.add_bits(bits)
    circuit.add_register(ClassicalRegister(bits=bits[4:], name="stored"))
    assert find_written_bits(circuit) == ()
    with circuit.for_loop(range(2)):
        with circuit.if_test((bits[0], 1)) as otherwise:
            circuit.x(0)
        with otherwise:
            circuit.measure(0, bits[2])
        circuit.break_loop()
    assert find_written_bits(circuit) == (2,)
    with circuit.while_loop(expr.lift(bits[1])):
        circuit.store(bits[3], expr.logic_not(bits[1]))
    assert find_written_bits(circuit) == (2, 3)
    circuit.store(circuit.cregs[0], 2)
    circuit.add_var("own", expr.lift(True))
    assert find_written_bits(circuit) == (2, 3, 4, 5)
    # A body may call its bits by other names than the circuit around it.
    body = QuantumCircuit(1, 1)
    body.measure(0, 0)
    circuit.if_test((bits[0], 1), body, [1], [bits[0]])
    assert find_written_bits(circuit) == (0, 2, 3, 4, 5)
    assert [writes_any(circuit, {bit}) for bit in bits] == [True, False, True, True, True, True]


def test_whether_a_bit_is_written_is_told_by_the_last_instructions():
    """Where the circuit ends with that, all before is not looked at; else all is."""
    circuit = QuantumCircuit(1, 3)
    circuit.measure(0, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    first, second, third = circuit.clbits
    assert writes_any(circuit, {first})
    assert writes_any(circuit, {second, third})
    assert not writes_any(circuit, {third})
    assert not writes_any(circuit, set())
