"""Observers of runs, told of events without ever holding a run up."""

import atexit
import logging
import queue
import threading
import time
import weakref
from contextvars import Context, copy_context
from typing import Any, Protocol, runtime_checkable

from qiskit_gateway.backends.forks import renew_in_children

# So many events wait for a slow observer; a run of a thousand shards makes five thousand.
_MOST_WAITING = 10_000
# How long the end of a program waits for observers to be told the last events.
_EXIT_SECONDS = 2.0
_LOG = logging.getLogger("qiskit_gateway")


@runtime_checkable
class Observer(Protocol):
    """Whatever is to be told of the events of runs; see :class:`qiskit_gateway.RunObserver`."""

    def on_event(self, event: Any) -> None:
        """Take in an event."""
        ...


class Mailbox:
    """The events that wait for one observer, delivered in order by a thread of their own.

    A run only puts events in, which takes microseconds. An observer that is slow loses the newest
    events once its mailbox is full, and the log says how many; one that raises is reported once,
    and still gets later events. The thread is a daemon: an observer that hangs holds up no program.

    Args:
        observer: The observer that gets the events.
        size: How many events may wait.

    Attributes:
        dropped: How many events it has lost.
    """

    def __init__(self, observer: Observer, size: int = _MOST_WAITING) -> None:
        self.observer = observer
        self.dropped = 0
        self._size = size
        self._raised = False
        self.renew_in_child()
        renew_in_children(self)
        _MAILBOXES.add(self)

    def renew_in_child(self) -> None:
        """Begin empty: what waits in a forked child's parent is the parent's to deliver."""
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Any] = queue.Queue(self._size)
        self._thread: threading.Thread | None = None

    def post(self, event: Any, context: Context | None = None) -> None:
        """Put an event in; never blocks.

        Args:
            event: What happened.
            context: The context variables that the observer is to see; by default the caller's.
        """
        if self._thread is None:
            self._start()
        try:
            self._waiting.put_nowait((event, context or copy_context()))
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % self._size == 0:
                _LOG.warning("observer %r is slow: %d events dropped", self.observer, self.dropped)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all events so far were delivered; return whether they were in time."""
        deadline = time.monotonic() + timeout_seconds
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._waiting.all_tasks_done.wait(left)
        return True

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._deliver, name=f"observer {self.observer!r}", daemon=True
                )
                self._thread.start()

    def _deliver(self) -> None:
        waiting = self._waiting
        while True:
            event, context = waiting.get()
            try:
                # A copy, since one context is entered by one thread at a time.
                context.copy().run(self.observer.on_event, event)
            except BaseException as error:  # noqa: BLE001  Whatever it is, the run continues.
                if not self._raised:
                    self._raised = True
                    _LOG.warning(
                        "observer %r raised %s: %s; it still gets later events, and this is said once",
                        self.observer,
                        type(error).__name__,
                        error,
                    )
            finally:
                waiting.task_done()

    def __reduce__(self) -> tuple[type["Mailbox"], tuple[Observer, int]]:
        """Copies and pickles are empty mailboxes of the same observer."""
        return Mailbox, (self.observer, self._size)


_MAILBOXES: "weakref.WeakSet[Mailbox]" = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    deadline = time.monotonic() + _EXIT_SECONDS
    for mailbox in list(_MAILBOXES):
        mailbox.flush(max(0.0, deadline - time.monotonic()))
