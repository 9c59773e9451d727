"""Laws of which shots arrived, and how many to ask for again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.results.coverage import Coverage, book_outcomes, top_up_shots
from qiskit_gateway.work.tasks import Piece


def counted(counts, asked):
    counts = np.array([count for count in counts if count], np.int64)
    patterns = np.zeros((len(counts), 2), np.uint8)
    return Outcome(
        shots=min(int(counts.sum()), asked), num_bits=16, patterns=patterns, counts=counts
    )


@given(
    st.lists(st.floats(0.001, 1), min_size=1, max_size=60),
    st.integers(1, 5000),
    st.sampled_from([np.round, np.floor]),
)
def test_a_provider_that_rounds_makes_up_for_it_in_one_more_job(weights, asked, rounded):
    """Whatever the chances of the outcomes, if at least half of the shots came."""
    chances = np.array(weights) / sum(weights)
    outcome = counted(rounded(chances * asked), asked)
    missing = asked - outcome.shots
    if not missing or 2 * missing > asked:
        return
    shots = top_up_shots(outcome, missing, asked)
    assert min(missing, asked) <= shots <= asked
    if rounded is np.floor:
        assert rounded(chances * shots + 1e-6).sum() >= missing


@pytest.mark.parametrize(
    ("came", "asked", "shots"),
    [
        ([12] * 8, 100, 10),
        ([50], 100, 100),
        ([90], 100, 12),
        ([30], 100, 70),
        ([1], 40, 39),
        ([9990], 10_000, 100),
        ([4, 4], 9, 2),
    ],
)
def test_as_many_are_asked_for_as_bring_what_is_missing(came, asked, shots):
    """By hand: what lacks by the share that comes; a percent; and no more than before."""
    missing = asked - sum(came)
    assert top_up_shots(counted(came, asked), missing, asked) == pytest.approx(shots, abs=2)


def test_memory_is_not_rounded():
    """Where the shots themselves came, only the share that was lost counts."""
    outcome = Outcome(shots=90, num_bits=16, memory=np.zeros((90, 2), np.uint8))
    assert top_up_shots(outcome, 10, 100) == 12


def test_a_receipt_asks_for_what_the_worst_row_needs():
    """The rows of a shard are asked for again together."""
    coverage = Coverage(3, 100)
    piece = Piece(0, 0, 3, 0, 100)
    outcomes = [counted([100], 100), counted([99], 100), counted([60], 100)]
    receipt = book_outcomes(coverage, piece, outcomes)
    assert receipt.missing == (Piece(0, 1, 2, 99, 100), Piece(0, 2, 3, 60, 100))
    assert receipt.top_up_shots == 67
    whole = book_outcomes(Coverage(1, 100), Piece(0, 0, 1, 0, 100), [counted([100], 100)])
    assert (whole.missing, whole.top_up_shots) == ((), 0)
