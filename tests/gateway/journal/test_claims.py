"""What all processes of a journal share is claimed in one transaction, and never more than there is."""

import math
import sqlite3
import threading
from collections import Counter
from functools import partial

import anyio
import numpy as np
import pytest
from executor_backends import Gated
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import SPEC, read_reservations
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.backends.scripted import Hangs, ScriptedBackend
from qiskit_gateway.journal.claims import read_balances
from qiskit_gateway.journal.storage.schema import MIGRATIONS
from qiskit_gateway.policies import Budget
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.members.shared import (
    HeldByOthers,
    RateReached,
    SlotsTaken,
    UsedByOthers,
)
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.run_events import ShardDenied
from qiskit_gateway.work.record.run_log import DeniedError, Terms
from qiskit_gateway.work.tasks import Piece

DAY = 86_400


def attempt(shard=0, member="m", usd=1.0, units=0.0, *, seconds=0.0):
    return Attempt(
        shard=shard,
        member=member,
        number=1,
        pieces=(Piece(0, 0, 1, 0, 5),),
        circuits=1,
        shots=5,
        price_usd=usd,
        free_units=units,
        submitted_seconds=seconds,
    )


def outcome():
    return [Outcome(shots=5, num_bits=1, memory=np.ones((5, 1), np.uint8))]


@pytest.fixture
def journal(journal_place):
    opened = Journal(journal_place, clock=lambda: 10.0 * DAY)
    yield opened
    opened.close()


def denial(run_log, claimed, **terms):
    with pytest.raises(DeniedError) as told:
        run_log.record_intent(claimed, None, Terms(**terms))
    return told.value.verdict


# -- slots -----------------------------------------------------------------------------------------


def test_slots_are_those_of_all_parties(journal):
    """A job more than a member may have at once is denied, and it is said how many others have."""
    ours, theirs = (journal.begin(name, SPEC, 5, party=name) for name in ("ours", "theirs"))
    theirs.record_intent(attempt(0), None, Terms(max_in_flight=2))
    theirs.record_intent(attempt(1, "another"), None, Terms(max_in_flight=2))
    ours.record_intent(attempt(0), None, Terms(max_in_flight=2))

    verdict = denial(ours, attempt(1), max_in_flight=2)

    assert isinstance(verdict, SlotsTaken)
    assert (verdict.elsewhere, verdict.waits) == (1, True)
    assert "2 jobs at once" in verdict.reason
    theirs.record_outcomes(attempt(0), outcome(), 1.0)
    ours.record_intent(attempt(1), None, Terms(max_in_flight=2))
    assert [entry.attempt.shard for entry in journal.entries("ours")] == [0, 1]


def test_what_is_denied_claims_nothing(journal):
    """Neither the slot nor the submission, the allowance or the money, whichever was short."""
    run_log = journal.begin("run", SPEC, 5)
    allotment = Allotment(name="pot", amount=1.0, usd_per_unit=math.inf)
    denial(run_log, attempt(usd=2), budget=Budget(usd=1), submissions_per_minute=1)
    denial(
        run_log, attempt(units=2), allotment=allotment, submissions_per_minute=1, max_in_flight=1
    )
    all_of_it = Terms(
        max_in_flight=1, submissions_per_minute=1, allotment=allotment, budget=Budget(usd=1)
    )
    run_log.record_intent(attempt(usd=1, units=1), None, all_of_it)
    assert len(list(read_reservations(journal._database))) == 1


