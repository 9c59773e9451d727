"""A run foresees its end, and says how sure it is of that."""

import math

import anyio
import numpy as np
import pytest
from journals import small_work

from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import Policy, cheapest, fastest
from qiskit_gateway.runtime.preview.virtual_clock import work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.record import run_events

pytestmark = pytest.mark.anyio


class Listener:
    """Stands in for a mailbox: asks the run how it stands at each end of a job."""

    def __init__(self, run):
        self.run, self.seen = run, []

    def post(self, event, context):
        if isinstance(event, run_events.ShardFinished):
            self.seen.append(self.run.progress())


async def looked_at(members, circuits, policy: Policy, *, known=()):
    fleet = Fleet(members)
    for name, seconds in known:
        fleet.keep(FleetState).of(name).speed.observe(10, 1000, 10 * seconds)
    alone = Environment(in_thread=work_at_once)
    run = Run("job", fleet, policy, small_work(circuits), environment=alone)
    listener = Listener(run)
    run.observe(listener)
    await run.execute()
    return run, [one for one in listener.seen if one.outlook is not None]


def member(name, seconds, rng=None, **more):
    def drawn(now, rng):
        return seconds * math.exp(0.3 * rng.standard_normal())

    return SimulatedMember(
        name,
        circuit_seconds=drawn if rng else seconds,
        limits=Limits(max_circuits=5, max_in_flight=2),
        **more,
    )


@pytest.mark.parametrize("policy", [fastest(), cheapest()], ids=["fastest", "cheapest"])
async def test_the_end_is_foreseen_where_members_keep_their_speed(policy):
    """From the second half on it is right to a fifth, whoever the policy sends the work to."""
    members = [
        member("slow", 4.0),
        member("dear", 1.0, pricing=Pricing(per_job=5.0)),
    ]
    run, seen = await looked_at(members, 200, policy, known=[("slow", 4.0), ("dear", 1.0)])

    late = [one for one in seen if 0.5 <= one.share < 0.95]
    assert len(late) >= 5
    for one in late:
        left = run.seconds - one.seconds
        assert one.outlook.seconds == pytest.approx(left, rel=0.2, abs=5.0)
        assert one.outlook.least_seconds <= one.outlook.seconds <= one.outlook.most_seconds


async def test_what_is_as_expected_makes_surer():
    """The span narrows as jobs come back when they should."""
    _, seen = await looked_at([member("a", 2.0)], 100, fastest(), known=[("a", 2.0)])
    factors = [one.outlook.most_seconds / one.outlook.seconds for one in seen if one.share < 1]
    assert factors[0] <= 1.5
    assert factors[-1] < min(1.35, factors[0])


async def test_two_runs_in_three_end_within_the_span():
    """Over members whose times vary, the span holds what it says: between half and 19 of 20."""
    inside = []
    for seed in range(30):
        members = [member(name, 2.0, rng=True, seed=[seed, n]) for n, name in enumerate("ab")]
        run, seen = await looked_at(members, 60, fastest(), known=[("a", 2.0), ("b", 2.0)])
        one = next(one for one in seen if one.share >= 0.4)
        left = run.seconds - one.seconds
        inside.append(one.outlook.least_seconds <= left <= one.outlook.most_seconds)
    assert 0.5 <= np.mean(inside) <= 0.95


async def test_a_member_never_seen_makes_unsure():
    """Before anything has come back, the end may be four times as far."""
    run = Run("job", Fleet([SimulatedMember("a", queue_seconds=50.0)]), fastest(), small_work(1))
    asked = []

    class Submitted:
        def post(self, event, context):
            if isinstance(event, run_events.ShardAccepted):
                asked.append(run.progress().outlook)

    run.observe(Submitted())
    await run.execute()
    (outlook,) = asked
    assert outlook.seconds == pytest.approx(50.0, rel=0.1)
    assert outlook.most_seconds == pytest.approx(4 * outlook.seconds)
    assert run.progress().outlook is None


async def test_progress_counts_what_waits_in_a_queue_and_what_it_costs():
    """While a job waits in its provider's queue it runs nowhere."""
    dear = SimulatedMember("a", queue_seconds=30.0, job_seconds=30.0, pricing=Pricing(per_job=0.25))
    run = Run("job", Fleet([dear]), fastest(), small_work(3))
    seen = []

    async def look():
        for _ in range(2):
            await anyio.sleep(20.0)
            seen.append(run.progress())

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await run.execute()

    waiting, running = (one.members["a"] for one in seen)
    assert (waiting.circuits_queued, waiting.circuits_running) == (3, 3)
    assert (running.circuits_queued, running.circuits_running) == (0, 3)
    assert waiting.price_usd == pytest.approx(0.25)
    assert seen[0].seconds == pytest.approx(20.0)
