"""What is sent: work is given out, and decisions about shards in flight are carried out.

A shard is numbered, and takes its slot and its price; what an earlier process has sent is taken over.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.backlog import Barred, Group
from qiskit_gateway.scheduling.decisions import AskBack, Blame, Decision, Expect, Hedge, Postpone
from qiskit_gateway.scheduling.events import Command, Fetch, Recall, Submit, Watch
from qiskit_gateway.scheduling.flight import Duplicate, Flight
from qiskit_gateway.scheduling.members.estimator import UNPRICED_USD, Unpriced
from qiskit_gateway.scheduling.recall.overdue import look_later, watch
from qiskit_gateway.scheduling.requeue import give_up_waiting, requeue_unaffordable, sweep
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.price import Price
from qiskit_gateway.work.record.remaining import Flying
from qiskit_gateway.work.tasks import Compiled, Load, Piece, Shard, mean_of

# Of a member's jobs, at most one in this many seconds is watched while it waits: each costs a
# call to the provider, and they would all tell the same.
_WATCH_SECONDS = 1.0


def assign(state: RunState, now: float) -> Iterator[Command]:
    """Submit shards as members have slots, until no member with a slot should take more."""
    freed, state.freed = state.freed, None
    if state.stopped:
        give_up_waiting(state, state.stopped)
        return
    state.broke.clear()
    sweep(state)
    again = True
    while again and not state.stopped:
        moved = yield from _deal(state, freed, now)
        # Some work may have turned out to be for nobody it was kept for, or only for others.
        again, freed = sweep(state) or moved, None


def _deal(state: RunState, freed: str | None, now: float) -> Generator[Command, None, bool]:
    """Deal out what waits once; return whether some of the work had to move."""
    dealer, moved = state.dealer, False
    usable = state.health.usable(now)
    for name in state.health.ejected:
        dealer.give_back(name)
    if dealer.whole:
        dealer.settle_as_before(now, usable)
    if state.settled and not dealer.whole:
        dealer.settle(now, usable)
    for member, group in dealer.deal(now, usable, lambda name: state.slots(name, now), freed):
        sent = _submit(state, member, group, now)
        if isinstance(sent, Verdict):
            moved |= requeue_unaffordable(state, member, group, sent)
        else:
            yield sent
            if _learns_wait(state, sent, now):
                yield Watch(shard=sent.shard.index, member=member)
        if state.stopped:
            break
    return moved


def carry_out(state: RunState, decisions: Iterable[Decision], now: float) -> Iterator[Command]:
    """Apply decisions about shards in flight, one at a time."""
    for decision in decisions:
        match decision:
            case AskBack():
                flight = state.flights[decision.shard]
                flight.ask_back(decision.reason)
                yield Recall(shard=decision.shard, member=flight.member, unless=decision.unless)
            case Hedge():
                sent = _submit_duplicate(state, decision.shard, decision.member, now)
                if isinstance(sent, Submit):
                    yield sent
            case Blame():
                yield from state.health.note_failure(
                    decision.member, decision.failure, decision.reason, now
                )
            case Postpone():
                look_later(state, state.flights[decision.shard], now)
            case Expect():
                _expect(state, decision)


def _expect(state: RunState, expected: Expect) -> None:
    for shard, end in expected.ends.items():
        state.flights[shard].expected_end = end


def _submit_duplicate(state: RunState, shard: int, member: str, now: float) -> Submit | Verdict:
    """Queue a shard at a second member as well; or say why there is no money."""
    original = state.flights[shard]
    answer = _submit(state, member, original.group, now)
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
        compiled=_look_up_compiled(state, shard, member),
    )
    key = state.key(shard.index)
    amount = Amount(usd=flying.price_usd, shots=shard.circuits * shard.shots)
    state.spending.owe(key, member, amount, now)
    state.states[member].take(key, flight.load, now)
    state.flights[shard.index] = flight
    watch(state, flight)
    return Fetch(shard=shard, member=member)


def _submit(state: RunState, member: str, group: Group, now: float) -> Submit | Verdict:
    """Take the slot and the price of a shard; or say why there is no money."""
    known = state.states[member]
    shots = _shots(state, member, group.pieces)
    shard = Shard(index=state.next_shard, pieces=group.pieces, shots=shots)
    load = Load(shard.circuits, shard.circuits * shots)
    compiled = _look_up_compiled(state, shard, member)
    seconds = state.estimator.seconds(member, load, compiled)
    asked = state.estimator.price(member, load, compiled, seconds=seconds)
    if asked >= UNPRICED_USD:
        refusal = state.estimator.price_refusal(member, load, compiled)
        return refusal if not refusal else Unpriced(allowed=False, reason="it has no price there")
    key = state.key(shard.index)
    price = state.spending.buy(key, member, asked, shard.circuits * shots, now)
    if isinstance(price, Verdict):
        return price
    state.next_shard += 1
    state.fleet.queue.dispatch(state.flow, member, seconds)
    alone = not known.in_flight
    known.take(key, load, now)
    ahead = seconds if alone else state.estimator.seconds(member, known.load, compiled)
    flight = Flight(
        shard=shard,
        member=member,
        group=group,
        submitted=now,
        expected_end=now + ahead + known.queue_seconds,
        foreseen_seconds=ahead + known.queue_seconds if known.speed.jobs else 0.0,
        probing=member in state.health.unhealthy,
        separable=state.dealer.backlog.is_separable(group.pieces),
        alone=alone,
        price=price,
        compiled=compiled,
    )
    state.flights[shard.index] = flight
    watch(state, flight)
    state.health.note_sent(member, now)
    state.first_tries += 1
    assigned = state.planner.assigned
    assigned[member] = assigned.get(member, 0.0) + shard.circuit_shots
    return Submit(shard=shard, member=member, price=price, moved_from=_list_givers(state, group))


def _learns_wait(state: RunState, sent: Submit, now: float) -> bool:
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


def _list_givers(state: RunState, group: Group) -> tuple[str, ...]:
    """List the members that work comes from, except members that could never take it."""
    if not group.barred.for_now and not group.barred.never:
        return ()
    refused = frozenset[str]().union(*(state.tasks[one.task].refusals for one in group.pieces))
    return tuple(sorted((group.barred.never | group.barred.for_now) - refused))


def _look_up_compiled(state: RunState, shard: Shard, member: str) -> Compiled | None:
    """Average what the circuits of a shard are on a member, if that is known of all."""
    tasks = state.tasks
    if not tasks[shard.pieces[0].task].compiled:
        return None
    found = [(piece.rows, tasks[piece.task].compiled.get(member)) for piece in shard.pieces]
    known = [(float(rows), compiled) for rows, compiled in found if compiled is not None]
    return mean_of(known) if len(known) == len(found) else None
