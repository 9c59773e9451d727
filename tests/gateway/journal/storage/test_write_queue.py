"""Writing in the thread of a journal: nobody else waits, and what fails is told to whom it concerns."""

import sqlite3
import subprocess
import sys
from functools import partial
from threading import current_thread

import anyio
import numpy as np
import pytest
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import Journal, JournalError, RouterSampler
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.journal import run_log as run_logs
from qiskit_gateway.journal.run_spec import RunSpec
from qiskit_gateway.journal.storage import write_queue
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.record.run_log import TakenOverError
from qiskit_gateway.work.tasks import Piece

SPEC = RunSpec(kind="sampler", pubs=(), options={})


@pytest.fixture
def anyio_backend():
    """Run on a clock that does not jump: threads take their time."""
    return "asyncio"


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A path, where a lock is not waited for as long as otherwise."""
    monkeypatch.setattr(write_queue, "_BUSY_SECONDS", 0.05)
    return tmp_path / "j"


def begun(journal, name="run"):
    return journal.begin(name, SPEC, 14)


def an_attempt(shard=0):
    pieces = (Piece(0, 0, 2, 0, 7),)
    return Attempt(shard=shard, member="m", number=1, pieces=pieces, circuits=2, shots=7)


def arrives(run_log, shard=0, *, memory=None):
    memory = np.ones((7, 1), np.uint8) if memory is None else memory
    outcomes = [Outcome(shots=7, num_bits=1, memory=memory)] * 2
    attempt = an_attempt(shard)
    return [
        partial(run_log.record_intent, attempt, None),
        partial(run_log.record_acceptance, attempt),
        partial(run_log.record_outcomes, attempt, outcomes, 1.0),
    ]


def only_run(journal):
    (run,) = Journal(journal.path).runs()
    return run.state, run.shots_done


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_lock_holds_up_nobody_else(path, how):
    """The event loop goes on while somebody else holds the file, and writing works afterwards."""
    run_log, ticks = begun(Journal(path)), 0

    async def tick():
        nonlocal ticks
        while True:
            await anyio.sleep(0.001)
            ticks += 1

    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute(how)
    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        with pytest.raises(JournalError, match="locked"):
            await run_log.perform(arrives(run_log))
        group.cancel_scope.cancel()
    assert ticks > 5
    lock.execute("ROLLBACK")
    lock.close()
    writes = [*arrives(run_log), partial(run_log.close, "done")]
    assert await run_log.perform(writes) == (None,) * 4
    assert only_run(Journal(path)) == ("done", 14)


def test_no_statement_is_made_in_the_event_loop(path):
    """Runs share one loop, and nothing that may wait for a disk is done in it."""
    journal, threads = Journal(path), set()
    sampler = RouterSampler(BasicSimulator(), journal=journal)
    journal._database._connection.set_trace_callback(
        lambda statement: threads.add((current_thread().name, statement.split()[0]))
    )
    job = sampler.run([bell()], shots=5)
    job.result()
    sampler.resume(job.job_id()).result()
    names = {name for name, _ in threads}
    assert ("qiskit-gateway worker", "COMMIT") in threads
    assert names == {current_thread().name, "qiskit-gateway worker"}


@pytest.mark.anyio
async def test_what_can_never_be_written_keeps_nothing_else_from_it(path):
    """It is told, the rest is written, and the run is not recorded as done."""
    run_log = begun(Journal(path))
    bad = np.array([[object()]] * 7)
    writes = [*arrives(run_log, memory=bad), *arrives(run_log, 1), partial(run_log.close, "done")]
    errors = await run_log.perform(writes)
    assert [bool(error) for error in errors] == [False, False, True, False, False, False, False]
    assert "written" in str(errors[2])
    states = [entry.state for entry in Journal(path).entries("run")]
    assert states == ["accepted", "arrived"]


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
async def test_a_run_is_done_only_with_all_of_its_shots(path, state):
    """Whatever the reason, a run that lacks shots in the journal can be taken up again."""
    journal = Journal(path)
    run_log = begun(journal)
    await run_log.perform([*arrives(run_log)[:2], partial(run_log.close, state)])
    assert only_run(journal) == ("running" if state == "done" else state, 0)
    assert not journal.runs()[0].held


@pytest.mark.anyio
async def test_what_concerns_one_run_is_told_to_that_one(path):
    """Writes of several runs share a transaction; one that lost its run fails alone."""
    journal = Journal(path)
    logs = [begun(journal, f"run-{number}") for number in range(9)]
    logs[4].abandon()
    journal.take("run-4", "sampler")
    told = {}

    async def write(number, run_log):
        try:
            told[number] = await run_log.perform(
                [*arrives(run_log), partial(run_log.close, "done")]
            )
        except JournalError as error:
            told[number] = type(error)

    async with anyio.create_task_group() as group:
        for number, run_log in enumerate(logs):
            group.start_soon(write, number, run_log)
    assert told.pop(4) is TakenOverError
    assert set(told.values()) == {(None,) * 4}
    assert [run.state for run in Journal(path).runs()].count("done") == 8


@pytest.mark.anyio
async def test_writing_twice_is_as_good_as_once(path):
    """A write whose answer was lost is made again, with what came after it."""
    journal = Journal(path)
    run_log = begun(journal)
    writes = arrives(run_log)
    for size in (1, 2, 2, 3, 3):
        assert await run_log.perform(writes[:size]) == (None,) * size
    (entry,) = journal.entries("run")
    assert entry.state == "arrived"
    await run_log.perform([*writes, partial(run_log.close, "done")])
    assert only_run(journal) == ("done", 14)


@pytest.mark.anyio
async def test_a_full_disk_costs_nothing_but_time(path):
    """What did not fit is written once there is room, whole."""
    journal = Journal(path)
    run_log, database = begun(journal), journal._database
    memory = np.zeros((1 << 20, 1), np.uint8)
    ((pages,),) = database.query("PRAGMA page_count")
    database.query(f"PRAGMA max_page_count = {pages + 4}")
    for _ in range(2):
        with pytest.raises(JournalError, match="full"):
            await run_log.perform(arrives(run_log, memory=memory))
    assert list(journal.entries("run")) == []
    database.query(f"PRAGMA max_page_count = {1 << 30}")
    assert await run_log.perform(arrives(run_log, memory=memory)) == (None,) * 3
    assert len(list(Journal(path).entries("run"))) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be moved there")
@pytest.mark.anyio
@pytest.mark.parametrize("gone", [["j", "j-wal", "j-shm"], ["j"], ["j-wal"], "replaced"])
async def test_a_file_that_is_not_there_any_more_is_told(path, gone):
    """SQLite reads and writes deleted files without a word; put back, they are as good as before."""
    journal = Journal(path)
    run_log, away = begun(journal), path.parent / "away"
    await run_log.perform(arrives(run_log))
    away.mkdir()
    for name in ["j", "j-wal", "j-shm"] if gone == "replaced" else gone:
        (path.parent / name).rename(away / name)
    if gone == "replaced":
        begun(Journal(path), "other")
    with pytest.raises(JournalError, match="deleted, or another file"):
        await run_log.perform(arrives(run_log, 1))
    for read in (journal.runs, journal.changes):
        with pytest.raises(JournalError, match="deleted, or another file"):
            read()
    if gone == "replaced":
        for name in ["j", "j-wal", "j-shm"]:
            (path.parent / name).unlink(missing_ok=True)
    for name in away.iterdir():
        name.rename(path.parent / name.name)
    assert await run_log.perform(arrives(run_log, 1)) == (None,) * 3
    assert [run.shots_done for run in Journal(path).runs()] == [28]


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be deleted there")
@pytest.mark.anyio
async def test_a_new_run_makes_a_file_that_was_deleted_anew(path):
    """The runs that stood in the old one are told that it does not know them."""
    journal = Journal(path)
    old = begun(journal)
    await old.perform(arrives(old))
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(JournalError, match="deleted"):
        await old.perform(arrives(old, 1))
    assert not path.exists()
    new = begun(journal, "new")
    assert await new.perform([*arrives(new), partial(new.close, "done")]) == (None,) * 4
    with pytest.raises(TakenOverError, match="forgotten"):
        await old.perform(arrives(old, 1))
    assert only_run(journal) == ("done", 14)


def test_a_closed_journal_stays_closed(path):
    """It is not opened again behind the back of whoever closed it."""
    journal = Journal(path)
    begun(journal)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        begun(journal, "other")


@pytest.mark.anyio
async def test_what_is_left_of_a_run_is_written_later(path, monkeypatch):
    """A run that is over waits for nothing; its journal gets what it lacks once it can be written."""
    monkeypatch.setattr(run_logs, "_LATE_SECONDS", 0.02)
    journal = Journal(path)
    run_log = begun(journal)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    run_log.leave([*arrives(run_log), partial(run_log.close, "done")])
    run_log.abandon()
    await anyio.sleep(0.1)
    assert only_run(journal) == ("running", 0)
    lock.execute("ROLLBACK")
    lock.close()
    with anyio.fail_after(20):
        while only_run(journal) != ("done", 14):  # noqa: ASYNC110  It is told to nobody.
            await anyio.sleep(0.02)


@pytest.mark.anyio
async def test_where_no_thread_can_be_started_it_is_written_in_place(path, monkeypatch):
    """At the end of a program some versions of Python refuse one."""

    def refuse(_):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(write_queue, "leave_to_thread", refuse)
    run_log = begun(Journal(path))
    for shard in range(2):
        assert await run_log.perform(arrives(run_log, shard)) == (None,) * 3
    assert len(list(Journal(path).entries("run"))) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_writes_on_its_own(path):
    """It has no thread of its parent's, whatever that was about to write."""
    code = """
import anyio, os, sys
from functools import partial
from qiskit_gateway import Journal
from qiskit_gateway.journal.run_spec import RunSpec
journal = Journal(sys.argv[1])
spec = RunSpec(kind="sampler", pubs=(), options={})
def run(name):
    run_log = journal.begin(name, spec, 0)
    anyio.run(run_log.perform, [partial(run_log.close, "done")])
run("first")
child = os.fork()
run(f"then {child}")
os._exit(os.waitpid(child, 0)[1] if child else 0)
"""
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=120)  # noqa: S603
    assert [run.state for run in Journal(path).runs()] == ["done"] * 3
