"""The drill itself: trouble for each contender alike, and a table of what came."""

import argparse
import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import transpile
from scipy.optimize import linprog

from benchmarks.drill.contenders import CONTENDERS
from benchmarks.drill.judging import ERROR, is_wrong
from benchmarks.drill.machine_load import MachineLoad, processor_seconds
from benchmarks.drill.providers import FOLDER, NAMES, make_backends, read_books
from benchmarks.drill.work import USD_SHOT, USD_TASK, Work, exact_distribution, is_poison
from benchmarks.measure import machine

COLUMNS = (
    "",
    "wrong answers",
    "lost shots",
    "jobs paid twice",
    "USD over budget",
    "time / bound",
    "lines of code",
)
_WORKERS = 2
# What one provider is down for, as a share of the work.
_OUTAGE = 0.4
# Whoever is not done by then hangs; what it has kept by then counts.
_PATIENCE_SECONDS = 240.0
# An outage ends when nothing has come for so long: who has sent all else would wait for ever.
_STALLED_SECONDS = 15.0
_LOOK_SECONDS = 0.05
# So much of the machine taken by others is told.
_SHOWN_BUSY = 0.02
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """When things go wrong, in shares of the circuits that came back.

    Attributes:
        down: When IonQ goes down; it is back after 40 % of the work.
        killed: When the client is killed.
    """

    down: float
    killed: float

    @classmethod
    def draw(cls, seed: int) -> "Trouble":
        """Draw it from a seed."""
        rng = np.random.default_rng([seed, 1])
        return cls(down=rng.uniform(0.05, 0.4), killed=rng.uniform(0.1, 0.8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row of the table."""

    name: str
    wrong: int
    lost_shots: int
    paid_twice: int
    usd_over: float
    ratio: float
    lines: int

    @property
    def cells(self) -> tuple[str, ...]:
        """Return what stands in the table."""
        return (
            self.name,
            f"{self.wrong}",
            f"{self.lost_shots:,}",
            f"{self.paid_twice}",
            f"{self.usd_over:,.2f}",
            f"{self.ratio:.1f}",
            f"{self.lines}",
        )

    @property
    def spotless(self) -> bool:
        """Nothing is wrong, lost, paid twice or over the budget."""
        return not (self.wrong or self.lost_shots or self.paid_twice or self.usd_over)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill, and print its table; return 1 if the row of qiskit-gateway is not all zeros."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks drill", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of circuits and trouble (default: 0)")
    parser.add_argument("--small", action="store_true", help="60 circuits in place of 1000")
    parser.add_argument("--only", choices=CONTENDERS, help="one contender alone")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    work = Work(given.seed, 60 if given.small else 1000)
    outcomes = list(run_all(work, [given.only] if given.only else [*CONTENDERS]))
    command = " ".join(
        ["python -m benchmarks drill", f"--seed {given.seed}", *["--small"] * given.small]
    )
    print(f"\n{table(outcomes)}\n\nBy `{command}`, {work.count} circuits of {work.shots} shots,")
    print(f"a chance of {ERROR:g} to call a right answer wrong. {machine()}.")
    return 0 if all(one.spotless for one in outcomes if one.name == "qiskit-gateway") else 1


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table as Markdown."""
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *(one.cells for one in outcomes)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def run_all(work: Work, names: Sequence[str]) -> Iterator[Outcome]:
    """Put each contender through the same trouble."""
    exact = {one.name: exact_distribution(one) for one in work.circuits}
    trouble = Trouble.draw(work.seed)
    with tempfile.TemporaryDirectory() as root:
        work.save(Path(root) / "circuits.qpy")
        bound = _bound_seconds(work, Path(root) / "rates")
        print(f"{work.count} circuits; nobody is done before {bound:.1f} s", flush=True)
        for name in names:
            folder = Path(root) / name.replace(" ", "_")
            seconds, busy = run_contender(name, work, trouble, folder)
            outcome = judge(name, work, folder, exact, seconds * (1 - busy) / bound)
            others = f", {busy:.0%} of the machine taken by others" if busy >= _SHOWN_BUSY else ""
            print(f"{name}: {seconds:.1f} s{others}, {_summary(folder)}", flush=True)
            if not (folder / "answers.json").exists():
                print((folder / "said").read_text()[-3000:], flush=True)
            yield outcome


def run_contender(name: str, work: Work, trouble: Trouble, folder: Path) -> tuple[float, float]:
    """Let a contender do the work in a folder, with all that goes wrong.

    Returns:
        Its seconds, and the share of the machine that others had meanwhile, in [0, 1).
    """
    with _ionq(folder) as (url, server):
        environment = _environment(folder, url)
        command = [sys.executable, "-m", "benchmarks.drill.client", name]
        command += [str(work.seed), str(work.count)]
        began = came = time.monotonic()
        client = _start(command, environment, folder)
        load = MachineLoad([os.getpid(), server.pid, client.pid])
        killed, share = False, 0.0
        while client.poll() is None and time.monotonic() - began < _PATIENCE_SECONDS:
            before, share = share, _share_of(work, folder)
            came = time.monotonic() if share > before else came
            stalled = time.monotonic() - came > _STALLED_SECONDS
            _set_down(folder, down=trouble.down <= share < trouble.down + _OUTAGE and not stalled)
            if not killed and share >= trouble.killed:
                _kill(client)
                client, killed = _start(command, environment, folder), True
                load.add(client.pid)
            load.look()
            time.sleep(_LOOK_SECONDS)
        _kill(client)
        return time.monotonic() - began, load.share_of_others


def _share_of(work: Work, folder: Path) -> float:
    """Tell which share of the circuits has come back."""
    return len({one for line in read_books(folder) for one in line["circuits"]}) / work.count


def judge(
    name: str, work: Work, folder: Path, exact: dict[str, dict[str, float]], ratio: float
) -> Outcome:
    """Hold what came against what is right, and the books against the budget."""
    path = folder / "answers.json"
    answers = json.loads(path.read_text()) if path.exists() else {}
    books = read_books(folder)
    arrived = sum(min(work.shots, sum(one.values())) for one in answers.values())
    program = inspect.getsource(CONTENDERS[name]).splitlines()
    return Outcome(
        name=name,
        wrong=sum(is_wrong(found, exact[key]) for key, found in answers.items()),
        lost_shots=work.count * work.shots - arrived,
        paid_twice=_count_paid_twice(books, work.shots),
        usd_over=max(0.0, sum(line["usd"] for line in books) - work.budget_usd),
        ratio=ratio,
        lines=sum(bool(line.strip()) for line in program),
    )


def _count_paid_twice(books: list[dict[str, Any]], shots: int) -> int:
    """Count jobs that cost money for what another job was paid for, too.

    What a worker computed for nothing may be gone with the client that was killed: doing that again,
    wherever, is what is right.
    """
    paid = [line for line in books if line["usd"]]
    ran: Counter[str] = Counter()
    for line in paid:
        ran.update(dict.fromkeys(line["circuits"], line["shots"]))
    return sum(any(ran[one] > shots for one in line["circuits"]) for line in paid)


def _summary(folder: Path) -> str:
    ran: Counter[str] = Counter()
    for line in read_books(folder):
        ran[line["at"]] += len(line["circuits"])
    return ", ".join(f"{ran[name]} at {name}" for name in NAMES)


def _bound_seconds(work: Work, folder: Path) -> float:
    """Work out a time that nobody can beat, knowing everything beforehand.

    Each provider's rate is that of compiling and running the same circuits, in seconds of a processor:
    what else the machine does meanwhile makes no difference. Starting a client takes what it does
    without work, twice, since it is killed once.
    The share of each is chosen best by a linear program, under the budget, IonQ's outage, the
    width of each provider and the number of processors.
    """
    each, costs = [], []
    narrow = [one for one in work.circuits if one.num_qubits <= 5]
    with _ionq(folder) as (url, server):
        os.environ |= _environment(folder, url)
        before = _waited_seconds()
        _start([sys.executable, "-m", "benchmarks.drill.client"], {**os.environ}, folder).wait()
        start = _waited_seconds() - before
        for name, backend in make_backends().items():
            sample = [one for one in narrow if not is_poison(one)][:20]
            backend.run(transpile(sample[0], backend), shots=work.shots).result()
            began = time.process_time() + processor_seconds(server.pid)
            ready = transpile(sample, backend, optimization_level=1)
            backend.run(ready, shots=work.shots).result()
            seconds = time.process_time() + processor_seconds(server.pid) - began
            each.append(seconds / len(sample))
            costs.append(USD_TASK + USD_SHOT * work.shots if name == "ionq" else 0.0)
    return _least_seconds(work, each, costs, len(narrow)) + 2 * start


def _least_seconds(work: Work, each: Sequence[float], costs: Sequence[float], narrow: int) -> float:
    """Share the circuits out for the shortest time.

    Args:
        work: The circuits.
        each: Seconds of a processor that one takes, by provider.
        costs: What one costs, in USD.
        narrow: How many fit into the narrowest provider.
    """
    # Unknown: circuits of each provider, and the time; IonQ works in the rest of it alone.
    workers = [_WORKERS if name == "aer" else 1 for name in NAMES]
    time_left = [-(1 - _OUTAGE) if name == "ionq" else -1.0 for name in NAMES]
    slopes = np.diag(np.array(each) / workers)
    at_most = [[*slope, left] for slope, left in zip(slopes, time_left, strict=True)]
    at_most += [[*each, -float(os.cpu_count() or 1)]]
    at_most += [[*costs, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    limits = [0.0] * (len(NAMES) + 1) + [work.budget_usd, float(narrow)]
    best = linprog(
        [0, 0, 0, 0, 1], A_ub=at_most, b_ub=limits, A_eq=[[1, 1, 1, 1, 0]], b_eq=[work.count]
    )
    return float(best.x[-1])


def _waited_seconds() -> float:
    """Seconds of processors that children have taken that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment(folder: Path, url: str) -> dict[str, str]:
    return {**os.environ, FOLDER: str(folder), "IONQ_API_URL": url}


@contextmanager
def _ionq(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve IonQ's API in a process of its own; give its address, and the process."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.drill.providers", str(folder)]
    server = _start(command, dict(os.environ), folder)
    try:
        while not (folder / "url").exists():
            if server.poll() is not None:
                sys.exit((folder / "said").read_text())
            time.sleep(_LOOK_SECONDS)
        yield (folder / "url").read_text(), server
    finally:
        _kill(server)


def _start(
    command: Sequence[str], environment: dict[str, str], folder: Path
) -> "subprocess.Popen[bytes]":
    with (folder / "said").open("ab") as said:
        # A group of its own, so that its workers go down with it.
        return subprocess.Popen(  # noqa: S603
            command, env=environment, cwd=_ROOT, stdout=said, stderr=said, start_new_session=True
        )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _set_down(folder: Path, *, down: bool) -> None:
    if down:
        (folder / "down").touch()
    else:
        (folder / "down").unlink(missing_ok=True)
