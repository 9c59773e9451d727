"""The journal: what goes in comes out, for nobody else to read, and whatever else is there is told."""

import base64
import contextlib
import json
import os
import pickle
import sqlite3
import stat
import struct
import subprocess
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import GatewayError, Journal, JournalError, RouterEstimator, RouterSampler
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.journal.run_spec import PubSpec, RunSpec
from qiskit_gateway.journal.storage.codec import (
    read_circuit,
    read_plain,
    unpack,
    unpack_outcomes,
    write_circuit,
)
from qiskit_gateway.journal.storage.sqlite_file import SqliteFile
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.tasks import Piece

# -- the file ----------------------------------------------------------------------------------------


def a_spec(**options):
    circuit = QuantumCircuit(1, metadata={"tags": ("a", 1), "xs": np.arange(2)})
    circuit.rx(Parameter("t"), 0)
    pub = PubSpec(circuit=circuit, rows=np.array([[0.5], [1.0]]), shape=(2, 1), amount=7)
    return RunSpec(kind="sampler", pubs=(pub, pub), options=options)


def an_attempt(shard=0, **changes):
    made = {"shard": shard, "member": "m", "number": 1, "circuits": 2, "shots": 7}
    piece = Piece(0, 0, 2, 0, 7)
    return Attempt(**{**made, "pieces": (piece,), "price_usd": 0.5, **changes})


def two_outcomes():
    return [Outcome(shots=7, num_bits=1, memory=np.ones((7, 1), np.uint8))] * 2


def test_a_run_comes_back(tmp_path):
    """What a run is to do, what was sent and what came is read as it was written."""
    journal = Journal(tmp_path / "j")
    run_log = journal.begin("run", a_spec(seed=3), 28)
    attempts = [an_attempt(), an_attempt(1), an_attempt(2)]
    for attempt in attempts:
        run_log.record_intent(attempt, 11)
    attempts[0].job_id, attempts[0].accepted_seconds = "job-0", 1.5
    run_log.record_acceptance(attempts[0])
    attempts[0].price_usd, attempts[0].free_units = 0.4, 0.125  # It ran fewer shots than asked.
    run_log.record_outcomes(attempts[0], two_outcomes(), 2.5)
    attempts[1].outcome, attempts[1].failure = "failed", "with token=abc123"
    run_log.record_end(attempts[1])

    spec, found = journal.spec("run"), list(Journal(tmp_path / "j").entries("run"))

    (pub, again), original = spec.pubs, a_spec().pubs[0]
    assert (spec.kind, spec.options) == ("sampler", {"seed": 3})
    assert pub.circuit is again.circuit
    assert pub.circuit.num_parameters == 1
    assert repr(pub.circuit.metadata) == repr(original.circuit.metadata)
    assert (pub.rows.tolist(), pub.shape, pub.amount) == ([[0.5], [1.0]], (2, 1), 7)
    assert [entry.state for entry in found] == ["arrived", "failed", "intended"]
    assert found[0].attempt.pieces == attempts[0].pieces
    assert found[0].attempt.job_id == "job-0"
    assert found[0].attempt.finished_seconds == 2.5
    assert (found[0].attempt.price_usd, found[0].attempt.free_units) == (0.4, 0.125)
    assert len(found[0].outcomes) == 2
    assert found[1].outcomes is None
    assert "abc123" not in found[1].attempt.failure


def test_runs_are_listed_with_state_age_and_spend(tmp_path):
    """A run says since when it is there, how far it is and what it has cost."""
    now = [1000.0]
    journal = Journal(tmp_path / "j", clock=lambda: now[0])
    run_log = journal.begin("one", a_spec(), 28)
    run_log.record_intent(an_attempt(), None)
    run_log.record_outcomes(an_attempt(), two_outcomes(), 1.0)
    now[0] = 1060.0
    journal.begin("two", a_spec(), 28).close("failed")

    one, two = journal.runs()

    assert (one.job_id, one.state, one.created, one.age_seconds) == ("one", "running", 1000.0, 60.0)
    assert (one.kind, one.spent_usd, one.shots, one.shots_done) == ("sampler", 0.5, 28, 14)
    assert (one.held, two.held, two.state, two.spent_usd) == (True, False, "failed", 0.0)


