"""The durable record of runs: the work, the jobs that were sent, and what came back.

The intent is written before a job is submitted, the provider's id right after, and the outcome when
it arrives. Whatever happens to the process, another one can tell what is done, what can be fetched,
and which submissions have an unknown fate.
"""

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from qiskit_gateway.arguments import check_choice
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.accounts import Spending, list_spending, report_of
from qiskit_gateway.journal.claims import Claims
from qiskit_gateway.journal.lease import HOLD, LEASE, Lease, lease_here
from qiskit_gateway.journal.records import RunList, RunRecord, Standing
from qiskit_gateway.journal.run_log import (
    BEAT_SECONDS,
    Entry,
    KeptRunLog,
    LoggedAttempt,
    read_attempts,
    read_entries,
)
from qiskit_gateway.journal.run_spec import RunSpec, read_pubs, write_options, write_pubs
from qiskit_gateway.journal.speeds import read_speeds
from qiskit_gateway.journal.storage.codec import read_plain
from qiskit_gateway.journal.storage.database import Database, Statements, reading
from qiskit_gateway.journal.storage.schema import APPLICATION, MIGRATIONS
from qiskit_gateway.journal.storage.sqlite_file import SqliteFile, Survives
from qiskit_gateway.journal.storage.write_queue import WriteQueue
from qiskit_gateway.policies.budget import Ledger
from qiskit_gateway.reporting.report import Report, join_reports
from qiskit_gateway.work.record.run_log import SILENT_BEATS
from qiskit_gateway.work.record.run_status import RunStatus
from qiskit_gateway.work.speed_evidence import SpeedEvidence

# How often a process elsewhere is looked at, until it has beaten or is taken for dead.
_LOOK_SECONDS = 5.0
_LOOKS = round(SILENT_BEATS * BEAT_SECONDS / _LOOK_SECONDS)


