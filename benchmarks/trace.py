"""How many jobs are ahead of ours, and how long a run takes, on queues as they were.

    python -m benchmarks.trace [PATH]

The trace is of IBM's devices from 16 to 21 November 2023: every 5 minutes the jobs that were pending
on each, -1 where it was not open. It is the first half of the one in manosgior/Qonductor-SC25, under
the MIT licence; ``PATH`` is another of the same form.

At every reading one circuit is routed over the open devices of a kind, by the rules by which a run
routes it: the real policies, and the division of a run's work. What is counted is the jobs that were
really pending where it went. Readings may be old: then the policy sees what was pending so long before,
the last time that the device was open. The bound is the shortest queue of all, which nobody can
know better than by a fresh reading. No job of ours lengthens a queue.

The makespan is of a run of 8 jobs that begins at a reading. The trace does not tell how long jobs take,
so every job, of others and ours, is taken to last a minute, which the router knows; a device does one
after the other. The clairvoyant puts each job where it ends soonest.
"""

import csv
import gzip
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import Row
from qiskit_gateway.policies import Policy, fastest, least_busy, round_robin
from qiskit_gateway.scheduling.allocation.divide import divide
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.tasks import Load

TRACE = Path(__file__).parent / "data" / "ibm_queue_trace_first_half.csv.gz"
KINDS = {
    "27 qubits": ("ibm_algiers", "ibm_cairo", "ibm_hanoi", "ibmq_kolkata", "ibmq_mumbai"),
    "127 qubits": ("ibm_brisbane", "ibm_cusco", "ibm_nazca", "ibm_sherbrooke"),
}
AGES_MINUTES = (0, 5, 30, 60, 240, 1440)
ONE = Load(1, 1000)
RUN = Load(8, 8000)
JOB_SECONDS = 60.0

Pending = Mapping[str, int]
"""Jobs pending on each open device."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What was pending, reading by reading.

    Attributes:
        minutes: When each was made.
        readings: What was read.
    """

    minutes: Sequence[int]
    readings: Sequence[Pending]

    @classmethod
    def read(cls, path: Path, devices: Sequence[str]) -> "Trace":
        """Read the columns of some devices."""
        with gzip.open(path, "rt") as file:
            table = list(csv.DictReader(file))
        # An empty cell is a reading that was not made.
        readings = [
            {name: int(row[name]) for name in devices if int(row[name] or -1) >= 0} for row in table
        ]
        return cls([int(row["minute"]) for row in table], readings)

    def known(self, age_minutes: int) -> Iterator[tuple[Pending, Pending]]:
        """Yield what is pending, and what is known of it where readings are so old."""
        seen: dict[str, int] = {}
        next_reading = 0
        for minute, pending in zip(self.minutes, self.readings, strict=True):
            while self.minutes[next_reading] <= minute - age_minutes:
                seen |= self.readings[next_reading]
                next_reading += 1
                if next_reading == len(self.minutes):
                    break
            # A device of which nothing was read yet is thought idle.
            yield pending, {name: seen.get(name, 0) for name in pending}


def dividing(
    policy: Policy, devices: Sequence[str], work: Load
) -> Callable[[Pending], dict[str, float]]:
    """Return a divider of some work, which keeps what it has given to whom, as a run does."""
    profile = {name: MemberProfile(name=name, order=order) for order, name in enumerate(devices)}
    assigned: dict[str, float] = {}

    def divided(known: Pending) -> dict[str, float]:
        states = {
            name: MemberState(
                pending_jobs=jobs,
                queue_seconds=jobs * JOB_SECONDS,
                speed=Speed(circuit_seconds=JOB_SECONDS, jobs=1),
            )
            for name, jobs in known.items()
        }
        offers = Offers(
            estimator=Estimator(profiles=profile, states=states),
            assigned=assigned,
            waiting=work,
            uses=policy.uses,
            now=0.0,
        )
        shares = divide(offers, list(known), policy.minimize).circuits
        for name, circuits in shares.items():
            assigned[name] = (
                assigned.get(name, 0.0) + work.part(circuits / work.circuits).circuit_shots
            )
        return shares

    return divided


