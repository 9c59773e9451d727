"""Estimate the end of a run, and how sure the estimate is."""

import math
from collections.abc import Iterator

from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.record.outlook import Outlook
from qiskit_gateway.work.tasks import NO_LOAD, Load

# Before any job has come back, one is thought to take half as long again as expected, or to end as
# much sooner; that is worth this much evidence, in jobs.
_PRIOR = math.log(1.5)
_PRIOR_JOBS = 2


def note_surprise(state: RunState, flight: Flight, now: float) -> None:
    """Learn from a shard that has come back how far off its expected end was."""
    expected, took = flight.foreseen_seconds, now - flight.submitted
    if expected > 0 and took > 0:
        state.surprises.append(math.log(took / expected))


def foresee(state: RunState, now: float) -> Outlook | None:
    """Estimate the remaining time of the run; ``None`` while waiting work is not assigned.

    Args:
        state: The run.
        now: Seconds of the loop's clock.
    """
    flying = {flight.member for flight in state.flights.values()}
    loads = dict.fromkeys(flying, NO_LOAD)
    for name, load in _waiting(state):
        loads[name] = loads.get(name, NO_LOAD).plus(load)
    if not loads:
        return None
    estimator = state.estimator
    seconds = max(
        estimator.wait_seconds(name, now) + estimator.span_seconds(name, load)
        if load.circuits
        else estimator.busy_seconds(name, now)
        for name, load in loads.items()
    )
    if not state.planner.is_planned:
        seconds = max(seconds, state.planner.earliest_seconds(now))
    unseen = [name for name in loads if not state.states[name].speed.jobs]
    times_off = (estimator.speed_of(name).times_off for name in unseen)
    factor = max(times_off, default=math.exp(_spread(state)))
    return Outlook(seconds=seconds, least_seconds=seconds / factor, most_seconds=seconds * factor)


def _waiting(state: RunState) -> Iterator[tuple[str, Load]]:
    """Yield the waiting work, each with the member that should take it."""
    yield from state.planner.shares()
    for name, groups in state.dealer.lined_up.items():
        for group in groups:
            circuits = sum(piece.rows for piece in group.pieces)
            yield name, Load(circuits, sum(piece.circuit_shots for piece in group.pieces))


def _spread(state: RunState) -> float:
    """Typical error of the logarithm of an expected time: what was seen, with some caution."""
    squares = sum(one * one for one in state.surprises) + _PRIOR_JOBS * _PRIOR * _PRIOR
    return math.sqrt(squares / (len(state.surprises) + _PRIOR_JOBS))
