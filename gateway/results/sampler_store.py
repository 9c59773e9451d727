"""Putting the pieces together: every outcome is decoded straight into its place.

The arrays of a run are allocated once; nothing is held twice. Which shots have arrived is booked
row by row, so that a shot counted twice or not at all is an error and not a result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BitArray, DataBin, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.readout.decode import Dice, decode, decode_iq
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.results.coverage import Coverage, book_outcomes
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.tasks import Piece


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
        bytewise = self.meas_level == 2
        shots = () if self.averaged else (self._shots,)
        shape = (rows, *shots, -(-bits // 8) if bytewise else bits)
        kind = np.dtype(np.uint8 if bytewise else np.complex128)
        try:
            return np.zeros(shape, dtype=kind)
        except (MemoryError, ValueError):  # The latter where numpy cannot count so far.
            size = prod(shape) * kind.itemsize / 2**30
            raise MemoryError(
                f"the results of circuit {self.pub.circuit.name!r}, {rows} rows of {self._shots} "
                f"shots, need {size:.4g} GiB, more than there is; ask for fewer shots or rows at once"
            ) from None

    def receive(self, piece: Piece, outcomes: Sequence[Outcome], dice: Dice) -> Receipt:
        """Write the outcomes of a piece, one per row, into their place."""
        rows = slice(piece.row_start, piece.row_stop)
        shots = slice(piece.shot_start, piece.shot_stop)
        if self.meas_level == 2:
            decode(outcomes, self._bits, [array[rows, shots] for array in self._arrays], dice)
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

    def make_result(self) -> SamplerPubResult:
        """Make the PUB's result; what has not arrived is named in the metadata.

        A complete result has exactly the metadata of Qiskit's own samplers. An incomplete one
        also has ``received_shots``, an array of the PUB's shape: of each row only the first so
        many shots are real. It has no more shots than the row with the most.
        """
        circuit = self.pub.circuit
        # What was booked by now has been written: so the books first, and the arrays after them.
        coverage = self.coverage.snapshot()
        complete, arrays = coverage.complete, self._arrays
        if not complete:
            arrays = tuple(self._select_arrived(array, coverage) for array in arrays)
        data = {
            creg.name: self._reshape(creg.size, array)
            for creg, array in zip(circuit.cregs, arrays, strict=True)
        }
        metadata: dict[str, Any] = {
            "shots": self.pub.shots,
            "circuit_metadata": circuit.metadata,
        }
        if not complete:
            metadata["received_shots"] = coverage.received.reshape(self.pub.shape)
        return SamplerPubResult(DataBin(**data, shape=self.pub.shape), metadata=metadata)

    def _select_arrived(self, array: NDArray[Any], coverage: Coverage) -> NDArray[Any]:
        if self.averaged:
            # Each part was weighted by its share of all the shots.
            shares: NDArray[Any] = np.maximum(coverage.received, 1) / self.pub.shots
            scaled: NDArray[Any] = array / shares[:, None]
            return scaled
        return coverage.compact(array)[:, : coverage.received.max(initial=0)]

    def _reshape(self, bits: int, array: NDArray[Any]) -> Any:
        shaped = array.reshape(self.pub.shape + array.shape[1:])
        return BitArray(shaped, bits) if self.meas_level == 2 else shaped
