"""Leases: which process works on a run, and whether it is alive.

Clocks say nothing about that: they are set, and differ between machines. On one machine the
operating system knows which processes live; those of another one are known to live by their beats,
which go on while somebody watches.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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
        place: Where the number of their process means something, see :func:`_place`.
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
        here = self.place == _name_place() if self.place else self.host == socket.gethostname()
        if not here:
            return None
        if self.process == os.getpid() and self.started == _read_start_time(os.getpid()):
            return self.holder in _HELD
        return _is_alive(self.process, self.started)

    @property
    def who(self) -> str:
        """Name the holder for people."""
        return f"process {self.process} on {self.host}"

    def is_later(self, earlier: "Lease") -> bool:
        """Check whether the holder has reported since an earlier look."""
        return (self.holder, self.beats, self.beat) != (
            earlier.holder,
            earlier.beats,
            earlier.beat,
        )


def lease_here(holder: str, job_id: str, now: float) -> dict[str, Any]:
    """Work on a run in this process; return the values that say so, for :data:`HOLD`."""
    _HELD.add(holder)
    return {
        "job_id": job_id,
        "holder": holder,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "beat": now,
        "place": _name_place(),
        "started": _read_start_time(os.getpid()),
    }


def let_go(holder: str) -> None:
    """Work on a run no more."""
    _HELD.discard(holder)


@cache
def _name_place() -> str:
    """Name where the number of a process means the same as here: one boot of one machine.

    And one container: those of a machine number their processes anew, and may share a name.
    """
    try:
        return f"{name_boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


@cache
def name_boot() -> str:
    """Name one boot of this machine, during which its monotonic clock goes on."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _read_start_time(process: int) -> str | None:
    """Read the start time of a process, because ids are reused; ``""`` if it has ended.

    ``None`` where the system does not tell in a way that no clock changes.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    # The name of the program stands in brackets, and may hold anything. One that has ended and
    # that nobody has asked after yet still has a number.
    state, *numbers = stat.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else numbers[18]


def _is_alive(process: Any, started: str | None) -> bool | None:
    """Check whether a process of this machine is alive; ``None`` if that cannot be told."""
    if not isinstance(process, int) or process <= 0:
        raise ValueError(f"{process!r} is no process")
    if os.name != "posix":
        return None  # os.kill would end it there.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    now = _read_start_time(process)
    if now == "":
        return False
    return None if now is None or started is None else now == started
