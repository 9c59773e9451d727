"""Many runs side by side over one fleet: what each costs, whatever the others do."""

import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, in_process, sweep, timed
from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.backends.scripted import Hangs, ScriptedBackend

FEW, MANY, ROUNDS = 25, 400, 5


def rows(*, quick: bool) -> Iterator[Row]:
    """Compare the processor time of a run among few with that among many, in fresh processes."""
    many, rounds = (50, 1) if quick else (MANY, ROUNDS)
    for name, at_once in (("2 jobs at once on each", 2), ("any number of jobs", 0)):
        few, most = (
            min(in_process("crowd", "cpu", size, at_once) for _ in range(rounds))
            for size in (FEW, many)
        )
        yield Row(
            case=f"{many} runs side by side, 4 members, {name}: CPU of a run",
            against=f"{FEW} runs: {timed(few)}",
            router=timed(most),
            figure=most / few,
            unit="x",
            at_most=None if quick else 1.2,
        )
    held = in_process("crowd", "memory", many, 0)
    yield Row(
        case=f"{many} runs that wait for their provider: memory of a run",
        router=f"{held / 1e3:.3g} kB",
        figure=held / 1e3,
        unit="kB",
    )


def _fleet(at_once: int) -> Fleet:
    limits = Limits(max_in_flight=at_once or 10_000)
    return Fleet([Member(CannedBackend(5), name=f"m{i}", limits=limits) for i in range(4)])


def _cpu(size: int, at_once: int) -> float:
    circuit, values = sweep(5, 1)
    bound = circuit.assign_parameters(values[0])
    sampler = RouterSampler(_fleet(at_once))
    for job in [sampler.run([bound], shots=100) for _ in range(8)]:
        job.result()
    gc.collect()
    gc.freeze()
    began = time.process_time()
    total = 0
    while total < MANY:  # As many in all, so that what is done once weighs the same.
        for job in [sampler.run([bound], shots=100) for _ in range(size)]:
            job.result()
        total += size
    return (time.process_time() - began) / total


def _memory(size: int) -> float:
    circuit, values = sweep(5, 1)
    bound = circuit.assign_parameters(values[0])
    backends = [
        ScriptedBackend(CannedBackend(5), [Hangs(at="result")] * (size + 8)) for _ in range(4)
    ]
    limits = Limits(max_in_flight=10_000)
    fleet = Fleet([Member(one, name=f"m{i}", limits=limits) for i, one in enumerate(backends)])
    sampler = RouterSampler(fleet)
    jobs = [sampler.run([bound], shots=100) for _ in range(8)]
    _wait(jobs)
    gc.collect()
    before = _resident()
    jobs += [sampler.run([bound], shots=100) for _ in range(size)]
    _wait(jobs)
    gc.collect()
    held = (_resident() - before) / size
    for job in jobs:
        job.cancel()
    return held


def _wait(jobs: list) -> None:  # type: ignore[type-arg]
    while not all(job.running() for job in jobs):
        time.sleep(0.05)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096.0


if __name__ == "__main__":
    what, size, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(_cpu(size, at_once) if what == "cpu" else _memory(size))
