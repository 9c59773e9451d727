"""Laws of reading provider results: what is read is the truth, or an error."""

import time
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.compiler import transpile
from qiskit.primitives import BackendSamplerV2, BitArray
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.result import Counts, Result
from qiskit.result.models import ExperimentResult, ExperimentResultData

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.bit_mapping import UNREAD, Wiring
from qiskit_gateway.backends.readout.decode import decode, decode_iq, tally
from qiskit_gateway.backends.readout.outcomes import Outcome, read
from qiskit_gateway.backends.readout.packed_bits import Selection, rows_of_hex

PLAIN = Wiring(num_sent=3, measured=(0, 1, 2), to_user=(0, 1, 2), num_user=3, widths=(1, 2))


def experiment(counts=None, memory=None, shots=1, success=True, **more):
    data = ExperimentResultData(counts=counts, memory=memory)
    return ExperimentResult(shots, success, data, **more)


def result(*experiments, success=True, **more):
    return Result(results=list(experiments), success=success, **more)


def wiring_of(circuit):
    """The wiring of a circuit that is sent as the user wrote it."""
    measured = {circuit.find_bit(c).index for op in circuit.data for c in op.clbits}
    size = circuit.num_clbits
    return Wiring(
        num_sent=size,
        measured=tuple(sorted(measured)),
        to_user=tuple(range(size)),
        num_user=size,
        widths=tuple(len(register) for register in circuit.cregs),
    )


