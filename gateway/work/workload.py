"""The work of one run, with everything the scheduler does not need to see."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.backends.interface.batch import Batch, Entry, Program, Wanted
from qiskit_gateway.backends.readout.decode import Dice
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.tasks import Piece, Shard, Task

# Shots that are put in place at once: enough to hide what each time costs, and few beside the
# results of a job that is large.
_WRITTEN_SHOTS = 1_000_000


class Store(Protocol):
    """The destination of a task's outcomes."""

    def receive(self, piece: Piece, outcomes: Sequence[Outcome], dice: Dice) -> Receipt:
        """Write the outcomes of a piece, one per row, and say what did not arrive."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of a run.

    Attributes:
        tasks: As the scheduler sees them.
        programs: The program of each task.
        rows: The parameter rows of each task, shape ``(rows, parameters)``.
        stores: Where the outcomes of each task go.
        seed: The user's seed, or ``None``.
        options: The user's options of ``backend.run``.
        notes: What the report says of how the work was stated.
        wanted: Of each task of an estimator, what its rows are measured for, in order.
    """

    tasks: tuple[Task, ...]
    programs: tuple[Program, ...]
    rows: tuple[NDArray[np.float64], ...]
    stores: tuple[Store, ...]
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wanted: tuple[tuple[Wanted, ...], ...] = ()

    def batch_of(self, shard: Shard, key: str) -> Batch:
        """Make the batch that runs a shard."""
        return Batch(
            entries=tuple(
                Entry(
                    program=self.programs[piece.task],
                    rows=self.rows[piece.task][piece.row_start : piece.row_stop],
                    wanted=tuple(_cut(self.wanted[piece.task], piece)) if self.wanted else (),
                )
                for piece in shard.pieces
            ),
            shots=shard.shots,
            kept_shots=shard.pieces[0].shots,
            seed=self._seed_of(shard),
            options=self.options,
            key=key,
        )

    def write(self, shard: Shard, outcomes: deque[Outcome]) -> Receipt:
        """Put the outcomes of a shard into their places and say what did not arrive.

        They are taken out of the queue as they are put in place, so that no large job is held twice.
        """
        dice = cache(lambda: np.random.default_rng(self._entropy_of(shard, 1)))
        receipt = Receipt()
        for piece in _cut_large(shard.pieces):
            part = [outcomes.popleft() for _ in range(piece.rows)]
            receipt += self.stores[piece.task].receive(piece, part, dice)
        return receipt

    def _seed_of(self, shard: Shard) -> int | None:
        """Return a seed that no other shard of the run has; 31 bits, as C simulators want it."""
        if self.seed is None:
            return None
        return int(self._entropy_of(shard, 0).generate_state(1)[0]) & 0x7FFF_FFFF

    def _entropy_of(self, shard: Shard, purpose: int) -> np.random.SeedSequence:
        if self.seed is None:
            return np.random.SeedSequence()
        first = shard.pieces[0]
        place = (first.task, first.row_start, first.shot_start, purpose)
        return np.random.SeedSequence(self.seed, spawn_key=place)


def _cut(wanted: Sequence[Wanted], piece: Piece) -> Iterator[Wanted]:
    """Cut out what the rows of a piece are measured for."""
    start = 0
    for one in wanted:
        stop = start + one.rows
        rows = min(stop, piece.row_stop) - max(start, piece.row_start)
        if rows == one.rows:
            yield one
        elif rows > 0:
            yield replace(one, rows=rows)
        start = stop


def _cut_large(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Cut pieces of very many shots between their rows."""
    for piece in pieces:
        rest, rows = piece, max(1, _WRITTEN_SHOTS // piece.shots)
        while rest.rows > rows:
            part, rest = rest.split_rows(rows)
            yield part
        yield rest
