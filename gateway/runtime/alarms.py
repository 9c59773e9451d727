"""The alarm clock of a run: what is to happen later, in one task for all of it.

Most of it never happens: a job is over before anybody wants to know how it is. So nothing is begun
before its time, and to change one's mind costs nothing.
"""

import heapq
import math
from collections.abc import Awaitable, Callable
from itertools import count

import anyio
from anyio.lowlevel import current_token

from qiskit_gateway.runtime.event_loop import contain
from qiskit_gateway.runtime.onlookers import Onlookers


class Alarm:
    """Something that is to happen, unless it is cancelled before."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function: Callable[[], object] | None = function
        self._scope: anyio.CancelScope | None = None

    def cancel(self) -> None:
        """Let it not happen, or end what it has begun."""
        self._function = None
        if self._scope is not None:
            self._scope.cancel()

    def ring(self) -> None:
        """Let it happen now."""
        function, self._function = self._function, None
        if function is not None:
            function()

    def begin(self, group: Onlookers, function: Callable[[], Awaitable[object]]) -> None:
        """Run an async function in a task, which :meth:`cancel` ends."""
        self._scope = anyio.CancelScope()
        group.start_soon(contain, self._within, self._scope, function)

    @staticmethod
    async def _within(scope: anyio.CancelScope, function: Callable[[], Awaitable[object]]) -> None:
        with scope:
            await function()


class Alarms:
    """The alarms of one run, in seconds of the loop's clock.

    Attributes:
        now: Tells the time, in seconds of the loop's clock.
    """

    def __init__(self, group: Onlookers) -> None:
        self.now = _clock_here()
        self._group = group
        self._waiting: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._sleep: anyio.CancelScope | None = None

    def call_at(self, seconds: float, function: Callable[[], object]) -> Alarm:
        """Call a function at some time, not from here but from :meth:`ring_until`."""
        alarm = Alarm(function)
        heapq.heappush(self._waiting, (seconds, next(self._numbers), alarm))
        if self._sleep is not None and seconds < self._sleep.deadline:
            self._sleep.deadline = seconds
        return alarm

    def run_at(self, seconds: float, function: Callable[[], Awaitable[object]]) -> Alarm:
        """Run an async function from some time on."""
        alarm = self.call_at(seconds, lambda: alarm.begin(self._group, function))
        return alarm

    def clear(self) -> None:
        """Let nothing happen that is not due yet."""
        for _, _, alarm in self._waiting:
            alarm.cancel()
        self._waiting.clear()

    async def ring_until(self, over: anyio.Event) -> None:
        """Sleep, and let happen what is due, until an event is set."""
        while not over.is_set():
            self._ring_due()
            if over.is_set():
                return
            with anyio.CancelScope() as self._sleep:
                if self._waiting:
                    self._sleep.deadline = self._waiting[0][0]
                await over.wait()

    def _ring_due(self) -> None:
        now = self.now()
        while self._waiting and self._waiting[0][0] <= now:
            heapq.heappop(self._waiting)[2].ring()


class Stopwatch:
    """The time since a run began, on the clock of its event loop.

    Attributes:
        now: Tells the time.
        began: When it began; never, before it does.
    """

    def __init__(self) -> None:
        self.now: Callable[[], float] = anyio.current_time
        self.began = math.inf

    def seconds(self) -> float:
        """Seconds since then."""
        return self.now() - self.began


def _clock_here() -> Callable[[], float]:
    """Return the clock of the event loop that runs here.

    anyio would find out anew each time which loop that is, which takes ten times as long as to read it.
    """
    clock: Callable[[], float] = getattr(current_token().native_token, "time", anyio.current_time)
    return clock
