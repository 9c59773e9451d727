"""Booking what has arrived, and putting it in its place."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.results.coverage import Coverage, book_outcomes
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.work.tasks import Piece


@st.composite
def tilings(draw):
    """Return a size, and pieces that cover it exactly once, in any order."""
    rows, shots = draw(st.integers(1, 8)), draw(st.integers(1, 20))
    pieces = [Piece(0, 0, rows, 0, shots)]
    for _ in range(draw(st.integers(0, 10))):
        piece = pieces.pop(draw(st.integers(0, len(pieces) - 1)))
        if draw(st.booleans()) and piece.rows > 1:
            pieces += piece.split_rows(draw(st.integers(1, piece.rows - 1)))
        elif piece.shots > 1:
            pieces += piece.split_shots(draw(st.integers(1, piece.shots - 1)))
        else:
            pieces.append(piece)
    return rows, shots, draw(st.permutations(pieces))


@given(tilings())
def test_a_tiling_is_complete_in_any_order(tiling):
    """Pieces that cover a task once make it complete, whatever their order."""
    rows, shots, pieces = tiling
    coverage = Coverage(rows, shots)

    for piece in pieces:
        assert not coverage.complete
        coverage.book(piece)

    assert coverage.complete


@given(tilings(), st.data())
def test_a_shot_that_arrives_twice_is_never_counted(tiling, data):
    """Booking any part of what has arrived is a bug that does not pass unseen."""
    rows, shots, pieces = tiling
    coverage = Coverage(rows, shots)
    for piece in pieces:
        coverage.book(piece)
    again = data.draw(st.sampled_from(pieces))

    with pytest.raises(AssertionError):
        coverage.book(again)


@given(tilings(), st.data())
def test_the_shots_that_have_arrived_come_first_when_some_are_missing(tiling, data):
    """Of an incomplete row the first ``received`` shots are those that arrived, in order."""
    rows, shots, pieces = tiling
    coverage = Coverage(rows, shots)
    array = np.zeros((rows, shots, 1), dtype=np.uint8)
    expected = {row: [] for row in range(rows)}
    for piece in data.draw(st.lists(st.sampled_from(pieces), unique=True)):
        coverage.book(piece)
        for row in range(piece.row_start, piece.row_stop):
            array[row, piece.shot_start : piece.shot_stop, 0] = 1 + np.arange(
                piece.shot_start, piece.shot_stop
            )
            expected[row] += range(piece.shot_start + 1, piece.shot_stop + 1)

    packed = coverage.compact(array)

    for row, shots_of_row in expected.items():
        count = coverage.received[row]
        assert packed[row, :count, 0].tolist() == sorted(shots_of_row)
        assert not packed[row, count:].any()


def test_what_is_short_is_missing_and_what_failed_is_failed():
    """A receipt names the rectangle of each gap."""
    error = BackendError("lied", bad_result=True)
    coverage = Coverage(4, 10)
    outcomes = [Outcome(shots=8), Outcome(shots=3), Outcome(shots=0, error=error), Outcome(shots=0)]

    receipt = book_outcomes(coverage, Piece(0, 0, 4, 2, 10), outcomes)

    assert receipt.missing == (Piece(0, 1, 2, 5, 10),)
    assert receipt.failed[0] == (Piece(0, 2, 3, 2, 10), error)
    assert receipt.failed[1][0] == Piece(0, 3, 4, 2, 10)
    assert receipt.failed[1][1].bad_result
    assert coverage.received.tolist() == [8, 3, 0, 0]


def test_registers_are_cut_from_the_same_shots():
    """The bits of one shot stay together over registers, and registers keep their names."""
    circuit = QuantumCircuit(
        QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(2, "b")
    )
    circuit.measure(range(3), range(3))
    store = SamplerStore(SamplerPub.coerce((circuit, None, 600)))
    patterns = np.array([[0b110], [0b001]], dtype=np.uint8)
    outcome = Outcome(shots=600, num_bits=3, patterns=patterns, counts=np.array([200, 400]))

    receipt = store.receive(Piece(0, 0, 1, 0, 600), [outcome], partial(np.random.default_rng, 1))

    result = store.make_result()
    assert receipt.missing == receipt.failed == ()
    assert list(result.data) == ["a", "b"]
    assert result.join_data().get_counts() == {"110": 200, "001": 400}
    assert result.metadata == {"shots": 600, "circuit_metadata": {}}


@pytest.mark.parametrize("shots", [10**14, 10**20])
@pytest.mark.parametrize("level", [1, 2])
def test_results_that_no_memory_holds_are_refused_with_their_size(shots, level):
    """They are allocated in ``run()``, so nothing has been sent."""
    circuit = QuantumCircuit(1, name="huge")
    circuit.measure_all()
    size = shots * (1 if level == 2 else 16) / 2**30
    with pytest.raises(MemoryError, match=f"'huge', 1 rows of {shots} shots, need") as caught:
        SamplerStore(SamplerPub.coerce((circuit, None, shots)), meas_level=level)
    assert f"{size:.4g} GiB" in str(caught.value)
