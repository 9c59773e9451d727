"""The codec: what is encoded comes back as it was, and nothing else is read."""

import contextlib
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.journal.storage.codec import (
    pack,
    pack_outcomes,
    read_circuit,
    read_plain,
    unpack,
    unpack_outcomes,
    write_circuit,
    write_plain,
)

NUMBERS = st.sampled_from(["bool", "uint8", "int64", "uint64", "float32", "float64", "complex128"])
ARRAYS = npst.arrays(NUMBERS.map(np.dtype), npst.array_shapes(min_dims=0, min_side=0, max_side=4))


def same(one, other):
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    )


@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4))
def test_arrays_come_back(arrays):
    """Arrays of numbers come back with their names, types, shapes and values."""
    found = unpack(pack(arrays))
    assert list(found) == list(arrays)
    assert all(same(found[name], array) for name, array in arrays.items())


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.tuples(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_data_come_back(value):
    """Containers keep their kinds, tuples, complex numbers and keys of all kinds too."""
    found = read_plain(write_plain(value))
    assert found == value
    assert repr(found) == repr(value)


@given(ARRAYS)
def test_arrays_and_numpy_numbers_in_plain_data_come_back(array):
    """An array is an array afterwards, and a numpy number a numpy number."""
    found, *numbers = read_plain(write_plain([array, *array.reshape(-1)[:2]]))
    assert same(found, array)
    assert all(type(number) is array.dtype.type for number in numbers)


def test_what_is_no_plain_data_is_refused():
    """Nothing is written that could only be read by running code."""
    for value in (object(), {"a": {1, 2}}, np.array([object()]), b"bytes"):
        with pytest.raises(TypeError):
            write_plain(value)


@st.composite
def outcomes(draw):
    bits, height = draw(st.integers(1, 20)), draw(st.integers(1, 4))
    rows = draw(npst.arrays(np.uint8, (height, -(-bits // 8))))
    kind = draw(st.sampled_from(["memory", "counts", "iq", "averaged", "values", "error"]))
    points = npst.arrays(
        np.complex128, (height, bits), elements=st.complex_numbers(max_magnitude=9)
    )
    if kind == "memory":
        return Outcome(shots=height, num_bits=bits, memory=rows)
    if kind == "counts":
        counts = draw(npst.arrays(np.int64, height, elements=st.integers(0, 99)))
        return Outcome(shots=int(counts.sum()), num_bits=bits, patterns=rows, counts=counts)
    if kind == "iq":
        return Outcome(shots=height, num_bits=bits, iq=draw(points))
    if kind == "averaged":
        return Outcome(shots=7, num_bits=bits, iq=draw(points)[0])
    if kind == "values":
        evs, stds = (draw(npst.arrays(np.float64, height)) for _ in range(2))
        return Outcome(shots=7, num_bits=bits, evs=evs, stds=stds)
    facts = draw(st.fixed_dictionaries({"transient": st.none() | st.booleans()}))
    return Outcome(shots=0, error=BackendError("no", submitted=True, bad_result=True, **facts))


@given(st.lists(outcomes(), max_size=6))
def test_outcomes_come_back(given_outcomes):
    """Whatever a job brought comes back: shots in order, counts, kerneled data, and errors."""
    found = unpack_outcomes(pack_outcomes(given_outcomes))
    assert len(found) == len(given_outcomes)
    for one, other in zip(found, given_outcomes, strict=True):
        assert (one.shots, one.num_bits) == (other.shots, other.num_bits)
        for name in ("memory", "patterns", "counts", "iq", "evs", "stds"):
            mine, theirs = getattr(one, name), getattr(other, name)
            assert (mine is None and theirs is None) or same(mine, theirs)
        assert (one.error and vars(one.error)) == (other.error and vars(other.error))


@given(st.data())
def test_what_was_cut_off_or_changed_is_told(data):
    """Bytes that are not what was written are a ValueError and nothing else, or read as written."""
    content = pack_outcomes([Outcome(shots=2, num_bits=3, memory=np.zeros((2, 1), np.uint8))])
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError, match="read"):
        unpack_outcomes(content[:cut])
    place, byte = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 255))
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    with contextlib.suppress(ValueError):
        unpack_outcomes(changed)


def circuit_of_many_things():
    theta, vector = Parameter("θ"), ParameterVector("v", 12)
    circuit = QuantumCircuit(3, 2, name="many")
    circuit.rx(2 * theta + vector[3], 0)
    for index, parameter in enumerate(vector):
        circuit.rz(parameter, index % 3)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.append(Gate("mine", 2, [0.5]), [0, 1])
    circuit.measure([0, 1], [1, 0])
    return circuit


def test_circuits_come_back():
    """A circuit comes back equal, its parameters in the same order."""
    circuit = circuit_of_many_things()
    found = read_circuit(write_circuit(circuit))
    assert found == circuit
    assert list(found.parameters) == list(circuit.parameters)


def test_a_circuit_of_an_old_or_foreign_format_is_refused():
    """Only versions of QPY are read that hold nothing for another package to evaluate."""
    content = write_circuit(circuit_of_many_things())
    old, symengine = bytearray(content), bytearray(content)
    old[6] = 9
    symengine[struct.calcsize("!6s4BQ")] = ord("e")
    for wrong in (bytes(old), bytes(symengine), content[:10], b"", pickle.dumps(print) * 9):
        with pytest.raises(ValueError, match="circuit"):
            read_circuit(wrong)
    with pytest.raises(ValueError, match="cannot be read"):
        read_circuit(content[:-9])