def test_a_forgotten_run_leaves_nothing(tmp_path):
    """Forgetting deletes all of a run, circuits that no other run has included, and no more."""
    journal = Journal(tmp_path / "j")
    for name in ("one", "two"):
        run_log = journal.begin(name, a_spec(), 28)
        run_log.record_intent(an_attempt(), None)
        run_log.record_outcomes(an_attempt(), two_outcomes(), 1.0)
        run_log.close("done")
    journal.forget("one")
    assert [run.job_id for run in journal.runs()] == ["two"]
    assert len(list(journal.entries("two"))) == 1
    journal.forget("two")
    with sqlite3.connect(journal.path) as connection:
        for table in ("runs", "pubs", "circuits", "attempts", "outcomes"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608
    connection.close()
    with pytest.raises(JournalError, match="no run 'two'"):
        journal.forget("two")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_only_the_owner_can_read_it(tmp_path):
    """The file and its companions have mode 0600, also where one was there with a wider mode."""
    path = tmp_path / "j"
    path.touch(0o644)
    journal = Journal(path)
    journal.begin("run", a_spec(), 28)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"j": 0o600, "j-wal": 0o600, "j-shm": 0o600}


def test_addresses(tmp_path, monkeypatch):
    """A path and sqlite:///path name the same file; nothing else is taken for a journal."""
    monkeypatch.chdir(tmp_path)
    assert Journal("sqlite:///j").path.resolve() == Journal("j").path.resolve()
    assert Journal(f"sqlite:///{tmp_path}/j").path == tmp_path / "j"
    for wrong in ("postgresql://host/db", "sqlite://host/x", ":memory:", "sqlite:///", ""):
        with pytest.raises(JournalError, match="journal"):
            Journal(wrong)
    with pytest.raises(JournalError, match="cannot be used"):
        Journal(tmp_path / "nowhere" / "j")
    with pytest.raises(ValueError, match="survives"):
        Journal("j", survives="anything")


def test_power_loss_is_survived_where_that_is_asked(tmp_path):
    """Each commit waits for the disk, or only for the operating system."""
    levels = {}
    for survives in ("kill", "power loss"):
        journal = Journal(tmp_path / survives, survives=survives)
        ((levels[survives],),) = journal._database.query("PRAGMA synchronous")
    assert levels == {"kill": 1, "power loss": 2}


# -- versions, and files that are none ---------------------------------------------------------------


def test_a_file_of_an_older_version_is_brought_up_to_date(tmp_path):
    """The scripts that a file has not had are run when it is opened, in order, once."""
    first = "CREATE TABLE things (name TEXT)"
    second = "ALTER TABLE things ADD COLUMN size INTEGER;\nUPDATE things SET size = 3"
    old = SqliteFile(tmp_path / "d", application=7, migrations=[first])
    old.execute("INSERT INTO things VALUES ('a')")
    old.close()
    for _ in range(2):
        new = SqliteFile(tmp_path / "d", application=7, migrations=[first, second])
        assert new.query("SELECT name, size FROM things") == [("a", 3)]
    with pytest.raises(JournalError, match="later qiskit-gateway"):
        SqliteFile(tmp_path / "d", application=7, migrations=[first])


def test_a_migration_that_fails_changes_nothing(tmp_path):
    """A file is of one version or the other, never between."""
    first = "CREATE TABLE things (name TEXT)"
    SqliteFile(tmp_path / "d", application=7, migrations=[first]).close()
    with pytest.raises(JournalError):
        SqliteFile(
            tmp_path / "d", application=7, migrations=[first, "DROP TABLE things;\nSELECT wrong"]
        )
    still = SqliteFile(tmp_path / "d", application=7, migrations=[first])
    assert still.query("SELECT * FROM things") == []


def test_foreign_and_damaged_files_are_told(tmp_path):
    """What is no journal is left as it is, and the error says so."""
    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    text = tmp_path / "text"
    text.write_text("not a database at all, but long enough to be taken for one" * 99)
    for file in (foreign, text):
        before = file.read_bytes()
        with pytest.raises(JournalError, match=str(file)):
            Journal(file)
        assert file.read_bytes() == before


