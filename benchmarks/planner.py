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
Fewest jobs is how many would do that end within 1.05 of the time that the run took, if none failed; and in
no more time than it took, which tells what was cut for nothing from what a twentieth of the time would save.
After failures a run takes longer, and fewer jobs would do in that time. So the jobs that succeeded are held as
well against the fewest in which each member could have done what it did: the work *as divided*.

*Value* is USD + v x hours under ``balanced(usd_per_hour=v)``, v of 0, 40, 400 and 4000, against the least of
any division, which an integer program of its own finds or bounds. *Curves* are 4096 shots of one circuit over five
members whose price of a job is a power of its shots, at 3600 USD an hour, against the best division in parts of 32.

With ``--sources`` it is shown what a first run gains by what is known of members that were never seen. Every second
one takes half to twice as long as the one before it. Of all, or of every second, nothing is told; it may be known that
two are of one provider, or, by durations, what a shot takes.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from benchmarks.measure import Row, sweep
from qiskit_gateway import Simulation, simulate
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember, Speed
from qiskit_gateway.backends.circuits.estimates import Estimate, gate_counts
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.backends.pricing.rates import Usage
from qiskit_gateway.policies import balanced, fastest

FAILURE_RATE = 0.05
DIES_AT = 0.3
_ROUNDING = 1e-9
LOADS = ("rows", "pubs", "shots")
USD_PER_HOUR = (0.0, 40.0, 400.0, 4000.0)
SOURCES = ("none", "durations", "every second told", "every second told, of one provider")


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


