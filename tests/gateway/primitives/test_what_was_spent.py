"""What a run has cost: in reports, in budgets, in journals."""

import pickle
from threading import Event

import pytest
from made_up import Delivered, MadeUp
from qiskit.providers import JobError, JobStatus
from qiskit.providers.fake_provider import GenericBackendV2
from small_circuits import bell

from qiskit_gateway import Journal, PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import Allowance, Fleet, Limits, Member, Pricing
from qiskit_gateway.policies import Budget, Policy, Share, fastest

SECONDS = 60.0


class Capped(MadeUp):
    """A backend that runs and bills so many shots of a circuit at most, and does not tell that.

    Attributes:
        ran: Circuits and shots, of each job.
    """

    def __init__(self, cap, *, remembers=False):
        super().__init__("capped", GenericBackendV2(2, seed=1).target)
        self.cap, self.remembers, self.ran = cap, remembers, []

    def run(self, run_input, *, shots):
        shots = min(shots, self.cap)
        self.ran.append((len(run_input), shots))
        data = {"counts": {"0x0": shots}}
        if self.remembers:
            data["memory"] = ["0x0"] * shots
        return Delivered(self, [data for _ in run_input], shots)

    @property
    def shots(self):
        return sum(circuits * shots for circuits, shots in self.ran)

    def bill_usd(self, fee, per_shot):
        return sum(fee + per_shot * circuits * shots for circuits, shots in self.ran)


@pytest.mark.parametrize("cap", [1024, 1200, 2900])
@pytest.mark.parametrize("pubs", [1, 3])
@pytest.mark.parametrize("remembers", [False, True])
def test_a_short_job_is_booked_by_what_it_ran(tmp_path, cap, pubs, remembers):
    """Report, journal and budget agree with the bill, and a budget for that is enough."""
    backend = Capped(cap, remembers=remembers)
    member = Member(backend, pricing=Pricing(per_job=1.0, per_shot=0.01))
    policy = fastest(budget=Budget(usd=34.0 * pubs, shots=3005 * pubs))
    sampler = RouterSampler(member, policy=policy, journal=tmp_path / "journal")
    job = sampler.run([bell()] * pubs, shots=3000)

    found = [pub.data.meas.get_counts() for pub in job.result(SECONDS)]

    assert found == [{"00": 3000}] * pubs
    billed = backend.bill_usd(1.0, 0.01)
    assert job.report().price_usd == pytest.approx(billed)
    assert job.report().members["capped"]["shots"] == backend.shots
    (run,) = Journal(tmp_path / "journal").runs()
    assert run.spent_usd == pytest.approx(billed)
    books = Journal(tmp_path / "journal").ledger().spent
    assert (books["shots"], books["attempts"]) == (backend.shots, len(backend.ran))


def test_a_member_that_runs_so_many_shots_at_most_is_asked_for_what_lacks():
    """Once it has brought as many as before, the rest is not asked for with a surplus."""
    backend = Capped(1024)
    RouterSampler(backend).run([bell()], shots=3000).result(SECONDS)
    assert backend.ran == [(1, 1024), (1, 1024), (1, 952)]


@pytest.mark.parametrize("amount", [1500.0, 10_000.0])
def test_of_an_allowance_a_short_job_takes_what_it_ran(amount):
    """What is left of it, and what is paid beyond it, are by the shots that ran."""
    backend = Capped(1000)
    pricing = Allowance(meter=Pricing(per_shot=1.0), amount=amount, usd_per_unit=0.5)
    job = RouterSampler(Member(backend, pricing=pricing)).run([bell()], shots=3000)
    job.result(SECONDS)

    report = job.report()
    assert backend.shots == 3000
    free = sum(attempt.free_units for attempt in report.attempts)
    assert free == pytest.approx(min(amount, 3000))
    assert report.price_usd == pytest.approx(0.5 * max(0, 3000 - amount))


def test_a_circuit_that_failed_is_booked_in_full():
    """Of a job of which a part failed, that part is not known to have cost nothing."""

    class HalfFailing(Capped):
        def run(self, run_input, *, shots):
            job = super().run(run_input, shots=shots)
            if len(self.ran) == 1:
                job._facts["results"][0] |= {"success": False, "status": "ERROR"}
            return job

    backend = HalfFailing(60)
    job = RouterSampler(Member(backend, pricing=Pricing(per_shot=0.01))).run(
        [bell()] * 2, shots=100
    )
    with pytest.raises(RunError):
        job.result(SECONDS)
    first = job.report().attempts[0]
    assert first.price_usd == pytest.approx(0.01 * (100 + 60))


def test_an_estimator_is_booked_by_what_ran():
    """As a sampler is."""
    backend = Capped(512)
    member = Member(backend, pricing=Pricing(per_job=0.5, per_shot=0.01))
    circuit = bell().remove_final_measurements(inplace=False)
    job = RouterEstimator(member).run([(circuit, ["ZZ", "XX"])], precision=0.03)
    job.result(SECONDS)
    assert job.report().price_usd == pytest.approx(backend.bill_usd(0.5, 0.01))


def test_runs_under_one_budget_share_what_a_short_job_left():
    """What one did not spend is there for the next."""
    backend = Capped(10)
    fleet = Fleet(Member(backend, pricing=Pricing(per_shot=1.0), limits=Limits(max_circuits=1)))
    sampler = RouterSampler(fleet, policy=fastest(budget=Budget(usd=50.0)))
    for _ in range(2):
        sampler.run([bell()], shots=20).result(SECONDS)
    assert backend.shots == 40


