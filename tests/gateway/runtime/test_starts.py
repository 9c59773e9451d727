"""Attempts know when their jobs began to run, where the provider tells."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import Fleet, JobStage, SimulatedMember
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.policies import Policy
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.work.record import run_events
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work


class Staged(SimulatedMember):
    """A member that tells its stage when it is asked, as those over provider packages do."""

    announce_start = None

    async def stage(self, handle):
        running = await self.started(handle)
        return JobStage(name="running" if running else "queued", said="")


class Silent(SimulatedMember):
    """A member that tells nothing of its jobs."""

    announce_start = None


class Secretive(SimulatedMember):
    """A member whose queue nobody can read, so that a run cannot know that it will be late."""

    queue = None


class Told:
    def __init__(self):
        self.events = []

    def on_event(self, event):
        self.events.append(event)


def circuit():
    made = QuantumCircuit(1, 1)
    made.measure(0, 0)
    return made


async def read_attempts(member, observers=()):
    pub = SamplerPub(circuit(), shots=100)
    work = Work(
        tasks=(Task(index=0, group=0, rows=1, shots=100),),
        programs=(Program(circuit=pub.circuit),),
        rows=(np.zeros((1, 0)),),
        stores=(SamplerStore(pub),),
    )
    fleet = Fleet([member], observers=observers)
    run = Run("job", fleet, Policy(deadline_seconds=500.0), work)
    await run.execute()
    fleet.flush_observers()
    return run.record


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [0.0, 100.0])
async def test_a_member_that_announces_starts_is_believed_to_the_second(wait):
    """The queue ends where the run begins, and observers are told so once."""
    told = Told()
    (attempt,) = await read_attempts(
        SimulatedMember("a", queue_seconds=wait, job_seconds=20.0), [told]
    )
    starts = [e for e in told.events if isinstance(e, run_events.ShardStarted)]

    assert attempt.started_seconds == pytest.approx(wait, abs=1e-3)
    assert attempt.finished_seconds == pytest.approx(wait + 20.0, abs=1e-3)
    assert [event.seconds for event in starts] == [attempt.started_seconds]


@pytest.mark.anyio
async def test_a_member_that_is_asked_tells_starts_late_by_a_tenth():
    """Looks grow rarer as the job waits; the start is the first look that finds it running."""
    (attempt,) = await read_attempts(Staged("a", queue_seconds=100.0, job_seconds=60.0))
    assert 100.0 <= attempt.started_seconds <= 111.0


@pytest.mark.anyio
@pytest.mark.parametrize(
    "member",
    [
        Silent("a", queue_seconds=100.0, job_seconds=20.0),
        Staged("a", queue_seconds=0.0, job_seconds=0.5),
    ],
    ids=["silent", "over before the first look"],
)
async def test_what_nobody_tells_is_not_known(member):
    """No start is made up."""
    (attempt,) = await read_attempts(member)
    assert attempt.outcome == "done"
    assert attempt.started_seconds is None


@pytest.mark.anyio
async def test_a_job_that_is_cancelled_in_the_queue_never_began():
    """The deadline ends the wait, and there is no start."""
    (attempt,) = await read_attempts(Secretive("a", queue_seconds=900.0, job_seconds=20.0))
    assert attempt.outcome == "cancelled"
    assert attempt.started_seconds is None


def test_the_journal_keeps_starts(tmp_path):
    """Whoever reads the journal finds the start that the report tells."""
    path = tmp_path / "journal.db"
    job = RouterSampler(SimulatedMember("a", queue_seconds=0.05), journal=path).run([circuit()])
    job.result(timeout=60)

    (attempt,) = job.report().attempts
    (entry,) = Journal(path).entries(job.job_id())
    assert 0.05 <= attempt.started_seconds == entry.attempt.started_seconds