class Journal:
    """A durable record of runs: one SQLite file that only its owner can read, or a database.

    Several processes and threads may use one journal, those of several hosts one that is in a
    PostgreSQL database. A run is worked on by one process at a time. What is limited of members
    and of money holds for all that use it.

    With ``survives="kill"`` everything written survives the death of the process. A loss of power
    or a crash of the operating system may undo about the last second; jobs that were submitted in
    it would then be submitted again. ``"power loss"`` rules that out: it waits for the disk before
    each submission, for some milliseconds. A PostgreSQL server always does.

    Args:
        path_or_url: A path, or ``sqlite:///path``; the file is made where it is missing. Or
            ``postgresql://user@host/database`` (extra: ``postgres``); tables are made there, in a
            schema of their own.
        survives: What the record survives, ``"kill"`` or ``"power loss"``.
        clock: Tells the time, in seconds since 1970.
        uptime: Tells the time by a clock that nobody sets, in seconds since any moment that is the
            same for all processes; a PostgreSQL server has its own.
        wait: Waits for a number of seconds, to see whether a process on another machine works on a run.

    Raises:
        JournalError: If the file is not a journal, it or the database cannot be used, or the
            address is of another kind.
    """

    def __init__(
        self,
        path_or_url: str | os.PathLike[str],
        *,
        survives: Survives = "kill",
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock = clock
        self._survives = survives
        self._wait = wait
        self._given = os.fspath(path_or_url)
        self._uptime = uptime
        self._database = _open(self._given, survives, uptime)
        self._queue = WriteQueue(self._database)

    def __repr__(self) -> str:
        return f"Journal({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles open the same journal anew."""
        place = self._given if _is_server(self._given) else self.path.absolute()
        kind = partial(Journal, survives=self._survives, clock=self._clock, uptime=self._uptime)
        return kind, (place,)

    @property
    def name(self) -> str:
        """Path of the file, or address of the database, without its password."""
        return self._database.name

    @property
    def path(self) -> Path:
        """Path of the file.

        Raises:
            JournalError: If it is in a PostgreSQL database.
        """
        if isinstance(self._database, SqliteFile):
            return self._database.path
        raise JournalError(f"{self.name} is not a file, and has no path")

    @property
    def now(self) -> float:
        """Seconds since 1970, by the journal's clock."""
        return self._clock()

    def close(self) -> None:
        """Close the file. Runs in progress cannot be recorded any more, and fail."""
        self._database.close()

    def runs(self, *, most: int | None = None) -> RunList:
        """Return the runs, the oldest first.

        Args:
            most: How many at most, the latest, and those that are not over; all by default.
        """
        if most is None:
            return self._records()
        return self._records(
            "WHERE state = 'running' OR job_id IN "
            "(SELECT job_id FROM runs ORDER BY created DESC, job_id DESC LIMIT ?)",
            (most,),
        )

    def find_run(self, job_id: str) -> RunRecord | None:
        """Return a run by its whole id; ``None`` if there is none."""
        return next(iter(self._records("WHERE job_id = ?", (job_id,))), None)

    @property
    def num_runs(self) -> int:
        """The number of runs."""
        ((number_of_runs,),) = self._database.query("SELECT count(*) FROM runs")
        return int(number_of_runs)

    def changes(self) -> tuple[int, ...]:
        """Count changes: another answer than before says that something may have changed since.

        For observers: it takes no time, however long the journal is.
        """
        return self._database.changes()

    def _records(self, where: str = "", values: Sequence[Any] = ()) -> RunList:
        found = self._database.query(
            f"""
            SELECT job_id, state, created, shots,
                (SELECT coalesce(sum(price_usd), 0.0) FROM attempts WHERE attempts.job_id = runs.job_id),
                (SELECT coalesce(sum(delivered), 0) FROM attempts WHERE attempts.job_id = runs.job_id),
                group_id, only_member, {LEASE}
            FROM runs {where} ORDER BY created, job_id
            """,  # noqa: S608  Constants.
            values,
        )
        now = self.now
        with reading(f"the runs of {self.name}"):
            return RunList(
                RunRecord(
                    job_id=job_id,
                    kind=Lease.of(lease).kind,
                    state=RunStatus(state),
                    created=created,
                    age_seconds=now - created,
                    spent_usd=spent,
                    shots=shots,
                    shots_done=int(delivered),
                    held=Lease.of(lease).lives is not False,
                    group_id=group,
                    member=member,
                )
                for job_id, state, created, shots, spent, delivered, group, member, *lease in found
            )

    def report(self, job_id: str) -> Report:
        """List every attempt of a run or of a group, also of one in progress in another process.

        Raises:
            JournalError: If there is no such run, or it cannot be read.
        """
        run = self.find_run(job_id)
        if run is not None:
            return self._report(run)
        group = self._records("WHERE group_id = ?", (job_id,))
        if not group:
            raise _unknown(job_id)
        return join_reports(job_id, map(self._report, group))

    def _report(self, run: RunRecord) -> Report:
        found = report_of(self._database, run.job_id, held=run.held, age_seconds=run.age_seconds)
        if run.member is None:
            return found
        return replace(found, notes=tuple(f"{run.member}: {note}" for note in found.notes))

    def spending(self) -> tuple[Spending, ...]:
        """List what was paid or used, attempt by attempt, the oldest first.

        Raises:
            JournalError: If it cannot be read.
        """
        return list_spending(self._database)

    def ledger(self) -> Ledger:
        """Read what all runs have spent and set aside, as a budget counts it.

        Raises:
            JournalError: If it cannot be read.
        """
        return Claims(self._database).ledger()

    def free_units(self, besides: Collection[str]) -> list[tuple[str, float, float]]:
        """List the jobs that used members' allowances.

        Args:
            besides: Runs to leave out.

        Returns:
            For each job: its member, the time of submission in seconds since 1970, its units.
        """
        found = self._database.query(
            "SELECT job_id, member, created + submitted, free_units "
            "FROM attempts JOIN runs USING (job_id) WHERE free_units > 0"
        )
        return [
            (str(member), when, units)
            for job_id, member, when, units in found
            if job_id not in besides
        ]

    def speeds(self) -> dict[str, SpeedEvidence]:
        """Read what the jobs of each member taught of its speed; what is a week old counts half.

        Raises:
            JournalError: If it cannot be read.
        """
        return read_speeds(self._database, self.now)

    def forget(self, job_id: str) -> None:
        """Delete a run. Jobs that providers still have run on; what it has cost stays counted.

        Raises:
            JournalError: If there is no such run, or a process works on it.
        """

        def delete(connection: Statements, _: Lease) -> None:
            Claims(self._database).end_run(job_id)
            connection.execute("DELETE FROM runs WHERE job_id = ?", (job_id,))
            connection.execute("DELETE FROM circuits WHERE hash NOT IN (SELECT circuit FROM pubs)")

        self._when_free(job_id, delete)

    # -- a run begins, or continues ----------------------------------------------------------------

    def begin(self, job_id: str, spec: RunSpec, shots: int, *, party: str = "") -> "KeptRunLog":
        """Record a new run, and hold it.

        Args:
            job_id: Its name.
            spec: The work.
            shots: Shots to deliver, summed over circuits.
            party: Whose its jobs in flight are; by default the run's own.

        Raises:
            JournalError: If the spec holds a secret or something that cannot be written.
        """
        (run_log,) = self._begin({job_id: None}, None, spec, shots, party)
        return run_log

    def begin_group(
        self,
        group_id: str,
        members: Mapping[str, str],
        spec: RunSpec,
        shots: int,
        *,
        party: str = "",
    ) -> tuple["KeptRunLog", ...]:
        """Record the runs of a group, all or none of them, and hold them.

        Args:
            group_id: Its name.
            members: By the names of the runs, the one member that each may use.
            spec: The work of each.
            shots: Shots to deliver in each, summed over circuits.
            party: As for :meth:`begin`.

        Raises:
            JournalError: As for :meth:`begin`.
        """
        return self._begin(members, group_id, spec, shots, party)

    def _begin(
        self,
        members: Mapping[str, str | None],
        group_id: str | None,
        spec: RunSpec,
        shots: int,
        party: str,
    ) -> tuple["KeptRunLog", ...]:
        options = write_options(spec.options)
        circuits, pubs = write_pubs(spec.pubs)
        run_logs = tuple(self._run_log(job_id, party) for job_id in members)
        self._database.renew()
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO circuits VALUES (?, ?) ON CONFLICT DO NOTHING", [*circuits.items()]
            )
            for run_log, (job_id, member) in zip(run_logs, members.items(), strict=True):
                connection.execute(
                    "INSERT INTO runs (job_id, kind, state, created, shots, options, version, "
                    "group_id, only_member, holder, process, host, beat, place, started) VALUES "
                    "(:job_id, :kind, 'running', :beat, :shots, :options, :version, "
                    ":group_id, :only_member, :holder, :process, :host, :beat, :place, :started)",
                    {
                        **lease_here(run_log.token, job_id, self.now),
                        "kind": spec.kind,
                        "shots": shots,
                        "options": options,
                        "version": _version(),
                        "group_id": group_id,
                        "only_member": member,
                    },
                )
                connection.executemany(
                    "INSERT INTO pubs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(job_id, *pub) for pub in pubs],
                )
        size = sum(len(pub[4]) for pub in pubs) * len(run_logs)
        self._database.count_written(sum(map(len, circuits.values())) + size)
        return run_logs

    def take(self, job_id: str, kind: str, *, party: str = "") -> "KeptRunLog":
        """Hold a run that was begun before, so that no other process continues it.

        Blocks for a minute where a process on another machine may work on it: it is left alone if
        they are heard of meanwhile.

        Args:
            job_id: Its name.
            kind: Of what kind it must be.
            party: Whose its jobs in flight are from now on; by default the run's own.

        Raises:
            JournalError: If there is no such run, it is of another kind, or a process works on it.
        """
        run_log = self._run_log(job_id, party)
        self._database.renew()

        def hold(connection: Statements, lease: Lease) -> None:
            if lease.kind != kind:
                raise JournalError(f"run {job_id} is of {_a(lease.kind)}: resume it with one")
            connection.execute(HOLD, lease_here(run_log.token, job_id, self.now))
            Claims(self._database).move(job_id, run_log.party)

        self._when_free(job_id, hold)
        return run_log

    def _run_log(self, job_id: str, party: str) -> KeptRunLog:
        token = uuid.uuid4().hex
        return KeptRunLog(
            self._database, self._queue, job_id, token, party=party, clock=self._clock
        )

    def _when_free(self, job_id: str, act: Callable[[Statements, Lease], None]) -> None:
        """Do something to a run that nobody works on.

        It is looked at in a transaction that may write: while somebody holds the file locked,
        the process that works on the run cannot be heard of, and no time goes by.

        Raises:
            JournalError: If there is no such run, or somebody works on it.
        """
        first: Lease | None = None
        for look in range(_LOOKS + 1):
            if look:
                self._wait(_LOOK_SECONDS)
            with self._database.transaction() as connection:
                lease, lives = _lease(connection, job_id)
                first = first or lease
                if lives or lease.heard != first.heard:
                    raise JournalError(
                        f"run {job_id} goes on in {lease.who}: cancel it there, or wait until that "
                        "process has ended"
                    )
                if lives is False or look == _LOOKS:
                    act(connection, lease)
                    return

    # -- looking on, from any process -------------------------------------------------------------

    def attempts(self, *, most: int = -1) -> tuple[LoggedAttempt, ...]:
        """List the attempts of all runs as they were written down, in the order in which they began.

        Args:
            most: How many at most, the latest; all by default.

        Raises:
            JournalError: If they cannot be read.
        """
        return tuple(read_attempts(self._database, most=most))

    def standing(self, kind: str, job_id: str | None = None) -> tuple[Standing, ...]:
        """List what runs have last recorded of the state of things, the oldest first.

        Args:
            kind: ``"plan"``, ``"health"`` or ``"queue"``.
            job_id: Of which run; by default what is the latest of each member, of any run.

        Raises:
            JournalError: If it cannot be read.
        """
        sql = (
            "SELECT job_id, member, since, facts FROM ("
            "SELECT job_id, member, created + seconds AS since, facts, row_number() "
            "OVER (PARTITION BY member ORDER BY created + seconds DESC) AS place "
            "FROM standing JOIN runs USING (job_id) WHERE standing.kind = ? {}"
            ") AS latest WHERE place = 1 ORDER BY since"
        )
        of_run = "" if job_id is None else "AND job_id = ?"
        rows = self._database.query(
            sql.format(of_run), (kind,) if job_id is None else (kind, job_id)
        )
        with reading(self.name):
            return tuple(
                Standing(job_id=job, member=member, since=since, facts=json.loads(facts))
                for job, member, since, facts in rows
            )

    def ask_to_cancel(self, job_id: str) -> None:
        """Ask the process that works on a run to cancel it, which it does within some seconds.

        Raises:
            JournalError: If there is no such run, or nobody works on it.
        """
        with self._database.transaction() as connection:
            _, lives = _lease(connection, job_id)
            if lives is False:
                raise JournalError(
                    f"nobody works on run {job_id}: resume it first, to cancel what providers have"
                )
            connection.execute("UPDATE runs SET cancel_asked = 1 WHERE job_id = ?", (job_id,))

    # -- the contents of a run --------------------------------------------------------------------

    def age_seconds(self, job_id: str) -> float:
        """Seconds since a run began."""
        return self.now - float(self._column("created", job_id))

    def member_of(self, job_id: str) -> str | None:
        """Return the one member that a run may use; ``None`` for all."""
        member = self._column("only_member", job_id)
        return None if member is None else str(member)

    def _column(self, name: str, job_id: str) -> Any:
        ((value,),) = self._database.query(
            f"SELECT {name} FROM runs WHERE job_id = ?",  # noqa: S608  A constant.
            (job_id,),
        )
        return value

    def spec(self, job_id: str) -> RunSpec:
        """Read the work of a run.

        Raises:
            JournalError: If the record cannot be read.
        """
        ((kind, options),) = self._database.query(
            "SELECT kind, options FROM runs WHERE job_id = ?", (job_id,)
        )
        rows = self._database.query(
            "SELECT qpy, hash, metadata, shape, rows, amount, observables FROM pubs "
            "JOIN circuits ON circuit = hash WHERE job_id = ? ORDER BY position",
            (job_id,),
        )
        with reading(f"run {job_id} in {self.name}"):
            return RunSpec(kind=kind, pubs=read_pubs(rows), options=read_plain(options))

    def entries(self, job_id: str) -> Iterator[Entry]:
        """Iterate over the attempts of a run in the order in which they began.

        Raises:
            JournalError: If the record cannot be read.
        """
        return read_entries(self._database, job_id)


