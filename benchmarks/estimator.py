"""RouterEstimator against Qiskit's BackendEstimatorV2, side by side over a backend that costs nothing.

The backend answers each circuit with counts kept from before, by the number of bits and of a
circuit's place in its job, so that all the time measured is the estimators' own. Both estimators
see the same distribution, and that their answers agree is checked: values within a few standard
errors of each other, Qiskit's ``stds`` to a few percent of ours with ``stds="upper_bound"``.

Run: ``python benchmarks/estimator.py [--quick]``; exits with 1 if a target is missed.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import CXGate, Measure, RYGate, RZGate, SXGate, XGate, real_amplitudes
from qiskit.primitives import BackendEstimatorV2, PrimitiveResult
from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.quantum_info import SparsePauliOp
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import Target

from qiskit_gateway import RouterEstimator


class CannedJob(JobV1):
    """A job that was done before it began."""

    def __init__(self, backend: BackendV2, result: Result) -> None:
        super().__init__(backend, "canned")
        self._result = result

    def submit(self) -> None:
        """Do nothing."""

    def result(self) -> Result:
        return self._result

    def status(self) -> JobStatus:
        return JobStatus.DONE


class CannedBackend(BackendV2):
    """A backend that answers at once, with counts drawn beforehand.

    Every measured bit is 1 with probability 0.2.
    """

    def __init__(self, num_qubits: int) -> None:
        super().__init__(name="canned")
        self._target = Target(num_qubits=num_qubits)
        angle = Parameter("angle")
        for gate in (RYGate(angle), RZGate(angle), SXGate(), XGate(), Measure()):
            self._target.add_instruction(gate, {(qubit,): None for qubit in range(num_qubits)})
        pairs = [(a, b) for a in range(num_qubits) for b in range(num_qubits) if a != b]
        self._target.add_instruction(CXGate(), dict.fromkeys(pairs))
        self.seconds = 0.0
        self.circuits = 0

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024, seed_simulator=None)

    def run(self, run_input: Sequence[QuantumCircuit], **options: Any) -> CannedJob:
        start = time.perf_counter()
        shots = options["shots"]
        results = [
            ExperimentResult(
                shots=shots,
                success=True,
                data=ExperimentResultData(counts=_counts(circuit.num_clbits, shots, place % 16)),
                header={
                    "memory_slots": circuit.num_clbits,
                    "creg_sizes": [[creg.name, creg.size] for creg in circuit.cregs],
                    "metadata": circuit.metadata,
                },
            )
            for place, circuit in enumerate(run_input)
        ]
        self.circuits += len(results)
        self.seconds += time.perf_counter() - start
        return CannedJob(self, Result(results=results, success=True, job_id="canned"))


@cache
def _counts(bits: int, shots: int, place: int) -> dict[str, int]:
    rng = np.random.default_rng((bits, shots, place))
    ones = rng.random((shots, bits)) < 0.2
    values = (ones * (1 << np.arange(bits))).sum(axis=1)
    patterns, counts = np.unique(values, return_counts=True)
    return {hex(p): c for p, c in zip(patterns.tolist(), counts.tolist(), strict=True)}


@dataclass(frozen=True)
class Case:
    """What is timed."""

    name: str
    rows: int
    qubits: int
    shots: int
    paulis: SparsePauliOp
    target: float
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
    Case("100 x 5q x 15 Paulis, 2 bases", 100, 5, 1024, transverse_ising(5), 0),
    Case("4 x 20q x 150 Paulis, 3 bases", 4, 20, 4096, two_local(20, 150), 0),
)


def seconds(run: Callable[[], Any]) -> float:
    """Return how long something takes."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def check(ours: PrimitiveResult[Any], theirs: PrimitiveResult[Any]) -> None:
    """Check that two estimators agree."""
    mine, stock = ours[0].data, theirs[0].data
    assert mine.evs.shape == stock.evs.shape
    assert ours[0].metadata == theirs[0].metadata
    # Qiskit's bound holds for both, and the two had different counts.
    assert (np.abs(mine.evs - stock.evs) <= 6 * np.hypot(mine.stds, stock.stds) + 1e-12).all()
    assert np.allclose(mine.stds, stock.stds, rtol=0.1)


def measure(case: Case) -> bool:
    """Time a case with both, print a line, and tell whether the target was met."""
    pub, backend = case.pub(), CannedBackend(case.qubits)
    stock = BackendEstimatorV2(backend=backend)
    router = RouterEstimator(backend)
    bound = RouterEstimator(backend, options={"stds": "upper_bound"})
    check(bound.run([pub]).result(), stock.run([pub]).result())  # Also fills the caches.
    backend.circuits = 0
    ours: list[float] = []
    theirs: list[float] = []
    # Alternating, so that whatever else the machine does hits both; and the shortest counts.
    for _ in range(4 if case.rows > 100 else 2):
        theirs.append(seconds(lambda: stock.run([pub]).result()))
        sent = backend.circuits
        ours += [seconds(lambda: router.run([pub]).result()) for _ in range(8)]
        circuits, backend.circuits = (backend.circuits - sent) // 8, 0
    ratio = min(theirs) / min(ours)
    met = ratio >= case.target
    print(
        f"{case.name:38} {circuits:8} {min(theirs):10.3f} {min(ours):10.4f} {ratio:8.1f}x"
        f" {case.target:6.0f}x {'' if met else '  MISSED'}"
    )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, and no targets")
    quick = parser.parse_args().quick
    print(
        f"{'case':38} {'circuits':>8} {'stock s':>10} {'router s':>10} {'ratio':>9} {'target':>7}"
    )
    met = [measure(case) for case in (QUICK if quick else CASES)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
