"""Results of native primitives: what is right is moved, what is not is an error, never zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr, types
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends.compilation.cache import IsaCache
from qiskit_gateway.backends.compilation.prepare import prepare
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.interface.batch import Entry, Program
from qiskit_gateway.backends.interface.native_primitive import ALL_GATES
from qiskit_gateway.backends.primitive.pubs import pubs_of, read_pubs

SHOTS = 6


def pair_of(circuit, rows=None):
    rows = np.empty((1, 0)) if rows is None else np.asarray(rows)
    program = Program(circuit=circuit)
    ready = IsaCache(BasicSimulator(), binds=ALL_GATES).prepare(program)
    return Entry(program=program, rows=rows), ready


def registers(*sizes):
    """A circuit with registers of these sizes, all measured."""
    count = sum(sizes)
    circuit = QuantumCircuit(
        QuantumRegister(count), *(ClassicalRegister(size, f"r{i}") for i, size in enumerate(sizes))
    )
    circuit.measure(range(count), range(count))
    return circuit


def rotated():
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("b"), 0)
    circuit.measure(0, 0)
    return circuit


def result_of(*pubs):
    return PrimitiveResult([SamplerPubResult(DataBin(**data, shape=shape)) for data, shape in pubs])


@given(
    st.lists(st.integers(1, 11), min_size=1, max_size=2)
    | st.lists(st.integers(1, 5), max_size=4, min_size=3),
    st.integers(0, 2**32),
)
def test_bits_come_where_they_belong(sizes, seed):
    """Whatever registers there are, a shot's bits are those that ``join_data`` gives."""
    rng = np.random.default_rng(seed)
    data = {
        f"r{number}": BitArray.from_bool_array(rng.integers(0, 2, (SHOTS, size)).astype(bool))
        for number, size in enumerate(sizes)
    }
    result = result_of((data, ()))
    (outcome,) = read_pubs(result, [pair_of(registers(*sizes))], SHOTS)
    assert outcome.error is None
    joined = result[0].join_data()
    assert (outcome.memory == joined.array).all()
    assert (outcome.shots, outcome.num_bits, outcome.ordered) == (SHOTS, sum(sizes), True)


def test_rows_are_one_pub_with_ordinary_names():
    """The values are in the order of the parameters, whatever these are called now."""
    entry, ready = pair_of(rotated(), [[0.1], [0.2]])
    ((circuit, values),) = pubs_of([(entry, ready)])
    (parameter,) = circuit.parameters
    assert parameter.name not in {"b", "q"}
    assert values.as_array([parameter]).tolist() == [[0.1], [0.2]]
    assert ready.circuit.parameters[0].name == "b"


def test_names_of_users_are_not_sent():
    """Words that a provider keeps for itself are names that a user may give; each keeps its values."""
    names = ["angle", "gate", "b", "θ", "input", *(f"x{number}" for number in range(9))]
    circuit = QuantumCircuit(1, 1)
    for name in names:
        circuit.rx(Parameter(name), 0)
    circuit.measure(0, 0)
    entry, ready = pair_of(circuit, [list(range(len(names)))])
    ((sent, values),) = pubs_of([(entry, ready)])
    assert not {parameter.name for parameter in sent.parameters} & {*names}
    (bound,) = values.bind_all(sent).ravel()
    angles = [float(one.operation.params[0]) for one in bound.data if one.name == "rx"]
    ordered = sorted(names)
    assert angles == [ordered.index(name) for name in names]


@pytest.mark.parametrize("shots", [SHOTS, SHOTS + 4, SHOTS - 4])
def test_more_or_fewer_shots(shots):
    """What is too much is left out, what is missing is for the router to ask for again."""
    entry, ready = pair_of(rotated(), [[0.1], [0.2]])
    array = np.arange(2 * shots, dtype=np.uint8).reshape(2, shots, 1) % 2
    outcomes = read_pubs(result_of(({"c": BitArray(array, 1)}, (2,))), [(entry, ready)], SHOTS)
    for outcome, rows in zip(outcomes, array, strict=True):
        assert outcome.shots == min(shots, SHOTS)
        assert (outcome.memory == rows[:SHOTS]).all()


def bits(*shape, num_bits=1, fill=0):
    array = np.full((*shape, 1), fill, np.uint8)
    made = BitArray(np.zeros((*shape, 1), np.uint8), num_bits)
    made._array = array  # As it may come over a wire, unchecked.
    return made


class Explodes:
    def __getattr__(self, name):
        raise RuntimeError("half a result")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "returned no result"),
        ("done", "returned no result"),
        (7, "cannot be read"),
        (PrimitiveResult([]), "has 0 parts for 1 PUBs"),
        (result_of(({"c": bits(2, 6)}, (2,)), ({"c": bits(2, 6)}, (2,))), "has 2 parts for 1 PUBs"),
        (PrimitiveResult([Explodes()]), "half a result"),
        (result_of(({"meas": bits(2, 6)}, (2,))), "has no register 'c'"),
        (result_of(({"c": np.zeros((2, 6, 1), complex)}, (2,))), "and no bits; a sampler that"),
        (result_of(({"c": bits(2, 6, num_bits=2)}, (2,))), "has 2 bits in"),
        (result_of(({"c": bits(3, 6)}, (3,))), r"shape \(3, 6, 1\) .* where \(2, 'shots', 1\)"),
        (result_of(({"c": bits(6)}, ())), r"shape \(6, 1\)"),
        (result_of(({"c": bits(2, 0)}, (2,))), r"shape \(2, 0, 1\)"),
        (result_of(({"c": bits(2, 6, fill=2)}, (2,))), "bits that the circuit never writes"),
    ],
)
def test_what_cannot_be_is_an_error(result, said):
    """Each circuit has an outcome, and the error says what was seen."""
    outcomes = read_pubs(result, [pair_of(rotated(), [[0.1], [0.2]])], SHOTS)
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.shots == 0
        assert outcome.error.bad_result
        with pytest.raises(type(outcome.error), match=said):
            raise outcome.error


