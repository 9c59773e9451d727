"""Sums over the shots of some rows, of all that was measured in one basis.

All sums are of integers, so that neither the order of arrival nor the way the work was cut shows
in the result, not even in its last bit. No shot is kept. Expectation values that members have
estimated by themselves count as many shots as they come from, and are added up in the order of
these.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.results.observables import Part, Reading, bound_deviations
from qiskit_gateway.results.pauli_words import Words

# Up to this many bits all patterns are tabulated; beyond that only those that occurred.
_TABLE_BITS = 8


# Values computed together: what stays in a processor's cache.
_VALUES = 1 << 16


# Bits of the finest rounding of an observable's value, see BlockSums.
_FINEST = 25


_OfShots = Callable[[NDArray[np.int64]], NDArray[np.float64]]


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


class Quantities:
    """Sums over the shots of rows measured in one basis for the same observables.

    Of each term the values are summed, of those with projectors their squares too. To know how
    terms vary together there is more for each observable with several terms here: its own value in
    each shot, rounded to an integer number of units, and the square of that. A unit is so small
    that nothing overflows, which is about a hundred-millionth of the largest value for 4096 shots.

    Args:
        part: What is measured.
        shots: How many shots a row will have.
        covariances: Whether observables' own values are summed.

    Attributes:
        part: As given.
        num_bits: How many bits each shot has.
        projectors: The terms that have projectors in them.
        joint: The columns of observables with several terms here, if their own values are summed.
        units: For each of these its unit.
        size: How many sums there are of a row.
        lone_terms: The first term of each column, its only one where it is not joint.
        scales: For each column a power of two of the size of its values. Squares are taken of what
            is divided by it, so that they neither overflow nor vanish.
        lone_weights: The square of that term's coefficient, scaled.
        joint_weights: The squares of the units, scaled.
        widest_terms: The largest variance of each term's value.
        widest_joint: The same of each joint column, scaled.
    """

    def __init__(self, part: Part, shots: int, covariances: bool) -> None:  # noqa: FBT001  A key.
        self.part = part
        self._reading = Reading(part.basis, part.factors)
        self.num_bits = self._reading.num_bits
        self.projectors = np.flatnonzero(self._reading.has_projectors)
        sizes = np.diff(part.starts, append=len(part.terms))
        self.joint = np.flatnonzero(sizes > 1) if covariances else np.empty(0, np.intp)
        bits = min(_FINEST, (62 - shots.bit_length()) // 2)
        largest = np.add.reduceat(np.abs(part.coefficients), part.starts)[self.joint]
        self.units = largest / (1 << bits)
        self._coefficients = np.zeros((len(self.joint), len(part.factors)))
        for row, column in zip(self._coefficients, self.joint, strict=True):
            mine = slice(part.starts[column], part.starts[column] + sizes[column])
            row[part.terms[mine]] = part.coefficients[mine]
        self._coefficients /= self.units[:, np.newaxis]
        self.size = len(part.factors) + len(self.projectors) + 2 * len(self.joint)
        self.lone_terms = part.terms[part.starts]
        self.scales = np.ldexp(1.0, np.frexp(part.weights)[1] - 1)[:, np.newaxis]
        self.lone_weights = (part.coefficients[part.starts, np.newaxis] / self.scales) ** 2
        self.joint_weights = (self.units[:, np.newaxis] / self.scales[self.joint]) ** 2
        self.widest_terms = bound_deviations(part.factors)[:, np.newaxis] ** 2
        widest = part.weights[self.joint, np.newaxis] / self.scales[self.joint]
        self.widest_joint = widest**2

    def of(self, words: Words) -> NDArray[np.int64]:
        """Compute every quantity for each pattern, shape ``(size, patterns)``."""
        read = self._reading.values(words)
        values = np.empty((self.size, read.shape[1]), np.int64)
        first, joint = len(read) + len(self.projectors), len(self.joint)
        values[: len(read)] = read
        values[len(read) : first] = read[self.projectors] != 0
        if joint:
            np.rint(
                self._coefficients @ read.astype(float),
                out=values[first : first + joint],
                casting="unsafe",
            )
            np.square(values[first : first + joint], out=values[first + joint :])
        return values

    @cached_property
    def table(self) -> NDArray[np.int64]:
        """Every quantity of every pattern that there can be."""
        return self.of(np.arange(1 << self.num_bits, dtype=np.uint64)[np.newaxis])


class Estimates(NamedTuple):
    """Expectation values that a member has estimated by itself, of consecutive rows.

    Attributes:
        row: The first row.
        shot: The first of the shots that they come from; with the row, their place among others.
        shots: How many shots each row comes from; 0 where nothing came.
        evs: The values, as they are for these observables, shape ``(columns, rows)``.
        stds: Their standard errors.
    """

    row: int
    shot: int
    shots: NDArray[np.int64]
    evs: NDArray[np.float64]
    stds: NDArray[np.float64]


class BlockSums:
    """Sums over the shots of some rows that were measured in one basis for the same observables.

    Args:
        quantities: What is summed.
        rows: How many rows.
    """

    def __init__(self, quantities: Quantities, rows: int) -> None:
        self.part = quantities.part
        self._quantities = quantities
        self._sums = np.zeros((quantities.size, rows), np.int64)
        self._estimates: list[Estimates] = []

    # -- taking in ---------------------------------------------------------------------------

    def add(self, start: int, sums: NDArray[np.int64]) -> None:
        """Add the result of :meth:`sum_shots` for rows from ``start`` on."""
        self._sums[:, start : start + sums.shape[1]] += sums

    def add_estimates(self, estimates: Estimates) -> None:
        """Add what was estimated elsewhere; each counts as its number of shots."""
        self._estimates.append(estimates)
        self._estimates.sort(key=lambda one: (one.row, one.shot))

    def sum_shots(self, histogram: Histogram) -> NDArray[np.int64]:
        """Sum over the shots of some rows, shape ``(quantities, rows)``."""
        if self._quantities.num_bits <= _TABLE_BITS:
            return self._sum_by_table(histogram)
        sums = np.zeros((len(self._sums), len(histogram.ends)), np.int64)
        row_of = _row_of(histogram)
        step = max(1, _VALUES // len(sums))
        for start in range(0, len(row_of), step):
            here = slice(start, start + step)
            values = self._quantities.of(histogram.words[:, here])
            values *= histogram.counts[here]
            row = row_of[here]
            firsts = np.flatnonzero(np.diff(row, prepend=-1))
            sums[:, row[firsts]] += np.add.reduceat(values, firsts, axis=1)
        return sums

    def _sum_by_table(self, histogram: Histogram) -> NDArray[np.int64]:
        patterns, rows = 1 << self._quantities.num_bits, len(histogram.ends)
        cells = _row_of(histogram) * patterns + histogram.words[0].astype(np.int64)
        counts = np.zeros(rows * patterns, np.int64)
        np.add.at(counts, cells, histogram.counts)
        sums: NDArray[np.int64] = self._quantities.table @ counts.reshape(rows, patterns).T
        return sums

    # -- giving out --------------------------------------------------------------------------

    def values(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the basis's part of each expectation value, shape ``(columns, rows)``.

        Args:
            shots: How many shots of each row have arrived, none of them 0.
        """
        if not self._estimates:
            return self._means(shots)
        return self._pool(shots, self._means, lambda one: one.shots * one.evs) / shots

    def deviations(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the standard error of the basis's part of each expectation value."""
        if not self._estimates:
            deviations: NDArray[np.float64] = (
                np.sqrt(self._variances(shots)) * self._quantities.scales
            )
            return deviations
        return self._spread(shots, self._variances)

    def bounds(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bound the standard deviation from above: terms as if all varied together.

        What members have estimated has the standard error that they told.
        """
        if not self._estimates:
            return self._bounds(shots)
        scales = self._quantities.scales
        return self._spread(shots, lambda own: (self._bounds(own) / scales) ** 2)

    def _spread(self, shots: NDArray[np.int64], own: _OfShots) -> NDArray[np.float64]:
        scales = self._quantities.scales
        spread = self._pool(
            shots,
            own,
            lambda one: (one.shots * (one.stds / scales)) ** 2,
            lambda number: number.astype(float) ** 2,
        )
        deviations: NDArray[np.float64] = np.sqrt(spread / shots.astype(float) ** 2) * scales
        return deviations

    def _pool(
        self,
        shots: NDArray[np.int64],
        own: _OfShots,
        theirs: Callable[[Estimates], NDArray[np.float64]],
        weigh: Callable[[NDArray[np.int64]], NDArray[Any]] = lambda number: number,
    ) -> NDArray[np.float64]:
        """Add up what was seen in our own shots, weighed by their number, and what was estimated."""
        counted = shots.copy()
        for one in self._estimates:
            counted[one.row : one.row + len(one.shots)] -= one.shots
        pooled: NDArray[np.float64] = own(np.maximum(counted, 1)) * weigh(counted)
        for one in self._estimates:
            pooled[:, one.row : one.row + len(one.shots)] += theirs(one)
        return pooled

    def _means(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        part = self.part
        means = self._sums[: len(part.factors)] / shots
        return np.add.reduceat(
            part.coefficients[:, np.newaxis] * means[part.terms], part.starts, axis=0
        )

    def _variances(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the variance of each column's value, divided by the square of its scale."""
        known = self._quantities
        variances = known.lone_weights * self._term_variances(shots)[known.lone_terms]
        if joint := len(known.joint):
            sums, squares = self._sums[-2 * joint : -joint], self._sums[-joint:]
            spread = _variances(sums, squares, shots) * known.joint_weights
            variances[known.joint] = np.where(shots == 1, known.widest_joint, spread)
        result: NDArray[np.float64] = variances / shots
        return result

    def _bounds(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        part = self.part
        deviations = np.sqrt(self._term_variances(shots))[part.terms]
        deviations *= np.abs(part.coefficients)[:, np.newaxis]
        return np.add.reduceat(deviations, part.starts, axis=0) / np.sqrt(shots)

    def _term_variances(self, shots: NDArray[np.int64]) -> NDArray[np.float64]:
        terms = len(self.part.factors)
        squares = np.empty((terms, len(shots)), np.int64)
        squares[:] = shots
        squares[self._quantities.projectors] = self._sums[
            terms : terms + len(self._quantities.projectors)
        ]
        spread = _variances(self._sums[:terms], squares, shots)
        return np.where(shots == 1, self._quantities.widest_terms, spread)


def _row_of(histogram: Histogram) -> NDArray[np.int64]:
    sizes = histogram.ends.copy()
    sizes[1:] -= histogram.ends[:-1]
    return np.repeat(np.arange(len(sizes)), sizes)


def _variances(
    sums: NDArray[np.int64], squares: NDArray[np.int64], shots: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute the variance of one shot among the shots that arrived.

    Squares are moved to near the mean in integers, so that nothing cancels: values that do not
    vary have a variance of exactly 0.
    """
    centre, rest = np.divmod(sums, shots)
    moved = squares - centre * (sums + rest)
    spread: NDArray[np.float64] = (moved - rest * (rest / shots)) / shots
    return np.maximum(spread, 0.0)