def test_a_file_that_would_do_something_by_itself_is_refused(tmp_path):
    """A journal has tables and indices; triggers and views run what somebody wrote into them."""
    Journal(tmp_path / "j").close()
    with sqlite3.connect(tmp_path / "j") as connection:
        connection.execute(
            "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
        )
    connection.close()
    with pytest.raises(JournalError, match="triggers"):
        Journal(tmp_path / "j")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE circuits SET qpy = zeroblob(99)", "not what was written"),
        ("UPDATE pubs SET rows = x'00'", "arrays"),
        ('UPDATE pubs SET metadata = \'{"pickle": "x"}\'', "kind of data"),
        ("UPDATE runs SET options = 'x'", "read"),
        ('UPDATE runs SET options = \'{"dict": [["nonsense", 1]]}\'', "nonsense"),
        ("UPDATE attempts SET pieces = '[[0, 0, 9, 0, 1]]'", "does not have"),
        ("UPDATE attempts SET pieces = 'x'", "read"),
        ("UPDATE outcomes SET content = x'80049500'", "read"),
    ],
)
def test_a_damaged_run_is_told_and_let_go_of(tmp_path, change, says):
    """A run that does not read as it was written is an error, and nobody holds it afterwards."""
    sampler = RouterSampler(BasicSimulator(), journal=tmp_path / "j")
    job = sampler.run([bell()], shots=9)
    job.result()
    with sqlite3.connect(tmp_path / "j") as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(JournalError, match=says):
        sampler.resume(job.job_id())
    assert not Journal(tmp_path / "j").runs()[0].held


TAMPERED = [
    (table, column)
    for table, columns in {
        "runs": "kind state created shots options version",
        "circuits": "qpy hash",
        "pubs": "position circuit metadata shape rows amount observables",
        "attempts": "shard number member pieces circuits shots price_usd state submitted accepted",
        "outcomes": "content",
        "speeds": "member seen jobs least_seconds doubt sums",
    }.items()
    for column in columns.split()
]
VALUES = ["NULL", "'x'", "x'00'", "-1", "4611686018427387904", "1e300", "'[[1]]'", "''"]


@pytest.mark.parametrize(("table", "column"), TAMPERED)
def test_whatever_stands_in_a_column_is_read_or_told(tmp_path, table, column):
    """Values of any kind in any column end in a result or in an error of ours, and nothing else."""
    sampler = RouterSampler(BasicSimulator(), journal=tmp_path / "j")
    job = sampler.run([bell()], shots=9)
    job.result()
    whole = tmp_path / "whole.sql"
    with sqlite3.connect(tmp_path / "j") as connection, sqlite3.connect(whole) as copy:
        connection.backup(copy)
    connection.close()
    copy.close()
    for value in VALUES:
        path = tmp_path / "tampered"
        path.write_bytes(whole.read_bytes())
        with sqlite3.connect(path) as connection, contextlib.suppress(sqlite3.IntegrityError):
            connection.execute(f"UPDATE {table} SET {column} = {value}")  # noqa: S608
        connection.close()
        journal = Journal(path)
        with contextlib.suppress(GatewayError):
            journal.runs()
        with contextlib.suppress(GatewayError):
            resumed = RouterSampler(BasicSimulator(), journal=journal).resume(job.job_id())
            assert resumed.result(timeout=60)[0].data.meas.num_shots == 9
        with contextlib.suppress(JournalError):
            journal.forget(job.job_id())
        journal.close()


@pytest.mark.parametrize("beat", ["'x'", "x'00'", "1e300"])
@pytest.mark.parametrize("process", ["'x'", "-1", "4611686018427387904"])
def test_a_lease_that_cannot_be_read_is_told(tmp_path, beat, process):
    """Whoever is said to work on a run, asking after it harms nobody and raises errors of ours."""
    journal = Journal(tmp_path / "j")
    journal.begin("run", a_spec(), 28)
    journal._database.execute(f"UPDATE runs SET beat = {beat}, process = {process}")  # noqa: S608
    for ask in (
        journal.runs,
        lambda: journal.take("run", "sampler"),
        lambda: journal.forget("run"),
    ):
        with contextlib.suppress(JournalError):
            ask()


def test_an_id_is_no_sql(tmp_path):
    """What stands in an id is an id, and touches no other run."""
    journal = Journal(tmp_path / "j")
    journal.begin("run", a_spec(), 28).close("done")
    for wrong in ("x' OR '1'='1", "'; DELETE FROM runs; --", "%", "*", ["run"], None):
        with pytest.raises(JournalError):
            journal.forget(wrong)
        with pytest.raises(JournalError):
            journal.take(wrong, "sampler")
    assert [run.job_id for run in journal.runs()] == ["run"]


