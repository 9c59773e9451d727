"""Renew in a forked child what it must not inherit: threads, held locks, jobs of its parent.

A fork copies the memory of a process and only the thread that called it. An object that owns something
that lives with other threads joins the register here, and makes it anew in each child.
"""

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol


class Renewable(Protocol):
    """An owner of something that does not survive a fork."""

    def renew_in_child(self) -> None:
        """Make it anew; called in a child that was just forked, by its only thread."""


_owners: "dict[int, weakref.ref[Renewable]]" = {}


def renew_in_children(owner: Renewable) -> None:
    """Have an object renewed in each child that is forked from now on, while it lives."""
    # By identity: owners need not be hashable, and two that are equal are two.
    found = weakref.ref(owner, _forget)
    _owners[id(found)] = found


def _forget(gone: "weakref.ref[Renewable]") -> None:
    _owners.pop(id(gone), None)


def _renew_all() -> None:
    for one in list(_owners.values()):
        owner = one()
        if owner is not None:
            owner.renew_in_child()


if hasattr(os, "register_at_fork"):  # Not on Windows, where nothing forks.
    os.register_at_fork(after_in_child=_renew_all)


class ProcessLock:
    """A lock that is free in forked children, copies and pickles, even if it is held here.

    Args:
        kind: What to make: ``threading.Lock`` or ``threading.RLock``.
    """

    def __init__(self, kind: Callable[[], Any] = threading.Lock) -> None:
        self._kind = kind
        self.renew_in_child()
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Make the lock anew, and free."""
        self._lock = self._kind()

    def acquire(self, *, timeout: float = -1) -> bool:
        """Wait for the lock, at most this many seconds; return whether it is held now."""
        taken: bool = self._lock.acquire(timeout=timeout)
        return taken

    def release(self) -> None:
        """Let go of the lock."""
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["ProcessLock"], tuple[Callable[[], Any]]]:
        """Copies and pickles are new locks."""
        return ProcessLock, (self._kind,)
