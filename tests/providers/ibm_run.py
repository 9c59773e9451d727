"""One run over IBM's client and the server of the tests, written down in a journal.

python ibm_run.py URL INSTANCE JOURNAL [estimator]
"""

import os
import sys
from math import pi

from qiskit.circuit import Parameter, QuantumCircuit

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import EstimatorMember, PrimitiveMember

ROWS = [[pi], [0.0], [pi]]


def member_of(root, instance, **options):
    """Return a member over the client-side Sampler of a new service."""
    from qiskit_ibm_runtime.executor_sampler import Sampler

    return PrimitiveMember(Sampler(mode=machine_of(root, instance)), **options)


def estimator_of(root, instance, **options):
    """Return a member over the client-side Estimator of a new service."""
    from qiskit_ibm_runtime.executor_estimator import Estimator

    return EstimatorMember(Estimator(mode=machine_of(root, instance)), **options)


def machine_of(root, instance):
    """Return the one machine of a new service."""
    os.environ |= {"IAM_URL": root, "QISKIT_FUNCTIONS_EXPERIMENTAL": "1"}
    import qiskit_ibm_runtime

    given = {"url": f"{root}/experimental", "instance": instance, "token": "t"}
    service = qiskit_ibm_runtime.QiskitRuntimeService(channel="ibm_quantum_platform", **given)
    return service.backend("ibm_manila")


def pub(shots=None):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("b"), 0)
    circuit.measure_all()
    return circuit, ROWS, shots


def observed():
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("b"), 0)
    return circuit, [["IZ"], ["ZI"], ["ZZ"]], ROWS, 0.1


if __name__ == "__main__":
    root, instance, journal, *what = sys.argv[1:]
    if what == ["estimator"]:
        estimator = RouterEstimator(estimator_of(root, instance), journal=journal)
        estimator.run([observed()]).result()
    else:
        sampler = RouterSampler(member_of(root, instance), journal=journal)
        sampler.run([pub(20)]).result()
