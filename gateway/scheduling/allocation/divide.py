"""Divide the waiting work among members, by the objective and the deadline of a policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf

from qiskit_gateway.policies.objectives import Objective, Then, Trade
from qiskit_gateway.scheduling.allocation.bids import (
    Bid,
    Credit,
    Line,
    capacities,
    level_seconds,
    lines_of,
)
from qiskit_gateway.scheduling.allocation.integer_program import (
    Division,
    Problem,
    Worth,
    share_out,
)
from qiskit_gateway.scheduling.allocation.water_filling import allocate
from qiskit_gateway.scheduling.members.estimator import UNPRICED_USD, round_wait_seconds
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.work.tasks import Load

_NO_TRADE = Trade(0.0, (), 0.0)


@dataclass(frozen=True, slots=True)
class Shares:
    """Circuits by member; and by member the circuits of its jobs, where these have prices."""

    circuits: dict[str, float]
    jobs: dict[str, list[float]] = field(default_factory=dict)

    def copy(self) -> "Shares":
        """Return a copy, of which jobs may be taken out."""
        return Shares(dict(self.circuits), {name: [*jobs] for name, jobs in self.jobs.items()})


@dataclass(frozen=True, slots=True)
class Question:
    """A division that is to be found away from where it is asked for, since that takes long.

    Attributes:
        problem: What is to be solved.
        read: Reads the shares off the answer.
    """

    problem: Problem
    read: Callable[[Division], Shares]


def divide(
    offers: Offers,
    members: Sequence[str],
    objective: Objective,
    *,
    divisible: bool = False,
    horizon: float = inf,
) -> Shares | Question:
    """Divide the waiting work among members, or say what is to be solved for that.

    Args:
        offers: What is known of the members and the work.
        members: Who may take it.
        objective: What to minimize.
        divisible: Whether a circuit may be divided, by its shots.
        horizon: When all should be done, in seconds from now. Members of unknown speed are trusted
            to be in time; if all together cannot be, it is as if there were none.
    """
    work, trade = offers.waiting, Trade.of(objective)
    if trade is None:
        return Shares(_level(offers, members, objective, horizon, divisible=divisible))
    bids = [bid_of(offers, member, trade, divisible=divisible) for member in members]
    if trade.usd_per_hour == 0 and horizon == inf and all(bid.linear for bid in bids):
        return Shares(_allocate(work, members, offers, objective, divisible=divisible))
    units = _units(work, divisible=divisible)
    worth = Worth(
        usd_per_second=trade.usd_per_hour / 3600,
        horizon=horizon,
        busy_seconds=offers.busy_seconds,
    )
    problem = Problem(tuple(_without_ample(bids, units)), units, worth)

    def prefer(member: str, held: int, size: int) -> tuple[float, ...]:
        offer = offers(member, work.part(size / units), work.part(held / units))
        return objective.key(offer)[1:] if isinstance(objective, Then) else ()

    def read(found: Division) -> Shares:
        if not worth.usd_per_second:
            # What time is not worth anything for is done by whom the policy prefers of equals.
            shared = Division.of(problem.bids, share_out(problem.bids, found.jobs, prefer))
            found = shared if shared.seconds <= horizon else found
        each = work.circuits / units
        jobs = {member: [size * each for size in sizes] for member, sizes in found.jobs.items()}
        return Shares({member: sum(sizes) * each for member, sizes in found.jobs.items()}, jobs)

    easy = problem.easy
    return Question(problem, read) if easy is None else read(easy)


def _without_ample(bids: Sequence[Bid], units: int) -> list[Bid]:
    """Ignore allowances that are large enough for all the work."""
    scarce = {
        bid.credit.pot
        for bid in bids
        if bid.credit and sum(map(bid.price, bid.cut(units))) > bid.credit.left
    }
    return [
        bid
        if bid.credit is None or bid.credit.pot in scarce
        else replace(bid, credit=None, lines=(Line(1, bid.most),))
        for bid in bids
    ]


def _units(work: Load, *, divisible: bool) -> int:
    """Count what can be given to a member: circuits, or shots where a circuit may be divided."""
    return max(1, round(work.circuit_shots if divisible else work.circuits))


def bid_of(
    offers: Offers, member: str, trade: Trade = _NO_TRADE, *, divisible: bool = False
) -> Bid:
    """Return a member's bid for the waiting circuits, treated as if all were alike.

    Args:
        offers: What is known.
        member: Its name.
        trade: What is to be traded.
        divisible: Whether circuits may be divided: the bid is for shots.
    """
    estimator, work = offers.estimator, offers.waiting
    profile, compiled = estimator.profiles[member], offers.mix.get(member)
    shots = work.circuit_shots / work.circuits
    # The shots of a circuit that are too many for one job go in several.
    times = 1 if profile.most_shots is None else ceil(shots / profile.most_shots)
    in_job = shots / times
    if divisible:
        times, in_job = 1, min(shots, profile.most_shots or shots)
    in_job = max(in_job, profile.min_shots)
    units, allowed = _units(work, divisible=divisible), profile.most_circuits(in_job)
    circuits = work.circuits if allowed is None else min(work.circuits, allowed)
    each = 1 if divisible else in_job
    most = min(units, max(1, int(circuits * in_job / each)))
    offer = offers(member, Load(1.0, shots))
    other = trade.other_usd(offer) * work.circuits / units if trade.others else 0.0
    rate, left = trade.price_factor, offers.left.get(member, 0.0)
    # Where nothing is left, a member is like any other.
    credit = None
    if profile.allotment is not None:
        rate *= profile.allotment.usd_per_unit
        credit = Credit(profile.allotment.name, left, rate) if left else None

    def load(size: int) -> Load:
        return Load(max(1.0, size * each / in_job), max(size * each, profile.min_shots))

    def seconds(size: int) -> float:
        return estimator.jobs_seconds(member, load(size), 1, compiled)

    def price(size: int) -> float:
        asked = estimator.price(member, load(size), compiled, seconds=seconds(size))
        return times * asked if credit else rate * times * asked

    priced = lines_of(price, most) if trade.price_factor else ()
    lines = tuple(line for line in priced if line(line.largest) < UNPRICED_USD)
    first, last = seconds(1), seconds(most)
    slope = max(0.0, (last - first) / (most - 1)) if most > 1 else first
    slots, again = _queue_anew(offers, member, last, times)
    return Bid(
        member=member,
        lines=lines or (Line(1, most),),
        wait_seconds=offer.wait_seconds,
        slots=slots,
        again_seconds=again,
        unit_seconds=times * slope,
        job_seconds=times * max(0.0, first - slope),
        credit=credit,
        other_usd=other,
    )


def _queue_anew(offers: Offers, member: str, job_seconds: float, times: int) -> tuple[int, float]:
    """Return how many jobs a member has at once, and how long it queues each time they are sent again.

    Args:
        offers: What is known.
        member: Its name.
        job_seconds: How long a job runs.
        times: How many jobs one of them stands for.
    """
    slots = offers.estimator.slots(member)
    if slots is None:
        return 1, 0.0
    again = round_wait_seconds(offers.queue_seconds(member), job_seconds, slots)
    return max(1, slots // times), again * ceil(times / slots)


def _capacities(offers: Offers, members: Sequence[str], horizon: float) -> dict[str, int]:
    """Count the waiting circuits that each member would have done by a horizon.

    All, where its speed is not known.
    """
    most = _units(offers.waiting, divisible=False)
    able = capacities([bid_of(offers, member) for member in members], horizon, most)
    return {
        member: int(count) if offers.estimator.states[member].speed.jobs else most
        for member, count in zip(members, able, strict=True)
    }


def earliest_seconds(offers: Offers, members: Sequence[str]) -> float:
    """Return the least time by which members can be done with the waiting circuits.

    By their queues and what was learned of their speeds; where the speed of any is not known, by
    the shortest of the queues alone.
    """
    states = [offers.estimator.states[member] for member in members]
    if not all(state.speed.jobs for state in states):
        return min(state.queue_seconds for state in states)
    # By waits that were told or learned: nothing is refused for what jobs of others may take.
    waits = offers.wait_seconds
    bids = [replace(bid_of(offers, name), wait_seconds=waits(name)) for name in members]
    return level_seconds(bids, _units(offers.waiting, divisible=False)) if bids else 0.0


def _level(
    offers: Offers,
    members: Sequence[str],
    objective: Objective,
    horizon: float,
    *,
    divisible: bool,
) -> dict[str, float]:
    """Divide by level, so that no member has more than it would have done by a horizon.

    What is too much for some is divided among the others by the same objective, unless all
    together would be late.
    """
    work = offers.waiting
    shares = _allocate(work, members, offers, objective, divisible=divisible)
    if horizon == inf:
        return shares
    most = _capacities(offers, members, horizon)
    full: dict[str, float] = {}
    if sum(most.values()) < work.circuits:
        return shares
    while late := {name: most[name] for name, share in shares.items() if share > most[name]}:
        full |= late
        rest = work.part(max(0.0, 1 - sum(full.values()) / work.circuits))
        others = [name for name in members if name not in full] if rest.circuits else []
        shares = {}
        if others:
            shares = _allocate(rest, others, offers, objective, divisible=divisible)
    return {name: share for name, share in {**full, **shares}.items() if share > 0}


def _allocate(
    work: Load, members: Sequence[str], offers: Offers, objective: Objective, *, divisible: bool
) -> dict[str, float]:
    return allocate(
        work, members, offers, objective, divisible=divisible, round_of=offers.round_circuits
    )
