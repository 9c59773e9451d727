"""A journal in PostgreSQL is what one in a file is, and goes on when its server does."""

import pickle
import subprocess
import sys
import textwrap
import threading

import pytest
from journals import read_reservations
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import Journal, JournalError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.backends.scripted import Hangs, ScriptedBackend
from qiskit_gateway.work.record.run_events import JournalFailed

SECONDS = 100.0


@pytest.fixture
def place(postgres):
    return postgres.new_database()


def a_member(**facts):
    return Member(BasicSimulator(), name="one", pricing=Pricing(per_job=0.5), **facts)


def test_runs_are_written_and_read_again(place):
    """Work, attempts, results, prices and standings are there for a process that comes later."""
    sampler = RouterSampler(a_member(limits=Limits(max_in_flight=2)), journal=place)
    job = sampler.run([bell(), bell()], shots=20)
    counts = [pub.data.meas.get_counts() for pub in job.result(SECONDS)]
    bare = bell().remove_final_measurements(inplace=False)
    values = RouterEstimator(a_member(), journal=place).run([(bare, ["ZZ"])]).result(SECONDS)

    journal = Journal(place)

    first, second = journal.runs()
    assert (first.kind, first.state, first.shots_done, first.held) == ("sampler", "done", 40, False)
    assert second.spent_usd == 0.5
    assert [one.outcome for one in journal.report(first.job_id).attempts] == ["done"]
    assert sum(one.usd for one in journal.spending()) == first.spent_usd + 0.5
    assert [one.job_id for one in journal.standing("plan")] == [second.job_id]
    assert [one.job_id for one in journal.standing("plan", first.job_id)] == [first.job_id]
    assert len(journal.attempts(most=1)) == 1
    again = RouterSampler(a_member(), journal=journal).resume(first.job_id).result(SECONDS)
    assert [pub.data.meas.get_counts() for pub in again] == counts
    again = RouterEstimator(a_member(), journal=journal).resume(second.job_id).result(SECONDS)
    assert again[0].data.evs == values[0].data.evs
    before = journal.changes()
    journal.forget(first.job_id)
    assert journal.changes() != before
    assert [run.job_id for run in journal.runs()] == [second.job_id]


def test_processes_and_copies_open_it_anew(place):
    """A pickle and a forked child have connections of their own."""
    journal = pickle.loads(pickle.dumps(Journal(place)))  # noqa: S301
    code = textwrap.dedent("""
        import os, sys
        from qiskit_gateway.journal.journal import *
        from qiskit_gateway.journal.run_spec import *
        journal = Journal(sys.argv[1])
        spec = RunSpec(kind='sampler', pubs=(), options={})
        journal.begin('before', spec, 0).close('done')
        child = os.fork()
        journal.begin(f'run-{bool(child)}', spec, 0).close('done')
        sys.exit(os.waitpid(child, 0)[1] if child else 0)
    """)
    subprocess.run([sys.executable, "-c", code, place], check=True)  # noqa: S603
    assert {run.job_id for run in journal.runs()} == {"before", "run-True", "run-False"}


def test_a_password_is_nowhere_told(place):
    """Neither the name of a journal nor an error holds it."""
    journal = Journal(place.replace("tests@", "tests:hunter22@"))
    assert "hunter22" not in repr(journal) + journal.name
    with pytest.raises(JournalError, match="is not a file"):
        _ = journal.path
    wrong = ("postgresql://u:hunter22@/x?host=/nowhere", "postgresql://u:hunter22@[/x")
    for address in wrong:
        with pytest.raises(JournalError) as told:
            Journal(address)
        assert "hunter22" not in str(told.value)


def test_an_extra_that_is_missing_is_named(place):
    """Whoever has not installed psycopg is told how to."""
    code = textwrap.dedent("""
        import sys
        sys.modules["psycopg"] = None
        from qiskit_gateway import Journal, JournalError
        try:
            Journal(sys.argv[1])
        except JournalError as error:
            print(error)
    """)
    command = [sys.executable, "-c", code, place]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert "qiskit-gateway[postgres]" in done.stdout


def test_a_later_version_is_refused(postgres, place):
    """Tables that this package does not know are left alone."""
    Journal(place).close()
    name = place.partition("?")[0].rpartition("/")[2]
    postgres.execute("INSERT INTO qiskit_gateway.version VALUES (99)", name)
    with pytest.raises(JournalError, match=r"version 99.*use a later qiskit-gateway"):
        Journal(place)


def test_what_the_server_cannot_hold_is_told(place):
    """It is no fault of the server: nothing else is kept from it."""
    journal = Journal(place)
    with pytest.raises(JournalError, match="cannot hold this"):
        journal._database.execute("INSERT INTO balances VALUES (?, ?)", ("a\x00b", 1.0))
    journal._database.execute("INSERT INTO balances VALUES (?, ?)", ("a", 1.0))


