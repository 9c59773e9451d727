"""The one event loop, in one daemon thread, on which all runs of a process live.

Started at the first run and kept, so that a run costs no thread of its own. A daemon thread, so
that a program that is done can end; on the way out the runs still in progress are cancelled, so
that their jobs do not run on unseen.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from qiskit_gateway.backends.adapter.threads import wait_for_left
from qiskit_gateway.backends.failures.translate import is_interrupt
from qiskit_gateway.backends.forks import renew_in_children
from qiskit_gateway.errors import GatewayError

T = TypeVar("T")

_EXIT_SECONDS = 15.0
_LEFT_SECONDS = 3.0


async def contain(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Call an async function; an exit that foreign code asks for in it is an error like any other.

    Members, tariffs and policies are anybody's code, and a ``SystemExit`` in a task ends the loop
    and with it all runs of the process.

    Raises:
        GatewayError: If something in it raised ``SystemExit`` or, not being interrupted,
            ``KeyboardInterrupt``.
    """
    try:
        return await function(*args)
    except BaseException as error:
        exit_ = _exit_in(error)
        if exit_ is None or is_interrupt(exit_):
            raise
        raise GatewayError(
            f"{type(exit_).__name__} was raised by the code of a member, a tariff or a policy"
        ) from error


def _exit_in(error: BaseException) -> BaseException | None:
    """Find what was to end the program, on its own or in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _exit_in(one))), None)
    return error if isinstance(error, SystemExit | KeyboardInterrupt) else None


class Engine:
    """A background event loop that is started when it is first needed."""

    def __init__(self) -> None:
        self.renew_in_child()
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Forget the loop: a forked child has none of its parent's threads, and starts its own."""
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._scopes: set[anyio.CancelScope] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    def start(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run an async function on the loop, and return at once. It must not raise."""
        self._ensure_started()
        assert self._loop is not None  # noqa: S101
        # Not through the portal, which would wait until the loop has time for it.
        self._loop.call_soon_threadsafe(self._spawn, function)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function on the loop, from wherever the caller is, and return its answer."""
        if threading.current_thread() is self._thread:
            return function()
        return self._ensure_started().call(function)

    def _spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(self._track(function))
        self._tasks.add(task)  # The loop itself holds tasks weakly.
        task.add_done_callback(self._tasks.discard)

    async def _track(self, function: Callable[[], Awaitable[None]]) -> None:
        # The context is a copy of the caller's, whose event loop may be of another kind.
        if (sniffio := sys.modules.get("sniffio")) is not None:
            sniffio.current_async_library_cvar.set("asyncio")
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await function()
            finally:
                self._scopes.discard(scope)

    def _ensure_started(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None or self._thread is None or not self._thread.is_alive():
                self._scopes = set()
                self._portal = self._begin()
                threading.Thread(target=self._watch, name="qiskit-gateway exit").start()
            return self._portal

    def _begin(self) -> BlockingPortal:
        ready: Future[BlockingPortal] = Future()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            async with BlockingPortal() as portal:
                ready.set_result(portal)
                await portal.sleep_until_stopped()

        self._thread = threading.Thread(
            target=anyio.run, args=(serve,), name="qiskit-gateway loop", daemon=True
        )
        self._thread.start()
        return ready.result()

    def _watch(self) -> None:
        """Wait until the program has ended, and leave.

        In a thread that Python waits for, and not in ``atexit``: there, Python 3.12 and later let
        nobody start a thread, which calling a provider takes.
        """
        threading.main_thread().join()
        for thread in threading.enumerate():
            # A thread of the program's own may still wait for its results.
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        self._leave()

    def _leave(self) -> None:
        """Cancel what still runs, and give the providers a moment to hear of it."""
        if self._portal is not None:
            # Also where no run is known of: one may be about to begin.
            future = self._portal.start_task_soon(self._drain)
            with contextlib.suppress(TimeoutError):
                future.result(_EXIT_SECONDS)
            # A provider may be about to say that it took a job, which is then to be cancelled.
            wait_for_left(_LEFT_SECONDS)

    async def _drain(self) -> None:
        for scope in self._scopes:
            scope.cancel()
        while self._scopes:  # noqa: ASYNC110  Once in a process, and no event would be simpler.
            await anyio.sleep(0.005)


ENGINE = Engine()
