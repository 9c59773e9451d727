"""What all benchmarks share: a row of the table, paired timing, peak memory, the machine."""

import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes

HEADER = ("case", "against", "router", "figure", "target", "met")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        case: What was measured.
        against: What the router is held against, as text; empty where that is the target alone.
        router: What the router did, as text.
        figure: What the target is about.
        unit: Its unit: ``"x"`` for how many times faster or less.
        at_least: The target, where more is better.
        at_most: The target, where less is better.
    """

    case: str
    against: str = ""
    router: str
    figure: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Return whether the target is met; a row without one is not there to miss it."""
        least = self.at_least is None or self.figure >= self.at_least
        return least and (self.at_most is None or self.figure <= self.at_most)

    @property
    def target(self) -> str:
        """Return the target as text."""
        if self.at_least is not None:
            return f">= {self.at_least:g} {self.unit}"
        return "" if self.at_most is None else f"<= {self.at_most:g} {self.unit}"

    @property
    def cells(self) -> tuple[str, ...]:
        """Return what stands in the table."""
        met = "" if not self.target else "yes" if self.met else "MISSED"
        figure = f"{self.figure:.3g}" if self.figure < 1000 else f"{self.figure:.0f}"
        return self.case, self.against, self.router, f"{figure} {self.unit}", self.target, met


def faster(
    case: str, theirs: float, ours: float, *, who: str = "", target: float | None = None
) -> Row:
    """Return a row on two times in seconds."""
    return Row(
        case=case,
        against=f"{who} {timed(theirs)}".strip(),
        router=timed(ours),
        figure=theirs / ours,
        unit="x",
        at_least=target,
    )


def timed(seconds: float) -> str:
    """Return a time as text, in a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def sized(size: float) -> str:
    """Return bytes as text."""
    return f"{size / 1e6:.4g} MB"


def seconds(run: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long something takes, starting with no garbage."""
    gc.collect()
    began = clock()
    run()
    return clock() - began


def slowness(passes: int = 20) -> float:
    """Return how many milliseconds a fixed loop takes now, by which absolute times are divided.

    It does what this project's own code does most, calls, look-ups and small objects, and is made to
    take about one on an idle core of the machine on which it was written.
    """
    return min(seconds(_calibrate, time.process_time) for _ in range(passes)) / 1e-3


def _calibrate() -> None:
    seen: dict[int, tuple[int, float]] = {}
    for number in range(5_000):
        order, total = seen.get(number % 97, (0, 0.0))
        seen[number % 97] = max(order, number), total + number * 0.5


def paired(runs: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the shortest time of each, taken in turn.

    In turn, so that whatever else the machine does hits all of them; and the shortest, because
    what else it does only ever adds.
    """
    return [min(times) for times in zip(*rounds(runs, repeats), strict=True)]


def rounds(runs: Sequence[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """Return the times of each, taken in turn, round after round."""
    return [[seconds(run) for run in runs] for _ in range(repeats)]


def sweep(qubits: int, rows: int) -> tuple[QuantumCircuit, Any]:
    """Return a measured circuit with parameters, and so many rows of values for them."""
    circuit = real_amplitudes(qubits, entanglement="linear", reps=1).decompose()
    circuit.measure_all()
    values = np.random.default_rng(1).uniform(-3, 3, (rows, circuit.num_parameters))
    return circuit, values


def grown_bytes(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return by how much the memory of this process grew at most while running, and the answer.

    Only right where the process never held more before: for processes of their own.
    """
    gc.collect()
    before = _resident("VmRSS")
    answer = run()
    return _resident("VmHWM") - before, answer


def _resident(what: str) -> float:
    """Return the bytes that this process holds, or that it held at most.

    From Linux alone: elsewhere, and by ``getrusage``, a process is told what its parent held.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status does not tell {what}")


def in_process(module: str, *arguments: object) -> Any:
    """Run a module of the benchmarks in a fresh interpreter, and return the JSON it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)  # noqa: S603
    return json.loads(done.stdout)


def machine() -> str:
    """Return what this was measured on."""
    packages = ", ".join(filter(None, map(_versioned, ("qiskit", "qiskit-aer", "numpy"))))
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}; "
        f"load average {load:.1f} at the start"
    )


def _versioned(package: str) -> str:
    """Return a package and its version; nothing where it is not installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    for line in told.read_text().splitlines() if told.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
