"""Writes on their way into a journal's file: one thread makes them, many in one transaction.

SQLite waits for locks and for the disk, so it is never called in an event loop: there, many runs
would stand still with the one that writes.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from qiskit_gateway.backends.adapter.threads import Soon, leave_to_thread, soon_here
from qiskit_gateway.backends.forks import renew_in_children
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.storage.database import Database

T = TypeVar("T")

# Longer than between two beats, so that the thread lives as long as there are runs: at the end of a
# program some versions of Python let nobody start one.
_IDLE_SECONDS = 20.0
# The caller learns soon that another process holds the file, and writes again later.
_BUSY_SECONDS = 1.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry(Generic[T]):
    """A pending write, and the caller that waits for it.

    Attributes:
        write: Does it, within a transaction.
        salvage: Does as much of it as can be done, where not all of it can.
        soon: Calls a function in the caller's event loop.
        done: Set there when it was written, or failed.
        value: What it returned.
        error: Why it failed, if it did.
    """

    write: Callable[[], T]
    salvage: Callable[[], T]
    soon: Soon
    done: anyio.Event
    value: Any = None
    error: JournalError | None = None

    def settle(self, error: JournalError | None = None) -> None:
        """Wake the caller."""
        self.error = error
        with suppress(RuntimeError):  # The loop has ended: nobody waits.
            self.soon(self.done.set)


class WriteQueue:
    """The writes into one file, in the order in which they are asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.renew_in_child()
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Begin with nothing: the thread, and what waits for it, are those of the parent."""
        self._entries: list[_Entry[Any]] = []
        self._working = False
        self._changed = threading.Condition()

    async def put(self, write: Callable[[], T], *, salvage: Callable[[], T] | None = None) -> T:
        """Write in a thread, in a transaction, and wait until that is done.

        A caller that is cancelled meanwhile does not keep it from being written.

        Args:
            write: Does it; called in the thread.
            salvage: Called in its place once that has failed: does as much of it as can be done.
                By default the same.

        Returns:
            What that returns.

        Raises:
            JournalError: If it was not possible. It may have been written all the same.
        """
        entry = _Entry(write=write, salvage=salvage or write, soon=soon_here(), done=anyio.Event())
        with self._changed:
            self._entries.append(entry)
            self._changed.notify()
            idle, self._working = not self._working, True
        if idle:
            self._begin()
        await entry.done.wait()
        if entry.error is not None:
            raise entry.error
        value: T = entry.value
        return value

    def _begin(self) -> None:
        try:
            leave_to_thread(self._work)
        except RuntimeError:  # No thread can be started any more: the program ends.
            self._write(self._take(0.0))
            self._working = False

    # -- in the thread -----------------------------------------------------------------------

    def _work(self) -> None:
        while entries := self._take(_IDLE_SECONDS):
            self._write(entries)

    def _take(self, seconds: float) -> list[_Entry[Any]]:
        """Take what there is to write, waiting for it; nothing if the thread is to end."""
        with self._changed:
            if not self._entries:
                self._changed.wait(seconds)
            entries, self._entries = self._entries, []
            self._working = bool(entries)
        return entries

    def _write(self, entries: list[_Entry[Any]]) -> None:
        failed: dict[_Entry[Any], JournalError] = {}
        try:
            if not self._write_at_once(entries):
                failed = self._write_apart(entries)
        except BaseException as error:  # noqa: BLE001  Or they would wait for ever.
            told = error if isinstance(error, JournalError) else _as_journal_error(error)
            failed = dict.fromkeys(entries, told)
        for entry in entries:
            entry.settle(failed.get(entry))
        self._database.tidy()

    def _write_at_once(self, entries: list[_Entry[Any]]) -> bool:
        """Write all or nothing, without a mark to go back to before each; return what it was."""
        try:
            with self._database.transaction(busy_seconds=_BUSY_SECONDS):
                for entry in entries:
                    try:
                        entry.value = entry.write()
                    except Exception as error:
                        raise _FailedError from error
        except _FailedError:
            return False
        return True

    def _write_apart(self, entries: list[_Entry[Any]]) -> dict[_Entry[Any], JournalError]:
        """Write what can be written, and return what cannot: the others are of other runs."""
        failed: dict[_Entry[Any], JournalError] = {}
        with self._database.transaction(busy_seconds=_BUSY_SECONDS):
            for entry in entries:
                try:
                    with self._database.savepoint():
                        entry.value = entry.salvage()
                except JournalError as error:
                    failed[entry] = error
        return failed


class _FailedError(Exception):
    """One of several writes has failed, and the others with it."""


def _as_journal_error(error: BaseException) -> JournalError:
    return JournalError(f"the journal cannot be written: {type(error).__name__}: {error}")
