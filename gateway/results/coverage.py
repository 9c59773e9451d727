"""Which shots of a task have arrived."""

import math
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.backends.failures.errors import BackendError, bad_result
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.tasks import Piece


class Coverage:
    """Which shots of a task have arrived.

    Safe for threads: large shards are written down in threads, several at a time.

    Args:
        rows: Rows of the task.
        shots: Shots that each needs.
    """

    def __init__(self, rows: int, shots: int) -> None:
        self.received = np.zeros(rows, dtype=np.int64)
        self._shots = shots
        self._parts: dict[int, list[tuple[int, int]]] = {}
        self._lock = Lock()

    def book(self, piece: Piece) -> None:
        """Note that a rectangle has arrived.

        Raises:
            AssertionError: If any of it had arrived before: the scheduler is wrong.
        """
        with self._lock:
            if piece.shots == self._shots:
                rows = self.received[piece.row_start : piece.row_stop]
                assert not rows.any(), f"{piece} overlaps what has arrived"  # noqa: S101
                rows += piece.shots
            else:
                self._book_parts(piece)

    def _book_parts(self, piece: Piece) -> None:
        for row in range(piece.row_start, piece.row_stop):
            parts = self._parts.setdefault(row, [])
            clear = self.received[row] + piece.shots <= self._shots and all(
                stop <= piece.shot_start or piece.shot_stop <= start for start, stop in parts
            )
            assert clear, f"{piece} overlaps what has arrived"  # noqa: S101
            parts.append((piece.shot_start, piece.shot_stop))
            self.received[row] += piece.shots
            if self.received[row] == self._shots:
                del self._parts[row]

    def snapshot(self) -> "Coverage":
        """Return a copy that does not change while more arrives."""
        copy = Coverage(len(self.received), self._shots)
        with self._lock:
            copy.received[:] = self.received
            copy._parts = {row: list(parts) for row, parts in self._parts.items()}
        return copy

    def compact(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy ``(rows, shots, ...)`` with the arrived shots of each row moved to the front."""
        packed = array.copy()
        for row, parts in self._parts.items():
            arrived = [array[row, start:stop] for start, stop in sorted(parts)]
            count = sum(map(len, arrived))
            packed[row, :count] = np.concatenate(arrived)
            packed[row, count:] = 0
        return packed

    @property
    def complete(self) -> bool:
        """Every row has all its shots."""
        return bool((self.received == self._shots).all())


def book_outcomes(coverage: Coverage, piece: Piece, outcomes: Sequence[Outcome]) -> Receipt:
    """Book the rows and shots of a piece that arrived; the receipt names the rest."""
    if all(outcome.shots == piece.shots and outcome.error is None for outcome in outcomes):
        coverage.book(piece)
        return Receipt()
    missing: list[Piece] = []
    failed: list[tuple[Piece, BackendError]] = []
    top_up = 0
    for offset, outcome in enumerate(outcomes):
        _, rest = piece.split_rows(offset)
        row, _ = rest.split_rows(1)
        if outcome.error is not None:
            failed.append((row, outcome.error))
            continue
        here, short = row.split_shots(outcome.shots)
        if not here.shots:
            # Asking again for what came to nothing might never end.
            failed.append((row, bad_result("the provider returned no shots")))
            continue
        coverage.book(here)
        if short.shots:
            missing.append(short)
            top_up = max(top_up, top_up_shots(outcome, short.shots, piece.shots))
    return Receipt(missing=tuple(missing), failed=tuple(failed), top_up_shots=top_up)


# The least part of what was asked for that is asked for again: a job has a price of its own.
_LEAST_PART = 0.01
_GROWTH = 1.5


def top_up_shots(outcome: Outcome, missing: int, asked: int) -> int:
    """Find how many shots to ask for so that those come which are missing.

    A provider that loses a share of its shots loses it again. One that rounds the counts of each
    outcome makes nothing of a job in which none of them is due a whole shot. A job larger than the
    one before is not asked for.

    Args:
        outcome: What came.
        missing: Shots that did not.
        asked: Shots that were asked for.
    """
    counts = np.array([outcome.shots]) if outcome.counts is None else outcome.counts
    rates = counts / asked
    shots = missing / float(rates.sum())
    if shots > asked:  # More than half is lost: to make up for that would be dear.
        shots = missing
    else:
        while shots < asked and np.floor(rates * shots + 1e-9).sum() < missing:
            shots *= _GROWTH
    return max(math.ceil(min(shots, asked) - 1e-9), math.ceil(asked * _LEAST_PART))
