"""Taking back what waits at members and would be done sooner elsewhere."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.policies.objectives import Finish, Then
from qiskit_gateway.policies.recall import RecallPolicy
from qiskit_gateway.scheduling.allocation.water_filling import fill
from qiskit_gateway.scheduling.events import Recall
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.members.estimator import HOPE, ROUNDING_SECONDS
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.tasks import Load

Floats = NDArray[np.float64]

# A member is stuck at a job that is late by so many times what was expected, and so many seconds.
_STUCK_TIMES = 2.0
_STUCK_SECONDS = 10.0
_LEAST_SECONDS = 1e-9


def level_seconds(base: Floats, slope: Floats, circuits: float) -> float:
    """Return when members end that share some circuits so that all end together.

    Args:
        base: When each could begin, in seconds.
        slope: What a circuit takes there, in seconds.
        circuits: How many.
    """
    if not circuits:
        return float(base.min())
    # Whoever takes no time at all, as far as is known, takes next to none.
    slope = np.maximum(slope, _LEAST_SECONDS)
    shares = fill(base, slope, circuits)
    return float((base + slope * shares)[shares > 0].max())


def surplus(
    ends: Sequence[tuple[float, float]],
    base: Floats,
    slope: Floats,
    waiting: float,
    rules: RecallPolicy,
) -> int:
    """Return how many of the jobs that end last should be taken back.

    So many that those which stay end no later than what is taken back would elsewhere, or not much.

    Args:
        ends: When jobs end that wait at members, in seconds from now, the last first; and how many
            circuits they have.
        base: When each member could begin with what is taken back, in seconds from now.
        slope: What a circuit takes there, in seconds.
        waiting: How many circuits wait for whoever takes them.
        rules: Say what is much.
    """
    taken = list(accumulate((circuits for _, circuits in ends), initial=waiting))[1:]

    def stays(position: int) -> bool:
        level = level_seconds(base, slope, taken[position])
        return ends[position][0] <= rules.gain_times * level + rules.gain_seconds + ROUNDING_SECONDS

    return bisect_left(range(len(ends)), x=True, key=stays)


class Balancer:
    """What one run has queued at members that are slower than was thought, or stuck.

    It serves policies that want to finish first; for others it is not clear who should have it.

    Args:
        state: How the run stands.
        movable: Whether a shard may be asked back where it is.
    """

    def __init__(self, state: RunState, movable: Callable[[Flight], bool]) -> None:
        self._state = state
        self._movable = movable
        first = state.policy.minimize
        first = first.objectives[0] if isinstance(first, Then) else first
        self.applies = isinstance(first, Finish) and len(state.standings) > 1

    def look(self, now: float) -> Iterator[Recall]:
        """Ask back what waits behind a job that does not end, and what others would end sooner."""
        stuck = {name for name in self._state.standings if self._is_stuck(name, now)}
        lined_up = self._lined_up()
        if not (self.applies and (stuck or lined_up)):
            return
        able = self._state.health.well(now)
        waiting = self._waiting([name for name in able if name in lined_up], now)
        free = [name for name in able if name not in stuck]
        if stuck and free:
            yield from self._free(stuck, free)
        waiting = [(index, flight) for index, flight in waiting if flight.member not in stuck]
        if waiting and free:
            yield from self._take_back(waiting, free, now)

    def is_better_shared(self, flight: Flight, others: Sequence[str], now: float) -> bool:
        """Return whether a shard that failed would end last if it were tried again as it is.

        Others then share it with all else that waits, in shards as small as befits the time left.
        """
        if not (self.applies and others):
            return False
        load, rules = _load([flight]), self._state.policy.recall
        whole = self._state.planner.backlog.load.plus(load)
        wait, each = self._pace([flight.member], load, now)
        level = level_seconds(*self._pace(others, whole, now), whole.circuits)
        here = float(wait[0] + each[0] * load.circuits)
        return here > rules.gain_times * level + rules.gain_seconds

    def _lined_up(self) -> set[str]:
        """Return the members at which shards may wait.

        Where there is no queue, what waits behind one job of ours counts only once nothing else
        does: until then whoever is free takes other work.
        """
        rest = self._state.dealer.empty
        standings = self._state.standings.items()
        return {name for name, standing in standings if standing.queue_seconds or rest}

    def _waiting(self, names: Sequence[str], now: float) -> list[tuple[int, Flight]]:
        """Return the shards that wait at members, with when they will begin and end there."""
        if not names:
            return []
        state = self._state
        ours: dict[object, int] = {state.key(index): index for index in state.flights}
        return [item for name in names for item in self._foreseen(name, ours, now)]

    def _foreseen(
        self, member: str, ours: Mapping[object, int], now: float
    ) -> Iterator[tuple[int, Flight]]:
        """Foresee when the jobs of a member begin and end; yield those that wait there."""
        standing, planner = self._state.standings[member], self._state.planner
        estimator, hope = planner.estimator, 1 if standing.speed.jobs else HOPE
        waits = len(standing.in_flight) > 1 or standing.queue_seconds
        known = standing.speed.jobs or estimator.guess or planner.backlog.empty
        if not (waits and known):
            return
        left = max(0.0, estimator.late_seconds(member, now)) / hope
        end = standing.busy_since
        for key, load in standing.in_flight.items():
            begins = max(end, standing.turns[key])
            end = begins + estimator.seconds(member, load) / hope
            if begins <= now + ROUNDING_SECONDS:
                end = max(end, now + left)
            index = ours.get(key)
            if index is not None:
                flight = self._state.flights[index]
                flight.due = end
                if begins > now + ROUNDING_SECONDS and self._movable(flight):
                    yield index, flight

    def _is_stuck(self, member: str, now: float) -> bool:
        """Return whether a member takes far longer over a job than expected."""
        standing, estimator = self._state.standings[member], self._state.planner.estimator
        if not standing.in_flight or not (standing.speed.jobs or estimator.guess):
            return False
        worked = standing.worked_seconds(now)
        if worked <= _STUCK_SECONDS:
            return False
        late = estimator.late_seconds(member, now)
        expected = worked - late
        times = _STUCK_TIMES * (1 if standing.speed.jobs else HOPE)
        return late > times * expected + _STUCK_SECONDS + ROUNDING_SECONDS

    def _free(self, stuck: Collection[str], free: Sequence[str]) -> Iterator[Recall]:
        for index, flight in list(self._state.flights.items()):
            others = any(name not in flight.group.barred for name in free)
            if flight.member in stuck and others and self._movable(flight):
                flight.asked = "idle"
                yield Recall(shard=index, unless="perhaps running")

    def _take_back(
        self, waiting: list[tuple[int, Flight]], free: Sequence[str], now: float
    ) -> Iterator[Recall]:
        planner = self._state.planner
        asked = [one for one in self._state.flights.values() if one.asked == "surplus"]
        before = planner.backlog.load.plus(_load(asked))
        whole = before.plus(_load([flight for _, flight in waiting]))
        base, slope = self._pace(free, whole, now)
        waiting.sort(key=lambda item: -item[1].due)
        ends = [(flight.due - now, flight.shard.circuits) for _, flight in waiting]
        rules = self._state.policy.recall
        many = surplus(ends, base, slope, before.circuits, rules)
        for index, flight in waiting[:many]:
            flight.asked = "surplus"
            yield Recall(shard=index, unless="perhaps running")

    def _pace(self, names: Sequence[str], work: Load, now: float) -> tuple[Floats, Floats]:
        """Return when members could begin with some work, from now, and their time for a circuit."""
        estimator = self._state.planner.estimator
        base = np.array([estimator.wait_seconds(name, now) for name in names])
        return base, np.array([estimator.seconds(name, work) / work.circuits for name in names])


def _load(flights: Sequence[Flight]) -> Load:
    circuits = sum(one.shard.circuits for one in flights)
    return Load(circuits, sum(one.shard.circuit_shots for one in flights))
