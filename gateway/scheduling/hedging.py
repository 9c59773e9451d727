"""Queueing a shard a second time, in case it fails, where that would else end the run late."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from qiskit_gateway.scheduling.events import Instruction
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.tasks import Load


@dataclass(frozen=True, slots=True)
class Risk:
    """A shard whose failure would end the run later.

    Attributes:
        index: Its number.
        flight: The shard.
        ends: When it should end, in seconds of the loop's clock.
        again: When it would be done if it failed then, and queued anew.
    """

    index: int
    flight: Flight
    ends: float
    again: float


class Sparer:
    """What one run has queued where a failure would cost another wait in a queue.

    A spare is a second job for the pieces of a shard, whose turn comes when that should have ended.
    It is taken back when the shard has arrived, and saves the wait where the shard has failed. It
    goes only where nothing is paid, and only after failures: by how many are to be expected.

    Args:
        state: How the run stands.
        movable: Whether a shard may go to a second member.
        allowed: Whether the policy lets a member take a shard now.
        send: Queue a shard at a second member as well.
    """

    def __init__(
        self,
        state: RunState,
        movable: Callable[[Flight], bool],
        allowed: Callable[[Flight, str, float], bool],
        send: Callable[[int, str, float], Sequence[Instruction]],
    ) -> None:
        self._state = state
        self._movable = movable
        self._allowed = allowed
        self._send = send
        policy = state.policy
        self.applies = policy.recall.spare == "free" and policy.budget is None

    def look(self, now: float) -> Iterator[Instruction]:
        """Send spares once nothing else waits, if a failure is likely and would cost time."""
        able = self._able(now) if self.applies and self._state.dealer.empty else []
        if not any(self._state.standings[name].failure_rate for name in able):
            return
        ill, flights = self._state.health.ill, self._state.flights.values()
        dues = [one.due for one in flights if not one.spare and one.member not in ill]
        last = max([now, *dues])
        risks = [risk for risk in self._risks(able, now) if risk.again > last]
        if self._matters(risks, last - now, last):
            yield from self._send_spares(risks, able, now)

    def _able(self, now: float) -> list[str]:
        """Return the healthy members at which a second job costs nothing."""
        state, terms = self._state, self._state.planner.estimator.profiles
        well = state.health.well(now)
        return [name for name in well if terms[name].free and not state.is_unchecked(name)]

    def _risks(self, able: Sequence[str], now: float) -> Iterator[Risk]:
        """Go through the shards that may have a spare."""
        standings, names = self._state.standings, frozenset(able)
        anew: dict[Load, float] = {}
        for index, flight in self._state.flights.items():
            if flight.member not in names or not self._movable(flight):
                continue
            load = _load(flight)
            if load not in anew:
                waits = (standings[name].queue_seconds for name in able)
                runs = (self._run_seconds(name, load) for name in able)
                anew[load] = min(wait + run for wait, run in zip(waits, runs, strict=True))
            ends = max(flight.due, now)
            yield Risk(index, flight, ends, ends + anew[load])

    def _run_seconds(self, member: str, load: Load) -> float:
        return self._state.planner.estimator.seconds(member, load)

    def _matters(self, risks: Sequence[Risk], left_seconds: float, last: float) -> bool:
        """Return whether the run is expected to end much later for what fails of its last shards."""
        rules, standings = self._state.policy.recall, self._state.standings
        failures = sum(standings[risk.flight.member].failure_rate for risk in risks)
        late = max((risk.again - last for risk in risks), default=0.0)
        much = (rules.gain_times - 1) * left_seconds + rules.gain_seconds
        return min(1.0, failures) * late > much

    def _send_spares(
        self, risks: Sequence[Risk], able: Sequence[str], now: float
    ) -> Iterator[Instruction]:
        """Send spares for the shards that end last, as long as members have room for them."""
        turns = sorted(self._turns(able, now))
        for risk in sorted(risks, key=lambda risk: -risk.ends):
            turn = self._best(risk, turns, now)
            if turn is not None:
                turns.remove(turn)
                yield from self._send(risk.index, turn[1], now)
                for again in self._turns([turn[1]], now):
                    insort(turns, again)

    def _turns(self, names: Iterable[str], now: float) -> Iterator[tuple[float, str]]:
        """Go through when a job sent now would begin at members that may have one more."""
        state = self._state
        for name in names:
            if state.slots(name, now):
                yield now + state.planner.estimator.wait_seconds(name, now), name

    def _best(
        self, risk: Risk, turns: Sequence[tuple[float, str]], now: float
    ) -> tuple[float, str] | None:
        """Return which turn a spare should have: it ends first of those that begin late enough."""
        load, found = _load(risk.flight), None
        best = risk.again - self._state.policy.recall.gain_seconds
        for turn in turns[bisect_left(turns, (risk.ends, "")) :]:
            begins, name = turn
            if begins >= best:
                break
            ends = begins + self._run_seconds(name, load)
            if ends < best and self._may_have(name, risk.flight, now):
                best, found = ends, turn
        return found

    def _may_have(self, member: str, flight: Flight, now: float) -> bool:
        if member == flight.member or member in flight.group.barred:
            return False
        return self._state.fits(flight.shard, member) and self._allowed(flight, member, now)


def _load(flight: Flight) -> Load:
    return Load(flight.shard.circuits, flight.shard.circuit_shots)
