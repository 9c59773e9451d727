"""A provider that hangs in any of its calls delays a run by no more than the policy allows.

Providers block in real threads here, so the clock is real; deadlines are fractions of a second.
"""

import threading
import time
from collections import Counter

import pytest
from qiskit import QuantumCircuit
from qiskit.providers import Options
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import BackendError, Limits, Member, QueueReading
from qiskit_gateway.backends.adapter import discovery as properties_module
from qiskit_gateway.backends.scripted import Hangs, ScriptedBackend
from qiskit_gateway.policies import RetryPolicy, least_busy, round_robin
from qiskit_gateway.runtime.queue_watch import FIRST_READING_SECONDS

DEADLINE = 0.6
# What else a run takes here: waits before retries, and a loaded machine.
SLACK = 3.0
CIRCUITS = 16
SHOTS = 50


class Listing(BasicSimulator):
    """A backend that loses the answers to submissions, and hangs where it is asked for its jobs."""

    def __init__(self, gate):
        super().__init__()
        self._gate = gate

    @classmethod
    def _default_options(cls):
        return Options(shots=1024, memory=False, seed_simulator=None, job_tags=None)

    def run(self, *_, **__):
        raise ConnectionResetError("the answer was lost")

    def jobs(self, **_):
        self._gate.wait()
        return []


class Shy(BasicSimulator):
    """A backend that hangs where it is asked for its properties."""

    gate = threading.Event()

    @property
    def max_circuits(self):
        self.gate.wait()
        return 1


@pytest.fixture
def gate():
    """Return an event that holds up calls, and is set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def scripted():
    """Return a function that makes a backend by a script; all are released at the end."""
    backends = []

    def make(*steps):
        backends.append(ScriptedBackend(BasicSimulator(), then=steps))
        return backends[-1]

    yield make
    for backend in backends:
        backend.release()


def pubs():
    """Return circuits that each give one outcome, and not all the same."""
    made = []
    for number in range(CIRCUITS):
        circuit = QuantumCircuit(4, 4)
        for bit in range(4):
            if number >> bit & 1:
                circuit.x(bit)
        circuit.measure(range(4), range(4))
        made.append(circuit)
    return made


def policy(**given):
    """Return rules with short deadlines, by which both members get work."""
    return round_robin(
        submit_seconds=DEADLINE,
        collect_seconds=DEADLINE,
        cancel_seconds=DEADLINE,
        retry=RetryPolicy(wait_initial_seconds=0.01),
        **given,
    )


def run(member, rules):
    """Run over a member that hangs and one that is well; return the time, and check all shots."""
    well = Member(BasicSimulator(), name="well", limits=Limits(max_circuits=2))
    sampler = RouterSampler([member, well], policy=rules)
    began = time.monotonic()
    job = sampler.run(pubs(), shots=SHOTS)
    result = job.result(timeout=60)
    seconds = time.monotonic() - began
    for number, pub in enumerate(result):
        assert Counter(pub.data.c.get_int_counts()) == {number: SHOTS}
    return seconds, job.report()


def limited(backend, **given):
    return Member(backend, name="hung", limits=Limits(max_circuits=2), **given)


@pytest.mark.parametrize(
    ("steps", "deadlines"),
    [
        ([Hangs("run")], 1),
        ([Hangs("result")], 1),
        ([Hangs("result"), Hangs("cancel")], 2),
        ([Hangs("result"), Hangs("status")], 2),
    ],
    ids=["run", "result", "cancel", "status"],
)
def test_a_hung_call_costs_its_deadline(scripted, steps, deadlines):
    """However many jobs a member has, each of its calls that hangs is waited for once."""
    seconds, report = run(limited(scripted(*steps)), policy())

    assert seconds < deadlines * DEADLINE + SLACK
    assert report.members["hung"]["failures"] > 0


def test_what_waits_behind_a_hung_call_was_not_sent(scripted):
    """Of many submissions one hangs, and its fate is unknown; the others certainly were not sent."""
    hung = scripted(Hangs("run"))
    member = Member(hung, name="hung", limits=Limits(max_circuits=1, max_in_flight=4))

    _, report = run(member, policy())

    unknown = [one for one in report.attempts if one.outcome == "unknown"]
    assert len(unknown) == len(hung.calls) == 1


def test_a_hung_queue_probe_costs_nothing_where_no_queue_is_looked_at(gate):
    """Queues are read in the background; a run whose policy is not about them does not wait."""
    seconds, report = run(limited(BasicSimulator(), queue=gate.wait), policy())

    assert seconds < SLACK < FIRST_READING_SECONDS
    assert report.members["hung"]["jobs"] > 0


def test_a_run_with_a_seed_waits_for_no_queue(gate):
    """What it does must not depend on the time, so it looks at no queue."""
    hung = limited(BasicSimulator(), queue=gate.wait)
    sampler = RouterSampler([hung], policy=least_busy(), options={"seed_simulator": 1})
    began = time.monotonic()
    assert sampler.run(pubs(), shots=SHOTS).result(timeout=30)
    assert time.monotonic() - began < FIRST_READING_SECONDS


def test_a_hung_queue_probe_holds_up_one_run_for_as_long_as_a_reading_is_waited_for(gate):
    """The first run over a fleet waits for its queues to be read, and gives up on it in time."""
    hung = limited(BasicSimulator(), queue=gate.wait)
    sampler = RouterSampler([hung], policy=least_busy())

    def seconds():
        began = time.monotonic()
        sampler.run(pubs(), shots=SHOTS).result(timeout=60)
        return time.monotonic() - began

    first, second = seconds(), seconds()
    assert second < SLACK < FIRST_READING_SECONDS <= first < FIRST_READING_SECONDS + SLACK


def test_the_first_run_of_a_process_knows_the_queues():
    """Work goes to the shortest queue at once, though it takes a moment to be read."""

    def member(name, jobs):
        def told():
            time.sleep(DEADLINE / 4)
            return QueueReading(pending_jobs=jobs)

        return Member(BasicSimulator(), name=name, queue=told)

    sampler = RouterSampler([member("long", 500), member("short", 3)], policy=least_busy())
    job = sampler.run(pubs(), shots=SHOTS)
    job.result(timeout=60)

    assert {attempt.member for attempt in job.report().attempts} == {"short"}


def test_a_hung_lookup_costs_its_deadline(gate):
    """A submission whose answer was lost is looked for, for as long as a submission may take."""
    seconds, report = run(limited(Listing(gate)), policy())

    assert seconds < DEADLINE + SLACK
    assert "unknown" in {one.outcome for one in report.attempts if one.member == "hung"}


def test_hung_properties_are_an_error_after_their_deadline(monkeypatch):
    """A backend that does not tell what it is, is told to the user, and makes no member."""
    monkeypatch.setattr(properties_module, "_PROPERTY_SECONDS", 0.1)
    try:
        with pytest.raises(BackendError, match="Shy did not return its properties"):
            Member(Shy())
    finally:
        Shy.gate.set()
