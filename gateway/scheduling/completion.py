"""The end of a shard, or of a try of one: what it settles, and what becomes of its pieces."""

from collections.abc import Iterator
from dataclasses import replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.backlog import Barred
from qiskit_gateway.scheduling.events import (
    Cancel,
    Instruction,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
    TryFailed,
)
from qiskit_gateway.scheduling.flight import Flight, Reason
from qiskit_gateway.scheduling.requeue import (
    exclude_after,
    halve,
    queue_left,
    requeue_failed,
    requeue_undelivered,
)
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.remaining import Left
from qiskit_gateway.work.tasks import Piece

_CANCELLED = Failure(transient=True, fault="network", submitted=None)

ShardEnd = ShardFinished | ShardFailed | ShardRefused | ShardCancelled | ShardLost


def complete(state: RunState, event: ShardEnd, now: float) -> Iterator[Instruction]:
    """Take in how a shard ended."""
    # It worked there or may have, but for what was surely cancelled.
    ran = not (isinstance(event, ShardCancelled) and event.confirmed)
    flight = state.remove_from_flight(event.shard, now, ran=ran)
    match event:
        case ShardFinished():
            yield from _finish(state, flight, event, now)
        case ShardFailed():
            yield from _fail(state, flight, event, now)
        case ShardRefused():
            _refuse(state, flight, event)
        case ShardCancelled():
            _cancel(state, flight, confirmed=event.confirmed)
        case ShardLost():
            _lose(state, flight, event.reason)
    yield from _settle_duplicate(state, flight)


def fail_try(state: RunState, event: TryFailed, now: float) -> Iterator[Instruction]:
    """Take in that a try failed; the shard is tried again where it is."""
    state.retries += 1
    flight, key = state.flights[event.shard], state.key(event.shard)
    if event.failure.submitted is not False:
        state.sent = True
        flight.price = state.purse.renew(key, now) or flight.price
    flight.retried = True
    pair = flight.duplicate
    if pair is not None and pair.winner == event.shard:
        pair.winner = None  # What it claimed came to nothing.
    state.states[flight.member].take_again(key, now)
    if not flight.group.isolating:
        yield from state.health.failed(flight.member, event.failure, event.reason, now)


def claim(state: RunState, shard: int) -> bool:
    """Let the result of a shard count, unless that of its duplicate does; return whether it does."""
    flight = state.flights[shard]
    if flight.is_beaten:
        return False
    if flight.duplicate is not None:
        flight.duplicate.winner = shard
    return True


def _finish(
    state: RunState, flight: Flight, event: ShardFinished, now: float
) -> Iterator[Instruction]:
    state.sent = True
    state.purse.settle(state.key(event.shard))
    shard = flight.shard
    if not flight.retried and not flight.adopted:
        known = state.states[flight.member]
        known.speed.observe(shard.circuits, shard.circuits * shard.shots, flight.seconds)
        if flight.alone:
            known.learn_wait(*flight.wait_seconds(now), now)
    if event.failed:
        _, failure, reason = event.failed[0]
        yield from state.health.failed(flight.member, failure, reason, now)
    else:
        state.down_since = None
        for change in state.health.succeeded(flight.member):
            yield change  # It is healthy again, and is to get what its illness kept from it.
            state.forgive(flight.member)
    if state.duplicate_of(flight) is None:
        requeue_undelivered(state, event, flight)
    else:
        assert flight.duplicate is not None  # noqa: S101
        flight.duplicate.unsettled = event, flight


def _fail(state: RunState, flight: Flight, event: ShardFailed, now: float) -> Iterator[Instruction]:
    failure, key = event.failure, state.key(event.shard)
    if failure.submitted is False:
        state.purse.release(key)
    else:
        state.sent = True
        state.purse.settle(key)
    if flight.group.isolating:
        state.health.learned_nothing(flight.member)
    else:
        yield from state.health.failed(flight.member, failure, event.reason, now)
    if _may_hide_poison(state, flight, failure) and state.count_retry():
        for half in halve(flight.shard.pieces):
            group = replace(flight.group, pieces=half, isolating=True)
            state.dealer.line_up(flight.member, group)
    else:
        _leave(state, flight, failure, event.reason)


