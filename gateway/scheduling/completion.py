"""How shards end, and what becomes of their pieces: booked, tried again, moved, or given up."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.assignment import Group
from qiskit_gateway.scheduling.backlog import NOBODY, Barred
from qiskit_gateway.scheduling.events import (
    Cancel,
    Event,
    Instruction,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
    TryFailed,
)
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.members.allowances import UsedUp
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.remaining import Left
from qiskit_gateway.work.tasks import Piece


class Endings:
    """The ends of one run's shards.

    Args:
        state: How the run stands.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state

    def take_in(self, event: Event, now: float) -> Iterator[Instruction]:
        """Take in how a shard, or a try of one, ended; other events are no business of this."""
        flights, shard = self._state.flights, getattr(event, "shard", -1)
        flight = flights.get(shard)
        twin = None if flight is None else flight.twin
        yield from self._ended(event, now)
        if flight is None or shard in flights:
            return
        if flight.rest is not None:
            self._leave(*flight.rest, flight.group.barred)
        if twin in flights and flights[twin].surplus:
            # What it would bring has arrived.
            flights[twin].recalled = True
            yield Cancel(shard=twin)

    def _ended(self, event: Event, now: float) -> Iterable[Instruction]:
        match event:
            case ShardFinished():
                return self._finished(event, now)
            case ShardFailed():
                return self._failed(event, now)
            case TryFailed():
                return self._try_failed(event, now)
            case ShardRefused():
                self._refused(event, now)
            case ShardCancelled():
                self._cancelled(event, now)
            case ShardLost():
                self._lost(event, now)
        return ()

    def begin(self, pieces: Iterable[Piece]) -> None:
        """Let pieces that nobody has tried wait for those who may take them, or give them up."""
        known: dict[frozenset[str], Barred | None] = {}
        for piece in pieces:
            refusals = frozenset(self._state.tasks[piece.task].refusals)
            if refusals not in known:
                barred = Barred(never=refusals)
                known[refusals] = barred if self._state.may_go(barred) else None
            waits = known[refusals]
            if waits is None:
                self._state.give_up(piece)
            else:
                self._state.dealer.backlog.put(piece, waits)

    def put(self, left: Left) -> None:
        """Let a piece wait for those who may take it, or give it up."""
        for member, reason in {**left.failed, **left.unknown}.items():
            self._state.causes.append((left.piece, member, reason))
        barred = Barred(
            never=frozenset(self._state.tasks[left.piece.task].refusals) | left.paid,
            tried=frozenset({**left.failed, **left.unknown}) - left.paid,
        )
        may_move = not left.unknown or self._state.policy.retry.on_unknown == "move"
        if may_move and self._state.may_go(replace(barred, tried=frozenset())):
            self._state.dealer.backlog.put(left.piece, barred)
        else:
            self._state.give_up(left.piece)

    def _finished(self, event: ShardFinished, now: float) -> Iterator[Instruction]:
        flight = self._state.land(event.shard, now)
        self._state.sent = True
        self._state.purse.settle(self._state.key(event.shard))
        shard = flight.shard
        if not flight.retried and not flight.adopted:
            standing = self._state.standings[flight.member]
            standing.speed.observe(shard.circuits, shard.circuits * shard.shots, flight.seconds)
            if flight.alone:
                standing.learn_wait(*flight.wait_seconds(now), now)
        if event.failed:
            _, failure, reason = event.failed[0]
            yield from self._state.health.failed(flight.member, failure, reason, now)
        else:
            self._state.down_since = None
            for change in self._state.health.succeeded(flight.member):
                yield change  # It is well again, and is to get what its illness kept from it.
                self._state.forgive(flight.member)
        twin = self._state.twin_of(flight)
        if twin is None:
            self._leave(event, flight)
        else:
            twin.rest = event, flight

    def _leave(self, event: ShardFinished, flight: Flight, known: Barred = NOBODY) -> None:
        """Let wait again what a job did not bring.

        Args:
            event: What that is.
            flight: The job.
            known: Who must not take it for what became of another job with the same pieces.
        """
        if known is not NOBODY:
            flight.group = replace(flight.group, barred=flight.group.barred.plus(known))
        for piece in event.missing:
            self._state.dealer.backlog.keep(flight.member, piece, flight.group.barred)
        for piece, failure, reason in event.failed:
            self._again(piece, flight, failure, reason)

    def _failed(self, event: ShardFailed, now: float) -> Iterator[Instruction]:
        flight = self._state.land(event.shard, now)
        failure = event.failure
        if failure.submitted is False:
            self._state.purse.release(self._state.key(event.shard))
        else:
            self._state.sent = True
            self._state.purse.settle(self._state.key(event.shard))
        if flight.group.isolating:
            self._state.health.learned_nothing(flight.member)
        else:
            yield from self._state.health.failed(flight.member, failure, event.reason, now)
        if self._state.leave_to_twin(flight, self._barred_after(flight, failure)):
            self._note(flight, event.reason)
            return
        if self._may_hide_a_bad_one(flight, failure) and self._state.count_retry():
            for half in halves(flight.shard.pieces):
                group = replace(flight.group, pieces=half, isolating=True)
                self._state.dealer.line_up(flight.member, group)
            return
        for piece in flight.shard.pieces:
            self._again(piece, flight, failure, event.reason)

    def _try_failed(self, event: TryFailed, now: float) -> Iterator[Instruction]:
        self._state.retries += 1
        flight = self._state.flights[event.shard]
        if event.failure.submitted is not False:
            self._state.sent = True
            again = self._state.purse.renew(self._state.key(event.shard), now)
            flight.price = again or flight.price
        flight.retried = True
        if flight.twin in self._state.flights:
            # What it claimed came to nothing.
            self._state.flights[flight.twin].surplus = False
        self._state.standings[flight.member].take_again(self._state.key(event.shard), now)
        if not flight.group.isolating:
            yield from self._state.health.failed(flight.member, event.failure, event.reason, now)

    def _refused(self, event: ShardRefused, now: float) -> None:
        flight = self._state.land(event.shard, now)
        self._state.purse.release(self._state.key(event.shard))
        self._state.health.learned_nothing(flight.member)
        self._state.first_tries -= 1
        self._state.planner.assigned[flight.member] -= flight.shard.circuit_shots
        for position, piece in enumerate(flight.shard.pieces):
            reason = event.reasons.get(position)
            if reason is not None:
                whole = Piece(piece.task, 0, self._state.tasks[piece.task].rows, 0, piece.shot_stop)
                self._state.causes.append((whole, flight.member, reason))
                self._state.dealer.backlog.refuse(piece.task, flight.member)
        if self._state.leave_to_twin(flight, flight.group.barred):
            return
        for piece in flight.shard.pieces:
            self._state.dealer.backlog.put(piece, flight.group.barred)

    def _cancelled(self, event: ShardCancelled, now: float) -> None:
        flight = self._state.land(event.shard, now, ran=not event.confirmed)
        self._state.health.learned_nothing(flight.member)
        if event.confirmed:
            self._state.purse.release(self._state.key(event.shard))
            self._put_back(flight)
            return
        self._state.sent = True
        self._state.purse.settle(self._state.key(event.shard))
        lost = Failure(transient=True, fault="network", submitted=None)
        reason = "given up on, and its cancellation not confirmed"
        if self._state.leave_to_twin(flight, self._barred_after(flight, lost)):
            self._note(flight, reason)
            return
        for piece in flight.shard.pieces:
            self._again(piece, flight, lost, reason)

    def _put_back(self, flight: Flight) -> None:
        """Let the pieces of a shard wait again that for certain does not run."""
        barred = flight.group.barred
        if flight.asked == "overdue":
            self._state.count_retry()
        if flight.asked:
            # Back to the same member only when nobody else is left.
            barred = replace(barred, tried=barred.tried | {flight.member})
        if self._state.leave_to_twin(flight, barred):
            return
        if flight.adopted and self._state.settled and not flight.asked:
            # It was never sent: the same shard is to go to the same member.
            self._state.dealer.line_up(flight.member, flight.group)
            return
        for piece in flight.shard.pieces:
            self._state.dealer.backlog.put(piece, barred)

    def _lost(self, event: ShardLost, now: float) -> None:
        flight = self._state.land(event.shard, now)
        self._state.purse.settle(self._state.key(event.shard))
        self._state.health.learned_nothing(flight.member)
        paid = frozenset([flight.member] if flight.price.costs else [])
        for piece in flight.shard.pieces:
            self.put(Left(piece=piece, unknown={flight.member: event.reason}, paid=paid))

    @staticmethod
    def _may_hide_a_bad_one(flight: Flight, failure: Failure) -> bool:
        """Return whether one circuit of several may be what the provider choked on."""
        if flight.shard.circuits < 2 or failure.authentication or failure.throttled:
            return False
        return not failure.transient and failure.submitted is not None

    def _note(self, flight: Flight, reason: str) -> None:
        for piece in flight.shard.pieces:
            self._state.causes.append((piece, flight.member, reason))

    def _again(self, piece: Piece, flight: Flight, failure: Failure, reason: str) -> None:
        """Let a failed piece wait for another member, or give it up."""
        self._state.causes.append((piece, flight.member, reason))
        if failure.submitted is None and self._state.policy.retry.on_unknown != "move":
            self._state.give_up(piece, "nobody knows whether the provider took it")
            return
        barred = self._barred_after(flight, failure)
        moves = self._state.policy.retry.max_moves
        if moves is not None and len(barred.failed) > moves:
            self._state.give_up(piece, f"it may move {moves} times")
            return
        if not self._state.may_go(replace(barred, tried=frozenset())):
            self._state.give_up(piece)
        elif not (flight.probing or flight.recalled) and not self._state.count_retry():
            # A probe, and what was left behind on a member that answers no more, load nobody anew.
            self._state.give_up(piece, "the run has no retry left")
        else:
            self._state.dealer.backlog.put(piece, barred)

    def _barred_after(self, flight: Flight, failure: Failure) -> Barred:
        """Return who must not take the pieces of a shard after it failed."""
        barred, member = flight.group.barred, flight.member
        if self._state.policy.retry.max_moves is not None:
            barred = replace(barred, failed=barred.failed | {member})
        if failure.transient and failure.submitted is not None:
            return replace(barred, tried=barred.tried | {member})
        # It cannot work there, or may have worked already and must not be paid twice.
        return replace(barred, never=barred.never | {member})


