"""Putting the pieces together: every outcome is decoded straight into its place.

The arrays of a run are allocated once; nothing is held twice. Which shots have arrived is booked
row by row, so that a shot counted twice or not at all is an error and not a result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BitArray, DataBin, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.decoding import decode, decode_iq
from qiskit_gateway.backends.errors import BackendError
from qiskit_gateway.backends.outcomes import Outcome
from qiskit_gateway.workload import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of the pieces of a shard.

    Attributes:
        missing: Rectangles that did not come though nothing failed.
        failed: Rectangles that failed, and why.
    """

    missing: tuple[Piece, ...] = ()
    failed: tuple[tuple[Piece, BackendError], ...] = ()

    def __add__(self, other: "Receipt") -> "Receipt":
        """Return both."""
        return Receipt(missing=self.missing + other.missing, failed=self.failed + other.failed)


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
        """Return a copy of now, which stays as it is while more arrives."""
        copy = Coverage(len(self.received), self._shots)
        with self._lock:
            copy.received[:] = self.received
            copy._parts = {row: list(parts) for row, parts in self._parts.items()}
        return copy

    def compacted(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of ``(rows, shots, ...)`` with each row's arrived shots moved first."""
        packed = array.copy()
        for row, parts in self._parts.items():
            arrived = [array[row, start:stop] for start, stop in sorted(parts)]
            count = sum(map(len, arrived))
            packed[row, :count] = np.concatenate(arrived)
            packed[row, count:] = 0
        return packed

    @property
    def complete(self) -> bool:
        """Return whether every row has all its shots."""
        return bool((self.received == self._shots).all())


@dataclass(slots=True)
class SamplerStore:
    """The results of one sampler PUB, as they arrive.

    Attributes:
        pub: The PUB.
        averaged: Whether kerneled data come averaged over shots.
        meas_level: 2 for bits, 1 for kerneled data.
        computed: Whether the result is known without running anything, because no measurement
            writes a bit.
    """

    pub: SamplerPub
    meas_level: int = 2
    averaged: bool = False
    computed: bool = False
    coverage: Coverage = field(init=False)
    _bits: tuple[tuple[int, ...], ...] = field(init=False)
    _arrays: tuple[NDArray[Any], ...] = field(init=False)

    def __post_init__(self) -> None:
        circuit = self.pub.circuit
        index = {bit: position for position, bit in enumerate(circuit.clbits)}
        self._bits = tuple(tuple(index[bit] for bit in creg) for creg in circuit.cregs)
        rows = prod(self.pub.shape)
        self.coverage = Coverage(rows, self._shots)
        if self.computed:
            self.coverage.received[:] = self._shots
        self._arrays = tuple(self._allocate(rows, len(bits)) for bits in self._bits)

    @property
    def _shots(self) -> int:
        assert self.pub.shots is not None, "a coerced pub has shots"  # noqa: S101
        return self.pub.shots

    def _allocate(self, rows: int, bits: int) -> NDArray[Any]:
        if self.meas_level == 2:
            return np.zeros((rows, self._shots, -(-bits // 8)), dtype=np.uint8)
        if self.averaged:
            return np.zeros((rows, bits), dtype=np.complex128)
        return np.zeros((rows, self._shots, bits), dtype=np.complex128)

    def receive(
        self, piece: Piece, outcomes: Sequence[Outcome], rng: np.random.Generator
    ) -> Receipt:
        """Write the outcomes of a piece, one per row, into their place."""
        rows = slice(piece.row_start, piece.row_stop)
        shots = slice(piece.shot_start, piece.shot_stop)
        if self.meas_level == 2:
            decode(outcomes, self._bits, [array[rows, shots] for array in self._arrays], rng)
        else:
            self._write_kerneled(piece, outcomes)
        return book_outcomes(self.coverage, piece, outcomes)

    def _write_kerneled(self, piece: Piece, outcomes: Sequence[Outcome]) -> None:
        for row, outcome in enumerate(outcomes, start=piece.row_start):
            if outcome.error is not None:
                continue
            points = decode_iq(outcome)
            for bits, array in zip(self._bits, self._arrays, strict=True):
                if self.averaged:
                    array[row] += points[list(bits)] * (outcome.shots / self._shots)
                else:
                    stop = piece.shot_start + outcome.shots
                    array[row, piece.shot_start : stop] = points[:, list(bits)]

    def result(self) -> SamplerPubResult:
        """Return the PUB's result; what has not arrived is named in the metadata.

        A complete result has exactly the metadata of Qiskit's own samplers. An incomplete one
        also has ``received_shots``, an array of the PUB's shape: of each row only the first so
        many shots are real. It has no more shots than the row with the most.
        """
        circuit = self.pub.circuit
        # What was booked by now has been written: so the books first, and the arrays after them.
        coverage = self.coverage.snapshot()
        data = {
            creg.name: self._shaped(creg.size, self._arrived(array, coverage))
            for creg, array in zip(circuit.cregs, self._arrays, strict=True)
        }
        metadata: dict[str, Any] = {
            "shots": self.pub.shots,
            "circuit_metadata": circuit.metadata,
        }
        if not coverage.complete:
            metadata["received_shots"] = coverage.received.reshape(self.pub.shape)
        return SamplerPubResult(DataBin(**data, shape=self.pub.shape), metadata=metadata)

    def _arrived(self, array: NDArray[Any], coverage: Coverage) -> NDArray[Any]:
        if coverage.complete:
            return array
        if self.averaged:
            # Each part was weighted by its share of all the shots.
            shares: NDArray[Any] = np.maximum(coverage.received, 1) / self.pub.shots
            scaled: NDArray[Any] = array / shares[:, None]
            return scaled
        return coverage.compacted(array)[:, : coverage.received.max(initial=0)]

    def _shaped(self, bits: int, array: NDArray[Any]) -> Any:
        shaped = array.reshape(self.pub.shape + array.shape[1:])
        return BitArray(shaped, bits) if self.meas_level == 2 else shaped


def book_outcomes(coverage: Coverage, piece: Piece, outcomes: Sequence[Outcome]) -> Receipt:
    """Note which rows and shots of a piece have arrived, and say what has not."""
    if all(outcome.shots == piece.shots and outcome.error is None for outcome in outcomes):
        coverage.book(piece)
        return Receipt()
    missing: list[Piece] = []
    failed: list[tuple[Piece, BackendError]] = []
    for offset, outcome in enumerate(outcomes):
        _, rest = piece.split_rows(offset)
        row, _ = rest.split_rows(1)
        if outcome.error is not None:
            failed.append((row, outcome.error))
            continue
        here, short = row.split_shots(outcome.shots)
        if not here.shots:
            # Asking again for what came to nothing might go on for ever.
            failed.append((row, _no_shots()))
            continue
        coverage.book(here)
        if short.shots:
            missing.append(short)
    return Receipt(missing=tuple(missing), failed=tuple(failed))


def _no_shots() -> BackendError:
    return BackendError("the provider returned no shots", submitted=True, bad_result=True)
