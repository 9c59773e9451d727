"""What a hop to a worker costs, and from which simulation time on two workers beat this process.

Jobs of one circuit each over Aer on one thread, on a member in this process and on spawned workers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from benchmarks.measure import Row, faster, paired, timed
from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import ExecutorMember, Limits, Member
from qiskit_gateway.backends.executors.pool import make_process_pool

ARGUMENTS = {"method": "statevector", "max_parallel_threads": 1}
JOBS = 12


def rows(*, quick: bool) -> Iterator[Row]:
    """Time jobs of several lengths here, on one worker and on two."""
    made = [member_here(), *(_on_pool(workers) for workers in (1, 2))]
    yield from compare_workers(made, (4,) if quick else (4, 14, 16, 18, 20), 1 if quick else 3)


def compare_workers(
    members: Sequence[Member | ExecutorMember], widths: Sequence[int], turns: int
) -> Iterator[Row]:
    """Time the same jobs on a member here, one with a worker and one with two, in turn."""
    samplers = [RouterSampler(member) for member in members]
    for width in widths:
        circuit = _deep(width)
        runs = [partial(_run, sampler, circuit) for sampler in samplers]
        for run in runs:  # Compiled, and built on both workers.
            run()
        here, one, two = paired(runs, turns)
        about = f"{JOBS} jobs of {timed(here / JOBS)} (Aer, {width} qubits)"
        yield Row(
            case=f"{about}: a hop to a worker",
            against=f"here {timed(here / JOBS)}",
            router=timed(one / JOBS),
            figure=(one - here) / JOBS * 1e3,
            unit="ms",
        )
        yield faster(f"{about}: two workers against one", one, two)
        yield faster(f"{about}: two workers against none", here, two)


def member_here() -> Member:
    """Return a member in this process, one job at a time."""
    limits = Limits(max_circuits=1, max_in_flight=1)
    return Member(AerSimulator(**ARGUMENTS), name="here", limits=limits)


def member_on(executor: Any) -> ExecutorMember:
    """Return a member on the workers of an executor."""
    limits = Limits(max_circuits=1)
    return ExecutorMember(executor, "qiskit_aer:AerSimulator", ARGUMENTS, limits=limits)


def _on_pool(workers: int) -> ExecutorMember:
    return member_on(partial(make_process_pool, workers))


def _run(sampler: RouterSampler, circuit: QuantumCircuit) -> Any:
    return sampler.run([circuit] * JOBS, shots=100).result()


def _deep(width: int) -> QuantumCircuit:
    circuit = QuantumCircuit(width)
    for layer in range(6):
        for qubit in range(width):
            circuit.ry(0.1 + layer + qubit, qubit)
        for qubit in range(width - 1):
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit
