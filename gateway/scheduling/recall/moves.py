"""Moves of shards in flight: which may go elsewhere, and on what terms."""

from collections.abc import Sequence

from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.price import Price


def finishes_first(state: RunState) -> bool:
    """The policy wants to finish first; under others it is unclear which member should have the waiting work."""
    return state.planner.finishes_first and len(state.states) > 1


def values_time(state: RunState) -> bool:
    """The policy gives something for an earlier end, and there is somebody to share work with."""
    return state.planner.usd_per_second > 0 and len(state.states) > 1


def is_free_to_move(flight: Flight) -> bool:
    """A shard may be asked back or have a duplicate, apart from the rest of its rows or PUBs."""
    return flight.is_movable and flight.separable


def may_be_recalled(state: RunState, flight: Flight) -> bool:
    """A shard may be taken back for others, from each healthy member once, so that it settles."""
    rests = flight.member in flight.group.barred.ever_recalled_from
    return is_free_to_move(flight) and not (rests and flight.member not in state.health.unhealthy)


def may_pay_twice(state: RunState, flight: Flight, now: float) -> bool:
    """To pay for a shard again costs no more than waiting for it until it is given up is worth."""
    unhealthy = flight.member in state.health.unhealthy
    given_up_at = flight.giveup_at if unhealthy else flight.recall_at
    return is_worth(flight.price, given_up_at - now, state.planner.usd_per_second)


def is_worth(price: Price, wait_seconds: float, usd_per_second: float) -> bool:
    """A price is no more than what the wait costs; nothing always is."""
    if not price.costs:
        return True
    return wait_seconds > 0 and price.usd <= usd_per_second * wait_seconds


def allowed_offers(
    state: RunState, names: Sequence[str], flight: Flight, now: float
) -> dict[str, Offer]:
    """Make the offers of members to take a shard, where the policy allows it."""
    make = state.planner.offers(flight.load, now, flight.group.barred)
    offers = {name: make(name, flight.load) for name in names}
    return {name: offer for name, offer in offers.items() if state.policy.judge(offer)}


def others(state: RunState, flight: Flight, now: float) -> list[str]:
    """List the members that could take a shard from the one that has it.

    Those that failed at it before are thought of only once it was kept when overdue.
    """
    barred, unhealthy = flight.group.barred, state.health.unhealthy
    if flight.times_kept:
        barred = barred.untried
    return [
        name
        for name in state.health.usable(now)
        if name != flight.member and name not in barred and name not in unhealthy
    ]
