"""What the router costs beside the pool of threads that one would write by hand, over four backends.

The backends answer at once, so that all the time measured is the primitives' own. The pool has a
stock primitive for each backend, in a thread of its own; rows are divided evenly, results joined.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2, BitArray
from qiskit.quantum_info import SparsePauliOp

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, faster, paired, sweep
from qiskit_gateway import RouterEstimator, RouterSampler

BACKENDS = 4
PAULIS = SparsePauliOp(["ZZIII", "IZZII", "XXIII", "IIXXI", "IIIYY"])


def rows(*, quick: bool) -> Iterator[Row]:
    """Time both primitives against a pool."""
    repeats = 1 if quick else 5
    for count, shots in ((20, 100),) if quick else ((1000, 1000), (1000, 10_000)):
        pool, router = paired(_warm(_sampled(count, shots)), repeats)
        name = f"sampler, {count} rows x {shots:,} shots, {BACKENDS} zero-cost backends"
        yield faster(name, pool, router, who="threads")
    count = 10 if quick else 300
    pool, router = paired(_warm(_estimated(count)), repeats)
    name = f"estimator, {count} rows, 3 bases, {BACKENDS} zero-cost backends"
    yield faster(name, pool, router, who="threads")


def _warm(sides: list[Callable[[], Any]]) -> list[Callable[[], Any]]:
    """Run all once: circuits are compiled then, and speeds learned."""
    for side in sides:
        side()
    return sides


def _backends() -> list[CannedBackend]:
    return [CannedBackend(5) for _ in range(BACKENDS)]


def _sampled(count: int, shots: int) -> list[Callable[[], Any]]:
    circuit, values = sweep(5, count)
    samplers = [BackendSamplerV2(backend=backend) for backend in _backends()]
    router = RouterSampler(_backends())

    def part_of(sampler: BackendSamplerV2, part: np.ndarray) -> np.ndarray:
        return sampler.run([(circuit, part)], shots=shots).result()[0].data.meas.array

    def joined(arrays: list[np.ndarray]) -> BitArray:
        return BitArray(np.concatenate(arrays), circuit.num_clbits)

    return [
        lambda: joined(_by_threads(part_of, samplers, values)),
        lambda: router.run([(circuit, values)], shots=shots).result(),
    ]


def _estimated(count: int) -> list[Callable[[], Any]]:
    circuit, values = sweep(5, count)
    bare = circuit.remove_final_measurements(inplace=False)
    estimators = [BackendEstimatorV2(backend=backend) for backend in _backends()]
    router = RouterEstimator(_backends())

    def part_of(estimator: BackendEstimatorV2, part: np.ndarray) -> np.ndarray:
        return estimator.run([(bare, PAULIS, part)], precision=0.03).result()[0].data.evs

    return [
        lambda: np.concatenate(_by_threads(part_of, estimators, values)),
        lambda: router.run([(bare, PAULIS, values)], precision=0.03).result(),
    ]


def _by_threads(
    part_of: Callable[[Any, np.ndarray], np.ndarray], primitives: list[Any], values: np.ndarray
) -> list[np.ndarray]:
    """Return what each primitive makes of its part of the rows."""
    parts = np.array_split(values, len(primitives))
    with ThreadPoolExecutor(len(primitives)) as pool:
        return list(pool.map(part_of, primitives, parts))