def test_a_transaction_waits_for_the_one_before(place):
    """What it has read is still so when it writes, whoever else writes; who waits too long is told."""
    one, other = Journal(place)._database, Journal(place)._database
    impatient = other.transaction(busy_seconds=0.05)
    with one.transaction():
        one.execute("INSERT INTO balances VALUES ('a', 1)")
        with pytest.raises(JournalError, match="cannot be used"):
            impatient.__enter__()
    assert other.query("SELECT amount FROM balances") == [(1.0,)]


# -- faults ----------------------------------------------------------------------------------------


class Failures:
    """Notes that the journal failed."""

    def __init__(self):
        self.told = []
        self.heard = threading.Event()

    def on_event(self, event):
        if isinstance(event, JournalFailed):
            self.told.append(event.reason)
            self.heard.set()


def gone(postgres, how):
    """Take the database away; return what brings it back."""
    if how == "read-only":
        setting = "ALTER SYSTEM SET default_transaction_read_only = {}"
        postgres.execute(setting.format("on"))
        postgres.execute("SELECT pg_reload_conf()")

        def back():
            import psycopg

            options = "-c default_transaction_read_only=off"
            with psycopg.connect(
                postgres.address("postgres"), autocommit=True, options=options
            ) as connection:
                connection.execute(setting.format("off"))
                connection.execute("SELECT pg_reload_conf()")

        return back
    postgres.stop(how)
    return postgres.start


@pytest.mark.parametrize("how", ["fast", "immediate", "read-only"])
def test_a_server_that_is_gone_for_a_while_costs_nothing_but_time(postgres, place, how):
    """Nothing new is sent meanwhile, what flies is collected, it is said once, and all goes on."""
    backend = ScriptedBackend(BasicSimulator(), [Hangs("result")])
    failures = Failures()
    limits = Limits(max_in_flight=1, max_circuits=1)
    fleet = Fleet([Member(backend, name="one", limits=limits)], observers=[failures])
    job = RouterSampler(fleet, journal=place).run([bell()] * 3, shots=10)
    while not (job.report().attempts and job.report().attempts[0].job_id):
        assert not job.in_final_state()
    back = gone(postgres, how)
    try:
        backend.release()
        assert failures.heard.wait(SECONDS)
        assert len(backend.calls) == 1
    finally:
        back()
    assert [pub.data.meas.num_shots for pub in job.result(SECONDS)] == [10] * 3
    assert len(failures.told) == 1
    journal = Journal(place)
    (run,) = journal.runs()
    assert (run.state, run.shots_done, len(backend.calls)) == ("done", 30, 3)
    assert not list(read_reservations(journal._database))


def test_a_server_that_crashes_three_times_in_a_run_loses_nothing(postgres, place):
    """Each time with a job in flight: every shot arrives, and every job is sent once."""
    backend = ScriptedBackend(BasicSimulator(), then=Hangs("result"))
    member = Member(backend, name="one", limits=Limits(max_in_flight=1, max_circuits=1))
    job = RouterSampler(member, journal=place).run([bell()] * 4, shots=10)
    for crash in range(4):
        while sum(bool(one.job_id) for one in job.report().attempts) <= crash:
            assert not job.in_final_state()
        if crash < 3:
            postgres.stop("immediate")
        backend.release()
        if crash < 3:
            postgres.start()
    assert [pub.data.meas.num_shots for pub in job.result(SECONDS)] == [10] * 4
    journal = Journal(place)
    (run,) = journal.runs()
    assert (run.state, run.shots_done, len(backend.calls)) == ("done", 40, 4)
    assert [one.outcome for one in journal.report(run.job_id).attempts] == ["done"] * 4
    assert not list(read_reservations(journal._database))


def test_whoever_is_stopped_in_a_transaction_stops_nobody_else(place, monkeypatch):
    """The server ends it, and what it did is undone."""
    from qiskit_gateway.journal.storage import postgres_server

    monkeypatch.setattr(
        postgres_server, "_SESSION", postgres_server._SESSION.replace("10s", "200ms")
    )
    stopped, other = Journal(place)._database, Journal(place)._database

    def stop_within():
        with stopped.transaction() as statements:
            statements.execute("INSERT INTO balances VALUES ('a', 1)")
            other.execute("INSERT INTO balances VALUES ('b', 2)")

    with pytest.raises(JournalError, match="cannot be used"):
        stop_within()
    assert other.query("SELECT account FROM balances") == [("b",)]
    stopped.execute("INSERT INTO balances VALUES ('c', 3)")
