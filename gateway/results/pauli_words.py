"""Terms as arrays: a factor for each qubit, and bits packed into words."""

import numpy as np
from numpy.typing import NDArray

Factors = NDArray[np.uint8]


Words = NDArray[np.uint64]


# How SparseObservable writes a factor: the letter in two bits, and whether it is the projector on
# the eigenvalue -1 or on +1.
LETTER, MINUS, PLUS = 0b0011, 0b0100, 0b1000


_LETTERS = "IZXY"


def write_pauli_label(letters: Factors) -> str:
    """Write the Pauli label of one letter per qubit."""
    return "".join(_LETTERS[letter] for letter in letters[::-1])


def pack_bits(bits: NDArray[np.bool_]) -> Words:
    """Pack rows of bits, lowest first, into words, shape ``(words, rows)``."""
    words = max(1, -(-bits.shape[1] // 64))
    padded = np.zeros((len(bits), 64 * words), dtype=bool)
    padded[:, : bits.shape[1]] = bits
    packed = np.packbits(padded, axis=1, bitorder="little").view("<u8")
    return np.ascontiguousarray(packed.T.astype(np.uint64))
