"""The same work on each of two members whose jobs are files, in a process that dies in the middle."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
from killing import BITS, ROWS, SHOTS, DiskBackend, bits_of_rows, jobs_in
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member

NAMES = ("first", "second")


def sampler_over(folder, names=NAMES):
    """Make a router over members of so few circuits a job that there are many jobs."""
    limits = Limits(max_circuits=3, max_in_flight=1)
    members = [Member(DiskBackend(folder / name, tags=True), limits=limits) for name in names]
    return RouterSampler(Fleet(members), journal=folder / "journal.db")


def pub():
    """Return a PUB whose row n reads the number n."""
    circuit = QuantumCircuit(BITS)
    for qubit, angle in enumerate(ParameterVector("a", BITS)):
        circuit.rx(angle, qubit)
    circuit.measure_all()
    return circuit, bits_of_rows() * np.pi


def is_right(result):
    """Tell whether a result is exactly that of a run without accidents."""
    values = result[0].data.meas.array[..., 0]
    return values.shape == (ROWS, SHOTS) and bool((values == np.arange(ROWS)[:, None]).all())


def main(folder):
    """Begin, and die once there are some jobs."""
    group = sampler_over(folder).run_on_each([pub()], shots=SHOTS)
    print(group.job_id(), flush=True)  # noqa: T201
    while len(jobs_in(folder)) < 5:
        assert not group.in_final_state()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