def test_what_is_denied_among_other_writes_claims_nothing(journal):
    """They are one transaction, of which nothing is undone for it."""
    run_log = journal.begin("run", SPEC, 5)
    pot = Allotment(name="pot", amount=1.0, usd_per_unit=math.inf)
    limits = {"max_in_flight": 1, "submissions_per_minute": 1}
    terms = Terms(**limits, allotment=pot, budget=Budget(usd=1))
    asked = [attempt(0, usd=2), attempt(1, units=2), attempt(2, usd=1, units=1), attempt(3)]
    writes = [partial(run_log.record_intent, one, None, terms) for one in asked]
    writes.append(partial(run_log.record_standing, "plan", "", 0.0, {}))
    denied = anyio.run(run_log.perform, writes)
    kinds = [type(error.verdict) if error else None for error in denied]
    assert kinds == [Verdict, UsedByOthers, None, SlotsTaken, None]
    assert [entry.attempt.shard for entry in journal.entries("run")] == [2]
    assert read_balances(journal._database) == {}
    assert [key for key, *_ in read_reservations(journal._database)] == [("run", 2, 1)]
    assert journal.standing("plan", "run")


def test_a_claim_that_is_written_twice_is_made_once(journal):
    """A write that failed may have been made: it is granted again, whatever is left by then."""
    run_log = journal.begin("run", SPEC, 5)
    terms = Terms(max_in_flight=1, submissions_per_minute=1, budget=Budget(usd=1))
    for _ in range(2):
        run_log.record_intent(attempt(), None, terms)
    for _ in range(2):
        run_log.record_outcomes(attempt(usd=0.75), outcome(), 1.0)
    assert read_balances(journal._database)["usd"] == 0.75


# -- submissions in a minute -----------------------------------------------------------------------


def test_submissions_are_counted_over_a_minute_by_a_clock_that_nobody_sets(journal):
    """It says when the next is due. What an earlier boot wrote, by another clock, counts no more."""
    uptime = ["boot", 1000.0]
    journal._database.uptime = lambda: tuple(uptime)
    one, other = (journal.begin(name, SPEC, 5) for name in ("one", "other"))
    terms = {"submissions_per_minute": 2}
    one.record_intent(attempt(0), None, Terms(**terms))
    uptime[1] = 1040.0
    other.record_intent(attempt(0), None, Terms(**terms))

    verdict = denial(one, attempt(1), **terms)

    assert isinstance(verdict, RateReached)
    assert verdict.wait_seconds == pytest.approx(20.0)
    uptime[1] = 1060.0
    one.record_intent(attempt(1), None, Terms(**terms))
    assert denial(one, attempt(2), **terms).wait_seconds == pytest.approx(40.0)
    for later in (["boot", 3.0], ["another boot", 1060.0]):
        uptime[:] = later
        for shard in range(2):
            other.record_intent(attempt(shard + 10 * len(later[0])), None, Terms(**terms))


@pytest.mark.parametrize("first", [1.162, 0.1, 3.505, 5.257, 1e6 + 0.3])
def test_a_minute_is_over_when_it_was_said_to_be(journal, first):
    """Nobody is denied with nothing to wait for, however sums of times are rounded."""
    uptime = ["boot", first]
    journal._database.uptime = lambda: tuple(uptime)
    run_log, terms = journal.begin("run", SPEC, 5), {"submissions_per_minute": 1}
    run_log.record_intent(attempt(0), None, Terms(**terms))
    uptime[1] = math.nextafter(first + 60.0, 0.0)
    assert denial(run_log, attempt(1), **terms).wait_seconds > 0
    uptime[1] = first + 60.0
    run_log.record_intent(attempt(1), None, Terms(**terms))


# -- allowances ------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0.0, 1e-8, 0.5])
def test_what_rounding_leaves_is_granted(journal, left):
    """Parties sum up in unlike orders: a difference that neither can act on denies nothing."""
    run_log = journal.begin("run", SPEC, 5)
    terms = Terms(allotment=Allotment(name="pot", amount=2.5, usd_per_unit=math.inf))
    run_log.record_intent(attempt(0, units=2.5 - left), None, terms)
    run_log.record_intent(attempt(1, units=left + 1.7e-16), None, terms)
    assert isinstance(
        denial(run_log, attempt(2, units=1e-6), allotment=terms.allotment), UsedByOthers
    )


