"""A batch or a session at a provider: opened for the first job, closed when it idles.

A session is billed while it is open, idle or not. So it is opened as late as can be, when a job is
about to be sent, and closed when there has been none in flight for a while; when the member goes or
the process ends it is closed at once. A provider lets the jobs run that are in a closed one.
"""

import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.backends.forks import ProcessLock, renew_in_children

# A session that cannot be closed costs money until it ends by itself.
_TRIES = 3


class ModeKeeper:
    """Keeps the batch or session that the jobs of a member are sent in.

    Args:
        begin: Opens one. May block.
        idle_seconds: How long to leave it open with no job in flight.
    """

    def __init__(self, begin: Callable[[], Any], idle_seconds: float) -> None:
        self._begin = begin
        self._idle_seconds = idle_seconds
        self._lock = ProcessLock()
        self._held = _Held()
        self.renew_in_child()
        renew_in_children(self)
        weakref.finalize(self, _close_quietly, self._held)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles open one of their own."""
        return ModeKeeper, (self._begin, self._idle_seconds)

    def renew_in_child(self) -> None:
        """Leave what is open to the parent."""
        self._held.mode = None
        self._jobs: set[int] = set()
        self._sending = 0
        self._timer: threading.Timer | None = None

    def enter(self) -> Any:
        """Open the batch or session for a job about to be sent, unless it is open. May block.

        Each call is followed by one of :meth:`leave`.
        """
        with self._lock:
            self._stop_timer()
            self._sending += 1
            try:
                if self._held.mode is None:
                    self._held.mode = self._begin()
            except BaseException:
                self._sending -= 1
                raise
            return self._held.mode

    def leave(self, job: Any = None) -> None:
        """Note that a job was sent, or that there is none after all."""
        with self._lock:
            self._sending -= 1
            if job is not None:
                self._jobs.add(id(job))
            gone = self._idle()
        _close_quietly(gone)

    def note_over(self, job: Any) -> None:
        """Note that a job is over; of one that was not sent in it, or is over already, nothing."""
        with self._lock:
            if id(job) not in self._jobs:
                return
            self._jobs.remove(id(job))
            gone = self._idle()
        _close_quietly(gone)

    def forget(self, mode: Any) -> None:
        """Note that the provider has closed what was open."""
        with self._lock:
            if self._held.mode is mode:
                self._held.mode = None

    def close(self) -> None:
        """Close what is open, if anything is. May block, and raises whatever the provider does."""
        with self._lock:
            gone = self._take()
        if gone is not None:
            _close(gone.mode)

    def _idle(self) -> "_Held | None":
        """Begin to wait for the next job if none is in flight; return what is to be closed at once."""
        if self._held.mode is None or self._jobs or self._sending:
            return None
        if not self._idle_seconds:
            return self._take()
        self._stop_timer()
        seconds = min(self._idle_seconds, threading.TIMEOUT_MAX)
        self._timer = threading.Timer(seconds, self._close_idle)
        self._timer.daemon = True
        self._timer.start()
        return None

    def _close_idle(self) -> None:
        with self._lock:
            # A job may have been sent since the time was up.
            gone = None if self._jobs or self._sending else self._take()
        _close_quietly(gone)

    def _take(self) -> "_Held | None":
        self._stop_timer()
        gone, self._held.mode = self._held.mode, None
        return None if gone is None else _Held(gone)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Held:
    """An open session or batch, separate from its keeper, which may be gone when it is closed."""

    def __init__(self, mode: Any = None) -> None:
        self.mode = mode


def _close(mode: Any) -> None:
    for left in reversed(range(_TRIES)):
        try:
            mode.close()
        except Exception:
            if not left:
                raise
        else:
            return


def _close_quietly(held: _Held | None) -> None:
    if held is None or held.mode is None:
        return
    mode, held.mode = held.mode, None
    try:
        _close(mode)
    except Exception as error:  # noqa: BLE001  Nobody is left to be told in another way.
        name = getattr(mode, "session_id", None) or type(mode).__name__
        warnings.warn(
            f"{name} could not be closed, and may be billed until it ends by itself; close it at the "
            f"provider: {text_of(error)}",
            RuntimeWarning,
            stacklevel=1,
        )
