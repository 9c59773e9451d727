"""The estimator's merge: sums over shots, added up as pieces arrive.

All sums of shots are of integers, so that neither the order of arrival nor the way the work was cut
shows in the result, not even in its last bit. No shot is kept. Values that a member has estimated
by itself are pooled with them, each as the shots that it comes from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from qiskit_gateway.backends.readout.decode import Dice, pool
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.results.coverage import Coverage, book_outcomes
from qiskit_gateway.results.observables import RowGroup
from qiskit_gateway.results.pauli_sums import BlockSums, Estimates, Histogram
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.tasks import Piece


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """Consecutive rows of a task that are measured for the same observables.

    Attributes:
        start: The first of the task's rows.
        stop: The end of them.
        sums: What is summed there.
    """

    start: int
    stop: int
    sums: BlockSums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BasisStore:
    """The sums of one task: the rows of a PUB that are measured in one basis.

    Attributes:
        coverage: Which shots have arrived.
        sections: The task's rows, in order.
        lock: Held while sums and coverage do not agree; one for a PUB.
    """

    coverage: Coverage
    sections: tuple[Section, ...]
    lock: Lock

    def receive(self, piece: Piece, outcomes: Sequence[Outcome], dice: Dice) -> Receipt:
        """Add the outcomes of a piece, one per row, and say what did not arrive."""
        is_estimated = any(outcome.evs is not None for outcome in outcomes)
        additions = list(
            self._read_estimates(piece, outcomes)
            if is_estimated
            else self._sum_outcomes(piece, outcomes, dice)
        )
        # Several pieces of a row may arrive at once, in several threads.
        with self.lock:
            receipt = book_outcomes(self.coverage, piece, outcomes)
            for add in additions:
                add()
        return receipt

    def _sum_outcomes(
        self, piece: Piece, outcomes: Sequence[Outcome], dice: Dice
    ) -> Iterator[Callable[[], None]]:
        patterns, counts, ends = pool(outcomes, dice)
        histogram = Histogram(np.ascontiguousarray(patterns.T), counts, ends)
        for section, start, stop in self._find_overlaps(piece):
            here = histogram.rows(start - piece.row_start, stop - piece.row_start)
            sums = section.sums.sum_shots(here)
            yield partial(section.sums.add, start - section.start, sums)

    def _read_estimates(
        self, piece: Piece, outcomes: Sequence[Outcome]
    ) -> Iterator[Callable[[], None]]:
        for section, start, stop in self._find_overlaps(piece):
            here = outcomes[start - piece.row_start : stop - piece.row_start]
            scales = section.sums.part.weights
            none = np.zeros(len(scales))
            estimates = Estimates(
                row=start - section.start,
                shot=piece.shot_start,
                shots=np.array([0 if one.evs is None else one.shots for one in here], np.int64),
                evs=np.array([none if o.evs is None else o.evs * scales for o in here]).T,
                stds=np.array([none if o.stds is None else o.stds * scales for o in here]).T,
            )
            yield partial(section.sums.add_estimates, estimates)

    def _find_overlaps(self, piece: Piece) -> Iterator[tuple[Section, int, int]]:
        """Go through the sections that a piece has rows in, and the task's rows that these are."""
        for section in self.sections:
            start = max(section.start, piece.row_start)
            stop = min(section.stop, piece.row_stop)
            if start < stop:
                yield section, start, stop


class BasisShare(NamedTuple):
    """The share of one basis in the rows of one group."""

    store: BasisStore
    section: Section

    @property
    def shots(self) -> NDArray[np.int64]:
        """Shots that have arrived, of each row."""
        return self.store.coverage.received[self.section.start : self.section.stop]


@dataclass(slots=True, kw_only=True, eq=False)
class EstimatorStore:
    """The results of one estimator PUB, as they arrive.

    Attributes:
        pub: The PUB.
        shots: Shots of every circuit; of the basis that has most, where they differ.
        constants: For each observable its identity part, which is exact.
        upper_bound: Whether ``stds`` is Qiskit's bound in place of the standard error.
        groups: Its rows by the observables wanted, and all that is measured for them.
        lock: Held while sums and coverage do not agree.
    """

    pub: EstimatorPub
    shots: int
    constants: NDArray[np.float64]
    upper_bound: bool = False
    groups: list[tuple[RowGroup, list[BasisShare]]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def make_result(self) -> PubResult:
        """Make the PUB's result; what has not arrived is named in the metadata.

        A complete result has exactly the metadata of Qiskit's own estimators. An incomplete one
        also has ``received_shots``, an array of the PUB's shape: the fewest shots that any basis
        has of what this value needs. Where that is 0 the value is ``nan``.
        """
        size = int(np.prod(self.pub.shape, dtype=int))
        evs, stds = np.zeros(size), np.zeros(size)
        received = None
        with self.lock:
            for group, shares in self.groups:
                values, spreads = self._read_group(group, shares)
                evs[group.places], stds[group.places] = values.T, spreads.T
            if not all(s.store.coverage.complete for _, shares in self.groups for s in shares):
                received = self._count_received(size)
        shape = self.pub.shape
        metadata: dict[str, Any] = {
            "target_precision": self.pub.precision,
            "shots": self.shots,
            "circuit_metadata": self.pub.circuit.metadata,
        }
        if received is not None:
            evs[received == 0] = stds[received == 0] = np.nan
            metadata["received_shots"] = received.reshape(shape)
        data = DataBin(evs=evs.reshape(shape), stds=stds.reshape(shape), shape=shape)
        return PubResult(data, metadata=metadata)

    def _read_group(
        self, group: RowGroup, shares: Sequence[BasisShare]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read values and standard errors, shape ``(observables, rows)``."""
        shape = (len(group.observables), len(group.rows))
        values, spreads = np.zeros(shape), np.zeros(shape)
        values += self.constants[group.observables, np.newaxis]
        for share in shares:
            sums, columns = share.section.sums, share.section.sums.part.columns
            there = np.maximum(share.shots, 1)
            values[columns] += sums.values(there)
            if self.upper_bound:
                spreads[columns] += sums.bounds(there)
            else:
                # The root of the sum of the squares, which themselves may be too large for a float.
                spreads[columns] = np.hypot(spreads[columns], sums.deviations(there))
        return values, spreads

    def _count_received(self, size: int) -> NDArray[np.int64]:
        """Count for each value of the result the shots that any basis has of it at least."""
        received = np.full(size, self.shots)
        for group, shares in self.groups:
            for share in shares:
                places = group.places[:, share.section.sums.part.columns]
                received[places] = np.minimum(received[places], share.shots[:, np.newaxis])
        return received
