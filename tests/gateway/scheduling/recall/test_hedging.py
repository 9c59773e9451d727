"""Second jobs for shards that may fail: only where that ends a run sooner, and costs nothing."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from worlds import TRANSIENT, accepts, profile

from qiskit_gateway import simulate
from qiskit_gateway.backends import Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import Budget, RecallPolicy, fastest
from qiskit_gateway.policies.filters import Named
from qiskit_gateway.scheduling.events import (
    Cancel,
    Done,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    Submit,
    TryFailed,
)
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.tasks import Task

NO_SPARES = RecallPolicy(spare="never")


def run(policy, seed, **facts):
    """Return how 200 circuits went at three members with a queue of five minutes."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    limits = Limits(max_circuits=5)
    fleet = [
        SimulatedMember(f"m{i}", queue_seconds=300.0, circuit_seconds=4.0, limits=limits, **facts)
        for i in range(3)
    ]
    return simulate(fleet, [(circuit, np.zeros((200, 0)))], policy=policy, shots=10, seed=seed)


def sent(found):
    return [(one.member, one.submitted_seconds, one.circuits) for one in found.shards]


def test_what_fails_at_the_end_does_not_wait_in_another_queue():
    """Over forty runs in which jobs fail, spares save a good part of a wait, and no result is lost."""
    ends = {}
    for recall in (RecallPolicy(), NO_SPARES):
        runs = [run(fastest(recall=recall), seed, failure_rate=0.1) for seed in range(40)]
        assert all(not one.given_up for one in runs)
        assert all(sum(use.circuits for use in one.members.values()) == 200 for one in runs)
        ends[recall] = np.mean([one.makespan_seconds for one in runs])

    assert ends[RecallPolicy()] < ends[NO_SPARES] - 100


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        ({}, {}),
        ({"failure_rate": 0.1, "pricing": Pricing(per_shot=1e-6)}, {}),
        ({"failure_rate": 0.1}, {"budget": Budget(shots=10**9)}),
    ],
    ids=["none has failed", "shots are paid", "there is a budget"],
)
def test_no_spare_is_sent(facts, rules):
    """Where none failed, or anything is paid or counted, all goes as it does without spares."""
    with_spares = run(fastest(**rules), seed=1, **facts)
    without = run(fastest(recall=NO_SPARES, **rules), seed=1, **facts)

    assert sent(with_spares) == sent(without)


def test_a_spare_goes_only_where_the_policy_allows():
    """A member that the filters refuse gets no spare either."""
    found = run(fastest(where=Named("m0", "m1")), seed=1, failure_rate=0.2)

    assert any(not one.succeeded for one in found.shards)
    assert {one.member for one in found.shards} == {"m0", "m1"}


@pytest.fixture
def spared():
    """Return a scheduler that has sent ten shards, the number of one of them, and of its spare."""
    fleet_state = FleetState()
    for name in "ab":
        one = fleet_state.of(name)
        one.queue_seconds, one.failure_rate = 60.0, 0.3
        one.speed.observe(1, 10, 1.0)
    members = [profile(name, order, max_circuits=1) for order, name in enumerate("ab")]
    scheduler = Scheduler(
        [Task(index=0, rows=10, shots=10)], members, fastest(), fleet_state=fleet_state
    )
    submits = [one for one in scheduler.start(0.0) if isinstance(one, Submit)]
    shards, spares = submits[:10], submits[10:]
    original = next(one for one in shards if one.shard.pieces == spares[0].shard.pieces)
    assert original.member != spares[0].member
    return scheduler, original.shard.index, spares[0].shard.index


def test_a_spare_is_taken_back_when_its_shard_has_arrived(spared):
    """Whichever of the two arrives first counts, and the other is cancelled."""
    scheduler, shard, spare = spared
    assert accepts(scheduler, shard)
    assert not accepts(scheduler, spare)

    assert Cancel(shard=spare) in scheduler.handle(ShardFinished(shard=shard), 65.0)
    scheduler.handle(ShardCancelled(shard=spare, confirmed=True), 66.0)

    assert {shard, spare}.isdisjoint(scheduler.in_flight)


def test_a_shard_that_fails_is_left_to_its_spare(spared):
    """It is not tried again where it is, nor sent anew: the spare has its turn soon."""
    scheduler, shard, spare = spared
    pieces, _ = scheduler.in_flight[spare]

    failed = TryFailed(shard=shard, failure=TRANSIENT, reason="it failed")
    assert scheduler.handle(failed, 65.0) == []
    answers = scheduler.handle(
        ShardFailed(shard=shard, failure=TRANSIENT, reason="it failed"), 65.0
    )
    submits = [one for one in answers if isinstance(one, Submit)]

    assert all(one.shard.pieces != pieces.pieces for one in submits)
    assert not any(isinstance(one, Cancel) and one.shard == spare for one in answers)
    assert accepts(scheduler, spare)


def test_a_run_ends_with_its_last_spare(spared):
    """Nothing is left in flight or given up when all shards have arrived, spares or not."""
    scheduler, *_ = spared
    answers = []
    while not scheduler.done:
        index = min(scheduler.in_flight)
        arrived = accepts(scheduler, index)
        end = ShardFinished(shard=index) if arrived else ShardCancelled(shard=index, confirmed=True)
        answers = scheduler.handle(end, 100.0)

    assert answers == [Done(given_up=())]