def test_a_circuit_holds_no_objects(tmp_path):
    """An array in a circuit that would be unpickled is refused, and runs nothing."""
    flag = tmp_path / "flag"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(flag),))

    circuit = QuantumCircuit(6)
    circuit.unitary(np.eye(64), range(6))
    content = write_circuit(circuit)
    start = content.index(b"\x93NUMPY")
    data = content.index(b"\n", start) + 1
    head = content[start:data].replace(b"'<c16'", b"'|O'  ")
    evil = pickle.dumps(np.array([[Evil()] * 64] * 64, dtype=object))
    forged = content[:start] + head + evil + content[data + len(evil) :]
    assert len(forged) == len(content)
    assert head != content[start:data]
    with pytest.raises(ValueError, match="cannot be read"):
        read_circuit(forged)
    assert not flag.exists()


def test_no_pickle_is_ever_read(tmp_path):
    """A blob that runs code when it is unpickled does nothing."""
    flag = tmp_path / "flag"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(flag),))

    evil = pickle.dumps(Evil())
    array = json.dumps({"array": base64.b64encode(evil).decode()})
    for read in (unpack, unpack_outcomes, read_circuit):
        with pytest.raises(ValueError, match=r"read|cut off|QPY"):
            read(evil)
    with pytest.raises(ValueError, match="read"):
        read_plain(array)
    with pytest.raises(ValueError, match="type of number"):
        unpack(struct.pack("<I", 18) + b'[["", "|O", [1]]]  ' + bytes(8))
    assert not flag.exists()


# -- what must not be, or cannot be, written ----------------------------------------------------------


@pytest.mark.parametrize(
    "run_options",
    [{"api_token": "x"}, {"headers": "Bearer abcdef123456"}, {"noise_model": object()}],
)
def test_secrets_and_objects_are_refused_before_anything_is_sent(tmp_path, run_options):
    """Options that are secret, or no plain data, stop a run that is to be written down."""
    options = {"run_options": run_options}
    with pytest.raises(JournalError, match="options"):
        RouterSampler(BasicSimulator(), options=options, journal=tmp_path / "j").run([bell()])
    assert Journal(tmp_path / "j").runs() == ()


class UnreadableMetadata:
    def __repr__(self):
        raise RuntimeError("half an object")


def metadata_of_itself():
    metadata = {}
    metadata["me"] = metadata
    return metadata


@pytest.mark.parametrize(
    "metadata",
    [{"an": object()}, {"a": {1, 2}}, {"an": UnreadableMetadata()}, metadata_of_itself()],
    ids=["object", "set", "unreadable", "endless"],
)
def test_circuits_that_qpy_cannot_hold_are_refused(tmp_path, metadata):
    """A circuit that could not be read again stops the run, naming the pub."""
    strange = bell()
    strange.metadata = metadata
    with pytest.raises(JournalError, match=r"pub 1 .* nothing was sent"):
        RouterSampler(BasicSimulator(), journal=tmp_path / "j").run([bell(), strange])


def test_a_run_is_resumed_by_its_own_kind(tmp_path):
    """A sampler's run is not taken for an estimator's, and needs a journal at all."""
    job = RouterSampler(BasicSimulator(), journal=tmp_path / "j").run([bell()], shots=5)
    job.result()
    with pytest.raises(JournalError, match="of a sampler"):
        RouterEstimator(BasicSimulator(), journal=tmp_path / "j").resume(job.job_id())
    with pytest.raises(JournalError, match="no journal"):
        RouterSampler(BasicSimulator()).resume(job.job_id())
    with pytest.raises(GatewayError, match="no run 'x'"):
        RouterSampler(BasicSimulator(), journal=tmp_path / "j").resume("x")


# -- several at once ------------------------------------------------------------------------------------


