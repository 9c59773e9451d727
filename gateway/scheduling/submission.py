"""How shards begin: numbered, with their slot and price taken; or taken over from another process."""

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.assignment import Group
from qiskit_gateway.scheduling.backlog import Barred
from qiskit_gateway.scheduling.check_fees import Checks
from qiskit_gateway.scheduling.events import Fetch, Submit
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.members.allowances import Price
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.remaining import Flying
from qiskit_gateway.work.tasks import Compiled, Load, Shard, mean_of

# Of the jobs of a member, at most one in so many seconds is looked at while it waits.
_WATCH_SECONDS = 1.0


class Launcher:
    """The beginnings of one run's shards.

    Args:
        state: How the run stands.
        next_shard: The number of the first shard.

    Attributes:
        checks: What the checks of members cost.
    """

    def __init__(self, state: RunState, next_shard: int = 0) -> None:
        self._state = state
        self._next_shard = next_shard
        self.checks = Checks(state)

    def launch(self, member: str, group: Group, now: float) -> Submit | Verdict:
        """Take the slot and the price of a shard; or say why there is no money."""
        terms, standing = (
            self._state.planner.estimator.profiles[member],
            self._state.standings[member],
        )
        shots = max(group.pieces[0].shots, terms.min_shots)
        shard = Shard(index=self._next_shard, pieces=group.pieces, shots=shots)
        load = Load(shard.circuits, shard.circuits * shots)
        compiled = self._compiled(shard, member)
        estimator = self._state.planner.estimator
        seconds = estimator.seconds(member, load, compiled)
        key = self._state.key(shard.index)
        asked = estimator.price(member, load, compiled)
        verdict = self.checks.reserve(member, asked, shard.circuits * shots, now)
        if not verdict:
            return verdict
        price = self._state.purse.buy(key, member, asked, shard.circuits * shots, now)
        if isinstance(price, Verdict):
            return price
        self._next_shard += 1
        alone = not standing.in_flight
        standing.take(key, load, now)
        ahead = seconds if alone else estimator.seconds(member, standing.load, compiled)
        flight = Flight(
            shard=shard,
            member=member,
            group=group,
            submitted=now,
            due=now + ahead + standing.queue_seconds,
            probing=member in self._state.health.ill,
            alone=alone,
            price=price,
        )
        self._state.flights[shard.index] = flight
        self._state.health.sent(member, now)
        self._state.first_tries += 1
        assigned = self._state.planner.assigned
        assigned[member] = assigned.get(member, 0.0) + shard.circuit_shots
        return Submit(shard=shard, member=member, price_usd=price.usd)

    def adopt(self, flying: Flying, now: float) -> Fetch:
        """Take over a shard that an earlier process has sent; its slot and price are taken."""
        shard, member = flying.shard, flying.member
        load = Load(shard.circuits, shard.circuits * shard.shots)
        key = self._state.key(shard.index)
        amount = Amount(usd=flying.price_usd, shots=shard.circuits * shard.shots)
        self._state.purse.owe(key, member, amount, now)
        self._state.standings[member].take(key, load, now)
        refusals = (self._state.tasks[piece.task].refusals for piece in shard.pieces)
        group = Group(shard.pieces, Barred(never=frozenset().union(*refusals)))
        self._state.flights[shard.index] = Flight(
            shard=shard,
            member=member,
            group=group,
            submitted=now,
            adopted=True,
            price=Price(usd=flying.price_usd, free_units=flying.free_units),
        )
        return Fetch(shard=shard, member=member)

    def learns_wait(self, submit: Submit, now: float) -> bool:
        """Return whether a shard is worth watching, to learn how long jobs wait at its member."""
        standing = self._state.standings[submit.member]
        if standing.wait_read or "wait_seconds" not in self._state.planner.uses:
            return False
        recent = now - standing.watched_at < _WATCH_SECONDS
        if recent or not self._state.flights[submit.shard.index].alone:
            return False
        standing.watched_at = now
        return True

    def _compiled(self, shard: Shard, member: str) -> Compiled | None:
        """Return what the circuits of a shard are on a member on average, if that is known."""
        tasks = self._state.tasks
        if not tasks[shard.pieces[0].task].compiled:
            return None
        found = [(piece.rows, tasks[piece.task].compiled.get(member)) for piece in shard.pieces]
        known = [(float(rows), compiled) for rows, compiled in found if compiled is not None]
        return mean_of(known) if len(known) == len(found) else None
