"""What a journal costs over Aer: the processor time of its own calls, as a share of the run's.

The calls are timed one by one in the threads that make them; the share is what that adds to the
processor time of the run without a journal. Whole runs are timed as well, with one and without in
turn: by how much those with one take longer is the median over all pairs, told with its quartiles,
since the difference of two runs is mostly noise.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from benchmarks.measure import Row, rounds, seconds, sweep, timed
from qiskit_gateway import Journal, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.journal.storage.write_queue import WriteQueue

# Runs of more seconds than this are to lose at most so many per cent to the journal.
LONG = 0.1
BOUND = 5.0
_METERED = {
    Journal: ("begin",),
    WriteQueue: ("_write",),
}


def distinct(qubits: int, count: int) -> list[QuantumCircuit]:
    """Return circuits with nothing in common."""
    circuit, values = sweep(qubits, count)
    return [circuit.assign_parameters(row) for row in values]


def member(**limits: int) -> Member:
    """Return Aer on one thread, taking jobs of limited size."""
    backend = AerSimulator(max_parallel_threads=1)
    return Member(backend, limits=Limits(**limits))


def cases(part: int) -> dict[str, Callable[[Journal | None], Any]]:
    """Return the runs, by what they are; of a part of the size."""
    whole, small, few = member(max_in_flight=1), member(max_in_flight=2, max_circuits=10), member()
    rows, many = sweep(5, 1000 // part), distinct(5, 300 // part)
    bare = rows[0].remove_final_measurements(inplace=False)
    pub = (bare, [["ZZZZZ"], ["XXXXX"], ["YYYYY"]], rows[1][: 100 // part])
    return {
        f"{len(rows[1])} rows": lambda j: RouterSampler(whole, journal=j).run([rows], shots=1000),
        "the same in jobs of 10": lambda j: RouterSampler(small, journal=j).run([rows], shots=1000),
        f"{len(many)} circuits": lambda j: RouterSampler(whole, journal=j).run(many, shots=1000),
        "one circuit": lambda j: RouterSampler(few, journal=j).run([many[0]], shots=1000),
        "estimator": lambda j: RouterEstimator(whole, journal=j).run([pub]),
    }


class Meter:
    """Sums up the processor time of a journal's calls, whatever thread they are made in."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> "Meter":
        for owner, names in _METERED.items():
            for name in names:
                function = getattr(owner, name)
                self._stack.callback(setattr, owner, name, function)
                setattr(owner, name, self._metered(function))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _metered(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += time.thread_time() - began

        return called

    def spent(self, run: Callable[[], Any]) -> float:
        """Return what the journal took of a run."""
        self.seconds = 0.0
        run()
        return self.seconds


def rows(*, quick: bool) -> Iterator[Row]:
    """Meter every run."""
    repeats = 1 if quick else 5
    with tempfile.TemporaryDirectory() as folder, Meter() as meter:
        journal = Journal(Path(folder) / "journal.db")
        for name, run in cases(20 if quick else 1).items():
            without, with_one = (
                lambda run=run, one=one: run(one).result() for one in (None, journal)
            )
            without()  # Fills the caches.
            run_seconds = min(seconds(without, time.process_time) for _ in range(repeats))
            own = min(meter.spent(with_one) for _ in range(repeats))
            yield Row(
                case=f"journal, {name}, 1,000 shots",
                against=f"run {timed(run_seconds)}",
                router=timed(own),
                figure=own / run_seconds * 100,
                unit="%",
                at_most=BOUND if run_seconds >= LONG and not quick else None,
            )
        journal.close()
    yield from _whole(quick=quick)


def _whole(*, quick: bool) -> Iterator[Row]:
    """Time whole runs with a journal and without."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db")
        for name, run in cases(20 if quick else 1).items():
            sides = [lambda run=run, one=one: run(one).result() for one in (None, journal)]
            rounds(sides, 1)  # Fills the caches.
            pairs = rounds(sides, 2 if quick else 25)
            low, middle, high = statistics.quantiles((ours / theirs for theirs, ours in pairs), n=4)
            theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
            yield Row(
                case=f"journal, {name}, 1,000 shots, whole run",
                against=f"without {timed(theirs)}",
                router=f"{timed(ours)}, half of the pairs {low:.3f} to {high:.3f} x",
                figure=(middle - 1) * 100,
                unit="%",
            )
        journal.close()
