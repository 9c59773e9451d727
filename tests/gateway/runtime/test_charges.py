"""What a provider says that it charged settles reservation, report and journal."""

import math

import pytest
from made_up import Delivered, MadeUp
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import (
    Allowance,
    BackendError,
    Charge,
    Fleet,
    Hqc,
    Limits,
    Member,
    Pricing,
    PrimitiveMember,
    Usage,
    tariff,
)
from qiskit_gateway.backends.pricing.charge import count_charged_units
from qiskit_gateway.policies import Budget, fastest
from qiskit_gateway.scheduling.members.allowances import Allowances
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.price import Due, Price


class Metered(Delivered):
    """A job that says how long its machine was busy, as IBM's do."""

    told = 3.5
    asked = 0

    def usage(self):
        """Tell seconds, or raise what is told."""
        self.asked += 1
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


class Timed(MadeUp):
    """A backend that answers zeros, and whose jobs are metered."""

    told = 3.5
    most = 1000

    def __init__(self, *given):
        super().__init__(*given)
        self.jobs = []

    def run(self, circuits, **options):
        """Deliver as many shots as it can."""
        shots = min(options["shots"], self.most)
        job = Metered(self, [{"counts": {"0x0": shots}} for _ in circuits], shots)
        job.told = self.told
        self.jobs.append(job)
        return job


def timed(told=3.5, **pricing):
    backend = Timed("timed", GenericBackendV2(2, seed=1).target)
    backend.told = told
    return Member(backend, pricing=Pricing(**pricing))


def zeros():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    return circuit


def run(member, tmp_path, **named):
    sampler = RouterSampler(member, journal=Journal(tmp_path / "journal.db"), **named)
    job = sampler.run([zeros()], shots=100)
    job.result(timeout=60)
    return sampler, job


def test_seconds_settle_report_and_journal(tmp_path):
    """The overhead is in what was measured, and not billed on top of it."""
    sampler, job = run(timed(per_second=2.0, job_overhead_seconds=1.0), tmp_path)
    (attempt,) = job.report().attempts
    assert (attempt.charged, attempt.price_usd) == (True, 7.0)
    assert job.report().price_usd == 7.0
    (written,) = sampler._router.journal.entries(job.job_id())
    assert (written.attempt.price_usd, written.attempt.charged) == (7.0, True)


@pytest.mark.parametrize(("told", "sent"), [(3.5, 2), (0.2, 5)])
def test_budgets_count_what_was_charged(tmp_path, told, sent):
    """What a job did not cost may be spent, and what it did cost more may not."""
    member = timed(told, per_second=2.0, job_overhead_seconds=2.0)
    policy = fastest(budget=Budget(usd=12.0))
    sampler = RouterSampler(Fleet(member), policy=policy)
    done = 0
    for _ in range(sent):
        sampler.run([zeros()], shots=10).result(timeout=60)
        done += 1
    assert done == sent
    if told > 2:
        with pytest.raises(Exception, match="budget"):
            sampler.run([zeros()], shots=10).result(timeout=60)


def test_allowances_count_what_was_used(tmp_path):
    """Free seconds are used up by those that were, and not by those that were expected."""
    member = timed()
    member.pricing = Allowance(
        meter=Pricing(per_second=1.0, job_overhead_seconds=10.0), amount=100, unit="s"
    )
    sampler, job = run(member, tmp_path)
    (attempt,) = job.report().attempts
    assert (attempt.price_usd, attempt.free_units) == (0.0, 3.5)
    (pot,) = sampler.fleet.keep(FleetState).pots.values()
    assert pot.left(0.0) == 96.5


@pytest.mark.parametrize(
    "told", [0, None, True, "3", BackendError("down", transient=True), OSError()]
)
def test_where_nothing_is_said_the_estimate_holds(tmp_path, told):
    """Nor does an answer that is none, or an outage, cost a result."""
    _, job = run(timed(told, per_second=2.0, job_overhead_seconds=2.0), tmp_path)
    (attempt,) = job.report().attempts
    assert not attempt.charged
    assert attempt.outcome == "done"
    assert attempt.price_usd > 4.0