class Stuck(Delivered):
    """A job that says that it is cancelled, and whose result never comes."""

    def status(self):
        return JobStatus.CANCELLED

    def result(self):
        Event().wait(SECONDS)
        raise JobError("it was never let go of")

    def cancel(self):
        return True


class Sticking(Capped):
    """A backend whose jobs bring nothing, or fail.

    Attributes:
        taken: Set when it has taken one.
    """

    kind = Stuck

    def __init__(self):
        super().__init__(1)
        self.taken = Event()

    def run(self, run_input, *, shots):
        self.ran.append((len(run_input), shots))
        job = self.kind(self, [], shots)
        self.taken.set()
        return job


def test_an_error_tells_what_became_of_a_job_that_was_taken():
    """It is never said that nothing was sent."""
    job = RouterSampler(Sticking(), policy=Policy(deadline_seconds=2)).run([bell()], shots=5)

    with pytest.raises(RunError, match="; of the jobs that providers took: 1 cancelled") as raised:
        job.result(SECONDS)
    assert "nothing was sent" not in str(raised.value)
    assert "the deadline of 2 s is over" in str(raised.value)


def test_a_cancelled_run_tells_it_too():
    """A user who cancels learns what the providers did about it."""
    backend = Sticking()
    job = RouterSampler(backend).run([bell()], shots=5)
    assert backend.taken.wait(SECONDS)
    assert job.cancel()

    with pytest.raises(RunError, match="the job was cancelled"):
        job.result(SECONDS)
    outcomes = [one.outcome for one in job.report().attempts]
    assert outcomes == ["cancelled"]


def test_many_lost_pubs_are_told_in_a_line():
    """As ranges: a thousand numbers would bury the reason."""
    backend = Capped(10)
    member = Member(backend, limits=Limits(max_circuits=1))
    policy = fastest(budget=Budget(attempts=1))
    job = RouterSampler(member, policy=policy).run([bell()] * 40, shots=10)

    with pytest.raises(RunError) as raised:
        job.result(SECONDS)
    assert "390 shots were not done, of pubs 1-39" in str(raised.value)


def test_an_error_tells_what_was_spent():
    """Also after a pickle; what was not done, and what is left of the budget, are told as well."""
    backend = Capped(10)
    member = Member(backend, pricing=Pricing(per_job=1.0))
    job = RouterSampler(member, policy=fastest(budget=Budget(usd=1.5))).run([bell()], shots=100)

    with pytest.raises(RunError, match=r"1\.0000 USD were spent") as raised:
        job.result(SECONDS)
    assert "90 shots were not done" in str(raised.value)
    assert "has 0.5 left" in str(raised.value)
    assert raised.value.spent_usd == pytest.approx(1.0)
    assert pickle.loads(pickle.dumps(raised.value)).spent_usd == pytest.approx(1.0)  # noqa: S301


def test_what_costs_nothing_is_not_said_to_have_cost_something():
    """An error of a free member speaks of no money."""

    class Failing(Sticking):
        class kind(Delivered):  # noqa: N801
            def result(self):
                raise JobError("it failed")

    job = RouterSampler(Failing()).run([bell()], shots=5)
    with pytest.raises(RunError, match=r"[1-9] failed") as raised:
        job.result(SECONDS)
    assert "USD" not in str(raised.value)
    assert raised.value.spent_usd == 0.0


@pytest.mark.parametrize("journaled", [True, False])
def test_a_budget_has_limits_for_users_and_projects(tmp_path, journaled):
    """Runs of one budget share them, in a journal or without: none is sent beyond, and it is said."""
    budget = Budget(usd=100, per_user_usd={"chem": 3, "chem/ana": 2}, per_user_day_usd={"chem": 5})
    fleet = Fleet([Member(Capped(1), pricing=Pricing(per_job=1.0), limits=Limits(max_circuits=1))])
    journal = Journal(tmp_path / "journal") if journaled else None

    def spend(user, circuits):
        sampler = RouterSampler(
            fleet, policy=fastest(budget=budget, share=Share(user=user)), journal=journal
        )
        try:
            sampler.run([bell()] * circuits, shots=1).result(SECONDS)
        except (RunError, PlanError) as error:
            return str(error), sampler.budget_status()
        return "", sampler.budget_status()

    assert "2 usd for 'chem/ana' has 0 left" in spend("chem/ana", 3)[0]
    assert "3 usd for 'chem' has 0 left" in spend("chem/ben", 2)[0]
    said, status = spend("physics", 2)
    assert not said
    assert {one.name: one.spent for one in status.limits} == {
        "USD": 5,
        "USD for chem": 3,
        "USD for chem/ana": 2,
        "USD today (UTC) for chem": 3,
    }


def test_a_limit_for_users_needs_a_user():
    """A run on nobody's behalf would pass it by, without a word."""
    budget = Budget(per_user_usd={"ana": 1})
    with pytest.raises(ValueError, match=r"names none: say.*share=Share\(user="):
        RouterSampler(Capped(1), policy=fastest(budget=budget))
    RouterSampler(Capped(1), policy=fastest(budget=budget, share=Share(user="ben")))
