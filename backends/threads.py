"""Blocking calls in daemon threads that a caller can walk away from.

anyio's own worker threads are not used for provider calls: on asyncio they are joined when the
process ends, so that one hung provider would keep a finished program alive.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

T = TypeVar("T")

_IDLE_SECONDS = 10.0


class _Call:
    """One function on its way through a worker thread and back to its event loop."""

    def __init__(
        self,
        function: Callable[[], Any],
        late: Callable[[Any], None] | None,
        token: EventLoopToken,
    ) -> None:
        self._function = function
        self._late = late
        self._token = token
        self._lock = threading.Lock()
        self._abandoned = False
        self._finished = False
        self.done = anyio.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value = self._function()
        except BaseException as error:  # noqa: BLE001  Carried to the caller, who raises it.
            self.error = error
        with self._lock:
            self._finished = True
            abandoned = self._abandoned
        if abandoned:
            self._tell_late()
            return
        # The loop may be gone by now; then nobody is left to be told.
        with contextlib.suppress(RuntimeError, anyio.RunFinishedError):
            from_thread.run_sync(self.done.set, token=self._token)

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            finished = self._finished
        if finished and self._late is not None:
            # The value arrived in the moment in which the caller left: nobody has taken it.
            threading.Thread(target=self._tell_late, daemon=True).start()

    def _tell_late(self) -> None:
        if self._late is not None and self.error is None:
            # Best effort by contract: there is nobody left to raise to.
            with contextlib.suppress(Exception):
                self._late(self.value)


class _Workers:
    """Idle daemon threads, kept for a while because starting one costs more than most calls."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[_Call]] = []
        self._lock = threading.Lock()

    def submit(self, call: _Call) -> None:
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(
                target=self._work, args=(inbox,), name="qiskit-gateway worker", daemon=True
            ).start()
        inbox.put(call)

    def _work(self, inbox: "queue.SimpleQueue[_Call]") -> None:
        while True:
            try:
                call = inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                if self._retire(inbox):
                    return
                continue
            call.run()
            del call  # A kept reference would hold the last result while the thread idles.
            with self._lock:
                self._idle.append(inbox)

    def _retire(self, inbox: "queue.SimpleQueue[_Call]") -> bool:
        # An inbox that is no longer idle has been handed a call that is about to arrive.
        with self._lock:
            if inbox not in self._idle:
                return False
            self._idle.remove(inbox)
            return True


_WORKERS = _Workers()


async def call_in_thread(
    function: Callable[[], T], *, late: Callable[[T], None] | None = None
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
    call = _Call(function, late, current_token())
    _WORKERS.submit(call)
    try:
        await call.done.wait()
    except BaseException:
        call.abandon()
        raise
    if call.error is not None:
        raise call.error
    value: T = call.value
    return value


def call_within(function: Callable[[], T], seconds: float) -> T:
    """Run a blocking function in a daemon thread and wait for what it returns, but not for ever.

    Args:
        function: The function to run.
        seconds: How long to wait.

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

    threading.Thread(target=work, name="qiskit-gateway question", daemon=True).start()
    return future.result(seconds)
