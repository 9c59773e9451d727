"""Terms that can be measured together, in few bases."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.results.pauli_words import Factors, pack_bits

_PAIRS_AT_ONCE = 1 << 20


# Passes that regroup everything in another order, and the most terms for which they pay: beyond
# it a pass takes longer than the bases that it saves.
_TURNS, _MOST_TURNED = 6, 3000


def group_terms(letters: Factors) -> list[list[int]]:
    """Group letters of distinct terms so that those of a group never differ on a qubit.

    Greedy colouring, which is then done over with whole groups in another order: that never takes
    more groups and often takes fewer. The same letters in the same order always give the same
    groups.

    Args:
        letters: Shape ``(terms, qubits)``; 0 for a qubit that is not measured.
    """
    support = (letters > 0).sum(axis=1)
    # Integers of any width: one comparison of two terms takes a few operations for all qubits.
    terms = list(
        zip(_integers(letters & np.uint8(1)), _integers(letters >> np.uint8(1)), strict=True)
    )
    # Terms with the most conflicts first; and by letters, XX before YY before ZZ.
    orders = [np.lexsort((-support, -_conflicts(letters)))]
    orders.append(np.lexsort((-support, letters.max(axis=1), letters.sum(axis=1) / support)))
    groups = min((_first_fit(terms, order.tolist()) for order in orders), key=len)
    vain = 0
    for turn in range(_TURNS if len(terms) <= _MOST_TURNED else 0):
        again = groups[::-1] if turn % 2 else sorted(groups, key=len, reverse=True)
        before, groups = (
            len(groups),
            _first_fit(terms, [number for group in again for number in group]),
        )
        vain = vain + 1 if len(groups) == before else 0
        if vain == 4:
            break
    return groups


def _first_fit(terms: Sequence[tuple[int, int]], order: Sequence[int]) -> list[list[int]]:
    """Put each term into the first group whose letters it agrees with."""
    groups: list[list[int]] = []
    measured: list[tuple[int, int]] = []
    for number in order:
        mine = terms[number]
        place = next((i for i, group in enumerate(measured) if _agree(group, mine)), len(groups))
        if place == len(groups):
            groups.append([])
            measured.append((0, 0))
        groups[place].append(number)
        measured[place] = measured[place][0] | mine[0], measured[place][1] | mine[1]
    return groups


def _agree(one: tuple[int, int], other: tuple[int, int]) -> bool:
    both = (one[0] | one[1]) & (other[0] | other[1])
    return not both & ((one[0] ^ other[0]) | (one[1] ^ other[1]))


def _integers(bits: Factors) -> list[int]:
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _conflicts(letters: Factors) -> NDArray[np.intp]:
    """Count for each term the others that it cannot be measured with."""
    low, high = pack_bits((letters & 1) > 0), pack_bits((letters >> 1) > 0)
    step = max(1, _PAIRS_AT_ONCE // len(letters))
    found = []
    for start in range(0, len(letters), step):
        rows = slice(start, start + step)
        clash = np.zeros((len(letters[rows]), len(letters)), dtype=bool)
        for one, other in zip(low, high, strict=True):
            here, there = one[rows, np.newaxis], other[rows, np.newaxis]
            differ = (here ^ one) | (there ^ other)
            clash |= (differ & (here | there) & (one | other)) > 0
        found.append(clash.sum(axis=1))
    return np.concatenate(found)
