"""A scenario drawn from a seed: who the providers are, what is asked, by which rules, and what dies."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from chaos import circuits
from chaos.dying import Outage
from chaos.providers import Nature, Provider
from chaos.steps import (
    AcceptsThenHangs,
    Contradicts,
    Disowns,
    EndsSilently,
    PoisonRow,
    Refuses,
    StopsWaiting,
)
from chaos.tariffs import HostileTariff
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.rates import Pricing
from qiskit_gateway.backends.scripted import (
    AcceptsThenRaises,
    Cancels,
    CountsOnly,
    Delays,
    Drops,
    Errors,
    Fails,
    FailsExperiments,
    Hangs,
    Malforms,
    ProviderHTTPError,
    Short,
    Step,
    Swaps,
)
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Policy,
    RecallPolicy,
    RetryPolicy,
    balanced,
    cheapest,
    failover,
    fastest,
    least_busy,
    most_faithful,
    round_robin,
    weighted,
)

Maker = Callable[[random.Random], Step]

MALFORMED = [
    "no_data",
    "zeros_shots",
    "wide_hex",
    "huge_hex",
    "negative",
    "nan",
    "probabilities",
    "bin_memory_lies",
    "none",
    "garbage",
]

FAULTS: dict[str, Maker] = {
    # Before the provider takes the job.
    "refused connection": lambda _: Fails(),
    "429": lambda rng: Fails(throttled=True, retry_after_seconds=rng.choice([None, 5, 90])),
    "maintenance": lambda rng: Fails(retry_after_seconds=rng.uniform(1, 40)),
    "retired": lambda _: Fails(transient=False),
    "device error": lambda _: Fails(transient=None),
    "credentials": lambda _: Fails(ProviderHTTPError(401, "who are you")),
    "bad program": lambda _: Fails(ProviderHTTPError(400, "the program is not valid")),
    "verdict": lambda _: Refuses(),
    # Nobody knows whether it took it.
    "lost request": lambda _: Fails(submitted=None),
    "lost answer": lambda _: AcceptsThenRaises(),
    "503": lambda _: Fails(submitted=None, retry_after_seconds=3),
    "hang in run": lambda rng: Hangs("run", rng.choice([None, 2.0, 200.0])),
    "hang after it was taken": lambda _: AcceptsThenHangs(),
    # The job ends badly, or not at all.
    "ERROR": lambda _: Errors(),
    "CANCELLED": lambda _: Cancels(),
    "hang in result": lambda _: Hangs("result"),
    "slow": lambda rng: Delays(rng.uniform(5, 300)),
    "lost connection in result": lambda _: Fails(at="result"),
    "lost answer of result": lambda _: Fails(at="result", submitted=None),
    "429 in result": lambda _: Fails(at="result", throttled=True, retry_after_seconds=2),
    "credentials in result": lambda _: Fails(ProviderHTTPError(401, "who?"), at="result"),
    "hang in result and cancel": lambda _: Hangs("result") + Hangs("cancel"),
    "hang in result and status": lambda _: Hangs("result") + Hangs("status"),
    "hang in result, no cancel": lambda _: Hangs("result") + Fails(at="cancel"),
    # The result is not what was asked for.
    "partial": lambda rng: FailsExperiments(*rng.sample(range(4), rng.randint(0, 2))),
    "short": lambda rng: Short(rng.choice([0.0, 0.3, 0.9, 1])),
    "dropped": lambda rng: Drops(rng.randrange(3)),
    "malformed": lambda rng: Malforms(rng.choice(MALFORMED), *rng.choice([(), (0,), (0, 2)])),
    "swapped": lambda rng: Swaps(*rng.sample(range(3), 2)),
    "counts only": lambda _: CountsOnly(),
    "short counts": lambda rng: CountsOnly() + Short(rng.uniform(0.2, 1)),
}


@dataclass(slots=True, kw_only=True)
class Death:
    """How a process ends: after so many writes, or seconds; ``None`` for neither."""

    writes: int | None = None
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Scenario:
    """Everything that is drawn.

    Attributes:
        kind: ``"sampler"`` or ``"estimator"``.
        runs: The PUBs of each run; several go on side by side over one fleet.
        outage: When the journal cannot be written.
        deaths: How the processes die that work on the run, one after the other; with a journal.
        cancel_seconds: When the user cancels, or never.
        fork_seconds: When the process forks, or never.
        lenient: Whether nothing is allowed to keep the runs from ending whole.
    """

    seed: int
    loop: str
    kind: str
    unique: bool
    runs: list = field(default_factory=list)
    providers: list[Provider] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)
    simulator_seed: int | None = None
    journal: bool = False
    outage: Outage | None = None
    deaths: list[Death] = field(default_factory=list)
    cancel_seconds: float | None = None
    fork_seconds: float | None = None
    lenient: bool = False
    by_weight: bool = False


def drawn(seed: int) -> Scenario:
    """Return the scenario of a seed, the same each time."""
    rng = random.Random(f"chaos {seed}")
    kind = "estimator" if rng.random() < 0.3 else "sampler"
    scenario = Scenario(
        seed=seed,
        loop=rng.choice(["trio", "asyncio"]),
        kind=kind,
        unique=rng.random() < 0.75,
        simulator_seed=rng.choice([None, None, 11]),
        by_weight=kind == "estimator" and rng.random() < 0.3,
        lenient=rng.random() < 0.5,
    )
    scenario.journal = rng.random() < 0.4
    together = 1 if scenario.journal or rng.random() < 0.8 else 2
    codes = count()
    for _ in range(together):
        scenario.runs.append(_pubs(rng, scenario, codes))
    scenario.providers = _providers(rng, scenario, list(range(next(codes))))
    _add_disowned(scenario)
    _add_allowances(scenario)
    _add_outage(scenario)
    _add_odd_data(scenario)
    _add_odd_ends(scenario)
    _add_hostile_tariffs(scenario)
    _add_fork(scenario)
    scenario.policy = _policy(rng, scenario)
    if scenario.journal:
        scenario.deaths = [_death(rng) for _ in range(rng.choice([0, 1, 1, 2, 4]))]
    elif not scenario.lenient and rng.random() < 0.2:
        scenario.cancel_seconds = rng.uniform(0, 60)
    return scenario


def _add_disowned(scenario):
    """Let some providers say that circuits failed, and hand out what looks like a result."""
    rng = random.Random(f"disowned {scenario.seed}")  # Seeds without stay what they were.
    if rng.random() < 0.2:
        for provider in scenario.providers:
            provider.nature.faults += (_disowned,)


def _add_allowances(scenario):
    """Let some providers do some work for nothing, and some of those nothing more than that."""
    rng = random.Random(f"allowances {scenario.seed}")  # Seeds without stay what they were.
    if rng.random() > 0.3:
        return
    shared = rng.choice([0.5, 1.0, math.inf])
    for provider in scenario.providers:
        if rng.random() < 0.7:
            name = rng.choice(["", "", "shared"])
            usd_per_unit = shared if name else rng.choice([0.5, 1.0, math.inf])
            if provider is scenario.providers[0] and scenario.lenient:
                name, usd_per_unit = "", 0.5  # All can be done there.
            provider.pricing = Allowance(
                meter=rng.choice([provider.pricing, Pricing(per_circuit=1.0)]),
                amount=2.5 if name else rng.choice([0.0, 0.31, 2.0, 20.0]),
                used=0.5 if name else rng.choice([0.0, 0.1]),
                usd_per_unit=usd_per_unit,
                name=name,
            )


def _add_outage(scenario):
    """Let some journals be locked, fail at some writes, or vanish."""
    rng = random.Random(f"outage {scenario.seed}")  # Seeds without stay what they were.
    if not scenario.journal or rng.random() < 0.4:
        return
    # A run that nothing may keep from ending whole has more patience than that.
    seconds = [0.3, 12.0] if scenario.lenient else [0.3, 12.0, 200.0, math.inf]
    scenario.outage = rng.choice(
        [
            Outage(begins=rng.uniform(0, 20), seconds=rng.choice(seconds)),
            Outage(begins=rng.uniform(0, 20), calls=rng.randint(1, 5), late=rng.random() < 0.5),
        ]
    )


def _add_odd_data(scenario):
    """Let some providers return counts and memory that contradict each other."""
    rng = random.Random(f"odd data {scenario.seed}")  # Seeds without stay what they were.
    if rng.random() < 0.2:
        for provider in scenario.providers:
            provider.nature.faults += (lambda rng: Contradicts(rng.choice(["rounded", "other"])),)


def _add_odd_ends(scenario):
    """Let some providers tell how far jobs are, end some without a result, or stop waiting."""
    rng = random.Random(f"odd ends {scenario.seed}")  # Seeds without stay what they were.
    if rng.random() < 0.7:
        return
    for provider in scenario.providers:
        provider.nature.tells_stage = rng.random() < 0.7
        provider.nature.faults += (
            lambda rng: StopsWaiting(rng.choice([0.5, 3.0, 40.0])),
            lambda rng: EndsSilently(rng.choice(["failed", "cancelled", "done"])),
        )


def _add_hostile_tariffs(scenario):
    """Let the tariffs of some providers have no price for some jobs, or for none."""
    rng = random.Random(f"tariffs {scenario.seed}")  # Seeds without stay what they were.
    if rng.random() < 0.8:
        return
    for provider in scenario.providers[scenario.lenient :]:
        if isinstance(provider.pricing, Pricing) and rng.random() < 0.6:
            provider.pricing = HostileTariff(
                pricing=provider.pricing,
                most_circuits=rng.choice([0, 1, 3]),
                answer=rng.choice(["NaN", "None", "text", "raises", "exits", "negative"]),
            )


def _add_fork(scenario):
    """Let some processes fork while they work."""
    rng = random.Random(f"fork {scenario.seed}")  # Seeds without stay what they were.
    if rng.random() < 0.1:
        scenario.fork_seconds = rng.choice([0.0, rng.uniform(0, 5), rng.uniform(0, 60)])


def _disowned(rng):
    return Disowns(rng.choice(["flag", "status", "job"]), tuple(rng.sample(range(3), 2)))


def _death(rng):
    if rng.random() < 0.6:
        return Death(writes=rng.randint(1, 15))
    return Death(seconds=rng.uniform(0, 30))


# -- what is asked ---------------------------------------------------------------------------------


def _pubs(rng, scenario, codes):
    order = list(circuits.WIDTHS)
    rng.shuffle(order)
    sampled, estimated = circuits.sampled(tuple(order)), circuits.estimated()
    pubs = []
    for _ in range(rng.choice([1, 1, 2, 4])):
        rows = rng.choice([1, 2, 5, 9])
        values = np.array([float(next(codes)) for _ in range(rows)])
        if scenario.kind == "sampler":
            shots = rng.choice([1, 7, 20, 60])
            pubs.append(SamplerPub.coerce((sampled, values[:, None], shots)))
        else:
            precision = rng.choice([0.5, 0.3, 0.15])
            labels = rng.sample(LABELS, rng.randint(1, 6))
            # Few terms have to do with qubit 2, so that one basis alone reads it.
            observables = [[label] for label in [*labels, *rng.choice([[], ["ZII"]])]]
            pub = (estimated, observables, values[:, None], precision)
            pubs.append(EstimatorPub.coerce(pub))
    return pubs


LABELS = [a + b for a in "IXYZ" for b in "IXYZ" if a + b != "II"]
LABELS = ["I" + label for label in LABELS]


# -- who does it -----------------------------------------------------------------------------------


def _providers(rng, scenario, codes):
    serials = count(1)
    kinds = rng.sample(sorted(FAULTS), rng.choice([1, 3, len(FAULTS)]))
    rate = rng.choice([0.1, 0.3, 0.6, 1.0])
    providers = []
    for index in range(rng.randint(1, 5)):
        nature = _nature(rng, codes)
        nature.fault_rate, nature.faults = rate, tuple(FAULTS[kind] for kind in kinds)
        if index == 0 and scenario.lenient:
            # One that can be relied on, so that everything can be done.
            nature = replace(nature, fault_rate=0.0, outages=(), every=None)
            nature = replace(nature, lets_cancel=True, looks_up=True, finds=True)
        max_shots = rng.choice([None, None, 5, 25])
        limits = Limits(
            max_circuits=rng.choice([None, 1, 2, 4]),
            max_shots=max_shots,
            # The one that can be relied on takes all there is.
            min_shots=None if index == 0 or max_shots == 5 else rng.choice([None, None, 15]),
            max_in_flight=rng.choice([None, 1, 2, 3]),
            submissions_per_minute=rng.choice([None, None, None, 10]),
        )
        price = rng.choice([0.0, 0.01, 0.3])
        providers.append(
            Provider(
                name=f"p{index}",
                nature=nature,
                seed=rng.getrandbits(32),
                serials=serials,
                limits=limits,
                pricing=Pricing(per_job=price, per_shot=price / 50),
                weight=rng.choice([1.0, 2.0, 0.5]),
                fidelity=rng.choice([None, 0.9, 0.99]),
                overlaps=rng.random() < 0.7,
                unique=scenario.unique,
            )
        )
    return providers


def _nature(rng, codes):
    nature = Nature(
        submit_seconds=rng.uniform(0.01, 0.3),
        queue_seconds=rng.choice([0.0, 0.0, 3.0, 30.0]),
        job_seconds=rng.uniform(0.1, 5),
        circuit_seconds=rng.choice([0.01, 0.3, 2.0]),
        lets_cancel=rng.random() < 0.8,
        looks_up=rng.random() < 0.8,
        finds=rng.random() < 0.4,
        says_when=rng.random() < 0.7,
        counts_only=rng.random() < 0.4,
        frail=rng.random() < 0.5,
    )
    if rng.random() < 0.2:
        down = rng.uniform(0, 20)
        nature.outages = ((down, down + rng.choice([5.0, 60.0, 3000.0])),)
    if rng.random() < 0.1:
        nature.every = PoisonRow(rng.choice(codes))
    return nature


# -- by which rules --------------------------------------------------------------------------------

PRESETS = (round_robin, fastest, cheapest, least_busy, most_faithful, weighted, failover, balanced)


def _policy(rng, scenario):
    lenient = scenario.lenient
    on_unknown = "move" if lenient else rng.choice(["move", "move", "wait", "fail"])
    retry = RetryPolicy(
        max_attempts=rng.choice([1, 2, 3]),
        max_moves=None if lenient else rng.choice([None, None, 1]),
        max_failures_per_run=None if lenient else rng.choice([None, None, 5]),
        budget_floor=10_000 if lenient else rng.choice([200, 20, 2]),
        on_unknown=on_unknown,
    )
    breaker = rng.choice(
        [
            BreakerPolicy(),
            BreakerPolicy(max_ejected_share=0),
            BreakerPolicy(failures=1, submit_errors=1, max_ejected_share=1.0),
        ]
    )
    return rng.choice(PRESETS)(
        spread=rng.choice(["rows", "shots", "pubs"]),
        retry=retry,
        breaker=breaker,
        budget=None if lenient else rng.choice([None, None, _budget(rng, scenario)]),
        deadline_seconds=None if lenient else rng.choice([None, None, 20.0, 200.0]),
        submit_seconds=rng.choice([5.0, 120.0]),
        # The one that can be relied on may be slow.
        collect_seconds=rng.choice([5000.0 if lenient else 100.0, 5000.0]),
        cancel_seconds=rng.choice([1.0, 10.0]),
        patience_seconds=300.0,
        recall=_recall(rng),
        on_failure=rng.choice(["raise", "partial"]),
        # The one that can be relied on may have a long queue, and be slow. So impatient a rule may
        # take all work back from it.
        start_seconds=None if lenient else rng.choice([None, None, 1.0, 10.0]),
        run_seconds=None if lenient else rng.choice([None, None, 8.0]),
    )


def _recall(rng):
    where = ("never", "free", "always")
    return RecallPolicy(
        overdue=rng.choice(where),
        idle=rng.choice(where),
        spare=rng.choice(["never", "free", "free"]),
    )


def _budget(rng, scenario):
    names = {one.name for one in scenario.providers}
    limits = {"p0": 0.1, "p1": 0.4}
    which = rng.choice(["usd", "shots", "attempts", "members"])
    amount = {
        "usd": {"usd": rng.choice([0.0, 0.05, 0.5, 2.0])},
        "shots": {"shots": rng.choice([10, 100, 1000])},
        "attempts": {"attempts": rng.choice([1, 5, 30])},
        "members": {"per_member_usd": {name: limits[name] for name in limits if name in names}},
    }[which]
    return Budget(**amount, on_exhausted=rng.choice(["move", "wait", "stop"]))
