"""One at a time on one backend object, and no waiting behind a call that hangs.

Many backends keep the state of a run on themselves. But a call that hangs keeps its turn for ever;
once its caller has left, the callers that wait behind it learn so, and that nothing was sent.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.failures.errors import BackendError, network_fault
from qiskit_gateway.backends.forks import ProcessLock

T = TypeVar("T")

# How often waiting callers check whether they still should wait.
_LOOK_SECONDS = 0.1


class Errand:
    """Something that a thread does for a caller who may leave before it is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self.left = False

    def begin(self) -> None:
        """Note that a provider is about to be asked.

        Raises:
            BackendError: If the caller has left: a job now would be nobody's.
        """
        with self._lock:
            if self.left:
                raise BackendError("nobody waits for this job any more", submitted=False)
            self._begun = True

    def leave(self) -> bool:
        """Note that the caller leaves; return whether a provider was asked."""
        with self._lock:
            self.left = True
            return self._begun


async def on_errand(function: Callable[[Errand], T]) -> T:
    """Call a blocking function in a thread that learns when its caller has left."""
    errand = Errand()
    try:
        return await call_in_thread(lambda: function(errand))
    finally:
        errand.leave()


class Turns:
    """A lock whose holder may hang."""

    def __init__(self, backend: BackendV2) -> None:
        self._backend = backend
        self._lock = ProcessLock()
        self._holder: Errand | None = None

    def __reduce__(self) -> "tuple[Callable[[BackendV2], Turns], tuple[BackendV2]]":
        """Copies and pickles are the turns of the copied backend, which nobody holds yet."""
        return turns_of, (self._backend,)

    @contextmanager
    def hold(self, errand: Errand) -> Iterator[None]:
        """Wait for the turn of an errand, and hold it.

        Raises:
            BackendError: If its caller has left, or if the one before it hangs and was left.
        """
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            holder = self._holder
            if errand.left:
                raise BackendError("nobody waits for this job any more", submitted=False)
            if holder is not None and holder.left:
                raise make_hung_error()
        self._holder = errand
        try:
            yield
        finally:
            self._holder = None
            self._lock.release()


def make_hung_error() -> BackendError:
    """Make the failure of a call that was not made because one before it hangs."""
    return network_fault("an earlier call of the backend hangs, so that nothing was sent")


# By identity, since a backend need have neither a hash nor a weak reference, and may equal another
# one. Turns keep their backend, so that no other has its id as long as they live.
_TURNS: "WeakValueDictionary[int, Turns]" = WeakValueDictionary()
_TAKING = ProcessLock()


def turns_of(backend: BackendV2) -> Turns:
    """Return the turns of a backend object, the same for all members over it."""
    with _TAKING:
        return _TURNS.setdefault(id(backend), Turns(backend))
