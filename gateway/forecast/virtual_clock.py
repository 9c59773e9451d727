"""An event loop on which hours of queue take milliseconds."""

import asyncio
from typing import Any


class JumpingLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time jumps to the next timer whenever nothing else can run.

    It begins at 0, or where it is told to, and its time passes only by jumping, so that what runs on it is repeatable.
    It must not be used with threads: their work takes no time on its clock.
    """

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._jumped = start
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

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumped
