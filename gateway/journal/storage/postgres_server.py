"""A journal in a PostgreSQL database, written by processes on many hosts.

Its transactions take one lock, so that they happen one after the other, as in SQLite. What the
server has confirmed is on its disk.
"""

import contextlib
import os
import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.storage.database import (
    Rows,
    Statements,
    UnwritableError,
    Values,
    make_too_late,
)

try:
    import psycopg
    import psycopg_pool
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as _error:
    raise JournalError(
        "a journal in PostgreSQL needs psycopg: pip install 'qiskit-gateway[postgres]'"
    ) from _error

# The tables are in a schema of their own, so that a database may hold other things.
_SCHEMA = "qiskit_gateway"
_CONNECTIONS = 4
_BUSY_SECONDS = 30.0
# How long a server may take to answer at all, until it counts as gone.
_CONNECT_SECONDS = 5.0
# How long one statement may take. A process that holds the lock and is silent loses its connection, so
# that a process that was stopped in a transaction does not stop all others: well before the statement
# of a process that waits for the lock is given up.
_SESSION = """
SET search_path = qiskit_gateway;
SET statement_timeout = '20s';
SET idle_in_transaction_session_timeout = '10s';
SET synchronous_commit = on
"""
# A host that is gone sends nothing; without these the connection to it would wait for minutes.
_TRANSPORT = {
    "connect_timeout": round(_CONNECT_SECONDS),
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "qiskit-gateway",
}


class PostgresServer:
    """A database of a PostgreSQL server.

    Args:
        address: ``postgresql://...``, as libpq understands it.
        application: The number of the lock that all transactions take.
        migrations: The scripts that make the tables, oldest first. The database remembers how many
            of them it has had; those that it lacks are run when it is opened.

    Attributes:
        name: The address, without the password.

    Raises:
        JournalError: If the server cannot be reached, or the journal there is of a later version.
    """

    def __init__(self, address: str, *, application: int, migrations: Sequence[str]) -> None:
        self._application = application
        self._migrations = tuple(migrations)
        try:
            facts = conninfo_to_dict(address)
        except psycopg.ProgrammingError as error:
            # libpq repeats what it could not read, which may hold a password.
            raise JournalError("this address of a PostgreSQL journal cannot be read") from error
        self.name = _name_of(facts)
        self._address = make_conninfo(address, **_choose_transport(facts))
        self._abandoned: list[psycopg_pool.ConnectionPool] = []
        with self._translate_errors(), contextlib.closing(self._connect()) as connection:
            self._migrate(connection)
        self._open()

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self._address, autocommit=True)

    def _open(self) -> None:
        self._process = os.getpid()
        self._here = threading.local()
        self._pool = psycopg_pool.ConnectionPool(
            self._address,
            min_size=0,
            max_size=_CONNECTIONS,
            open=True,
            timeout=_BUSY_SECONDS,
            reconnect_timeout=_CONNECT_SECONDS,
            kwargs={"autocommit": True},
            configure=_configure,
            # A server that was restarted has closed the connections that wait here.
            check=psycopg_pool.ConnectionPool.check_connection,
        )
        self._close = weakref.finalize(self, _close, self._pool)

    def _migrate(self, connection: "psycopg.Connection[Any]") -> None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (self._application,))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
            connection.execute(f"SET LOCAL search_path = {_SCHEMA}")
            connection.execute("CREATE TABLE IF NOT EXISTS version (number BIGINT NOT NULL)")
            row = connection.execute("SELECT max(number) FROM version").fetchone()
            version = row[0] or 0 if row else 0
            if version > len(self._migrations):
                raise make_too_late(self.name, version, len(self._migrations))
            for number, script in enumerate(self._migrations[version:], version + 1):
                for statement in _write_types(script).split(";\n"):
                    connection.execute(statement.encode())
                connection.execute("INSERT INTO version VALUES (%s)", (number,))

    # -- reading and writing -------------------------------------------------------------------

    def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement in a transaction; return the number of changed rows."""
        with self.transaction() as statements:
            return statements.execute(sql, values).rowcount

    def query(self, sql: str, values: Values = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._hold(_BUSY_SECONDS) as connection:
            return connection.execute(*_translate(sql, values)).fetchall()

    def changes(self) -> tuple[int, ...]:
        """Count changes of the server: another answer says that something may have changed."""
        ((written,),) = self.query(
            "SELECT CAST(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS int8)"
        )
        return (int(written),)

    @contextlib.contextmanager
    def transaction(self, *, busy_seconds: float = _BUSY_SECONDS) -> Iterator[Statements]:
        """Open a transaction; within one, be part of that."""
        if self._is_within:
            with self._hold(busy_seconds) as connection:
                yield _Statements(connection)
            return
        with self._hold(busy_seconds) as connection, connection.transaction():
            connection.execute(
                f"SET LOCAL lock_timeout = {max(1, round(busy_seconds * 1000))}".encode()
            )
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (self._application,))
            yield _Statements(connection)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[Statements]:
        """Do something within a transaction, which continues without it if it fails."""
        with self._hold(_BUSY_SECONDS) as connection, connection.transaction():
            yield _Statements(connection)

    def uptime(self) -> tuple[str, float]:
        """Tell the time by the server's clock, which is one for all hosts."""
        ((now,),) = self.query("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)")
        return "", float(now)

    def renew(self) -> None:
        """Do nothing: each connection is to what is there."""

    def tidy(self) -> None:
        """Do nothing: the server sees to that itself."""

    def count_written(self, size: int) -> None:
        """Do nothing: the server sees to that itself."""

    def close(self) -> None:
        """Close all connections; using it afterwards is an error."""
        self._check_process()
        self._close()

    @property
    def _is_within(self) -> bool:
        """This thread is in a transaction already."""
        return getattr(self._here, "connection", None) is not None

    @contextlib.contextmanager
    def _hold(self, seconds: float) -> "Iterator[psycopg.Connection[Any]]":
        """Use the connection of this thread's transaction, or another one."""
        self._check_process()
        connection = getattr(self._here, "connection", None)
        if connection is not None:
            with self._translate_errors():
                yield connection
            return
        with self._translate_errors(), self._pool.connection(timeout=seconds) as connection:
            self._here.connection = connection
            try:
                yield connection
            except (JournalError, psycopg.Error) as error:
                if isinstance(error.__cause__ or error, psycopg.errors.ReadOnlySqlTransaction):
                    # It has become a stand-by, perhaps: the next connection finds the other.
                    connection.close()
                raise
            finally:
                self._here.connection = None

    def _check_process(self) -> None:
        if self._process != os.getpid():
            # The connections are the parent's: closing them here would end them there.
            self._close.detach()
            self._abandoned.append(self._pool)
            self._open()

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError, OverflowError) as error:
            raise UnwritableError(
                f"the journal {self.name} cannot hold this: {_first_line(error)}"
            ) from error
        except (psycopg.Error, psycopg_pool.PoolClosed, OSError) as error:
            raise JournalError(
                f"the journal {self.name} cannot be used: {_first_line(error)}"
            ) from error


