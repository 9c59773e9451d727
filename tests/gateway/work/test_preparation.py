"""What a circuit weighs, whatever its metadata are."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.exceptions import QiskitError
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import PlanError, RouterSampler
from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.backends.circuits.circuit_bytes import write_qpy

ODD = [np.int64(4), np.arange(3), 1 + 2j, {(0, 1): 2}, {1, 2}, object(), float("nan"), b"bytes"]


def ones(metadata=None):
    """Return a circuit whose answer is 1."""
    circuit = QuantumCircuit(1, metadata=metadata)
    circuit.x(0)
    circuit.measure_all()
    return circuit


def sampler(most_bytes):
    """Return a sampler over one backend with a limit of payload."""
    return RouterSampler(Member(BasicSimulator(), limits=Limits(max_payload_bytes=most_bytes)))


# A run that hangs is told from one that is slow on a busy machine.
PATIENCE = 180


def counts(job):
    return [pub.data.meas.get_counts() for pub in job.result(timeout=PATIENCE)]


@pytest.mark.parametrize("value", ODD, ids=lambda one: type(one).__name__)
def test_metadata_do_not_weigh(value):
    """They are not sent, and may be what JSON does not know; the result has the very same."""
    circuit = ones({"xval": value})
    result = sampler(100_000).run([circuit] * 3, shots=10).result(timeout=PATIENCE)
    assert result[0].metadata["circuit_metadata"]["xval"] is value
    assert counts(sampler(100_000).run([circuit], shots=10)) == [{"1": 10}]
    assert sampler(100_000).quote([circuit], shots=10).shots == 10


@pytest.mark.parametrize("value", ODD, ids=lambda one: type(one).__name__)
def test_metadata_within_a_circuit_do_not_weigh(value, tmp_path):
    """Those of a body, or of a gate's definition; nor are they in the way of a journal."""
    body = QuantumCircuit(1, metadata={"xval": value})
    body.x(0)
    circuit = QuantumCircuit(1)
    circuit.append(body.to_gate(), [0])
    circuit.for_loop(range(2), None, body, [0], [])
    circuit.measure_all()
    plain = ones()
    for limit in (100_000, None):
        member = Member(BasicSimulator(), limits=Limits(max_payload_bytes=limit))
        job = RouterSampler(member, journal=tmp_path / f"{limit}.db").run([plain], shots=10)
        assert counts(job) == [{"1": 10}]
        job = RouterSampler(member, journal=tmp_path / f"{limit}.db").run([circuit], shots=10)
        with pytest.raises(PlanError, match="for_loop"):  # The simulator has no control flow.
            job.result(timeout=PATIENCE)


def test_the_limit_of_payload_holds():
    """A job holds no more circuits than fit."""
    weight = len(write_qpy(ones()))
    job = sampler(3 * weight).run([ones({"long": "x" * 10_000})] * 12, shots=10)
    assert counts(job) == [{"1": 10}] * 12
    assert len(job.report().attempts) == 4


class Unwritten(Gate):
    """A gate that QPY cannot hold."""

    def __init__(self):
        super().__init__("unwritten", 1, [object()])

    def validate_parameter(self, parameter):
        return parameter

    def _define(self):
        self.definition = QuantumCircuit(1)
        self.definition.x(0)


def test_a_circuit_that_qpy_cannot_hold_runs_under_a_limit():
    """What it weighs is not known, and the provider is the judge."""
    circuit = QuantumCircuit(1)
    circuit.append(Unwritten(), [0])
    circuit.measure_all()
    with pytest.raises(QiskitError):
        write_qpy(circuit)
    assert counts(sampler(100_000).run([circuit], shots=10)) == [{"1": 10}]
