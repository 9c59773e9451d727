"""One small circuit, run again and again, as variational algorithms do.

Processor time is that of the whole process, all threads of it; both sides take turns.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, sweep, timed
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
    calls, turns = (10, 5) if quick else (20, 17)
    for case in _cases():
        for side in case.sides:
            for _ in range(3):
                side(np.zeros(case.size))
        theirs, ours = _per_call(case, calls, turns)
        for number, (what, most) in enumerate((("CPU", case.most_cpu), ("wall", case.most_wall))):
            stock, router = ([one[number] for one in side] for side in (theirs, ours))
            yield Row(
                case=f"{case.name}, in a loop, {what} of a call",
                against=f"stock {timed(median(stock))}",
                router=timed(median(router)),
                figure=median(mine / other for other, mine in zip(stock, router, strict=True)),
                unit="x",
                at_most=None if quick else most,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A circuit that is evaluated again and again.

    Attributes:
        name: What it is.
        sides: An evaluation by stock Qiskit, and one by the router.
        size: How many parameters it has.
        most_cpu: How many times stock's processor time the router may take.
        most_wall: The same for the time that passes.
    """

    name: str
    sides: Sequence[Call]
    size: int
    most_cpu: float | None = None
    most_wall: float | None = None


def _cases() -> Iterator[_Case]:
    aer = AerSimulator(max_parallel_threads=1)
    circuit, _ = sweep(3, 1)
    yield _Case(
        name="sampler, 3 qubits over Aer",
        sides=[_sampled(kind(backend=aer), circuit) for kind in (BackendSamplerV2, RouterSampler)],
        size=circuit.num_parameters,
        most_cpu=1.3,
    )
    estimators = (BackendEstimatorV2, RouterEstimator)
    for name, observable in (("H2", H2), ("TFIM of 8 qubits", TFIM)):
        circuit, _ = sweep(observable.num_qubits, 1)
        circuit.remove_final_measurements()
        yield _Case(
            name=f"estimator, {name} over Aer",
            sides=[_estimated(kind(backend=aer), circuit, observable) for kind in estimators],
            size=circuit.num_parameters,
            most_cpu=1.05,
        )
    circuit, _ = sweep(5, 1)
    samplers = (BackendSamplerV2, RouterSampler)
    yield _Case(
        name="sampler, zero-cost backend",
        sides=[_sampled(kind(backend=CannedBackend(5)), circuit) for kind in samplers],
        size=circuit.num_parameters,
        most_wall=1.5,
    )


def _sampled(primitive: Any, circuit: QuantumCircuit) -> Call:
    return lambda values: primitive.run([(circuit, values)], shots=SHOTS).result()


def _estimated(primitive: Any, circuit: QuantumCircuit, observable: SparsePauliOp) -> Call:
    precision = 1 / np.sqrt(SHOTS)
    return lambda values: primitive.run(
        [(circuit, observable, values)], precision=precision
    ).result()


def _per_call(case: _Case, calls: int, turns: int) -> list[list[tuple[float, float]]]:
    """Return for each side, turn by turn, the seconds of a call: processor time, and wall time.

    Short turns, so that whatever else the machine does meets both sides alike. Each call has values
    of its own.
    """
    rng = np.random.default_rng(1)

    def turn(side: Call) -> tuple[float, float]:
        values = rng.uniform(-3, 3, (calls, case.size))
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        for one in values:
            side(one)
        return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls

    found = [[turn(side) for side in case.sides] for _ in range(turns)]
    return [list(times) for times in zip(*found, strict=True)]
