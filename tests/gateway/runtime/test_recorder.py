"""When what happens in a run is written down, on a clock that jumps."""

import anyio
import pytest
from journals import small_work

from qiskit_gateway.backends import Fleet, Limits, SimulatedMember
from qiskit_gateway.policies import fastest
from qiskit_gateway.runtime.preview.virtual_clock import work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.work.record.run_log import RunLog

pytestmark = pytest.mark.anyio
JOB_SECONDS = 10.0
# So much later what only this process has a use for is written down at the latest.
SOON = 0.05


class Local(SimulatedMember):
    """A member whose jobs end with the process."""

    is_local = True


class Noting(RunLog):
    """Note what is written when, in seconds since the first, and in which transaction."""

    lasting = True
    beat_seconds = look_seconds = 1e9

    def __init__(self):
        self.transactions = 0
        self.written = []
        self.began = anyio.current_time()

    async def perform(self, writes):
        self.transactions += 1
        for write in writes:
            write()
        return (None,) * len(writes)

    def note(self, kind, attempt=None):
        seconds = anyio.current_time() - self.began
        shard = None if attempt is None else attempt.shard
        self.written.append((kind, shard, seconds, self.transactions))

    def record_intent(self, attempt, seed, terms=None):
        self.note("intent", attempt)

    def record_outcomes(self, attempt, outcomes, seconds):
        self.note("outcomes", attempt)

    def close(self, status):
        self.note("close")

    def times(self, kind):
        return [seconds for one, _, seconds, _ in self.written if one == kind]


async def run_noted(member, circuits):
    run_log = Noting()
    work = small_work(circuits)
    environment = Environment(in_thread=work_at_once)
    await Run(
        "job", Fleet([member]), fastest(), work, run_log=run_log, environment=environment
    ).execute()
    assert all(store.coverage.complete for store in work.stores)
    return run_log


async def test_a_short_run_on_a_local_member_is_written_down_in_two_transactions_at_most():
    run_log = await run_noted(Local("a"), 1)

    assert [kind for kind, *_ in run_log.written] == ["intent", "outcomes", "close"]
    assert run_log.transactions <= 2


async def test_what_local_jobs_bring_is_written_down_soon_after():
    """Each by itself, and not when the run is over: else all would be lost with the process."""
    local = Local("a", limits=Limits(max_circuits=1), job_seconds=JOB_SECONDS)
    run_log = await run_noted(local, 3)

    ends = [JOB_SECONDS, 2 * JOB_SECONDS, 3 * JOB_SECONDS]
    assert [pytest.approx(end, abs=2 * SOON) for end in ends] == run_log.times("outcomes")
    assert all(seconds <= SOON for seconds in run_log.times("intent")[:1])


async def test_jobs_of_providers_are_written_down_before_they_are_sent():
    """At once, and so is what they bring."""
    remote = SimulatedMember("a", limits=Limits(max_circuits=1), job_seconds=JOB_SECONDS)
    run_log = await run_noted(remote, 3)

    assert run_log.times("intent")[0] == 0
    ends = [JOB_SECONDS, 2 * JOB_SECONDS, 3 * JOB_SECONDS]
    assert run_log.times("outcomes") == pytest.approx(ends)
    first = {}
    for kind, shard, _, _ in run_log.written:
        first.setdefault(shard, kind)
    del first[None]
    assert set(first.values()) == {"intent"}
