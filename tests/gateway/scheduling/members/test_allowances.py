"""Allowances: whatever happens, no more is free than there is, and all else is paid."""

import itertools
import math
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from qiskit.providers.basic_provider import BasicSimulator
from side_by_side import DAY, SIZES, SideBySide
from small_circuits import bell
from solving import best_division, solve_all

from qiskit_gateway import RouterSampler, simulate
from qiskit_gateway.backends import Allowance, Fleet, Limits, Member, Pricing, SimulatedMember
from qiskit_gateway.policies import Budget, RetryPolicy, balanced, cheapest, fastest, round_robin
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.allocation.bids import Bid, Credit, lines_of
from qiskit_gateway.scheduling.allocation.integer_program import Worth
from qiskit_gateway.scheduling.events import Retry, TryFailed
from qiskit_gateway.scheduling.members.allowances import Pot
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.price import Price
from qiskit_gateway.work.tasks import Task


def tariff(fee, each):
    def price(jobs, circuits, circuit_shots, seconds):
        return jobs * fee + each * circuit_shots

    return price


def by_day(name, amount, rate):
    return Allotment(
        name=name, amount=amount, usd_per_unit=rate, step_of=lambda wall: math.floor(wall / DAY)
    )


def members():
    """Return one paid for all, two that share an allotment, and one that sells no more than its own."""
    allotments = [None, by_day("shared", 3.0, 0.5), by_day("shared", 3.0, 2.0)]
    allotments.append(by_day("own", 2.0, math.inf))
    return [
        MemberProfile(
            name=f"m{order}",
            order=order,
            max_circuits=[None, 2, 4, 10][order],
            max_in_flight=2,
            price=tariff(*[(0.3, 0.02), (0, 0.01), (0.1, 0.01), (0, 0.02)][order]),
            allotment=allotments[order],
        )
        for order in range(4)
    ]


@dataclass(eq=False)
class Use:
    """One try, as the test books it for itself."""

    member: str
    day: int
    free: float


