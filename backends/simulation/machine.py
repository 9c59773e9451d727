"""The schedule of a simulated machine's jobs, without a clock or a task."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio

Window = tuple[float, float]
End = Literal["done", "failed", "outage", "cancelled"]


@dataclass(slots=True, kw_only=True, eq=False)
class SimulatedJob:
    """A job on a simulated machine; all times in seconds of the event loop's clock.

    Attributes:
        job_id: Its id.
        shape: Bits and circuits of each entry.
        shots: Shots of each circuit that are wanted.
        ready: When it may start: its turn among the jobs of others has come.
        seconds: How long it would run.
        fails: Whether it fails at its end.
        started: When it starts, as far as is known now; fixed once that has passed. A job that was
            cancelled before starts when it ends.
        finished: When it ends, as far as is known now.
        end: How it ends: ``"outage"`` where the machine goes down under it.
        moved: Set when the times have changed; then there is a new event.
        announce: Called once it runs, by the task that waits for it then.
    """

    job_id: str
    shape: tuple[tuple[int, int], ...]
    shots: int
    ready: float
    seconds: float
    fails: bool
    started: float = math.inf
    finished: float = math.inf
    end: End = "done"
    moved: anyio.Event = field(default_factory=anyio.Event)
    announce: Callable[[], None] | None = None


class Machine:
    """The schedule of all jobs that have not ended, changed as jobs come and go.

    It serves in the order in which jobs may start, never stops a job for another, and never
    idles while one may start. So a job that comes last in that order moves no other.

    Args:
        lanes: How many jobs run at a time.
        outages: When none does; disjoint, in order.
    """

    def __init__(self, lanes: int, outages: Sequence[Window]) -> None:
        self._lanes = lanes
        self._outages = outages
        self._line: list[SimulatedJob] = []
        self._free = [-math.inf] * lanes
        self._last_ready = -math.inf

    def is_down(self, now: float) -> bool:
        """Check whether there is an outage."""
        return any(start <= now < end for start, end in self._outages)

    def busy(self, now: float) -> int:
        """Number of jobs that wait or run."""
        self._line = [job for job in self._line if job.finished > now]
        return len(self._line)

    def add(self, job: SimulatedJob, now: float) -> None:
        """Put a job into the line."""
        self._line.append(job)
        if job.ready >= self._last_ready:
            self._place(job, now)
        else:
            self._plan(now)

    def stop(self, job: SimulatedJob, now: float) -> None:
        """Take a job that has not ended out of the line, or off the machine."""
        self._line.remove(job)
        job.started = min(job.started, now)
        _move(job, now, "cancelled")
        self._plan(now)

    def _plan(self, now: float) -> None:
        """Plan anew all that has not started."""
        running = [job.finished for job in self._line if job.started <= now < job.finished]
        waiting = [job for job in self._line if job.started > now]
        self._free = running + [-math.inf] * (self._lanes - len(running))
        heapq.heapify(self._free)
        self._last_ready = -math.inf
        for job in sorted(waiting, key=lambda job: job.ready):
            self._place(job, now)

    def _place(self, job: SimulatedJob, now: float) -> None:
        start = max(job.ready, self._free[0], now)
        for down, up in self._outages:
            if down <= start < up:
                start = up
        finish = start + job.seconds
        cut = next((down for down, _ in self._outages if start < down < finish), None)
        job.started = start
        if cut is None:
            _move(job, finish, "failed" if job.fails else "done")
        else:
            _move(job, cut, "outage")
        heapq.heapreplace(self._free, job.finished)
        self._last_ready = job.ready


def _move(job: SimulatedJob, finished: float, end: End) -> None:
    job.end = end
    if job.finished != finished:
        job.finished = finished
        job.moved.set()
        job.moved = anyio.Event()
