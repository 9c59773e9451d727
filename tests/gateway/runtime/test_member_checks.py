"""The jobs by which a member is checked are jobs like any others: paid for, recorded, cancelled."""

import time

import pytest
from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import Journal, PlanError, RouterSampler, RunError
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.backends.examination.examiner import SHOTS, usual_jobs
from qiskit_gateway.backends.scripted import Fails, Hangs, ScriptedBackend
from qiskit_gateway.policies import Budget, RetryPolicy, round_robin
from qiskit_gateway.scheduling.members.state import FleetStanding
from qiskit_gateway.work.attempt import CHECK

PRICING = Pricing(per_job=0.5, per_circuit=0.01)
# What a check takes: eleven circuits, and two more.
CHECK_USD = 2 * 0.5 + 13 * 0.01
SHARD_USD = 0.5 + 0.01
CHECK_SHOTS = 13 * SHOTS


def flipped(bits=2):
    circuit = QuantumCircuit(bits, bits)
    circuit.x(0)
    circuit.measure(range(bits), range(bits))
    return circuit


@pytest.fixture
def scripted():
    """Return a function that makes a backend by a script; all are released at the end."""
    backends = []

    def make(script=(), **given):
        backends.append(ScriptedBackend(BasicSimulator(), script, **given))
        return backends[-1]

    yield make
    for backend in backends:
        backend.release()


def checked(backend, *, name="checked", **limits):
    limits = {"max_circuits": 20, **limits}
    return Member(backend, name=name, check=True, pricing=PRICING, limits=Limits(**limits))


def policy(**given):
    retry = RetryPolicy(wait_initial_seconds=0.01, wait_max_seconds=0.02)
    return round_robin(**{"retry": retry, "submit_seconds": 30, "cancel_seconds": 5, **given})


def assert_nothing_is_left(fleet):
    standing = fleet.keep(FleetStanding)
    assert not any(one.in_flight for one in standing.members.values())
    assert not any(account.ledger.reserved for account in standing.accounts.values())


def spent(fleet):
    (account,) = fleet.keep(FleetStanding).accounts.values()
    return account.ledger.spent


def test_what_a_check_costs_is_reported_and_spent(scripted, tmp_path):
    """Each job of a check is an attempt with its price, in the report, the budget and the journal."""
    backend, budget = scripted(), Budget(usd=10, shots=10_000, attempts=10)
    fleet, journal = Fleet([checked(backend)]), Journal(tmp_path / "journal")
    job = RouterSampler(fleet, policy=policy(budget=budget), journal=journal).run([flipped()])
    job.result()

    report = job.report()
    checks = [one for one in report.attempts if one.shard == CHECK]
    assert [(one.outcome, one.circuits, one.pieces) for one in checks] == [
        ("done", 11, ()),
        ("done", 2, ()),
    ]
    assert [one.job_id for one in report.attempts] == [one.job_id() for one in backend.jobs]
    assert report.price_usd == pytest.approx(CHECK_USD + SHARD_USD)
    assert spent(fleet)["usd"] == pytest.approx(report.price_usd)
    assert spent(fleet)["shots"] == CHECK_SHOTS + 1024
    (run,) = journal.runs()
    assert run.spent_usd == pytest.approx(report.price_usd)
    assert run.shots_done == 1024
    assert_nothing_is_left(fleet)


def test_a_quote_holds_the_price_of_a_check_that_is_due(scripted):
    """It is what the report says then; checked once, the member costs its work alone."""
    backend = scripted()
    sampler = RouterSampler(Fleet([checked(backend)]), policy=policy())

    quote = sampler.quote([flipped()])

    assert not backend.jobs
    assert (quote.jobs, quote["checked"].circuits) == (3, 13 + 1)
    assert quote.price_usd == pytest.approx(CHECK_USD + SHARD_USD)
    job = sampler.run([flipped()])
    job.result()
    assert job.report().price_usd == pytest.approx(quote.price_usd)
    assert sampler.quote([flipped()]).price_usd == pytest.approx(SHARD_USD)


