"""Decide when a shard in flight is overdue."""

import math

from qiskit_gateway.policies.recall import UNSEEN_SECONDS, covers, overdue_seconds
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.run_state import RunState

# A shard on an unhealthy member is given up on after this many times what it was expected to take,
# and these seconds more; of a member that never returned a job nothing is expected.
_UNHEALTHY_TIMES = 1.5
_UNHEALTHY_SECONDS = 10.0
_UNHEALTHY_UNSEEN_SECONDS = 300.0


def watch(state: RunState, flight: Flight) -> None:
    """Settle when a shard that was sent is overdue, and look at it then."""
    policy = state.policy
    expected, sent = flight.expected_end - flight.submitted, flight.submitted
    seen = state.states[flight.member].speed.jobs > 0
    if flight.adopted:
        # How long it has taken is not known, nor how long it should.
        giveup = policy.patience_seconds or math.inf
        late = UNSEEN_SECONDS
    else:
        late = overdue_seconds(expected, seen=seen)
        least = _UNHEALTHY_SECONDS if seen else _UNHEALTHY_UNSEEN_SECONDS
        # For a probe there is all the time.
        giveup = math.inf if flight.probing else _UNHEALTHY_TIMES * expected + least
    fee = state.estimator.profiles[flight.member].job_fee_usd
    # Where time is worth nothing, what is slow may stay where it is cheapest.
    if state.planner.timeless or not covers(policy.recall.overdue, fee):
        late = math.inf
    if policy.start_seconds is not None:
        late = min(late, policy.start_seconds)
    flight.giveup_at, flight.recall_at = sent + giveup, sent + late
    _look_at(state, flight)


def look_later(state: RunState, flight: Flight, now: float) -> None:
    """Look again when a shard has taken twice as long; what it brings until then counts."""
    flight.recall_at = now + max(now - flight.submitted, 1.0)
    flight.times_kept += 1
    _look_at(state, flight)


def _look_at(state: RunState, flight: Flight) -> None:
    # In a fleet of one no other member could take it.
    if len(state.states) > 1:
        state.lookout.add(flight.recall_at, flight.shard.index)
