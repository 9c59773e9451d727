"""Several jobs in one asyncio program: await some together, cancel another."""

import asyncio
import sys
import time

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import JobStatus
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import RouterSampler, RunError
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.backends.scripted import Delays, ScriptedBackend
from qiskit_gateway.policies import failover


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for qubit in range(1, qubits):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    return circuit


async def main() -> None:
    remote = ScriptedBackend(BasicSimulator(), then=Delays(0.5))  # every job takes half a second
    fleet = Fleet(
        [
            Member(BasicSimulator(), name="local"),
            Member(remote, name="remote", limits=Limits(max_circuits=1, max_in_flight=1)),
        ]
    )
    sampler = RouterSampler(fleet)
    remote_only = RouterSampler(fleet, policy=failover("remote"))

    began = time.monotonic()
    unwanted = remote_only.run([(ghz(6), np.zeros((50, 0)))], shots=1000)  # 50 jobs: 25 seconds
    jobs = [sampler.run([ghz(qubits)], shots=1000) for qubits in (2, 3, 4)]
    results = await asyncio.gather(*jobs)  # the event loop stays free meanwhile
    for job, result in zip(jobs, results, strict=True):
        counts = result[0].data.meas.get_counts()
        print(f"{', '.join(job.report().members)}: {dict(sorted(counts.items()))}")

    print("cancelled:", unwanted.cancel())
    try:
        await unwanted
    except RunError as error:
        print("its error:", error)
    print(f"all done after {time.monotonic() - began:.1f} s")

    if unwanted.status() != JobStatus.CANCELLED:
        sys.exit("the job was not cancelled")
    if any(sum(result[0].data.meas.get_counts().values()) != 1000 for result in results):
        sys.exit("shots are missing")


if __name__ == "__main__":
    asyncio.run(main())