class Modelled(SimulatedMember):
    """A member of whose speed something may be known before its first job.

    Attributes:
        provider: Whose it is, if that is known.
        shot_seconds: What a shot takes, if that is known by durations.
    """

    provider = ""
    shot_seconds: float | None = None

    def look_up_estimate(self, program: Program) -> Estimate:
        """Tell what a shot takes."""
        return Estimate(gates=gate_counts(program.circuit), shot_seconds=self.shot_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A fleet and what it is to do, drawn from one seed."""

    kind: str
    units: int
    shots: int
    models: tuple[Model, ...]
    callables: tuple[bool, ...]
    seed: int

    def members(self, *, told: bool, failing: bool) -> list[Modelled]:
        """Make the members."""
        dies_at = DIES_AT * self.bound() if failing else math.inf
        made = []
        for index, model in enumerate(self.models):
            shots = self.kind == "shots"
            made.append(
                Modelled(
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

    def least_value(self, usd_per_hour: float) -> float:
        """Return the least USD + worth of time of any division, or a little less."""
        count = len(self.models)
        # Of each member its jobs, its units and whether it takes part; and the end of all.
        costs = np.zeros(3 * count + 1)
        costs[-1] = usd_per_hour / 3600
        rows, most = np.zeros((3 * count, len(costs))), np.zeros(3 * count)
        for index, one in enumerate(self.models):
            jobs, units, used = index, count + index, 2 * count + index
            costs[jobs], costs[units] = one.fee_usd, one.unit_usd if one.fee_usd else 0.0
            rows[jobs, [jobs, units]] = -one.most_units, 1
            rows[units, [units, used]] = 1, -self.units
            rows[used, [jobs, units, used]] = one.job_seconds, one.unit_seconds, one.queue_seconds
            rows[used, -1] = -1
        whole = np.zeros((1, len(costs)))
        whole[0, count : 2 * count] = 1
        lower, upper = np.zeros(len(costs)), np.full(len(costs), np.inf)
        lower[-1], upper[2 * count : 3 * count] = self.bound() if usd_per_hour else 0.0, 1
        found = milp(
            costs,
            integrality=np.array([1] * 3 * count + [0]),
            bounds=Bounds(lower, upper),
            constraints=[
                LinearConstraint(rows, -np.inf, most),
                LinearConstraint(whole, self.units, self.units),
            ],
            options={"mip_rel_gap": 1e-4, "node_limit": 20_000},
        )
        return float(found.mip_dual_bound)

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
class Curve:
    """A member whose price of a job is a power of its shots."""

    job_seconds: float
    shot_seconds: float
    queue_seconds: float
    usd: float
    power: float

    def __call__(self, usage: Usage) -> float:
        """Price a job."""
        return float(self.usd * usage.shots**self.power)


_CURVE_SHOTS, _CURVE_PART, _CURVE_USD_PER_HOUR = 4096, 32, 3600.0


def draw_curves(seed: int) -> list[Curve]:
    """Draw five members whose price grows less than their work."""
    draw = random.Random(seed)  # noqa: S311

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** draw.random())

    return [
        Curve(
            job_seconds=between(1, 10),
            shot_seconds=between(0.05, 0.5),
            queue_seconds=between(5, 100) if draw.random() < 0.6 else 0.0,
            usd=between(0.5, 5),
            power=draw.uniform(0.4, 0.9),
        )
        for _ in range(5)
    ]


def least_value_of_curves(curves: Sequence[Curve]) -> float:
    """Return the least USD + worth of time of one job a member, looking at all ends and divisions."""
    shots = np.arange(0, _CURVE_SHOTS + 1, _CURVE_PART)
    prices = [one.usd * shots**one.power for one in curves]
    ends = [one.queue_seconds + one.job_seconds + one.shot_seconds * shots for one in curves]
    best = math.inf
    for end in np.unique(np.concatenate([one[1:] for one in ends])):
        worth = end * _CURVE_USD_PER_HOUR / 3600
        if worth >= best:
            break
        costs = np.where(shots == 0, 0.0, np.inf)
        for price, done in zip(prices, ends, strict=True):
            after = costs.copy()
            for part in range(1, int(np.searchsorted(done, end, side="right"))):
                after[part:] = np.minimum(after[part:], costs[:-part] + price[part])
            costs = after
        best = min(best, float(costs[-1] + worth))
    return best


def measure_curves(seed: int) -> float:
    """Return USD + worth of time of a simulated run against the least."""
    curves = draw_curves(seed)
    members = [
        SimulatedMember(
            f"m{index}",
            job_seconds=one.job_seconds,
            shot_seconds=one.shot_seconds,
            queue_seconds=one.queue_seconds,
            pricing=one,
            told=True,
        )
        for index, one in enumerate(curves)
    ]
    policy = balanced(usd_per_hour=_CURVE_USD_PER_HOUR, spread="shots")
    found = simulate(Fleet(members), [sweep(1, 1)], policy=policy, shots=_CURVE_SHOTS, seed=seed)
    value = found.cost_usd + found.makespan_seconds * _CURVE_USD_PER_HOUR / 3600
    return value / least_value_of_curves(curves)


def measure_value(seed: int, usd_per_hour: float, *, kind: str = "", told: bool = False) -> float:
    """Return USD + worth of time of a simulated run against the least."""
    load = draw_load(seed, kind)
    policy = balanced(usd_per_hour=usd_per_hour, spread=_spread(load))
    members = load.members(told=told, failing=False)
    found = simulate(Fleet(members), load.pubs(), policy=policy, shots=load.shots, seed=seed)
    least = load.least_value(usd_per_hour)
    value = found.cost_usd + found.makespan_seconds * usd_per_hour / 3600
    # Where some members are free nothing has to be paid.
    return value / least if least > _ROUNDING else 1.0 + value


def measure_source(seed: int, usd_per_hour: float, source: str, *, kind: str = "") -> float:
    """Return USD + worth of time of a first run against the least, by what is known of the members."""
    load, draw = draw_load(seed, kind), random.Random(seed)  # noqa: S311
    models = list(load.models)
    for index in range(1, len(models), 2):
        like, factor = models[index - 1], 2 ** draw.uniform(-1, 1)
        models[index] = replace(
            models[index],
            unit_seconds=factor * like.unit_seconds,
            job_seconds=factor * like.job_seconds,
        )
    load = replace(load, models=tuple(models))
    members = load.members(told=False, failing=False)
    for index, (member, model) in enumerate(zip(members, models, strict=True)):
        unit = "shot_seconds" if load.kind == "shots" else "circuit_seconds"
        if source.startswith("every second") and index % 2 == 0:
            member.speed = Speed(job_seconds=model.job_seconds, **{unit: model.unit_seconds})
        if source.endswith("provider"):
            member.provider = str(index // 2)
        if source == "durations":
            member.shot_seconds = model.unit_seconds / (1 if load.kind == "shots" else load.shots)
    policy = balanced(usd_per_hour=usd_per_hour, spread=_spread(load))
    found = simulate(Fleet(members), load.pubs(), policy=policy, shots=load.shots, seed=seed)
    value = found.cost_usd + found.makespan_seconds * usd_per_hour / 3600
    return value / load.least_value(usd_per_hour)


def _spread(load: Load) -> str:
    return "shots" if load.kind == "shots" else "rows"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated run came to."""

    seed: int
    ratio: float
    jobs_ratio: float
    as_fast_ratio: float
    as_divided_ratio: float
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
        policy=fastest(spread=_spread(load)),
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
        as_fast_ratio=len(found.shards) / load.fewest_jobs(makespan, dies_at=dies_at),
        as_divided_ratio=_jobs_as_divided(load, found),
        jobs=len(found.shards),
        single_ratio=makespan / load.best_single(failing=failing),
        processor_seconds=took,
    )


