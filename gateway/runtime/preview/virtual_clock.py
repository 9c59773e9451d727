"""An event loop on which hours of queue take milliseconds."""

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
_Args = TypeVarTuple("_Args")


class JumpingLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time jumps to the next timer whenever nothing else can run.

    It begins at 0, or where it is told to, and its time passes only by jumping, so that what runs on it is repeatable.
    Timers of one time fire in the order in which they were set: asyncio leaves that to the shape of
    its heap, which any other timer changes.
    It must not be used with threads: their work takes no time on its clock. :func:`work_at_once` replaces them.
    """

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._jumped = start
        self._turns = count()
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(timeout: float | None = None) -> Any:
            events = select(0)
            if not events and timeout is None:
                raise RuntimeError("every task waits for another: nothing is left to happen")
            if not events and timeout:
                self._jumped += timeout
            return events

        selector.select = jump

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call a function at a given time. Equal times run in the order of the calls."""
        timer = _Timer(when, callback, args, self, context)
        timer.turn = next(self._turns)
        # As the base class does it, which makes its own kind of timer.
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001
        return timer

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumped


class _Timer(asyncio.TimerHandle):
    """A timer that comes after those of its time that were set before it."""

    __slots__ = ("turn",)
    turn: int

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        return (self.when(), self.turn) < (other.when(), other.turn)


async def work_at_once(function: Callable[[], T]) -> T:
    """Do work here that elsewhere a thread does: on a clock that jumps it takes no time."""
    return function()