def test_two_journals_over_one_file(tmp_path):
    """Threads with their own objects write at once, and nothing is lost."""
    size, errors = 40, []

    def work(name):
        try:
            journal = Journal(tmp_path / "j")
            run_log = journal.begin(name, a_spec(), size * 14)
            for shard in range(size):
                attempt = an_attempt(shard)
                run_log.record_intent(attempt, shard)
                run_log.record_acceptance(attempt)
                run_log.record_outcomes(attempt, two_outcomes(), 1.0)
            run_log.close("done")
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [Thread(target=work, args=(f"run-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    runs = Journal(tmp_path / "j").runs()
    assert [run.shots_done for run in runs] == [size * 14] * 4
    assert {run.state for run in runs} == {"done"}


def test_what_one_of_two_journals_writes_is_there_after_another_process_was(tmp_path):
    """Opening a file twice undoes no lock: no other process takes away what is being written to."""
    path, look = tmp_path / "j", "from qiskit_gateway import Journal; Journal({!r}).close()"
    first, second = Journal(path), Journal(path)
    first.begin("one", a_spec(), 28)
    subprocess.run([sys.executable, "-c", look.format(str(path))], check=True)  # noqa: S603
    first.begin("two", a_spec(), 28)
    second.close()
    assert [run.job_id for run in Journal(path).runs()] == ["one", "two"]
    seen = "from qiskit_gateway import Journal; print(len(Journal({!r}).runs()))"
    command = [sys.executable, "-c", seen.format(str(path))]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"2\n"  # noqa: S603


@pytest.mark.skipif(os.name != "posix", reason="other systems have neither")
def test_what_is_no_file_is_told(tmp_path):
    """A pipe, a folder and a link to nowhere are no journals, and nothing waits for them."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "link", "."):
        with pytest.raises(JournalError, match=r"not a regular file|cannot be used"):
            Journal(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


ELSEWHERE = "UPDATE runs SET place = 'elsewhere', host = 'far', process = 1"


def refuses(journal, who):
    """Assert that nobody else may work on a run, nor delete it."""
    for act in (lambda: journal.take("run", "sampler"), lambda: journal.forget("run")):
        with pytest.raises(JournalError, match=f"goes on in process {who}"):
            act()


@pytest.mark.parametrize("step", [-1e9, -125.0, 0.0, 125.0, 1e9])
def test_no_step_of_the_clock_takes_a_run_from_a_process_that_lives(tmp_path, step):
    """On one machine the system knows who lives, and nobody waits to find that out."""
    now = [1000.0]
    journal = Journal(tmp_path / "j", clock=lambda: now[0], wait=pytest.fail)
    other = Journal(tmp_path / "j", clock=lambda: now[0], wait=pytest.fail)
    run_log = journal.begin("run", a_spec(), 28)
    now[0] += step
    refuses(other, os.getpid())
    assert other.runs()[0].held
    run_log.close("failed")
    assert not other.runs()[0].held
    other.take("run", "sampler")


def test_a_run_that_was_let_go_of_without_saying_so_is_free_in_this_process(tmp_path):
    """A run is over also where its journal could not be told; whoever goes on with it holds it."""
    journal = Journal(tmp_path / "j", wait=pytest.fail)
    first = journal.begin("run", a_spec(), 28)
    first.abandon()
    second = journal.take("run", "sampler")
    with pytest.raises(JournalError, match="another process has taken it"):
        first.record_intent(an_attempt(), None)
    with pytest.raises(JournalError, match="another process has taken it"):
        first.beat()
    first.close("done")
    assert (journal.runs()[0].state, journal.runs()[0].held) == ("running", True)
    second.record_intent(an_attempt(), None)
    second.close("running")
    journal.take("run", "sampler")


@pytest.mark.parametrize("step", [-1e9, 0.0, 1e9])
def test_a_run_of_another_machine_is_taken_only_if_nothing_is_heard_of_it(tmp_path, step):
    """One beat during the watch is enough to keep a run, whatever the clocks say; silence is not."""
    now, waits = [1000.0], []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == beats_at:
            first.beat()

    first = Journal(tmp_path / "j", clock=lambda: now[0]).begin("run", a_spec(), 28)
    journal = Journal(tmp_path / "j", clock=lambda: now[0] + step, wait=wait)
    journal._database.execute(ELSEWHERE)
    for beats_at in (1, 3):
        waits.clear()
        with pytest.raises(JournalError, match="goes on in process 1 on far"):
            journal.take("run", "sampler")
        assert len(waits) == beats_at
    assert journal.runs()[0].held
    waits.clear()
    beats_at = 0
    second = journal.take("run", "sampler")
    assert sum(waits) == 60.0
    with pytest.raises(JournalError, match="another process has taken it"):
        first.beat()
    refuses(journal, os.getpid())
    second.close("done")


def test_two_that_wait_for_a_run_of_another_machine_do_not_both_get_it(tmp_path):
    """Whoever comes second sees that somebody else has taken it."""
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            Journal(tmp_path / "j", wait=lambda _: None).take("run", "sampler")

    journal = Journal(tmp_path / "j", wait=wait)
    journal.begin("run", a_spec(), 28)
    journal._database.execute(ELSEWHERE)
    with pytest.raises(JournalError, match=f"goes on in process {os.getpid()}"):
        journal.take("run", "sampler")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell")
def test_the_number_of_a_process_is_not_the_process(tmp_path):
    """A process that was given the number of one that is dead works on nothing."""
    journal = Journal(tmp_path / "j", wait=pytest.fail)
    journal.begin("run", a_spec(), 28)
    journal._database.execute(f"UPDATE runs SET process = {os.getppid()}, started = '1'")  # noqa: S608
    assert not journal.runs()[0].held
    journal.take("run", "sampler")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell")
def test_a_process_that_nobody_has_asked_after_is_dead(tmp_path):
    """One that was killed and is still listed, as a child is, works on nothing."""
    code = "import os, sys; print(open('/proc/self/stat').read(), flush=True); sys.stdin.read()"
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        started = child.stdout.readline().rpartition(b")")[2].split()[19].decode()
        journal = Journal(tmp_path / "j", wait=pytest.fail)
        journal.begin("run", a_spec(), 28)
        change = f"UPDATE runs SET process = {child.pid}, started = '{started}'"  # noqa: S608
        journal._database.execute(change)
        assert journal.runs()[0].held
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not journal.runs()[0].held


def test_a_run_that_an_earlier_version_holds_is_watched(tmp_path):
    """It wrote down neither place nor start: where its process lives, its beats tell."""
    beats = iter([1.0])

    def wait(_):
        for beat in beats:
            journal._database.execute(f"UPDATE runs SET beat = {beat}")  # noqa: S608

    journal = Journal(tmp_path / "j", wait=wait)
    journal.begin("run", a_spec(), 28)
    journal._database.execute("UPDATE runs SET place = NULL, started = NULL")
    refused = pytest.raises(JournalError, match="goes on")
    with refused:
        journal.take("run", "sampler")
    journal.take("run", "sampler").close("done")


def test_the_run_of_a_dead_process_is_free_at_once(tmp_path):
    """A process that is gone from this machine holds nothing, however fresh its last sign."""
    code = (
        "import sys; from qiskit_gateway.journal.journal import *; from qiskit_gateway.journal.run_spec import *; "
        "Journal(sys.argv[1]).begin('run', RunSpec(kind='sampler', pubs=(), options={}), 0)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "j"], check=True)  # noqa: S603
    journal = Journal(tmp_path / "j")
    assert not journal.runs()[0].held
    journal.take("run", "sampler")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_its_own_connection(tmp_path):
    """A journal that was open before a fork can be used after it by both."""
    journal = Journal(tmp_path / "j")
    code = (
        "import os, sys; from qiskit_gateway.journal.journal import *; from qiskit_gateway.journal.run_spec import *\n"
        "journal = Journal(sys.argv[1])\n"
        "spec = RunSpec(kind='sampler', pubs=(), options={})\n"
        "child = os.fork()\n"
        "journal.begin(f'run-{bool(child)}', spec, 0).close('done')\n"
        "sys.exit(os.waitpid(child, 0)[1] if child else 0)"
    )
    subprocess.run([sys.executable, "-c", code, journal.path], check=True)  # noqa: S603
    assert {run.job_id for run in journal.runs()} == {"run-True", "run-False"}


def test_much_is_brought_into_its_place(tmp_path):
    """Some megabytes are moved into the file when it is tidied, and little is not."""
    journal = Journal(tmp_path / "j")
    run_log = journal.begin("run", a_spec(), 28)
    empty = journal.path.stat().st_size
    for shard, tidied in enumerate((False, True)):
        attempt = an_attempt(shard)
        run_log.record_intent(attempt, None)
        rows = np.zeros((1 << 20, 1), np.uint8)
        run_log.record_outcomes(attempt, [Outcome(shots=1 << 20, num_bits=1, memory=rows)] * 2, 1.0)
        journal._database.tidy()
        grown = journal.path.stat().st_size - empty
        assert grown > (2 << 20) if tidied else grown == 0
