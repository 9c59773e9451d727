"""What could be saved by keeping bound circuits for a second try: a copy of one against binding anew.

A provider may add to the circuits that it is given, so each must be its own; what is kept between
tries is the compiled circuit.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial

from qiskit import QuantumCircuit

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, seconds, sweep, timed
from qiskit_gateway.backends.compilation.cache import bind, prepare
from qiskit_gateway.backends.interface.batch import Program


def rows(*, quick: bool) -> Iterator[Row]:
    """Time both, for circuits of few gates and of more."""
    count = 20 if quick else 1000
    for qubits in (5, 20):
        circuit, values = sweep(qubits, count)
        prepared = prepare(Program(circuit=circuit), CannedBackend(qubits))
        bound = bind(prepared, values)
        runs = partial(bind, prepared, values), partial(_copies, bound)
        anew, copied = (
            min(seconds(run, time.process_time) for _ in range(2 if quick else 7)) / count
            for run in runs
        )
        yield Row(
            case=f"a bound circuit copied, {qubits} qubits, {len(circuit.data)} operations",
            against=f"bound anew {timed(anew)}",
            router=timed(copied),
            figure=copied / anew,
            unit="x",
        )


def _copies(circuits: Sequence[QuantumCircuit]) -> list[QuantumCircuit]:
    return [circuit.copy() for circuit in circuits]
