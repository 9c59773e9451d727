"""Shots that each basis needs for a precision."""

import math
from collections.abc import Sequence

import numpy as np

from qiskit_gateway.results.observables import Part

_MOST_SHOTS = 1 << 40


def shots_for(precision: float) -> int:
    """Return the shots for which a Pauli's standard error is at most ``precision``.

    It is ``1 / precision**2``, rounded up; but exactly ``n`` for ``1 / sqrt(n)``, of which
    floating point often makes a little more.

    Raises:
        ValueError: If there is no such number, or it is absurd.
    """
    if isinstance(precision, bool) or not precision > 0 or math.isinf(precision):
        raise ValueError(f"precision must be a positive, finite number, got {precision!r}")
    inverse = 1 / float(precision)
    return _round_up(inverse * inverse, precision)


def allocate_shots(parts: Sequence[Part], columns: int, precision: float) -> tuple[list[int], int]:
    """Allocate shots over bases so that each observable's standard error meets a precision.

    Whatever the state is: an observable's standard deviation in a basis is at most the sum of its
    coefficients' magnitudes there (half of them for projectors), and for that the shots of a
    basis are best proportional to this sum. Where observables share a basis it gets what the most
    demanding one needs.

    Args:
        parts: The bases.
        columns: How many observables there are.
        precision: What the standard error of each has to be.

    Returns:
        The shots of each basis, and the equal number of shots for every basis that would do the
        same.
    """
    weights = np.zeros((len(parts), columns))
    for row, part in zip(weights, parts, strict=True):
        row[part.columns] = part.weights
    # What overflows is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        relative = weights / float(precision)
        demands = relative * relative.sum(axis=0)
        equal = (relative**2).sum(axis=0).max(initial=0)
    shots = [_round_up(float(demand), precision) for demand in demands.max(axis=1, initial=0)]
    return shots, _round_up(float(equal), precision)


def _round_up(shots: float, precision: float) -> int:
    if not shots < _MOST_SHOTS:
        raise ValueError(f"a precision of {precision!r} would take {shots:g} shots of a circuit")
    nearest = round(shots)
    # A few units in the last place are rounding, not a wish for another shot.
    close = abs(shots - nearest) <= 1e-15 * shots
    return max(1, nearest if close else math.ceil(shots))
