"""IonQ's package against a server of our own: what goes wrong with remote jobs, and is put right."""

import os
import subprocess
import sys

import anyio
import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from small_circuits import bell

from qiskit_gateway import GatewayError, Journal, PlanError, RouterSampler
from qiskit_gateway.backends import Member, Pricing
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.policies import Budget, RetryPolicy, fastest

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]

QUICK = fastest(retry=RetryPolicy(wait_initial_seconds=0.001))


@pytest.fixture
def server(ionq_server):
    """The server, and nothing left over for the next test."""
    ionq_server.posted.clear()
    ionq_server.jobs.clear()
    ionq_server.released.clear()
    yield ionq_server
    ionq_server.troubles.clear()
    ionq_server.released.set()


@pytest.fixture
def qpu(server, provider_members):
    return provider_members("ionq qpu")


def flipped():
    """A circuit that goes to IonQ as a program: its qubit is used again after a measurement."""
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    return circuit


def batch(circuit, key, shots=50):
    entry = Entry(program=Program(circuit=circuit), rows=np.empty((1, 0)))
    return Batch(entries=(entry,), shots=shots, kept_shots=shots, key=key)


def parents(server):
    return [job for job in server.jobs.values() if not job["parent_job_id"]]


def only_bell(result, shots):
    counts = result[0].data.meas.get_counts()
    return counts.keys() <= {"00", "11"} and sum(counts.values()) == shots


def until(happens):
    """Wait, on a real clock, for what another thread does."""
    with anyio.from_thread.start_blocking_portal() as portal:
        while not happens():
            portal.call(anyio.sleep, 0.01)


def test_the_order_of_shots_is_kept(server, qpu):
    """A job of one circuit is no list, so that it has memory, and its order is not shuffled."""
    bits = RouterSampler(qpu).run([bell()], shots=60).result()[0].data.meas
    (job,) = server.jobs.values()
    assert job["type"] == "ionq.circuit.v1"
    assert [int(text, 2) for text in bits.get_bitstrings()] == job["content"]["shots"]


def test_circuits_of_one_job_are_told_apart(server, qpu):
    """Twenty circuits in one job come back in their order."""
    circuits = [QuantumCircuit(3) for _ in range(20)]
    for number, circuit in enumerate(circuits):
        circuit.ry(np.pi * (number & 1), 0)
        circuit.x(1)
        circuit.ry(np.pi * ((number >> 1) & 1), 2)
        circuit.measure_all()
    result = RouterSampler(qpu).run(circuits, shots=10).result()
    expected = [{f"{(number >> 1) & 1}1{number & 1}": 10} for number in range(20)]
    assert [pub.data.meas.get_counts() for pub in result] == expected
    assert len(parents(server)) == 1


def test_programs_are_sent_one_in_a_job(server, qpu):
    """Where one job holds circuits that the provider takes only alone, they are found and split."""
    pubs = [bell(), flipped(), bell(), flipped()]
    job = RouterSampler(qpu, policy=QUICK).run(pubs, shots=40)
    result = job.result()
    assert only_bell(result, 40)
    assert [result[number].data.c.get_counts() for number in (1, 3)] == [{"01": 40}] * 2
    kinds = sorted(body["type"] for body in server.posted)
    assert kinds.count("ionq.qasm3.v1") == 2
    assert job.report().members["ionq qpu"]["shots"] == 4 * 40


def test_noise_models_have_single_shots(server, qpu, provider_members):
    """The simulator takes programs where a noise model makes it sample, by option of the member."""
    ideal = provider_members("ionq")
    noisy = Member(ideal.backend, run_options={"noise_model": "forte-1"})
    result = RouterSampler(noisy).run([flipped()], shots=30).result()
    assert result[0].data.c.get_counts() == {"01": 30}
    assert server.posted[0]["noise"]["model"] == "forte-1"


def test_a_taken_job_whose_answer_was_lost_is_found(server, qpu):
    """The provider took the job and hung up: it is looked for, found, and not submitted again."""
    for _ in range(8):  # Other jobs, on several pages of the list.
        RouterSampler(qpu).run([bell()], shots=5).result()
    server.posted.clear()
    server.troubles.append("vanish")
    job = RouterSampler(qpu, policy=QUICK).run([bell()] * 2, shots=70)
    assert only_bell(job.result(), 70)
    assert len(server.posted) == 1
    assert [attempt.outcome for attempt in job.report().attempts] == ["done"]


def test_a_key_finds_its_job_alone(server, qpu):
    """By its key a job is found among others, without its circuits, which bear it too."""

    async def look():
        both = Batch(
            entries=(batch(bell(), "").entries * 2), shots=9, kept_shots=9, key="key-of-both"
        )
        first = await qpu.submit(batch(bell(), "key-of-one"))
        second = await qpu.submit(both)
        found = [await qpu.find(key) for key in ("key-of-one", "key-of-both", "key-of-none")]
        assert [handle and handle.job_id for handle in found] == [first.job_id, second.job_id, None]

    anyio.run(look)


def test_a_users_metadata_is_kept(server, qpu):
    """Metadata of the user's own goes along with the label."""
    options = {"extra_metadata": {"team": "blue"}}
    RouterSampler(qpu, options={"run_options": options}).run([bell()], shots=5).result()
    assert server.posted[0]["metadata"]["team"] == "blue"
    assert server.posted[0]["metadata"]["qiskit_gateway"]


