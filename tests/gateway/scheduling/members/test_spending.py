"""Budgets over several runs at once: whatever happens, none is ever exceeded."""

import gc
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from side_by_side import DAY, SIZES, SideBySide

from qiskit_gateway.policies import Budget, Policy, RetryPolicy, cheapest, fastest, round_robin
from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.scheduling.events import (
    Close,
    Done,
    ShardCancelled,
    ShardFinished,
    Stop,
    Submit,
    Tick,
)
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.spending import Spending
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.tasks import Task


def tariff(fee, each, floor):
    def price(jobs, circuits, circuit_shots, seconds):
        return jobs * max(fee + each * circuit_shots / jobs, floor)

    return price


def members():
    """Return a free member, one paid by the shot, one with a fee and one with a floor."""
    prices = [(0, 0, 0), (0, 0.01, 0), (0.3, 0.002, 0), (0, 0.004, 0.5)]
    return [
        MemberProfile(
            name=f"m{order}",
            order=order,
            max_circuits=[None, 1, 4, 10][order],
            max_in_flight=2,
            min_shots=[1, 1, 1, 20][order],
            price=tariff(*one),
            job_fee_usd=one[0],
        )
        for order, one in enumerate(prices)
    ]


@dataclass(eq=False)
class Booking:
    """One attempt, as the test books it for itself."""

    budget: Budget | None
    run: int
    member: str
    day: int
    usd: float
    shots: int


budgets = st.builds(
    Budget,
    usd=st.none() | st.sampled_from([0, 0.5, 3]),
    shots=st.none() | st.sampled_from([0, 100, 500]),
    attempts=st.none() | st.sampled_from([1, 8]),
    per_member_usd=st.none() | st.just({"m1": 0.4, "m2": 0.5}),
    per_day_usd=st.none() | st.sampled_from([0.6, 1.5]),
    per_run_usd=st.none() | st.sampled_from([0.4, 1.0]),
    per_run_shots=st.none() | st.just(150),
    on_exhausted=st.sampled_from(["move", "wait", "stop"]),
)


