"""A run that waits for a filter to allow something says so."""

import anyio
import pytest
from journals import small_work
from structlog.testing import capture_logs

from qiskit_gateway.backends import Fleet, Limits, SimulatedMember
from qiskit_gateway.policies import ALLOWED, Filter, Named, Policy, cheapest, refuse
from qiskit_gateway.runtime.preview.virtual_clock import work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.work.record.run_events import RunHeldUp

pytestmark = pytest.mark.anyio


class AtNight(Filter):
    def __call__(self, offer):
        return refuse("it is not night yet", waits=True)


async def test_progress_says_what_a_run_waits_for():
    """By member, in the value and in the text; an hour without a job is not without a word."""
    run = Run(
        "job",
        Fleet([SimulatedMember("a"), SimulatedMember("b")]),
        cheapest(where=AtNight()),
        small_work(5),
        environment=Environment(in_thread=work_at_once),
    )
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await anyio.sleep(3600.0)
        progress = run.progress()
        run.stop("enough")

    assert progress.held_up_by == dict.fromkeys("ab", ("it is not night yet",))
    assert "no member may take what waits (a: it is not night yet, b: it is not night yet)" in str(
        progress
    )
    assert not run.progress().held_up_by


async def test_a_run_that_goes_on_is_held_up_by_nothing():
    run = Run(
        "job",
        Fleet([SimulatedMember("a", job_seconds=10), SimulatedMember("b")]),
        cheapest(where=Named("a")),
        small_work(5),
        environment=Environment(in_thread=work_at_once),
    )
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await anyio.sleep(5.0)
        assert not run.progress().held_up_by


async def test_who_is_busy_with_another_run_holds_nothing_up():
    """That another member may never take it is no news."""
    limits = Limits(max_in_flight=1)
    fleet = Fleet([SimulatedMember("a", job_seconds=10, limits=limits), SimulatedMember("b")])
    first, second = (
        Run(
            name,
            fleet,
            cheapest(where=Named("a")),
            small_work(1),
            environment=Environment(in_thread=work_at_once),
        )
        for name in ("first", "second")
    )
    async with anyio.create_task_group() as group:
        group.start_soon(first.execute)
        await anyio.sleep(1.0)
        group.start_soon(second.execute)
        await anyio.sleep(5.0)
        assert not second.progress().held_up_by


class Heard:
    """Keeps what is told of runs that stand."""

    def __init__(self):
        self.told = []

    def post(self, event, context):
        if isinstance(event, RunHeldUp):
            self.told.append(event)


def held_lines(events):
    return [
        (one["log_level"], one["error"]) for one in events if one["event"] == "gateway.run_held_up"
    ]


async def test_that_a_run_stands_is_told_once():
    """With the reasons of each member, in the log and to observers, however long it stands."""
    heard = Heard()
    with capture_logs() as events:
        run = Run(
            "job",
            Fleet([SimulatedMember("a"), SimulatedMember("b")]),
            cheapest(where=AtNight()),
            small_work(5),
            environment=Environment(in_thread=work_at_once),
        )
        run.observe(heard)
        async with anyio.create_task_group() as group:
            group.start_soon(run.execute)
            await anyio.sleep(3600.0)
            held = run.progress().held_up_by
            run.stop("enough")
    assert [dict(one.reasons) for one in heard.told] == [held]
    assert held_lines(events) == [("info", "a: it is not night yet, b: it is not night yet")]


async def test_a_run_that_stands_anew_says_so_anew():
    """Once work was done in between; a run that goes on says nothing."""
    reasons = ["not now"]

    class Now(Filter):
        def __call__(self, offer):
            return refuse(reasons[0], waits=True) if reasons else ALLOWED

    run = Run(
        "job",
        Fleet(
            [SimulatedMember("a", job_seconds=100, limits=Limits(max_circuits=1, max_in_flight=1))]
        ),
        Policy(where=Now(), probe_seconds=1.0),
        small_work(3),
        environment=Environment(in_thread=work_at_once),
    )
    heard = Heard()
    async with anyio.create_task_group() as group:
        run.observe(heard)
        group.start_soon(run.execute)
        await anyio.sleep(50.0)
        assert len(heard.told) == 1
        reasons.clear()
        await anyio.sleep(80.0)
        reasons.append("not any more")
        await anyio.sleep(200.0)
        assert [one.reason for one in heard.told] == ["a: not now", "a: not any more"]
        reasons.clear()
    assert len(heard.told) == 2
    assert run.ended.given_up == ()


async def test_a_run_that_goes_on_tells_nothing():
    heard = Heard()
    run = Run(
        "job",
        Fleet([SimulatedMember("a", job_seconds=10)]),
        cheapest(where=Named("a")),
        small_work(5),
        environment=Environment(in_thread=work_at_once),
    )
    run.observe(heard)
    await run.execute()
    assert heard.told == []
