"""A process that dies leaves jobs; another one that lives asks after them before it takes their place."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from journals import read_reservations
from killing import BITS, DiskBackend
from qiskit import QuantumCircuit

from qiskit_gateway import Journal, RouterSampler, RunError
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.journal.claims import read_balances
from qiskit_gateway.policies import Budget, Policy
from qiskit_gateway.work.record.run_events import ShardDenied

HOLD = textwrap.dedent("""
    import sys
    from pathlib import Path

    import killing
    from qiskit import QuantumCircuit
    from qiskit_gateway import RouterSampler
    from qiskit_gateway.backends import Limits, Member, Pricing

    folder, journal, known = sys.argv[1:]
    killing.JOB_SECONDS = 1e6

    class Backend(killing.DiskBackend):
        def run(self, run_input, **options):
            job = super().run(run_input, **options)
            print("sent", flush=True)
            if not known:
                sys.stdin.read()
            return job

    member = Member(
        Backend(Path(folder), tags=True), limits=Limits(max_in_flight=1), pricing=Pricing(per_job=1)
    )
    circuit = QuantumCircuit(killing.BITS)
    circuit.measure_all()
    RouterSampler(member, journal=journal).run([circuit], shots=5).result()
""")


@pytest.fixture(params=["accepted", "intended"])
def dead(request, journal_place, tmp_path):
    """Kill a process whose job runs; it had its id, or not yet. Give the file of the job."""
    known = "known" if request.param == "accepted" else ""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "one"), str(journal_place), known]
    holder = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert holder.stdout.readline() == b"sent\n"
    books, wanted = Journal(journal_place), request.param
    while books._database.query("SELECT state FROM attempts") != [(wanted,)]:
        assert holder.poll() is None
    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    holder.stdin.close()
    holder.stdout.close()
    (job,) = (tmp_path / "one").glob("*.json")
    return job


class Denials:
    """Notes why shards were denied."""

    def __init__(self):
        self.any, self.reasons = threading.Event(), []

    def on_event(self, event):
        if isinstance(event, ShardDenied):
            self.reasons.append(event.reason)
            self.any.set()


def living(folder, place, *, limits, budget=None):
    """Make the sampler of another process, and say what is denied to it."""
    denials = Denials()
    member = Member(
        DiskBackend(folder / "one", tags=True), limits=limits, pricing=Pricing(per_job=1)
    )
    fleet = Fleet([member], observers=[denials])
    return RouterSampler(fleet, policy=Policy(budget=budget), journal=place), denials


def ends(job):
    """Let a job end at its provider."""
    draft = job.with_suffix(".draft")
    draft.write_text(json.dumps(json.loads(job.read_text()) | {"ready": 0.0}))
    draft.rename(job)


def circuit():
    made = QuantumCircuit(BITS)
    made.measure_all()
    return made


def test_its_slot_is_free_once_its_job_is_over(dead, journal_place, tmp_path):
    """The job is asked after by its id, or by our own name for it; until then others wait."""
    sampler, denials = living(tmp_path, journal_place, limits=Limits(max_in_flight=1))
    job = sampler.run([circuit()], shots=5)
    assert denials.any.wait(60)
    with pytest.raises(TimeoutError):
        job.result(timeout=0.5)
    assert len([*dead.parent.glob("*.json")]) == 1
    ends(dead)
    assert job.result(100)[0].data.meas.num_shots == 5
    assert "1 jobs at once" in denials.reasons[0]
    books = Journal(journal_place)
    assert read_balances(books._database)["usd"] == 2.0
    assert not list(read_reservations(books._database))


@pytest.mark.parametrize("dead", ["accepted"], indirect=True)
def test_its_money_is_told_to_be_spent_once_its_job_is_over(dead, journal_place, tmp_path):
    """Until then it may come back, so that others wait for it; no member has a limit of jobs."""
    limits, budget = Limits(max_circuits=1), Budget(usd=2)
    sampler, denials = living(tmp_path, journal_place, limits=limits, budget=budget)
    job = sampler.run([circuit()] * 2, shots=5)
    assert denials.any.wait(60)
    with pytest.raises(TimeoutError):
        job.result(timeout=1.0)
    ends(dead)
    with pytest.raises(RunError, match="budget of 2 usd has 0 left \\(2 spent, 0 reserved"):
        job.result(100)
    assert len([*dead.parent.glob("*.json")]) == 2
    assert not list(read_reservations(Journal(journal_place)._database))
