"""While the journal is away local members go on; it is said once, and all goes on when it is back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from executor_backends import Gated
from journals import SPEC, read_reservations
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import ExecutorMember, Fleet, Limits, Member, Pricing
from qiskit_gateway.backends.scripted import Hangs, ScriptedBackend
from qiskit_gateway.journal.claims import read_balances
from qiskit_gateway.journal.storage import write_queue
from qiskit_gateway.policies import Policy
from qiskit_gateway.work.record.run_events import JournalFailed, ShardFinished

SECONDS = 60.0
# Of which a result is some pages of a file.
SHOTS = 20_000
ONE, TWO = Limits(max_circuits=1, max_in_flight=1), Limits(max_circuits=1, max_in_flight=2)


class Heard:
    """Hears of failures of the journal, and of shards that were done since."""

    def __init__(self):
        self.failures, self.went_on, self.failed = [], threading.Event(), threading.Event()

    def on_event(self, event):
        if isinstance(event, JournalFailed):
            self.failures.append(event.reason)
            self.failed.set()
        if isinstance(event, ShardFinished) and self.failed.is_set() and event.member == "local":
            self.went_on.set()


class Sqlite:
    """A journal in a file, and what can go wrong with it."""

    def __init__(self, folder):
        self.place = folder / "j"

    def fill(self, journal):
        ((pages,),) = journal._database.query("PRAGMA page_count")
        journal._database.query(f"PRAGMA max_page_count = {pages}")
        return lambda: journal._database.query(f"PRAGMA max_page_count = {1 << 30}")

    def hold(self, journal):
        entered, done = threading.Event(), threading.Event()

        def keep():
            other = Journal(self.place)
            with other._database.transaction():
                entered.set()
                done.wait(SECONDS)
            other.close()

        thread = threading.Thread(target=keep)
        thread.start()
        assert entered.wait(SECONDS)
        return lambda: (done.set(), thread.join())


class Postgres(Sqlite):
    """A journal in a server that is new."""

    def __init__(self, server):
        self.server, self.place = server, server.new_database()

    def fill(self, journal):
        # What a full disk answers to whoever writes; the size of a database has no limit to set.
        database = self.place.partition("?")[0].rpartition("/")[2]
        body = "BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END"
        make = f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
        self.server.execute(make, database)
        tables = ("attempts", "outcomes", "standing", "reservations", "balances", "runs")
        for table in tables:
            self.server.execute(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE OR DELETE ON "
                f"qiskit_gateway.{table} EXECUTE FUNCTION full_disk()",
                database,
            )
        return lambda: self.server.execute("DROP FUNCTION full_disk() CASCADE", database)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    monkeypatch.setattr(write_queue, "_BUSY_SECONDS", 0.2)
    monkeypatch.setattr(Gated, "gate", threading.Event())
    if request.param == "sqlite":
        return Sqlite(tmp_path)
    return Postgres(request.getfixturevalue("postgres"))


def local_sampler(members, journal, heard):
    policy = Policy(spread="pubs")
    return RouterSampler(Fleet(members, observers=[heard]), policy=policy, journal=journal)


@pytest.mark.parametrize("how", ["fill", "hold"])
def test_local_members_go_on(database, how):
    """What is shared is not sent, and what waited for it is done where nothing is shared."""
    journal, heard = Journal(database.place), Heard()
    shared_backend = ScriptedBackend(BasicSimulator(), [Hangs("result")])
    shared = Member(shared_backend, name="shared", limits=ONE, pricing=Pricing(per_job=1.0))
    local = Member(Gated(), name="local", limits=TWO)
    job = local_sampler([shared, local], journal, heard).run([bell()] * 12, shots=SHOTS)
    while len([one for one in job.report().attempts if one.job_id]) < 2:
        assert not job.in_final_state()
    back = getattr(database, how)(journal)
    try:
        shared_backend.release()
        Gated.gate.set()
        assert heard.failed.wait(SECONDS)
        assert heard.went_on.wait(SECONDS)
    finally:
        back()
    assert [pub.data.meas.num_shots for pub in job.result(SECONDS)] == [SHOTS] * 12
    assert len(heard.failures) == 1
    (run,) = journal.runs()
    assert (run.state, run.shots_done) == ("done", 12 * SHOTS)
    assert not list(read_reservations(journal._database))
    paid = len([one for one in job.report().attempts if one.member == "shared"])
    assert read_balances(journal._database)["usd"] == paid == len(shared_backend.calls)


def test_a_look_waits_for_nobody(database):
    """Somebody writes all the while: a run hears even so that it is to be cancelled."""
    journal, other = Journal(database.place), Journal(database.place)
    run_log = journal.begin("run", SPEC, 5)
    other.ask_to_cancel("run")
    assert not run_log.cancel_asked
    with other._database.transaction():
        other._database.execute("UPDATE runs SET beats = beats + 1")
        anyio.run(run_log.look)
    assert run_log.cancel_asked


@pytest.mark.parametrize("kind", ["simulator", "workers"])
def test_a_run_of_local_members_alone_needs_no_journal_to_go_on(database, kind):
    """All of it is done while nothing can be written, and is written when that is possible."""
    journal, heard = Journal(database.place), Heard()
    local = Member(Gated(), name="local", limits=TWO)
    if kind == "workers":
        local = ExecutorMember(
            lambda: ThreadPoolExecutor(2), "executor_backends:Gated", name="local", limits=TWO
        )
    job = local_sampler([local], journal, heard).run([bell()] * 6, shots=SHOTS)
    while not any(one.accepted_seconds for one in job.report().attempts):
        assert not job.in_final_state()
    back = database.fill(journal)
    try:
        Gated.gate.set()
        assert heard.went_on.wait(SECONDS)
        until = time.monotonic() + SECONDS
        while sum(one.outcome == "done" for one in job.report().attempts) < 6:
            assert time.monotonic() < until
    finally:
        back()
    assert [pub.data.meas.num_shots for pub in job.result(SECONDS)] == [SHOTS] * 6
    (run,) = Journal(database.place).runs()
    assert (run.state, run.shots_done, len(heard.failures)) == ("done", 6 * SHOTS, 1)
