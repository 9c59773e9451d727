"""What a run has cost and what became of its jobs: in reports, in budgets, in errors."""

import itertools
import pickle
import time

import pytest
from made_up import Delivered, MadeUp, bell
from qiskit.providers import JobStatus
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import RouterSampler, RunError, simulate
from qiskit_gateway.backends import Member, Pricing, SimulatedMember
from qiskit_gateway.policies import Budget, Policy, fastest

SECONDS = 60.0


class Capped(MadeUp):
    """A backend that runs and bills so many shots of a circuit at most, and does not tell that."""

    def __init__(self, cap):
        super().__init__("capped", GenericBackendV2(2, seed=1).target)
        self.cap, self.ran = cap, []

    def run(self, run_input, *, shots):
        shots = min(shots, self.cap)
        self.ran.append(shots * len(run_input))
        return Delivered(self, [{"counts": {"0x0": shots}} for _ in run_input], shots)


@pytest.mark.parametrize("cap", [1024, 1200, 2900])
@pytest.mark.parametrize("pubs", [1, 3])
def test_a_short_job_is_booked_by_what_it_ran(cap, pubs):
    """Report and budget agree with the bill, and a budget that suffices for that is enough."""
    backend = Capped(cap)
    member = Member(backend, pricing=Pricing(per_job=1.0, per_shot=0.01))
    budget = Budget(usd=34.0 * pubs)
    job = RouterSampler(member, policy=fastest(budget=budget)).run([bell()] * pubs, shots=3000)

    found = [pub.data.meas.get_counts() for pub in job.result(SECONDS)]

    assert found == [{"00": 3000}] * pubs
    billed = sum(1.0 + 0.01 * shots for shots in backend.ran)
    assert job.report().price_usd == pytest.approx(billed)
    shots = sum(row["shots"] for row in job.report().members.values())
    assert shots == sum(backend.ran)


class Stuck(Delivered):
    def status(self):
        return JobStatus.CANCELLED

    def result(self):
        time.sleep(SECONDS)


class Sticking(Capped):
    def run(self, run_input, *, shots):
        return Stuck(self, [], shots)


def test_an_error_tells_what_became_of_a_job_that_was_taken():
    """It is never said that nothing was sent."""
    job = RouterSampler(Sticking(1), policy=Policy(deadline_seconds=2)).run([bell()], shots=5)

    with pytest.raises(RunError, match="of the jobs that providers took: 1 cancelled") as raised:
        job.result(SECONDS)
    assert "nothing was sent" not in str(raised.value)


def test_an_error_tells_what_was_spent():
    """Also after a pickle."""
    backend = Capped(10)
    member = Member(backend, pricing=Pricing(per_job=1.0))
    policy = fastest(budget=Budget(usd=1.5))
    job = RouterSampler(member, policy=policy).run([bell()], shots=100)

    with pytest.raises(RunError, match=r"1\.0000 USD were spent") as raised:
        job.result(SECONDS)
    assert raised.value.spent_usd == pytest.approx(1.0)
    assert pickle.loads(pickle.dumps(raised.value)).spent_usd == pytest.approx(1.0)  # noqa: S301


class Hesitating(Capped):
    def run(self, run_input, *, shots):
        time.sleep(1.0)
        return super().run(run_input, shots=shots)


def test_a_report_in_mid_run_says_that_it_runs():
    """Nothing has failed, and the seconds grow."""
    job = RouterSampler(Hesitating(100)).run([bell()], shots=10)
    seen = []
    while not job.in_final_state():
        seen.append(job.report())
        time.sleep(0.1)

    begun = [report for report in seen if report.attempts]
    assert begun
    assert {one.outcome for report in begun for one in report.attempts} <= {"running", "done"}
    assert not any(one.failure for report in begun for one in report.attempts)
    assert all(first.seconds < then.seconds for first, then in itertools.pairwise(seen))
    assert job.report().seconds == job.report().seconds > 0.9


@pytest.mark.parametrize("seconds", [(30, 90), (10, 100), (20, 45)])
def test_what_is_taken_back_in_a_simulation_is_no_failure(seconds):
    members = [
        SimulatedMember(name, job_seconds=each) for name, each in zip("xy", seconds, strict=True)
    ]
    found = simulate(members, [bell()] * 40, policy=fastest())

    assert not any(use.failures for use in found.members.values())
    taken_back = sum(shard.taken_back for shard in found.shards)
    assert taken_back == sum(not shard.succeeded for shard in found.shards)
