"""Divide the waiting work among members, by the objective and the deadline of a policy."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf

import numpy as np

from qiskit_gateway.policies.objectives import Objective, Then, Trade
from qiskit_gateway.scheduling.allocation.bids import Bid, Credit, JobPrice
from qiskit_gateway.scheduling.allocation.cost_frontier import Frontier
from qiskit_gateway.scheduling.allocation.water_filling import allocate
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.tasks import Load

# Where shots may be divided, the work is dealt out in so many parts at least.
_PARTS = 64
_NEVER_USD = 1e9
_NO_TRADE = Trade(0.0, (), 0.0)


def divide(
    offers: Offers,
    members: Sequence[str],
    objective: Objective,
    *,
    divisible: bool = False,
    horizon: float = inf,
) -> dict[str, float]:
    """Divide the waiting work among members.

    Args:
        offers: What is known of the members and the work.
        members: Who may take it.
        objective: What to minimize.
        divisible: Whether a circuit may be divided, by its shots.
        horizon: When all should be done, in seconds from now. Members of unknown speed are trusted
            to be in time; if all together cannot be, it is as if there were none.

    Returns:
        Circuits by member, as :func:`~qiskit_gateway.allocate.allocate` does.
    """
    work, trade = offers.waiting, Trade.of(objective)
    if trade is None or len(members) == 1:
        return _levelled(offers, members, objective, horizon, divisible=divisible)
    parts = max(1, ceil(_PARTS / work.circuits)) if divisible else 1
    bids = _without_ample([bid_of(offers, member, trade, parts) for member in members], work, parts)
    if trade.usd_per_hour == 0 and horizon == inf and all(bid.linear for bid in bids):
        return allocate(work, members, offers, objective, divisible=divisible)

    def prefer(member: str, held: int, size: int) -> tuple[float, ...]:
        share = size / (parts * work.circuits)
        offer = offers(member, work.part(share), work.part(held / (parts * work.circuits)))
        return objective.key(offer)[1:] if isinstance(objective, Then) else ()

    frontier = Frontier(bids, max(1, round(work.circuits * parts)), prefer)
    found = frontier.best(trade.usd_per_hour, horizon, offers.busy_seconds)
    return {member: count / parts for member, count in found.circuits.items()}


def bid_of(offers: Offers, member: str, trade: Trade = _NO_TRADE, parts: int = 1) -> Bid:
    """Return a member's bid for the waiting circuits, treated as if all were alike.

    Args:
        offers: What is known.
        member: Its name.
        trade: What is to be traded.
        parts: In how many parts each circuit is divided; the bid is for parts.
    """
    estimator, work = offers.estimator, offers.waiting
    profile = estimator.profiles[member]
    waiting = max(1, round(work.circuits * parts))
    shots = work.circuit_shots / work.circuits
    # The shots of a circuit that are too many for one job go in several.
    times = 1 if profile.most_shots is None else ceil(shots / profile.most_shots)
    each = max(shots / times, profile.min_shots)
    allowed = profile.most_circuits(each)
    most = waiting if allowed is None else min(waiting, int(allowed) * parts)
    offer, compiled = offers(member, Load(1.0, shots)), offers.mix.get(member)
    other = trade.other_usd(offer) / parts if trade.others else 0.0

    rate = _usd_per_unit(profile.allotment) * trade.price_factor
    left = offers.left.get(member, 0.0)
    # Where nothing is left, a member is like any other.
    credit = Credit(profile.allotment.name, left, rate) if profile.allotment and left else None

    def seconds(size: int) -> float:
        circuits = size / parts
        return estimator.seconds(member, Load(circuits, circuits * each), compiled)

    def price(size: int) -> float:
        circuits = size / parts
        load = Load(ceil(circuits), circuits * each)
        asked = estimator.price(member, load, compiled, seconds=seconds(size))
        return times * asked if credit else rate * times * asked + size * other

    first, last = seconds(1), seconds(most)
    slope = max(0.0, (last - first) / (most - 1)) if most > 1 else first
    return Bid(
        member=member,
        price=JobPrice.of(price, most) if trade.price_factor else JobPrice(most, 0, 0, 0, 0),
        wait_seconds=offer.wait_seconds,
        circuit_seconds=times * slope,
        job_seconds=times * max(0.0, first - slope),
        credit=credit,
        other_usd=other,
    )


def _usd_per_unit(allotment: Allotment | None) -> float:
    if allotment is None:
        return 1.0
    # Where no more is sold, all else is to be done first.
    return allotment.usd_per_unit if allotment.sells_more else _NEVER_USD


def _without_ample(bids: Sequence[Bid], work: Load, parts: int) -> list[Bid]:
    """Ignore allowances large enough to cover all waiting work."""
    waiting = np.array([max(1, round(work.circuits * parts))])
    scarce = {
        bid.credit.pot
        for bid in bids
        if bid.credit and bid.price.whole(waiting)[0] > bid.credit.left
    }
    return [
        bid if bid.credit is None or bid.credit.pot in scarce else bid.for_nothing() for bid in bids
    ]


def capacities(offers: Offers, members: Sequence[str], horizon: float) -> dict[str, float]:
    """Count the waiting circuits that each member would have done by a horizon.

    All, where its speed is not known.
    """
    most = max(1, round(offers.waiting.circuits))
    return {
        member: bid_of(offers, member).capacity(horizon, most)
        if offers.estimator.states[member].speed.jobs
        else most
        for member in members
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
    now, waits = offers.now, offers.estimator.wait_seconds
    bids = [replace(bid_of(offers, name), wait_seconds=waits(name, now)) for name in members]
    return Frontier(bids, max(1, round(offers.waiting.circuits))).level_seconds() if bids else 0.0


def _levelled(
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
    shares = allocate(work, members, offers, objective, divisible=divisible)
    if horizon == inf:
        return shares
    most = capacities(offers, members, horizon)
    full: dict[str, float] = {}
    if sum(most.values()) < work.circuits:
        return shares
    while late := {name: most[name] for name, share in shares.items() if share > most[name]}:
        full |= late
        rest = work.part(max(0.0, 1 - sum(full.values()) / work.circuits))
        others = [name for name in members if name not in full] if rest.circuits else []
        shares = {}
        if others:
            shares = allocate(rest, others, offers, objective, divisible=divisible)
    return {name: share for name, share in {**full, **shares}.items() if share > 0}