def test_a_job_is_fetched_by_its_id(server, qpu):
    """Another process fetches a job that this one submitted; one that failed is known to have."""

    async def fetch():
        asked = batch(bell(), "fetched")
        handle = await qpu.reattach((await qpu.submit(asked)).job_id)
        (outcome,) = await qpu.collect(type(handle)(job_id="", job=handle.job, batch=asked))
        assert outcome.shots == 50
        server.troubles.append("fail")
        failed = await qpu.reattach((await qpu.submit(asked)).job_id)
        assert not await qpu.cancel(failed)
        with pytest.raises(BackendError, match="it could not be compiled") as raised:
            await qpu.collect(type(failed)(job_id="", job=failed.job, batch=asked))
        assert raised.value.submitted is True

    anyio.run(fetch)


DYING = """
import sys
from qiskit.circuit import QuantumCircuit
from qiskit_gateway import Journal, RouterSampler
from qiskit_ionq import IonQProvider

circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()
qpu = IonQProvider("a-token").get_backend("qpu.forte-1")
RouterSampler(qpu, journal=Journal(sys.argv[1])).run([circuit], shots=25).result()
"""


def test_a_killed_process_leaves_no_job_behind(server, qpu, tmp_path):
    """Killed before it heard that its job was taken: the next process finds it, and pays once."""
    path = tmp_path / "runs.db"
    server.troubles.append("hang")
    child = subprocess.Popen(  # noqa: S603  Our own interpreter and script.
        [sys.executable, "-W", "ignore", "-c", DYING, str(path)],
        env={**os.environ, "IONQ_API_URL": server.url},
    )
    try:
        until(lambda: server.jobs)
    finally:
        child.kill()
        child.wait()
        server.released.set()
    journal = Journal(path)
    (run,) = journal.runs()
    member = Member(qpu.backend, name="ionq_qpu.forte-1")
    job = RouterSampler(member, policy=QUICK, journal=journal).resume(run.job_id)
    assert only_bell(job.result(), 25)
    assert len(server.posted) == 1
    (attempt,) = job.report().attempts
    assert (attempt.outcome, attempt.job_id) == ("done", next(iter(server.jobs)))


@pytest.mark.parametrize(
    ("troubles", "said", "posts"),
    [
        (["fail"] * 3, "it could not be compiled", 3),
        ([401], "troubled", 1),
        ([400], "troubled", 1),
    ],
)
def test_failures_are_told(server, qpu, troubles, said, posts):
    """What the provider says of a failure reaches the user, and is not tried in vain."""
    server.troubles.extend(troubles)
    with pytest.raises(GatewayError, match=said):
        RouterSampler(qpu, policy=QUICK).run([bell()], shots=5).result()
    assert len(server.posted) == posts


def test_throttled_submissions_go_through(server, qpu):
    """The package tries again five times by itself; what it gives up on, the router tries again."""
    server.troubles.extend([429] * 7)
    assert only_bell(RouterSampler(qpu, policy=QUICK).run([bell()], shots=8).result(), 8)
    assert len(parents(server)) == 1


def test_cancelling_reaches_the_provider(server, qpu):
    """A job that waits in the provider's queue is cancelled there."""
    server.troubles.append("hold")
    job = RouterSampler(qpu).run([bell()], shots=8)
    until(lambda: server.jobs)
    job.cancel()
    until(lambda: [one["status"] for one in server.jobs.values()] == ["canceled"])
    until(job.cancelled)


def test_the_queue_is_read(server, qpu):
    """The provider's estimate of its queue is understood."""
    reading = qpu.queue_probe()
    assert (reading.wait_seconds, reading.error) == (40, "")


def test_too_wide(server, qpu):
    """A circuit wider than the device is refused before anything is sent."""
    wide = QuantumCircuit(12)
    wide.measure_all()
    with pytest.raises(PlanError, match="needs 12 qubits, has 11"):
        RouterSampler(qpu).run([wide], shots=5).result()
    assert not server.posted


@pytest.fixture
def priced(qpu):
    """The machine, with a price of our own reckoning that is not its provider's."""
    made = Member(qpu.backend, name="forte", pricing=Pricing(per_shot=0.08))
    made.adaptation = qpu.adaptation
    return made


def test_the_bill_of_a_job_settles_its_price(server, priced):
    """What IonQ charged takes the place of what was expected, in report and budget."""
    budget = Budget(usd=100)
    sampler = RouterSampler(priced, policy=fastest(budget=budget))
    job = sampler.run([bell()], shots=50)
    job.result(timeout=60)
    (attempt,) = job.report().attempts
    assert attempt.charged
    assert job.report().price_usd == 12.25


def test_a_quote_asks_for_the_providers_estimate(server, priced):
    """Only where that is wanted, and nothing is sent."""
    sampler = RouterSampler(priced)
    assert sampler.quote([bell()] * 2, shots=50).price_usd == pytest.approx(2 * 50 * 0.08)
    quote = sampler.quote([bell()] * 2, shots=50, exact=True)
    assert quote.price_usd == pytest.approx(2 * 1.5)
    assert quote["forte"].price_told
    assert "provider's own estimate: forte" in str(quote)
    assert not server.posted
