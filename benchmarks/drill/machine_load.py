"""How much of the machine others took, as Linux tells it: what they had, a contender could not have."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Looking through all processes takes some milliseconds.
_LOOK_SHARE = 10


class MachineLoad:
    """The processor time of the machine since it was made, and how much of it others had.

    Where the system does not tell, nobody had anything.

    Args:
        sessions: The sessions of processes that are no others, by their leaders.
    """

    def __init__(self, sessions: Iterable[int]) -> None:
        self._sessions = {os.getsid(one) for one in sessions}
        self._looks = 0
        self._seconds: dict[tuple[int, str], float] = {}
        self._began = _machine_seconds()
        self._ours_before = self._ours()

    def add(self, process: int) -> None:
        """Count a further session as no others'."""
        self._sessions.add(os.getsid(process))

    def look(self) -> None:
        """Note what our processes have had by now: those that end tell no more. To be called often."""
        self._looks += 1
        if self._looks % _LOOK_SHARE == 0:
            self._ours()

    @property
    def share_of_others(self) -> float:
        """The share of the machine that others had, in [0, 1]."""
        busy, whole = (
            now - then for now, then in zip(_machine_seconds(), self._began, strict=True)
        )
        ours = self._ours() - self._ours_before
        return min(1.0, max(0.0, busy - ours) / whole) if whole > 0 else 0.0

    def _ours(self) -> float:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            facts = _stat(stat)
            if facts and int(facts[3]) in self._sessions:
                # A number is given to another process only with another start.
                self._seconds[int(stat.parent.name), facts[19]] = _seconds_of(facts)
        return sum(self._seconds.values())


def processor_seconds(process: int) -> float:
    """Read the processor time that a process has had; 0 where the system does not tell."""
    facts = _stat(Path(f"/proc/{process}/stat"))
    return _seconds_of(facts) if facts else 0.0


def _stat(path: Path) -> list[str]:
    """Read the facts of a process after its name, which may hold anything."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _seconds_of(facts: list[str]) -> float:
    return (int(facts[11]) + int(facts[12])) / _TICKS


def _machine_seconds() -> tuple[float, float]:
    """Read how long processors were busy, and how long there were any."""
    try:
        told = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    except OSError:
        return 0.0, 0.0
    counts = [int(one) / _TICKS for one in told]
    return sum(counts) - counts[3] - counts[4], sum(counts)
