"""Observables, the bases that they are measured in, and how their values are read off the bits.

A *term* is a product of one-qubit factors: Paulis, and projectors on their eigenstates (``0 1`` of
Z, ``+ -`` of X, ``r l`` of Y). Measuring every qubit in the letter of its factor gives bits that a
term is a function of, so projectors are never written out as sums of Paulis. All functions here
are from values to values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparseObservable

from qiskit_gateway.results.grouping import group_terms
from qiskit_gateway.results.pauli_words import (
    LETTER,
    MINUS,
    Factors,
    Words,
    pack_bits,
    write_pauli_label,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observables:
    """The observables of a PUB as sums of distinct terms.

    Attributes:
        factors: Every distinct term but the identity, shape ``(terms, qubits)``: the factor on
            each qubit as ``SparseObservable.BitTerm`` has it, 0 for none.
        terms: For each observable its terms, as rows of ``factors``,
        coefficients: and their coefficients.
        constants: For each observable the coefficient of the identity.
    """

    factors: Factors
    terms: tuple[NDArray[np.intp], ...]
    coefficients: tuple[NDArray[np.float64], ...]
    constants: NDArray[np.float64]

    @classmethod
    def of(cls, array: ObservablesArray) -> "Observables":
        """Read the observables of an array, in its order.

        Raises:
            ValueError: If a coefficient is not finite.
        """
        numbers: dict[bytes, int] = {bytes(array.num_qubits): -1}
        terms, coefficients, constants = [], [], []
        for observable in array.sparse_observables_array().reshape(-1):
            found = [
                numbers.setdefault(row.tobytes(), len(numbers) - 1)
                for row in _factors_of(observable)
            ]
            ids, weights = np.array(found, dtype=np.intp), np.real(observable.coeffs)
            if not np.isfinite(weights).all():
                raise ValueError(
                    "coefficients of observables must be finite numbers, and some are not"
                )
            terms.append(ids[ids >= 0])
            coefficients.append(np.asarray(weights[ids >= 0], dtype=float))
            constants.append(float(weights[ids < 0].sum()))
        rows = np.frombuffer(b"".join(numbers), np.uint8).reshape(len(numbers), -1)[1:]
        return cls(
            factors=rows,
            terms=tuple(terms),
            coefficients=tuple(coefficients),
            constants=np.array(constants, dtype=float),
        )


def _factors_of(observable: object) -> Factors:
    """Return the factors of a ``SparseObservable``, shape ``(terms, qubits)``."""
    ends = np.asarray(observable.boundaries).astype(np.intp)  # type: ignore[attr-defined]
    sizes = ends[1:] - ends[:-1]
    shape = (len(sizes), observable.num_qubits)  # type: ignore[attr-defined]
    factors = np.zeros(shape, np.uint8)
    term = np.repeat(np.arange(len(sizes)), sizes)
    indices = np.asarray(observable.indices)  # type: ignore[attr-defined]
    factors[term, indices] = np.asarray(observable.bit_terms)  # type: ignore[attr-defined]
    return factors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowGroup:
    """Parameter rows for which the same observables are wanted.

    Attributes:
        rows: The rows.
        observables: The observables, by number.
        places: Where each row and observable is in the flat result, shape
            ``(rows, observables)``.
    """

    rows: NDArray[np.intp]
    observables: NDArray[np.intp]
    places: NDArray[np.intp]


def group_rows(observables: tuple[int, ...], parameters: tuple[int, ...]) -> tuple[RowGroup, ...]:
    """Group parameter rows by the observables that broadcasting asks of them.

    Args:
        observables: Shape of the observables.
        parameters: Shape of the parameter values.
    """
    shape = np.broadcast_shapes(observables, parameters)
    observable, row = (
        np.broadcast_to(np.arange(math.prod(own)).reshape(own), shape).reshape(-1)
        for own in (observables, parameters)
    )
    if not row.size:
        return ()
    # Every row meets equally many observables, each of them once.
    places = np.argsort(row, kind="stable").reshape(math.prod(parameters), -1)
    wanted = observable[places]
    members: dict[bytes, list[int]] = {}
    for number, asked in enumerate(wanted):
        members.setdefault(asked.tobytes(), []).append(number)
    return tuple(
        RowGroup(rows=np.array(rows), observables=wanted[rows[0]], places=places[rows])
        for rows in members.values()
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The terms of some observables that one basis measures.

    An *entry* is one term of one observable; the entries of an observable are adjacent.

    Attributes:
        basis: A Pauli label, qubit 0 rightmost.
        factors: The terms measured in it.
        columns: The observables that have any of them, ascending, in the caller's numbering.
        starts: The first entry of each of these.
        terms: For each entry its term, as a row of ``factors``,
        coefficients: and its coefficient.
    """

    basis: str
    factors: Factors
    columns: NDArray[np.intp]
    starts: NDArray[np.intp]
    terms: NDArray[np.intp]
    coefficients: NDArray[np.float64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Bound the standard deviation of one shot, for each column."""
        spreads = bound_deviations(self.factors)[self.terms]
        return np.add.reduceat(np.abs(self.coefficients) * spreads, self.starts)

    def scale_observables(self) -> tuple[SparseObservable, ...]:
        """Make the observable of each column, divided by its weight: a shot deviates by 1 at most."""
        weights = np.where(self.weights > 0, self.weights, 1.0)
        coefficients = self.coefficients / np.repeat(weights, self._sizes)
        entries = np.split(np.arange(len(self.terms)), self.starts[1:])
        return tuple(
            _make_observable(self.factors[self.terms[mine]], coefficients[mine]) for mine in entries
        )

    @property
    def _sizes(self) -> NDArray[np.intp]:
        return np.diff(self.starts, append=len(self.terms))


def _make_observable(factors: Factors, coefficients: NDArray[np.float64]) -> SparseObservable:
    terms, qubits = np.nonzero(factors)
    return SparseObservable.from_raw_parts(
        factors.shape[1],
        coefficients.astype(complex),
        [SparseObservable.BitTerm(int(code)) for code in factors[terms, qubits]],
        qubits.tolist(),
        [0, *np.cumsum(np.count_nonzero(factors, axis=1)).tolist()],
    )


def bound_deviations(factors: Factors) -> NDArray[np.float64]:
    """Bound the standard deviation of one shot, for each term.

    A product that has a Pauli in it is between -1 and 1, a product of projectors only 0 or 1.
    """
    has_pauli = ((factors > 0) & (factors <= LETTER)).any(axis=1)
    return np.where(has_pauli, 1.0, 0.5)


def parts_of(
    observables: Observables, wanted: Sequence[int] | NDArray[np.intp], *, abelian: bool = True
) -> tuple[Part, ...]:
    """Find the bases that some observables are measured in, and what of them each measures.

    Args:
        observables: All observables.
        wanted: Which of them; columns are places in this sequence.
        abelian: Whether terms that commute qubit by qubit share a basis. Otherwise every
            Pauli label is a basis of its own.
    """
    sizes = [len(observables.terms[number]) for number in wanted]
    if not sum(sizes):
        return ()
    column = np.repeat(np.arange(len(sizes)), sizes)
    term = np.concatenate([observables.terms[number] for number in wanted])
    coefficient = np.concatenate([observables.coefficients[number] for number in wanted])
    needed, term = np.unique(term, return_inverse=True)
    factors = observables.factors[needed]
    letters, letters_of = np.unique(factors & LETTER, axis=0, return_inverse=True)
    groups = group_terms(letters) if abelian else [[number] for number in range(len(letters))]
    return tuple(
        _make_part(letters[group], factors, np.isin(letters_of, group), (column, term, coefficient))
        for group in groups
    )


def _make_part(
    letters: Factors,
    factors: Factors,
    chosen: NDArray[np.bool_],
    entries: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]],
) -> Part:
    mine = chosen[entries[1]]
    column, term, coefficient = entries[0][mine], entries[1][mine], entries[2][mine]
    columns, starts = np.unique(column, return_index=True)
    return Part(
        basis=write_pauli_label(letters.max(axis=0)),
        factors=factors[chosen],
        columns=columns,
        starts=starts,
        terms=(np.cumsum(chosen) - 1)[term],
        coefficients=coefficient,
    )


class Reading:
    """The masks that read terms off the bits of a shot, one bit for each measured qubit.

    Args:
        basis: The label of what was measured, qubit 0 rightmost.
        factors: The terms; each letter of theirs is the basis's.
    """

    def __init__(self, basis: str, factors: Factors) -> None:
        measured = [qubit for qubit, letter in enumerate(reversed(basis)) if letter != "I"]
        bits = factors[:, measured]
        is_projector = bits > LETTER
        self.num_bits = len(measured)
        self.has_projectors = is_projector.any(axis=1)
        masks = (bits > 0) & ~is_projector, is_projector, (bits & MINUS) > 0
        # What is half as wide takes half the time.
        width = np.uint64 if self.num_bits > 32 else np.uint32
        self._signs, self._fixed, self._wanted = (pack_bits(mask).astype(width) for mask in masks)

    def values(self, words: Words) -> NDArray[np.int8]:
        """Return the value of each term, -1, 0 or 1, for each pattern.

        Args:
            words: The patterns, shape ``(words, patterns)``, least significant word first.
        """
        words = words.astype(self._signs.dtype)
        odd = words[0] & self._signs[0, :, np.newaxis]
        for word, mask in zip(words[1:], self._signs[1:], strict=True):
            odd ^= word & mask[:, np.newaxis]
        parities = (np.bitwise_count(odd) & np.uint8(1)).view(np.int8)
        values: NDArray[np.int8] = np.int8(1) - np.int8(2) * parities
        for term in np.flatnonzero(self.has_projectors):
            for word, fixed, wanted in zip(words, self._fixed, self._wanted, strict=True):
                values[term] *= (word & fixed[term]) == wanted[term]
        return values
