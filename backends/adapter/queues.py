"""How long is the queue? Probes for what providers tell, and a watch that reads them.

A *probe* is a callable without arguments that answers a :class:`QueueReading`. It asks the
provider over the network, so it blocks: call it in a thread, under a deadline. It never raises;
whatever cannot be understood is ``None``, and why is in ``error``.

Implementing:
    A callable of one's own, such as a member's ``queue``, may answer a number, which is a wait in
    *seconds*; a ``datetime.timedelta``; a :class:`QueueReading`, which is the way to tell a number
    of jobs, ``QueueReading(pending_jobs=12)``; or ``None`` if it does not know.
"""

import re
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from inspect import getattr_static
from math import isfinite
from numbers import Real
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.failures.redaction import redact

# Braket writes numbers as "7", ">4000", or "0 (1 prioritized job(s) running)".
_WRITTEN = re.compile(r"\s*>?\s*(\d+(?:\.\d+)?)")
_MAX_WRITTEN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """What was read of one queue; ``None`` is unknown.

    Attributes:
        wait_seconds: How long a job submitted now waits behind those of others.
        pending_jobs: How many jobs of others are queued. Where a provider only says "more than
            4000" it is 4000.
        read_at: When it was asked for, in seconds of the event loop's clock.
        error: Why nothing could be read, for people; secrets are taken out. Empty if it could.
    """

    wait_seconds: float | None = None
    pending_jobs: float | None = None
    read_at: float | None = None
    error: str = ""

    @property
    def known(self) -> bool:
        """Return whether anything was read."""
        return self.wait_seconds is not None or self.pending_jobs is not None


Probe = Callable[[], QueueReading]
"""Asks for the state of one queue. It blocks, and never raises."""

Note = Callable[[str, QueueReading], None]
"""Told what was read of a member, by its name, in the event loop."""


def probe_for(backend: object, queue: Callable[[], Any] | None = None) -> Probe | None:
    """Return a probe of a backend's queue, or ``None`` where there is nothing to ask.

    Only the backend's class is looked at, so that nothing is asked of a provider before the probe
    is called. What is understood: Braket's ``queue_depth()``, the ``average_queue_time`` of an
    Azure target, IonQ's job estimates, and ``status().pending_jobs`` of IBM and its like.

    Args:
        backend: Any Qiskit backend.
        queue: The user's own callable, which wins.
    """
    if queue is not None:
        return partial(ask, queue)
    for fits, read in _KINDS:
        if fits(backend):
            return partial(ask, partial(read, backend))
    return None


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
        return QueueReading(error=_said(error))


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
    ) -> None:
        """Read every queue at once and then at every interval, until cancelled.

        Each member is read on its own, so that a slow one holds up no other. A probe that has not
        answered is left alone, in its thread, and not asked again before it has. Nothing that a
        probe does ends the watch; a failed reading is noted too, with its ``error``.

        A member's ``queue_probe`` is called in a thread. A member without that attribute, such as
        a simulated one, is asked by its method ``queue`` in the event loop, where it must not
        block. A member with neither is not read.

        Args:
            members: The members.
            note: Told each reading. What it raises ends the watch.
            interval_seconds: From the beginning of one reading to that of the next.
            timeout_seconds: How long to wait for an answer.

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
                    group.start_soon(self._refresh, member.name, read, note, interval_seconds)

    async def _refresh(
        self,
        name: str,
        read: Callable[[], Awaitable[QueueReading]],
        note: Note,
        interval_seconds: float,
    ) -> None:
        while True:
            began = anyio.current_time()
            reading = replace(await read(), read_at=began)
            self.failures[name] = 0 if reading.known else self.failures.get(name, 0) + 1
            note(name, reading)
            await anyio.sleep_until(began + interval_seconds)


def can_be_read(member: Any) -> bool:
    """Return whether a member has a queue that a watch can read."""
    return _reader(member, 1.0) is not None


def _reader(member: Any, timeout_seconds: float) -> Callable[[], Awaitable[QueueReading]] | None:
    if hasattr(member, "queue_probe"):
        probe = member.queue_probe
        return None if probe is None else _Threaded(probe, timeout_seconds).read
    queue = getattr(member, "queue", None)
    return partial(_read_here, queue) if callable(queue) else None


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
            return QueueReading(error="has still not answered when it was asked before")
        self._idle.clear()
        with anyio.move_on_after(self._timeout_seconds):
            return await call_in_thread(self._asked)
        return QueueReading(error=f"no answer within {self._timeout_seconds:g} s")

    def _asked(self) -> QueueReading:
        try:
            # Asked once more for a meaning: a probe of the user's may be any callable.
            return ask(self._probe)
        finally:
            self._idle.set()


# -- what providers tell ---------------------------------------------------------------------


def _has(backend: object, *names: str) -> bool:
    """Return whether a backend's class has these names; reading them may ask a provider."""
    missing = object()
    return all(getattr_static(type(backend), name, missing) is not missing for name in names)


