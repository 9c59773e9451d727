"""Leases: which process works on a run, and whether it is alive.

Clocks say nothing about that: they are set, and differ between machines. On one machine the
operating system knows which processes live; those of another one are known to live by their beats,
which continue while somebody watches.
"""

import os
import socket
from dataclasses import dataclass
from typing import Any

from qiskit_gateway.journal.processes import is_alive, name_place, read_start_time

# The runs that this process works on, by the tokens by which it holds them.
_HELD: set[str] = set()

_COLUMNS = ("kind", "holder", "process", "host", "beat", "beats", "place", "started")
LEASE = ", ".join(_COLUMNS)
HOLD = (
    "UPDATE runs SET state = 'running', holder = :holder, process = :process, host = :host, "
    "beat = :beat, place = :place, started = :started, cancel_asked = 0 WHERE job_id = :job_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The journal's entry for the process that works on a run.

    Attributes:
        kind: Of what kind the run is.
        holder: The token of its holder; ``None`` if there is none.
        process: Their process.
        host: The name of their machine, for people.
        beat: When they were last heard of, by their clock.
        beats: How often they were.
        place: Where the number of their process means something, see :func:`~.processes.name_place`.
        started: When their process began, as far as it can be known there.
    """

    kind: str
    holder: str | None
    process: int | None
    host: str | None
    beat: float | None
    beats: int
    place: str | None
    started: str | None

    @classmethod
    def of(cls, row: Any) -> "Lease":
        """Make the lease of a row of the journal."""
        return cls(**dict(zip(_COLUMNS, row, strict=True)))

    @property
    def lives(self) -> bool | None:
        """Whether the holder is alive; ``None`` if that cannot be told from here.

        Raises:
            TypeError: If the journal holds nonsense; or a ``ValueError`` or ``OverflowError``.
        """
        if self.holder is None:
            return False
        # Where nobody wrote down a place, an earlier version did.
        here = self.place == name_place() if self.place else self.host == socket.gethostname()
        if not here:
            return None
        if self.process == os.getpid() and self.started == read_start_time(os.getpid()):
            return self.holder in _HELD
        return is_alive(self.process, self.started)

    @property
    def who(self) -> str:
        """Name the holder for people."""
        return f"process {self.process} on {self.host}"

    @property
    def heard(self) -> tuple[object, ...]:
        """What changes whenever something is heard of the holder."""
        return self.holder, self.beats, self.beat


def lease_here(holder: str, job_id: str, now: float) -> dict[str, Any]:
    """Work on a run in this process; return the values that say so, for :data:`HOLD`."""
    _HELD.add(holder)
    return {
        "job_id": job_id,
        "holder": holder,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "beat": now,
        "place": name_place(),
        "started": read_start_time(os.getpid()),
    }


def let_go(holder: str) -> None:
    """Work on a run no more."""
    _HELD.discard(holder)
