"""From the entries of a batch to an estimator's PUBs, and from their results to outcomes.

What belongs to one PUB of the user's and has the same rows is one PUB, whatever bases it is of: so
a PUB goes as it came, as far as its bases are in one job. The reader of the result sorts alike, in
another process too. Observables follow the layout of what is sent, and are sums of Paulis, which
every estimator knows.
"""

import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from qiskit_gateway.backends.adapter.payload import Pairs
from qiskit_gateway.backends.compilation.cache import Prepared, bind, values_of
from qiskit_gateway.backends.failures.errors import BackendError, Refused, bad_result
from qiskit_gateway.backends.interface.batch import Wanted
from qiskit_gateway.backends.primitive.pubs import as_bad, in_one, list_parts, rename
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes

Pub = tuple[Any, ...]
Values = NDArray[np.float64]

# Each projector of a product doubles the Paulis that it is written out as.
_MOST_PAULIS = 1 << 12
# The codes of X, Y and Z are 1 to 3; those of projectors are larger.
_LAST_PAULI = 3


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """Rows of one circuit, and all that is wanted of them.

    Attributes:
        ready: The circuit as it is sent, with nothing measured.
        rows: The rows.
        wanted: The observables, basis after basis,
        firsts: and the first circuit of the batch that has the rows in each of these.
    """

    ready: Prepared
    rows: NDArray[np.float64]
    wanted: list[Wanted] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the values of its PUBs: observables, and rows where these are in one."""
        size = sum(one.size for one in self.wanted)
        if in_one(self.ready):
            return [(size, len(self.rows))]
        return [(size,)] * len(self.rows)

    def pubs(self) -> Iterator[Pub]:
        """Make its PUBs; their precision is said of the whole job."""
        observables = [one for wanted in self.wanted for one in wanted.make()]
        if in_one(self.ready):
            circuit, parameters = rename(self.ready.circuit)
            values = BindingsArray({tuple(parameters): values_of(self.ready, self.rows)})
            yield circuit, [[one] for one in self._lay_out(observables, circuit)], values
            return
        for circuit in bind(self.ready, self.rows):
            yield circuit, self._lay_out(observables, circuit)

    def _lay_out(
        self, observables: Sequence[SparseObservable], circuit: QuantumCircuit
    ) -> list[SparsePauliOp]:
        places = list(self.ready.places(circuit))
        return [
            SparsePauliOp.from_sparse_observable(
                one.as_paulis().apply_layout(places[: one.num_qubits], circuit.num_qubits)
            ).simplify(atol=0)
            for one in observables
        ]


def blocks_of(pairs: Pairs) -> list[Block]:
    """Sort the rows of a batch into blocks."""
    blocks: dict[tuple[int, int, int, bytes], Block] = {}
    first = 0
    for entry, ready in pairs:
        start = 0
        for wanted in entry.wanted:
            rows = entry.rows[start : start + wanted.rows]
            circuit = id(entry.program.circuit)  # Of one group it is one, also when read again.
            key = (wanted.group, circuit, len(rows), rows.tobytes())
            block = blocks.setdefault(key, Block(ready=ready, rows=rows))
            block.wanted.append(wanted)
            block.firsts.append(first + start)
            start += wanted.rows
        first += entry.circuits
    return list(blocks.values())


def require_wanted(pairs: Pairs) -> None:
    """Make sure that an estimator can be told what a batch is wanted for.

    Raises:
        Refused: If that is not known of some entries, or is too much to write out.
    """
    reasons = {index: _objection(entry.wanted) for index, (entry, _) in enumerate(pairs)}
    if any(reasons.values()):
        raise Refused({index: reason for index, reason in reasons.items() if reason})


def _objection(wanted: Sequence[Wanted]) -> str:
    if not wanted:
        return "is to be measured, and an EstimatorV2 must know for which observables"
    for one in wanted:
        for observable in one.make():
            if _count_paulis(observable) > _MOST_PAULIS:
                return (
                    f"has an observable whose projectors are more than {_MOST_PAULIS} Paulis, which "
                    "are all that an EstimatorV2 takes"
                )
    return ""


def _count_paulis(observable: SparseObservable) -> int:
    codes = np.asarray(observable.bit_terms)
    projectors = np.concatenate([[0], np.cumsum(codes > _LAST_PAULI)])
    ends = np.asarray(observable.boundaries).astype(np.intp)
    return int((2.0 ** np.diff(projectors[ends])).sum())


def read_estimates(
    result: Any, pairs: Pairs, shots: int, stds: Callable[[Values], Values]
) -> ReadOutcomes:
    """Read a result, circuit by circuit; its content never makes this raise.

    Args:
        result: What ``job.result()`` returned.
        pairs: What was sent.
        shots: How many shots the values come from.
        stds: Makes standard errors of those that were told, which are ``nan`` where none were.
    """
    blocks = blocks_of(pairs)
    widths = [entry.program.num_bits for entry, _ in pairs for _ in range(entry.circuits)]
    outcomes: list[Outcome | None] = [None] * len(widths)
    try:
        parts = iter(list_parts(result, sum(len(block.shapes) for block in blocks)))
    except Exception as error:  # noqa: BLE001  Looking at a foreign object runs foreign code.
        return ReadOutcomes([Outcome(shots=0, error=as_bad(error))] * len(widths))
    for block in blocks:
        found = [_read(next(parts), shape, stds) for shape in block.shapes]
        for place, values in _by_circuit(block, found):
            outcomes[place] = _outcome(values, shots, widths[place])
    return ReadOutcomes(one for one in outcomes if one is not None)


_Read = tuple[Values, Values] | BackendError


def _read(part: Any, shape: tuple[int, ...], stds: Callable[[Values], Values]) -> _Read:
    """Return values and standard errors of one PUB, shape ``(observables, rows)``; or what is wrong."""
    try:
        evs, told = _array_of(part.data, "evs", shape), _array_of(part.data, "stds", shape)
        if evs is None or not np.isfinite(evs).all():
            return bad_result(
                f"The result has no expectation values, but {reprlib.repr(part.data)}."
            )
        spread = stds(np.full(shape, np.nan) if told is None else told)
        return evs.reshape(shape[0], -1), spread.reshape(shape[0], -1)
    except Exception as error:  # noqa: BLE001  Looking at a foreign object runs foreign code.
        return as_bad(error)


def _array_of(data: Any, name: str, shape: tuple[int, ...]) -> Values | None:
    found = getattr(data, name, None)
    if found is None:
        return None
    array = np.array(found, dtype=float)
    if array.shape != shape:
        raise bad_result(f"The result has {name} of shape {array.shape} where {shape} was due.")
    return array


def _by_circuit(block: Block, found: Sequence[_Read]) -> Iterator[tuple[int, _Read]]:
    """Share out what was read of a block's PUBs to the circuits of the batch."""
    start = 0
    for wanted, first in zip(block.wanted, block.firsts, strict=True):
        mine = slice(start, start + wanted.size)
        for row in range(len(block.rows)):
            part, column = (found[0], row) if in_one(block.ready) else (found[row], 0)
            if isinstance(part, BackendError):
                yield first + row, part
            else:
                yield first + row, (part[0][mine, column], part[1][mine, column])
        start += wanted.size


def _outcome(values: _Read, shots: int, num_bits: int) -> Outcome:
    if isinstance(values, BackendError):
        return Outcome(shots=0, error=values)
    evs, stds = values
    return Outcome(shots=shots, num_bits=num_bits, evs=evs, stds=stds)