def halves(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Divide pieces into two shards of about the same number of circuits."""
    left = sum(piece.rows for piece in pieces) // 2
    first: list[Piece] = []
    second: list[Piece] = []
    for piece in pieces:
        rows = min(piece.rows, left)
        head, tail = piece.split_rows(rows)
        left -= rows
        first += [head] * (head.rows > 0)
        second += [tail] * (tail.rows > 0)
    return tuple(first), tuple(second)


def lack_money(state: RunState, member: str, group: Group, verdict: Verdict) -> bool:
    """Let work that does not fit the budget or an allowance move, wait, or stop the run.

    Args:
        state: How the run stands.
        member: Where it does not fit.
        group: The work.
        verdict: Why it does not.

    Returns:
        Whether others may take some of it now.
    """
    if isinstance(verdict, UsedUp):
        return _lack_allowance(state, member, group, verdict)
    budget, dealer = state.policy.budget, state.dealer
    assert budget is not None  # noqa: S101  Nothing else refuses.
    if budget.on_exhausted == "wait" and verdict.waits:
        state.broke.add(member)
        dealer.line_up(member, group, first=True)
        return False
    if budget.on_exhausted == "move":
        return _move(state, member, group, verdict.reason)
    for piece in group.pieces:
        dealer.backlog.put(piece, group.barred)
    shots = sum(piece.circuit_shots for piece, _ in dealer.waiting())
    state.stopped = f"{verdict.reason}; {shots} shots of the run are left to do"
    state.give_up_waiting(state.stopped)
    return False


def _lack_allowance(state: RunState, member: str, group: Group, verdict: UsedUp) -> bool:
    """Let part of the work go where all of it does not fit, or all of it elsewhere."""
    if sum(piece.rows for piece in group.pieces) < 2:
        return _move(state, member, group, verdict.reason)
    for half in reversed(halves(group.pieces)):
        state.dealer.line_up(member, replace(group, pieces=half), first=True)
    return False


def _move(state: RunState, member: str, group: Group, reason: str) -> bool:
    barred, moved = replace(group.barred, never=group.barred.never | {member}), False
    for piece in group.pieces:
        state.causes.append((piece, member, reason))
        # Who failed by accident is asked again where nobody else is left.
        if state.may_go(replace(barred, tried=frozenset())):
            state.dealer.backlog.put(piece, barred)
            moved = True
        else:
            state.give_up(piece)
    return moved