def _may_hide_poison(state: RunState, flight: Flight, failure: Failure) -> bool:
    """One circuit of several may be what the provider failed at, and no duplicate has it."""
    if flight.shard.circuits < 2 or failure.authentication or failure.throttled:
        return False
    shared = flight.is_beaten or state.duplicate_of(flight) is not None
    return not shared and not failure.transient and failure.submitted is not None


def _leave(state: RunState, flight: Flight, failure: Failure, reason: str) -> None:
    """Let the pieces of a shard that failed go to its duplicate, or to other members."""
    if _hand_over(state, flight, exclude_after(state.policy, flight, failure)):
        for piece in flight.shard.pieces:
            state.causes.append((piece, flight.member, reason))
        return
    for piece in flight.shard.pieces:
        requeue_failed(state, piece, flight, failure, reason)


def _refuse(state: RunState, flight: Flight, event: ShardRefused) -> None:
    state.purse.release(state.key(event.shard))
    state.health.learned_nothing(flight.member)
    state.first_tries -= 1
    state.planner.assigned[flight.member] -= flight.shard.circuit_shots
    for position, piece in enumerate(flight.shard.pieces):
        reason = event.reasons.get(position)
        if reason is not None:
            whole = Piece(piece.task, 0, state.tasks[piece.task].rows, 0, piece.shot_stop)
            state.causes.append((whole, flight.member, reason))
            state.dealer.backlog.refuse(piece.task, flight.member)
    if not _hand_over(state, flight, flight.group.barred):
        for piece in flight.shard.pieces:
            state.dealer.backlog.put(piece, flight.group.barred)


def _cancel(state: RunState, flight: Flight, *, confirmed: bool) -> None:
    state.health.learned_nothing(flight.member)
    key = state.key(flight.shard.index)
    if confirmed:
        state.purse.release(key)
        _put_back(state, flight)
        return
    state.sent = True
    state.purse.settle(key)
    _leave(state, flight, _CANCELLED, "given up on, and its cancellation not confirmed")


def _put_back(state: RunState, flight: Flight) -> None:
    """Queue again the pieces of a shard that for certain does not run."""
    barred = flight.group.barred
    if flight.reason is Reason.OVERDUE:
        state.count_retry()
    if flight.reason is not None:
        # Back to the same member only when nobody else is left.
        barred = replace(barred, tried=barred.tried | {flight.member})
    if _hand_over(state, flight, barred):
        return
    if flight.adopted and state.settled and flight.reason is None:
        # It was never sent: the same shard is to go to the same member.
        state.dealer.line_up(flight.member, flight.group)
        return
    for piece in flight.shard.pieces:
        state.dealer.backlog.put(piece, barred)


def _lose(state: RunState, flight: Flight, reason: str) -> None:
    state.purse.settle(state.key(flight.shard.index))
    state.health.learned_nothing(flight.member)
    paid = frozenset([flight.member] if flight.price.costs else [])
    for piece in flight.shard.pieces:
        queue_left(state, Left(piece=piece, unknown={flight.member: reason}, paid=paid))


def _hand_over(state: RunState, flight: Flight, barred: Barred) -> bool:
    """Leave the pieces of a shard that ended to its duplicate, if it has one.

    Args:
        state: The run.
        flight: The shard, no longer in flight.
        barred: Who must not take the pieces after that.

    Returns:
        Whether they are the duplicate's now, or have arrived with it.
    """
    other = state.duplicate_of(flight)
    if other is not None:
        # Whatever was claimed came to nothing: what the other one brings counts.
        other.duplicate = None
        other.group = replace(other.group, barred=barred)
        return True
    if flight.is_beaten:
        flight.group = replace(flight.group, barred=barred)
    return flight.is_beaten


def _settle_duplicate(state: RunState, flight: Flight) -> Iterator[Cancel]:
    """After one of a pair has ended, see to the other and to what the first did not deliver."""
    pair = flight.duplicate
    if pair is None:
        return
    if pair.unsettled is not None and pair.unsettled[1] is not flight:
        requeue_undelivered(state, *pair.unsettled, flight.group.barred)
    other = state.duplicate_of(flight)
    if other is not None and other.is_beaten:
        # What it would bring has arrived.
        other.cancel()
        yield Cancel(shard=other.shard.index)
