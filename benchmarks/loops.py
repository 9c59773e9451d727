"""One small circuit, run again and again, as variational algorithms do.

Processor time is that of the whole process, all threads of it; both sides take turns.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, seconds, sweep, timed
from qiskit_gateway import RouterEstimator, RouterSampler

SHOTS = 1000
# H2 at its equilibrium, two qubits by parity; and a chain of eight spins in a field across.
H2 = SparsePauliOp(["II", "IZ", "ZI", "ZZ", "XX"], [-1.0524, 0.3979, -0.3979, -0.0113, 0.1809])
TFIM = SparsePauliOp.from_sparse_list(
    [("ZZ", [i, i + 1], -1.0) for i in range(7)] + [("X", [i], -0.5) for i in range(8)], 8
)
Call = Callable[[np.ndarray], Any]


def rows(*, quick: bool) -> Iterator[Row]:
    """Time evaluations of small circuits, over Aer and over a backend that costs nothing."""
    calls, turns = (5, 2) if quick else (30, 11)
    for name, sides, size in _cases():
        for side in sides:
            for _ in range(3):
                side(np.zeros(size))
        target = None if quick else 1.05
        for clock, what, most in (
            (time.process_time, "CPU", target),
            (time.perf_counter, "wall", None),
        ):
            theirs, ours = _per_call(sides, size, calls, turns, clock)
            yield Row(
                case=f"{name}, in a loop, {what} of a call",
                against=f"stock {timed(median(theirs))}",
                router=timed(median(ours)),
                figure=median(mine / stock for stock, mine in zip(theirs, ours, strict=True)),
                unit="x",
                at_most=most,
            )


def _cases() -> Iterator[tuple[str, Sequence[Call], int]]:
    aer = AerSimulator(max_parallel_threads=1)
    circuit, _ = sweep(3, 1)
    yield (
        "sampler, 3 qubits over Aer",
        [_sampled(kind(backend=aer), circuit) for kind in (BackendSamplerV2, RouterSampler)],
        circuit.num_parameters,
    )
    estimators = (BackendEstimatorV2, RouterEstimator)
    for name, observable in (("H2", H2), ("TFIM of 8 qubits", TFIM)):
        circuit, _ = sweep(observable.num_qubits, 1)
        circuit.remove_final_measurements()
        yield (
            f"estimator, {name} over Aer",
            [_estimated(kind(backend=aer), circuit, observable) for kind in estimators],
            circuit.num_parameters,
        )
    circuit, _ = sweep(5, 1)
    canned = CannedBackend(5)
    yield (
        "sampler, zero-cost backend",
        [_sampled(kind(backend=canned), circuit) for kind in (BackendSamplerV2, RouterSampler)],
        circuit.num_parameters,
    )


def _sampled(primitive: Any, circuit: QuantumCircuit) -> Call:
    return lambda values: primitive.run([(circuit, values)], shots=SHOTS).result()


def _estimated(primitive: Any, circuit: QuantumCircuit, observable: SparsePauliOp) -> Call:
    precision = 1 / np.sqrt(SHOTS)
    return lambda values: primitive.run(
        [(circuit, observable, values)], precision=precision
    ).result()


def _per_call(
    sides: Sequence[Call], size: int, calls: int, turns: int, clock: Callable[[], float]
) -> list[list[float]]:
    """Return for each side the seconds of a call, turn by turn; each call has values of its own."""
    rng = np.random.default_rng(1)

    def loop(side: Call) -> None:
        for values in rng.uniform(-3, 3, (calls, size)):
            side(values)

    found = [
        [seconds(lambda one=one: loop(one), clock) / calls for one in sides] for _ in range(turns)
    ]
    return [list(times) for times in zip(*found, strict=True)]