def test_parties_use_one_allowance(journal):
    """What others have used is not there, until it is free again; what is given back is."""
    ours, theirs = (journal.begin(name, SPEC, 5, party=name) for name in ("ours", "theirs"))
    daily = Allotment(name="pot", amount=10.0, step_of=lambda wall: math.floor(wall / DAY))
    terms = Terms(allotment=daily, used_otherwise=1.0)
    theirs.record_intent(attempt(0, units=6.0), None, terms)

    verdict = denial(ours, attempt(0, units=4.0), allotment=daily, used_otherwise=1.0)

    assert isinstance(verdict, UsedByOthers)
    assert verdict.units_left == pytest.approx(3.0)
    theirs.record_outcomes(attempt(0, units=5.0), outcome(), 1.0)
    ours.record_intent(attempt(0, units=4.0), None, terms)
    tomorrow = attempt(1, units=10.0, seconds=DAY)
    ours.record_intent(tomorrow, None, Terms(allotment=daily))


# -- money -----------------------------------------------------------------------------------------


def test_money_that_may_come_back_is_told_from_money_that_is_spent(journal):
    """What is only set aside is waited for, whatever the budget says of what is exhausted."""
    one, other = (journal.begin(name, SPEC, 5) for name in ("one", "other"))
    budget = Budget(per_day_usd=10)
    one.record_intent(attempt(0, usd=8), None, Terms(budget=budget))
    assert isinstance(denial(other, attempt(0, usd=4), budget=budget), HeldByOthers)
    one.record_outcomes(attempt(0, usd=8), outcome(), 1.0)
    assert not isinstance(denial(other, attempt(0, usd=4), budget=budget), HeldByOthers)
    other.record_intent(attempt(1, usd=4, seconds=DAY), None, Terms(budget=budget))


@pytest.mark.parametrize(
    ("limit", "binds_others"),
    [
        ({"shots": 10}, True),
        ({"attempts": 2}, True),
        ({"per_user_usd": {"chem": 2}}, True),
        ({"per_user_day_usd": {"chem": 2}}, True),
        ({"per_user_usd": {"chem/ana": 2}}, False),
        ({"per_user_day_usd": {"chem/ana": 2}}, False),
    ],
)
def test_all_parties_share_what_a_budget_counts(journal, limit, binds_others):
    """Shots, attempts, and what users and projects spend; what nobody took is given back."""
    one, other = (journal.begin(name, SPEC, 5) for name in ("one", "other"))
    ana, ben = (
        {"budget": Budget(**limit), "user": name, "max_in_flight": None}
        for name in ("chem/ana", "chem/ben")
    )
    for shard in range(2):
        one.record_intent(attempt(shard), None, Terms(**ana))
    assert isinstance(denial(other, attempt(0), **ana), HeldByOthers)
    if binds_others:
        assert isinstance(denial(other, attempt(0), **ben), HeldByOthers)
    else:
        other.record_intent(attempt(7), None, Terms(**ben))
    one.record_end(attempt(0, usd=0), taken=False)
    other.record_intent(attempt(1), None, Terms(**ana))
    for run_log in (one, other):
        run_log.record_outcomes(attempt(1), outcome(), 1.0)
    refused = denial(other, attempt(0), **ana)
    assert "2 spent" in refused.reason or "10 spent" in refused.reason
    assert not isinstance(refused, HeldByOthers)


def test_what_a_run_has_cost_outlives_it(journal):
    """A forgotten run is spent, its jobs in flight at their price; and they hold no slot."""
    budget = Budget(usd=10)
    run_log = journal.begin("run", SPEC, 5)
    run_log.record_intent(attempt(0, usd=3), None, Terms(budget=budget))
    run_log.record_outcomes(attempt(0, usd=3), outcome(), 1.0)
    run_log.record_intent(attempt(1, usd=4), None, Terms(max_in_flight=1))
    run_log.close("running")
    journal.forget("run")
    another = journal.begin("another", SPEC, 5)
    assert "7 spent" in denial(another, attempt(usd=4), budget=budget).reason
    another.record_intent(attempt(usd=3), None, Terms(budget=budget, max_in_flight=1))


