"""Tasks that watch a run, and are of no use once it is over."""

from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup


class Onlookers:
    """The onlookers of one run.

    Most runs have none, and to cancel a group takes longer than to have one.
    """

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._any = False

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Begin one, with the next turn of the loop."""
        self._any = True
        self._group.start_soon(function, *args)

    def dismiss(self) -> None:
        """End them, and all else that still runs in their group."""
        if self._any:
            self._group.cancel_scope.cancel()
