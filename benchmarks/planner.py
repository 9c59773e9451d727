"""How well work is planned over fleets that are drawn from seeds: time, price, and jobs sent.

    python -m benchmarks.planner --seeds 1000..1099

Every fleet has two to eight members. A circuit takes 0.2 to 2 s there (evenly in its logarithm, as are
all that follow), a job 0.1 to 10 s beside its circuits and at most 5 to 300 of them; four in ten have a queue
of 10 to 300 s, three in four charge a fee of 0.05 to 1 USD a job and 1e-5 to 1e-3 USD a shot. The load is one
PUB of many rows, many PUBs, or a few circuits of many shots that may be cut by their shots.

*Cold* is a first run: the planner knows queues and limits, and no speed. *Told* is one whose members
tell their times beforehand. In *failing* runs the first member dies at 30 % of the bound and 5 % of all jobs fail.

The bound is the least time in which all members together could have done the work if everything were
known beforehand: a job handed in at once begins after the queue, and one member's jobs run one at a time.
Fewest jobs is how many would do that end within 1.05 of the time that the run took, if none failed.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import Row, sweep
from qiskit_gateway import simulate
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import fastest

FAILURE_RATE = 0.05
DIES_AT = 0.3
_ROUNDING = 1e-9
LOADS = ("rows", "pubs", "shots")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a member is like. A unit of work is a circuit, or a shot where those may be divided."""

    unit_seconds: float
    job_seconds: float
    queue_seconds: float
    most_units: int
    fee_usd: float
    unit_usd: float

    def units_by(self, seconds: float) -> int:
        """Return how many units it can have done by then, at most."""
        left = seconds - self.queue_seconds + _ROUNDING
        job = self.job_seconds + self.most_units * self.unit_seconds
        jobs = max(0, math.floor(left / job))
        more = math.floor((left - jobs * job - self.job_seconds) / self.unit_seconds)
        return jobs * self.most_units + max(0, more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A fleet and what it is to do, drawn from one seed."""

    kind: str
    units: int
    shots: int
    models: tuple[Model, ...]
    callables: tuple[bool, ...]
    seed: int

    def members(self, *, told: bool, failing: bool) -> list[SimulatedMember]:
        """Make the members."""
        dies_at = DIES_AT * self.bound() if failing else math.inf
        made = []
        for index, model in enumerate(self.models):
            shots = self.kind == "shots"
            made.append(
                SimulatedMember(
                    f"m{index}",
                    limits=Limits(
                        max_circuits=None if shots else model.most_units,
                        max_shots=model.most_units if shots else None,
                    ),
                    circuit_seconds=0.0 if shots else model.unit_seconds,
                    shot_seconds=model.unit_seconds if shots else 0.0,
                    job_seconds=model.job_seconds,
                    queue_seconds=model.queue_seconds,
                    pricing=self._tariff(index),
                    failure_rate=FAILURE_RATE if failing else 0.0,
                    outages=[(dies_at, 1e9)] if index == 0 and failing else [],
                    **({"told": True} if told else {}),
                )
            )
        return made

    def _tariff(self, index: int) -> Pricing | Callable[..., float] | None:
        model = self.models[index]
        if not model.fee_usd:
            return None
        per_shot = model.unit_usd if self.kind == "shots" else model.unit_usd / self.shots
        written = Pricing(per_job=model.fee_usd, per_shot=per_shot)
        return written.__call__ if self.callables[index] else written

    def pubs(self) -> list[object]:
        """Make the PUBs."""
        if self.kind == "rows":
            return [sweep(1, self.units)]
        if self.kind == "pubs":
            each = 10
            return [sweep(1, each) for _ in range(self.units // each)]
        return [sweep(1, 1)]

    def bound(self, *, dies_at: float = math.inf) -> float:
        """Return the clairvoyant lower bound of the makespan, in seconds."""
        low, high = 0.0, 1e7
        for _ in range(100):
            middle = (low + high) / 2
            done = sum(
                one.units_by(min(middle, dies_at) if index == 0 else middle)
                for index, one in enumerate(self.models)
            )
            low, high = (middle, high) if done < self.units else (low, middle)
        return high

    def best_single(self, *, failing: bool = False) -> float:
        """Return the least time that one member alone takes, in seconds; not one that dies."""
        return min(
            one.queue_seconds
            + self.units * one.unit_seconds
            + math.ceil(self.units / one.most_units) * one.job_seconds
            for one in self.models[failing:]
        )

    def fewest_jobs(self, seconds: float, *, dies_at: float = math.inf) -> int:
        """Return how many jobs do all within some time, at least, if none fails."""
        items: list[int] = []
        for index, one in enumerate(self.models):
            units = min(one.units_by(seconds if index else min(seconds, dies_at)), self.units)
            full, rest = divmod(units, one.most_units)
            items += [one.most_units] * full + [rest] * bool(rest)
        done, jobs = 0, 0
        for item in sorted(items, reverse=True):
            if done >= self.units:
                break
            done, jobs = done + item, jobs + 1
        return max(jobs, 1)

    def informed(self) -> float:
        """Return the makespan of a plain list scheduler that knows all times, in seconds.

        It cuts the work into forty parts a member and gives each to whoever would end it first.
        """
        part = max(1, self.units // (40 * len(self.models)))
        ends = [one.queue_seconds for one in self.models]
        open_units = [0] * len(self.models)
        left = self.units
        while left:
            size = min(part, left)

            def end(index: int, size: int = size) -> float:
                one = self.models[index]
                fresh = open_units[index] + size > one.most_units or not open_units[index]
                return ends[index] + size * one.unit_seconds + one.job_seconds * fresh

            size = min(size, *(one.most_units for one in self.models))
            best = min(range(len(self.models)), key=end)
            one = self.models[best]
            fresh = open_units[best] + size > one.most_units or not open_units[best]
            ends[best] = end(best)
            open_units[best] = size if fresh else open_units[best] + size
            left -= size
        return max(
            finish
            for finish, one in zip(ends, self.models, strict=True)
            if finish > one.queue_seconds
        )


def draw_load(seed: int, kind: str = "") -> Load:
    """Draw a fleet and a load."""
    draw = random.Random(seed)  # noqa: S311
    kind = kind or LOADS[seed % len(LOADS)]

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** draw.random())

    units = {"rows": 3000, "pubs": 2000, "shots": 100_000}[kind]
    scale = 1.0 if kind != "shots" else 1 / 50
    count = draw.randint(2, 8)
    models = tuple(
        Model(
            unit_seconds=between(0.2, 2.0) * scale,
            job_seconds=between(0.1, 10.0),
            queue_seconds=between(10, 300) if draw.random() < 0.4 else 0.0,
            most_units=round(between(5, 300) / scale),
            fee_usd=between(0.05, 1.0) if draw.random() < 0.75 else 0.0,
            unit_usd=between(1e-5, 1e-3) * scale,
        )
        for _ in range(count)
    )
    callables = tuple(draw.random() < 0.3 for _ in range(count))
    shots = units if kind == "shots" else 100
    return Load(kind=kind, units=units, shots=shots, models=models, callables=callables, seed=seed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated run came to."""

    seed: int
    ratio: float
    jobs_ratio: float
    jobs: int
    single_ratio: float
    processor_seconds: float


def measure(seed: int, *, kind: str = "", told: bool = False, failing: bool = False) -> Outcome:
    """Simulate one run."""
    load = draw_load(seed, kind)
    dies_at = DIES_AT * load.bound() if failing else math.inf
    bound = load.bound(dies_at=dies_at)
    began = time.process_time()
    found = simulate(
        Fleet(load.members(told=told, failing=failing)),
        load.pubs(),
        policy=fastest(spread="shots" if load.kind == "shots" else "rows"),
        shots=load.shots,
        seed=seed,
    )
    took = time.process_time() - began
    assert not found.given_up, found.given_up[0]
    makespan = found.makespan_seconds
    return Outcome(
        seed=seed,
        ratio=makespan / bound,
        jobs_ratio=len(found.shards) / load.fewest_jobs(1.05 * makespan, dies_at=dies_at),
        jobs=len(found.shards),
        single_ratio=makespan / load.best_single(failing=failing),
        processor_seconds=took,
    )


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure a few fleets for the table of all benchmarks."""
    yield from report(range(5) if quick else range(1000, 1030), targets=not quick)


def report(
    seeds: Sequence[int], kinds: Sequence[str] = LOADS, *, targets: bool = True
) -> Iterator[Row]:
    """Measure fleets of some seeds."""
    conditions = (
        ("cold", {}, 1.35),
        ("told", {"told": True}, 1.10),
        ("cold, failing", {"failing": True}, 1.5),
        ("told, failing", {"told": True, "failing": True}, 1.25),
    )
    for kind in kinds:
        for name, how, target in conditions:
            found = [measure(seed, kind=kind, **how) for seed in seeds]
            ratios = [one.ratio for one in found]
            worst = max(found, key=lambda one: one.ratio)
            jobs = [one.jobs_ratio for one in found]
            each = sum(one.processor_seconds for one in found) / sum(one.jobs for one in found)
            yield Row(
                case=f"makespan / bound: {kind}, {name}, {len(seeds)} fleets",
                router=(
                    f"median {np.median(ratios):.3f}, 95 % {np.percentile(ratios, 95):.3f}, "
                    f"worst at seed {worst.seed}; jobs / fewest {np.median(jobs):.2f}, worst "
                    f"{max(jobs):.2f}; / best single {max(o.single_ratio for o in found):.2f}; "
                    f"{each * 1e6:.0f} us a job"
                ),
                figure=max(ratios),
                unit="x",
                at_most=target if targets else None,
            )


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument("--seeds", default="1000..1029", help="FROM..TO, both included")
    parser.add_argument("--kind", choices=LOADS, help="only this load")
    given = parser.parse_args()
    first, last = (int(one) for one in given.seeds.split(".."))
    print(f"seeds {first} to {last}")
    met = True
    for row in report(range(first, last + 1), (given.kind,) if given.kind else LOADS):
        print(
            f"{row.case}: {row.figure:.3f} ({'met' if row.met else 'MISSED'}); {row.router}",
            flush=True,
        )
        met &= row.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
