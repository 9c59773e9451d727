"""Shards that should perhaps not stay where they are: overdue, unanswered, or sooner elsewhere."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.policies.recall import covers, is_much_sooner
from qiskit_gateway.scheduling.decisions import AskBack, Blame, Decision, Expect, Postpone
from qiskit_gateway.scheduling.events import Unless
from qiskit_gateway.scheduling.flight import Flight, Phase, Reason
from qiskit_gateway.scheduling.members.estimator import ROUNDING_SECONDS
from qiskit_gateway.scheduling.recall.hedging import hedge, hedges
from qiskit_gateway.scheduling.recall.moves import (
    allowed_offers,
    may_be_recalled,
    others,
    values_time,
)
from qiskit_gateway.scheduling.recall.rebalance import rebalance
from qiskit_gateway.scheduling.run_state import RunState

# How often it is asked whether work waits where it should not.
_CHECK_SECONDS = 2.0
_OVERDUE = Failure(transient=True, fault="network", submitted=True)


def review(state: RunState, now: float) -> Iterator[Decision]:
    """Decide about all that flies and should perhaps not stay where it is."""
    for flight in _on_unhealthy(state):
        if now >= flight.giveup_at and flight.may_be_asked:
            yield from _ask_back(state, flight, now, "never")
    for index in state.lookout.pop_due(now):
        late = state.flights.get(index)
        if late is not None and late.may_be_asked:
            if _has_takers(state, late, now) and state.may_retry():
                yield from _ask_back(state, late, now, "running")
            else:
                yield Postpone(index)
    if _checks(state) and now >= state.lookout.next_check - ROUNDING_SECONDS:
        yield from _check(state, now)


def next_review(state: RunState, now: float) -> float:
    """Find when :func:`review` may next decide something."""
    looks = [one.giveup_at for one in _on_unhealthy(state) if one.giveup_at > now]
    if _checks(state):
        # A provider that was asked may not have answered: then others are soon asked, or none.
        soon = state.lookout.asks
        looks.append(state.lookout.next_check if soon else now + state.policy.probe_seconds)
    return min([*looks, state.lookout.next_recall(state.flights)])


def _ask_back(state: RunState, flight: Flight, now: float, unless: Unless) -> Iterator[Decision]:
    first = flight.phase is Phase.FLYING
    yield AskBack(flight.shard.index, Reason.OVERDUE, unless)
    if first and state.judges_health(flight):
        reason = f"nothing came for {now - flight.submitted:.0f} s, longer than it should take"
        yield Blame(flight.member, _OVERDUE, reason)


def _on_unhealthy(state: RunState) -> list[Flight]:
    unhealthy = state.health.unhealthy
    if not unhealthy:
        return []
    return [flight for flight in state.flights.values() if flight.member in unhealthy]


def _has_takers(state: RunState, flight: Flight, now: float) -> bool:
    """The policy allows a member to take a shard from the one that has it."""
    return bool(allowed_offers(state, others(state, flight, now), flight, now))


# -- work that waits in a queue while another member is idle ---------------------------------------


def _checks(state: RunState) -> bool:
    """The policy has anything taken back or duplicated before it is overdue."""
    never = state.policy.recall.idle == "never" and not hedges(state)
    return not (never or len(state.states) == 1 or state.settled)


def _check(state: RunState, now: float) -> Iterator[Decision]:
    """Have second thoughts about work that waits, unless there is enough that waits for anybody."""
    lookout = state.lookout
    lookout.next_check, lookout.asks = now + _CHECK_SECONDS, False
    if now < lookout.spare_until and not state.planner.backlog.empty:
        return
    for decision in chain(rebalance(state, now), _relieve(state, now), hedge(state, now)):
        lookout.asks |= not isinstance(decision, Expect)
        yield decision


def _relieve(state: RunState, now: float) -> Iterator[AskBack]:
    """Ask work back for idle members, once nothing else waits; not where it is rebalanced."""
    idle = [] if values_time(state) else _idle(state, now)
    if not idle:
        return
    waiting = [flight for flight in state.flights.values() if may_be_recalled(state, flight)]
    for flight in sorted(waiting, key=lambda one: -one.expected_end):
        member = next((name for name in idle if _relieves(state, flight, name, now)), None)
        if member is not None:
            idle.remove(member)
            yield AskBack(flight.shard.index, Reason.SOONER_ELSEWHERE)


def _idle(state: RunState, now: float) -> list[str]:
    """List the healthy members that have nothing of ours, and for which nothing waits."""
    waiting = state.dealer.backlog.classes
    if any(not (barred.for_now or barred.never) for barred in waiting):
        return []
    idle = [
        name
        for name in state.health.healthy(now)
        if not state.states[name].in_flight
        and state.slots(name, now)
        and all(name in barred for barred in waiting)
    ]
    # Each shard that is asked back already is for one of them.
    asked = sum(
        one.reason is Reason.SOONER_ELSEWHERE and one.phase is Phase.ASKED_BACK
        for one in state.flights.values()
    )
    return idle[asked:]


def _relieves(state: RunState, flight: Flight, member: str, now: float) -> bool:
    """An idle member would end a shard much sooner, and the policy is for it."""
    profile = state.estimator.profiles[flight.member]
    if member in flight.group.barred or not covers(state.policy.recall.idle, profile.job_fee_usd):
        return False
    offers: dict[str, Offer] = allowed_offers(state, [member, flight.member], flight, now)
    if len(offers) < 2:
        return False
    there, here = offers[member], offers[flight.member]
    # What is late may well take as long again as it is late by now.
    left = abs(flight.expected_end - now)
    here = replace(here, wait_seconds=max(0.0, left - here.run_seconds))
    key = state.policy.minimize.key
    if state.planner.trade is not None:
        # Sooner than what else flies is not worth any money.
        others = (one.expected_end for one in state.flights.values() if one is not flight)
        busy = max(others, default=now) - now
        there, here = (
            replace(one, wait_seconds=max(one.wait_seconds, busy - one.run_seconds))
            for one in (there, here)
        )
    seconds = there.wait_seconds + there.run_seconds
    return is_much_sooner(seconds, left) and key(there) < key(here)