def test_a_quote_says_that_a_budget_is_too_small_for_a_check_and_the_work(scripted):
    """Nothing of it would be sent, as by a run."""
    poor = policy(budget=Budget(usd=CHECK_USD + SHARD_USD - 0.001))

    quote = RouterSampler(checked(scripted()), policy=poor).quote([flipped()])

    assert (quote.jobs, quote.price_usd, quote.shots_not_done) == (0, 0, 1024)


@pytest.mark.parametrize(
    "budget",
    [
        {"usd": CHECK_USD + SHARD_USD - 0.001},
        {"usd": 0.0},
        {"attempts": 2},
        {"shots": CHECK_SHOTS + 1023},
        {"per_member_usd": {"checked": 1.0}},
    ],
)
@pytest.mark.parametrize("on_exhausted", ["move", "stop", "wait"])
def test_no_check_begins_that_leaves_nothing_for_the_work(scripted, budget, on_exhausted):
    """Where the check and the first shard do not fit the budget together, nothing is sent."""
    backend = scripted()
    fleet = Fleet([checked(backend)])
    rules = policy(budget=Budget(**budget, on_exhausted=on_exhausted))
    with pytest.raises(PlanError):
        RouterSampler(fleet, policy=rules).run([flipped()]).result(timeout=60)

    assert backend.calls == ()
    assert_nothing_is_left(fleet)


def test_a_budget_that_is_just_enough_is_used_up(scripted):
    """The check and the work may cost all that there is."""
    budget = Budget(usd=CHECK_USD + SHARD_USD + 1e-9, attempts=3, shots=CHECK_SHOTS + 1024)
    fleet = Fleet([checked(scripted())])

    RouterSampler(fleet, policy=policy(budget=budget)).run([flipped()]).result(timeout=60)

    assert spent(fleet)["attempts"] == 3


def test_the_jobs_of_a_check_that_was_not_foreseen_keep_to_the_budget(scripted):
    """A check that asks circuit by circuit, because a job failed, ends where the budget does."""
    broken = Fails(transient=False, at="result")
    backend, budget = scripted([broken, *[broken] * 3], then=broken), Budget(attempts=5)
    fleet = Fleet([checked(backend)])
    job = RouterSampler(fleet, policy=policy(budget=budget)).run([flipped()])
    with pytest.raises(RunError, match="check does not fit the budget"):
        job.result(timeout=60)

    assert len(backend.jobs) <= 5
    assert_nothing_is_left(fleet)


def test_nothing_goes_to_a_member_until_its_check_is_over(scripted):
    """However many jobs a member may have at once, and however many runs, its check comes first."""
    backend = scripted()
    fleet = Fleet([checked(backend, max_in_flight=4, max_circuits=1)])
    sampler = RouterSampler(fleet, policy=policy())
    jobs = [sampler.run([flipped()] * 4, shots=10) for _ in range(2)]
    for job in jobs:
        job.result(timeout=60)

    checks = [one for job in jobs for one in job.report().attempts if one.shard == CHECK]
    usual = len(usual_jobs(Limits(max_circuits=1)))
    assert len(checks) == usual
    assert len(backend.jobs) == usual + 8
    assert all(len(call.sent) == 1 for call in backend.calls)
    assert {job.job_id() for job in backend.jobs[:usual]} == {one.job_id for one in checks}


@pytest.mark.parametrize("steps", [Hangs("result"), (Hangs("result"), Hangs("cancel"))])
def test_a_check_that_is_never_answered_has_the_deadline_of_a_job_and_is_cancelled(scripted, steps):
    """It is given up on like any job, and the work goes elsewhere."""
    backend = scripted(then=steps)
    well = Member(BasicSimulator(), name="well")
    rules = policy(collect_seconds=0.5, cancel_seconds=0.3)
    began = time.monotonic()
    job = RouterSampler([checked(backend), well], policy=rules).run([flipped()], shots=10)
    job.result(timeout=60)

    assert time.monotonic() - began < 20
    (call,) = backend.calls
    assert call.cancel_requested
    check = next(one for one in job.report().attempts if one.shard == CHECK)
    assert (check.outcome, check.price_usd) == (
        "unknown" if isinstance(steps, tuple) else "failed",
        0.61,
    )
    assert check.job_id


