"""RouterEstimator against Qiskit's BackendEstimatorV2, side by side over a backend that costs nothing.

The backend answers each circuit with counts kept from before, by the number of bits and of a
circuit's place in its job, so that all the time measured is the estimators' own. Both estimators
see the same distribution, and that their answers agree is checked: values within a few standard
errors of each other, Qiskit's ``stds`` to a few percent of ours with ``stds="upper_bound"``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.circuit.library import real_amplitudes
from qiskit.primitives import BackendEstimatorV2, PrimitiveResult
from qiskit.quantum_info import SparsePauliOp

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, faster, paired
from qiskit_gateway import RouterEstimator


@dataclass(frozen=True)
class Case:
    """What is timed, and how many times faster the router is to be."""

    name: str
    rows: int
    qubits: int
    shots: int
    paulis: SparsePauliOp
    target: float | None = None
    observables: bool = False  # Whether each Pauli is an observable of its own.

    def pub(self) -> tuple[Any, ...]:
        circuit = real_amplitudes(self.qubits, reps=2).decompose()
        values = np.random.default_rng(1).uniform(-3, 3, (self.rows, circuit.num_parameters))
        precision = 1 / np.sqrt(self.shots)
        if not self.observables:
            return circuit, self.paulis, values, precision
        each = [SparsePauliOp(pauli) for pauli in self.paulis.paulis]
        return circuit, each, values[:, np.newaxis], precision


def two_local(qubits: int, terms: int) -> SparsePauliOp:
    """Return XX, YY and ZZ on random pairs: three bases, as of a spin model."""
    rng = np.random.default_rng(2)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < terms // 3:
        a, b = sorted(rng.choice(qubits, 2, replace=False).tolist())
        if (a, b) not in pairs:
            pairs.append((a, b))
    found = [(letter * 2, list(pair), 1.0) for letter in "XYZ" for pair in pairs]
    paulis = SparsePauliOp.from_sparse_list(found, num_qubits=qubits)
    return SparsePauliOp(paulis.paulis, rng.normal(size=len(found)))


def mixed(qubits: int, terms: int, letters: int) -> SparsePauliOp:
    """Return random Paulis with so many letters: many bases, as of a molecule."""
    rng = np.random.default_rng(3)
    labels: dict[str, float] = {}
    while len(labels) < terms:
        label = ["I"] * qubits
        for qubit in rng.choice(qubits, letters, replace=False):
            label[qubit] = "XYZ"[rng.integers(3)]
        labels["".join(label)] = float(rng.normal())
    return SparsePauliOp.from_list(list(labels.items()))


def transverse_ising(qubits: int) -> SparsePauliOp:
    """Return ZZ on all pairs and X on all qubits: two bases, and 15 Paulis for 5 qubits."""
    pairs = [("ZZ", [a, b], 1.0) for a in range(qubits) for b in range(a)]
    fields = [("X", [qubit], 1.0) for qubit in range(qubits)]
    paulis = SparsePauliOp.from_sparse_list(pairs + fields, num_qubits=qubits)
    return SparsePauliOp(paulis.paulis, np.random.default_rng(2).normal(size=len(paulis)))


# The targets are for a number of Paulis; how many bases those need, and so circuits, is what costs.
# They hold for every case of that size, few bases or many.
CASES = (
    Case("1000 x 5q x 15 Paulis, 2 bases", 1000, 5, 1024, transverse_ising(5), 15),
    Case("1000 x 5q x 15 Paulis, 3 bases", 1000, 5, 1024, two_local(5, 15), 15),
    Case("100 x 20q x 150 Paulis, 3 bases", 100, 20, 4096, two_local(20, 150), 50),
    Case("the same as 150 observables", 100, 20, 4096, two_local(20, 150), 50, observables=True),
    Case("100 x 20q x 150 Paulis, many bases", 100, 20, 4096, mixed(20, 150, 3), 50),
)
QUICK = (
    Case("100 x 5q x 15 Paulis, 2 bases", 100, 5, 1024, transverse_ising(5)),
    Case("4 x 20q x 150 Paulis, 3 bases", 4, 20, 4096, two_local(20, 150)),
)


def check(ours: PrimitiveResult[Any], theirs: PrimitiveResult[Any]) -> None:
    """Check that two estimators agree."""
    mine, stock = ours[0].data, theirs[0].data
    assert mine.evs.shape == stock.evs.shape
    assert ours[0].metadata == theirs[0].metadata
    # Qiskit's bound holds for both, and the two had different counts.
    assert (np.abs(mine.evs - stock.evs) <= 6 * np.hypot(mine.stds, stock.stds) + 1e-12).all()
    assert np.allclose(mine.stds, stock.stds, rtol=0.1)


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure every size."""
    yield from map(measured, QUICK if quick else CASES)


def measured(case: Case) -> Row:
    """Check that both agree, and time them in turn."""
    pub, backend = case.pub(), CannedBackend(case.qubits, ones=0.2)
    stock, router = BackendEstimatorV2(backend=backend), RouterEstimator(backend)
    bound = RouterEstimator(backend, options={"stds": "upper_bound"})
    check(bound.run([pub]).result(), stock.run([pub]).result())

    def theirs() -> PrimitiveResult[Any]:
        return stock.run([pub]).result()

    def ours() -> PrimitiveResult[Any]:
        return router.run([pub]).result()

    ours()  # Fills the caches.
    their_seconds, *our_seconds = paired([theirs, *[ours] * 8], 4 if case.rows > 100 else 2)
    return faster(f"estimator, {case.name}", their_seconds, min(our_seconds), target=case.target)