USAGE = Usage(circuits=2, shots=200)


@pytest.mark.parametrize(
    ("rates", "charge", "units"),
    [
        (Pricing(per_job=1), Charge(usd=3.0), 3.0),
        (Pricing(per_second=2, job_overhead_seconds=5), Charge(seconds=3.0), 6.0),
        (tariff("ibm:pay_as_you_go"), Charge(seconds=2.25625), 3.61),
        (tariff("ibm:open"), Charge(seconds=3.0), 3.0),
        (tariff("ibm:open"), Charge(usd=3.0), None),
        (Pricing(per_circuit=0.3, per_shot=0.01), Charge(shots=150), 2.1),
        (Pricing(per_circuit=0.3, per_shot=0.01), Charge(seconds=3.0), None),
        (Pricing(per_second=2), Charge(shots=3), None),
        (Hqc(usd_per_hqc=8), Charge(shots=150), None),
        (Pricing(per_job=1), Charge(), None),
        (lambda usage: 0.5 * (usage.seconds or 0), Charge(seconds=3.0), 1.5),
    ],
)
def test_what_is_said_is_priced_by_the_tariff(rates, charge, units):
    """Dollars are dollars; seconds and shots are worth what the tariff says."""
    found = count_charged_units(rates, USAGE, charge)
    assert found == (units if units is None else pytest.approx(units))


@pytest.mark.parametrize(
    ("amount", "rate", "expected", "charged", "actual"),
    [
        (20, 2.0, 10, 4, Price(usd=0, free_units=4)),
        (20, 2.0, 10, 14, Price(usd=0, free_units=14)),
        (10, 2.0, 8, 12, Price(usd=4, free_units=10)),
        (7, 2.0, 10, 4, Price(usd=0, free_units=4)),
        (7, 2.0, 10, 9, Price(usd=4, free_units=7)),
        (10, math.inf, 8, 12, Price(usd=0, free_units=12)),
    ],
)
def test_what_was_free_stays_free(amount, rate, expected, charged, actual):
    """What was set aside is free, and what is left beside it; what is beyond is bought.

    Where no more is sold, there is no bill, and nothing is left.
    """
    allotment = Allotment(name="a", amount=amount, usd_per_unit=rate)
    books = Allowances({"m": allotment})
    price = books.price("m", expected, 0.0)
    books.take("job", "m", expected, 0.0)
    assert books.amend("job", "m", price, Due(units=charged), 0.0) == actual
    assert books.left(0.0) == {"m": pytest.approx(max(0.0, amount - actual.free_units))}
    books.settle("job")
    assert books.left(0.0) == {"m": pytest.approx(max(0.0, amount - actual.free_units))}


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (Price(usd=6, free_units=7), Price(usd=4, free_units=7)),
        (Price(usd=0, free_units=10), Price(usd=0, free_units=9)),
    ],
)
def test_a_job_of_an_earlier_process_is_priced_too(expected, actual):
    """Though what it used is counted already, by what the journal says."""
    books = Allowances({"m": Allotment(name="a", amount=7, usd_per_unit=2.0)})
    assert books.amend("job", "m", expected, Due(units=9), 0.0) == actual
    assert books.left(0.0) == {"m": 7}


@pytest.mark.parametrize(
    ("rate", "expected", "share", "actual"),
    [
        (2.0, Price(usd=6, free_units=7), 0.8, Price(usd=2, free_units=7)),
        (2.0, Price(usd=6, free_units=7), 0.5, Price(usd=0, free_units=5)),
        (0.5, Price(usd=6, free_units=0), 0.25, Price(usd=1.5, free_units=0)),
        (2.0, Price(usd=0, free_units=4), 0.25, Price(usd=0, free_units=1)),
        (math.inf, Price(usd=0, free_units=4), 0.25, Price(usd=0, free_units=1)),
        (0.0, Price(usd=0, free_units=4), 0.25, Price(usd=0, free_units=1)),
    ],
)
def test_a_short_job_of_an_earlier_process_is_booked_by_what_ran(rate, expected, share, actual):
    """What was free stays free, and what is paid beyond is the less."""
    books = Allowances({"m": Allotment(name="a", amount=7, usd_per_unit=rate)})
    assert books.amend("job", "m", expected, Due(share=share), 0.0) == actual


