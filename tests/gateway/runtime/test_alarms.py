"""What is to happen later happens at its time, or not at all, and nothing is begun before."""

import anyio
import pytest

from qiskit_gateway.runtime.alarms import Alarms

pytestmark = pytest.mark.anyio


async def ringing(plan):
    """Let a plan use alarms, and return what happened, with the seconds since."""
    over, happened = anyio.Event(), []
    async with anyio.create_task_group() as group:
        alarms, began = Alarms(group), anyio.current_time()

        def note(what):
            happened.append((anyio.current_time() - began, what))

        async def act():
            await plan(alarms, note, began)
            over.set()

        group.start_soon(act)
        await alarms.ring_until(over)
        group.cancel_scope.cancel()
    return happened


async def test_alarms_ring_at_their_time_in_order():
    """Whatever the order in which they were set, and however they were set meanwhile."""

    async def plan(alarms, note, began):
        for seconds in (30, 10, 20):
            alarms.call_at(began + seconds, lambda seconds=seconds: note(seconds))
        await anyio.sleep(5)
        alarms.call_at(began + 7, lambda: note(7))
        alarms.call_at(began + 3, lambda: note("late"))
        await anyio.sleep(95)

    assert await ringing(plan) == [(5, "late"), (7, 7), (10, 10), (20, 20), (30, 30)]


async def test_what_is_cancelled_does_not_happen():
    """Neither before its time nor once it has begun."""

    async def plan(alarms, note, began):
        async def work():
            note("begun")
            await anyio.sleep(100)
            note("done")

        alarms.call_at(began + 10, lambda: note("never")).cancel()
        alarm = alarms.run_at(began + 20, work)
        await anyio.sleep(50)
        alarm.cancel()
        alarm.cancel()
        await anyio.sleep(100)

    assert await ringing(plan) == [(20, "begun")]


async def test_an_alarm_may_set_others():
    """Also one that is due at once."""

    async def plan(alarms, note, began):
        def again(number):
            note(number)
            if number < 3:
                alarms.call_at(began + 10 * number, lambda: again(number + 1))

        alarms.call_at(began, lambda: again(1))
        await anyio.sleep(50)

    assert await ringing(plan) == [(0, 1), (10, 2), (20, 3)]


async def test_the_end_is_the_end():
    """What is due later than the end does not happen."""

    async def plan(alarms, note, began):
        alarms.call_at(began + 10, lambda: note("late"))
        await anyio.sleep(5)

    assert await ringing(plan) == []
