"""Processes of one journal tell each other whom they ejected and how long queues are."""

import math
from contextlib import closing

import anyio
import pytest
from chaos.dying import Dying, Outage
from journals import SPEC, small_work

from qiskit_gateway import Journal
from qiskit_gateway.backends import Fleet, Limits, SimulatedMember
from qiskit_gateway.backends.interface.queue_reading import QueueReading
from qiskit_gateway.journal.sightings import read_sightings
from qiskit_gateway.policies import fastest, round_robin
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.record import run_events

pytestmark = pytest.mark.anyio
ONE = Limits(max_circuits=1, max_in_flight=1)


@pytest.fixture
def journal(journal_place):
    opened = Journal(journal_place)
    # The machine's clock is the one that jumps.
    opened._database.uptime = lambda: ("here", anyio.current_time())
    yield opened
    opened.close()


class Events(list):
    """The events of a run."""

    def post(self, event, context):
        self.append(event)

    def of(self, kind):
        return [event for event in self if isinstance(event, kind)]


def started(journal, name, fleet, circuits, policy, *, outage=None):
    """Make a run of a process of its own."""
    run_log = Dying(journal.begin(name, SPEC, 100 * circuits, party=name), math.inf, outage)
    run, events = Run(name, fleet, policy, small_work(circuits), run_log=run_log), Events()
    run.observe(events)
    return run, events


def members(seconds=1.0, limits=ONE, **failing):
    return [
        SimulatedMember(
            name, job_seconds=seconds, limits=limits, failure_rate=failing.get(name, 0.0)
        )
        for name in ("bad", "good")
    ]


async def test_a_member_that_others_ejected_gets_nothing(journal):
    """Neither from a run that begins then, nor from one that goes on, for as long as there."""
    one, seen = started(journal, "one", Fleet(members(bad=1.0)), 12, round_robin())
    await one.execute()
    (ejected,) = seen.of(run_events.MemberEjected)[:1]
    assert not ejected.elsewhere

    other, told = started(journal, "other", Fleet(members()), 6, round_robin())
    await other.execute()

    assert {attempt.member for attempt in other.record} == {"good"}
    (heard,) = told.of(run_events.MemberEjected)
    assert heard.elsewhere
    assert "another process found" in heard.reason
    assert 0 < heard.wait_seconds < ejected.wait_seconds


async def test_a_run_that_goes_on_hears_of_it(journal):
    """It sends nothing there from then on until the time is up, and does not tell it again."""
    other, told = started(journal, "other", Fleet(members(30.0)), 40, round_robin())
    # Those limits hold for all: the slot of the other is not theirs.
    two = Limits(max_circuits=1, max_in_flight=2)
    one, _ = started(journal, "one", Fleet(members(limits=two, bad=1.0)), 12, round_robin())
    async with anyio.create_task_group() as group:
        group.start_soon(other.execute)
        await anyio.sleep(20.0)
        await one.execute()
    (heard,) = told.of(run_events.MemberEjected)
    gap = [
        event.seconds
        for event in told.of(run_events.ShardSubmitted)
        if event.member == "bad" and event.seconds > heard.seconds
    ]
    assert min(gap) >= heard.seconds + heard.wait_seconds - 1e-6
    rows = journal._database.query("SELECT party FROM sightings WHERE kind = 'health'")
    assert rows == [("other",)]  # Its own probe came back well, and that is told.


async def test_a_member_that_did_a_shard_of_ours_since_is_kept(journal):
    """The other process may be at fault: what is seen here counts more, if it is newer."""
    fleet = Fleet(members())
    fleet.keep(FleetState).of("bad").well_at = math.inf
    one, _ = started(journal, "one", Fleet(members(bad=1.0)), 12, round_robin())
    await one.execute()
    other, told = started(journal, "other", fleet, 6, round_robin())
    await other.execute()
    assert not told.of(run_events.MemberEjected)
    assert {attempt.member for attempt in other.record} == {"bad", "good"}


class Queue(SimulatedMember):
    """A member whose queue is asked about, and that counts how often."""

    def __init__(self, name, wait):
        super().__init__(name, job_seconds=40.0, limits=ONE)
        self.asked = []
        self.queue = lambda: (
            self.asked.append(anyio.current_time()) or QueueReading(wait_seconds=wait)
        )


async def test_a_queue_is_read_once_for_all(journal):
    """What another process has read counts as long as a reading of one's own would."""
    policy = fastest(queue_seconds=60.0)
    first, second = Queue("a", 7.0), Queue("a", 1e6)
    one, _ = started(journal, "one", Fleet([first]), 1, policy)
    await one.execute()
    began = anyio.current_time()
    fleet = Fleet([second])
    other, _ = started(journal, "other", fleet, 5, policy)
    async with anyio.create_task_group() as group:
        group.start_soon(other.execute)
        await anyio.sleep(1.0)
        assert fleet.keep(FleetState).of("a").queue_seconds == 7.0
        assert second.asked == []
    assert second.asked[0] == pytest.approx(first.asked[-1] + 60.0)
    assert second.asked[0] > began


async def test_what_is_written_late_is_dated_when_it_was_seen(journal):
    """The journal is away meanwhile: others are told how old it is."""
    member = Queue("a", 7.0)
    outage = Outage(begins=anyio.current_time(), seconds=20.0)
    one, told = started(journal, "one", Fleet([member]), 1, fastest(), outage=outage)
    await one.execute()
    assert len(told.of(run_events.JournalFailed)) == 1
    (found,) = read_sightings(journal._database, "another")
    (asked,) = member.asked
    assert found.age_seconds == pytest.approx(anyio.current_time() - asked)
    assert found.age_seconds > 50.0


async def test_a_fleet_looks_once_in_a_while_into_each_journal(tmp_path):
    """Runs that begin within that time go by what the one before them has read."""
    fleet, looks = Fleet(members()), []
    first, second = Journal(tmp_path / "a.db"), Journal(tmp_path / "b.db")
    with closing(first), closing(second):
        for name, journal, seconds in [
            ("one", first, 0.0),
            ("two", first, 0.0),
            ("three", second, 0.0),
            ("four", first, 3.0),
        ]:
            await anyio.sleep(seconds)
            run_log = Dying(journal.begin(name, SPEC, 100), math.inf)
            look = run_log.list_sightings

            async def note(name=name, look=look):
                looks.append(name)
                return await look()

            run_log.list_sightings = note
            # A run that is over before the next look.
            run = Run(name, fleet, fastest(), small_work(1), run_log=run_log)
            with anyio.move_on_after(0.5):
                await run.execute()
    assert looks == ["one", "three", "four"]


async def test_runs_that_begin_together_all_know_what_others_have_found(journal):
    """Also those that begin while the first of them is reading it."""
    one, _ = started(journal, "one", Fleet(members(bad=1.0)), 12, round_robin())
    await one.execute()
    fleet = Fleet(members())
    runs = [started(journal, name, fleet, 4, round_robin())[0] for name in ("two", "three")]
    for run in runs:
        look = run._run_log.list_sightings

        async def slowly(look=look):
            await anyio.sleep(0.01)
            return await look()

        run._run_log.list_sightings = slowly
    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.execute)
    assert {attempt.member for run in runs for attempt in run.record} == {"good"}
