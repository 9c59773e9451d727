"""Whether cost grows in proportion to the work: rows over simulated members, shots over a backend.

The figure is the time of a row (a shot) in the larger run as a multiple of that in one of a tenth
of its size: 1 where cost grows linearly. Memory is beside it, measured in a process of its own.
"""

import json
import sys
import time
from collections.abc import Iterator

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, grown_bytes, in_process, seconds, sized, sweep, timed
from qiskit_gateway import RouterSampler, simulate
from qiskit_gateway.backends import Limits, Member, SimulatedMember

MEMBERS = 100
ROWS = 1_000_000
SHOTS = 100_000_000
LIMITS = {"max_circuits": 300, "max_shots": 100_000}


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure both, at a size and at a tenth of it."""
    smaller = 100 if quick else 1
    for what, size in (("rows", ROWS // smaller), ("shots", SHOTS // smaller)):
        tenth, whole = (in_process("scale", what, part) for part in (size // 10, size))
        yield Row(
            case=f"{size:,} {what} against {size // 10:,}",
            against=f"{timed(tenth['seconds'])}, {sized(tenth['grown'])}",
            router=f"{timed(whole['seconds'])}, {sized(whole['grown'])}",
            figure=whole["seconds"] / tenth["seconds"] / 10,
            unit="x",
            at_most=None if quick else 1.2,
        )


def simulated(size: int) -> None:
    """Simulate so many rows over a hundred members of ten speeds."""
    members = [
        SimulatedMember(
            f"m{index}",
            limits=Limits(**LIMITS),
            job_seconds=2.0,
            circuit_seconds=0.01 * (1 + index % 10),
        )
        for index in range(MEMBERS)
    ]
    found = simulate(members, [sweep(2, size)], shots=100)
    assert sum(use.circuits for use in found.members.values()) == size


def sampled(size: int) -> None:
    """Sample so many shots, 10,000 of each row, over a backend that costs nothing."""
    pub = sweep(5, size // 10_000)
    member = Member(CannedBackend(5), limits=Limits(**LIMITS))
    found = RouterSampler(member).run([pub], shots=10_000).result()
    assert found[0].data.meas.num_shots == 10_000


def measured(what: str, size: int) -> dict[str, float]:
    """Return the time of a run, and by how much this process grew, in one of its own."""
    run = simulated if what == "rows" else sampled
    run(10_000)
    grown, taken = grown_bytes(lambda: seconds(lambda: run(size), time.process_time))
    return {"seconds": taken, "grown": grown}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
