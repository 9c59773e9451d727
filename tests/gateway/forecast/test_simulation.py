"""Simulation: the real scheduler and shell on a virtual clock."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import simulate
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import cheapest, fastest, round_robin
from qiskit_gateway.scheduling.members.state import FleetState


def sweep(rows: int):
    """Return a PUB of that many circuits."""
    angle = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    return circuit, np.zeros((rows, 1))


def test_one_member_takes_what_its_model_says():
    """The makespan of one member and one job is its queue, its overhead and its circuits."""
    member = SimulatedMember("a", queue_seconds=60, job_seconds=5, circuit_seconds=2)

    found = simulate(member, [sweep(10)], shots=100)

    assert found.makespan_seconds == pytest.approx(60 + 5 + 20)
    assert [shard.started_seconds for shard in found.shards] == pytest.approx([60])
    assert found.members["a"].shots == 1000


def test_the_same_seed_gives_the_same_simulation():
    """Random queues and failures repeat with the seed, and differ without."""

    def queue(now, rng):
        return rng.exponential(100.0)

    fleet = Fleet(
        [
            SimulatedMember(f"m{n}", queue_seconds=queue, circuit_seconds=1.0, failure_rate=0.2)
            for n in range(3)
        ]
    )

    one, two, other = (
        simulate(fleet, [sweep(60)], policy=round_robin(), seed=seed) for seed in (5, 5, 6)
    )

    assert one.shards == two.shards
    assert one.shards != other.shards


def test_the_cheapest_member_does_it_all():
    """Under cheapest nothing is paid to a dearer member."""
    fleet = Fleet(
        [
            SimulatedMember("dear", pricing=Pricing(per_shot=0.01)),
            SimulatedMember("cheap", pricing=Pricing(per_job=0.3, per_shot=0.001)),
        ]
    )

    found = simulate(fleet, [sweep(10)], policy=cheapest(), shots=100)

    assert found.cost_usd == pytest.approx(0.3 + 1000 * 0.001)
    assert found.members["dear"].jobs == 0


def test_an_outage_moves_work_and_nothing_is_lost():
    """When a member is down its work goes to the other, every shot once."""
    fleet = Fleet(
        [
            SimulatedMember("a", circuit_seconds=1.0, outages=[(10, 10_000)]),
            SimulatedMember("b", circuit_seconds=1.0),
        ]
    )

    found = simulate(fleet, [sweep(100)], seed=1)

    assert found.given_up == ()
    assert sum(use.circuits for use in found.members.values()) == 100
    assert found.members["a"].failures > 0
    assert found.makespan_seconds < 130


@pytest.mark.parametrize("seconds", [(30, 90), (10, 100), (20, 45)])
def test_what_is_taken_back_is_no_failure(seconds):
    """A job that is cancelled, to go to another member, has not failed; it is told apart."""
    members = [
        SimulatedMember(name, job_seconds=each) for name, each in zip("xy", seconds, strict=True)
    ]

    found = simulate(members, [sweep(1)] * 40, policy=fastest())

    assert not any(use.failures for use in found.members.values())
    taken_back = sum(shard.taken_back for shard in found.shards)
    assert taken_back == sum(not shard.succeeded for shard in found.shards)


def test_failures_are_counted_beside_what_is_taken_back():
    """Each job of a simulation delivered, failed, or was taken back."""
    members = [
        SimulatedMember("x", circuit_seconds=1, failure_rate=0.3),
        SimulatedMember("y", circuit_seconds=9, queue_seconds=20, limits=Limits(max_circuits=2)),
    ]

    failures = taken_back = 0
    for seed in range(20):
        found = simulate(members, [sweep(1)] * 40, policy=fastest(), seed=seed)

        failed = [shard for shard in found.shards if not (shard.succeeded or shard.taken_back)]
        assert sum(use.failures for use in found.members.values()) == len(failed)
        failures += len(failed)
        taken_back += sum(shard.taken_back for shard in found.shards)
    assert failures
    assert taken_back


def test_large_shards_take_no_time_of_the_clock():
    """However many shots a job brings, writing them down lets the virtual clock stand."""
    members = [SimulatedMember("a", circuit_seconds=1.0), SimulatedMember("b", circuit_seconds=1.0)]

    spans = {simulate(members, [sweep(100)], shots=100_000).makespan_seconds for _ in range(5)}

    assert spans == {50.0}


def test_real_backends_are_modelled_and_not_asked():
    """A real backend takes part as a model of itself; nothing is sent to it."""
    found = simulate([BasicSimulator(), SimulatedMember("b")], [sweep(10)])

    assert sum(use.circuits for use in found.members.values()) == 10
    assert "basic_simulator" in str(found)


def test_speeds_that_the_fleet_has_learned_are_known_from_the_start():
    """A slow member that is free now gets less of the work where the fleet knows how slow it is."""
    slow = SimulatedMember("slow", circuit_seconds=20, limits=Limits(max_circuits=25))
    quick = SimulatedMember("quick", circuit_seconds=1, queue_seconds=60)
    new, used = Fleet([slow, quick]), Fleet([slow, quick])
    for member, seconds in (("slow", 20.0), ("quick", 1.0)):
        used.keep(FleetState).of(member).speed.observe(10, 1000, 10 * seconds)

    before, after = (simulate(fleet, [sweep(200)], shots=100) for fleet in (new, used))

    assert after.makespan_seconds < before.makespan_seconds
    assert after.members["slow"].circuits < before.members["slow"].circuits


def test_it_runs_inside_a_running_loop():
    """In a notebook, whose loop is running, a simulation is called like anywhere else."""

    async def notebook():
        return simulate(SimulatedMember("a", circuit_seconds=1.0), [sweep(3)])

    assert asyncio.run(notebook()).makespan_seconds == pytest.approx(3)


@st.composite
def fleets(draw):
    """Return unlike members: speeds by ten, queues, jobs of 1 to 300 circuits."""
    count = draw(st.integers(2, 8))
    return [
        {
            "circuit_seconds": draw(st.floats(0.2, 2.0)),
            "job_seconds": draw(st.sampled_from([0.0, 0.5])),
            "most": draw(st.sampled_from([1, 5, 50, 300])),
        }
        for _ in range(count)
    ]


def lower_bound(facts, circuits: int) -> float:
    """Return the makespan of a clairvoyant who could cut circuits in parts."""
    rate = sum(1 / (one["circuit_seconds"] + one["job_seconds"] / one["most"]) for one in facts)
    return circuits / rate


@given(fleets())
@settings(max_examples=8, derandomize=True)
def test_fastest_levels_unlike_members(facts):
    """Without being told any speed, fastest comes near the clairvoyant bound on a large run."""
    circuits = 3000
    fleet = [
        SimulatedMember(
            f"m{index}",
            limits=Limits(max_circuits=one["most"]),
            circuit_seconds=one["circuit_seconds"],
            job_seconds=one["job_seconds"],
        )
        for index, one in enumerate(facts)
    ]

    found = simulate(fleet, [sweep(circuits)], policy=fastest(), shots=10, seed=3)

    assert found.given_up == ()
    assert not math.isnan(found.makespan_seconds)
    assert found.makespan_seconds <= 1.25 * lower_bound(facts, circuits)


@pytest.mark.parametrize("order", [1, -1])
def test_a_slow_member_beside_a_fast_one_does_not_delay_the_end(order):
    """Where jobs take a fixed time, what a first run learns of one is thought of the other too."""
    members = [
        SimulatedMember("x", job_seconds=30, pricing=Pricing(per_job=1)),
        SimulatedMember("y", job_seconds=90),
    ]

    found = simulate(members[::order], [sweep(1)] * 40, policy=fastest())

    assert found.makespan_seconds <= 90
    assert found.cost_usd <= 3
