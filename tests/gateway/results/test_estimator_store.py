"""Sums over shots: exact, whatever the cuts and the order of arrival."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from threading import Lock, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.results.coverage import Coverage
from qiskit_gateway.results.estimator_store import BasisStore, Section
from qiskit_gateway.results.observables import Observables, Reading, parts_of
from qiskit_gateway.results.pauli_sums import BlockSums, Histogram, Quantities
from qiskit_gateway.work.tasks import Piece

DICE = cache(lambda: np.random.default_rng(0))
SHOTS, ROWS = 64, 5


def part_of(terms, qubits):
    """Return the only part of observables that share a basis; each is a dict of labels."""
    array = ObservablesArray([SparseObservable.from_list(list(one.items())) for one in terms])
    (part,) = parts_of(Observables.of(array), range(len(terms)))
    assert part.basis == "Z" * qubits
    return part


def wide(qubits):
    """Return observables over so many qubits: a Pauli, a projector, sums of both."""
    rest = "I" * (qubits - 3)
    return part_of(
        [
            {"Z" * qubits: 2.0},
            {"0" + rest + "1Z": -0.5},
            {"ZZ" + rest + "I": 1 / 3, "IZ" + rest + "Z": -1.7, "1" + rest + "II": 0.2},
            {"I" + rest + "00": 1.0, "ZI" + rest + "Z": 0.1},
        ],
        qubits,
    )


def words_of(bits):
    """Return shots, one row of bits each, lowest first, as words."""
    words = np.zeros((max(1, -(-bits.shape[1] // 64)), len(bits)), np.uint64)
    for number, column in enumerate(bits.T):
        words[number // 64] |= column.astype(np.uint64) << np.uint64(number % 64)
    return words


def outcome_of(bits, *, counted=False):
    """Return shots as a member would hand them over."""
    size = bits.shape[1]
    rows = np.packbits(np.pad(bits[:, ::-1], ((0, 0), (-size % 8, 0))), axis=1)
    if counted:
        rows, counts = np.unique(rows, axis=0, return_counts=True)
        return Outcome(shots=len(bits), num_bits=size, patterns=rows, counts=counts)
    return Outcome(shots=len(bits), num_bits=size, memory=rows)


def store_of(part, shots=SHOTS, rows=ROWS, cuts=()):
    """Return a store for rows that are in as many sections as there are cuts, and one more."""
    edges = [0, *cuts, rows]
    sections = tuple(
        Section(start=a, stop=b, sums=BlockSums(Quantities(part, shots, True), b - a))
        for a, b in pairwise(edges)
    )
    return BasisStore(coverage=Coverage(rows, shots), sections=sections, lock=Lock())


def answers(store):
    """Return values, variances and bounds of all rows."""
    found = []
    for section in store.sections:
        shots = np.maximum(store.coverage.received[section.start : section.stop], 1)
        sums = section.sums
        found.append([sums.values(shots), sums.deviations(shots) ** 2, sums.bounds(shots)])
    return np.concatenate(found, axis=2)


@st.composite
def cuttings(draw):
    """Rectangles that together cover all rows and shots, in any order."""
    pieces, waiting = [], [Piece(0, 0, ROWS, 0, SHOTS)]
    while waiting:
        piece = waiting.pop()
        kind = draw(st.sampled_from(["rows", "shots", "keep"]))
        if kind == "rows" and piece.rows > 1:
            waiting += piece.split_rows(draw(st.integers(1, piece.rows - 1)))
        elif kind == "shots" and piece.shots > 1:
            waiting += piece.split_shots(draw(st.integers(1, piece.shots - 1)))
        else:
            pieces.append(piece)
    return draw(st.permutations(pieces))


@pytest.mark.parametrize("qubits", [3, 8, 9, 40, 70])
@given(
    pieces=cuttings(), counted=st.booleans(), cut=st.integers(1, ROWS - 1), seed=st.integers(0, 9)
)
def test_neither_cuts_nor_arrival_show_in_the_result(qubits, pieces, counted, cut, seed):
    """Pieces pooled are the uncut run, to the last bit; in tables and beyond."""
    part, rng = wide(qubits), np.random.default_rng(seed)
    bits = (rng.random((ROWS, SHOTS, qubits)) < rng.random((ROWS, 1, qubits))).astype(np.uint8)
    whole, pooled = store_of(part), store_of(part, cuts=[cut])
    whole.receive(Piece(0, 0, ROWS, 0, SHOTS), [outcome_of(row) for row in bits], DICE)
    for piece in pieces:
        rows = bits[piece.row_start : piece.row_stop, piece.shot_start : piece.shot_stop]
        receipt = pooled.receive(piece, [outcome_of(row, counted=counted) for row in rows], DICE)
        assert not receipt.missing
        assert not receipt.failed
    assert pooled.coverage.complete
    assert np.array_equal(answers(whole), answers(pooled))


@pytest.mark.parametrize("qubits", [3, 12, 66])
def test_values_and_variances_are_those_of_the_shots(qubits):
    """Covariances of terms that were measured together included; as numpy has them."""
    part, rng = wide(qubits), np.random.default_rng(1)
    # Bits that go together, so that covariances matter.
    shared = rng.random((ROWS, SHOTS, 1)) < 0.5
    bits = ((rng.random((ROWS, SHOTS, qubits)) < 0.2) ^ shared).astype(np.uint8)
    store = store_of(part)
    store.receive(Piece(0, 0, ROWS, 0, SHOTS), [outcome_of(row) for row in bits], DICE)
    values, variances, bounds = answers(store)
    read = Reading(part.basis, part.factors).values
    for row in range(ROWS):
        terms = read(words_of(bits[row])).astype(float)
        ends = [*part.starts[1:], len(part.terms)]
        for column, (start, end) in enumerate(zip(part.starts, ends, strict=True)):
            mine, weights = terms[part.terms[start:end]], part.coefficients[start:end]
            observed = weights @ mine
            assert values[column, row] == pytest.approx(observed.mean())
            assert variances[column, row] == pytest.approx(observed.var() / SHOTS, rel=1e-6)
            bound = np.abs(weights) @ mine.std(axis=1) / SHOTS**0.5
            assert bounds[column, row] == pytest.approx(bound)
            assert variances[column, row] ** 0.5 <= bounds[column, row] * (1 + 1e-6)


def test_shots_that_agree_have_no_spread_and_one_shot_could_have_any():
    """Exactly 0, though coefficients are not; and after one shot the largest that there can be."""
    part = part_of([{"ZZ": 0.1, "ZI": 0.2, "0I": 0.7}, {"1I": 3.0}, {"IZ": 0.3}], 2)
    for shots, expected in ((1, [0.65**2, 1.5**2, 0.3**2]), (7, [0, 0, 0])):
        store = store_of(part, shots=shots, rows=1)
        bits = np.ones((shots, 2), np.uint8)
        store.receive(Piece(0, 0, 1, 0, shots), [outcome_of(bits)], DICE)
        values, variances, _ = answers(store)
        assert values[:, 0] == pytest.approx([-0.1, 3.0, -0.3])
        assert variances[:, 0] == pytest.approx(expected, abs=0)


@pytest.mark.parametrize("shots", [1 << 20, (1 << 40) - 1])
def test_nothing_overflows(shots):
    """With as many shots as can be asked for, all at the largest value."""
    part = wide(9)
    store = store_of(part, shots=shots, rows=1)
    for value, count in ((0, shots // 2), (1, shots - shots // 2)):
        rows = np.full((1, 2), [0, 0], np.uint8) if not value else np.array([[1, 255]], np.uint8)
        outcome = Outcome(shots=count, num_bits=9, patterns=rows, counts=np.array([count]))
        start = 0 if not value else shots // 2
        store.receive(Piece(0, 0, 1, start, start + count), [outcome], DICE)
    read = Reading(part.basis, part.factors).values(np.array([[0, 511]], np.uint64)).astype(float)
    values, variances, _ = answers(store)
    ends = [*part.starts[1:], len(part.terms)]
    for column, (start, end) in enumerate(zip(part.starts, ends, strict=True)):
        pair = part.coefficients[start:end] @ read[part.terms[start:end]]
        assert values[column, 0] == pytest.approx(pair.mean(), abs=1e-9)
        assert variances[column, 0] * shots == pytest.approx(pair.var(), rel=1e-2, abs=1e-9)


@pytest.mark.parametrize("qubits", [3, 9, 70])
def test_what_did_not_come_is_told_and_not_counted(qubits):
    """A failed row, a short one, a whole one; and a piece of which nothing came."""
    part = wide(qubits)
    store = store_of(part, rows=4)
    bits = np.zeros((SHOTS, qubits), np.uint8)
    error = BackendError("lost")
    outcomes = [Outcome(shots=0, error=error), outcome_of(bits[:10]), outcome_of(bits)]
    receipt = store.receive(Piece(0, 0, 3, 0, SHOTS), outcomes, DICE)
    assert receipt.failed == ((Piece(0, 0, 1, 0, SHOTS), error),)
    assert receipt.missing == (Piece(0, 1, 2, 10, SHOTS),)
    assert store.receive(Piece(0, 3, 4, 0, SHOTS), outcomes[:1], DICE).failed
    assert store.coverage.received.tolist() == [0, 10, SHOTS, 0]
    values, variances, _ = answers(store)
    assert np.array_equal(values[:, 1], values[:, 2])
    assert not variances[:, 1:3].any()


def test_pieces_may_arrive_at_once():
    """Shots of one row in many threads: none is lost."""
    part, pieces = wide(3), 40
    store = store_of(part, shots=pieces * 50, rows=2)
    outcomes = [outcome_of(DICE().integers(0, 2, (50, 3), np.uint8)) for _ in range(2)]

    def deliver(number):
        piece = Piece(0, 0, 2, number * 50, number * 50 + 50)
        store.receive(piece, outcomes, np.random.default_rng)

    threads = [Thread(target=deliver, args=(number,)) for number in range(pieces)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    once = store_of(part, shots=50, rows=2)
    once.receive(Piece(0, 0, 2, 0, 50), outcomes, DICE)
    assert store.coverage.complete
    assert np.allclose(answers(store)[0], answers(once)[0], rtol=1e-15)
    assert np.allclose(answers(store)[1] * pieces, answers(once)[1], rtol=1e-5)


def test_rows_of_a_histogram_are_its_rows():
    """Rows without patterns included."""
    words = np.array([[0, 1, 0, 1, 2]], np.uint64)
    histogram = Histogram(words, np.array([2, 2, 3, 3, 3]), np.array([2, 2, 5]))
    assert histogram.rows(0, 3) is histogram
    assert histogram.rows(1, 3).counts.tolist() == [3, 3, 3]
    assert histogram.rows(1, 3).ends.tolist() == [0, 3]
    assert histogram.rows(0, 2).words.tolist() == [[0, 1]]


# -- what members have estimated by themselves -----------------------------------------------------


def estimated(part, values, std, shots):
    """Return an outcome of so many shots, as a member hands it over: scaled."""
    evs = np.asarray(values, float) / part.weights
    return Outcome(shots=shots, num_bits=3, evs=evs, stds=np.asarray(std, float) / part.weights)


@given(st.permutations(range(4)))
def test_estimates_are_weighed_by_their_shots(order):
    """Whatever the order of arrival, to the last bit, and pooled with shots of our own."""
    part = wide(3)
    columns = len(part.columns)
    bits = np.random.default_rng(4).integers(0, 2, (16, 3))
    pieces = [
        (Piece(0, 0, 1, 0, 16), outcome_of(bits)),
        (Piece(0, 0, 1, 16, 32), estimated(part, np.full(columns, 0.3), np.full(columns, 0.1), 16)),
        (Piece(0, 0, 1, 32, 40), estimated(part, np.full(columns, 0.7), np.full(columns, 0.2), 8)),
        (Piece(0, 0, 1, 40, 64), estimated(part, np.full(columns, -1 / 3), np.zeros(columns), 24)),
    ]
    store, alone = store_of(part, rows=1), store_of(part, rows=1)
    for place in order:
        piece, outcome = pieces[place]
        assert store.receive(piece, [outcome], DICE).missing == ()
    alone.receive(pieces[0][0], [pieces[0][1]], DICE)
    (section,), (own,) = store.sections, alone.sections
    shots = store.coverage.received
    seen, spread = own.sums.values(np.array([16])), own.sums.deviations(np.array([16])) ** 2
    values, variances = section.sums.values(shots), section.sums.deviations(shots) ** 2
    assert values == pytest.approx((16 * seen + 16 * 0.3 + 8 * 0.7 - 24 / 3) / 64)
    assert variances == pytest.approx((16**2 * spread + 1.6**2 + 1.6**2) / 64**2)
    bounds = own.sums.bounds(np.array([16]))
    assert section.sums.bounds(shots) == pytest.approx(
        np.sqrt(16**2 * bounds**2 + 1.6**2 + 1.6**2) / 64
    )
    first = store_of(part, rows=1)
    for piece, outcome in pieces:
        first.receive(piece, [outcome], DICE)
    assert (first.sections[0].sums.values(shots) == values).all()
    assert (first.sections[0].sums.deviations(shots) ** 2 == variances).all()


@pytest.mark.parametrize("exponent", [-900, -600, 600, 1000])
def test_values_of_any_size_have_the_same_errors(exponent):
    """Squares that no float holds do not show: to the last bit, in sums and estimates alike."""
    rows = [{"ZZI": 2.0}, {"0I1": -0.5}, {"ZZI": 1 / 3, "IZZ": -1.7, "1II": 0.25}]
    factor = 2.0**exponent
    bits = np.random.default_rng(5).integers(0, 2, (16, 3))
    found = []
    for scale in (1.0, factor):
        # As parts are made: an observable of Qiskit's drops what is small.
        plain = part_of(rows, 3)
        part = replace(plain, coefficients=plain.coefficients * scale)
        store = store_of(part, shots=32, rows=1)
        store.receive(Piece(0, 0, 1, 0, 16), [outcome_of(bits)], DICE)
        sums, half, whole = store.sections[0].sums, np.array([16]), np.array([32])
        own = [sums.values(half), sums.deviations(half), sums.bounds(half)]
        told = estimated(part, np.full(3, 0.25 * scale), np.full(3, 0.5 * scale), 16)
        store.receive(Piece(0, 0, 1, 16, 32), [told], DICE)
        both = [sums.values(whole), sums.deviations(whole), sums.bounds(whole)]
        found.append(np.array(own + both) / scale)
    assert np.isfinite(found).all()
    assert np.all(found[0][[1, 2, 4, 5]] > 0)
    assert found[1] == pytest.approx(found[0], rel=1e-15)


def test_an_estimate_that_failed_is_missing():
    """The others of its piece count, in sections and rows of their own."""
    part = wide(3)
    values = [np.full(len(part.columns), float(row)) for row in range(ROWS)]
    outcomes = [estimated(part, one, one, SHOTS) for one in values]
    outcomes[3] = Outcome(shots=0, error=BackendError("broken"))
    store = store_of(part, cuts=(2,))
    receipt = store.receive(Piece(0, 0, ROWS, 0, SHOTS), outcomes, DICE)
    assert [piece.row_start for piece, _ in receipt.failed] == [3]
    found, _, _ = answers(store)
    assert found[:, [0, 1, 2, 4]] == pytest.approx(np.array(values).T[:, [0, 1, 2, 4]])


def test_scaled_observables_are_the_parts():
    """A member that knows nothing of bases is asked for the same sums, a shot of which is at most 1."""
    part = wide(4)
    state = np.random.default_rng(5).normal(size=(16, 2)) @ [1, 1j]
    state /= np.linalg.norm(state)
    probabilities = np.abs(state) ** 2
    words = np.arange(16, dtype=np.uint64)[np.newaxis]
    terms = Reading(part.basis, part.factors).values(words) @ probabilities
    wanted = np.add.reduceat(part.coefficients * terms[part.terms], part.starts)
    for one, scale, value in zip(part.scale_observables(), part.weights, wanted, strict=True):
        matrix = SparsePauliOp.from_sparse_observable(one.as_paulis()).to_matrix()
        assert scale * (state.conj() @ matrix @ state).real == pytest.approx(value)
        highest = np.ptp(np.linalg.eigvalsh(matrix)) / 2
        assert highest <= 1 + 1e-9
