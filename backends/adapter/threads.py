"""Blocking calls in daemon threads that a caller can walk away from.

anyio's own worker threads are not used for provider calls: on asyncio they are joined when the
process ends, so that one hung provider would keep a finished program alive.
"""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar, cast

import anyio
from anyio.lowlevel import current_token

from qiskit_gateway.backends.forks import renew_in_children

T = TypeVar("T")

_IDLE_SECONDS = 10.0
_LOOK_SECONDS = 0.005


# Python 3.12.0 and 3.12.1 start no thread once the main thread has ended, when what flies is to be
# cancelled in threads.
REFUSES_AT_EXIT = (3, 12) <= sys.version_info < (3, 12, 2)

_SPARES: "list[queue.SimpleQueue[Callable[[], object] | None]]" = []


def start_daemon(function: Callable[[], object], name: str) -> None:
    """Call a function in a daemon thread of its own, also while the program ends.

    Where Python starts no thread then, each thread brings a spare one along, which lives as long and
    replaces one that is no longer available.

    Raises:
        RuntimeError: If no thread is to be had.
    """
    target = _with_spare(function) if REFUSES_AT_EXIT else function
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError:
        try:
            spare = _SPARES.pop()
        except IndexError:
            raise RuntimeError("no thread can be started any more: the program ends") from None
        spare.put(function)


def _with_spare(function: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        spare: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=_stand_by, args=(spare,), daemon=True).start()
            _SPARES.append(spare)
        try:
            function()
        finally:
            with contextlib.suppress(ValueError):  # It has been taken.
                _SPARES.remove(spare)
                spare.put(None)

    return run


def _stand_by(inbox: "queue.SimpleQueue[Callable[[], object] | None]") -> None:
    function = inbox.get()
    if function is not None:
        function()


Soon = Callable[[Callable[[], object]], object]


def soon_here() -> Soon:
    """Make a caller: from any thread, it has the event loop that runs here call a function.

    It does not wait for that, or the caller would be held up by that loop's other work. It raises
    ``RuntimeError`` once the loop has ended.
    """
    loop = current_token().native_token
    # Of asyncio and of trio.
    soon = getattr(loop, "call_soon_threadsafe", None) or getattr(loop, "run_sync_soon", None)
    return cast("Soon", soon)


class Call(Generic[T]):
    """One function on its way through a worker thread and back to the event loop it is made in.

    Args:
        function: The function.
        late: Told, in a thread, what the function returned after the caller had left.
        soon: What :func:`soon_here` returns there, where that is known.

    Attributes:
        value: What the function returned.
        error: What it raised, if it did, until that is raised to the caller.
        asked: Whether anybody has waited for it.
    """

    def __init__(
        self,
        function: Callable[[], T],
        *,
        late: Callable[[T], object] | None = None,
        soon: Soon | None = None,
    ) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.asked = False
        self._function = function
        self._late = late
        self._soon = soon or soon_here()
        self._is_told = False  # In the event loop, that it is done.
        self._told: anyio.Event | None = None
        self._lock = threading.Lock()
        self._abandoned = False
        self._finished = False

    async def outcome(self) -> T:
        """Wait for what the function returns, or raise what it raises.

        A caller that is cancelled meanwhile leaves the thread behind, where the function ends by itself.
        """
        self.asked = True
        if not self._is_told:
            self._told = anyio.Event()
            try:
                await self._told.wait()
            except BaseException:
                self._abandon()
                raise
        if self.error is not None:
            # The thread holds this call a moment longer, and by the frames of the error what it was given.
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # Or it would hold itself, by this frame.
        value: T = self.value
        return value

    def _note(self) -> None:
        self._is_told = True
        if self._told is not None:
            self._told.set()

    def _abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            finished = self._finished
            if self._late is not None:
                _LEFT.add(self)
        if finished and self._late is not None:
            # The value arrived in the moment in which the caller left: nobody has taken it.
            start_daemon(self.tell_late, "qiskit-gateway worker")

    # -- in the thread -----------------------------------------------------------------------

    def run(self) -> bool:
        """Call the function; return whether its caller is still there."""
        try:
            self.value = self._function()
        except BaseException as error:  # noqa: BLE001  Carried to the caller, who raises it.
            self.error = error
        del self._function  # What it was made of may be large, or hold this call in turn.
        with self._lock:
            self._finished = True
            return not self._abandoned

    def tell(self) -> None:
        """Wake the caller."""
        # The loop may be gone by now; then nobody is left to be told.
        with contextlib.suppress(RuntimeError):
            self._soon(self._note)

    def tell_late(self) -> None:
        """Hand over the value where the caller has left."""
        if self._late is not None and self.error is None:
            # Best effort by contract: there is nobody left to raise to.
            with contextlib.suppress(Exception):
                self._late(self.value)
        _LEFT.discard(self)


