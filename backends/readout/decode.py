"""Checked shots, moved to where they are wanted: into bit arrays, or into histograms."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.backends.failures.errors import BackendError, bad_result
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.backends.readout.packed_bits import Rows, Selection, selection_of, words

Dice = Callable[[], np.random.Generator]
"""Gives the generator of random numbers, which is made when it is first needed: seldom."""


def decode(
    outcomes: Sequence[Outcome],
    registers: Sequence[Sequence[int]],
    outs: Sequence[NDArray[np.uint8]],
    dice: Dice,
) -> tuple[BackendError | None, ...]:
    """Write the shots of each outcome into the storage of the user's bit arrays.

    Where the order of the shots is not known they are shuffled, all registers alike.

    Args:
        outcomes: What was read.
        registers: For each register the user's classical bits, lowest first.
        outs: For each register an array of shape ``(outcomes, shots, bytes)``. Of outcome ``i``
            the first ``outcomes[i].shots`` rows are written, none where it has an error.
        dice: Randomness of the shuffle, and of the choice where more shots came than were asked.

    Returns:
        For each outcome its error or ``None``.
    """
    selections: dict[int, list[Selection]] = {}
    for position, outcome in enumerate(outcomes):
        size = outcome.num_bits
        if size not in selections and outcome.error is None:
            selections[size] = [selection_of(tuple(bits), size) for bits in registers]
        rows, order = outcome.memory, None
        if rows is None and outcome.patterns is not None:
            rows = outcome.patterns
            order = np.repeat(np.arange(len(rows)), _draw_counts(outcome, dice))
            if len(rows) > 1:
                dice().shuffle(order)
        if rows is None:
            continue
        for selection, out in zip(selections[size], outs, strict=True):
            chosen = selection.of(rows)
            out[position, : outcome.shots] = chosen if order is None else chosen[order]
    return tuple(outcome.error for outcome in outcomes)


def tally(
    outcomes: Sequence[Outcome], dice: Dice
) -> tuple[tuple[NDArray[np.uint64], NDArray[np.int64]], ...]:
    """Return the histogram of each outcome; empty where it has an error.

    Args:
        outcomes: What was read.
        dice: Randomness of the choice where more shots came than were asked for.

    Returns:
        For each outcome the distinct patterns, shape ``(distinct, words)``, as 64-bit words over
        the user's bits, least significant word first, and how often each was seen.
    """
    patterns, counts, ends = pool(outcomes, dice)
    return tuple((patterns[a:b], counts[a:b]) for a, b in pairwise([0, *ends.tolist()]))


def pool(
    outcomes: Sequence[Outcome], dice: Dice
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Tally outcomes one after the other, and mark where the part of each ends."""
    found = [_count(outcome) for outcome in outcomes]
    # All at once: numpy's cost per call is more than that of one circuit's patterns.
    patterns = words(_join([rows for rows, _ in found]))
    counts = np.concatenate([seen for _, seen in found])
    ends = np.cumsum([len(seen) for _, seen in found])
    wanted = [outcome.shots for outcome in outcomes]
    sums = _sums(counts, ends).tolist()
    for number, (came, kept) in enumerate(zip(sums, wanted, strict=True)):
        if came == kept:
            continue
        drawn = _draw_counts(outcomes[number], dice)
        counts[ends[number] - len(drawn) : ends[number]] = drawn
    if not counts.all():
        seen = counts > 0
        patterns, counts, ends = patterns[seen], counts[seen], np.cumsum(_sums(seen, ends))
    return patterns, counts, ends


def _sums(values: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the values up to each end, from the end before."""
    until = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=until[1:])
    sums: NDArray[np.int64] = until[ends]
    sums[1:] -= sums[:-1].copy()
    return sums


def decode_iq(outcome: Outcome) -> NDArray[np.complex128]:
    """Return kerneled data over the user's bits: ``(shots, bits)``, or ``(bits,)`` if averaged.

    Raises:
        BackendError: If the outcome is an error, or was not read with ``meas_level=1``.
    """
    if outcome.error is not None:
        raise outcome.error
    if outcome.iq is None:
        raise bad_result("There is no kerneled data: the result was not read with meas_level=1.")
    return outcome.iq


def _count(outcome: Outcome) -> tuple[Rows, NDArray[np.int64]]:
    """Return distinct outcomes and how often each was seen, perhaps more often than asked."""
    if outcome.patterns is not None and outcome.counts is not None:
        return outcome.patterns, outcome.counts
    if outcome.memory is None:
        return np.empty((0, 1), np.uint8), np.empty(0, np.int64)
    patterns, counts = np.unique(outcome.memory, axis=0, return_counts=True)
    return patterns, counts.astype(np.int64)


def _join(parts: Sequence[Rows]) -> Rows:
    width = max(rows.shape[1] for rows in parts)
    return np.concatenate(
        [
            rows if rows.shape[1] == width else np.pad(rows, ((0, 0), (width - rows.shape[1], 0)))
            for rows in parts
        ]
    )


def _draw_counts(outcome: Outcome, dice: Dice) -> NDArray[np.int64]:
    """Return the counts, or as many of them as were asked for, drawn without replacement."""
    counts = outcome.counts
    assert counts is not None  # noqa: S101
    if counts.sum() == outcome.shots:
        return counts
    drawn: NDArray[np.int64] = dice().multivariate_hypergeometric(
        counts, outcome.shots, method="marginals"
    )
    return drawn
