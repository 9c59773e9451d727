"""One SQLite file, written by several processes and threads.

A transaction that has been committed survives the end of the process, however it ends. Whether it
survives a loss of power is a choice, see :class:`SqliteFile`.
"""

import contextlib
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from qiskit_gateway.arguments import check_choice
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.processes import name_boot
from qiskit_gateway.journal.storage.database import UnwritableError, Values, make_too_late

Survives = Literal["kill", "power loss"]

_BUSY_SECONDS = 30.0
# Another process may be switching to the write-ahead log; SQLite's timeout does not cover that.
_OPENINGS = 100
_PAGES = 4
# The write-ahead log is copied into the file after this many bytes, outside the event loop.
_CHECKPOINT_BYTES = 4 << 20
_OURS_ONLY = 0o600
# Held while a file is created: no thread may open it before its creator has closed it, see `_make`.
_CREATING = threading.Lock()


class SqliteFile:
    """A SQLite file in WAL mode that only its owner may read.

    Args:
        path: Of the file, made where it is missing.
        application: The number that tells our files from other SQLite files.
        migrations: The scripts that make the tables, oldest first. A file remembers how many of
            them it has had; those that it lacks are run when it is opened.
        survives: What a committed transaction survives: ``"kill"``, the end of the process by any
            signal, without waiting for the disk; or ``"power loss"``, which waits for the disk at
            each commit. Neither damages the file.
        uptime: Tells the seconds since the machine began, the same in all processes.

    Attributes:
        path: Of the file.
        name: The path.

    Raises:
        JournalError: If the file cannot be opened, is not a journal, or is of a later version.
        ValueError: If ``survives`` has another value.
    """

    def __init__(
        self,
        path: Path,
        *,
        application: int,
        migrations: Sequence[str],
        survives: Survives = "kill",
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        check_choice("survives", survives, get_args(Survives))
        self.path = path
        self.name = str(path)
        self._application = application
        self._migrations = tuple(migrations)
        self._uptime = uptime
        self._log = path.with_name(f"{path.name}-wal")
        self._translate_errors = _Translation(path)
        self._level = "NORMAL" if survives == "kill" else "FULL"
        self._abandoned: list[sqlite3.Connection] = []
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._unsynced = 0
        self._log_id: int | None = None
        self._busy_seconds = _BUSY_SECONDS
        with self._translate_errors:
            _make(self.path)
            self._connection = self._connect()
            self._file_id = _id_of(self.path)
        self._close = weakref.finalize(self, self._connection.close)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # The file's own schema must not run functions.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA foreign_keys = ON")
            self._migrate(connection)
            # Only once it is known to be ours: a foreign file stays as it was.
            _make_private(self.path)
            _turn_on_wal(connection)
            connection.execute(f"PRAGMA synchronous = {self._level}")
            # A checkpoint waits for the disk: see `checkpoint`.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        # In a transaction: another process may make the tables between one question and the next.
        connection.execute("BEGIN")
        try:
            version = self._check_version(connection)
        finally:
            connection.execute("ROLLBACK")
        if version == len(self._migrations):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done it in the meantime.
            for script in self._migrations[self._check_version(connection) :]:
                for statement in script.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self._application}")
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _check_version(self, connection: sqlite3.Connection) -> int:
        """Check that the file is ours, and return the number of migrations that it has had."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        kinds = {kind for (kind,) in connection.execute("SELECT type FROM sqlite_master")}
        if application != self._application and (kinds or application or version):
            raise JournalError(f"{self.path} is a database, and not a journal; name another file")
        if not kinds <= {"table", "index"}:
            raise JournalError(f"{self.path} holds triggers or views, which no journal does")
        if version > len(self._migrations):
            raise make_too_late(self.name, version, len(self._migrations))
        return version

    # -- reading and writing -------------------------------------------------------------------

    def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement in a transaction; return the number of changed rows."""
        with self._hold() as connection:
            if connection.in_transaction:  # One statement happens whole or not at all as it is.
                return connection.execute(sql, values).rowcount
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount

    def query(self, sql: str, values: Values = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._hold() as connection:
            if not connection.in_transaction:  # A transaction checks at its end.
                self._check_place()
            return connection.execute(sql, values).fetchall()

    def changes(self) -> tuple[int, ...]:
        """Count changes; it reads nothing of the tables, however large they are."""
        with self._hold() as connection:
            self._check_place()
            (others,) = connection.execute("PRAGMA data_version").fetchone()
            return id(connection), others, connection.total_changes

    @contextlib.contextmanager
    def transaction(self, *, busy_seconds: float = _BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        """Open a transaction; within one, be part of that."""
        with self._hold() as connection:
            if connection.in_transaction:
                yield connection
                return
            if busy_seconds != self._busy_seconds:
                connection.execute(f"PRAGMA busy_timeout = {busy_seconds * 1000:.0f}")
                self._busy_seconds = busy_seconds
            with _within(connection, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"):
                yield connection
                self._check_place()

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[sqlite3.Connection]:
        """Do something within a transaction, which continues without it if it fails."""
        undo = ("ROLLBACK TO inner", "RELEASE inner")
        with (
            self._hold() as connection,
            _within(connection, "SAVEPOINT inner", "RELEASE inner", *undo),
        ):
            yield connection

    def uptime(self) -> tuple[str, float]:
        """Read a clock that nobody sets: its place of validity, and its seconds."""
        return name_boot(), self._uptime()

    def renew(self) -> None:
        """Open the file anew, or make it, if what was opened is not there any more."""
        self._check_process()
        with self._lock, self._translate_errors:
            if self._close.alive and self._is_moved():
                self._abandon()
                self._open()

    def _check_place(self) -> None:
        """Check that this is the file that others read and write: a deleted one takes everything.

        Raises:
            JournalError: If not.
        """
        if self._is_moved():
            raise JournalError(
                f"the journal {self.path} was deleted, or another file was put in its place: "
                "put it back, or begin a new one"
            )

    def _is_moved(self) -> bool:
        log_id = _id_of(self._log)
        # SQLite makes the log at the first transaction, and keeps it while the file is open.
        self._log_id = log_id if self._log_id is None else self._log_id
        return _id_of(self.path) != self._file_id or log_id != self._log_id

    def _abandon(self) -> None:
        """Leave the connection open: closing it would do harm."""
        self._close.detach()
        self._abandoned.append(self._connection)

    def tidy(self) -> None:
        """Make a :meth:`checkpoint` if much was written; one that fails is made after further writes."""
        if self._unsynced > _CHECKPOINT_BYTES:
            with contextlib.suppress(JournalError):
                self.checkpoint()

    def count_written(self, size: int) -> None:
        """Count bytes that were written."""
        self._unsynced += size + _PAGES * 4096

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file. Waits for the disk; does not block writers."""
        self._unsynced = 0
        # A file that was deleted must not be made anew.
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        with (
            self._translate_errors,
            contextlib.closing(sqlite3.connect(address, uri=True)) as connection,
        ):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the file; using it afterwards is an error."""
        self._check_process()
        with self._lock:
            if self._is_moved():
                # SQLite would delete the write-ahead log of the file that is there now.
                self._abandon()
            self._close()

    @contextlib.contextmanager
    def _hold(self) -> Iterator[sqlite3.Connection]:
        self._check_process()
        with self._lock, self._translate_errors:
            yield self._connection

    def _check_process(self) -> None:
        if self._process != os.getpid():
            # SQLite's connections must not be used after a fork, not even to close them.
            self._abandon()
            self._open()


class _Translation:
    """Makes errors of SQLite, raised within it, those of a journal. Entered with each statement."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if isinstance(
            error, sqlite3.DataError | sqlite3.IntegrityError | UnicodeError | OverflowError
        ):
            raise UnwritableError(f"the journal {self._path} cannot hold this: {error}") from error
        if isinstance(error, sqlite3.Error | OSError):
            raise JournalError(f"the journal {self._path} cannot be used: {error}") from error


@contextlib.contextmanager
def _within(connection: sqlite3.Connection, begin: str, end: str, *undo: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute(end)
    except BaseException:
        # SQLite itself ends a transaction over some errors.
        for statement in undo if connection.in_transaction else ():
            connection.execute(statement)
        raise


def _id_of(path: Path) -> int | None:
    """Return an identity that a file replaced by another at the same path does not share."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _make(path: Path) -> None:
    """Create a file that only its owner may read, or check that the existing one may be opened.

    An existing file is not opened here. Closing it again would drop the POSIX locks of every other
    connection of this process, and another process could then truncate the log they write to.
    """
    with _CREATING, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OURS_ONLY))
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(
            f"{path} is not a regular file; name one, or a path where nothing is yet"
        )
    # Its owner could forge runs and jobs. Root may read everything anyway.
    if os.name == "posix" and os.geteuid() not in {found.st_uid, 0}:
        raise JournalError(f"{path} belongs to another user; name a file of your own")


def _make_private(path: Path) -> None:
    """Let only the owner read a journal and its companion files."""
    if os.name != "posix":
        return
    for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with contextlib.suppress(FileNotFoundError):
            if name.stat().st_mode & 0o077:
                name.chmod(_OURS_ONLY)


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    for opening in range(_OPENINGS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if opening == _OPENINGS - 1:
                raise
            # Takes the lock that the other holds, and waits for it.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        else:
            return
