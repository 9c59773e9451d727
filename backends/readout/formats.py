"""Formats of one experiment's data: outcomes, their counts, their order.

Memory, which alone knows the order of the shots, is believed where its histogram equals the counts,
where there are no counts, and where it is whole and the counts do not add up, as rounded ones do.
Else counts come first. Where the two cannot be of one circuit, neither is believed.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.backends.readout.bit_mapping import Codec, Layout
from qiskit_gateway.backends.readout.packed_bits import (
    Rows,
    copy_apart,
    fingerprints,
    num_bytes,
    rows_of_hex,
    rows_of_integers,
)

# Fewer texts than that are looked at by themselves: to parse them by themselves takes longer.
_FEW = 1000


class Raw(NamedTuple):
    """The data of one experiment as the provider wrote it.

    Attributes:
        codec: Reader of the names of its outcomes.
        counts: How often distinct outcomes were seen, in any format; empty where nothing was counted.
        total: How many shots that is.
        memory: The outcome of each shot; empty where it is not known.
    """

    codec: Codec
    counts: dict[Any, int]
    total: int
    memory: list[Any]


class Counted(NamedTuple):
    """Distinct outcomes over the user's bits, how often each was seen, and the sum of that."""

    patterns: Rows
    counts: NDArray[np.int64]
    total: int


# Either the shots in order, or how often each outcome was seen.
Content = Rows | Counted


def read_hex(block: Sequence[Raw]) -> list[Content]:
    """Return the contents of experiments of one wiring, written in canonical hexadecimal.

    Memory is compared with counts by sums of 64-bit fingerprints: that it is believed wrongly has
    a chance of about 2**-64.

    Raises:
        TypeError: If some name is no text.
        ValueError: If some name is no canonical hexadecimal text, or does not fit the circuit; or
            if some memory is not that of the counts.
    """
    layout = block[0].codec.numbers
    names, shots = [list(raw.counts) for raw in block], [raw.memory for raw in block]
    # Memory beside counts is compared with them; texts that are all there is must be whole.
    whole, loose = (names, shots) if all(names) else (names + shots, [])
    if sum(map(len, whole)) < _FEW:
        _require_prefix(whole)
        whole, loose = [], whole + loose
    padded = rows_of_hex(whole, layout.width, loose=loose)
    # As one value for each row, since numpy copies a few bytes a row one by one.
    rows = padded[:, padded.shape[1] - layout.width :].view(f"V{layout.width}").copy()
    rows = rows.view(np.uint8)
    if not layout.allows(rows):
        raise ValueError("an outcome does not fit the circuit")
    counts = _together([list(raw.counts.values()) for raw in block])

    ends = [0, *accumulate(map(len, names + shots))]
    agrees = [False] * len(block)
    if any(raw.memory and raw.counts for raw in block):
        prints = fingerprints(padded)
        prints[: len(counts)] *= counts.astype(np.uint64)
        sums = _sums(prints, np.array(ends))
        agrees = (sums[: len(block)] == sums[len(block) :]).tolist()
    # Beside memory nobody looks at the names of counts again: they are not to be held by it.
    first = ends[len(block)] if all(raw.memory for raw in block) else 0
    rows = copy_apart(layout.for_user(rows[first:]))
    contents: list[Content] = []
    for raw, agree, (a, b), (c, d) in zip(
        block, agrees, pairwise(ends), pairwise(ends[len(block) :]), strict=False
    ):
        if raw.memory:
            if raw.counts and not (agree and len(raw.memory) == raw.total):
                raise ValueError("memory is not that of the counts")
            contents.append(rows[c - first : d - first])
        else:
            counted = Counted(rows[a:b], counts[a:b], raw.total)
            contents.append(counted if layout.faithful else _merge(counted))
    return contents


def _require_prefix(groups: Sequence[Sequence[str]]) -> None:
    """Make sure that each text begins with ``0x``."""
    joined = "\n".join(["", *map("\n".join, groups)])
    if joined.count("\n0x") != sum(map(len, groups)):
        raise ValueError("a text does not begin with 0x")


def _together(lists: Sequence[list[int]]) -> NDArray[np.int64]:
    """Return numbers of shots, one list after the other."""
    try:
        # By far the quickest way, where none is above 255.
        return np.frombuffer(b"".join(map(bytearray, lists)), np.uint8).astype(np.int64)
    except ValueError:
        return np.frombuffer(b"".join([array("q", counts) for counts in lists]), np.int64)


def _merge(counted: Counted) -> Counted:
    """Add up patterns that are the same in the bits that are read."""
    distinct, places = np.unique(counted.patterns, axis=0, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, places.reshape(-1), counted.counts)
    return Counted(distinct, sums, counted.total)


