"""Whatever users hold shows itself in a notebook: on one screen, and as text whatever was said."""

import contextlib
import re
from html.parser import HTMLParser

import pytest
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import ones

from qiskit_gateway import Journal, RouterEstimator, RouterSampler, RunError, compare, simulate
from qiskit_gateway.backends import (
    Fleet,
    Limits,
    Member,
    Pricing,
    ScriptedBackend,
    SimulatedMember,
    tariff,
)
from qiskit_gateway.backends.scripted import Fails
from qiskit_gateway.policies import Budget, MaxPrice, Policy, RetryPolicy, Tagged, balanced, fastest

EVIL = "<img src=x onerror=alert(1)>"
SECRET = "tok_0123456789abcdefghijklmnop"  # noqa: S105  Nobody's.
ALLOWED = {
    *("div", "strong", "table", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("details", "summary", "ul", "li", "progress", "br"),
}
VOID = {"br"}
# What fits a screen of 50 lines.
MOST_LINES = 45


class Reader(HTMLParser):
    """Reads HTML: what is open at first sight, and that all of it is ours and closed."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.lines = 0
        self.summaries = 0

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        assert {name for name, _ in attrs} <= {"style", "max", "value"}, attrs
        folded = "details" in self.open and tag != "summary"
        if tag in {"tr", "li", "summary", "progress", "strong"} and not folded:
            self.lines += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(thing):
    """Read the notebook form of something, and check what holds of every one."""
    html = thing._repr_html_()
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert reader.lines <= MOST_LINES, html
    assert SECRET not in html
    return re.sub(r"<[^>]*>", " ", html)


def evil_fleet(steps=()):
    """A fleet whose names, tags and failures would be scripts if they could."""
    ill = ScriptedBackend(BasicSimulator(), list(steps))
    return Fleet(
        [
            Member(
                ill,
                name=EVIL,
                pricing=Pricing(per_job=0.25),
                tags=[EVIL],
                run_options={"token": SECRET},
                limits=Limits(max_circuits=1),
            ),
            Member(BasicSimulator(), name="plain"),
        ]
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A sampler over such a fleet, and a job of it that failed."""
    fleet = evil_fleet([Fails(RuntimeError(f"{EVIL} token={SECRET}"))] * 9)
    policy = Policy(
        where=Tagged(EVIL),
        retry=RetryPolicy(max_attempts=2, wait_initial_seconds=0.001),
        budget=Budget(usd=3),
        patience_seconds=0.05,
    )
    journal = tmp_path_factory.mktemp("runs") / "runs.sqlite"
    sampler = RouterSampler(fleet, policy=policy, journal=journal)
    job = sampler.run([ones()] * 2, shots=10)
    with contextlib.suppress(Exception):
        job.result(60)
    return sampler, job


def test_a_sampler_shows_fleet_policy_and_options(broken):
    """Options for providers are shown by name alone."""
    sampler, _ = broken
    sampler.options.run_options = {"api_key": SECRET}
    text = read(sampler)
    assert "RouterSampler" in text
    assert "api_key" in text
    assert "usd 3" in text
    assert "runs.sqlite" in text
    assert "&lt;img" in text


def test_a_sampler_names_its_journal(journal_place):
    """A file by its path, a database by its address without a password."""
    sampler = RouterSampler(BasicSimulator(), journal=journal_place)
    assert sampler._router.journal.name in read(sampler)


def test_an_estimator_shows_itself_alike():
    """Both primitives have one form."""
    text = read(RouterEstimator(BasicSimulator()))
    assert "RouterEstimator" in text
    assert "default_precision" in text
    assert "basic_simulator" in text


def test_a_job_shows_how_it_ended_and_why(broken):
    """Status, error, progress and report; what a provider said is text."""
    _, job = broken
    text = read(job)
    assert job.job_id() in text
    assert "ERROR" in text
    assert "&lt;img" in text


def test_a_job_that_is_done_shows_its_report():
    """The report is folded below."""
    job = RouterSampler(BasicSimulator()).run([ones()] * 2, shots=10)
    job.result(60)
    text = read(job)
    assert "DONE" in text
    assert "2 of 2 circuits" in text
    assert "attempts" in text


def test_a_group_of_jobs_shows_each_run():
    """How each ended, and a report of all."""
    job = RouterSampler(evil_fleet()).run_on_each([ones()], shots=10)
    job.result(60)
    text = read(job)
    assert "plain DONE" in text
    assert "&lt;img" in text
    assert job.usage().jobs >= 1


def test_a_report_shows_members_and_folds_attempts(broken):
    """Members at first sight, failures with how often, attempts when asked for."""
    sampler, job = broken
    for report in (job.report(), sampler._router.journal.report(job.job_id())):
        text = read(report)
        assert "attempts" in text
        assert "&lt;img" in text
    assert "refused" in text or "failed" in text


def test_a_fleet_and_its_status_show_members(broken):
    """Class, limits, price, tags; and how they stand."""
    sampler, _ = broken
    text = read(sampler.fleet)
    assert "ScriptedBackend" in text
    assert "USD 0.25 a job" in text
    assert "failing" in text or "ejected" in text
    assert "plain" in read(sampler.fleet.status())


def test_members_of_every_kind_show_themselves():
    """Backends, models, published tariffs with their source."""
    text = read(next(iter(evil_fleet())))
    assert "USD 0.25 a job" in text
    assert SECRET not in text
    modelled = SimulatedMember("model", pricing=tariff("azure:ionq_forte"), fidelity=0.98)
    assert "azure:ionq_forte" in read(modelled)
    assert "0.98" in read(modelled)


def test_a_policy_and_a_budget_show_their_rules():
    """In words, and every setting folded."""
    policy = balanced(
        usd_per_hour=40, where=MaxPrice(5) & Tagged(EVIL), budget=Budget(usd=20, per_day_usd=5)
    )
    text = read(policy)
    assert "retry.max_attempts" in text
    assert "budget.per_day_usd" in text
    assert "usd 20, per day usd 5; then stop" in text
    assert "per member usd" in read(Budget(per_member_usd={EVIL: 5}))
    assert "nothing is counted" in read(Budget())
    assert str(fastest()).startswith("least ")


def test_quotes_simulations_and_comparisons_show_themselves():
    """What has not happened yet is shown as what has."""
    fleet = Fleet([SimulatedMember(EVIL, job_seconds=1), SimulatedMember("b", job_seconds=1)])
    assert "total" in read(RouterSampler(fleet).quote([ones()] * 3, shots=10))
    assert "simulated" in read(simulate(fleet, [ones()] * 3, shots=10, seed=1))
    assert "soon" in read(compare(fleet, [ones()], {"soon": fastest()}, shots=10))


def test_runs_of_a_journal_are_a_table_and_a_tuple(broken, tmp_path):
    """The newest first; and they are what they were."""
    sampler, job = broken
    runs = sampler._router.journal.runs()
    assert isinstance(runs, tuple)
    assert job.job_id() in read(runs)
    assert "failed" in read(runs)
    assert "run" in read(Journal(tmp_path / "none").runs())


def test_large_ones_fit_a_screen(tmp_path):
    """Fifty members and a hundred attempts fold."""
    fleet = Fleet(
        [
            SimulatedMember(f"member {n}", job_seconds=0.001, limits=Limits(max_circuits=1))
            for n in range(50)
        ]
    )
    sampler = RouterSampler(fleet, journal=tmp_path / "j")
    read(sampler.quote([ones()] * 100, shots=10))
    job = sampler.run([ones()] * 100, shots=10)
    with contextlib.suppress(RunError):
        job.result(60)
    for thing in (sampler, fleet, fleet.status(), job, job.report()):
        read(thing)
    read(simulate(fleet, [ones()] * 100, shots=10, seed=1))
    for _ in range(30):
        sampler.run([ones()], shots=1).result(60)
    read(sampler._router.journal.runs())
