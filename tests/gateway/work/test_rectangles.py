"""Rectangles taken out of rectangles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.work.rectangles import intersection, without
from qiskit_gateway.work.tasks import Piece

ONE_TASK = st.just(0)


@st.composite
def pieces(draw, task=ONE_TASK):
    rows = sorted(draw(st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True)))
    shots = sorted(draw(st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True)))
    return Piece(draw(task), *rows, *shots)


def painted(many):
    cells = np.zeros((9, 9), int)
    for piece in many:
        cells[piece.row_start : piece.row_stop, piece.shot_start : piece.shot_stop] += 1
    return cells


@given(pieces(), st.lists(pieces(st.integers(0, 1)), max_size=6))
def test_what_is_left_is_what_was_there_and_not_taken_out(piece, holes):
    """The rest covers each cell once that is in the piece and in no hole of its task."""
    left = without(piece, holes)
    taken = painted(hole for hole in holes if hole.task == 0) > 0
    assert np.array_equal(painted(left), (painted([piece]) > 0) & ~taken)
    assert all(one.rows > 0 and one.shots > 0 for one in left)


@given(pieces(), pieces())
def test_what_two_have_in_common(one, other):
    """The intersection is the cells of both, or nothing."""
    common = intersection(one, other)
    both = (painted([one]) * painted([other])) > 0
    assert np.array_equal(painted([common] if common else []), both)


def test_rows_that_follow_each_other_are_one_rectangle():
    """Every second row out of ten leaves five pieces; the first half leaves one."""
    whole = Piece(0, 0, 10, 0, 8)
    odd = [Piece(0, row, row + 1, 0, 8) for row in range(1, 10, 2)]
    assert len(without(whole, odd)) == 5
    assert without(whole, [Piece(0, row, row + 1, 0, 8) for row in range(5)]) == (
        Piece(0, 5, 10, 0, 8),
    )
    assert without(whole, [Piece(0, row, row + 1, 0, 3) for row in range(10)]) == (
        Piece(0, 0, 10, 3, 8),
    )