def _sums(values: NDArray[np.uint64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the sum, modulo 2**64, of the values between each end and the next."""
    sums = np.zeros(len(ends) - 1, np.uint64)
    filled = np.flatnonzero(np.diff(ends))
    sums[filled] = np.add.reduceat(values, ends[filled])
    return sums


_LOST = b""


class ContradictionError(ValueError):
    """Counts and memory that cannot be of one circuit."""


def read_names(raw: Raw, asked: int) -> Content:
    """Return the content of one experiment written in any format, each distinct name read once.

    Shots in which a qubit was lost are left out.

    Args:
        raw: The data.
        asked: Shots that were asked for.

    Raises:
        TypeError: If what should be a name is no value.
        ValueError: If some name cannot be read or does not fit the circuit.
        ContradictionError: If counts and memory contradict each other.
    """
    layout, histogram = raw.codec.numbers, Counter[bytes]()
    if raw.counts:
        layout, packed = _pack(raw.codec, list(raw.counts), layout)
        histogram = _histogram(raw.counts, packed)
    if raw.memory:
        try:
            rows, seen = _read_memory(raw, layout)
        except (TypeError, ValueError):
            if not raw.counts:
                raise
        else:
            if not raw.counts or _is_believed(len(rows), seen, histogram, asked):
                return rows
    width = num_bytes(raw.codec.wiring.num_user)
    patterns = np.frombuffer(b"".join(histogram), np.uint8).reshape(-1, width)
    counts = np.array(list(histogram.values()), np.int64)
    return Counted(patterns, counts, int(counts.sum()))


def _is_believed(length: int, seen: Counter[bytes], counted: Counter[bytes], asked: int) -> bool:
    """Check whether the shots in memory are taken, and not the counts beside them.

    Raises:
        ContradictionError: If they cannot be of one circuit.
    """
    if seen == counted:
        return True
    if seen and counted and contradict(seen, counted):
        raise ContradictionError(
            f"Counts and memory contradict each other: of {counted.total()} shots in the counts and "
            f"{length} in memory, {(seen & counted).total()} have the same outcome"
        )
    return counted.total() != asked <= length


def histogram_of(rows: Rows, counts: Iterable[int] | None = None) -> Counter[bytes]:
    """Count rows that are the same, each once or as often as the counts say."""
    histogram = Counter[bytes]()
    for row, count in zip(map(bytes, rows), repeat(1) if counts is None else counts, strict=False):
        histogram[row] += int(count)
    return histogram


def contradict(one: Counter[bytes], other: Counter[bytes]) -> bool:
    """Check whether two histograms cannot be of the same circuit.

    Some providers draw counts and memory one by one, or round the counts: so they need not be
    equal, but as alike as two samples of one distribution. That is the chi-squared test for two
    samples of unequal size.
    """
    names = one.keys() | other.keys()
    if not one.keys() & other.keys() and 2 * len(names) <= min(one.total(), other.total()):
        return True  # Few shots show nothing in such a test, unless they have nothing in common.
    scale = math.sqrt(other.total() / one.total())
    chi_squared = sum(
        (one[name] * scale - other[name] / scale) ** 2 / (one[name] + other[name]) for name in names
    )
    return _deviation(chi_squared, len(names) - 1) > _MOST_DEVIATION


# In standard deviations: a fair provider is wronged in one of 30 000 circuits. Ten shots of one
# outcome against ten of another are 4.1.
_MOST_DEVIATION = 4.0


def _deviation(chi_squared: float, freedom: int) -> float:
    """Approximate by how many standard deviations a value is too large (Wilson and Hilferty)."""
    if not freedom:
        return 0.0
    spread = 2 / (9 * freedom)
    return (math.cbrt(chi_squared / freedom) - 1 + spread) / math.sqrt(spread)


def _read_memory(raw: Raw, layout: Layout) -> tuple[Rows, Counter[bytes]]:
    if len(set(map(type, raw.memory))) != 1:  # Names of several types may be equal: True == 1.
        raise ValueError("memory is written in more than one format")
    seen = Counter(raw.memory)
    # After a compact text a number is compact too: Braket's counts are texts, its memory numbers.
    _, packed = _pack(raw.codec, list(seen), layout)
    joined = b"".join(map(packed.__getitem__, raw.memory))
    rows = np.frombuffer(joined, np.uint8).reshape(-1, num_bytes(raw.codec.wiring.num_user))
    return rows, _histogram(seen, packed)


def _histogram(counts: Mapping[Any, int], packed: dict[Any, bytes]) -> Counter[bytes]:
    """Count rows instead of names: two names may be of one row."""
    histogram = Counter[bytes]()
    for name, count in counts.items():
        histogram[packed[name]] += count
    del histogram[_LOST]
    return histogram


def _pack(codec: Codec, names: list[Any], numbers: Layout) -> tuple[Layout, dict[Any, bytes]]:
    """Return the layout that some distinct names share, and the user's row of each."""
    layout, values = codec.read(names, numbers)
    rows = rows_of_integers([value or 0 for value in values], layout.width)
    if not layout.allows(rows):
        raise ValueError("an outcome has bits that the circuit never writes")
    rows = layout.for_user(rows)
    return layout, {
        name: _LOST if value is None else row.tobytes()
        for name, value, row in zip(names, values, rows, strict=True)
    }