def _braket(backend: Any) -> QueueReading:
    """Read Braket's queue depths: tasks of both priorities are before ours."""
    depth = backend.queue_depth()
    tasks = getattr(depth, "quantum_tasks", depth)
    written = tasks.values() if isinstance(tasks, dict) else [tasks]
    counts = [count for count in map(_number, written) if count is not None]
    if not counts:
        return QueueReading(error="queue_depth() tells no number of tasks")
    return QueueReading(pending_jobs=sum(counts))


def _azure(backend: Any) -> QueueReading:
    """Read Azure's average queue time of a target, in seconds."""
    name = backend._get_azure_target_id()  # noqa: SLF001  There is no public way.
    found = backend._get_azure_workspace().get_targets(name=name)  # noqa: SLF001
    targets = found if isinstance(found, list | tuple) else [found]
    for target in targets:
        seconds = _number(getattr(target, "_average_queue_time", None))
        if seconds is not None:
            return QueueReading(wait_seconds=seconds)
    return QueueReading(error="the target tells no average queue time")


def _ionq(backend: Any) -> QueueReading:
    """Read IonQ's prediction of the queue time, in seconds, by the estimate of a small job."""
    estimate = backend.client.estimate_job(
        backend=backend._api_backend_name,  # noqa: SLF001  What its own calls send.
        oneq_gates=1,
        twoq_gates=1,
        qubits=2,
        shots=100,
    )
    seconds = _number(getattr(estimate, "queue_time", None))
    return QueueReading(
        wait_seconds=seconds, error="" if seconds is not None else "the estimate has no queue time"
    )


def _ibm(backend: Any) -> QueueReading:
    """Read the pending jobs of a status, as IBM's backends and many older ones tell them."""
    jobs = _number(getattr(backend.status(), "pending_jobs", None))
    return QueueReading(
        pending_jobs=jobs, error="" if jobs is not None else "status() tells no pending jobs"
    )


def _is_ionq_qpu(backend: object) -> bool:
    # Its simulators have no queue that could be asked for.
    return _has(backend, "_api_backend_name") and not getattr(backend, "_simulator", False)


_KINDS: tuple[tuple[Callable[[object], bool], Callable[[Any], QueueReading]], ...] = (
    (lambda backend: _has(backend, "queue_depth"), _braket),
    (lambda backend: _has(backend, "_get_azure_workspace", "_get_azure_target_id"), _azure),
    (_is_ionq_qpu, _ionq),
    (lambda backend: _has(backend, "status") and not _has(backend, "_api_backend_name"), _ibm),
)


def _as_reading(answer: object) -> QueueReading:
    if isinstance(answer, QueueReading):
        return replace(
            answer,
            wait_seconds=_number(answer.wait_seconds),
            pending_jobs=_number(answer.pending_jobs),
        )
    if isinstance(answer, timedelta):
        answer = answer.total_seconds()
    seconds = _number(answer) if isinstance(answer, Real) else None
    if seconds is None:
        kind = "nothing" if answer is None else f"a {type(answer).__name__} that is no wait"
        return QueueReading(error=f"the queue answered {kind}")
    return QueueReading(wait_seconds=seconds)


def _number(value: object) -> float | None:
    """Return a believable amount, else ``None``."""
    if isinstance(value, str):
        written = _WRITTEN.match(value[:_MAX_WRITTEN])
        return float(written[1]) if written else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    return number if isfinite(number) and number >= 0 else None


def _said(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = redact(str(error))
    except Exception:  # noqa: BLE001  An error that cannot say what it is.
        return name
    return f"{name}: {text}" if text else name