def test_a_claim_looks_at_no_attempt_that_is_over(tmp_path):
    """It reads as many rows with thousands of them as with none: its cost does not grow."""
    journal = Journal(tmp_path / "journal")
    run_log = journal.begin("run", SPEC, 5)
    terms = Terms(
        max_in_flight=5,
        submissions_per_minute=10_000,
        allotment=Allotment(name="pot", amount=math.inf),
        budget=Budget(usd=1e9),
    )
    steps, ticks = [], []
    connection = journal._database._connection
    for shard in range(2000):
        if shard in {20, 1999}:
            # Those of the last minute are counted one by one.
            journal._database.execute("DELETE FROM submissions")
            ticks.clear()
            connection.set_progress_handler(lambda: ticks.append(1), 1)
        run_log.record_intent(attempt(shard, units=1.0), None, terms)
        if shard in {20, 1999}:
            connection.set_progress_handler(None, 1)
            steps.append(len(ticks))
        run_log.record_end(attempt(shard, units=1.0))
    assert steps[1] < 1.2 * steps[0]


ENDS = st.sampled_from(["arrived", "failed", "unpaid", "unknown", "unknown, then arrived", "open"])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),  # The run.
            st.sampled_from(["m", "n"]),
            st.integers(0, 300).map(lambda cents: cents / 64),
            st.integers(0, 3 * DAY),
            st.sampled_from(["", "chem", "chem/ana"]),
            ENDS,
        ),
        max_size=12,
    ),
    st.sets(st.integers(0, 2)),
    st.sets(st.integers(0, 2)),
)
@settings(deadline=None, max_examples=40)
def test_the_books_are_those_of_the_attempts(tmp_path_factory, sent, closed, forgotten):
    """Balances are what is written down of attempts that are over, added up; the rest is held."""
    journal = Journal(tmp_path_factory.mktemp("books") / "journal", clock=lambda: 10.0 * DAY)
    runs = [journal.begin(f"run {number}", SPEC, 5) for number in range(3)]
    expected, held = Counter(), {}
    for shard, (run, member, price, seconds, user, end) in enumerate(sent):
        made = attempt(shard, member, price, seconds=seconds)
        runs[run].record_intent(made, None, Terms(user=user))
        usd, shots, attempts = written(runs[run], made, end)
        if end == "open" and run not in closed | forgotten:
            held[f"run {run}", shard] = usd
            continue
        day = math.floor((10.0 * DAY + seconds) / DAY)
        expected.update({"usd": usd, "shots": shots, "attempts": attempts})
        expected.update({f"usd of {member}": usd, f"usd on day {day}": usd})
        for name in {"": [], "chem": ["chem"], "chem/ana": ["chem", "chem/ana"]}[user]:
            expected.update({f"usd for {name!r}": usd, f"usd on day {day} for {name!r}": usd})
    for run in closed | forgotten:
        runs[run].close("cancelled")
    for run in forgotten:
        journal.forget(f"run {run}")

    ledger = journal.ledger()
    books = {account: amount for account, amount in ledger.spent.items() if amount}
    assert books == pytest.approx({account: sum_ for account, sum_ in expected.items() if sum_})
    assert {key[:2]: usd for key, _, usd in read_reservations(journal._database)} == held
    set_aside = [ledger.held.get(account, 0) for account in ("usd", "shots", "attempts")]
    assert set_aside == pytest.approx([sum(held.values()), 5 * len(held), len(held)])


def written(run_log, made, end):
    """Write down how an attempt ended; return the money, shots and attempts that count."""
    made.outcome = AttemptOutcome.UNKNOWN if "unknown" in end else AttemptOutcome.FAILED
    usd = made.price_usd
    if end == "unpaid":
        made.price_usd = 0.0
        run_log.record_end(made, taken=False)
        return 0.0, 0, 0
    if end in {"failed", "unknown", "unknown, then arrived"}:
        run_log.record_end(made)
    if "arrived" in end:
        made.price_usd, made.ran_shots = usd / 2, 3
        run_log.record_outcomes(made, outcome(), made.submitted_seconds)
        run_log.record_end(made)  # Too late to count.
        return usd / 2, 3, 1
    return usd, 5, 1


