"""Queue probes for each kind of provider, and a watch that reads them.

A *probe* is a callable without arguments that answers a :class:`QueueReading`. It asks the
provider over the network, so it blocks: call it in a thread, under a deadline. It never raises;
whatever cannot be understood is ``None``, and why is in ``error``.

Implementing:
    A callable of one's own, such as a member's ``queue``, may answer a number, which is a wait in
    *seconds*; a ``datetime.timedelta``; a :class:`QueueReading`, which is the way to tell a number
    of jobs, ``QueueReading(pending_jobs=12)``; or ``None`` if it does not know.
"""

import math
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from inspect import getattr_static
from numbers import Real
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.interface.protocol import ProbesQueue, TellsQueue, able
from qiskit_gateway.backends.interface.queue_reading import Probe, QueueReading, amount_of
from qiskit_gateway.backends.registry import profiles_around

Note = Callable[[str, QueueReading], None]
"""Told what was read of a member, by its name, in the event loop."""


def probe_for(backend: object, queue: Callable[[], Any] | None = None) -> Probe | None:
    """Make a probe of a backend's queue, or ``None`` where there is nothing to ask.

    Only the backend's class is looked at, so that nothing is asked of a provider before the probe
    is called. Profiles of providers say what can be asked; ``status().pending_jobs`` of IBM and its
    like is understood besides.

    Args:
        backend: Any Qiskit backend.
        queue: The user's own callable, which wins.
    """
    if queue is not None:
        return partial(ask, queue)
    for kind in (profile.queue for profile in profiles_around(backend)):
        if kind is not None and _has(backend, *kind.names):
            return partial(ask, partial(kind.read, backend)) if kind.exists(backend) else None
    return partial(ask, partial(_read_status, backend)) if _has(backend, "status") else None


def ask(queue: Callable[[], Any]) -> QueueReading:
    """Call a callable and return what it says of a queue, whatever that is. May block.

    Args:
        queue: See *Implementing* in this module.
    """
    try:
        return _as_reading(queue())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  Of a provider; a reading is not worth a run.
        return QueueReading(error=_describe_error(error), answered=False)


class QueueWatch:
    """Reads the queues of members again and again, in the background.

    Attributes:
        failures: By member: readings in a row, up to the last, of which nothing was learned.
    """

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}

    async def watch(
        self,
        members: Iterable[Any],
        note: Note,
        *,
        interval_seconds: float = 300.0,
        timeout_seconds: float = 10.0,
        fresh_until: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """Read every queue at once and then at every interval, until cancelled.

        Each member is read on its own, so that a slow one holds up no other. A probe that has not
        answered is left alone, in its thread, and not asked again before it has. Nothing that a
        probe does ends the watch; a failed reading is noted too, with its ``error``.

        What a :class:`ProbesQueue` gives is called in a thread. A :class:`TellsQueue`, such as a
        simulated member, is asked in the event loop. A member that is neither is not read.

        Args:
            members: The members.
            note: Told each reading. What it raises ends the watch.
            interval_seconds: From the beginning of one reading to that of the next.
            timeout_seconds: How long to wait for an answer.
            fresh_until: Tells until when nothing need be read, since somebody else has, in seconds
                of the loop's clock.

        Raises:
            ValueError: If a time is not positive.
        """
        for name, seconds in (("interval", interval_seconds), ("timeout", timeout_seconds)):
            if not seconds > 0:
                raise ValueError(f"{name}_seconds must be positive, got {seconds!r}")
        async with anyio.create_task_group() as group:
            for member in members:
                read = _reader(member, timeout_seconds)
                if read is not None:
                    refresh = partial(self._refresh, member.name, read, note)
                    group.start_soon(refresh, interval_seconds, fresh_until)

    async def _refresh(
        self,
        name: str,
        read: Callable[[], Awaitable[QueueReading]],
        note: Note,
        interval_seconds: float,
        fresh_until: Callable[[], float],
    ) -> None:
        while True:
            while (until := fresh_until()) > anyio.current_time():  # noqa: ASYNC110  It moves on.
                await anyio.sleep_until(until)
            began = anyio.current_time()
            reading = replace(await read(), read_at=began)
            self.failures[name] = 0 if reading.known else self.failures.get(name, 0) + 1
            note(name, reading)
            await anyio.sleep_until(began + interval_seconds)


def can_be_read(member: Any) -> bool:
    """Check whether a member has a queue that a watch can read."""
    return _reader(member, 1.0) is not None


def _reader(member: Any, timeout_seconds: float) -> Callable[[], Awaitable[QueueReading]] | None:
    if able(member, ProbesQueue):
        probe = member.queue_probe
        return None if probe is None else _Threaded(probe, timeout_seconds).read
    return partial(_read_here, member.queue) if able(member, TellsQueue) else None


async def _read_here(queue: Callable[[], Any]) -> QueueReading:
    await checkpoint()
    return ask(queue)


class _Threaded:
    """A probe that is called in a thread, one call at a time."""

    def __init__(self, probe: Probe, timeout_seconds: float) -> None:
        self._probe = probe
        self._timeout_seconds = timeout_seconds
        self._idle = threading.Event()
        self._idle.set()

    async def read(self) -> QueueReading:
        # A thread that hangs for ever must not become one more at every interval.
        if not self._idle.is_set():
            return QueueReading(
                error="has still not answered when it was asked before", answered=False
            )
        self._idle.clear()
        with anyio.move_on_after(self._timeout_seconds):
            return await call_in_thread(self._ask)
        return QueueReading(error=f"no answer within {self._timeout_seconds:g} s", answered=False)

    def _ask(self) -> QueueReading:
        try:
            # Asked once more for a meaning: a probe of the user's may be any callable.
            return ask(self._probe)
        finally:
            self._idle.set()


# -- what providers tell ---------------------------------------------------------------------


def _has(backend: object, *names: str) -> bool:
    """Check that a backend's class has these names; reading them may ask a provider."""
    missing = object()
    return all(getattr_static(type(backend), name, missing) is not missing for name in names)


def _read_status(backend: Any) -> QueueReading:
    """Read the pending jobs of a status, as IBM's backends and many older ones tell them."""
    jobs = amount_of(getattr(backend.status(), "pending_jobs", None))
    return QueueReading(
        pending_jobs=jobs, error="" if jobs is not None else "status() tells no pending jobs"
    )


def _as_reading(answer: object) -> QueueReading:
    if isinstance(answer, QueueReading):
        return replace(
            answer,
            wait_seconds=amount_of(answer.wait_seconds),
            pending_jobs=amount_of(answer.pending_jobs),
        )
    if isinstance(answer, timedelta):
        answer = answer.total_seconds()
    seconds = amount_of(answer) if isinstance(answer, Real) else None
    if seconds is None:
        kind = "nothing" if answer is None else f"a {type(answer).__name__} that is no wait"
        return QueueReading(error=f"the queue answered {kind}")
    return QueueReading(wait_seconds=seconds)


def _describe_error(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = redact(str(error))
    except Exception:  # noqa: BLE001  An error that cannot say what it is.
        return name
    return f"{name}: {text}" if text else name