def decoded(outcomes, registers, shots, seed=0):
    """Decode into storage that is not contiguous and full of ones."""
    outs = [
        np.full((len(outcomes), shots + 2, (len(bits) + 7) // 8), 255, np.uint8)[:, 1:-1]
        for bits in registers
    ]
    errors = decode(outcomes, registers, outs, partial(np.random.default_rng, seed))
    return outs, errors


def expected(bits, registers):
    """Return Qiskit's own packing of each register, from booleans (shots, user bits)."""
    arrays = []
    for register in registers:
        chosen = bits[:, list(register)]
        if register:
            arrays.append(BitArray.from_bool_array(chosen, order="little").array)
        else:
            arrays.append(np.zeros((len(bits), 0), np.uint8))
    return arrays


def values_of(bits):
    return [sum(1 << i for i, bit in enumerate(row) if bit) for row in bits.tolist()]


def spaced(digits, widths):
    """Write digits as Qiskit does: a space between registers, the first one rightmost."""
    parts, end = [], len(digits)
    for width in widths:
        parts.append(digits[end - width : end])
        end -= width
    return " ".join(reversed(parts))


FORMATS = {
    "hex": lambda value, wiring: hex(value),
    "upper": lambda value, wiring: f"0X{value:X}",
    "padded": lambda value, wiring: f"0x{value:040x}" if wiring.num_sent > 40 else hex(value),
    "0b": lambda value, wiring: bin(value),
    "binary": lambda value, wiring: f"{value:0{wiring.num_sent}b}",
    "spaced": lambda value, wiring: spaced(f"{value:0{wiring.num_sent}b}", wiring.widths),
    "integer": lambda value, wiring: value,
    "numpy": lambda value, wiring: np.int64(value) if wiring.num_sent < 63 else value,
    "measured": lambda value, wiring: "".join(
        str(value >> bit & 1) for bit in reversed(wiring.measured)
    ),
}


@st.composite
def jobs(draw):
    """A wiring, the registers of the user, and the user's bits of each shot in the sent order."""
    widths = tuple(draw(st.lists(st.integers(0, 40), min_size=1, max_size=4)))
    if not sum(widths):
        widths = (1,)
    size = sum(widths)
    num_user = size + draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    measured = np.flatnonzero(rng.random(size) < draw(st.sampled_from([0.3, 1.0])))
    measured = tuple(measured.tolist()) or (0,)
    to_user = rng.permutation(num_user)[:size] if draw(st.booleans()) else np.arange(size)
    if draw(st.booleans()):
        unread = rng.random(size) < 0.5
        unread[measured[0]] = False
        to_user[unread] = UNREAD
    wiring = Wiring(
        num_sent=size,
        measured=measured,
        to_user=tuple(to_user.tolist()),
        num_user=num_user,
        widths=widths,
    )
    whole = tuple(range(num_user))
    some = st.lists(st.integers(0, num_user - 1), unique=True, max_size=num_user).map(tuple)
    runs = st.tuples(*[st.integers(0, num_user)] * 2).map(lambda r: whole[min(r) : max(r)])
    registers = draw(
        st.lists(st.one_of(some, runs, st.just(whole), st.just(whole[::-1])), max_size=4)
    )
    shots = draw(st.sampled_from([1, 7, 60, 300]))
    sent = np.zeros((shots, size), bool)
    distinct = rng.random((draw(st.sampled_from([2, 500])), len(measured))) < 0.5
    sent[:, list(measured)] = distinct[rng.integers(0, len(distinct), shots)]
    return wiring, registers, sent


def user_bits(wiring, sent):
    bits = np.zeros((len(sent), wiring.num_user), bool)
    for place, bit in enumerate(wiring.to_user):
        if bit != UNREAD:
            bits[:, bit] = sent[:, place]
    return bits


def joint(arrays):
    """Return the multiset of shots over all registers."""
    return Counter(tuple(a.tobytes() for a in shot) for shot in zip(*arrays, strict=True))


@given(jobs(), st.sampled_from(sorted(FORMATS)), st.sampled_from(["both", "memory"]))
@settings(deadline=None)
def test_memory_round_trip(job, name, given_data):
    """Any format, wiring and registers: bits equal Qiskit's own packing, in the order taken."""
    wiring, registers, sent = job
    shots = len(sent)
    memory = [FORMATS[name](value, wiring) for value in values_of(sent)]
    counts = dict(Counter(memory)) if given_data == "both" else None
    outcomes = read(result(experiment(counts, memory, shots)), [wiring], shots)
    outs, errors = decoded(outcomes, registers, shots)
    assert errors == (None,)
    assert outcomes[0].ordered
    assert outcomes[0].shots == shots
    for out, right in zip(outs, expected(user_bits(wiring, sent), registers), strict=True):
        np.testing.assert_array_equal(out[0], right)


@given(
    jobs(), st.sampled_from(sorted(FORMATS)), st.sampled_from([int, float, np.int32, np.float64])
)
@settings(deadline=None)
def test_counts_round_trip(job, name, kind):
    """From counts alone the shots are the same multiset, bits of one shot together."""
    wiring, registers, sent = job
    shots = len(sent)
    counts = Counter(FORMATS[name](value, wiring) for value in values_of(sent))
    counts = {key: kind(value) for key, value in counts.items()}
    outcomes = read(result(experiment(counts, None, shots)), [wiring], shots)
    outs, errors = decoded(outcomes, registers, shots)
    assert errors == (None,)
    assert not outcomes[0].ordered
    right = expected(user_bits(wiring, sent), registers)
    assert joint([out[0] for out in outs]) == joint(right)


@given(jobs(), st.sampled_from(sorted(FORMATS)), st.booleans())
@settings(deadline=None)
def test_tally_is_the_histogram(job, name, with_memory):
    """The tally has each distinct outcome over the user's bits once, with its count."""
    wiring, _, sent = job
    memory = [FORMATS[name](value, wiring) for value in values_of(sent)]
    one = experiment(dict(Counter(memory)), memory if with_memory else None, len(sent))
    ((patterns, counts),) = tally(
        read(result(one), [wiring], len(sent)), partial(np.random.default_rng, 0)
    )
    assert (patterns.dtype, counts.dtype) == (np.uint64, np.int64)
    found = {
        sum(int(word) << 64 * i for i, word in enumerate(words)): count
        for words, count in zip(patterns, counts.tolist(), strict=True)
    }
    assert len(found) == len(patterns)
    assert found == Counter(values_of(user_bits(wiring, sent)))


@given(st.integers(1, 140), st.integers(0, 2**32), st.sampled_from([30, 13_000]))
@settings(max_examples=25, deadline=None)
def test_hex_is_parsed_as_python_does(num_bits, seed, size):
    """However texts are cut into batches and groups, each is what ``int(text, 16)`` says."""
    rng = np.random.default_rng(seed)
    width = (num_bits + 7) // 8
    lengths = rng.integers(0, num_bits + 1, size)
    values = [int.from_bytes(rng.bytes(width)) & ((1 << int(length)) - 1) for length in lengths]
    texts = list(map(hex, values))
    cut = int(rng.integers(0, size))
    for rows in (
        rows_of_hex([texts[:cut], [], texts[cut:]], width),
        rows_of_hex([texts[:cut]], width, loose=[texts[cut:]]),
        rows_of_hex([], width, loose=[texts[:cut], [], texts[cut:]]),
    ):
        assert [int.from_bytes(row.tobytes()) for row in rows] == values


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    "texts",
    [
        ["0x"],
        ["0x", "0x1"],
        ["1"],
        ["x1"],
        ["0x1x"],
        ["0x1", ""],
        ["0xg"],
        ["0X1"],
        ["0xA"],
        ["0x01"],
        ["0x1", "0x00"],
        ["1x1"],
        ["0x1234567"],
        ["0x1234567", "0x"],
        ["-0x1"],
        [" 0x1"],
        ["0x1 "],
        ["0x1_1"],
        ["0x1", "10"],
        ["\uff10x1"],
        ["0x\u0661"],
        ["0x1\n"],
        ["xx", "0"],
    ],
)
def test_other_texts_are_no_canonical_hex(texts, width):
    """Only what Aer writes is taken as that; everything else is refused, not misread."""
    with pytest.raises(ValueError, match=r"text|ascii"):
        rows_of_hex([texts], width)
    with pytest.raises(ValueError, match=r"text|ascii"):
        rows_of_hex([], width, loose=[texts])


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("texts", [["0x50", "x1"], ["0x1\n0", "x2"], ["0x1\n0x2", ""]])
def test_texts_that_run_into_each_other_are_told_apart(texts, width):
    """Together they may read as canonical texts that end elsewhere; each is looked at by itself."""
    with pytest.raises(ValueError, match="text"):
        rows_of_hex([texts], width)


@given(jobs(), st.integers(0, 2**32))
@settings(deadline=None)
def test_selection_is_indexing(job, seed):
    """Choosing bits of packed rows is choosing columns of booleans, -1 being 0."""
    wiring, registers, sent = job
    rng = np.random.default_rng(seed)
    (rows,) = expected(sent, [range(wiring.num_sent)])
    with_zero = np.concatenate([sent, np.zeros((len(sent), 1), bool)], axis=1)
    for register in registers:
        sources = [bit if bit < wiring.num_sent and rng.random() < 0.9 else -1 for bit in register]
        (right,) = expected(with_zero, [sources])
        np.testing.assert_array_equal(Selection(sources, wiring.num_sent).of(rows), right)


def test_many_narrow_rows_are_chosen_from():
    """However many shots there are, a register may be any order of the bits."""
    rows = np.arange(1000, dtype=np.uint8)[:, np.newaxis] & 31
    right = [int(f"{row:05b}"[::-1], 2) for row in rows.ravel().tolist()]
    assert Selection([4, 3, 2, 1, 0], 5).of(rows).ravel().tolist() == right


def test_selection_refuses_bits_that_are_not_there():
    """A register beyond the circuit's bits is an error, not zeros."""
    with pytest.raises(ValueError, match="below 3"):
        Selection([3], 3)


# Which of counts and memory is believed.


@given(jobs(), st.sampled_from(["binary", "hex"]), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_disagreeing_memory_falls_to_counts(job, name, random):
    """Memory whose histogram is not the counts is not used, whatever it holds."""
    wiring, registers, sent = job
    shots = len(sent)
    values = values_of(sent)
    texts = [FORMATS[name](value, wiring) for value in values]
    place = random.randrange(shots)
    values[place] ^= 1 << wiring.measured[0]
    memory = [FORMATS[name](value, wiring) for value in values]
    outcomes = read(result(experiment(dict(Counter(texts)), memory, shots)), [wiring], shots)
    outs, errors = decoded(outcomes, registers, shots)
    assert errors == (None,)
    assert not outcomes[0].ordered
    right = expected(user_bits(wiring, sent), registers)
    assert joint([out[0] for out in outs]) == joint(right)


@pytest.mark.parametrize("names", [hex, "0X{:X}".format, "{:03b}".format, int])
@pytest.mark.parametrize(
    ("counts", "memory"),
    [
        ({1: 20}, [4] * 20),
        ({4: 20}, [1] * 20),
        ({1: 20}, [4] * 10),
        ({1: 20}, [4] * 4),
        ({1: 18}, [4] * 20),
        ({1: 23}, [4] * 20),
        ({1: 40}, [4] * 40),
        ({1: 20}, [4] * 19 + [1]),
        ({1: 15, 0: 5}, [4] * 15 + [0] * 5),
        ({1: 10, 3: 10}, [4] * 10 + [6] * 10),
        ({1: 4}, [4] * 4),
    ],
)
def test_counts_and_memory_that_contradict_each_other(counts, memory, names):
    """Where they cannot be of one circuit neither is believed, in whatever format and length."""
    one = experiment(
        {names(value): count for value, count in counts.items()}, list(map(names, memory))
    )
    (outcome,) = read(result(one), [PLAIN], 20)
    assert outcome.error.bad_result
    assert "contradict each other" in str(outcome.error)


def test_a_contradiction_spoils_no_other_circuit():
    """It is the error of one circuit, among others that were read at once."""
    good, bad = experiment({"0x1": 9}, ["0x1"] * 9), experiment({"0x1": 9}, ["0x2"] * 9)
    outcomes = read(result(good, bad, good), [PLAIN] * 3, 9)
    assert [outcome.shots for outcome in outcomes] == [9, 0, 9]
    assert outcomes[0].ordered


@given(st.integers(0, 2**32), st.sampled_from([2, 8, 1000, 2**20]), st.sampled_from([1, 20, 1000]))
@settings(deadline=None, max_examples=60)
def test_two_samples_of_a_circuit_do_not_contradict_each_other(seed, outcomes, shots):
    """A provider may draw memory anew: its counts are as right, and are taken."""
    rng = np.random.default_rng(seed)
    wiring = Wiring(num_sent=20, measured=tuple(range(20)), to_user=tuple(range(20)), num_user=20)
    one, other = (rng.integers(0, outcomes, shots).tolist() for _ in range(2))
    counts = Counter(map(hex, one))
    (outcome,) = read(result(experiment(dict(counts), list(map(hex, other)))), [wiring], shots)
    if outcome.error is None:
        assert outcome.shots == shots
        assert outcome.ordered == (counts == Counter(map(hex, other)))
    else:  # Rare, and certain only where they have nothing in common.
        assert shots == 20
        assert outcomes == 2


@pytest.mark.parametrize("size", [3, 7, 8, 64, 1000])
@pytest.mark.parametrize(("kept", "asked"), [(100, None), (60, 100), (33, 100), (99, 100)])
@pytest.mark.parametrize("names", [hex, "{:010b}".format])
def test_whole_memory_wins_over_rounded_counts(size, kept, asked, names):
    """Where rounded counts do not add up, up or down, the shots in memory are taken in their order.

    They add up or not to what the job was asked for, of which only some may be wanted.
    """
    wiring = Wiring(num_sent=10, measured=tuple(range(10)), to_user=tuple(range(10)), num_user=10)
    values = [shot % size for shot in range(100)]
    each = max(1, round(100 / size))
    counts = {names(value): each for value in range(min(size, 100))}
    (outcome,) = read(
        result(experiment(counts, [names(value) for value in values], 100)),
        [wiring],
        kept,
        asked=asked,
    )
    assert outcome.shots == kept
    assert outcome.ordered
    assert [int.from_bytes(row.tobytes()) for row in outcome.memory] == values[:kept]


@pytest.mark.parametrize("wanted", [1, 7, 15])
@pytest.mark.parametrize("names", [hex, "{:010b}".format])
def test_counts_that_add_up_win_over_another_memory(wanted, names):
    """So few shots show no contradiction, and fewer may be wanted than the job was asked for."""
    wiring = Wiring(num_sent=10, measured=tuple(range(10)), to_user=tuple(range(10)), num_user=10)
    counts = {names(100 + shot): 1 for shot in range(15)}
    given = result(experiment(counts, [names(0)] * 15, 15))
    (outcome,) = read(given, [wiring], wanted, asked=15)
    assert (outcome.shots, outcome.ordered) == (wanted, False)
    (out,), _ = decoded([outcome], [tuple(range(10))], wanted)
    assert out.reshape(-1, 2)[:, 1].min() >= 100


@pytest.mark.parametrize(
    "memory",
    [
        ["0x1"] * 3,
        ["0x1"] * 5,
        ["0x9"] * 4,
        ["01"] * 4,
        [None] * 4,
        [[1]] * 4,
        [True] * 4,
        [1.0] * 4,
        ["0x1", "001", "0x1", "0x1"],
        "0x1",
        7,
        {"0x1": 4},
        [-1] * 4,
        [2**80] * 4,
        ["0x" + "f" * 9] * 4,
        ["-01"] * 4,
        [{}] * 4,
        ["0x1", 1] * 2,
    ],
)
def test_unreadable_memory_falls_to_counts(memory):
    """Counts that can be read are used when memory cannot."""
    (outcome,) = read(result(experiment({"0x1": 4}, memory, 4)), [PLAIN], 4)
    assert (outcome.shots, outcome.ordered) == (4, False)
    (out,), _ = decoded([outcome], [(0, 1, 2)], 4)
    assert out.ravel().tolist() == [1] * 4


def test_binary_memory_is_not_read_as_hex():
    """Memory in binary beside counts in hex is believed, in its order (IonQ, Qrack)."""
    one = experiment({"0x4": 2, "0x1": 1}, ["100", "001", "100"], 3)
    (outcome,) = read(result(one), [PLAIN], 3)
    (out,), _ = decoded([outcome], [(0, 1, 2)], 3)
    assert outcome.ordered
    assert out.ravel().tolist() == [4, 1, 4]


@pytest.mark.parametrize("kind", [tuple, np.array])
@pytest.mark.parametrize("names", [["0x4", "0x1", "0x4"], [4, 1, 4]])
def test_memory_need_not_be_a_list(kind, names):
    """Memory may be a tuple or an array."""
    one = experiment({"0x4": 2, "0x1": 1}, kind(names), 3)
    (outcome,) = read(result(one), [PLAIN], 3)
    (out,), _ = decoded([outcome], [(0, 1, 2)], 3)
    assert outcome.ordered
    assert out.ravel().tolist() == [4, 1, 4]


def test_memory_of_many_shots_is_read_whole():
    """Circuits that are read together, or in several parts, get each their own shots."""
    values = np.random.default_rng(1).integers(0, 8, (5, 90_000))
    texts = [hex(value) for value in range(8)]
    memories = [[texts[value] for value in row] for row in values.tolist()]
    experiments = [experiment(dict(Counter(one)), one, len(one)) for one in memories]
    outcomes = read(result(*experiments), [PLAIN] * 5, 90_000)
    (out,), _ = decoded(outcomes, [(0, 1, 2)], 90_000)
    assert np.array_equal(out[..., 0], values)


def test_counts_need_not_be_a_plain_dict():
    """Counts may be Qiskit's own class, or any mapping."""
    for counts in (
        Counts({"0x1": 4}, creg_sizes=[["a", 1], ["b", 2]], memory_slots=3),
        MappingProxyType({1: 4}),
    ):
        (outcome,) = read(result(experiment(counts, None, 4)), [PLAIN], 4)
        assert outcome.shots == 4


def test_compact_counts_explain_compact_memory():
    """Braket drops unmeasured bits in its binary counts, and in its hexadecimal memory too."""
    wiring = replace(PLAIN, measured=(0, 2), widths=(3,))
    one = experiment({"10": 2, "01": 1}, ["0x2", "0x1", "0x2"], 3)
    (outcome,) = read(result(one), [wiring], 3)
    (out,), _ = decoded([outcome], [(0, 1, 2)], 3)
    assert outcome.ordered
    assert out.ravel().tolist() == [4, 1, 4]


def test_unused_registers_may_be_left_out():
    """IQM writes only registers with a measurement, but all bits of those."""
    wiring = Wiring(
        num_sent=6, measured=(2,), to_user=(0, 1, 2, 3, 4, 5), num_user=6, widths=(1, 2, 3)
    )
    (outcome,) = read(result(experiment({"10": 3}, None, 3)), [wiring], 3)
    (out,), _ = decoded([outcome], [range(6)], 3)
    assert out.ravel().tolist() == [4] * 3


def test_names_of_one_outcome_are_added():
    """Two names of one outcome are that outcome, seen as often as both."""
    counts = {"0x1": 2, "0x01": 3, "0X1": 1}
    for more in ({}, {"0x2": 0}):
        outcomes = read(result(experiment(counts | more, None, 6)), [PLAIN], 6)
        ((patterns, seen),) = tally(outcomes, partial(np.random.default_rng, 0))
        assert (patterns.tolist(), seen.tolist()) == ([[1]], [6])


def test_memory_alone_must_have_the_shots():
    """Memory without counts is believed when it is as long as was asked or reported."""
    for memory, reported, right in ((["0x1"] * 4, 4, 4), (["0x1"] * 3, 3, 3), (["0x1"] * 3, 4, 0)):
        (outcome,) = read(result(experiment(None, memory, reported)), [PLAIN], 4)
        assert outcome.shots == right
        assert (outcome.error is None) == bool(right)


@pytest.mark.parametrize(
    ("register_order", "bit_order", "digits"),
    # The bits of registers a=(0) and b=(1, 2), most significant first.
    [
        ("qiskit", "qiskit", (2, 1, 0)),
        ("reversed", "qiskit", (0, 2, 1)),
        ("qiskit", "reversed", (1, 2, 0)),
        ("reversed", "reversed", (0, 1, 2)),
    ],
)
@pytest.mark.parametrize("name", ["hex", "spaced", "compact"])
def test_adapted_orders(register_order, bit_order, digits, name):
    """A provider known to order registers or bits otherwise is read in that order."""
    wiring = replace(PLAIN, register_order=register_order, bit_order=bit_order, measured=(0, 2))
    for sent in (0b001, 0b100, 0b101):
        kept = digits if name != "compact" else [bit for bit in digits if bit != 1]
        text = "".join(str(sent >> bit & 1) for bit in kept)
        if name == "hex":
            text = hex(int(text, 2))
        elif name == "spaced":
            cut = 2 if register_order == "qiskit" else 1
            text = f"{text[:cut]} {text[cut:]}"
        (outcome,) = read(result(experiment({text: 5}, None, 5)), [wiring], 5)
        (out,), errors = decoded([outcome], [(0, 1, 2)], 5)
        assert errors == (None,)
        assert out.ravel().tolist() == [sent] * 5


def test_adapted_numbers():
    """A provider known to number only measured bits is read so."""
    wiring = replace(PLAIN, measured=(2,), numbers="measured")
    (outcome,) = read(result(experiment({"0x1": 2}, ["0x1"] * 2, 2)), [wiring], 2)
    (out,), _ = decoded([outcome], [(0, 1, 2)], 2)
    assert out.ravel().tolist() == [4, 4]


# How many shots.


def test_counts_are_shuffled():
    """Shots from counts are exchangeable: the outcome of a place does not depend on the place."""
    outcomes = read(result(experiment({"0x0": 500, "0x1": 500}, None, 1000)), [PLAIN], 1000)
    halves = []
    for seed in range(200):
        (out,), _ = decoded(outcomes, [(0, 1, 2)], 1000, seed)
        halves.append(int(out[0, :500].sum()))
    assert abs(np.mean(halves) - 250) < 4
    assert np.std(halves) > 4


def test_too_many_shots_are_drawn_without_bias():
    """Of more counts than asked as many as asked are drawn, each shot with the same chance."""
    outcomes = read(result(experiment({"0x0": 300, "0x1": 700}, None, 1000)), [PLAIN], 100)
    ones = []
    for seed in range(300):
        (out,), _ = decoded(outcomes, [(0, 1, 2)], 100, seed)
        ((patterns, counts),) = tally(outcomes, partial(np.random.default_rng, seed))
        seen = dict(zip(patterns.ravel().tolist(), counts.tolist(), strict=True))
        assert seen == Counter(out.ravel().tolist())
        assert out.shape[1] == sum(seen.values()) == outcomes[0].shots == 100
        ones.append(seen.get(1, 0))
    assert abs(np.mean(ones) - 70) < 1.2


def test_too_much_memory_is_cut():
    """Of more memory than asked the first shots are kept."""
    memory = ["0x1", "0x2", "0x3", "0x4"]
    outcomes = read(result(experiment(dict(Counter(memory)), memory, 4)), [PLAIN], 2)
    (out,), _ = decoded(outcomes, [(0, 1, 2)], 2)
    ((patterns, counts),) = tally(outcomes, partial(np.random.default_rng, 0))
    assert out.ravel().tolist() == [1, 2]
    assert (patterns.ravel().tolist(), counts.tolist()) == ([1, 2], [1, 1])


@pytest.mark.parametrize("memory", [None, ["0x1"] * 3])
def test_too_few_shots_leave_the_rest(memory):
    """Of fewer shots than asked it is said how many; storage beyond is not touched."""
    outcomes = read(result(experiment({"0x1": 3}, memory, 5)), [PLAIN], 5)
    (out,), _ = decoded(outcomes, [(0, 1, 2)], 5)
    assert outcomes[0].shots == 3
    assert out.ravel().tolist() == [1, 1, 1, 255, 255]


@pytest.mark.parametrize("memory", [None, ["101", "-01", "101", "1-1"], ["101", "101"]])
@pytest.mark.parametrize("spaced_out", [False, True])
def test_lost_shots_are_left_out(memory, spaced_out):
    """A shot in which an atom was lost is no shot; the rest is short."""
    counts = {"101": 2, "-01": 1, "1-1": 1}
    if spaced_out:
        counts = {f"{key[:2]} {key[2]}": value for key, value in counts.items()}
        memory = memory and [f"{key[:2]} {key[2]}" for key in memory]
    (outcome,) = read(result(experiment(counts, memory, 4)), [PLAIN], 4)
    (out,), _ = decoded([outcome], [(0, 1, 2)], 4)
    assert outcome.shots == 2
    assert outcome.ordered == (memory is not None)
    assert out.ravel().tolist() == [5, 5, 255, 255]


def test_all_shots_lost():
    """When every shot was lost there are none to use, and trying again may help."""
    for counts, memory in (({"--1": 4}, None), (None, ["--1"] * 4)):
        (outcome,) = read(result(experiment(counts, memory, 4)), [PLAIN], 4)
        assert outcome.error is not None
        assert outcome.error.transient
        assert not outcome.error.bad_result


# Structure.


@pytest.mark.parametrize(
    "thing",
    [
        None,
        7,
        "result",
        {},
        [],
        object(),
        {"results": None},
        {"results": 5},
        SimpleNamespace(),
        result(),
        result(experiment({"0x1": 1})),
        result(*([experiment({"0x1": 1})] * 3)),
    ],
)
def test_what_is_no_result_of_the_job(thing):
    """Garbage, or a wrong number of experiments, is an error of every circuit."""
    outcomes = read(thing, [PLAIN] * 2, 1)
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.shots == 0
        assert outcome.error.bad_result
        assert outcome.error.submitted


def test_a_list_of_results_is_one_result():
    """Experiments of several results follow one another; one that failed fails the job."""
    one, two = result(experiment({"0x1": 2})), result(*[experiment({"0x2": 2})] * 2)
    outcomes = read([one, two], [PLAIN] * 3, 2)
    assert [outcome.patterns.tolist() for outcome in outcomes] == [[[1]], [[2]], [[2]]]
    for odd in ([one], [one, object()], [one, two, two], [[one, two]]):
        assert all(o.error.bad_result for o in read(odd, [PLAIN] * 3, 2))
    failed = result(success=False, status="ERROR: no such bit")
    for outcome in read([one, failed, one], [PLAIN] * 3, 2):
        assert "no such bit" in str(outcome.error)


@pytest.mark.parametrize("success", [False, None, True])
@pytest.mark.parametrize("status", ["ERROR: no such bit", "Failed: no such bit"])
@pytest.mark.parametrize("experiments", [0, 1])
def test_a_result_without_its_experiments_says_why(success, status, experiments):
    """The provider's own words are told; a job of one circuit that fails so is that circuit's fault."""
    told = {"success": success, "status": status, "results": [None] * experiments}
    for circuits in {1, 3} - {experiments}:
        for outcome in read(told, [PLAIN] * circuits, 2):
            assert status in str(outcome.error)
            assert not outcome.error.bad_result
            assert outcome.error.fault == ("caller" if circuits == 1 else "backend")


@pytest.mark.parametrize(
    ("thing", "unreadable"),
    [
        (None, True),
        ([object()], True),
        (SimpleNamespace(counts={"0x1": 2}), True),
        ({"counts": {"0x1": 2}}, True),
        (result(experiment()), True),
        (result(ExperimentResult(2, True, ExperimentResultData(statevector=[1, 0]))), True),
        (result(experiment({}, [])), False),
        (result(), False),
        (result(experiment({"0x9": 2})), False),
        *[(result(experiment({"0x1": count})), True) for count in ("2", None, 2j, True, [2])],
        *[(result(experiment({"0x1": count})), False) for count in (np.nan, -2, 1.5, 10**9)],
        *[(result(experiment({name: 2})), True) for name in ((1,), b"1", 1.0, True, None)],
        *[(result(experiment({name: 2})), False) for name in ("up", "0x", "")],
        *[
            (result(experiment(None, memory)), True)
            for memory in ("11", {1: 2}.items(), iter("11"))
        ],
        *[(result(experiment(None, [each] * 2)), True) for each in (b"1", 1.0, True, [1], None)],
        (result(experiment(None, np.ones((2, 1), int))), True),
        *[(result(experiment(None, memory)), False) for memory in (["0x1"] * 3, ["0x9"] * 2, [])],
    ],
)
def test_what_is_of_a_kind_that_nobody_can_read(thing, unreadable):
    """It has no experiments, or these have neither counts nor memory, be they empty.

    Or what should be names and numbers is of another type. A wrong number may be right next time.
    """
    (outcome,) = read(thing, [PLAIN], 2)
    assert outcome.error.bad_result
    assert outcome.error.unreadable == unreadable


def test_plain_dictionaries_are_results():
    """What has the shape of a result is one."""
    thing = {"results": [{"success": True, "shots": 2, "data": {"counts": {"0x1": 2}}}]}
    assert read(thing, [PLAIN], 2)[0].shots == 2


def test_only_failed_circuits_are_errors():
    """Of a partly completed job the rest is used; the error has the experiment's status."""
    good = experiment({"0x1": 2}, ["0x1"] * 2, 2)
    bad = experiment(shots=0, success=False, status="ERROR: out of memory")
    outcomes = read(result(good, bad, good, success=False), [PLAIN] * 3, 2)
    (out,), errors = decoded(outcomes, [(0, 1, 2)], 2)
    assert [outcome.shots for outcome in outcomes] == [2, 0, 2]
    assert errors[0] is errors[2] is None
    assert "out of memory" in str(errors[1])
    assert not errors[1].bad_result
    assert out[[0, 2]].ravel().tolist() == [1] * 4
    _, (patterns, counts), _ = tally(outcomes, partial(np.random.default_rng, 0))
    assert len(patterns) == len(counts) == 0


def test_status_of_a_circuit_counts():
    """An experiment whose status says it failed has failed, whatever its flag says."""
    for status in ("CANCELLED", "Error: no cryostat", "failed"):
        (outcome,) = read(result(experiment({"0x1": 2}, status=status)), [PLAIN], 2)
        assert status in str(outcome.error)


def test_a_failed_job_without_a_failed_circuit():
    """When the job failed and no circuit explains it, nothing is believed."""
    whole = result(experiment({"0x1": 2}), success=False, status="FAILED at calibration")
    (outcome,) = read(whole, [PLAIN], 2)
    assert "calibration" in str(outcome.error)


@pytest.mark.parametrize("counts", [None, {}, {"": 10}, {"None": 10}, {"0": 4, "1": 6}])
def test_nothing_measured_is_zero(counts):
    """Bits that nothing writes are 0 in every shot, whatever the provider says."""
    wiring = replace(PLAIN, measured=())
    empty = Wiring(num_sent=0, measured=(), to_user=(), num_user=0)
    outcomes = read(result(*[experiment(counts, None, 10)] * 2), [wiring, empty], 10)
    assert [outcome.shots for outcome in outcomes] == [10, 10]
    unread = Wiring(num_sent=1, measured=(0,), to_user=(UNREAD,), num_user=0)
    assert read(result(experiment({"-": 9}, None, 10)), [unread], 10)[0].shots == 10
    (out,), errors = decoded(outcomes[:1], [(2, 0)], 10)
    assert errors == (None,)
    assert not out.any()
    decoded(outcomes[1:], [()], 10)
    for patterns, seen in tally(outcomes, partial(np.random.default_rng, 0)):
        assert not patterns.any()
        assert seen.tolist() == [10]


def test_nothing_measured_may_still_fail():
    """A circuit that failed is an error even where nothing is measured."""
    wiring = replace(PLAIN, measured=())
    (outcome,) = read(result(experiment(success=False), success=False), [wiring], 10)
    assert outcome.error is not None


# Hostile results.

HOSTILE = [
    {"counts": None}, {"counts": {}}, {"counts": []}, {"counts": 5}, {"counts": "0x1"},
    {"counts": [("0x1", 4)]}, {"counts": {"0x1": -4}}, {"counts": {"0x1": 0}},
    {"counts": {"0x1": True}}, {"counts": {"0x1": np.bool_(True)}}, {"counts": {"0x1": None}},
    {"counts": {"0x1": "4"}}, {"counts": {"0x1": 0.5, "0x0": 0.5}}, {"counts": {"0x1": 1e300}},
    {"counts": {"0x1": float("nan")}}, {"counts": {"0x1": float("inf")}}, {"counts": {"0x1": 1j}},
    {"counts": {"0x1": 10**30}}, {"counts": {"0x1": 10**5000}}, {"counts": {"0x1": 2**63}},
    {"counts": {"0x1": [4]}}, {"counts": {"0x8": 4}}, {"counts": {"0x" + "f" * 5000: 4}},
    {"counts": {"1" * 5000: 4}}, {"counts": {"-0x1": 4}}, {"counts": {-1: 4}}, {"counts": {8: 4}},
    {"counts": {None: 4}}, {"counts": {True: 4}}, {"counts": {1.0: 4}}, {"counts": {("0x1",): 4}},
    {"counts": {"": 4}}, {"counts": {" ": 4}}, {"counts": {"None": 4}}, {"counts": {"1f": 4}},
    {"counts": {"0x": 4}}, {"counts": {"0b": 4}}, {"counts": {"0b1000": 4}}, {"counts": {"10": 4}},
    {"counts": {"0101": 4}}, {"counts": {"1 01": 4}}, {"counts": {"0_01": 4}}, {"counts": {"2": 4}},
    {"counts": {"0x1": 2, "001": 2}}, {"counts": {"\u0660\u0661\u0660": 4}}, {"counts": {b"0x1": 4}},
    {"counts": {"0x1": 3, "0x9": 1}, "memory": ["0x1"] * 4}, {"memory": []}, {"memory": [None] * 4},
    {"memory": ["0x9"] * 4}, {"memory": ["0x1"] * 3}, {"memory": ["0x1", 1, "0x1", "0x1"]},
    {"memory": [[0.1, 0.2]] * 4}, {"memory": "0x10"}, {"memory": 4}, {"memory": [True] * 4},
    {"memory": np.ones((4, 3), int)}, {"memory": ["0x1", "0x1", "0x1", ""]}, {"memory": [-1] * 4},
    {"memory": [{}] * 4}, {"probabilities": {"001": 1.0}}, {"statevector": [1, 0]},
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("alone", [True, False])
def test_hostile_data_is_an_error(data, alone):
    """What cannot be read is an error of that circuit only: never an exception, never data."""
    bad = ExperimentResult(4, True, ExperimentResultData(**data))
    good = experiment({"0x2": 4}, ["0x2"] * 4, 4)
    experiments = [bad] if alone else [good, bad, good]
    outcomes = read(result(*experiments), [PLAIN] * len(experiments), 4)
    (out,), errors = decoded(outcomes, [(0, 1, 2)], 4)
    error = errors[0 if alone else 1]
    assert isinstance(error, BackendError)
    assert error.bad_result
    assert error.submitted
    assert len(str(error)) < 500
    if not alone:
        assert errors[0] is errors[2] is None
        assert out[[0, 2]].ravel().tolist() == [2] * 8


def test_bits_that_nothing_writes_are_an_error():
    """An outcome with a bit that no measurement writes was not measured (DDSIM's hybrid mode)."""
    wiring = replace(PLAIN, measured=(2,))
    for counts in ({"0x1": 4}, {"001": 4}, {1: 4}):
        (outcome,) = read(result(experiment(counts, None, 4)), [wiring], 4)
        assert "never writes" in str(outcome.error)


class Explodes:
    """Raises whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __str__


class ExplodesQuietly(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("str")


class RaisesStrangely:
    @property
    def success(self):
        raise ExplodesQuietly


def test_objects_that_raise():
    """A foreign object that raises on every touch is an error like any other."""
    for thing in (
        Explodes(),
        result(Explodes()),
        result(experiment(Explodes())),
        result(experiment({"0x1": Explodes()})),
        result(experiment({Explodes(): 4})),
        result(experiment(None, [Explodes()] * 4)),
        result(experiment({"0x1": 4}, success=Explodes(), status=Explodes())),
        result(RaisesStrangely()),
    ):
        (outcome,) = read(thing, [PLAIN], 4)
        if outcome.error is None:
            assert isinstance(thing.results[0].success, Explodes)
        else:
            assert outcome.shots == 0


class Countless(Mapping):
    """Counts that never end."""

    def __getitem__(self, name):
        return 1

    def __iter__(self):
        return map(hex, count())

    def __len__(self):
        return 1


class Changing(list):
    """A list that is longer each time it is gone through."""

    def __iter__(self):
        return (self[0] for _ in count())


def itself(times):
    """Return a list that holds itself."""
    endless = []
    endless.extend([endless] * times)
    return endless


ENDLESS = [
    {"counts": Countless()},
    {"counts": {"0x1": itself(1)}},
    {"memory": itself(4)},
    {"memory": itself(10**5)},
    {"memory": (name for name in ["0x1"] * 4)},
    {"memory": count()},
    {"memory": Changing(["0x1"] * 4)},
    {"memory": np.broadcast_to("0x1", (2**50,))},
    {"memory": np.broadcast_to(1.0, (2**50, 3, 2))},
    {"memory": [[[1.0, 0.0]] * 3] * (2 * 10**5)},
    {"memory": [[[1.0] * 10**5] * 10**5] * 10**5},
    {"memory": [np.ones((1000, 1000))] * 10**5},
    {"counts": {"0x1": 4, "0x" + "9" * 10**6: 1}},
    {"counts": {"9" * 10**6: 4}},
    {"counts": {"0b" + "1" * 10**6: 4}},
    {"counts": {10**10**5: 4}},
]


@pytest.mark.parametrize("data", ENDLESS, ids=range(len(ENDLESS)))
@pytest.mark.parametrize("meas_level", [1, 2])
def test_what_has_no_end_is_an_error(data, meas_level):
    """Neither lists that hold themselves nor claims of any size take time or memory; all are errors."""
    tracemalloc.start()
    began = time.thread_time()
    (outcome,) = read({"results": [{"data": data}]}, [PLAIN], 4, meas_level=meas_level)
    spent, (_, most) = time.thread_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.error.bad_result
    assert spent < 5
    assert most < 150 << 20


def test_experiments_that_change_are_counted_as_they_are_read():
    """A list of experiments that is another one when it is read again is an error, not a crash."""
    good = {"success": True, "data": {"counts": {"0x1": 4}}}
    (outcome,) = read({"results": Changing([good])}, [PLAIN], 4)
    assert outcome.error.bad_result


@pytest.mark.parametrize(
    "texts", [["0x50", "x1"], ["0x10x2", "5"], ["0x10x2", "0"], ["0x10x2", ""], ["0x10x", "2"]]
)
def test_texts_that_run_into_each_other_are_refused(texts):
    """Outcomes that only together read as hexadecimal texts are no outcomes."""
    wide = Wiring(num_sent=40, measured=tuple(range(40)), to_user=tuple(range(40)), num_user=40)
    for counts, memory in (
        (None, texts),
        (dict.fromkeys(texts, 1), None),
        (dict.fromkeys(texts, 1), texts),
    ):
        for wiring in (
            wide,
            replace(
                PLAIN,
                num_sent=8,
                measured=tuple(range(8)),
                to_user=tuple(range(8)),
                num_user=8,
                widths=(),
            ),
        ):
            (outcome,) = read(result(experiment(counts, memory, 2)), [wiring], 2)
            assert outcome.error.bad_result


@pytest.mark.parametrize("with_memory", [False, True])
@pytest.mark.parametrize("with_counts", [False, True])
def test_texts_that_run_into_each_other_among_many_are_refused(with_counts, with_memory):
    """As among few, which are looked at in another way."""
    wide = Wiring(num_sent=40, measured=tuple(range(40)), to_user=tuple(range(40)), num_user=40)
    texts = [*(hex(1 << 20 | number) for number in range(1500)), "0x50", "x1"]
    counts = dict.fromkeys(texts, 1) if with_counts else None
    memory = texts if with_memory or not with_counts else None
    (outcome,) = read(result(experiment(counts, memory, len(texts))), [wide], len(texts))
    assert outcome.error.bad_result


names = st.one_of(
    st.text("0123456789abcdefxX- _b", max_size=8), st.integers(-3, 12), st.none(), st.floats(),
    st.booleans(), st.text(max_size=3), st.binary(max_size=3),
)  # fmt: skip
amounts = st.one_of(st.integers(-2, 9), st.floats(), st.none(), st.booleans(), st.text(max_size=2))
things = st.recursive(
    st.one_of(names, amounts),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.one_of(st.dictionaries(names, amounts, max_size=4), things),
    st.one_of(st.none(), st.lists(names, max_size=6), things),
    st.one_of(st.integers(-1, 9), things),
)
@settings(max_examples=400, deadline=None)
def test_arbitrary_data_never_escapes(counts, memory, reported):
    """Whatever the data, reading and decoding it raises nothing, and shots come from the data."""
    thing = {"results": [{"shots": reported, "data": {"counts": counts, "memory": memory}}]}
    for meas_level in (1, 2):
        (outcome,) = read(thing, [PLAIN], 4, meas_level=meas_level)
        (out,), errors = decoded([outcome], [(0, 1, 2)], 4)
        tally([outcome], partial(np.random.default_rng, 0))
        assert (outcome.shots == 0) == (outcome.error is not None)
        if errors[0] is None and meas_level == 2:
            assert (out[0, : outcome.shots] < 8).all()
            assert (out[0, outcome.shots :] == 255).all()
            data = list(counts) if isinstance(counts, dict) and counts else memory
            assert all(isinstance(name, str | int) for name in data)


# Many circuits.


def test_circuits_are_read_by_position_however_they_are_grouped():
    """Circuits of one job may have different wirings, formats, sizes and failures."""
    rng = np.random.default_rng(5)
    wirings, experiments, right = [], [], []
    wide = Wiring(num_sent=90, measured=tuple(range(90)), to_user=tuple(range(90)), num_user=90)
    for i in range(60):
        wiring = wide if i % 7 == 3 else replace(PLAIN)
        values = [int.from_bytes(rng.bytes(12)) % (1 << wiring.num_sent) for _ in range(900)]
        memory = [FORMATS["binary" if i % 5 == 4 else "hex"](value, wiring) for value in values]
        counts = dict(Counter(memory)) if i % 4 else None
        wirings.append(wiring)
        experiments.append(experiment(counts, memory, 900, success=i % 11 != 10))
        right.append(values)
    outcomes = read(result(*experiments, success=False), wirings, 900)
    for i, (outcome, values) in enumerate(zip(outcomes, right, strict=True)):
        assert (outcome.error is not None) == (i % 11 == 10)
        if outcome.error is None:
            (out,), _ = decoded([outcome], [range(wirings[i].num_user)], 900)
            assert [int.from_bytes(row.tobytes()) for row in out[0]] == values


def test_wirings_are_checked():
    """A wiring that cannot be is refused when it is made."""
    for more, word in (
        ({"to_user": (0, 1)}, "distinct"), ({"to_user": (0, 1, 1)}, "distinct"),
        ({"to_user": (0, 1, 3)}, "num_user"), ({"measured": (1, 0)}, "ascend"),
        ({"measured": (3,)}, "ascend"), ({"widths": (1, 1)}, "add up"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            replace(PLAIN, **more)


# Kerneled data.


def test_kerneled_data():
    """I/Q pairs become complex numbers over the user's bits, single shots or averaged."""
    wiring = replace(PLAIN, to_user=(3, 1, 0), num_user=4, measured=(0, 2))
    single = np.arange(24.0).reshape(4, 3, 2)
    right = single[..., 0] + 1j * single[..., 1]
    for memory in (single.tolist(), single, right):
        (outcome,) = read(result(experiment(None, memory, 4)), [wiring], 4, meas_level=1)
        found = decode_iq(outcome)
        assert (outcome.shots, found.shape, found.dtype) == (4, (4, 4), np.complex128)
        np.testing.assert_array_equal(found[:, [3, 1, 0]], right)
        assert not found[:, 2].any()
    unread = replace(wiring, to_user=(UNREAD, 1, 0))
    (outcome,) = read(result(experiment(None, right, 4)), [unread], 4, meas_level=1)
    np.testing.assert_array_equal(decode_iq(outcome)[:, [1, 0]], right[:, 1:])
    one = result(experiment(None, single[0, :2].tolist(), 4))
    (outcome,) = read(one, [wiring], 4, meas_level=1)
    assert outcome.shots == 4
    np.testing.assert_array_equal(decode_iq(outcome), [right[0, 1], 0, 0, right[0, 0]])


def test_kerneled_shots():
    """Fewer shots than asked are counted, more are cut."""
    memory = np.ones((4, 3, 2))
    for asked, usable in ((3, 3), (4, 4), (9, 4)):
        (outcome,) = read(result(experiment(None, memory, 4)), [PLAIN], asked, meas_level=1)
        assert outcome.shots == len(decode_iq(outcome)) == usable


@pytest.mark.parametrize(
    "memory",
    [
        None,
        [],
        ["0x1"] * 4,
        np.ones((4, 5, 2)),
        np.ones((4, 3)),
        np.ones((4, 3, 2, 2)),
        [[1, 2], [3]],
        np.full((4, 3, 2), np.nan),
        np.zeros((0, 3, 2)),
        5,
        [True] * 2,
        [[[10**400, 1]] * 3] * 4,
    ],
)
def test_what_is_no_kerneled_data(memory):
    """Kerneled data of another shape, or that is not finite, is an error."""
    (outcome,) = read(result(experiment(None, memory, 4)), [PLAIN], 4, meas_level=1)
    assert outcome.error.bad_result
    with pytest.raises(BackendError):
        decode_iq(outcome)


def test_bits_are_no_kerneled_data():
    """Asking for kerneled data of what was read as bits is an error."""
    (outcome,) = read(result(experiment({"0x1": 4})), [PLAIN], 4)
    with pytest.raises(BackendError, match="meas_level"):
        decode_iq(outcome)


# Real results.


def bell_and_more():
    """Circuits whose registers stock Qiskit reads right, and whose outcomes vary."""
    two = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(9, "b"))
    two.h([0, 1])
    two.cx(1, 2)
    two.measure([0, 1, 2], [0, 3, 9])
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    wide = QuantumCircuit(4, 70)
    wide.h(range(4))
    wide.measure(range(4), [0, 8, 33, 69])
    return [two, bell, wide]


def registers_of(circuit):
    return [[circuit.find_bit(bit).index for bit in register] for register in circuit.cregs]


def assert_same_as_stock(backend):
    circuits = bell_and_more()
    stock = BackendSamplerV2(backend=backend, options={"seed_simulator": 7})
    right = stock.run(circuits, shots=500).result()
    whole = backend.run(circuits, shots=500, memory=True, seed_simulator=7).result()
    outcomes = read(whole, [wiring_of(circuit) for circuit in circuits], 500)
    for circuit, outcome, pub in zip(circuits, outcomes, right, strict=True):
        outs, errors = decoded([outcome], registers_of(circuit), 500)
        assert errors == (None,)
        for register, out in zip(circuit.cregs, outs, strict=True):
            np.testing.assert_array_equal(out[0], pub.data[register.name].array)


def test_same_as_stock_over_basic_simulator():
    """With the same seed the bits are those of ``BackendSamplerV2``."""
    assert_same_as_stock(BasicSimulator())


@pytest.mark.providers
def test_same_as_stock_over_aer():
    """With the same seed the bits are those of ``BackendSamplerV2``."""
    aer = pytest.importorskip("qiskit_aer")
    assert_same_as_stock(aer.AerSimulator(max_parallel_threads=1))


def ddsim():
    return pytest.importorskip("mqt.ddsim").DDSIMProvider().get_backend("qasm_simulator")


def braket():
    return pytest.importorskip("qiskit_braket_provider").BraketLocalBackend("braket_sv")


def qsharp():
    return pytest.importorskip("qdk.qiskit").QSharpBackend()


def iqm():
    return pytest.importorskip("iqm.qiskit_iqm").IQMFakeAdonis()


@pytest.mark.providers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [ddsim, braket, qsharp, iqm])
def test_real_providers(make):
    """Stock Qiskit answers all zeros, or a shifted bit, on each of these; here it is the truth."""
    two = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(2, "b"))
    two.x(2)
    two.measure([0, 1, 2], [0, 1, 2])
    sparse = QuantumCircuit(3, 3)
    sparse.x(2)
    sparse.measure([1, 2], [0, 2])
    backend = make()
    options = {"seed_simulator": 3} if make is ddsim else {}
    for circuit in [two] if make is ddsim else [two, sparse]:
        whole = backend.run([transpile(circuit, backend)], shots=200, **options).result()
        (outcome,) = read(whole, [wiring_of(circuit)], 200)
        (out,), errors = decoded([outcome], [(0, 1, 2)], 200)
        assert errors == (None,)
        assert outcome.shots == 200
        assert Counter(out.ravel().tolist()).most_common(1)[0][0] == 4
        assert (out == 4).mean() > (0.7 if make is iqm else 0.999)


def test_outcomes_are_values():
    """An outcome cannot be changed."""
    with pytest.raises(AttributeError):
        Outcome(shots=1).shots = 2
