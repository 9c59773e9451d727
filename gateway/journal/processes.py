"""Processes of this machine, by the operating system: where their numbers hold, and which are alive."""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


@cache
def name_place() -> str:
    """Name where the number of a process means the same as here: one boot of one machine.

    And one container: those of a machine number their processes anew, and may share a name.
    """
    try:
        return f"{name_boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


@cache
def name_boot() -> str:
    """Name one boot of this machine, during which its monotonic clock keeps running."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def read_start_time(process: int) -> str | None:
    """Read the start time of a process, because ids are reused; ``""`` if it has ended.

    ``None`` where the system does not tell in a way that no clock changes.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    # The name of the program is in brackets, and may hold anything. One that has ended and
    # that nobody has asked after yet still has a number.
    state, *numbers = stat.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else numbers[18]


def is_alive(process: Any, started: str | None) -> bool | None:
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
    now = read_start_time(process)
    if now == "":
        return False
    return None if now is None or started is None else now == started
