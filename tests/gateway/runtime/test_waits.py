"""Waits in queues that nobody can read are learned from jobs of our own."""

from itertools import pairwise

import pytest
from journals import small_work

from qiskit_gateway.backends import Fleet, SimulatedMember
from qiskit_gateway.policies import MaxWait, fastest, round_robin
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.scheduling.members.state import FleetState

pytestmark = pytest.mark.anyio


class Secretive(SimulatedMember):
    """A member that tells of its own jobs whether they run, and nothing of its queue."""

    queue = None


class Mute(Secretive):
    """A member that does not tell that either."""

    async def started(self, handle):
        return None


async def run(fleet, circuits, policy) -> Run:
    run = Run("job", fleet, policy, small_work(circuits))
    await run.execute()
    return run


@pytest.mark.parametrize("wait", [0.5, 20.0, 600.0, 7200.0])
async def test_the_wait_of_a_job_is_told_from_its_work(wait):
    """A job that waited long and ran for 3 s teaches both, the wait to a tenth and from below."""
    fleet = Fleet([Secretive("far", queue_seconds=wait, job_seconds=3.0)])
    await run(fleet, 1, fastest())
    state = fleet.keep(FleetState).of("far")

    assert state.queue_seconds <= wait
    assert wait - state.queue_seconds <= max(1.0, min(0.11 * wait, 30.0))
    assert state.speed.seconds(1, 100) == pytest.approx(3.0 + wait - state.queue_seconds, rel=0.01)


async def test_what_was_learned_moves_the_next_run_elsewhere():
    """A queue that was met once is avoided, as if it had been read, and refused by MaxWait."""
    fleet = Fleet([Secretive("far", queue_seconds=600.0), Secretive("near", job_seconds=40.0)])
    await run(fleet, 2, round_robin(where=MaxWait(1e6)))
    later = await run(fleet, 3, fastest())
    patient = await run(fleet, 3, round_robin(where=MaxWait(100)))

    assert {attempt.member for attempt in later.record} == {"near"}
    assert {attempt.member for attempt in patient.record} == {"near"}


async def test_a_queue_that_became_short_is_believed_again():
    """Each job that came soon halves at least what was thought of the wait."""
    waits = iter([600.0] + [0.0] * 20)
    member = Secretive("far", queue_seconds=lambda _now, _rng: next(waits), job_seconds=2.0)
    fleet = Fleet([member])
    learned = []
    for _ in range(6):
        await run(fleet, 1, fastest())
        learned.append(fleet.keep(FleetState).of("far").queue_seconds)

    assert learned[0] > 500
    assert all(later <= earlier / 2 + 2.0 for earlier, later in pairwise(learned))


async def test_a_provider_that_says_nothing_teaches_no_wait():
    """Where nobody tells the wait from the work, all of it is the work's."""
    fleet = Fleet([Mute("far", queue_seconds=600.0, job_seconds=3.0)])
    await run(fleet, 1, fastest())
    state = fleet.keep(FleetState).of("far")

    assert state.queue_seconds == 0.0
    assert state.speed.seconds(1, 100) == pytest.approx(603.0, rel=0.01)
