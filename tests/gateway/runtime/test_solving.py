"""Plans that take long to find: what goes on meanwhile, and what becomes of them."""

import threading

import anyio
import pytest
from journals import small_work

from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import balanced, cheapest, fastest
from qiskit_gateway.runtime.preview.virtual_clock import work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.scheduling.allocation import integer_program
from qiskit_gateway.scheduling.members.state import FleetState

pytestmark = pytest.mark.anyio
SOLVING_SECONDS = 50.0


async def slowly(function):
    """Do some work, which takes its time."""
    await anyio.sleep(SOLVING_SECONDS)
    return function()


def paid_fleet():
    """Two members whose jobs have a price, so that a plan is to be solved."""
    return Fleet(
        [
            SimulatedMember(
                name,
                limits=Limits(max_circuits=10),
                pricing=Pricing(per_job=fee, per_circuit=0.01),
                circuit_seconds=seconds,
                told=True,
            )
            for name, fee, seconds in (("a", 1.0, 1.0), ("b", 0.5, 3.0))
        ]
    )


def run_over(fleet, policy, *, circuits=20, in_thread=slowly):
    return Run(
        "job", fleet, policy, small_work(circuits), environment=Environment(in_thread=in_thread)
    )


def assert_nothing_is_held(fleet):
    state = fleet.keep(FleetState)
    assert not any(one.in_flight for one in state.members.values())
    assert state.queue.listeners == []


async def test_another_run_goes_on_while_a_plan_is_solved():
    """Over the same fleet it is done before, and the first is done after."""
    fleet = paid_fleet()
    first, second = run_over(fleet, balanced(usd_per_hour=40)), run_over(fleet, fastest())

    async with anyio.create_task_group() as group:
        group.start_soon(first.execute)
        group.start_soon(second.execute)

    assert second.seconds < SOLVING_SECONDS < first.seconds
    assert first.ended.given_up == second.ended.given_up == ()
    assert_nothing_is_held(fleet)


async def test_nothing_is_sent_before_the_plan_is_there():
    """The plan is the one that would have been made at once, and the run as long later."""
    slow = run_over(paid_fleet(), cheapest())
    quick = run_over(paid_fleet(), cheapest(), in_thread=work_at_once)

    for run in (slow, quick):
        await run.execute()

    # Nothing is planned twice here: all goes out at once.
    assert slow.seconds == pytest.approx(quick.seconds + SOLVING_SECONDS)
    sent, at_once = (
        sorted((one.shard, one.member, one.pieces) for one in run.record) for run in (slow, quick)
    )
    assert sent == at_once


@pytest.mark.parametrize("torn", [False, True])
async def test_a_run_may_end_while_its_plan_is_solved(torn):
    """Cancelled or torn down, it waits for no solver, has sent nothing, and holds nothing."""
    fleet = paid_fleet()
    run = run_over(fleet, cheapest())

    with anyio.move_on_after(1.0 if torn else 1000.0):
        async with anyio.create_task_group() as group:
            group.start_soon(run.execute)
            await anyio.sleep(0.5)
            if not torn:
                run.stop("enough")

    assert run.seconds < SOLVING_SECONDS
    assert run.record == []
    assert_nothing_is_held(fleet)
    if not torn:
        assert sum(one.piece.rows for one in run.ended.given_up) == 20


async def test_a_deadline_is_kept_while_a_plan_is_solved():
    """A run whose plan takes longer than it has is given up in time."""
    run = run_over(paid_fleet(), cheapest(deadline_seconds=45.0))

    await run.execute()

    assert run.seconds == pytest.approx(45.0)
    assert sum(one.piece.rows for one in run.ended.given_up) == 20


def test_plans_are_solved_in_threads(monkeypatch):
    """By default that is not done where the event loop runs."""
    solve, solved_in = integer_program._solve, []

    def watched(problem):
        solved_in.append(threading.current_thread())
        return solve(problem)

    monkeypatch.setattr(integer_program, "_solve", watched)
    run = Run("job", paid_fleet(), cheapest(), small_work(2))

    anyio.run(run.execute)

    assert run.ended.given_up == ()
    assert solved_in
    assert threading.current_thread() not in solved_in
