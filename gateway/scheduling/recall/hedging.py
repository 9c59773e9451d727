"""Queueing a shard a second time, in case it fails, where that would else end the run late.

A hedge is a second job for the pieces of a shard, whose turn comes when that should have ended. It
is taken back when the shard has arrived, and saves the wait in a queue where the shard has failed.
It is sent only where nothing is paid, and only after failures: by how many are expected.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qiskit_gateway.policies.recall import GAIN_SECONDS, gain_from
from qiskit_gateway.scheduling.decisions import Hedge
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.recall.moves import allowed_offers, finishes_first, is_free_to_move
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.tasks import Load


@dataclass(frozen=True, slots=True)
class Risk:
    """A shard whose failure would end the run later.

    Attributes:
        flight: The shard.
        ends: When it should end, in seconds of the loop's clock.
        again: When it would be done if it failed then, and queued anew.
    """

    flight: Flight
    ends: float
    again: float


def hedges(state: RunState) -> bool:
    """The policy hedges at all."""
    policy = state.policy
    return policy.recall.spare == "free" and policy.budget is None and finishes_first(state)


def hedge(state: RunState, now: float) -> Iterator[Hedge]:
    """Duplicate shards once nothing else waits, if a failure is likely and would cost time."""
    able = _able(state, now) if hedges(state) and state.dealer.empty else []
    if not any(state.states[name].failure_rate for name in able):
        return
    unhealthy = state.health.unhealthy
    ends = [
        one.expected_end
        for one in state.flights.values()
        if one.member not in unhealthy and not _is_hedge(one)
    ]
    last = max([now, *ends])
    risks = [risk for risk in _risks(state, able, now) if risk.again > last]
    if _matters(state, risks, last - now, last):
        yield from _place(state, risks, able, now)


def _is_hedge(flight: Flight) -> bool:
    return flight.duplicate is not None and flight.duplicate.hedge == flight.shard.index


def _able(state: RunState, now: float) -> list[str]:
    """List the healthy members at which a second job costs nothing."""
    profiles = state.estimator.profiles
    return [name for name in state.health.healthy(now) if profiles[name].free]


def _risks(state: RunState, able: Sequence[str], now: float) -> Iterator[Risk]:
    """Go through the shards that may have a hedge."""
    names, estimator = frozenset(able), state.estimator
    anew: dict[Load, float] = {}
    for flight in state.flights.values():
        if flight.member not in names or not is_free_to_move(flight):
            continue
        load = _load(flight)
        if load not in anew:
            anew[load] = min(
                state.states[name].queue_seconds + estimator.seconds(name, load) for name in able
            )
        ends = max(flight.expected_end, now)
        yield Risk(flight, ends, ends + anew[load])


def _matters(state: RunState, risks: Sequence[Risk], left_seconds: float, last: float) -> bool:
    """Failures among the last shards would noticeably delay the run."""
    failures = sum(state.states[risk.flight.member].failure_rate for risk in risks)
    late = max((risk.again - last for risk in risks), default=0.0)
    return min(1.0, failures) * late > gain_from(left_seconds)


def _place(
    state: RunState, risks: Sequence[Risk], able: Sequence[str], now: float
) -> Iterator[Hedge]:
    """Hedge the shards that end last, as long as members have room."""
    turns = sorted(_turns(state, able, now))
    for risk in sorted(risks, key=lambda risk: -risk.ends):
        turn = _best(state, risk, turns, now)
        if turn is not None:
            turns.remove(turn)
            yield Hedge(risk.flight.shard.index, turn[1])
            # The hedge is in the member's line by now.
            for again in _turns(state, [turn[1]], now):
                insort(turns, again)


def _turns(state: RunState, names: Iterable[str], now: float) -> Iterator[tuple[float, str]]:
    """Go through when a job sent now would begin at members that may have one more."""
    for name in names:
        if state.slots(name, now):
            yield now + state.estimator.wait_seconds(name, now), name


def _best(
    state: RunState, risk: Risk, turns: Sequence[tuple[float, str]], now: float
) -> tuple[float, str] | None:
    """Choose the turn of a hedge: the first to end of the turns that begin late enough."""
    load, found = _load(risk.flight), None
    best = risk.again - GAIN_SECONDS
    for turn in turns[bisect_left(turns, (risk.ends, "")) :]:
        begins, name = turn
        if begins >= best:
            break
        ends = begins + state.estimator.seconds(name, load)
        if ends < best and _may_have(state, name, risk.flight, now):
            best, found = ends, turn
    return found


def _may_have(state: RunState, member: str, flight: Flight, now: float) -> bool:
    if member == flight.member or member in flight.group.barred:
        return False
    return state.fits(flight.shard, member) and bool(allowed_offers(state, [member], flight, now))


def _load(flight: Flight) -> Load:
    return Load(flight.shard.circuits, flight.shard.circuit_shots)