def _jobs_as_divided(load: Load, found: Simulation) -> float:
    """Return the jobs that succeeded over the fewest in which their members could do the same work."""
    done = [one for one in found.shards if one.succeeded]
    fewest = 0
    for index, model in enumerate(load.models):
        theirs = [one for one in done if one.member == f"m{index}"]
        units = sum(one.circuits * (one.shots if load.kind == "shots" else 1) for one in theirs)
        fewest += math.ceil(units / model.most_units)
    return len(done) / fewest


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure a few fleets for the table of all benchmarks."""
    seeds = range(5) if quick else range(1000, 1030)
    yield from report(seeds, targets=not quick)
    yield from report_values(range(1) if quick else seeds, LOADS[:1] if quick else LOADS)


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
            as_fast = [one.as_fast_ratio for one in found]
            as_divided = [one.as_divided_ratio for one in found]
            each = sum(one.processor_seconds for one in found) / sum(one.jobs for one in found)
            yield Row(
                case=f"makespan / bound: {kind}, {name}, {len(seeds)} fleets",
                router=(
                    f"median {np.median(ratios):.3f}, 95 % {np.percentile(ratios, 95):.3f}, "
                    f"worst at seed {worst.seed}; jobs / fewest {np.median(jobs):.2f}, worst "
                    f"{max(jobs):.2f}, as fast {np.median(as_fast):.2f} and {max(as_fast):.2f}, "
                    f"as divided {np.median(as_divided):.2f} and {max(as_divided):.2f}; "
                    f"/ best single {max(o.single_ratio for o in found):.2f}; "
                    f"{each * 1e6:.0f} us a job"
                ),
                figure=max(ratios),
                unit="x",
                at_most=target if targets else None,
            )


def report_values(seeds: Sequence[int], kinds: Sequence[str] = LOADS) -> Iterator[Row]:
    """Measure price and time together."""
    cases: dict[str, tuple[list[float], float]] = {
        "curves": ([measure_curves(seed) for seed in seeds], 1.026)
    }
    for kind in kinds:
        for told, target in ((True, 1.02), (False, 1.25)):
            ratios = [
                measure_value(seed, worth, kind=kind, told=told)
                for seed in seeds
                for worth in USD_PER_HOUR
            ]
            cases[f"{kind}, {'told' if told else 'cold'}"] = ratios, target
    for case, (ratios, target) in cases.items():
        worst = seeds[int(np.argmax(ratios)) * len(seeds) // len(ratios)]
        yield Row(
            case=f"USD + v x hours / least: {case}, {len(seeds)} fleets",
            router=(
                f"median {np.median(ratios):.3f}, 95 % {np.percentile(ratios, 95):.3f}, "
                f"worst at seed {worst}"
            ),
            figure=max(ratios),
            unit="x",
            at_most=target,
        )


def report_sources(seeds: Sequence[int], kinds: Sequence[str] = LOADS) -> Iterator[Row]:
    """Measure what a first run gains by what is known of members that were never seen."""
    for kind in kinds:
        for source in SOURCES:
            ratios = [
                measure_source(seed, worth, source, kind=kind)
                for seed in seeds
                for worth in USD_PER_HOUR[1:]
            ]
            yield Row(
                case=f"USD + v x hours / least: {kind}, known: {source}, {len(seeds)} fleets",
                router=f"median {np.median(ratios):.3f}, 95 % {np.percentile(ratios, 95):.3f}",
                figure=float(np.mean(ratios)),
                unit="x",
            )


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument("--seeds", default="1000..1029", help="FROM..TO, both included")
    parser.add_argument("--kind", choices=LOADS, help="only this load")
    parser.add_argument("--values", action="store_true", help="only price and time together")
    parser.add_argument(
        "--sources", action="store_true", help="only what sources of speed are worth"
    )
    given = parser.parse_args()
    first, last = (int(one) for one in given.seeds.split(".."))
    print(f"seeds {first} to {last}")
    met = True
    seeds, kinds = range(first, last + 1), (given.kind,) if given.kind else LOADS
    measured = chain(report(seeds, kinds), report_values(seeds, kinds))
    if given.sources:
        measured = report_sources(seeds, kinds)
    elif given.values:
        measured = report_values(seeds, kinds)
    for row in measured:
        print(
            f"{row.case}: {row.figure:.3f} ({'met' if row.met else 'MISSED'}); {row.router}",
            flush=True,
        )
        met &= row.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
