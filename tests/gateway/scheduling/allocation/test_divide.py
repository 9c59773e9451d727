"""Runs that are divided by price and time, from the scheduler's door."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from solving import shares_of, solve_all

from qiskit_gateway.policies import (
    Hours,
    Infidelity,
    Price,
    RunHours,
    Tagged,
    Then,
    balanced,
    cheapest,
    failover,
    fastest,
    least_busy,
    round_robin,
    weighted,
)
from qiskit_gateway.policies.objectives import Trade
from qiskit_gateway.scheduling.allocation.bids import capacities, level_seconds
from qiskit_gateway.scheduling.allocation.divide import bid_of
from qiskit_gateway.scheduling.events import Done, ShardFinished, Submit
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.tasks import Load, Task


def tariff(fee=0.0, each=0.0, floor=0.0):
    """Return a price of jobs with a fee, a price of circuit-shots, and a floor."""

    def price(jobs, circuits, circuit_shots, seconds):
        return jobs * max(fee + each * circuit_shots / jobs, floor)

    return price


def profile(name, order=0, *, price=None, **limits):
    price = price or tariff()
    fee = max(0.0, 2 * price(1, 1, 1, 0) - price(1, 2, 2, 0))
    return MemberProfile(name=name, order=order, price=price, job_fee_usd=fee, **limits)


def learned(fleet_state, seconds_by_member, overhead=0.0):
    """Let members be known to take so long for a circuit."""
    for name, seconds in seconds_by_member.items():
        for size in (1, 10, 100):
            fleet_state.of(name).speed.observe(size, size * 10, overhead + seconds * size)
    return fleet_state


def run_through(scheduler):
    """Do all that is submitted, in order; return what was submitted, and the end."""
    submits, instructions, now = [], solve_all(scheduler, scheduler.start(0.0)), 0.0
    for _ in range(10_000):
        submits += [one for one in instructions if isinstance(one, Submit)]
        if ends := [one for one in instructions if isinstance(one, Done)]:
            return submits, ends[0]
        now += 0.001
        index = next(iter(scheduler.in_flight))
        instructions = scheduler.handle(ShardFinished(shard=index), now)
        instructions = solve_all(scheduler, instructions, now)
    raise AssertionError("the run does not end")


def paid(submits, members):
    """Return what was paid for what was submitted."""
    price = {member.name: member.price for member in members}
    return sum(
        price[one.member](1, one.shard.circuits, one.shard.circuits * one.shard.shots, 0.0)
        for one in submits
    )


money = st.sampled_from([0.0, 0.001, 0.01, 0.3, 1.0])


@st.composite
def fleets(draw):
    return [
        profile(
            f"m{order}",
            order,
            price=tariff(draw(money), draw(money) / 10, draw(money)),
            max_circuits=draw(st.sampled_from([None, 1, 3, 7])),
            max_shots=draw(st.sampled_from([None, None, 10])),
            max_in_flight=draw(st.sampled_from([1, 3])),
            tags=frozenset({"good"}) if draw(st.booleans()) else frozenset(),
        )
        for order in range(draw(st.integers(1, 4)))
    ]


def least_price(member, circuits, shots):
    """Return the least price of so many circuits on one member, looking at every cut."""
    times = math.ceil(shots / (member.max_shots or shots))
    jobs = [math.inf] * (circuits + 1)
    jobs[0] = 0.0
    for total in range(1, circuits + 1):
        for size in range(1, min(member.max_circuits or circuits, total) + 1):
            price = times * member.price(1, size, size * shots / times, 0.0)
            jobs[total] = min(jobs[total], jobs[total - size] + price)
    return jobs


def least_price_of_all(members, circuits, shots):
    """Return the least price over all members, looking at every division."""
    best = [0.0] + [math.inf] * circuits
    for member in members:
        alone = least_price(member, circuits, shots)
        best = [
            min(best[total - own] + alone[own] for own in range(total + 1))
            for total in range(circuits + 1)
        ]
    return best[circuits]


@given(
    fleets(),
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([10, 20])), max_size=3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_a_run_under_cheapest_pays_the_least_that_can_be_paid(members, work, settled, filtered):
    """What is submitted adds up to the price of the best of all divisions, whoever is busy."""
    good = [member for member in members if "good" in member.tags]
    allowed = good if filtered and good else members
    policy = cheapest(where=Tagged("good")) if filtered and good else cheapest()
    tasks = [Task(index=i, rows=rows, shots=shots, group=i) for i, (rows, shots) in enumerate(work)]
    scheduler = Scheduler(tasks, members, policy, fleet_state=FleetState(), settled=settled)

    submits, end = run_through(scheduler)

    by_shots = {shots: sum(rows for rows, each in work if each == shots) for _, shots in work}
    least = sum(least_price_of_all(allowed, rows, shots) for shots, rows in by_shots.items())
    assert end.given_up == ()
    assert paid(submits, members) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("max_shots", [None, 5])
def test_jobs_are_equally_large_where_the_last_would_pay_a_floor(settled, max_shots):
    """Ten circuits in jobs of at most three go as 3, 3, 2, 2, twice where shots are cut in half."""
    member = profile("a", price=tariff(0.0, 0.01, 0.2), max_circuits=3, max_shots=max_shots)
    tasks = [Task(index=i, rows=rows, shots=10, group=i) for i, rows in enumerate([1, 9])]

    submits, _ = run_through(
        Scheduler(tasks, [member], cheapest(), fleet_state=FleetState(), settled=settled)
    )

    sizes = sorted(one.shard.circuits for one in submits)
    assert sizes == ([2, 2, 3, 3] if max_shots is None else [2, 2, 2, 2, 3, 3, 3, 3])


def test_work_that_cannot_be_done_in_time_is_refused_before_anything_is_sent():
    """The earliest possible time is told, counting queues and speeds."""
    fleet_state = learned(FleetState(), {"a": 1.0, "b": 3.0})
    fleet_state.of("b").queue_seconds = 100.0
    members = [profile("a"), profile("b", 1)]
    tasks = [Task(index=0, rows=400, shots=10)]
    scheduler = Scheduler(tasks, members, fastest(deadline_seconds=300), fleet_state=fleet_state)

    (end,) = scheduler.start(0.0)

    # By then a does 325 circuits, and b after the 100 s in its queue 75.
    said = re.fullmatch(
        "it cannot be done by the deadline of 300 s: by the queues and speeds that are known, "
        "(.*) s is the earliest",
        end.given_up[0].reasons[""],
    )
    assert float(said[1]) == pytest.approx(325, rel=0.01)
    assert not end.sent


def test_queues_longer_than_the_deadline_are_reason_enough():
    """However fast members may be, nothing is done before the shortest queue is over."""
    fleet_state = FleetState()
    fleet_state.of("a").queue_seconds, fleet_state.of("b").queue_seconds = 700.0, 900.0
    scheduler = Scheduler(
        [Task(index=0, rows=4, shots=10)],
        [profile("a"), profile("b", 1)],
        fastest(deadline_seconds=600),
        fleet_state=fleet_state,
    )

    (end,) = scheduler.start(0.0)

    assert "700 s is the earliest" in end.given_up[0].reasons[""]
    assert not end.sent


@pytest.mark.parametrize("unknown", ["speeds", "nothing"])
def test_unknown_speeds_are_no_reason_to_refuse(unknown):
    """What nobody was seen to do may be done in time, and what can be is begun."""
    fleet_state = learned(FleetState(), {"a": 1.0})
    if unknown == "nothing":
        learned(fleet_state, {"b": 1.0})
    scheduler = Scheduler(
        [Task(index=0, rows=400, shots=10)],
        [profile("a"), profile("b", 1)],
        fastest(deadline_seconds=100 if unknown == "speeds" else 201),
        fleet_state=fleet_state,
    )

    assert any(isinstance(one, Submit) for one in scheduler.start(0.0))


PRESETS = [cheapest, least_busy, round_robin, weighted, failover, balanced]


@pytest.mark.parametrize("preset", PRESETS)
@given(
    seconds=st.lists(st.floats(0.1, 3.0), min_size=2, max_size=5),
    waits=st.lists(st.sampled_from([0.0, 20.0]), min_size=5, max_size=5),
    prices=st.lists(st.sampled_from([0.0, 0.1, 1.0]), min_size=5, max_size=5),
    slack=st.floats(1.05, 4.0),
)
@example(  # To be done so soon is worth more than any price, and the solver finds nothing.
    seconds=[1.0, 2.0, 0.109375, 1.0],
    waits=[0.0, 0.0, 0.0, 20.0, 0.0],
    prices=[0.0, 0.0, 0.0, 0.1, 0.0],
    slack=2.0,
)
@settings(max_examples=20, deadline=None)
def test_a_deadline_takes_work_from_members_that_would_be_late(
    preset, seconds, waits, prices, slack
):
    """If all can be in time together, whatever is minimized, nobody is given more than in time."""
    fleet_state = FleetState()
    names = [f"m{order}" for order in range(len(seconds))]
    learned(fleet_state, dict(zip(names, seconds, strict=True)))
    members = []
    for order, name in enumerate(names):
        fleet_state.of(name).queue_seconds = waits[order]
        members.append(profile(name, order, price=tariff(each=prices[order])))
    offers = Offers(
        estimator=Estimator(
            profiles={member.name: member for member in members},
            states={name: fleet_state.of(name) for name in names},
        ),
        assigned={},
        waiting=Load(200, 2000),
        uses=preset().uses,
        now=0.0,
    )
    bids = [bid_of(offers, name) for name in names]
    horizon = slack * level_seconds(bids, 200)

    shares = shares_of(offers, names, preset().minimize, horizon=horizon).circuits

    assert sum(shares.values()) == pytest.approx(200)
    for bid in bids:
        assert bid.seconds(round(shares.get(bid.member, 0))) <= horizon * (1 + 1e-6) + seconds[0]


@given(seconds=st.lists(st.floats(0.5, 2.0), min_size=2, max_size=5), slack=st.floats(1.05, 4.0))
@settings(max_examples=20, deadline=None)
def test_what_is_late_at_the_best_member_goes_to_the_next_best(seconds, slack):
    """Under a deadline each member but the last that is used has all that it can do in time."""
    names = [f"m{order}" for order in range(len(seconds))]
    fleet_state = learned(FleetState(), dict(zip(names, seconds, strict=True)))
    members = [profile(name, order) for order, name in enumerate(names)]
    offers = offers_of(members, 200, fleet_state)
    horizon = slack * level_seconds([bid_of(offers, name) for name in names], 200)
    able = capacities([bid_of(offers, name) for name in names], horizon, 200)

    shares = shares_of(offers, names, failover().minimize, horizon=horizon).circuits

    left = 200
    for name, most in zip(names, able, strict=True):
        assert shares.get(name, 0) == pytest.approx(min(most, left))
        left -= min(most, left)
    assert left == 0


def offers_of(members, circuits, fleet_state=None):
    return Offers(
        estimator=Estimator(
            profiles={member.name: member for member in members},
            states={
                member.name: (fleet_state or FleetState()).of(member.name) for member in members
            },
        ),
        assigned={},
        waiting=Load(circuits, circuits * 10),
        uses=balanced().uses,
        now=0.0,
    )


def test_no_time_is_worth_nothing():
    """balanced(usd_per_hour=0) divides as cheapest() does."""
    members = [profile("a", price=tariff(1.0)), profile("b", 1, price=tariff(0.0, 0.05))]
    for circuits in (1, 2, 3, 50):
        offers = offers_of(members, circuits)
        one, other = (
            shares_of(offers, ["a", "b"], policy.minimize).circuits
            for policy in (cheapest(), balanced(usd_per_hour=0))
        )
        assert one == other == ({"b": circuits} if circuits == 1 else one)


def test_the_time_of_a_run_is_told_from_the_time_of_a_circuit():
    """Under RunHours a dear member is paid for what makes the whole run end sooner; under Hours for
    every circuit that would end sooner there."""
    fleet_state = learned(FleetState(), {"slow": 36.0, "fast": 36.0})
    members = [profile("slow"), profile("fast", 1, price=tariff(each=0.1))]
    offers = offers_of(members, 100, fleet_state)

    whole = shares_of(offers, ["slow", "fast"], Price() + 40 * RunHours()).circuits
    each = shares_of(offers, ["slow", "fast"], Price() + 40 * Hours()).circuits

    # A circuit costs 1 USD there. Moved there it makes the run 0.01 hours shorter, worth 0.4 USD,
    # as long as the other has more.
    assert whole == {"slow": 100}
    assert each == pytest.approx({"slow": 51.25, "fast": 48.75}, abs=1)
    assert shares_of(offers, ["slow", "fast"], Price() + 110 * RunHours()).circuits["fast"] == 50


def test_an_objective_makes_a_trade_if_only_the_time_of_the_run_grows():
    """Sums and factors are looked through; what else grows is left to levelling."""
    trade = Trade.of(Then(2 * (Price() + 20 * RunHours()) + 5 * Infidelity(), Hours()))
    assert (trade.price_factor, trade.usd_per_hour) == (2.0, 40.0)
    assert Trade.of(cheapest().minimize).usd_per_hour == 0
    assert Trade.of(Price() + 40 * Hours()) is None
    assert Trade.of(fastest().minimize) is None
    assert Trade.of(RunHours()) is None


def test_quality_counts_for_every_circuit():
    """A faithful member is worth its price where infidelity costs more."""
    members = [
        profile("rough", fidelity=0.5),
        profile("fine", 1, fidelity=1.0, price=tariff(each=0.1)),
    ]
    offers = offers_of(members, 10)
    for worth, member in ((1.0, "rough"), (3.0, "fine")):
        policy = balanced(usd_per_hour=0, usd_per_infidelity=worth)
        assert shares_of(offers, ["rough", "fine"], policy.minimize).circuits == {member: 10}


def test_shots_may_be_divided():
    """Where rows may be cut, one circuit is divided over members as many would be."""
    fleet_state = learned(FleetState(), {"a": 1.0, "b": 1.0})
    offers = offers_of([profile("a"), profile("b", 1)], 1, fleet_state)

    shares = shares_of(offers, ["a", "b"], balanced().minimize, divisible=True).circuits

    assert shares == pytest.approx({"a": 0.5, "b": 0.5})
