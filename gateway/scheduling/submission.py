"""The beginning of a shard: numbered, with its slot and price taken; or taken over from a process."""

from collections.abc import Sequence

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.backlog import Barred, Group
from qiskit_gateway.scheduling.events import Fetch, Submit
from qiskit_gateway.scheduling.flight import Duplicate, Flight
from qiskit_gateway.scheduling.members.estimator import UNPRICED_USD, Unpriced
from qiskit_gateway.scheduling.overdue import watch
from qiskit_gateway.scheduling.run_state import RunState, compiled_on
from qiskit_gateway.work.price import Price
from qiskit_gateway.work.remaining import Flying
from qiskit_gateway.work.tasks import Load, Piece, Shard

# Of the jobs of a member, at most one in so many seconds is watched while it waits: each costs a
# call to the provider, and they would all tell the same.
_WATCH_SECONDS = 1.0


def submit(state: RunState, member: str, group: Group, now: float) -> Submit | Verdict:
    """Take the slot and the price of a shard; or say why there is no money."""
    known = state.states[member]
    shots = _shots(state, member, group.pieces)
    shard = Shard(index=state.next_shard, pieces=group.pieces, shots=shots)
    load = Load(shard.circuits, shard.circuits * shots)
    compiled = compiled_on(state, shard, member)
    key, asked = state.key(shard.index), state.estimator.price(member, load, compiled)
    if asked >= UNPRICED_USD:
        refusal = state.estimator.price_refusal(member, load, compiled)
        return refusal if not refusal else Unpriced(allowed=False, reason="it has no price there")
    price = state.spending.buy(key, member, asked, shard.circuits * shots, now)
    if isinstance(price, Verdict):
        return price
    state.next_shard += 1
    state.queue.dispatch(state.flow, member, state.estimator.seconds(member, load, compiled))
    alone = not known.in_flight
    known.take(key, load, now)
    ahead = state.estimator.seconds(member, load if alone else known.load, compiled)
    flight = Flight(
        shard=shard,
        member=member,
        group=group,
        submitted=now,
        expected_end=now + ahead + known.queue_seconds,
        foreseen_seconds=ahead + known.queue_seconds if known.speed.jobs else 0.0,
        probing=member in state.health.unhealthy,
        alone=alone,
        price=price,
    )
    state.flights[shard.index] = flight
    watch(state, flight)
    state.health.sent(member, now)
    state.first_tries += 1
    assigned = state.planner.assigned
    assigned[member] = assigned.get(member, 0.0) + shard.circuit_shots
    return Submit(shard=shard, member=member, price=price, moved_from=_moved_from(state, group))


def submit_duplicate(state: RunState, shard: int, member: str, now: float) -> Submit | Verdict:
    """Queue a shard at a second member as well; or say why there is no money."""
    original = state.flights[shard]
    answer = submit(state, member, original.group, now)
    if isinstance(answer, Submit):
        hedge = state.flights[answer.shard.index]
        original.duplicate = hedge.duplicate = Duplicate(shard, answer.shard.index)
    return answer


def adopt(state: RunState, flying: Flying, now: float) -> Fetch:
    """Take over a shard that an earlier process has sent; its slot and price are taken."""
    shard, member = flying.shard, flying.member
    refusals = (state.tasks[piece.task].refusals for piece in shard.pieces)
    flight = Flight(
        shard=shard,
        member=member,
        group=Group(shard.pieces, Barred(never=frozenset().union(*refusals))),
        submitted=now,
        adopted=True,
        price=Price(usd=flying.price_usd, free_units=flying.free_units),
    )
    key = state.key(shard.index)
    amount = Amount(usd=flying.price_usd, shots=shard.circuits * shard.shots)
    state.spending.owe(key, member, amount, now)
    state.states[member].take(key, flight.load, now)
    state.flights[shard.index] = flight
    watch(state, flight)
    return Fetch(shard=shard, member=member)


def learns_wait(state: RunState, sent: Submit, now: float) -> bool:
    """Decide whether to watch a shard, to learn how long jobs wait at its member."""
    known = state.states[sent.member]
    if known.wait_read or "wait_seconds" not in state.planner.uses:
        return False
    recent = now - known.watched_at < _WATCH_SECONDS
    if recent or not state.flights[sent.shard.index].alone:
        return False
    known.watched_at = now
    return True


def _shots(state: RunState, member: str, pieces: Sequence[Piece]) -> int:
    """Shots to ask a member for: those of the pieces, or more that are not kept."""
    profile, shots = state.estimator.profiles[member], pieces[0].shots
    if state.top_ups:
        circuits = sum(piece.rows for piece in pieces)
        again = (state.top_ups.get(piece) for piece in pieces)
        least = max((one.shots for one in again if one and one.member == member), default=0)
        most = (profile.max_executions or least * circuits) // circuits
        shots = max(shots, min(least, most, profile.max_shots or least))
    return max(shots, profile.min_shots)


def _moved_from(state: RunState, group: Group) -> tuple[str, ...]:
    """List the members that work comes from, except members that could never take it."""
    if not group.barred.tried and not group.barred.never:
        return ()
    refused = frozenset[str]().union(*(state.tasks[one.task].refusals for one in group.pieces))
    return tuple(sorted((group.barred.never | group.barred.tried) - refused))
