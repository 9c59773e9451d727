"""What a job brought is read whatever its device says that it takes by now."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import GatewayError, Journal, RouterSampler
from qiskit_gateway.backends import Fleet, Member, Pricing, SimulatedMember
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.policies import RetryPolicy, fastest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Kept(GenericBackendV2):
    """A device whose jobs can be fetched again, and that may have become another one."""

    def __init__(self, jobs, num_qubits, **facts):
        super().__init__(num_qubits, seed=1, noise_info=False, **facts)
        self.name, self.jobs = "basic_simulator", jobs

    def run(self, run_input, **options):
        job = BasicSimulator().run(run_input, **options)
        self.jobs[job.job_id()] = job
        return job

    def retrieve_job(self, job_id):
        return self.jobs[job_id]


def odd():
    """Three qubits into two registers, crosswise: the outcome is 01 and 1."""
    qubits, a, b = QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(1, "b")
    circuit = QuantumCircuit(qubits, a, b)
    circuit.x([0, 2])
    circuit.measure([0, 1, 2], [b[0], a[1], a[0]])
    return circuit


def batch(program, bits):
    entry = Entry(program=program, rows=np.zeros((1, 0)))
    assert program.num_bits == bits
    return Batch(entries=(entry,), shots=20, kept_shots=20, key="job")


async def collected_later(given, then):
    """Submit to a device, and collect from what it has become."""
    jobs = {}
    handle = await Member(Kept(jobs, 5), name="m").submit(given)
    later = Member(then(jobs), name="m")
    (outcome,) = await later.collect(replace(await later.reattach(handle.job_id), batch=given))
    return outcome


@pytest.mark.parametrize(
    "then",
    [
        lambda jobs: Kept(jobs, 5),
        lambda jobs: Kept(jobs, 2),
        lambda jobs: Kept(jobs, 5, basis_gates=["id"]),
    ],
    ids=["as before", "narrower", "without gates"],
)
async def test_bits_are_read_as_they_were_sent(then):
    """A device that could not run the circuit any more has run it."""
    outcome = await collected_later(batch(Program(circuit=odd()), 3), then)
    assert (outcome.memory == 0b101).all()


async def test_the_bits_of_a_basis_are_read_too():
    """They come after those of the circuit."""
    circuit = QuantumCircuit(3)
    circuit.x(1)
    given = batch(Program(circuit=circuit, basis="ZZI"), 2)
    outcome = await collected_later(given, lambda jobs: Kept(jobs, 2))
    assert (outcome.memory == 0b01).all()


class Silent(Kept):
    """A device whose jobs run, and whose results nobody gets here."""

    def run(self, run_input, **options):
        job = super().run(run_input, **options)
        return SimpleNamespace(
            job_id=job.job_id, result=threading.Event().wait, cancel=lambda: False
        )


@pytest.mark.parametrize("num_qubits", [5, 2])
def test_a_resumed_run_pays_no_second_time(tmp_path, num_qubits):
    """The job of before is fetched, though its device takes no such circuit now."""
    jobs = {}

    def over(device):
        fleet = Fleet([Member(device, name="m", pricing=Pricing(per_job=1.0))])
        policy = fastest(collect_seconds=0.2, retry=RetryPolicy(on_unknown="fail"))
        return RouterSampler(fleet, policy=policy, journal=tmp_path / "j")

    job = over(Silent(jobs, 5)).run([odd()], shots=20)
    with pytest.raises(GatewayError):
        job.result()
    again = over(Kept(jobs, num_qubits)).resume(job.job_id())
    data = again.result()[0].data
    assert (data.a.get_counts(), data.b.get_counts()) == ({"01": 20}, {"1": 20})
    assert len(jobs) == 1
    assert Journal(tmp_path / "j").ledger().spent["usd"] == 1.0


def test_a_verdict_on_a_job_that_was_sent_is_a_failure():
    """A member of one's own may refuse when it collects: what was sent stays sent, and paid."""

    class Late(SimulatedMember):
        async def collect(self, handle):
            await super().collect(handle)
            raise Refused({0: "I take no such circuits"})

    fleet = Fleet([Late("late", pricing=Pricing(per_job=1.0))])
    job = RouterSampler(fleet).run([odd()], shots=20)
    with pytest.raises(GatewayError, match="no such circuits"):
        job.result()
    attempts = job.report().attempts
    assert {one.outcome for one in attempts} == {"failed"}
    assert {one.price_usd for one in attempts} == {1.0}
