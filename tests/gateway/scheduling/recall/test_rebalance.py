"""What waits at members is taken back where others would end it sooner; nothing else is."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from worlds import World, assert_tiled, profile

from qiskit_gateway import simulate
from qiskit_gateway.backends import Limits, Pricing, SimulatedMember, Speed
from qiskit_gateway.policies import (
    BreakerPolicy,
    RecallPolicy,
    RetryPolicy,
    balanced,
    cheapest,
    fastest,
    round_robin,
)
from qiskit_gateway.policies.recall import GAIN_SECONDS
from qiskit_gateway.policies.spread import WholeRows
from qiskit_gateway.scheduling.backlog import Backlog, Barred
from qiskit_gateway.scheduling.events import Recall, ShardCancelled, ShardFinished
from qiskit_gateway.scheduling.members.state import FleetState, MemberState
from qiskit_gateway.scheduling.recall import rebalance
from qiskit_gateway.scheduling.recall.moves import is_worth
from qiskit_gateway.scheduling.recall.rebalance import Rest, level_of, surplus, worthwhile
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.price import FREE, Price
from qiskit_gateway.work.tasks import Load, Piece, Task

NAMES = ("a", "b", "c")
members = st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 10)), min_size=1, max_size=6).map(
    lambda found: tuple(np.array(column) for column in zip(*found, strict=True))
)
jobs = st.lists(st.tuples(st.floats(0.1, 1000), st.integers(1, 50)), min_size=1, max_size=30)


@given(members, st.floats(0.1, 1e4))
def test_at_the_level_all_the_work_is_done(found, circuits):
    """What members have done by the level, each from when it could begin, is all of the work."""
    base, slope = found

    level = level_of(base, slope).of(circuits)

    assert (np.maximum(0, level - base) / slope).sum() == pytest.approx(circuits, rel=1e-6)


@given(members, jobs, st.floats(0, 1000))
@settings(deadline=None)
def test_what_stays_ends_not_much_later_than_what_is_taken_would(found, waiting, circuits):
    """One job fewer taken back would leave one that others would end much sooner, and no more is."""
    base, slope = found
    ends = sorted(waiting, reverse=True)

    many = surplus(ends, base, slope, circuits)

    def much_later(count):
        level = level_of(base, slope).of(circuits + sum(size for _, size in ends[:count]))
        return ends[count - 1][0] > 1.1 * level + GAIN_SECONDS

    assert all(much_later(count) for count in range(1, many + 1))
    assert many == len(ends) or not much_later(many + 1)


@given(
    members, jobs, st.data(), st.tuples(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 2000))
)
@settings(deadline=None)
def test_what_is_taken_back_ends_the_whole_run_sooner_by_more_than_it_costs(
    found, waiting, data, rest
):
    """No other number of jobs would bring more, and where none brings anything, none is taken back."""
    base, slope = found
    ends = sorted(waiting, reverse=True)
    tolls = data.draw(st.lists(st.floats(-5, 50), min_size=len(ends), max_size=len(ends)))
    circuits, stays, last = rest

    many = worthwhile(ends, tolls, base, slope, Rest(*rest))

    def gain(count):
        level = level_of(base, slope).of(circuits + sum(size for _, size in ends[:count]))
        before = max([stays, *(end for end, _ in ends[count:])])
        costs = max(before, level) + sum(tolls[:count])
        return last - costs if last - costs > 0.1 * costs + GAIN_SECONDS else 0.0

    gains = [gain(count) for count in range(1, len(ends) + 1)]
    assert (gain(many) if many else 0.0) == pytest.approx(max([0.0, *gains]))


@pytest.mark.parametrize("usd_per_hour", [400, 4000])
def test_where_time_has_a_price_work_leaves_a_member_that_turns_out_slow(usd_per_hour):
    """What waited there before its speed was known is done elsewhere, as if it had been told."""
    facts = {"limits": Limits(max_circuits=20)}

    def run(**told):
        return simulate(
            [
                SimulatedMember(
                    "quick", circuit_seconds=1.0, pricing=Pricing(per_job=0.1), **facts, **told
                ),
                SimulatedMember("slow", circuit_seconds=6.0, queue_seconds=60.0, **facts, **told),
            ],
            work(300),
            policy=balanced(usd_per_hour=usd_per_hour),
            shots=100,
            seed=1,
        )

    cold, told = (
        one.cost_usd + usd_per_hour * one.makespan_seconds / 3600 for one in (run(), run(told=True))
    )

    assert cold <= 1.15 * told


class Fickle(World):
    """Members that give back all that is asked of them, and whose queues are never as they were."""

    def __init__(self, dice, tasks, members, policy):
        self.dice, self.fleet_state = dice, FleetState()
        self.waver()
        scheduler = Scheduler(tasks, members, policy, fleet_state=self.fleet_state)
        by_name = {one.name: one for one in members}
        super().__init__(scheduler, self.fleet_state, policy, by_name, list(tasks))
        self.back: set[int] = set()

    def waver(self):
        for name in NAMES:
            state = self.fleet_state.of(name)
            state.queue_seconds = self.dice.choice([0.0, 10.0, 300.0, 5000.0])

    def asked(self, instruction):
        if isinstance(instruction, Recall):
            self.push(self.now, ShardCancelled(shard=instruction.shard, confirmed=True))

    def next(self):
        self.waver()
        return super().next()

    def book(self, shard, event):
        if isinstance(event, ShardCancelled):
            self.back.add(shard.index)
        super().book(shard, event)

    def live(self):
        """Return the members that gave work back, by row and in order."""
        self.run(lambda one: ShardFinished(shard=one.shard.index), lambda _: 400.0)
        givers: dict[tuple[int, int], list[str]] = {}
        for submit in (one for one in self.submits if one.shard.index in self.back):
            for piece in submit.shard.pieces:
                for row in range(piece.row_start, piece.row_stop):
                    givers.setdefault((piece.task, row), []).append(submit.member)
        return givers


@given(st.integers(0, 1 << 40), st.sampled_from([fastest, round_robin, cheapest, balanced]))
@settings(max_examples=100, deadline=None)
def test_work_that_is_taken_back_for_others_comes_to_rest(seed, preset):
    """However estimates change it is taken back from each member once, and is then done."""
    dice = random.Random(seed)
    tasks = [Task(index=n, rows=dice.randint(1, 30), shots=10, group=n) for n in range(2)]
    members = [
        profile(name, i, max_circuits=dice.choice([1, 4]), max_in_flight=dice.choice([None, 1, 3]))
        for i, name in enumerate(NAMES)
    ]
    policy = preset(recall=RecallPolicy(idle="always", overdue="never"))
    world = Fickle(dice, tasks, members, policy)

    givers = world.live()

    assert_tiled(tasks, world.done)
    assert all(len(names) == len(set(names)) for names in givers.values())


def test_a_job_that_is_handed_over_anew_is_the_last_in_line():
    """What failed queues again: the member works on the next one, and was not slow over this one."""
    state = MemberState(queue_seconds=60.0)
    state.take("x", Load(1, 10), now=0.0)
    state.take("y", Load(1, 10), now=10.0)

    state.take_again("x", now=65.0)

    assert list(state.in_flight) == ["y", "x"]
    assert state.worked_seconds(now=70.0) == 0.0


def test_a_job_that_never_ran_says_nothing_of_when_the_one_before_it_began():
    """A cancelled job that was behind another does not shorten the time of that one."""
    state = MemberState()
    state.take("x", Load(1, 10), now=0.0)
    state.take("y", Load(1, 10), now=0.0)

    state.release("y", now=50.0, ran=False)

    assert state.worked_seconds(now=80.0) == 80.0


def work(rows):
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    return [(circuit, np.zeros((rows, 0)))]


def done(found):
    return sum(use.circuits for use in found.members.values())


def test_a_failed_job_does_not_queue_again_while_others_could_run_it():
    """A retry behind a long queue goes to a member without one."""
    fleet = [
        SimulatedMember("queued", queue_seconds=500.0, circuit_seconds=1.0, failure_rate=1.0),
        SimulatedMember("idle", circuit_seconds=30.0, limits=Limits(max_circuits=1)),
    ]

    found = simulate(fleet, work(40), seed=1)

    assert found.given_up == ()
    assert found.members["queued"].failures > 0
    assert found.makespan_seconds < 1500  # 1200 alone; each further try there would be 500 more.


@pytest.mark.parametrize("at", range(61, 121, 10))
def test_what_failed_is_not_tried_again_as_it_is_where_that_would_end_last(at):
    """Others share the large job of a slow member that failed late, so that all end together."""
    slow = SimulatedMember("slow", circuit_seconds=4.0, outages=[(at, at + 0.5)])
    fleet = [slow, *(SimulatedMember(f"fast{i}", circuit_seconds=1.0) for i in range(3))]

    found = simulate(fleet, work(400), policy=fastest(), seed=1)

    failed = [one for one in found.shards if not one.succeeded]
    lost = sum(one.finished_seconds - one.started_seconds for one in failed) / 4
    assert lost
    assert found.makespan_seconds <= 1.03 * (400 + lost) / (3 + 1 / 4)


def test_what_may_not_move_is_tried_again_where_it_is():
    """That others would do it sooner is no reason to give it up."""
    queued = SimulatedMember("a", circuit_seconds=1.0, queue_seconds=100.0, outages=[(150, 150.5)])
    fleet = [queued, SimulatedMember("b", circuit_seconds=1.0)]

    found = simulate(fleet, work(400), policy=fastest(retry=RetryPolicy(max_moves=0)), seed=1)

    assert found.members["a"].failures == 1
    assert found.given_up == ()


def dead_and_well(pricing):
    """Make one member that dies before its turn in the queue comes, and one that is well."""
    return [
        SimulatedMember(
            "dead", queue_seconds=60.0, circuit_seconds=1.0, pricing=pricing, outages=[(50, 1e5)]
        ),
        SimulatedMember("well", circuit_seconds=1.0, pricing=pricing),
    ]


@pytest.mark.parametrize("priced", [False, True])
def test_what_waits_at_a_dead_member_is_soon_run_elsewhere(priced):
    """Nobody answers, and to finish first is worth whatever it costs to run it again."""
    fleet = dead_and_well(Pricing(per_shot=0.001) if priced else None)

    found = simulate(fleet, work(200), seed=1, shots=10)

    assert found.given_up == ()
    assert done(found) == 200
    assert found.makespan_seconds < 300


@pytest.mark.parametrize(("queue", "dies", "most"), [(60, 50, None), (100, 50, 30), (200, 50, 30)])
def test_a_member_that_was_never_seen_is_not_hoped_for_when_its_turn_is_over(queue, dies, most):
    """It may be fast, but not faster than what it has taken over its first job by now."""
    fleet = [
        SimulatedMember(
            "dead",
            circuit_seconds=1.0,
            queue_seconds=queue,
            outages=[(dies, 1e9)],
            limits=Limits(max_circuits=most),
        ),
        *(SimulatedMember(f"well{i}", circuit_seconds=1.0) for i in range(2)),
    ]

    found = simulate(fleet, work(900), seed=1)

    assert found.given_up == ()
    assert found.makespan_seconds <= 1.05 * 900 / 2


class Crowded(SimulatedMember):
    """A member whose queue is longer than it says."""

    def queue(self):
        return 100.0


def late(kind):
    """Make a member whose only job still waits when it should have ended; a dead one does not answer."""
    facts = {"circuit_seconds": 1.0, "pricing": Pricing(per_job=0.1), "told": True}
    facts["limits"] = Limits(max_circuits=50, max_in_flight=1)
    if kind == "queued":
        return Crowded("late", queue_seconds=1e6, **facts)
    return SimulatedMember("late", queue_seconds=100.0, outages=[(50, 1e9)], **facts)


@pytest.mark.parametrize("kind", ["dead", "queued"])
@pytest.mark.parametrize("rows", [950, 3600])
def test_a_job_that_is_late_is_redone_before_the_others_are_done(kind, rows):
    """Nothing was known against its member, and yet the run is hardly longer than without it."""
    well = [
        SimulatedMember(f"well{i}", circuit_seconds=0.5, limits=Limits(max_circuits=20), told=True)
        for i in range(3)
    ]

    found = simulate([late(kind), *well], work(rows), seed=1)

    left = [one for one in found.shards if one.member == "late"]
    assert {one.succeeded for one in left} == {False}
    assert done(found) == rows
    assert found.makespan_seconds <= rows / 6 + 60


def test_a_job_that_is_late_is_left_where_it_runs():
    """A provider that says so keeps it, though others would have redone it by then."""
    slow = SimulatedMember("slow", circuit_seconds=2.5, queue_seconds=10.0)
    slow.speed = Speed(circuit_seconds=1.0)
    well = SimulatedMember("well", circuit_seconds=0.5, told=True, limits=Limits(max_circuits=20))

    found = simulate([slow, well], work(400), seed=1)

    first, *behind = (one for one in found.shards if one.member == "slow")
    assert first.succeeded
    assert behind
    assert all(one.taken_back for one in behind)


@given(st.floats(0.01, 1e3), st.floats(1, 1e4), st.floats(0, 1))
def test_work_is_paid_twice_where_the_wait_costs_more(usd, seconds, usd_per_second):
    """What is free is never waited for, what is priced always where time is worth nothing."""
    price = Price(usd=usd)

    assert is_worth(price, seconds, math.inf)
    assert not is_worth(price, seconds, 0.0)
    assert is_worth(FREE, seconds, usd_per_second)
    assert is_worth(price, seconds, usd_per_second) == (usd <= usd_per_second * seconds)
    assert not is_worth(price, 0.0, math.inf)


@pytest.mark.parametrize("rule", ["wait", "fail"])
def test_what_waits_at_a_dead_member_stays_there_where_nothing_may_run_twice(rule):
    """That it would be done sooner elsewhere is no reason to risk that it runs twice."""
    fleet = dead_and_well(None)

    policy = fastest(retry=RetryPolicy(on_unknown=rule))
    found = simulate(fleet, work(200), seed=1, shots=10, policy=policy)

    left = [one for one in found.shards if one.member == "dead" and not one.taken_back]
    assert all(one.finished_seconds > 250 for one in left if "may still run" in one.failure)


def test_what_fails_at_once_is_one_retry_however_many_pubs_it_carries():
    """Five hundred PUBs that a dying member loses do not use up the retries of the run."""
    fleet = [
        SimulatedMember("dies", circuit_seconds=1.0, outages=[(50, 1e6)]),
        SimulatedMember("well", circuit_seconds=1.0),
    ]

    found = simulate(fleet, work(1) * 500, seed=1, policy=fastest(spread="pubs"))

    assert found.given_up == ()
    assert done(found) == 500


def test_members_that_all_have_a_queue_are_kept_busy():
    """Before any speed is known a queue gets enough, and what a slow one has too much is taken back."""
    fleet = [
        SimulatedMember("fast", queue_seconds=60.0, circuit_seconds=0.2),
        SimulatedMember("slow", queue_seconds=60.0, circuit_seconds=2.0),
    ]

    found = simulate(fleet, work(2000), seed=1)

    least = 60 + 2000 / (1 / 0.2 + 1 / 2.0)
    assert done(found) == 2000
    assert found.makespan_seconds < 1.1 * least


@pytest.mark.parametrize("slow_from", [100.0, 500.0, 900.0, 980.0])
def test_nothing_is_taken_back_only_to_be_sent_again(slow_from, monkeypatch):
    """While much waits, what is late at a member that turned slow stays there, and is rarely looked at."""
    looks = Counter()

    def foresee(*args):
        looks["all"] += 1
        return before(*args)

    def turning_slow(now, _):
        return 1.0 if now < slow_from else 10.0

    before = rebalance._foresee
    monkeypatch.setattr(rebalance, "_foresee", foresee)
    limits = Limits(max_circuits=20, max_in_flight=3)
    fleet = [
        SimulatedMember("slow", circuit_seconds=turning_slow, limits=limits),
        SimulatedMember("well", circuit_seconds=0.5, limits=limits),
    ]
    found = simulate(fleet, work(3000), seed=1)

    assert done(found) == 3000
    # Of 200 jobs or so. All is 1000 s of work for both, or 1500 s for the one that stays well.
    assert sum(not one.succeeded for one in found.shards) <= 5
    assert found.makespan_seconds < 1400
    assert looks["all"] < found.makespan_seconds / 10


def test_without_recall_a_queue_gets_little_before_its_speed_is_known():
    """Where nothing may be taken back, a slow member is not given what it would take long over."""
    fleet = [
        SimulatedMember("slow", queue_seconds=60.0, circuit_seconds=50.0),
        SimulatedMember("fast", queue_seconds=60.0, circuit_seconds=0.2),
    ]
    policy = fastest(recall=RecallPolicy(idle="never"))

    found = simulate(fleet, work(200), seed=1, policy=policy)

    assert found.members["slow"].circuits <= 200 / 2 / 12 * 2 + 16


def test_work_that_failed_at_a_well_member_does_not_wait_for_an_ill_one():
    """It is tried again there, though another is left that did not fail at it, but is down."""
    fleet = [
        SimulatedMember(
            "well", circuit_seconds=1.0, failure_rate=0.3, limits=Limits(max_circuits=5)
        ),
        SimulatedMember("down", circuit_seconds=1.0, outages=[(5, 1e6)]),
    ]

    policy = fastest(breaker=BreakerPolicy(failures=20))
    found = simulate(fleet, work(300), seed=3, policy=policy)

    assert found.given_up == ()
    assert found.makespan_seconds < 1000


def test_who_is_idle_has_again_what_was_taken_back_from_it():
    """What a quick member gave back as its speed was not known would else wait in a slow one's line."""
    fleet = [
        SimulatedMember("slow", queue_seconds=20.0, job_seconds=8.0, circuit_seconds=9.0),
        SimulatedMember("quick", job_seconds=22.0, circuit_seconds=0.9),
        SimulatedMember(
            "queued",
            queue_seconds=600.0,
            circuit_seconds=2.2,
            limits=Limits(max_in_flight=1),
            told=True,
        ),
    ]

    found = simulate(fleet, work(300), policy=fastest(), seed=1)

    assert found.makespan_seconds < 365


def test_what_was_taken_back_may_go_back_once_its_member_is_idle_or_well_again():
    """What failed there as well only once it is well; from whom it went before it may be given at once."""
    backlog = Backlog((Task(index=0, rows=4, shots=10, group=0),), WholeRows())
    gone = Barred(tried=frozenset("c")).once_recalled_from("a").once_recalled_from("b")
    backlog.put(Piece(0, 0, 4, 0, 10), gone)

    assert "a" not in gone
    assert "b" in gone
    backlog.welcome("c")
    assert list(backlog.classes) == [gone]
    backlog.welcome("b")
    [barred] = backlog.classes
    assert "b" not in barred
    assert barred.ever_recalled_from == {"a", "b"}
    backlog.forgive("c")
    [barred] = backlog.classes
    assert not barred.for_now
    assert backlog.classes[barred].circuits == 4
