"""Taking work back from members that have it, and queueing it at a second one: who, and when."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.policies.recall import Where, covers
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.assignment import Group
from qiskit_gateway.scheduling.events import (
    Cancel,
    Instruction,
    Recall,
    RecallFailed,
    ShardStarted,
    Submit,
    Unless,
    Watch,
)
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.hedging import Sparer
from qiskit_gateway.scheduling.members.estimator import ROUNDING_SECONDS
from qiskit_gateway.scheduling.rebalance import Balancer
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.tasks import Load

# A shard on a member that is not well is given up on after so many times what it was expected to
# take, and so many seconds more.
_ILL_TIMES = 1.5
_ILL_SECONDS = 10.0
_ILL_UNSEEN_SECONDS = 300.0
# So often it is looked at whether work waits where it should not.
_CHECK_SECONDS = 2.0
_OVERDUE = Failure(transient=True, fault="network", submitted=True)


class Recaller:
    """What flies and should perhaps not stay where it is.

    Args:
        state: How the run stands.
        launch: Take the slot and the price of a shard on a member, if there is money.
    """

    def __init__(
        self, state: RunState, launch: Callable[[str, Group, float], Submit | Verdict]
    ) -> None:
        self._state = state
        self._launch = launch
        self._policy = state.policy.recall
        self._terms = state.planner.estimator.profiles
        # When to look at which shard; those that have ended are passed over when they come up.
        self._late: list[tuple[float, int]] = []
        self._next_check = -math.inf
        self._asks = False
        self._balancer = Balancer(state, self._may_be_asked_back)
        self._sparer = Sparer(state, self._may_be_relieved, self._is_allowed, self._send_spare)

    # -- work that is overdue ------------------------------------------------------------------

    def watch_over(self, index: int) -> None:
        """Take note of a shard that was sent, and settle when it is overdue."""
        flight = self._state.flights[index]
        expected, sent = flight.due - flight.submitted, flight.submitted
        seen = self._state.standings[flight.member].speed.jobs > 0
        if flight.adopted:
            # How long it has taken is not known, nor how long it should.
            flight.overdue = sent + (self._state.policy.patience_seconds or math.inf)
            late = self._policy.unseen_seconds
        else:
            late = self._policy.overdue_times * expected + self._policy.grace_seconds(seen=seen)
            # For a probe there is all the time.
            least = _ILL_SECONDS if seen else _ILL_UNSEEN_SECONDS
            flight.overdue = math.inf if flight.probing else sent + _ILL_TIMES * expected + least
        if not self._covered(self._policy.overdue, flight.member):
            late = math.inf
        start = self._state.policy.start_seconds
        flight.late = sent + (late if start is None else min(late, start))
        self._look_at(index, flight)

    def _look_at(self, index: int, flight: Flight) -> None:
        # In a fleet of one there is nobody who could take it.
        if len(self._terms) > 1 and flight.late < math.inf:
            heapq.heappush(self._late, (flight.late, index))

    def look(self, now: float) -> Iterator[Instruction]:
        """Look after what flies: ask for work back, or queue it elsewhere as well."""
        for index, flight in self._on_ill():
            if now >= flight.overdue and not flight.recalled and flight.asked in {"", "no"}:
                yield from self._ask(index, flight, now, "never")
        while self._late and self._late[0][0] <= now:
            _, index = heapq.heappop(self._late)
            late = self._state.flights.get(index)
            if late is not None and not late.recalled and late.asked in {"", "no"}:
                yield from self._ask_if_useful(index, late, now)
        if self._relieves and now >= self._next_check - ROUNDING_SECONDS:
            self._next_check = now + _CHECK_SECONDS
            asked = [*self._balancer.look(now), *self._relieve(now), *self._spare(now)]
            self._asks = bool(asked)
            yield from asked

    def next_look(self, now: float) -> float:
        """Return when a shard may become overdue."""
        while self._late and self._late[0][1] not in self._state.flights:
            heapq.heappop(self._late)
        looks = [flight.overdue for _, flight in self._on_ill() if flight.overdue > now]
        if self._relieves:
            # Who was asked may not have answered: then others are soon asked, or nobody any more.
            looks.append(self._next_check if self._asks else now + self._state.policy.probe_seconds)
        return min([*looks, self._late[0][0] if self._late else math.inf])

    def refused(self, event: RecallFailed, now: float) -> Iterator[Instruction]:
        """Take in that a shard could not be taken back: it goes on, or is given up on."""
        flight = self._state.flights.get(event.shard)
        if flight is None or flight.recalled:
            return
        if event.failure is not None and self._counts(flight):
            yield from self._state.health.failed(flight.member, event.failure, event.reason, now)
        if flight.asked in {"idle", "tied", "surplus"} and not self._may_desert(flight, event):
            # It is not asked a second time unless it is overdue, or nobody answered.
            flight.asked = "" if event.failure is not None and not flight.price.costs else "no"
        elif flight.asked == "overdue" and not self._may_leave(flight, event):
            flight.asked = "no"
            self._look_later(event.shard, flight, now)
        else:
            flight.recalled = True
            yield Cancel(shard=event.shard)

    def _look_later(self, index: int, flight: Flight, now: float) -> None:
        """Look again when it has taken twice as long; what it brings until then counts."""
        flight.late = now + max(now - flight.submitted, 1.0)
        flight.looks += 1
        self._look_at(index, flight)

    def _may_leave(self, flight: Flight, event: RecallFailed) -> bool:
        """Return whether a shard that was overdue and not given back is waited for no longer."""
        if flight.member in self._state.health.ill:
            return True
        return event.failure is not None and self._state.policy.retry.on_unknown != "wait"

    def _may_desert(self, flight: Flight, event: RecallFailed) -> bool:
        """Return whether a shard is left to a member that is ill and does not answer.

        Nothing is paid twice where nothing is paid.
        """
        gone = event.failure is not None and flight.member in self._state.health.ill
        return gone and not flight.price.costs and self._state.policy.retry.on_unknown == "move"

    def _ask_if_useful(self, index: int, flight: Flight, now: float) -> Iterator[Instruction]:
        if self._others(flight, now) and self._state.may_retry():
            yield from self._ask(index, flight, now, "running")
        else:
            self._look_later(index, flight, now)

    def _ask(self, index: int, flight: Flight, now: float, unless: Unless) -> Iterator[Instruction]:
        first, flight.asked = not flight.asked, "overdue"
        yield Recall(shard=index, unless=unless)
        if first and self._counts(flight):
            reason = f"nothing came for {now - flight.submitted:.0f} s, longer than it should take"
            yield from self._state.health.failed(flight.member, _OVERDUE, reason, now)

    def _counts(self, flight: Flight) -> bool:
        """Return whether what a shard shows counts for its member's health.

        What was sent before an ejection says nothing of whether the member is well since.
        """
        return flight.probing or flight.member not in self._state.health.ill

    def _others(self, flight: Flight, now: float) -> list[str]:
        """Return the members that could take a shard from the one that has it.

        Those that failed at it before are thought of only when it has taken even longer.
        """
        barred, ill = flight.group.barred, self._state.health.ill
        if flight.looks:
            barred = replace(barred, tried=frozenset())
        names = [
            name
            for name in self._state.health.usable(now)
            if name != flight.member and name not in barred and name not in ill
        ]
        return list(self._offers(names, flight, now))

    def is_better_elsewhere(self, index: int, now: float) -> bool:
        """Return whether a shard that failed should move, and not queue again at its member."""
        flight = self._state.flights[index]
        if self._state.settled or not self._may_move(flight):
            return False
        others = self._others(flight, now)
        if self._balancer.is_better_shared(flight, others, now):
            return True
        queue_seconds = self._state.standings[flight.member].queue_seconds
        here = self._offer(flight.member, flight, now)
        if not queue_seconds or here is None:
            return False
        key = self._state.policy.minimize.key
        again = key(replace(here, wait_seconds=queue_seconds))
        there = self._offers(others, flight, now).values()
        return any(key(offer) < again for offer in there)

    def _may_move(self, flight: Flight) -> bool:
        moves = self._state.policy.retry.max_moves
        return moves is None or len({*flight.group.barred.failed, flight.member}) <= moves

    def _offer(self, member: str, flight: Flight, now: float) -> Offer | None:
        """Return what it would mean for a member to take a shard, if the policy allows it."""
        return self._offers([member], flight, now).get(member)

    def _offers(self, names: Sequence[str], flight: Flight, now: float) -> dict[str, Offer]:
        """Return what it would mean for members to take a shard, where the policy allows it."""
        shard = flight.shard
        load = Load(shard.circuits, shard.circuits * shard.shots)
        make = self._state.planner.offers(load, now, flight.group.barred)
        offers = {name: make(name, load) for name in names}
        return {name: offer for name, offer in offers.items() if self._state.policy.where(offer)}

    def _on_ill(self) -> list[tuple[int, Flight]]:
        ill = self._state.health.ill
        flights = self._state.flights
        return [item for item in flights.items() if item[1].member in ill] if ill else []

    # -- work that waits in a queue while another member is idle --------------------------------

    def _relieve(self, now: float) -> Iterator[Instruction]:
        """Ask work back for idle members, or queue it there as well, once nothing else waits."""
        state = self._state
        balanced = self._balancer.applies and self._policy.tied == "never"
        idle = [] if balanced else self._idle(now)
        if not idle:
            return
        waiting = [item for item in state.flights.items() if self._may_be_relieved(item[1])]
        for index, flight in sorted(waiting, key=lambda item: -item[1].due):
            for member in idle:
                relief = self._relief(index, flight, member, now)
                if relief:
                    idle.remove(member)
                    yield from relief
                    break

    @property
    def _relieves(self) -> bool:
        rules = self._policy
        never = rules.idle == rules.tied == "never" and not self._spares
        return not (never or len(self._terms) == 1 or self._state.settled)

    @property
    def _spares(self) -> bool:
        return self._balancer.applies and self._sparer.applies

    def _spare(self, now: float) -> Iterator[Instruction]:
        return self._sparer.look(now) if self._spares else iter(())

    def _idle(self, now: float) -> list[str]:
        """Return the healthy members that have nothing of ours, and for which nothing waits."""
        state = self._state
        waiting = state.dealer.backlog.classes
        if any(not (barred.tried or barred.never) for barred in waiting):
            return []
        asked = sum(flight.asked == "idle" for flight in state.flights.values())
        idle = [
            name
            for name in state.health.well(now)
            if not state.standings[name].in_flight
            and state.slots(name, now)
            and all(name in barred for barred in waiting)
        ]
        return idle[asked:]

    def _may_be_relieved(self, flight: Flight) -> bool:
        alone = not flight.asked and not flight.recalled and flight.twin is None
        free = alone and not flight.probing and not flight.adopted
        return free and self._may_be_parted(flight)

    def _may_be_asked_back(self, flight: Flight) -> bool:
        """Return whether work may be taken back for others: it moves so once, or would never rest."""
        barred, member = flight.group.barred, flight.member
        if barred.tried or not self._covered(self._policy.idle, member):
            return False
        elsewhere = self._state.may_go(replace(barred, tried=frozenset([member])))
        return elsewhere and self._may_be_relieved(flight)

    def _may_be_parted(self, flight: Flight) -> bool:
        """Return whether a shard may go elsewhere than the rest of its rows or PUBs."""
        spread, tasks = self._state.policy.spread, self._state.tasks
        if spread == "rows":
            return all(piece.shots == tasks[piece.task].shots for piece in flight.shard.pieces)
        return spread == "shots"

    def _relief(self, index: int, flight: Flight, member: str, now: float) -> list[Instruction]:
        """Return what to do that an idle member may take a shard; nothing if it should not."""
        there, here = self._offer(member, flight, now), self._offer(flight.member, flight, now)
        if member in flight.group.barred or there is None or here is None:
            return []
        # What is late may well take as long again as it is late by now.
        left = abs(flight.due - now)
        here = replace(here, wait_seconds=max(0.0, left - here.run_seconds))
        best = self._state.policy.minimize.key
        both = (flight.member, member)
        # Queued at both, it does not matter how long the queue there is thought to be.
        at_once = replace(there, wait_seconds=0.0)
        if all(self._covered(self._policy.tied, name) for name in both):
            fits = self._state.fits(flight.shard, member) and best(at_once) < best(here)
            return self._tie(index, member, now) if fits else []
        seconds = there.wait_seconds + there.run_seconds
        sooner = left > self._policy.gain_times * seconds + self._policy.gain_seconds
        if not sooner or best(there) >= best(here):
            return []
        if self._balancer.applies or not self._covered(self._policy.idle, flight.member):
            return []
        flight.asked = "idle"
        return [Recall(shard=index, unless="perhaps running")]

    def _tie(self, index: int, member: str, now: float) -> list[Instruction]:
        """Queue a shard at a second member as well, if there is money for both."""
        submits = self._send_twin(index, member, now)
        twins = (index, *(submit.shard.index for submit in submits))
        return [*submits, *(Watch(shard=shard) for shard in twins if submits)]

    def _send_twin(self, index: int, member: str, now: float) -> list[Submit]:
        flight = self._state.flights[index]
        submit = self._launch(member, flight.group, now)
        if isinstance(submit, Verdict):
            return []
        twin = submit.shard.index
        self.watch_over(twin)
        flight.twin, self._state.flights[twin].twin = twin, index
        return [submit]

    def _is_allowed(self, flight: Flight, member: str, now: float) -> bool:
        return self._offer(member, flight, now) is not None

    def _send_spare(self, index: int, member: str, now: float) -> Sequence[Instruction]:
        submits = self._send_twin(index, member, now)
        for submit in submits:
            self._state.flights[submit.shard.index].spare = True
        return submits

    def started(self, event: ShardStarted) -> Iterator[Instruction]:
        """Take in that one of two jobs for the same pieces has begun: the other is not needed."""
        flight = self._state.flights.get(event.shard)
        twin = None if flight is None else self._state.twin_of(flight)
        if flight is None or twin is None or self._state.has_spare(flight):
            return
        if not twin.asked and not twin.surplus and not twin.recalled:
            twin.asked = "tied"
            yield Recall(shard=twin.shard.index, unless="perhaps running")

    def claim(self, index: int) -> bool:
        """Return whether what a shard has brought counts; what its twin brings then does not."""
        flight = self._state.flights[index]
        if flight.surplus:
            return False
        if flight.twin in self._state.flights:
            self._state.flights[flight.twin].surplus = True
        return True

    def _covered(self, where: Where, member: str) -> bool:
        return covers(where, self._terms[member].job_fee_usd)