class ConcurrentRuns(SideBySide):
    """Runs over one fleet, under budgets that some of them share."""

    def __init__(self):
        super().__init__(members())

    @initialize(shared=st.lists(budgets, min_size=1, max_size=2))
    def begin(self, shared):
        self.shared, self.seen = shared, list(shared)

    @precondition(lambda self: len(self.runs) < 4)
    @rule(
        which=st.integers(0, 3),
        own=budgets,
        preset=st.sampled_from([fastest, cheapest, round_robin]),
        size=SIZES,
        settled=st.booleans(),
    )
    def start_run(self, *, which, own, preset, size, settled):
        """A run begins, under a budget that others have too or one of its own."""
        budget = self.shared[which] if which < len(self.shared) else own
        self.seen.append(budget)
        policy = preset(budget=budget, retry=RetryPolicy(budget_floor=1000))
        self.start(policy, size, settled=settled)

    def book(self, run, submit):
        shard, profile = submit.shard, self.profiles[submit.member]
        shots = shard.circuits * shard.shots
        return Booking(
            budget=run.policy.budget,
            run=run.number,
            member=submit.member,
            day=int(self.now // DAY),
            usd=profile.price(1, shard.circuits, shots, 0.0),
            shots=shots,
        )

    def book_short(self, submit, booked, ran_shots, asked, price):
        assert price.usd == pytest.approx(asked)
        assert asked <= booked.usd
        return replace(booked, usd=asked, shots=ran_shots)

    @invariant()
    def within_every_budget(self):
        """What was submitted and not given back stays within every limit of its budget."""
        for budget in {id(one): one for one in self.seen}.values():
            ours = [one for one in self.booked if one.budget is budget]
            self.within(budget.usd, sum(one.usd for one in ours))
            self.within(budget.shots, sum(one.shots for one in ours))
            self.within(budget.attempts, len(ours))
            for member, limit in (budget.per_member_usd or {}).items():
                self.within(limit, sum(one.usd for one in ours if one.member == member))
            days, runs, shots = Counter(), Counter(), Counter()
            for one in ours:
                days[one.day] += one.usd
                runs[one.run] += one.usd
                shots[one.run] += one.shots
            self.within(budget.per_day_usd, max(days.values(), default=0))
            self.within(budget.per_run_usd, max(runs.values(), default=0))
            self.within(budget.per_run_shots, max(shots.values(), default=0))

    @staticmethod
    def within(limit, used):
        assert limit is None or used <= limit * (1 + 1e-6) + 1e-12


TestConcurrentRuns = ConcurrentRuns.TestCase
TestConcurrentRuns.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def scheduler_of(policy, fleet_state=None, rows=10):
    profiles = [
        MemberProfile(name="paid", max_circuits=1, max_in_flight=1, price=tariff(1.0, 0, 0))
    ]
    tasks = [Task(index=0, rows=rows, shots=10)]
    return Scheduler(tasks, profiles, policy, fleet_state=fleet_state or FleetState())


def submitted(instructions):
    return [one.shard.index for one in instructions if isinstance(one, Submit)]


def test_a_budget_gone_by_does_not_lend_its_ledger_to_another():
    """What was spent under a budget that nobody holds any more binds no later one."""
    fleet_state = FleetState()
    for _ in range(200):
        run = scheduler_of(fastest(budget=Budget(usd=1)), fleet_state, rows=1)
        assert submitted(run.start(0.0)) == [0]
        run.handle(ShardFinished(shard=0), 1.0)
        del run
        gc.collect(0)


def test_the_day_after_there_is_room_again():
    """Under a budget of a day that waits, work goes on when the next day begins."""
    policy = fastest(budget=Budget(per_day_usd=2, on_exhausted="wait"))
    run = scheduler_of(policy, rows=3)

    first = run.start(100.0, epoch=50.0)
    second = run.handle(ShardFinished(shard=0), 101.0)
    third = run.handle(ShardFinished(shard=1), 102.0)
    just_before = run.handle(Tick(), DAY + 49)
    after = run.handle(Tick(), DAY + 50)

    assert [submitted(one) for one in (first, second, third)] == [[0], [1], []]
    assert submitted(just_before) == []
    assert submitted(after) == [2]


def test_what_waiting_cannot_bring_back_stops_the_run():
    """A budget that is spent for good is told with what was spent and what is left to do."""
    run = scheduler_of(fastest(budget=Budget(usd=1, on_exhausted="wait")), rows=3)
    run.start(0.0)

    end = run.handle(ShardFinished(shard=0), 1.0)

    given_up = next(one for one in end if isinstance(one, Done)).given_up
    assert given_up[0].reasons[""] == (
        "the budget of 1 usd has 0 left (1 spent, 0 reserved), 1 asked; "
        "20 shots of the run are left to do"
    )


def test_a_waiting_run_goes_on_when_another_gives_its_money_back():
    """Room that another run had reserved and did not spend is used."""
    fleet_state = FleetState()
    budget = Budget(usd=1, on_exhausted="wait")
    profiles = [MemberProfile(name="paid", max_circuits=1, price=tariff(1.0, 0, 0))]
    one, other = (
        Scheduler(
            [Task(index=0, rows=1, shots=10)],
            profiles,
            Policy(budget=budget),
            fleet_state=fleet_state,
        )
        for _ in range(2)
    )

    assert submitted(one.start(0.0)) == [0]
    assert submitted(other.start(0.0)) == []
    one.handle(Stop(reason="enough"), 1.0)
    one.handle(ShardCancelled(shard=0, confirmed=True), 1.0)
    assert submitted(other.handle(Tick(), 1.0)) == [0]


@pytest.mark.parametrize("limit", [{"per_run_usd": 2.0}, {"per_run_shots": 20}])
def test_a_budget_of_a_run_binds_each_run_by_itself(limit):
    """A second run may spend as much as the first did."""
    fleet_state = FleetState()
    policy = fastest(budget=Budget(**limit))
    for _ in range(2):
        run = scheduler_of(policy, fleet_state)
        assert submitted(run.start(0.0)) == [0]
        assert submitted(run.handle(ShardFinished(shard=0), 1.0)) == [1]
        assert submitted(run.handle(ShardFinished(shard=1), 2.0)) == []
        run.handle(Close(), 3.0)


def test_what_is_in_flight_at_the_end_counts_as_spent():
    """A run torn down with a job in flight leaves no money set aside, and none given back."""
    fleet_state = FleetState()
    spending = Spending(Budget(usd=3), fleet_state.accounts)
    run = scheduler_of(policy := fastest(budget=Budget(usd=3)), fleet_state)
    run.start(0.0)
    run.handle(Close(), 0.5)

    account = fleet_state.accounts[id(policy.budget)]
    assert account.ledger.reserved == {}
    assert account.ledger.spent["usd"] == 1
    assert spending.spent == {}


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        (Budget(usd=4), [4, 3, 3, 3]),
        (Budget(per_run_usd=2), [2, 1, 1, 1]),
        (Budget(usd=4, per_day_usd=0.6), [0.6, 0, 0, 0]),
        (Budget(shots=100), [None] * 4),
        (None, [None] * 4),
    ],
)
def test_what_is_left_is_what_nobody_has_spent_or_set_aside(budget, left):
    """It is told before anything, while a job flies, after it, and once the run is over."""
    spending = Spending(budget, {})
    told = [spending.left_usd(0)]
    amount = Amount(usd=1, shots=10)
    if budget is None or budget.per_day_usd is None:
        assert spending.reserve("one", "a", amount, 0)
    else:  # What is owed already may be more than there is.
        spending.owe("one", "a", amount, 0)
    told.append(spending.left_usd(0))
    spending.settle("one")
    told.append(spending.left_usd(0))
    spending.close()
    told.append(spending.left_usd(0))
    assert told == left
