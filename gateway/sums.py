"""The estimator's merge: sums over shots, added up as pieces arrive.

All sums are of integers, so that neither the order of arrival nor the way the work was cut shows
in the result, not even in its last bit. No shot is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from qiskit_gateway.backends.decoding import pooled
from qiskit_gateway.backends.outcomes import Outcome
from qiskit_gateway.measure import Part, Reading, RowGroup, Words, largest_deviations
from qiskit_gateway.merge import Coverage, Receipt, book_outcomes
from qiskit_gateway.workload import Piece

# Up to so many bits all patterns are tabulated; beyond that only those that occurred.
_TABLE_BITS = 8
# Values computed together: what stays in a processor's cache.
_VALUES = 1 << 16
# Bits of the finest rounding of an observable's value, see BlockSums.
_FINEST = 25


class Histogram(NamedTuple):
    """The patterns of some rows, one row after the other.

    Attributes:
        words: Shape ``(words, patterns)``.
        counts: How often each was seen.
        ends: Where the patterns of each row end.
    """

    words: Words
    counts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def rows(self, start: int, stop: int) -> "Histogram":
        """Return a part of the rows."""
        if start == 0 and stop == len(self.ends):
            return self
        first = int(self.ends[start - 1]) if start else 0
        ends = self.ends[start:stop]
        patterns = slice(first, int(ends[-1]))
        return Histogram(self.words[:, patterns], self.counts[patterns], ends - first)


class BlockSums:
    """Sums over the shots of some rows that were measured in one basis for the same observables.

    Of each term the values are summed, of those with projectors their squares too. To know how
    terms vary together there is more for each observable with several terms here: its own value in
    each shot, rounded to an integer number of units, and the square of that. A unit is so small
    that nothing overflows, which is about a hundred-millionth of the largest value for 4096 shots.

    Args:
        part: What is measured.
        rows: How many rows.
        shots: Shots that each will have.
        covariances: Whether observables' own values are summed.
    """

    def __init__(self, part: Part, rows: int, shots: int, *, covariances: bool) -> None:
        self.part = part
        self._reading = Reading(part.basis, part.factors)
        self._projectors = np.flatnonzero(self._reading.has_projectors)
        sizes = np.diff(part.starts, append=len(part.terms))
        self._joint = np.flatnonzero(sizes > 1) if covariances else np.empty(0, np.intp)
        bits = min(_FINEST, (62 - shots.bit_length()) // 2)
        largest = np.add.reduceat(np.abs(part.coefficients), part.starts)[self._joint]
        self._units = largest / (1 << bits)
        self._coefficients = np.zeros((len(self._joint), len(part.factors)))
        for row, column in zip(self._coefficients, self._joint, strict=True):
            mine = slice(part.starts[column], part.starts[column] + sizes[column])
            row[part.terms[mine]] = part.coefficients[mine]
        self._coefficients /= self._units[:, np.newaxis]
        self._table: NDArray[np.int64] | None = None
        quantities = len(part.factors) + len(self._projectors) + 2 * len(self._joint)
        self._sums = np.zeros((quantities, rows), np.int64)

    # -- taking in ---------------------------------------------------------------------------

    def add(self, start: int, sums: NDArray[np.int64]) -> None:
        """Add what :meth:`summed` returned for rows from ``start`` on."""
        self._sums[:, start : start + sums.shape[1]] += sums

    def summed(self, histogram: Histogram) -> NDArray[np.int64]:
        """Return the sums over the shots of some rows, shape ``(quantities, rows)``."""
        if self._reading.num_bits <= _TABLE_BITS:
            return self._summed_by_table(histogram)
        sums = np.zeros((len(self._sums), len(histogram.ends)), np.int64)
        row_of = _row_of(histogram)
        step = max(1, _VALUES // len(sums))
        for start in range(0, len(row_of), step):
            here = slice(start, start + step)
            values = self._quantities(histogram.words[:, here])
            values *= histogram.counts[here]
            row = row_of[here]
            firsts = np.flatnonzero(np.diff(row, prepend=-1))
            sums[:, row[firsts]] += np.add.reduceat(values, firsts, axis=1)
        return sums

    def _summed_by_table(self, histogram: Histogram) -> NDArray[np.int64]:
        patterns, rows = 1 << self._reading.num_bits, len(histogram.ends)
        if self._table is None:
            self._table = self._quantities(np.arange(patterns, dtype=np.uint64)[np.newaxis])
        cells = _row_of(histogram) * patterns + histogram.words[0].astype(np.int64)
        counts = np.zeros(rows * patterns, np.int64)
        np.add.at(counts, cells, histogram.counts)
        sums: NDArray[np.int64] = self._table @ counts.reshape(rows, patterns).T
        return sums

    def _quantities(self, words: Words) -> NDArray[np.int64]:
        """Return what is summed, for each pattern."""
        read = self._reading.values(words)
        values = np.empty((len(self._sums), read.shape[1]), np.int64)
        first, joint = len(read) + len(self._projectors), len(self._joint)
        values[: len(read)] = read
        values[len(read) : first] = read[self._projectors] != 0
        if joint:
            np.rint(
                self._coefficients @ read.astype(float),
                out=values[first : first + joint],
                casting="unsafe",
            )
            np.square(values[first : first + joint], out=values[first + joint :])
        return values

    # -- giving out --------------------------------------------------------------------------

    def values(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the basis adds to each observable, shape ``(columns, rows)``.

        Args:
            shots: How many shots of each row have arrived, none of them 0.
        """
        part = self.part
        means = self._sums[: len(part.factors)] / shots
        return np.add.reduceat(
            part.coefficients[:, np.newaxis] * means[part.terms], part.starts, axis=0
        )

    def variances(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the variance of what the basis adds to each observable."""
        part, terms = self.part, len(self.part.factors)
        lone = part.coefficients[part.starts, np.newaxis] ** 2
        variances = lone * self._term_variances(shots)[part.terms[part.starts]]
        if len(self._joint):
            first = terms + len(self._projectors)
            sums, squares = np.split(self._sums[first:], 2)
            spread = _variances(sums, squares, shots) * self._units[:, np.newaxis] ** 2
            largest = part.weights[self._joint, np.newaxis] ** 2
            variances[self._joint] = np.where(shots == 1, largest, spread)
        result: NDArray[np.float64] = variances / shots
        return result

    def bounds(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return an upper bound of the standard deviation: terms as if all varied together."""
        part = self.part
        deviations = np.sqrt(self._term_variances(shots))[part.terms]
        deviations *= np.abs(part.coefficients)[:, np.newaxis]
        return np.add.reduceat(deviations, part.starts, axis=0) / np.sqrt(shots)

    def _term_variances(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        terms = len(self.part.factors)
        squares = np.broadcast_to(shots, (terms, len(shots))).copy()
        squares[self._projectors] = self._sums[terms : terms + len(self._projectors)]
        spread = _variances(self._sums[:terms], squares, shots)
        return np.where(
            shots == 1, largest_deviations(self.part.factors)[:, np.newaxis] ** 2, spread
        )


def _row_of(histogram: Histogram) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(histogram.ends)), np.diff(histogram.ends, prepend=0))


