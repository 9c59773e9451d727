"""Shots as packed rows of bytes, and what is done to many of them at once.

A *row* is one shot in the convention of :class:`~qiskit.primitives.BitArray`: big-endian bytes,
bit 0 is the least significant bit of the last byte, bits beyond the width are 0.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from mmap import ACCESS_COPY, mmap

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint8]

# Texts and characters parsed at once: enough to hide numpy's cost per call, few enough to stay in
# the cache and below the size from which the allocator asks the kernel for every array.
_TEXTS, _CHARACTERS = 24_000, 200_000
# What is smaller is quicker to copy than to ask the system for.
_APART_BYTES = 65_536
_ZERO, _LETTER_A, _MARK, _GAP = ord("0"), ord("a"), ord("x"), "\n"
# The last bytes of a word, by their number.
_OWN = np.array([(1 << 64) - (1 << 64 - 8 * number) for number in range(9)], np.uint64)


def num_bytes(num_bits: int) -> int:
    """Number of bytes of a row of bits."""
    return (num_bits + 7) // 8


def rows_of_integers(values: Iterable[int], width: int) -> Rows:
    """Return non-negative integers as rows of ``width`` bytes each."""
    packed = b"".join([value.to_bytes(width, "big") for value in values])
    return np.frombuffer(packed, np.uint8).reshape(-1, width)


def copy_apart(rows: Rows) -> Rows:
    """Copy rows into memory of their own, which the system has back as soon as they are gone.

    An allocator keeps what it is given back in small parts, however much they are together.
    """
    if rows.nbytes < _APART_BYTES:
        return rows.copy()
    # Not shared with children that are forked.
    copied = np.frombuffer(mmap(-1, rows.nbytes, access=ACCESS_COPY), np.uint8).reshape(rows.shape)
    copied[:] = rows
    return copied


def rows_of_hex(
    groups: Iterable[Sequence[str]], width: int, *, loose: Iterable[Sequence[str]] = ()
) -> Rows:
    """Return canonical hexadecimal texts as rows, group after group.

    Canonical is what Aer writes: ``0x``, lower case, no leading zeros. So distinct texts have
    distinct rows.

    Args:
        groups: The texts.
        width: How many bytes a row needs. It has more, zeros in front: up to a multiple of 4,
            but for rows of a single byte.
        loose: More texts, which are read faster. That each of them begins with ``0x`` is the
            caller's to know: where some do not, others may be taken to end elsewhere (``0x50 x1``
            reads as ``0x5 0x1``).

    Raises:
        TypeError: If some text is no string.
        ValueError: If some text is not canonical, or wider than ``width`` bytes.
    """
    most = min(_TEXTS, _CHARACTERS // (2 * width + 2) + 1)
    parts = [_parse(batch, width, _GAP) for batch in _batches(groups, most)]
    parts += [_parse(batch, width, "") for batch in _batches(loose, most)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _batches(groups: Iterable[Sequence[str]], most: int) -> Iterator[list[Sequence[str]]]:
    """Yield the groups, cut and put together so that each batch has about ``most`` texts."""
    batch: list[Sequence[str]] = []
    size = 0
    for group in groups:
        for start in range(0, len(group), most):
            part = group if len(group) <= most else group[start : start + most]
            if size + len(part) > most:
                yield batch
                batch, size = [], 0
            batch.append(part)
            size += len(part)
    if batch:
        yield batch


def _parse(groups: Sequence[Sequence[str]], width: int, gap: str) -> Rows:
    # All texts are joined and parsed as one. As each has exactly one "x", at its second place,
    # the x's tell where each text begins and ends; one more beginning marks the end of the last.
    # The zeros in front are room to read too far back.
    count, room = sum(map(len, groups)), _room(width)
    text = gap.join(["0" * room, *map(gap.join, groups), "0x"])
    chars = np.frombuffer(text.encode("ascii"), np.uint8)
    is_mark = chars == _MARK
    is_letter = chars - np.uint8(_LETTER_A) < 6
    digits = np.count_nonzero(is_letter) + np.count_nonzero(chars - np.uint8(_ZERO) < 10)
    if not is_mark[room + len(gap) + 1] or np.count_nonzero(is_mark) != count + 1:
        raise ValueError("a text does not have one x, at its second place")
    if digits + (count + 1) * (1 + len(gap)) != len(chars):
        raise ValueError("a text has characters that are no hexadecimal digits")
    if (is_mark[1:] & (chars[:-1] != _ZERO)).any() or (
        gap and (is_mark[2:] & (chars[:-2] != ord(gap))).any()
    ):
        raise ValueError("a text does not begin with 0x")
    beginning = 2 + len(gap)
    if (is_mark[beginning:] & is_mark[:-beginning]).any():
        raise ValueError("a text has no digits")
    # A digit's value is the low half of its code, and a letter's is that and 9.
    nibbles = chars & np.uint8(15)
    nibbles += is_letter.view(np.uint8) * np.uint8(9)
    nibbles *= (~is_mark).view(np.uint8)
    if width == 1:
        return _bytes(nibbles[room:], is_mark[room:], beginning)
    return _windows(nibbles, np.flatnonzero(is_mark), width, beginning)


def _bytes(nibbles: NDArray[np.uint8], is_mark: NDArray[np.bool_], beginning: int) -> Rows:
    """Return the last two nibbles of each text; an "x" among them reads as 0."""
    pairs = nibbles[: -1 - beginning] * np.uint8(16)  # Shifts of bytes are slow.
    pairs |= nibbles[1:-beginning]
    values = pairs.compress(is_mark[1 + beginning :])
    # No text is shorter than its value needs. So if all are as long as that together, each is.
    digits = len(values) + np.count_nonzero(values > 15)
    if len(nibbles) != beginning * (len(values) + 1) + digits:
        raise ValueError("a text has leading zeros or too many digits")
    return values[:, np.newaxis]


def _windows(
    nibbles: NDArray[np.uint8], marks: NDArray[np.intp], width: int, beginning: int
) -> Rows:
    """Return the nibbles before the end of each text, as far as they are its own."""
    ends, starts = marks[1:] - (beginning - 1), marks[:-1] + 1
    digits = ends - starts
    fewest, size = digits.min(), _room(width)
    if digits.max() > 2 * width or ((nibbles.take(starts) == 0) & (digits > 1)).any():
        raise ValueError("a text has leading zeros or too many digits")
    windows = np.ndarray((len(nibbles) - size + 1,), f"V{size}", nibbles, strides=(1,))
    found = windows[ends - size].view("<u8").reshape(len(ends), -1)
    for word, behind in enumerate(range(size - 8, -1, -8)):
        if fewest < behind + 8:
            found[:, word] &= _OWN.take(digits - behind, mode="clip")
    pairs = found.view("<u2")
    rows = pairs * np.uint16(16)
    pairs >>= np.uint16(8)
    rows |= pairs
    return rows.astype(np.uint8)


def _room(width: int) -> int:
    """Number of digits that a row has room for."""
    return 8 * -(-width // 4)


class Selection:
    """The choice of some bits of a row, in some order, as a new row.

    Args:
        sources: For each bit of the new row, lowest first, which bit of the old one it is; ``-1``
            for a bit that is always 0.
        size: How many bits the old row has.
    """

    def __init__(self, sources: Sequence[int], size: int) -> None:
        if not all(-1 <= source < size for source in sources):
            raise ValueError(f"bits must be below {size}: {sources}")
        self._sources = np.asarray(sources, dtype=np.intp)
        self._width = num_bytes(len(sources))
        first = int(sources[0]) if len(sources) else 0
        run = tuple(sources) == tuple(range(first, first + len(sources)))
        self._first = first if first >= 0 and run else None
        self._all = self._first == 0 and len(sources) == size

    def of(self, rows: Rows) -> Rows:
        """Return the chosen bits of every row. May be a view of ``rows``."""
        if self._all:
            return rows
        if self._first is not None:
            return self._run(rows, self._first)
        if rows.shape[1] == 1 and len(rows) > 256:
            every = np.arange(256, dtype=np.uint8)
            return self._scatter(every[:, np.newaxis]).take(rows[:, 0], axis=0)
        return self._scatter(rows)

    def _run(self, rows: Rows, first: int) -> Rows:
        skipped, shift = divmod(first, 8)
        rows = rows[:, : rows.shape[1] - skipped]
        if shift:
            shifted: Rows = rows >> np.uint8(shift)
            shifted[:, 1:] |= rows[:, :-1] << np.uint8(8 - shift)
            rows = shifted
        rows = rows[:, rows.shape[1] - self._width :]
        used = len(self._sources) % 8
        if used:
            rows = rows.copy()
            rows[:, 0] &= (1 << used) - 1
        return rows

    def _scatter(self, rows: Rows) -> Rows:
        bits = np.unpackbits(rows, axis=1)
        chosen = np.zeros((len(rows), 8 * self._width), np.uint8)
        there = np.flatnonzero(self._sources >= 0)
        chosen[:, chosen.shape[1] - 1 - there] = bits[:, bits.shape[1] - 1 - self._sources[there]]
        return np.packbits(chosen, axis=1)


# The registers of a circuit that runs again and again; this many of them are remembered.
@lru_cache(maxsize=1024)
def selection_of(sources: tuple[int, ...], size: int) -> Selection:
    """Return the choice of some bits of a row; see :class:`Selection`."""
    return Selection(sources, size)


def words(rows: Rows) -> NDArray[np.uint64]:
    """Return rows as unsigned 64-bit words, the least significant word first."""
    count = -(-rows.shape[1] // 8)
    padded = np.zeros((len(rows), 8 * count), np.uint8)
    padded[:, padded.shape[1] - rows.shape[1] :] = rows
    return padded.view(">u8")[:, ::-1].astype(np.uint64)


def fingerprints(rows: Rows) -> NDArray[np.uint64]:
    """Return a well mixed 64-bit number for each row, equal for equal rows.

    Sums of these, modulo 2**64, tell multisets of rows apart: two that differ have equal sums with
    a chance of about 2**-64, unless made to.

    Args:
        rows: As :func:`rows_of_hex` returns them.
    """
    if rows.shape[1] == 1:
        return _BYTE_FINGERPRINTS.take(rows[:, 0])
    columns = rows.view(np.uint32).T
    factors = _mix(np.arange(1, len(columns) + 1, dtype=np.uint64)) | np.uint64(1)
    total = np.zeros(len(rows), np.uint64)
    for column, factor in zip(columns, factors, strict=True):
        total += column * factor
    return _mix(total)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finalizer of splitmix64, after its increment.
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


_BYTE_FINGERPRINTS = _mix(np.arange(256, dtype=np.uint64))