def test_a_journal_of_an_earlier_version_brings_its_books(tmp_path):
    """What its attempts have cost is spent; those that nobody has heard of the end of hold theirs."""
    path = tmp_path / "journal"
    old = sqlite3.connect(path)
    for script in MIGRATIONS[:6]:
        old.executescript(script)
    old.execute("PRAGMA application_id = 0x7167776A")
    old.execute("PRAGMA user_version = 6")
    for name, state in (("done", "done"), ("left", "running")):
        old.execute(
            "INSERT INTO runs (job_id, kind, state, created, shots, options, version) "
            "VALUES (?, 'sampler', ?, ?, 5, '', '')",
            (name, state, 10.0 * DAY),
        )
        for shard, end in enumerate(("arrived", "accepted")):
            old.execute(
                "INSERT INTO attempts (job_id, shard, number, member, pieces, circuits, shots, "
                "price_usd, free_units, state, submitted) "
                "VALUES (?, ?, 1, 'm', '[]', 1, 5, ?, 2, ?, ?)",
                (name, shard, 1.0 + shard, end, DAY),
            )
    old.commit()
    old.close()

    journal = Journal(path)

    assert read_balances(journal._database) == {
        "usd": 4,
        "usd of m": 4,
        "usd on day 11": 4,
        "shots": 15,
        "attempts": 3,
    }
    assert journal.ledger().held["shots"] == 5
    assert list(read_reservations(journal._database)) == [(("left", 1, 1), "m", 2.0)]
    run_log = journal.begin("new", SPEC, 5)
    pot = Allotment(name="pot", amount=10.0)
    assert denial(run_log, attempt(units=3.0), allotment=pot).units_left == 2.0


# -- runs ------------------------------------------------------------------------------------------


def test_fleets_that_share_a_journal_share_a_slot(tmp_path):
    """One waits until the other's job is over, says so to observers, blames nobody, and goes on."""
    denied, backend = threading.Event(), ScriptedBackend(BasicSimulator(), then=Hangs("result"))

    class Watch:
        def on_event(self, event):
            if isinstance(event, ShardDenied):
                denied.set()
                assert "1 jobs at once" in event.reason

    limits, books = Limits(max_in_flight=1), Journal(tmp_path / "j")._database
    first = RouterSampler(Member(backend, name="one", limits=limits), journal=tmp_path / "j")
    second_backend = ScriptedBackend(BasicSimulator())
    second = RouterSampler(
        Fleet([Member(second_backend, name="one", limits=limits)], observers=[Watch()]),
        journal=tmp_path / "j",
    )
    job = first.run([bell()], shots=10)
    while not list(read_reservations(books)):
        assert not job.in_final_state()
    rival = second.run([bell()], shots=10)
    assert denied.wait(60)
    assert rival.report().attempts == ()
    assert not rival.in_final_state()
    backend.release()
    assert rival.result(60)[0].data.meas.num_shots == 10
    assert job.result(60)[0].data.meas.num_shots == 10
    (attempt_made,) = rival.report().attempts
    assert attempt_made.outcome == "done"
    assert not list(read_reservations(books))


def test_slots_of_local_members_are_those_of_each_process(tmp_path, monkeypatch):
    """Each fleet has a simulator of its own: one that is busy keeps none of another's waiting."""
    monkeypatch.setattr(Gated, "gate", threading.Event())
    busy, idle = (
        RouterSampler(
            Member(one, name="local", limits=Limits(max_in_flight=1)), journal=tmp_path / "j"
        )
        for one in (Gated(), BasicSimulator())
    )
    job = busy.run([bell()], shots=10)
    while not [one for one in job.report().attempts if one.job_id]:
        assert not job.in_final_state()
    assert idle.run([bell()], shots=10).result(60)[0].data.meas.num_shots == 10
    assert not job.in_final_state()
    Gated.gate.set()
    assert job.result(60)[0].data.meas.num_shots == 10