# The calls whose callers have left, and whose results somebody else is to get.
_LEFT: set[Call[Any]] = set()


def wait_for_left(seconds: float) -> None:
    """Wait until no abandoned call can bring a result, at most for a given time. Blocks."""
    until = time.monotonic() + seconds
    while _LEFT and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)


_Calls = Sequence[Call[Any]]


class _Workers:
    """Idle daemon threads, kept for a while because starting one costs more than most calls."""

    def __init__(self) -> None:
        self.renew_in_child()
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Begin with none: those of the parent are not there, and calls that it left are its own."""
        self._idle: list[queue.SimpleQueue[_Calls]] = []
        self._lock = threading.Lock()
        _LEFT.clear()
        _SPARES.clear()

    def submit(self, calls: _Calls) -> None:
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            start_daemon(partial(self._work, inbox), "qiskit-gateway worker")
        inbox.put(calls)

    def _work(self, inbox: "queue.SimpleQueue[_Calls]") -> None:
        while True:
            try:
                calls = inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                if self._retire(inbox):
                    return
                continue
            self._make(calls, inbox)
            del calls  # A kept reference would hold the last result while the thread idles.

    def _make(self, calls: _Calls, inbox: "queue.SimpleQueue[_Calls]") -> None:
        for call in calls:
            stays = call.run()
            if not stays:
                call.tell_late()  # It may block: nobody else is to wait for this thread.
            over = not stays or call.error is not None or call is calls[-1]
            if over:
                # First, since the caller may want a thread for its next call at once.
                self._rest(inbox)
            if stays:
                call.tell()
            if over:
                return

    def _rest(self, inbox: "queue.SimpleQueue[_Calls]") -> None:
        with self._lock:
            self._idle.append(inbox)

    def _retire(self, inbox: "queue.SimpleQueue[_Calls]") -> bool:
        # An inbox that is no longer idle has been handed a call that is about to arrive.
        with self._lock:
            if inbox not in self._idle:
                return False
            self._idle.remove(inbox)
            return True


_WORKERS = _Workers()


def start_in_thread(*calls: Call[Any]) -> None:
    """Make calls in one daemon thread, one after the other.

    Each is made only if the one before it went well, and its caller has not left by then.
    """
    _WORKERS.submit(calls)


async def call_in_thread(
    function: Callable[[], T], *, late: Callable[[T], object] | None = None
) -> T:
    """Run a blocking function in a daemon thread and await what it returns.

    When the caller is cancelled, the thread is left behind and finishes on its own.

    Args:
        function: The function to run.
        late: Told, in a thread, what the function returned after the caller had left.

    Returns:
        What the function returned.

    Raises:
        BaseException: Whatever the function raised.
    """
    call = Call(function, late=late)
    start_in_thread(call)
    return await call.outcome()


def call_within(function: Callable[[], T], seconds: float) -> T:
    """Run a blocking function in a daemon thread and wait for what it returns, but not for ever.

    Returns:
        What the function returned.

    Raises:
        TimeoutError: If it has not returned by then; the thread is left behind.
        BaseException: Whatever the function raised.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  Raised to the caller.
            future.set_exception(error)

    start_daemon(work, "qiskit-gateway question")
    return future.result(seconds)


def leave_to_thread(function: Callable[[], object]) -> None:
    """Call a function in a daemon thread of its own, and wait for nothing. It must not raise."""
    start_daemon(function, "qiskit-gateway worker")
