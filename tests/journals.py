"""Journals of tests, in a file and in PostgreSQL, and the work that is written down there."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.journal.run_spec import PubSpec, RunSpec
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work

SPEC = RunSpec(
    kind="sampler",
    pubs=(PubSpec(circuit=QuantumCircuit(1), rows=np.zeros((1, 0)), shape=(), amount=5),),
    options={},
)


@pytest.fixture(params=["sqlite", "postgres"])
def journal_place(request, tmp_path):
    """A path or an address at which there is no journal yet."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").new_database()
    return tmp_path / "journal"


def small_work(circuits, *, shots=100):
    """Make the work of a run of circuits of one qubit that only measure it."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    return Work(
        tasks=tuple(Task(index=i, group=i, rows=1, shots=shots) for i in range(circuits)),
        programs=(Program(circuit=circuit),) * circuits,
        rows=(np.zeros((1, 0)),) * circuits,
        stores=tuple(SamplerStore(SamplerPub(circuit, shots=shots)) for _ in range(circuits)),
    )


def read_reservations(database):
    """Go through what is held: the attempt, its member, its price."""
    for job_id, shard, number, member, usd in database.query(
        "SELECT job_id, shard, number, member, usd FROM reservations"
    ):
        yield (job_id, shard, number), member, usd
