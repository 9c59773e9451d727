"""What a plan is held to over fleets that are drawn: near the bound, and the same however a price is written."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.planner import LOADS, draw_load, measure, measure_curves, measure_value
from qiskit_gateway import simulate
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import (
    MaxWait,
    Policy,
    Price,
    RunHours,
    balanced,
    cheapest,
    fastest,
    round_robin,
)
from tests.small_circuits import zero

seeds = st.integers(0, 1 << 20)


@pytest.mark.parametrize("kind", LOADS)
@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_told_members_are_used_as_well_as_can_be(kind, seed):
    """With fees, queues and limits drawn, a run takes a tenth more than the least time at most."""
    found = measure(seed, kind=kind, told=True)

    assert found.ratio <= 1.10
    assert found.single_ratio <= 1.05


@pytest.mark.parametrize("kind", ["rows", "pubs"])
@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_few_jobs_are_cut_for_nothing(kind, seed):
    """Where speeds are told, no division into far fewer jobs would have been as fast."""
    assert measure(seed, kind=kind, told=True).as_fast_ratio <= 1.25


@pytest.mark.parametrize("kind", LOADS)
@pytest.mark.parametrize("told", [True, False])
def test_what_waits_at_a_member_that_died_is_not_waited_for(kind, told):
    """A large job in its line, of which nobody knows whether it will run, goes to others in time."""
    assert measure(204, kind=kind, told=told, failing=True).ratio <= 1.25


def test_what_is_taken_back_from_a_dead_member_lets_no_more_probes_through():
    """Nor do the retries of the run end by that: of a long line of small jobs nothing is given up."""
    assert measure(8018, kind="rows", failing=True).ratio <= 1.25


def test_a_plan_is_not_followed_once_a_member_turns_out_slow():
    """A fifth member is found to be slow after others: it is not given what it was thought able to do."""
    assert measure(7002, kind="rows").ratio <= 1.2


@pytest.mark.parametrize("policy", [fastest(), balanced(usd_per_hour=400)])
def test_where_each_job_queues_anew_none_is_sent_more_than_need_be(policy):
    """Members that take one job at once, behind queues, do all in one job each: none waits twice."""

    def queued(name, most, queue_seconds, circuit_seconds):
        return SimulatedMember(
            name,
            queue_seconds=queue_seconds,
            circuit_seconds=circuit_seconds,
            limits=Limits(max_circuits=most, max_in_flight=1),
            told=True,
        )

    found = simulate(
        [queued("slow", 222, 276.0, 1.4), queued("quick", 185, 366.0, 0.6)],
        [(zero(), None, 100)] * 347,
        policy=policy,
        seed=1,
    )

    assert found.makespan_seconds <= 510


@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_a_fleet_is_faster_than_twice_its_best_member_though_nothing_is_known(seed):
    """What is learned on the way makes up for what is not known."""
    assert measure(seed).single_ratio <= 2


@given(seed=seeds, worth=st.sampled_from([40.0, 400.0, 4000.0]))
@settings(max_examples=3, deadline=None)
def test_a_factor_of_all_that_counts_changes_no_plan(seed, worth):
    """It is the ratio of what a dollar and an hour count that decides, whatever is taken back later."""
    load, value = draw_load(seed, "rows"), Price() + worth * RunHours()

    def run(objective):
        fleet = Fleet(load.members(told=False, failing=False))
        policy = Policy(minimize=objective)
        return simulate(fleet, load.pubs(), policy=policy, shots=load.shots, seed=seed)

    one, other = run(value), run(4 * value)

    assert (one.makespan_seconds, one.cost_usd) == (other.makespan_seconds, other.cost_usd)


@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_how_a_price_is_written_changes_no_plan(seed):
    """A function that computes what a ``Pricing`` says leads to the same jobs."""
    load = draw_load(seed, "rows")
    written = (
        replace(load, callables=(by_function,) * len(load.models)) for by_function in (False, True)
    )

    runs = [
        simulate(Fleet(one.members(told=True, failing=False)), one.pubs(), policy=fastest(), seed=1)
        for one in written
    ]

    jobs = [[(shard.member, shard.circuits) for shard in run.shards] for run in runs]
    assert jobs[0] == jobs[1]


def run(load, preset, *, told=True, **policy):
    """Simulate the work of a load under a policy."""
    spread = "shots" if load.kind == "shots" else "rows"
    return simulate(
        Fleet(load.members(told=told, failing=False)),
        load.pubs(),
        policy=preset(spread=spread, **policy),
        shots=load.shots,
        seed=1,
    )


def without_last(load):
    return replace(load, models=load.models[:-1], callables=load.callables[:-1])


@pytest.mark.parametrize(("told", "slower"), [(True, 1.02), (False, 1.25)])
@given(seed=seeds)
@settings(max_examples=2, deadline=None)
def test_one_member_more_makes_no_run_slower(told, slower, seed):
    """What a fleet does in some time it does with one more member in hardly more, known or not."""
    load = draw_load(seed)

    few, more = (run(one, fastest, told=told) for one in (without_last(load), load))

    assert more.makespan_seconds <= slower * few.makespan_seconds


@given(seed=seeds)
@settings(max_examples=2, deadline=None)
def test_one_member_more_makes_no_run_dearer(seed):
    """What is cheapest in a fleet is there with one more member, too."""
    load = draw_load(seed)

    few, more = (run(one, cheapest) for one in (without_last(load), load))

    assert more.cost_usd <= few.cost_usd + 1e-9


@given(seed=seeds)
@settings(max_examples=2, deadline=None)
def test_a_fee_changes_ties_alone_where_only_the_end_counts(seed):
    """A fleet is as fast with fees as without."""
    load = draw_load(seed)
    free = replace(load, models=tuple(replace(one, fee_usd=0.0) for one in load.models))

    paid, unpaid = (run(one, fastest).makespan_seconds for one in (load, free))

    assert paid == pytest.approx(unpaid, rel=0.02)


@pytest.mark.parametrize("kind", ["rows", "shots"])
@given(seed=seeds, worth=st.sampled_from([4.0, 40.0, 400.0, 4000.0]))
@settings(max_examples=2, deadline=None)
def test_price_and_worth_of_time_are_the_least_together(kind, seed, worth):
    """No division is better than a run of told members by more than 5 %, of which a plan is given 2."""
    assert measure_value(seed, worth, kind=kind, told=True) <= 1.05


@pytest.mark.parametrize(("seed", "worth"), [(1007, 400.0), (2007, 4000.0)])
def test_members_much_slower_than_thought_do_not_hold_up_a_first_run(seed, worth):
    """They are given no large job at first, and no more work while they are late."""
    assert measure_value(seed, worth, kind="pubs", told=False) <= 1.25


def test_a_small_last_job_does_not_keep_large_ones_where_they_are():
    """What fees come to elsewhere is told by the large ones."""
    assert measure_value(15006, 400.0, kind="shots", told=False) <= 1.25


def test_where_nothing_is_learned_no_work_goes_to_dearer_members():
    """What waits counts at its price, too, as it is weighed whether to take queued jobs back."""
    assert measure_value(11003, 400.0, kind="pubs", told=True) <= 1.02


@given(seed=seeds, worth=st.floats(4.0, 4000.0))
@settings(max_examples=2, deadline=None)
def test_price_and_time_follow_the_worth_of_time_and_the_fees(seed, worth):
    """Where an hour, or a job, is worth a little more, the run that was best before is hardly beaten by it."""
    load = draw_load(seed, "rows")
    dearer = replace(
        load, models=tuple(replace(one, fee_usd=1.01 * one.fee_usd) for one in load.models)
    )

    def value(found):
        return found.cost_usd + worth * found.makespan_seconds / 3600

    before = value(run(load, balanced, usd_per_hour=worth))

    for changed, more in ((load, 1.01), (dearer, 1.0)):
        after = value(run(changed, balanced, usd_per_hour=more * worth))
        assert after == pytest.approx(before, rel=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_prices_that_bend_are_traded_against_time(seed):
    """The shots of one circuit are divided as looking at all divisions would, and into one job a member."""
    assert measure_curves(seed) <= 1.026


@pytest.mark.parametrize(
    "policy",
    [
        cheapest(where=MaxWait(30)),
        cheapest(where=MaxWait(30), deadline_seconds=900),
        balanced(where=MaxWait(30)),
        fastest(where=MaxWait(30)),
        round_robin(where=MaxWait(30)),
    ],
    ids=str,
)
def test_members_that_a_filter_refuses_for_now_are_asked_for_again(policy):
    """All queues are too long at first, and empty from then on: the run goes on as that is read."""
    pricing = Pricing(per_job=0.3, per_shot=0.001)
    members = [
        SimulatedMember(
            name,
            queue_seconds=lambda t, _: 100.0 if t < 50 else 0.0,
            circuit_seconds=0.1,
            pricing=pricing,
            told=True,
        )
        for name in "ab"
    ]

    found = simulate(Fleet(members), [(zero(),)] * 40, policy=policy, shots=100, seed=1)

    assert found.makespan_seconds < 600
    assert found.cost_usd == pytest.approx(40 * 0.1 + 0.3 * len(found.shards))


@pytest.mark.parametrize("slow", [1.0, 3.0])
@pytest.mark.parametrize("quick", [0.02, 0.1, 0.5])
def test_to_tell_the_speed_of_one_member_makes_no_run_much_longer(slow, quick):
    """It would else begin half of the work in one job, as if a member never seen were as slow."""

    def seconds(*, told):
        members = [
            SimulatedMember("told", circuit_seconds=slow, told=told),
            SimulatedMember("unseen", job_seconds=1.0, circuit_seconds=quick),
        ]
        work = [(zero(),)] * 2000
        return simulate(Fleet(members), work, policy=fastest(), seed=1).makespan_seconds

    assert seconds(told=True) <= 1.2 * seconds(told=False)