def by_policy(policy: Policy, devices: Sequence[str]) -> Callable[[Pending], str]:
    """Return a chooser of the device of one circuit."""
    divided = dividing(policy, devices, ONE)
    return lambda known: next(iter(divided(known)))


def jobs_ahead(trace: Trace, choose: Callable[[Pending], str], age_minutes: int = 0) -> list[int]:
    """Return how many jobs were ahead at each reading."""
    return [pending[choose(known)] for pending, known in trace.known(age_minutes) if pending]


def cases(devices: Sequence[str]) -> Iterator[tuple[str, Callable[[Pending], str], int]]:
    """Yield ways of choosing, by name, with the age of their readings in minutes."""
    draw = random.Random(0)  # noqa: S311
    yield "random", lambda known: draw.choice(list(known)), 0
    yield "round_robin()", by_policy(round_robin(), devices), 0
    for age in AGES_MINUTES:
        yield f"least_busy(), read {age} min ago", by_policy(least_busy(), devices), age


def makespans(trace: Trace, divided: Callable[[Pending], Mapping[str, float]]) -> list[float]:
    """Return how long a run of 8 jobs takes from each reading, in minutes."""
    return [
        max(pending[name] + jobs for name, jobs in divided(pending).items()) * JOB_SECONDS / 60
        for pending in trace.readings
        if pending
    ]


def clairvoyant(pending: Pending) -> dict[str, float]:
    """Put each job where it ends soonest."""
    ends = dict(pending)
    for _ in range(round(RUN.circuits)):
        ends[min(ends, key=ends.__getitem__)] += 1
    return {name: end - pending[name] for name, end in ends.items() if end > pending[name]}


def makespan_rows(kind: str, trace: Trace, devices: Sequence[str]) -> Iterator[Row]:
    """Measure runs by every policy."""
    draw = random.Random(0)  # noqa: S311
    names = range(round(RUN.circuits))
    least = makespans(trace, clairvoyant)
    ways: dict[str, Callable[[Pending], Mapping[str, float]]] = {
        "random": lambda known: Counter(draw.choice(list(known)) for _ in names),
        "round_robin()": dividing(round_robin(), devices, RUN),
        "least_busy()": dividing(least_busy(), devices, RUN),
        "fastest()": dividing(fastest(), devices, RUN),
    }
    for what, divided in ways.items():
        found = makespans(trace, divided)
        middle, high = np.percentile(found, [50, 95])
        yield Row(
            case=f"makespan of 8 jobs, {kind}: {what}",
            against=f"clairvoyant {np.mean(least):.1f} min",
            router=f"median {middle:.0f}, 95 % {high:.0f}",
            figure=float(np.mean(found)),
            unit="min",
            at_most=1.1 * float(np.mean(least)) if what == "fastest()" else None,
        )


def rows(*, quick: bool, path: Path = TRACE) -> Iterator[Row]:
    """Measure every policy over every kind of device."""
    for kind, devices in KINDS.items():
        trace = Trace.read(path, devices)
        if quick:
            trace = Trace(trace.minutes[:100], trace.readings[:100])
        least = float(np.mean([min(pending.values()) for pending in trace.readings if pending]))
        for what, choose, age in cases(devices):
            ahead = jobs_ahead(trace, choose, age)
            middle, high = np.percentile(ahead, [50, 95])
            yield Row(
                case=f"jobs ahead, {kind}: {what}",
                against=f"mean of the shortest queue {least:.1f}",
                router=f"median {middle:.0f}, 95 % {high:.0f}",
                figure=float(np.mean(ahead)),
                unit="jobs",
                at_most=round(least, 6) + 1e-6 if age == 0 and "least" in what else None,
            )
        yield from makespan_rows(kind, trace, devices)


def main() -> None:
    """Print the figures."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TRACE
    for row in rows(quick=False, path=path):
        print(f"{row.case:<58} mean {row.figure:7.1f}  {row.router}")


if __name__ == "__main__":
    main()
