"""Whole runs over AerSimulator on one thread: simulation included, as a user would see it.

With one seed both sides return values of the same distribution; that the router's are right is
checked against the exact ones.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from benchmarks.measure import Row, faster, paired, sweep
from qiskit_gateway import RouterEstimator, RouterSampler

SHOTS = 1000


def rows(*, quick: bool) -> Iterator[Row]:
    """Time both primitives."""
    count = 20 if quick else 1000
    name = f"over Aer, one thread, {count} rows x {SHOTS:,} shots"
    sampler, estimator = _sampler(count), _estimator(count)
    for what, sides, target in (("sampler", sampler, 1.25), ("estimator", estimator, 1.5)):
        theirs, ours = paired(sides, 3)
        yield faster(f"{what} {name}", theirs, ours, target=None if quick else target)


def _sampler(count: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    backend, pub = AerSimulator(max_parallel_threads=1), sweep(5, count)
    stock, router = BackendSamplerV2(backend=backend), RouterSampler(backend)
    sides = tuple(
        lambda one=one: one.run([pub], shots=SHOTS).result()[0] for one in (stock, router)
    )
    theirs, ours = (side() for side in sides)
    assert theirs.metadata == ours.metadata
    apart = theirs.data.meas.expectation_values("ZZZZZ") - ours.data.meas.expectation_values(
        "ZZZZZ"
    )
    assert np.abs(apart).max() < 6 * np.sqrt(2 / SHOTS)
    return sides


def _estimator(count: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    backend, (circuit, values) = AerSimulator(max_parallel_threads=1), sweep(5, count)
    circuit = circuit.remove_final_measurements(inplace=False)
    paulis = SparsePauliOp(["ZZIII", "IZZII", "IIZZI", "IIIZZ", "XIIII", "IXIII", "IIXII"])
    pub = (circuit, paulis, values)
    precision = 1 / np.sqrt(SHOTS)
    stock, router = BackendEstimatorV2(backend=backend), RouterEstimator(backend)
    sides = tuple(
        lambda one=one: one.run([pub], precision=precision).result()[0] for one in (stock, router)
    )
    exact = StatevectorEstimator().run([pub]).result()[0].data.evs
    for found in (side() for side in sides):
        assert (np.abs(found.data.evs - exact) < 6 * found.data.stds + 1e-9).all()
    return sides