def _lease(connection: Statements, job_id: str) -> tuple[Lease, bool | None]:
    """Read which process works on a run, and whether it is alive."""
    asked = f"SELECT {LEASE} FROM runs WHERE job_id = ?"  # noqa: S608  Constants.
    row = connection.execute(asked, (job_id,)).fetchone()
    if row is None:
        raise _unknown(job_id)
    lease = Lease.of(row)
    with reading(f"who works on run {job_id}"):
        return lease, lease.lives


def _unknown(job_id: str) -> JournalError:
    return JournalError(f"there is no run {job_id!r}; runs() lists all runs")


def _is_server(given: str) -> bool:
    return given.startswith(("postgresql://", "postgres://"))


def _open(given: str, survives: Survives, uptime: Callable[[], float]) -> Database:
    if not _is_server(given):
        return SqliteFile(
            _path_of(given),
            application=APPLICATION,
            migrations=MIGRATIONS,
            survives=survives,
            uptime=uptime,
        )
    check_choice("survives", survives, get_args(Survives))
    from qiskit_gateway.journal.storage.postgres_server import PostgresServer  # noqa: PLC0415  An extra.

    return PostgresServer(given, application=APPLICATION, migrations=MIGRATIONS)


def _path_of(text: str) -> Path:
    scheme, mark, rest = text.partition("://")
    if mark and scheme != "sqlite":
        raise JournalError(
            "a journal is a file, sqlite:///path, or postgresql://host/database; there is no kind "
            f"{scheme!r} of it"
        )
    path = rest[1:] if mark else text
    if (mark and not rest.startswith("/")) or not path or re.fullmatch(r":\w*:", path):
        raise JournalError(f"a journal needs the path of a file, and {redact(text)!r} has none")
    return Path(path).expanduser()


def _a(kind: str) -> str:
    return f"an {kind}" if str(kind)[:1] in set("aeiou") else f"a {kind}"


@cache
def _version() -> str:
    return f"qiskit-gateway {version('qiskit-gateway')}, qiskit {version('qiskit')}"