def _variances(
    sums: NDArray[np.int64], squares: NDArray[np.int64], shots: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the variance of one shot among those that arrived.

    Squares are moved to near the mean in integers, so that nothing cancels: values that do not
    vary have a variance of exactly 0.
    """
    centre, rest = np.divmod(sums, shots)
    moved = squares - centre * (sums + rest)
    spread: NDArray[np.float64] = (moved - rest * (rest / shots)) / shots
    return np.maximum(spread, 0.0)


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

    def receive(
        self, piece: Piece, outcomes: Sequence[Outcome], rng: np.random.Generator
    ) -> Receipt:
        """Add the outcomes of a piece, one per row, and say what did not arrive."""
        patterns, counts, ends = pooled(outcomes, rng)
        histogram = Histogram(np.ascontiguousarray(patterns.T), counts, ends)
        found = []
        for section in self.sections:
            start = max(section.start, piece.row_start)
            stop = min(section.stop, piece.row_stop)
            if start < stop:
                here = histogram.rows(start - piece.row_start, stop - piece.row_start)
                found.append((section.sums, start - section.start, section.sums.summed(here)))
        # Several pieces of a row may arrive at once, in several threads.
        with self.lock:
            receipt = book_outcomes(self.coverage, piece, outcomes)
            for block, first, sums in found:
                block.add(first, sums)
        return receipt


class Share(NamedTuple):
    """What one basis has for the rows of one group."""

    store: BasisStore
    section: Section

    @property
    def shots(self) -> NDArray[np.int64]:
        """Return how many shots have arrived of each row."""
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
    groups: list[tuple[RowGroup, list[Share]]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def result(self) -> PubResult:
        """Return the PUB's result; what has not arrived is named in the metadata.

        A complete result has exactly the metadata of Qiskit's own estimators. An incomplete one
        also has ``received_shots``, an array of the PUB's shape: the fewest shots that any basis
        has of what this value needs. Where that is 0 the value is ``nan``.
        """
        size = int(np.prod(self.pub.shape, dtype=int))
        evs, stds = np.zeros(size), np.zeros(size)
        received = np.full(size, self.shots)
        with self.lock:
            complete = all(s.store.coverage.complete for _, shares in self.groups for s in shares)
            for group, shares in self.groups:
                values = self._of_group(group, shares)
                for array, value in zip((evs, stds, received), values, strict=True):
                    array[group.places] = value.T
        shape = self.pub.shape
        metadata: dict[str, Any] = {
            "target_precision": self.pub.precision,
            "shots": self.shots,
            "circuit_metadata": self.pub.circuit.metadata,
        }
        if not complete:
            metadata["received_shots"] = received.reshape(shape)
        data = DataBin(evs=evs.reshape(shape), stds=stds.reshape(shape), shape=shape)
        return PubResult(data, metadata=metadata)

    def _of_group(
        self, group: RowGroup, shares: Sequence[Share]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return values, standard errors and shots received, shape ``(observables, rows)``."""
        shape = (len(group.observables), len(group.rows))
        values, spreads = np.zeros(shape), np.zeros(shape)
        values += self.constants[group.observables, np.newaxis]
        received = np.full(shape, self.shots)
        for share in shares:
            sums, columns = share.section.sums, share.section.sums.part.columns
            there = np.maximum(share.shots, 1)
            spread = sums.bounds(there) if self.upper_bound else sums.variances(there)
            missing = np.where(share.shots > 0, 0.0, np.nan)
            values[columns] += sums.values(there) + missing
            spreads[columns] += spread + missing
            received[columns] = np.minimum(received[columns], share.shots)
        return values, spreads if self.upper_bound else np.sqrt(spreads), received
