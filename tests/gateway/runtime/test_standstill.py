"""A run that waits for a filter to allow something says so."""

import anyio
import pytest
from journals import small_work

from qiskit_gateway.backends import Fleet, Limits, SimulatedMember
from qiskit_gateway.policies import Filter, Named, cheapest, refuse
from qiskit_gateway.runtime.preview.virtual_clock import work_at_once
from qiskit_gateway.runtime.run import Environment, Run

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
