"""What a journal costs: its own CPU time as a share of the run's, and the same runs without one.

python benchmarks/journal.py

``journal`` is the CPU time spent in its calls, measured call by call in the threads that make them;
``share`` is what that adds to the CPU time of the run without. The difference of two whole runs,
``wall``, is also shown, taken in turn and best of several: on a busy machine it is mostly noise.
Exits with an error if a run of more than ``LONG`` seconds has a share above ``BOUND``.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator

from qiskit_gateway import Journal, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.diary import RunDiary

REPEATS = 5
LONG = 0.1
BOUND = 0.05


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


class Meter:
    """Sums up the CPU time of a journal's calls, whatever thread they are made in."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for owner, names in (
            (Journal, ("begin",)),
            (RunDiary, ("intended", "accepted", "arrived", "ended", "beat", "closed", "tidy")),
        ):
            for name in names:
                setattr(owner, name, self._metered(getattr(owner, name)))

    def _metered(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - began

        return called


@dataclass(frozen=True)
class Cost:
    """What one run costs, in seconds."""

    cpu: float
    wall: float
    journal: float


def cost_of(run: Callable[[], Any], meter: Meter) -> Cost:
    """Return what a run costs, from the call to the result."""
    meter.seconds = 0.0
    cpu, wall = time.process_time(), time.perf_counter()
    run().result()
    wall = time.perf_counter() - wall
    return Cost(time.process_time() - cpu, wall, meter.seconds)


def measured_line(
    name: str, run: Callable[[Journal | None], Any], journal: Journal, meter: Meter
) -> tuple[str, bool]:
    """Return the figures of a run as text, and whether they are as they should be."""
    run(None).result()
    pairs = [
        (cost_of(lambda: run(None), meter), cost_of(lambda: run(journal), meter))
        for _ in range(REPEATS)
    ]
    cpu, wall = min(a.cpu for a, _ in pairs), min(a.wall for a, _ in pairs)
    with_cpu, with_wall = min(b.cpu for _, b in pairs), min(b.wall for _, b in pairs)
    own = min(b.journal for _, b in pairs)
    figures = f"{cpu:9.4f}s{with_cpu:9.4f}s{own * 1e3:9.2f}ms{own / cpu:8.1%}"
    line = f"{name:24}{figures}{with_wall / wall - 1:8.1%}"
    return line, cpu < LONG or own / cpu <= BOUND


def main() -> None:
    """Measure, and print a table."""
    meter, fine = Meter(), True
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db")
        print(f"{'':24}{'cpu':>10}{'with':>10}{'journal':>11}{'share':>8}{'wall':>8}")
        for name, run in cases().items():
            line, good = measured_line(name, run, journal, meter)
            fine = fine and good
            print(line if good else f"{line}  above {BOUND:.0%}")
        journal.close()
    sys.exit(not fine)


if __name__ == "__main__":
    main()
