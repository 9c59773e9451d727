"""One run over IBM's client and the server of the tests, written down in a journal.

python ibm_run.py URL INSTANCE JOURNAL
"""

import os
import sys
from math import pi

from qiskit.circuit import Parameter, QuantumCircuit

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import PrimitiveMember

ROWS = [[pi], [0.0], [pi]]


def member_of(root, instance, **options):
    """Return a member over the client-side Sampler of a new service."""
    os.environ |= {"IAM_URL": root, "QISKIT_FUNCTIONS_EXPERIMENTAL": "1"}
    import qiskit_ibm_runtime
    from qiskit_ibm_runtime.executor_sampler import Sampler

    given = {"url": f"{root}/experimental", "instance": instance, "token": "t"}
    service = qiskit_ibm_runtime.QiskitRuntimeService(channel="ibm_quantum_platform", **given)
    return PrimitiveMember(Sampler(mode=service.backend("ibm_manila")), **options)


def pub(shots=None):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("b"), 0)
    circuit.measure_all()
    return circuit, ROWS, shots


if __name__ == "__main__":
    root, instance, journal = sys.argv[1:]
    sampler = RouterSampler(member_of(root, instance), journal=journal)
    sampler.run([pub(20)]).result()
