"""What a journal costs: the same runs with one and without, in turn, best of several.

python benchmarks/journal.py
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator

from qiskit_gateway import Journal, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Limits, Member

REPEATS = 7


def ansatz(qubits: int) -> QuantumCircuit:
    """Return a circuit of two layers with parameters."""
    circuit = QuantumCircuit(qubits)
    for layer in range(2):
        for qubit in range(qubits):
            circuit.ry(Parameter(f"a{layer}_{qubit}"), qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return circuit


def measured(qubits: int, rows: int) -> tuple[QuantumCircuit, Any]:
    """Return a sampler PUB of so many rows."""
    circuit = ansatz(qubits)
    circuit.measure_all()
    return circuit, np.random.default_rng(0).uniform(0, 3, (rows, circuit.num_parameters))


def distinct(qubits: int, count: int) -> list[QuantumCircuit]:
    """Return circuits with nothing in common."""
    circuit, values = measured(qubits, count)
    return [circuit.assign_parameters(row) for row in values]


def member(**limits: int) -> Member:
    """Return Aer on one thread, taking jobs of limited size."""
    backend = AerSimulator(max_parallel_threads=1)
    return Member(backend, limits=Limits(**limits))


def cases() -> dict[str, Callable[[Journal | None], Any]]:
    """Return the runs, by what they are."""
    whole, small, few = member(max_in_flight=1), member(max_in_flight=2, max_circuits=10), member()
    rows, many = measured(5, 1000), distinct(5, 300)
    values = rows[1][:100]
    return {
        "1000 rows x 1k shots": lambda j: RouterSampler(whole, journal=j).run([rows], shots=1000),
        "  in jobs of 10": lambda j: RouterSampler(small, journal=j).run([rows], shots=1000),
        "300 distinct circuits": lambda j: RouterSampler(whole, journal=j).run(many, shots=1000),
        "one circuit": lambda j: RouterSampler(few, journal=j).run([many[0]], shots=1000),
        "estimator, 100 rows": lambda j: RouterEstimator(whole, journal=j).run(
            [(ansatz(5), [["ZZZZZ"], ["XXXXX"], ["YYYYY"]], values)]
        ),
    }


def seconds_of(run: Callable[[], Any]) -> float:
    """Return how long a run takes, from the call to the result."""
    began = time.perf_counter()
    run().result()
    return time.perf_counter() - began


def best(run: Callable[[Journal | None], Any], journal: Journal) -> tuple[float, float]:
    """Return the best times without and with a journal, taken in turn."""
    run(None).result()
    pairs = [
        (seconds_of(lambda: run(None)), seconds_of(lambda: run(journal))) for _ in range(REPEATS)
    ]
    without, with_one = zip(*pairs, strict=True)
    return min(without), min(with_one)


def table(rows: Sequence[tuple[str, float, float]]) -> str:
    """Return the times as text."""
    lines = [f"{'':24}{'without':>10}{'with':>10}{'more':>8}"]
    lines += [f"{n:24}{a:9.4f}s{b:9.4f}s{b / a - 1:8.1%}" for n, a, b in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db")
        print(table([(name, *best(run, journal)) for name, run in cases().items()]))
        journal.close()


if __name__ == "__main__":
    main()