class ConcurrentRuns(SideBySide):
    """Runs over one fleet whose members leave some work free."""

    def __init__(self):
        super().__init__(members())

    @precondition(lambda self: len(self.runs) < 4)
    @rule(
        preset=st.sampled_from([fastest, cheapest, round_robin, balanced]),
        size=SIZES,
        usd=st.none() | st.sampled_from([0, 1]),
        settled=st.booleans(),
    )
    def start_run(self, *, preset, size, usd, settled):
        """A run begins, with a budget or none."""
        budget = None if usd is None else Budget(usd=usd, on_exhausted="move")
        keywords = {"usd_per_hour": 10} if preset is balanced else {}
        policy = preset(budget=budget, retry=RetryPolicy(budget_floor=1000), **keywords)
        self.start(policy, size, settled=settled)

    def book(self, run, submit):
        """Book a try; what is not free of it must be paid, to the cent."""
        shard, profile = submit.shard, self.profiles[submit.member]
        price = submit.price
        asked = profile.price(1, shard.circuits, shard.circuits * shard.shots, 0.0)
        assert 0 <= price.free_units <= asked
        paid = asked - price.free_units
        if profile.allotment is None:
            assert price.usd == asked
        elif paid > 1e-9 * asked:
            assert price.usd == pytest.approx(paid * profile.allotment.usd_per_unit)
        assert math.isfinite(price.usd)
        assert price.usd >= 0
        return Use(submit.member, int(self.now // DAY), price.free_units)

    def book_short(self, submit, booked, ran_shots, asked, price):
        """What is not used is free again; what is due is paid to the cent."""
        profile = self.profiles[submit.member]
        assert 0 <= price.free_units <= min(asked, booked.free) * (1 + 1e-9)
        paid = asked - price.free_units
        rate = 1.0 if profile.allotment is None else profile.allotment.usd_per_unit
        owed = paid * rate if paid > 1e-9 * asked else 0.0
        assert price.usd == pytest.approx(owed, abs=1e-9)
        return Use(booked.member, booked.day, price.free_units)

    @invariant()
    def no_more_is_free_than_there_is(self):
        """Of each allotment, no day's jobs had more for nothing than its amount."""
        used = Counter()
        for use in self.booked:
            allotment = self.profiles[use.member].allotment
            if allotment is None:
                assert not use.free
            else:
                used[allotment.name, use.day] += use.free
        amounts = {"shared": 3.0, "own": 2.0}
        for (name, _), units in used.items():
            assert units <= amounts[name] * (1 + 1e-9)


TestConcurrentRuns = ConcurrentRuns.TestCase
TestConcurrentRuns.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# -- how much is left ------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=30))
def test_what_rounding_leaves_is_nothing(parts):
    """Parts that add up to the amount leave no room, in whatever order they are added."""
    pot = Pot(Allotment(name="own", amount=math.fsum(parts)))
    for part in parts[1:]:
        pot.count(0.0, part)
    pot.held["job"] = (pot.allotment.step_of(0.0), parts[0])
    assert pot.left(0.0) == 0.0
    pot.held.clear()
    assert pot.left(0.0) == pytest.approx(parts[0])


def test_an_amount_without_end_is_left():
    """Whatever was used."""
    pot = Pot(Allotment(name="own", amount=math.inf))
    pot.count(0.0, 1e12)
    assert pot.left(0.0) == math.inf


@pytest.mark.parametrize(
    ("period", "then", "left"),
    [
        (None, 400.0, 6.0),
        ("day", 0.9, 6.0),
        ("day", 1.0, 10.0),
        # The month that begins a day before the epoch's 31st day ends with it.
        ("month", 30.9, 6.0),
        ("month", 31.0, 10.0),
        (28.0, 28.4, 6.0),
        (28.0, 28.6, 10.0),
        (0.5, 0.51, 6.0),
    ],
)
def test_what_was_used_is_free_again_when_its_period_is_over(period, then, left):
    """Days and months are those of the calendar; a number of days is counted back from now."""
    allowance = Allowance(meter=Pricing(per_shot=1), amount=10, period=period)
    pot = Pot(Allotment(name="a", amount=10, step_of=allowance.step_of, steps=allowance.steps))
    pot.count(0.5 * DAY if period != "day" else 0.1 * DAY, 4.0)

    assert pot.left(then * DAY) == pytest.approx(left)


@given(
    st.floats(0.5, 40),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=20),
    st.floats(0, 200),
)
def test_no_window_of_days_holds_more_than_the_amount(days, jobs, later):
    """What is taken as long as something is left is within the amount in every such window."""
    allowance = Allowance(meter=Pricing(per_shot=1), amount=6, period=days)
    pot = Pot(Allotment(name="a", amount=6, step_of=allowance.step_of, steps=allowance.steps))
    taken = []
    for at, units in sorted(jobs):
        free = min(units, pot.left(at * DAY))
        pot.count(at * DAY, free)
        taken.append((at, free))

    for end, _ in taken:
        assert sum(free for at, free in taken if end - days < at <= end) <= 6 * (1 + 1e-9)
    assert 0 <= pot.left((100 + later) * DAY) <= 6


# -- who gets the work -----------------------------------------------------------------------------

prices = st.tuples(
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 2.0]),
)
pots = st.none() | st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from([0.0, 1.0, 2.5, 4.0]),
    st.sampled_from([0.5, 1.0, 3.0]),
)


def bids_of(fleet, circuits):
    """Return bids; members that share a pot agree on what is left of it and what more costs."""
    agreed = {}
    for index, ((fee, each, floor), most, pot) in enumerate(fleet):
        credit = None if pot is None else Credit(*agreed.setdefault(pot[0], pot))
        yield Bid(
            member=f"m{index}",
            lines=lines_of(
                lambda n, fee=fee, each=each, floor=floor: max(fee + each * n, floor),
                min(most or circuits, circuits),
            ),
            unit_seconds=1.0,
            credit=credit,
        )


def least_price(bids, circuits):
    """Return the least price, looking at all ways to divide circuits into jobs and jobs among members."""
    least = math.inf
    for sizes in partitions(circuits, circuits):
        for takers in itertools.product(bids, repeat=len(sizes)):
            if any(size > bid.most for size, bid in zip(sizes, takers, strict=True)):
                continue
            usd, units, rates = 0.0, Counter(), {}
            for size, bid in zip(sizes, takers, strict=True):
                if bid.credit is None:
                    usd += bid.price(size)
                else:
                    units[bid.credit.pot] += bid.price(size)
                    rates[bid.credit.pot] = bid.credit
            for pot, credit in rates.items():
                usd += max(0.0, units[pot] - credit.left) * credit.usd_per_unit
            least = min(least, usd)
    return least