class _Statements:
    """Runs statements that are written for SQLite."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    def execute(self, sql: str, values: Values = (), /) -> Rows:
        return self._connection.execute(*_translate(sql, values))

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> object:
        with self._connection.cursor() as cursor:
            cursor.executemany(_write_placeholders(sql), values)
        return None


def _first_line(error: Exception) -> str:
    """Take the first line of what the server says; below it is the statement."""
    return redact(str(error).partition("\n")[0])


def _configure(connection: "psycopg.Connection[Any]") -> None:
    connection.execute(_SESSION.encode())


def _close(pool: psycopg_pool.ConnectionPool) -> None:
    pool.close(timeout=1.0)


def _choose_transport(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _TRANSPORT.items() if name not in facts}


def _name_of(facts: dict[str, Any]) -> str:
    user = f"{facts['user']}@" if facts.get("user") else ""
    place = facts.get("host") or facts.get("hostaddr") or ""
    port = f":{facts['port']}" if facts.get("port") else ""
    return f"postgresql://{user}{place}{port}/{facts.get('dbname') or ''}"


def _translate(sql: str, values: Values) -> tuple[bytes, Values | None]:
    return _write_placeholders(sql), values or None


@cache
def _write_placeholders(sql: str) -> bytes:
    """Write the marks where values go as psycopg does; no statement has such marks in a text."""
    marked = sql.replace("%", "%%").replace("?", "%s")
    return re.sub(r":([a-z_]+)", r"%(\1)s", marked).encode()


_TYPES = {
    r"\bid INTEGER PRIMARY KEY": "id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    r"\bINTEGER\b": "BIGINT",
    r"\bREAL\b": "DOUBLE PRECISION",
    r"\bBLOB\b": "BYTEA",
    r"\bamount NOT NULL": "amount DOUBLE PRECISION NOT NULL",
    r"\) WITHOUT ROWID": ")",
}


def _write_types(script: str) -> str:
    for ours, theirs in _TYPES.items():
        script = re.sub(ours, theirs, script)
    return script