def test_a_check_is_cancelled_with_its_run(scripted):
    """What was cancelled in mid-check leaves no job running, nothing reserved, and says what it was."""
    backend = scripted(then=Hangs("result"))
    fleet = Fleet([checked(backend)])
    job = RouterSampler(fleet, policy=policy()).run([flipped()], shots=10)
    while not backend.jobs:
        time.sleep(0.01)  # The provider runs in real threads.
    job.cancel()
    with pytest.raises(RunError):
        job.result(timeout=60)

    (call,) = backend.calls
    assert call.cancelled
    (attempt,) = job.report().attempts
    assert (attempt.shard, attempt.outcome) == (CHECK, "cancelled")
    assert_nothing_is_left(fleet)


def test_an_outage_during_a_check_is_tried_again_like_a_submission(scripted):
    """The check begins anew; what was not taken costs nothing."""
    backend = scripted([Fails(), Fails(throttled=True)])
    job = RouterSampler(checked(backend), policy=policy()).run([flipped()], shots=10)
    job.result(timeout=60)

    outcomes = [one.outcome for one in job.report().attempts if one.shard == CHECK]
    assert outcomes == ["failed", "failed", "done", "done"]
    assert job.report().price_usd == pytest.approx(CHECK_USD + SHARD_USD)


def test_a_resumed_run_counts_the_check_of_the_process_before(scripted, tmp_path):
    """What the first process paid for its check is spent; the next one checks anew, if it must."""
    rules = {"budget": Budget(usd=CHECK_USD + 2 * SHARD_USD)}
    backend = scripted(then=Hangs("result", 0.01))
    limits = {"max_circuits": 20}
    first = RouterSampler(
        checked(scripted([(), ()], then=Fails(transient=False)), **limits),
        policy=policy(**rules),
        journal=tmp_path / "journal",
    )
    job = first.run([flipped()], shots=10)
    with pytest.raises(RunError):
        job.result(timeout=60)

    second = RouterSampler(checked(backend), policy=policy(**rules), journal=tmp_path / "journal")
    again = second.resume(job.job_id())
    with pytest.raises(RunError, match="the budget of"):
        again.result(timeout=60)

    assert backend.calls == ()
    paid = [one.price_usd for one in again.report().attempts if one.shard == CHECK]
    assert sum(paid) == pytest.approx(CHECK_USD)


def test_a_job_of_a_check_that_a_dead_process_left_is_told(scripted, tmp_path):
    """Its job may run on: it is of unknown fate, and what it may cost is counted."""
    journal = Journal(tmp_path / "journal")
    backend = scripted(then=Hangs("result"))
    job = RouterSampler(checked(backend), policy=policy(), journal=journal).run(
        [flipped()], shots=10
    )
    while not any(one.accepted_seconds for one in job.report().attempts):
        time.sleep(0.01)  # The provider runs in real threads.
    journal.close()  # From here on nothing is written, as if the process had died.
    job.cancel()

    late = Journal(tmp_path / "journal", clock=lambda: time.time() + 1000)
    sampler = RouterSampler(checked(scripted()), policy=policy(), journal=late)
    again = sampler.resume(job.job_id())
    again.result(timeout=60)

    left, *others = (one for one in again.report().attempts if one.shard == CHECK)
    assert (left.outcome, left.price_usd) == ("unknown", 0.61)
    assert "may still run" in left.failure
    assert [one.outcome for one in others] == ["done", "done"]


@pytest.mark.parametrize(
    "broken", [Fails(submitted=None), Fails(at="result"), Fails(transient=True, at="result")]
)
def test_a_check_that_may_have_to_be_paid_is_not_made_twice(scripted, broken):
    """A job of it that was taken, perhaps, and failed puts its member out for the run, whatever waits."""
    backend = scripted(then=broken)
    well = Member(BasicSimulator(), name="well", limits=Limits(max_circuits=1))
    retry = RetryPolicy(wait_initial_seconds=0.01, wait_max_seconds=0.02)
    sampler = RouterSampler([checked(backend), well], policy=policy(retry=retry))
    job = sampler.run([flipped()] * 12, shots=10)
    job.result(timeout=60)

    assert len(backend.calls) == 1
    checks = [one for one in job.report().attempts if one.shard == CHECK]
    assert len(checks) == 1
    assert checks[0].failure
