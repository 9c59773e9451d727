"""One SQLite file, written by several processes and threads.

A transaction that has been committed survives the end of the process, however it ends. Whether it
survives a loss of power is a choice, see :class:`Database`.
"""

import contextlib
import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from qiskit_gateway.errors import JournalError

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


class Database:
    """A SQLite file in WAL mode that only its owner may read.

    Args:
        path: Of the file, made where it is missing.
        application: The number that tells our files from other SQLite files.
        migrations: The scripts that make the tables, oldest first. A file remembers how many of
            them it has had; those that it lacks are run when it is opened.
        survives: What a committed transaction survives: ``"kill"``, the end of the process by any
            signal, without waiting for the disk; or ``"power loss"``, which waits for the disk at
            each commit. Neither damages the file.

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
    ) -> None:
        if survives not in get_args(Survives):
            known = " or ".join(map(repr, get_args(Survives)))
            raise ValueError(f"survives must be {known}, got {survives!r}")
        self.path = path
        self._application = application
        self._migrations = tuple(migrations)
        self._level = "NORMAL" if survives == "kill" else "FULL"
        self._lock = threading.Lock()
        self._unsynced = 0
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        with self._translate_errors():
            _make(self.path)
            self._connection = self._connect()
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
            raise JournalError(
                f"{self.path} is of version {version}, and this package reads up to "
                f"{len(self._migrations)}: use a later qiskit-gateway"
            )
        return version

    # -- reading and writing -------------------------------------------------------------------

    def execute(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run one statement in its own transaction; return the number of changed rows."""
        with self._hold() as connection:
            return connection.execute(sql, values).rowcount

    def query(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._hold() as connection:
            return connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction: all of its statements happen, or none."""
        with self._hold() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @property
    def wants_checkpoint(self) -> bool:
        """Enough was written since the last :meth:`checkpoint` to call it again."""
        return self._unsynced > _CHECKPOINT_BYTES

    def wrote(self, size: int) -> None:
        """Count bytes that were written."""
        self._unsynced += size + _PAGES * 4096

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file. Waits for the disk; does not block writers."""
        self._unsynced = 0
        with self._translate_errors(), contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the file; using it afterwards is an error."""
        with self._lock:
            self._close()

    @contextlib.contextmanager
    def _hold(self) -> Iterator[sqlite3.Connection]:
        if self._process != os.getpid():
            # SQLite's connections must not be used after a fork, not even to close them.
            self._close.detach()
            self._abandoned = self._connection
            self._lock = threading.Lock()
            self._open()
        with self._lock, self._translate_errors():
            yield self._connection

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError, OverflowError) as error:
            raise JournalError(f"the journal {self.path} cannot be used: {error}") from error


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
