"""How long `fastest()` takes over random fleets, against what nobody could beat.

Each fleet has two to eight members. A circuit takes 0.2 to 2 s, evenly in its logarithm; a job has
an overhead of 0 or 0.5 s, holds at most 1, 5, 50 or 300 circuits, and waits 0 or 60 s in the queue
(0 with two chances in three). The router knows nothing of this beforehand but the queue and the
size of a job: it learns speeds as it goes. In the second case the first member goes down for good
at 30 % of the bound and every job of any member fails with 5 %.

The bound is what a clairvoyant would take, who knows all speeds, when the first member goes down,
and which jobs would fail: those it does not send. A member that waits `q` seconds in its queue and
takes `o` for a job of at most `n` circuits and `c` for a circuit has done, by time `T`, as many as fit
into `T - q` in full jobs and one that is not; one that goes down, as many as fit into the time before.
The bound is the least `T` by which all members together have done the work. As members do not depend
on each other, there is a schedule that ends at it and none that ends sooner. Who cannot foresee which
jobs fail loses 5 % of the work on average, and ends that much later.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import Row, sweep
from qiskit_gateway import simulate
from qiskit_gateway.backends import Limits, SimulatedMember
from qiskit_gateway.policies import fastest

FAILURE_RATE = 0.05
DIES_AT = 0.3
# Far below any time of a model, and above what floating point loses.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a member is like, in seconds and circuits."""

    circuit_seconds: float
    job_seconds: float
    queue_seconds: float
    max_circuits: int

    def circuits_by(self, seconds: float) -> int:
        """Return how many circuits it can have done by then, at most."""
        left = seconds - self.queue_seconds + _ROUNDING
        job = self.job_seconds + self.max_circuits * self.circuit_seconds
        jobs = max(0, math.floor(left / job))
        more = math.floor((left - jobs * job - self.job_seconds) / self.circuit_seconds)
        return jobs * self.max_circuits + max(0, more)


def random_fleet(seed: int) -> list[Model]:
    """Return the members of a fleet."""
    draw = random.Random(seed)  # noqa: S311
    return [
        Model(
            circuit_seconds=0.2 * 10 ** draw.random(),
            job_seconds=draw.choice([0.0, 0.5]),
            queue_seconds=draw.choice([0.0, 0.0, 60.0]),
            max_circuits=draw.choice([1, 5, 50, 300]),
        )
        for _ in range(draw.randint(2, 8))
    ]


def bound_seconds(fleet: Sequence[Model], circuits: int, *, dies_at: float | None = None) -> float:
    """Return the clairvoyant lower bound of the makespan.

    Args:
        fleet: The members.
        circuits: The work.
        dies_at: When the first member goes down; ``None`` for a fleet that is well.
    """
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        ends = [middle] * len(fleet)
        if dies_at is not None:
            ends[0] = min(middle, dies_at)
        done = sum(model.circuits_by(end) for model, end in zip(fleet, ends, strict=True))
        low, high = (middle, high) if done < circuits else (low, middle)
    return high


def ratio(seed: int, circuits: int, *, failing: bool) -> float:
    """Return the makespan over one fleet as a multiple of the bound."""
    fleet = random_fleet(seed)
    dies_at = DIES_AT * bound_seconds(fleet, circuits) if failing else None
    members = [
        SimulatedMember(
            f"m{index}",
            limits=Limits(max_circuits=model.max_circuits),
            circuit_seconds=model.circuit_seconds,
            job_seconds=model.job_seconds,
            queue_seconds=model.queue_seconds,
            failure_rate=FAILURE_RATE if failing else 0.0,
            outages=[(dies_at, 1e9)] if dies_at is not None and index == 0 else [],
        )
        for index, model in enumerate(fleet)
    ]
    found = simulate(members, [sweep(1, circuits)], policy=fastest(), shots=10, seed=seed)
    assert not found.given_up, found.given_up[0]
    return found.makespan_seconds / bound_seconds(fleet, circuits, dies_at=dies_at)


def ratios(*, failing: bool, fleets: int = 30, circuits: int = 3000) -> list[float]:
    """Return the makespans over random fleets as multiples of their bounds."""
    return [ratio(seed, circuits, failing=failing) for seed in range(fleets)]


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure fleets that are well, and fleets that are not."""
    fleets, circuits = (3, 300) if quick else (30, 3000)
    for what, failing, target in (
        ("fleet well", False, 1.10),
        ("one dies, 5 % of jobs fail", True, 1.25),
    ):
        found = ratios(failing=failing, fleets=fleets, circuits=circuits)
        middle, high = np.percentile(found, [50, 95])
        above = sum(one > target for one in found)
        yield Row(
            case=f"makespan / bound, the worst of {fleets} fleets: {what}",
            router=f"median {middle:.3f}, 95 % {high:.3f}, {above} above {target:.2f}",
            figure=max(found),
            unit="x",
            at_most=None if quick else target,
        )