def test_what_was_charged_wins_over_what_ran():
    """A job that ran fewer shots is booked at its bill, and asked for the rest once more."""
    backend = Timed("timed", GenericBackendV2(2, seed=1).target)
    backend.most = 60
    member = Member(backend, pricing=Pricing(per_second=2.0, job_overhead_seconds=1.0))
    job = RouterSampler(member).run([zeros()], shots=100)
    assert job.result(timeout=60)[0].data.c.num_shots == 100
    first, second = job.report().attempts
    assert (first.ran_shots, first.price_usd, first.charged) == (60, 7.0, True)
    assert (second.price_usd, second.charged) == (7.0, True)


@pytest.mark.parametrize(("pricing", "asked"), [(Pricing(per_second=1.0), 1), (None, 0)])
def test_providers_are_asked_once_for_each_paid_job(pricing, asked):
    """Of what costs nothing, nobody is asked what it did cost."""
    backend = Timed("timed", GenericBackendV2(2, seed=1).target)
    RouterSampler(Member(backend, pricing=pricing)).run([zeros()], shots=10).result(timeout=60)
    assert [job.asked for job in backend.jobs] == [asked]


def test_native_primitives_tell_it_too():
    """Jobs of a primitive are metered as those of a backend."""

    class MeteredSampler(StatevectorSampler):
        def run(self, pubs, *, shots=None):
            job = super().run(pubs, shots=shots)
            job.usage = lambda: 3.5
            return job

    member = PrimitiveMember(MeteredSampler(), pricing=Pricing(per_second=2.0))
    job = RouterSampler(member).run([zeros()], shots=10)
    job.result(timeout=60)
    assert job.report().price_usd == 7.0


class Quoting(Member):
    """A member that can be asked what a job would cost."""

    def __init__(self, backend, **said):
        super().__init__(backend, **said)
        self.asked = 0

    async def quote(self, batch):
        """Tell 4 s a job."""
        self.asked += 1
        return Charge(seconds=4.0)


@pytest.mark.parametrize(
    ("pricing", "usd", "left"),
    [
        (Pricing(per_second=2.0, job_overhead_seconds=1.0), 24.0, None),
        (
            Allowance(meter=Pricing(per_second=1.0), amount=10, unit="s", usd_per_unit=3.0),
            6.0,
            0.0,
        ),
        (
            Allowance(meter=Pricing(per_second=1.0), amount=30, unit="s", usd_per_unit=3.0),
            0.0,
            18.0,
        ),
    ],
)
def test_a_quote_settles_as_a_run_does(pricing, usd, left):
    """Three jobs of 4 s each; those that are alike are asked about once, and nothing is sent."""
    backend = Timed("timed", GenericBackendV2(2, seed=1).target)
    member = Quoting(backend, pricing=pricing, limits=Limits(max_circuits=1))
    sampler = RouterSampler(member)
    quote = sampler.quote([zeros()] * 3, shots=10, exact=True)
    assert quote.jobs == 3
    assert quote.price_usd == pytest.approx(usd)
    assert quote["timed"].price_told
    use = quote["timed"].allowance
    assert (use and use.left) == (left if left is None else pytest.approx(left))
    assert member.asked == 1
    assert not sampler.quote([zeros()] * 3, shots=10)["timed"].price_told
    assert (member.asked, backend.jobs) == (1, [])


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"usd": -1}, ValueError),
        ({"seconds": "3"}, TypeError),
        ({"shots": float("nan")}, ValueError),
    ],
)
def test_charges_that_cannot_be_are_refused(told, error):
    """A bill is of numbers, zero or more."""
    with pytest.raises(error):
        Charge(**told)