def test_registers_of_unlike_shots():
    """They cannot be bits of the same shots."""
    result = result_of(({"r0": bits(6), "r1": bits(5)}, ()))
    (outcome,) = read_pubs(result, [pair_of(registers(1, 1))], SHOTS)
    assert "unlike numbers of shots" in str(outcome.error)


def test_one_bad_part_spoils_no_other():
    """The other PUBs of the job are as good as ever."""
    pairs = [pair_of(registers(1)), pair_of(registers(2))]
    result = result_of(({"r0": bits(6, fill=1)}, ()), ({"other": bits(6)}, ()))
    good, bad = read_pubs(result, pairs, SHOTS)
    assert good.memory.tolist() == [[1]] * SHOTS
    assert "has no register" in str(bad.error)


def test_bits_in_no_register_are_refused():
    """A SamplerV2 has no name for them; what can be rewritten has been, and control flow cannot."""
    circuit = QuantumCircuit(QuantumRegister(1), [Clbit()])
    circuit.measure(0, 0)
    with circuit.if_test(expr.lift(circuit.clbits[0])):
        circuit.x(0)
    with pytest.raises(Refused, match="has 1 classical bits in no register"):
        pubs_of([as_it_stands(circuit)])


def test_registers_that_share_bits_are_refused():
    """Of those of control flow, which stay as they are, Aer's sampler reads other bits."""
    first = ClassicalRegister(2, "first")
    second = ClassicalRegister(bits=[first[1], Clbit()], name="second")
    circuit = QuantumCircuit(QuantumRegister(2), first, second)
    circuit.measure(0, 0)
    with circuit.if_test((first, 1)):
        circuit.x(1)
    circuit.measure(1, 2)
    with pytest.raises(Refused, match="registers that share bits"):
        pubs_of([as_it_stands(circuit)])


@pytest.mark.parametrize(
    ("registers", "first_ones"),
    [
        # Bits of the circuit, register by register, and the bits that a shot sets.
        ({"a": [1, 0]}, [0]),
        ({"a": [2], "b": [0, 1]}, [2, 0]),
        ({"a": [3, 1], "b": [0, 2]}, [3, 2]),
        ({"a": [], "b": [2, 0], "c": [1]}, [0, 1]),
    ],
)
@pytest.mark.parametrize("rows", [[[]], [[0.0], [np.pi]]])
def test_bits_out_of_the_order_of_registers(registers, first_ones, rows):
    """What is sent has each register's bits side by side, for who reads from its first one on."""
    number = sum(map(len, registers.values()))
    circuit = QuantumCircuit(QuantumRegister(1), [Clbit() for _ in range(number)], name="mine")
    for name, places in registers.items():
        bits_of_it = [circuit.clbits[place] for place in places]
        circuit.add_register(ClassicalRegister(bits=bits_of_it, name=name))
    kept = circuit.add_var("kept", expr.lift(0, types.Uint(2)))
    if rows[0]:
        circuit.rx(Parameter("b"), 0)
    for place in first_ones:
        circuit.store(circuit.clbits[place], True)
    with circuit.if_test(expr.equal(circuit.cregs[-1], kept)):
        circuit.x(0)
    entry, ready = as_it_stands(circuit, rows)
    sent = pubs_of([(entry, ready)])
    for pub in sent:
        tiled = [bit for register in pub[0].cregs for bit in register]
        assert pub[0].clbits == tiled
        assert pub[0].count_ops() == ready.circuit.count_ops()
        assert [one.name for one in pub[0].iter_vars()] == ["kept"]
        condition = next(one for one in pub[0].data if one.name == "if_else").operation.condition
        assert circuit.cregs[-1] in {one.var for one in expr.iter_vars(condition)}
        assert circuit.cregs[-1] in pub[0].cregs
    ones = {circuit.clbits[place] for place in first_ones}
    data = {
        register.name: BitArray.from_bool_array(
            np.tile([bit in ones for bit in register], (SHOTS, 1)),
            order="little",
        )
        for register in sent[0][0].cregs
        if register.size
    }
    outcomes = read_pubs(result_of(*[(data, ())] * len(rows)), [(entry, ready)], SHOTS)
    for outcome in outcomes:
        assert outcome.error is None
        assert outcome.memory.tolist() == [[sum(1 << place for place in first_ones)]] * SHOTS


def as_it_stands(circuit, rows=((),)):
    """Prepare a circuit for what takes any."""
    program = Program(circuit=circuit)

    class Anything:
        target = None

    return Entry(program=program, rows=np.asarray(rows)), prepare(program, Anything())