def partitions(number, largest):
    if not number:
        yield ()
    for first in range(min(number, largest), 0, -1):
        for rest in partitions(number - first, first):
            yield (first, *rest)


@given(
    st.lists(st.tuples(prices, st.sampled_from([None, 1, 2, 3]), pots), min_size=1, max_size=3),
    st.integers(1, 5),
)
@settings(max_examples=150, deadline=None)
def test_the_cheapest_division_uses_allowances_exactly(fleet, circuits):
    """Whatever is left of them, shared or not, no division costs less."""
    bids = list(bids_of(fleet, circuits))

    found = best_division(bids, circuits, Worth())

    assert sum(map(sum, found.jobs.values())) == circuits
    assert found.usd == pytest.approx(least_price(bids, circuits), abs=1e-9)


@given(
    st.lists(prices, min_size=2, max_size=3),
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([10, 50])), min_size=1, max_size=3),
    st.sampled_from([fastest, cheapest, round_robin, lambda: balanced(usd_per_hour=20)]),
)
@settings(max_examples=40, deadline=None)
def test_an_allowance_of_nothing_changes_nothing(tariffs, pubs, preset):
    """Where nothing is free and a unit beyond is a dollar, all goes where it went, at that price."""

    def told(wrap):
        fleet = Fleet(
            [
                SimulatedMember(
                    f"m{index}",
                    limits=Limits(max_circuits=3),
                    pricing=wrap(Pricing(per_job=fee, per_circuit=each, minimum_per_job=floor)),
                    circuit_seconds=1 + index,
                )
                for index, (fee, each, floor) in enumerate(tariffs)
            ]
        )
        work = [(bell(), [[]] * rows, shots) for rows, shots in pubs]
        return [
            (
                one.member,
                one.circuits,
                one.shots,
                one.submitted_seconds,
                pytest.approx(one.price_usd),
            )
            for one in simulate(fleet, work, policy=preset()).shards
        ]

    assert told(lambda pricing: Allowance(meter=pricing, amount=0)) == told(lambda pricing: pricing)


# -- in runs ---------------------------------------------------------------------------------------


def free_shots(amount, **more):
    return Allowance(meter=Pricing(per_shot=1), amount=amount, unit="shots", **more)


def fleet_of(pricing, **limits):
    return Fleet(
        [
            Member(BasicSimulator(), name="plan", pricing=pricing, limits=Limits(**limits)),
            Member(BasicSimulator(), name="paid", pricing=Pricing(per_shot=0.01)),
        ]
    )


def test_a_quote_and_a_run_use_what_is_free_and_pay_the_rest():
    """What a quote says is what the run takes; the next run finds less left."""
    fleet = fleet_of(free_shots(250, usd_per_unit=0.03))
    sampler = RouterSampler(fleet, policy=cheapest())
    pubs = [(bell(), [[]] * 4, 100)]

    quote = sampler.quote(pubs)
    job = sampler.run(pubs)
    job.result()
    after = sampler.quote(pubs)

    assert (quote["plan"].shots, quote["paid"].shots) == (200, 200)
    assert quote.price_usd == job.report().price_usd == pytest.approx(2.0)
    assert quote["plan"].allowance.units == 200
    assert quote["plan"].allowance.left == 50
    assert "plan: takes 200 of the 250 shots that are free, and leaves 50" in str(quote)
    assert [one.free_units for one in job.report().attempts if one.member == "plan"] == [200]
    # 50 shots are left: a circuit there would cost 1.50.
    assert after.price_usd == pytest.approx(4.0)


