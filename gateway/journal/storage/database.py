"""What a journal asks of the database that it is in; its statements are the same in all of them.

They are written for SQLite, in the part of SQL that PostgreSQL understands too, with ``?`` or
``:name`` where a value goes.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from qiskit_gateway.errors import JournalError

Values = Sequence[Any] | dict[str, Any]


class UnwritableError(JournalError):
    """Something that will never be written, however often it is tried; the database is fine."""


def make_too_late(name: str, version: int, known: int) -> JournalError:
    """Make the error that a journal has had more migrations than are known here."""
    return JournalError(
        f"{name} is of version {version}, and this package reads up to {known}: use a later "
        "qiskit-gateway"
    )


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Tell of nonsense, found within it in a database, that ``what`` cannot be read.

    Raises:
        JournalError: If a value is of the wrong kind, or is none that there may be.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise JournalError(f"{what} cannot be read: {error}") from error


class Rows(Protocol):
    """What a statement has done, or found."""

    @property
    def rowcount(self) -> int:
        """Number of rows that were changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row; ``None`` if there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        ...


class Statements(Protocol):
    """A way to run statements, within a transaction."""

    def execute(self, sql: str, values: Values = ..., /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> object:
        """Run one statement for each of several values."""
        ...


class Database(Protocol):
    """Tables, and transactions over them that happen one after the other.

    Implementing:
        A transaction sees all that was committed before it began, and none writes between its
        first statement and its last: what it has read still holds when it writes. All methods
        raise :class:`~qiskit_gateway.errors.JournalError`, or :class:`UnwritableError`. They may
        block, and are called in any thread.

    Attributes:
        name: What it is called in messages, without secrets.
    """

    name: str

    def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement in a transaction; return the number of changed rows."""
        ...

    def query(self, sql: str, values: Values = ()) -> list[Any]:
        """Return all rows of a query."""
        ...

    def changes(self) -> tuple[int, ...]:
        """Count changes: another answer than before says that something may have changed since."""
        ...

    def transaction(
        self, *, busy_seconds: float = ...
    ) -> contextlib.AbstractContextManager[Statements]:
        """Open a transaction, all of whose statements happen, or none; within one, be part of that.

        Args:
            busy_seconds: How long to wait for other writers.
        """
        ...

    def savepoint(self) -> contextlib.AbstractContextManager[Statements]:
        """Do something within a transaction, which continues without it if it fails."""
        ...

    def uptime(self) -> tuple[str, float]:
        """Tell the time by a clock that nobody sets: where it means something, and its seconds."""
        ...

    def renew(self) -> None:
        """Open it anew, if what was opened is not there any more."""
        ...

    def tidy(self) -> None:
        """Bring what was written into its final place, if that is much."""
        ...

    def count_written(self, size: int) -> None:
        """Count bytes that were written."""
        ...

    def close(self) -> None:
        """Close it; using it afterwards is an error."""
        ...