def test_a_plan_that_sells_no_more_takes_what_fits_and_no_more():
    """Where nothing is sold beyond the allowance, the rest goes elsewhere, or is told not to."""
    pubs = [(bell(), [[]] * 10, 100)]

    mixed = RouterSampler(fleet_of(free_shots(350, usd_per_unit=math.inf)), policy=fastest())
    job = mixed.run(pubs)
    job.result()
    alone = Member(BasicSimulator(), name="plan", pricing=free_shots(350, usd_per_unit=math.inf))
    quote = RouterSampler(alone).quote(pubs)

    assert sum(one.free_units for one in job.report().attempts) <= 350
    assert quote["plan"].shots == 300
    assert quote.shots_not_done == 700
    assert "its allowance of 350 shots has 50 left, 100 asked, and no more is sold" in str(quote)


def test_simulation_counts_allowances():
    """A simulated run pays what is beyond them; failed jobs use them up too."""
    plan = SimulatedMember("plan", pricing=free_shots(300, usd_per_unit=0.5), circuit_seconds=1)

    found = simulate(plan, [(bell(), [[]] * 5, 100)], policy=cheapest())

    assert found.cost_usd == pytest.approx(100.0)


def test_a_retry_is_paid_when_what_is_free_is_gone():
    """One more try of a job that used the allowance up has a price of its own."""
    profiles = [MemberProfile(name="m", price=tariff(0, 1.0), allotment=by_day("a", 10.0, 0.1))]
    run = Scheduler(
        [Task(index=0, rows=1, shots=10)],
        profiles,
        cheapest(budget=Budget(usd=1.5)),
        fleet_state=FleetState(),
    )
    failure = Failure(transient=True, submitted=True)

    (submit, *_) = solve_all(run, run.start(0.0))
    failed = TryFailed(shard=0, failure=failure, reason="busy")
    (retry, *_) = run.handle(failed, 0.0)

    assert submit.price == Price(usd=0.0, free_units=10.0)
    assert retry == Retry(shard=0, price=Price(usd=1.0, free_units=0.0))
    assert run.handle(failed, 0.0) == []


def test_a_journal_tells_the_next_process_what_was_used(tmp_path):
    """A new fleet over an old journal goes on counting where the last one was."""
    pubs = [(bell(), [[]] * 2, 100)]

    def sampler():
        fleet = fleet_of(free_shots(250, usd_per_unit=0.02, period=28.0))
        return RouterSampler(fleet, policy=cheapest(), journal=tmp_path / "runs")

    first = sampler()
    first.run(pubs).result()
    again = sampler()
    again.run(pubs).result()

    # 200 shots in the first process, 50 and as many for 1.00 in the second.
    assert again.quote(pubs)["plan"].allowance.left == 0
    assert sampler().quote(pubs)["plan"].allowance.left == 0
    assert first.quote(pubs)["plan"].allowance.units == 50


def test_members_of_a_shared_allowance_agree_on_it():
    """Two members that share credits take them out of one pot, and must say the same of it."""
    shared = free_shots(250, usd_per_unit=0.02, name="account")
    fleet = Fleet(
        [Member(BasicSimulator(), name=name, pricing=shared) for name in ("one", "other")]
    )

    quote = RouterSampler(fleet, policy=round_robin()).quote([(bell(), [[]] * 4, 100)])

    assert quote.price_usd == pytest.approx(150 * 0.02)
    assert {one.shots for one in quote.members} == {200}
    with pytest.raises(ValueError, match="do not agree on its amount: 250 and 100"):
        Fleet(
            [
                Member(BasicSimulator(), name="one", pricing=shared),
                Member(BasicSimulator(), name="two", pricing=replace(shared, amount=100)),
            ]
        )


@pytest.mark.parametrize(
    ("said", "error", "why"),
    [
        ({"amount": -1}, ValueError, "amount must be zero or more"),
        ({"amount": math.inf}, ValueError, "amount must be zero or more and finite"),
        ({"period": 0}, ValueError, "period must be 'day', 'month' or a number of days above 0"),
        ({"period": "week"}, TypeError, "period must be"),
        ({"usd_per_unit": math.nan}, ValueError, "usd_per_unit must be"),
        ({"meter": 3}, TypeError, "meter must be a tariff"),
    ],
)
def test_allowances_are_checked(said, error, why):
    """What cannot be counted is refused at once."""
    with pytest.raises(error, match=why):
        Allowance(**({"meter": Pricing(), "amount": 1} | said))
