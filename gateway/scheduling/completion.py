"""The transitions of a run: the end of a shard or a try, and the next state of its pieces.

A piece that did not arrive waits again, barred from the members that failed at it; where nobody is
left who may take it, it is given up.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.backlog import NOBODY, Barred, Group
from qiskit_gateway.scheduling.events import (
    Accept,
    Cancel,
    Command,
    Discard,
    ResultArrived,
    Retry,
    ShardCancelled,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
    TryFailed,
)
from qiskit_gateway.scheduling.flight import Flight, Phase, Reason
from qiskit_gateway.scheduling.members.allowances import UsedUp
from qiskit_gateway.scheduling.members.estimator import UNPRICED_USD, Unpriced
from qiskit_gateway.scheduling.members.shared import (
    HeldByOthers,
    JournalDown,
    RateReached,
    SlotsTaken,
    UsedByOthers,
)
from qiskit_gateway.scheduling.members.spending import Bought
from qiskit_gateway.scheduling.run_state import RunState, TopUp, compiled_on
from qiskit_gateway.work.price import Due
from qiskit_gateway.work.remaining import GivenUp, Left
from qiskit_gateway.work.tasks import Load, Piece

# How long a member is let be that was denied, at first; each further denial doubles it.
_AGAIN_SECONDS = 0.05
_DOUBLINGS = 7
# The least wait until a limit per minute lets another job pass.
_LEAST_SECONDS = 0.001
# After what time it is tried whether the journal is back.
_JOURNAL_SECONDS = 1.0
_CANCELLED = Failure(transient=True, fault="network", submitted=None)

ShardEnd = ShardFinished | ShardFailed | ShardRefused | ShardDenied | ShardCancelled | ShardLost


def complete(state: RunState, event: ShardEnd, now: float) -> Iterator[Command]:
    """Take in how a shard ended."""
    # It worked there or may have, but for what was surely cancelled.
    ran = not (
        isinstance(event, ShardDenied) or (isinstance(event, ShardCancelled) and event.confirmed)
    )
    flight = _remove_from_flight(state, event.shard, now, ran=ran)
    if not isinstance(event, ShardDenied):
        state.denials.pop(flight.member, None)
    match event:
        case ShardFinished():
            yield from _finish(state, flight, event, now)
        case ShardFailed():
            yield from _fail(state, flight, event, now)
        case ShardRefused():
            _refuse(state, flight, event)
        case ShardDenied():
            _deny(state, flight, event.verdict, now)
        case ShardCancelled():
            _cancel(state, flight, event)
        case ShardLost():
            _lose(state, flight, event.reason)
    yield from _settle_duplicate(state, flight)


def fail_try(state: RunState, event: TryFailed, now: float) -> Iterator[Command]:
    """Take in that a try failed, and that the shard is tried again where it is."""
    state.retries += 1
    flight, key = state.flights[event.shard], state.key(event.shard)
    if event.failure.submitted is not False:
        state.sent = True
        if not event.failure.unbilled:
            flight.price = state.spending.renew(key, now) or flight.price
    flight.retried = True
    pair = flight.duplicate
    if pair is not None and pair.winner == event.shard:
        pair.winner = None  # What it claimed came to nothing.
    state.states[flight.member].take_again(key, now)
    yield Retry(shard=event.shard, price=flight.price)
    if not flight.group.isolating:
        yield from state.health.failed(flight.member, event.failure, event.reason, now)


def judge_result(state: RunState, event: ResultArrived, now: float) -> Accept | Discard:
    """Let the result of a shard count, unless that of its duplicate does; settle its price."""
    shard = event.shard
    flight = state.flights[shard]
    if event.ran_shots is not None:
        flight.ran_shots = event.ran_shots
    if event.ran_shots is not None or event.charged_units is not None:
        _settle_price(state, flight, event.charged_units, now)
    if flight.is_beaten:
        return Discard(shard=shard, price=flight.price)
    if flight.duplicate is not None:
        flight.duplicate.winner = shard
    return Accept(shard=shard, price=flight.price)


def _settle_price(state: RunState, flight: Flight, charged_units: float | None, now: float) -> None:
    """Book a job at what its provider charged, or else at what the shots that ran cost.

    This is the one place where the price of a job that was sent changes. What is set aside for it
    becomes what it did cost, and is counted as spent when the job ends.
    """
    share = 1.0 if charged_units is not None else _share_run(state, flight)
    bought = Bought(member=flight.member, price=flight.price, shots=flight.circuit_shots)
    due = Due(share=share, units=charged_units)
    flight.price = state.spending.amend(state.key(flight.shard.index), bought, due, now)


def _share_run(state: RunState, flight: Flight) -> float:
    """Return the part of a job's price that is due for the shots that ran."""
    member, compiled = flight.member, compiled_on(state, flight.shard, flight.member)
    asked = state.estimator.price(member, flight.load, compiled)
    if not 0.0 < asked < UNPRICED_USD:
        return 1.0
    # A share, since speeds that have been learned meanwhile may have changed both.
    ran = Load(flight.shard.circuits, flight.circuit_shots)
    return min(1.0, state.estimator.price(member, ran, compiled) / asked)


def _finish(state: RunState, flight: Flight, event: ShardFinished, now: float) -> Iterator[Command]:
    state.sent = True
    state.spending.settle(state.key(event.shard))
    shard = flight.shard
    if not flight.retried and not flight.adopted:
        known = state.states[flight.member]
        known.speed.observe(shard.circuits, flight.circuit_shots, flight.seconds)
        if flight.alone:
            known.learn_wait(*flight.wait_seconds(now), now)
    if event.failed:
        _, failure, reason = event.failed[0]
        # What was read in part is of a kind that can be read.
        failure = replace(failure, unreadable=False)
        yield from state.health.failed(flight.member, failure, reason, now)
    else:
        state.down_since = None
        for change in state.health.succeeded(flight.member, now):
            yield change  # It is healthy again, and is to get what its illness kept from it.
            _forgive(state, flight.member)
    if state.duplicate_of(flight) is None:
        requeue_undelivered(state, event, flight)
    else:
        assert flight.duplicate is not None  # noqa: S101
        flight.duplicate.unsettled = event, flight


def _fail(state: RunState, flight: Flight, event: ShardFailed, now: float) -> Iterator[Command]:
    failure, key = event.failure, state.key(event.shard)
    if waits_for_slot(state, flight, failure):
        _await_slot(state, flight, failure.retry_after_seconds or 0.0, now)
        return
    state.sent |= failure.submitted is not False
    if failure.submitted is False or failure.unbilled:
        state.spending.release(key)
    else:
        state.spending.settle(key)
    if flight.group.isolating:
        _end_probe(state, flight)
    else:
        yield from state.health.failed(flight.member, failure, event.reason, now)
    if _is_halved(state, flight, failure) and _count_retry(state):
        for part in (single_out if failure.alone else halve)(flight.shard.pieces):
            group = replace(flight.group, pieces=part, isolating=True)
            state.dealer.line_up(flight.member, group)
    else:
        _leave(state, flight, failure, event.reason)


def waits_for_slot(state: RunState, flight: Flight, failure: Failure) -> bool:
    """A member has as many jobs of ours as it takes: it is not ill, and takes one when one has ended.

    One that has none of ours is asked again in time.
    """
    others = state.states[flight.member].in_flight.keys() - {state.key(flight.shard.index)}
    full = failure.throttled and failure.submitted is False
    return full and bool(others) and not flight.probing


def _end_probe(state: RunState, flight: Flight) -> None:
    """Let another probe be sent where a shard was one and has told nothing; others never were one."""
    if flight.probing:
        state.health.learned_nothing(flight.member)


def _await_slot(state: RunState, flight: Flight, quiet_seconds: float, now: float) -> None:
    """Queue again what a member has no slot for, as if it had not been sent.

    Args:
        state: The run.
        flight: What was sent.
        quiet_seconds: How long the member asked to be left alone, in seconds.
        now: Seconds of the loop's clock.
    """
    state.spending.release(state.key(flight.shard.index))
    _end_probe(state, flight)
    state.first_tries -= 1
    state.planner.assigned[flight.member] -= flight.shard.circuit_shots
    state.states[flight.member].note_full(quiet_seconds, now)
    if not _hand_over(state, flight, flight.group.barred):
        _queue_again(state, flight)


def _is_halved(state: RunState, flight: Flight, failure: Failure) -> bool:
    """What failed as a whole is tried in halves there, and what fails again goes elsewhere.

    Where it is not one circuit but the member that is at fault, halving on would use up all that
    the run has for retries. Nothing else is left where nobody else may take it.
    """
    if not _may_hide_poison(state, flight, failure):
        return False
    again = flight.group.isolating
    return not (again and state.may_go(exclude_after(state.policy, flight, failure)))


def _may_hide_poison(state: RunState, flight: Flight, failure: Failure) -> bool:
    """One circuit of several may be what the provider failed at, and no duplicate has it."""
    if flight.shard.circuits < 2 or failure.authentication or failure.throttled:
        return False
    if flight.member in state.health.lost:
        return False
    shared = flight.is_beaten or state.duplicate_of(flight) is not None
    return not shared and not failure.transient and failure.submitted is not None


def is_last(state: RunState, flight: Flight, failure: Failure) -> bool:
    """Nobody else could take what a shard carries if it failed so, nor would it be halved."""
    moves = state.policy.retry.max_moves
    barred = flight.group.barred
    others = replace(barred, tried=frozenset(), never=barred.never | {flight.member})
    settles = moves is not None and len(barred.failed | {flight.member}) > moves
    last = settles or not state.may_go(others)
    return last and not (flight.group.isolating or _may_hide_poison(state, flight, failure))


def _leave(state: RunState, flight: Flight, failure: Failure, reason: str) -> None:
    """Let the pieces of a shard that failed go to its duplicate, or to other members."""
    if _hand_over(state, flight, exclude_after(state.policy, flight, failure)):
        for piece in flight.shard.pieces:
            state.causes.append((piece, flight.member, reason))
        return
    requeue_failed(state, flight, [(piece, failure, reason) for piece in flight.shard.pieces])


def _refuse(state: RunState, flight: Flight, event: ShardRefused) -> None:
    state.spending.release(state.key(event.shard))
    _end_probe(state, flight)
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


def _deny(state: RunState, flight: Flight, verdict: Verdict, now: float) -> None:
    """Treat a shard as if there had been no room for it here; its member is not to blame."""
    member = flight.member
    state.spending.release(state.key(flight.shard.index))
    _end_probe(state, flight)
    if not flight.retried:
        state.first_tries -= 1
    state.planner.assigned[member] -= flight.shard.circuit_shots
    state.denials[member] = state.denials.get(member, 0) + 1
    known = state.states[member]
    if flight.submitted in known.submissions:
        known.submissions.remove(flight.submitted)
    if isinstance(verdict, SlotsTaken):
        known.elsewhere = verdict.elsewhere
    if isinstance(verdict, UsedByOthers):
        state.spending.allowances.note_left(member, verdict.units_left, now)
    state.denied[member] = now + _denied_seconds(state, member, verdict)
    if _hand_over(state, flight, flight.group.barred):
        return
    if isinstance(verdict, SlotsTaken | RateReached | UsedByOthers | HeldByOthers | JournalDown):
        _queue_again(state, flight)
    else:
        requeue_unaffordable(state, member, flight.group, verdict)


def _denied_seconds(state: RunState, member: str, verdict: Verdict) -> float:
    """After what time a member is asked for again: asked at once, it would be denied again."""
    if isinstance(verdict, RateReached):
        # By a clock that is not ours: so little may be lost in rounding when it is added to it.
        return max(_LEAST_SECONDS, verdict.wait_seconds)
    if isinstance(verdict, UsedByOthers):
        return 0.0  # It is priced anew.
    if isinstance(verdict, JournalDown):
        return _JOURNAL_SECONDS
    if isinstance(verdict, SlotsTaken) and verdict.elsewhere:
        return _AGAIN_SECONDS  # It is watched what others have there.
    if isinstance(verdict, SlotsTaken | HeldByOthers):
        # No event tells what is given back.
        again = _AGAIN_SECONDS * 2.0 ** min(state.denials[member] - 1, _DOUBLINGS)
        return min(again, state.policy.probe_seconds)
    return state.policy.probe_seconds


def _queue_again(state: RunState, flight: Flight) -> None:
    """Queue a shard again that was not sent, as if it had never been taken out."""
    if state.settled or flight.group.isolating:
        state.dealer.line_up(flight.member, flight.group, first=True)
        return
    for piece in flight.shard.pieces:
        state.dealer.backlog.put(piece, flight.group.barred)


def _cancel(state: RunState, flight: Flight, event: ShardCancelled) -> None:
    _end_probe(state, flight)
    key = state.key(flight.shard.index)
    if event.confirmed:
        state.sent |= event.accepted
        state.spending.release(key)
        _put_back(state, flight)
        return
    state.sent = True
    state.spending.settle(key)
    _leave(state, flight, _CANCELLED, "given up on, and its cancellation not confirmed")


def _put_back(state: RunState, flight: Flight) -> None:
    """Queue again the pieces of a shard that for certain does not run."""
    barred = flight.group.barred
    if flight.reason is Reason.OVERDUE:
        _count_retry(state)
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
    state.spending.settle(state.key(flight.shard.index))
    _end_probe(state, flight)
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


# -- pieces that wait, or wait again ---------------------------------------------------------------


def queue_new(state: RunState, pieces: Iterable[Piece]) -> None:
    """Queue pieces that nobody has tried, or give them up where nobody may take them."""
    known: dict[frozenset[str], Barred | None] = {}
    for piece in pieces:
        refusals = frozenset(state.tasks[piece.task].refusals)
        if refusals not in known:
            barred = Barred(never=refusals)
            known[refusals] = barred if state.may_go(barred) else None
        waits = known[refusals]
        if waits is None:
            give_up(state, piece)
        else:
            state.dealer.backlog.put(piece, waits)


def queue_left(state: RunState, left: Left) -> None:
    """Queue a piece whose submission may or may not have reached its member, or give it up."""
    for member, reason in {**left.failed, **left.unknown}.items():
        state.causes.append((left.piece, member, reason))
    barred = Barred(
        never=frozenset(state.tasks[left.piece.task].refusals) | left.paid,
        tried=frozenset({**left.failed, **left.unknown}) - left.paid,
    )
    may_move = not left.unknown or state.policy.retry.repeats_unknown
    if may_move and state.may_go(replace(barred, tried=frozenset())):
        state.dealer.backlog.put(left.piece, barred)
    else:
        give_up(state, left.piece)


def requeue_undelivered(
    state: RunState, event: ShardFinished, flight: Flight, known: Barred = NOBODY
) -> None:
    """Queue again what a job did not deliver.

    Args:
        state: The run.
        event: What that is.
        flight: The job.
        known: Members that must not take it because of the end of a duplicate with the same pieces.
    """
    if known is not NOBODY:
        flight.group = replace(flight.group, barred=flight.group.barred.plus(known))
    for piece in event.missing:
        _top_up(state, piece, flight, event.top_up_shots)
    requeue_failed(state, flight, event.failed)


def _top_up(state: RunState, piece: Piece, flight: Flight, shots: int) -> None:
    """Ask a member for what did not come, unless it loses the same share of it again."""
    member, asked, kept = flight.member, flight.shard.shots, flight.shard.pieces[0].shots
    came = kept - piece.shots
    whole = replace(piece, shot_start=piece.shot_stop - kept)
    before = state.top_ups.pop(whole, None)
    # What rounding leaves of a share is less than a shot from it.
    if before and before.member == member and abs(came - before.share * asked) < 1:
        reason = (
            f"returned {came} of {asked} shots, the same share as before: it is not asked again"
        )
        _move(state, member, Group((piece,), flight.group.barred), reason)
        return
    if before and before.member == member and came == before.came:
        shots = piece.shots  # It runs so many at most: no share of the shots is lost.
    state.top_ups[piece] = TopUp(member, came, came / asked, shots)
    state.dealer.backlog.keep(member, piece, flight.group.barred)


def requeue_failed(
    state: RunState, flight: Flight, failed: Iterable[tuple[Piece, Failure, str]]
) -> None:
    """Queue the failed pieces of a shard for other members, or give them up.

    However many pieces it carried, the shard is one retry.
    """
    failed = list(failed)
    # A probe, what was left behind on a member that answers no more, and what one that is ejected by
    # now has never taken, load nobody anew.
    ill = flight.member in state.health.unhealthy
    never_taken = ill and all(failure.submitted is False for _, failure, _ in failed)
    exempt = flight.probing or flight.phase is Phase.CANCELLING or never_taken
    allowed: bool | None = True if exempt else None
    for piece, failure, reason in failed:
        state.causes.append((piece, flight.member, reason))
        barred = exclude_after(state.policy, flight, failure)
        refusal = _refuse_repeat(state, barred, failure)
        if refusal is None and allowed is None:
            allowed = _count_retry(state)
        if refusal is None and not allowed:
            refusal = "the run has no retry left"
        if refusal is None:
            state.dealer.backlog.put(piece, barred)
        else:
            give_up(state, piece, refusal)


def _refuse_repeat(state: RunState, barred: Barred, failure: Failure) -> str | None:
    """Explain why failed work may not be repeated, if anything but the retry rules forbids it."""
    if failure.submitted is None and not state.policy.retry.repeats_unknown:
        return "it is unknown whether the provider took it"
    moves = state.policy.retry.max_moves
    if moves is not None and len(barred.failed) > moves:
        return f"it may move {moves} times"
    return None if state.may_go(replace(barred, tried=frozenset())) else ""


def exclude_after(policy: Policy, flight: Flight, failure: Failure) -> Barred:
    """Name the members that must not take the pieces of a shard after it failed."""
    barred, member = flight.group.barred, flight.member
    if policy.retry.max_moves is not None:
        barred = replace(barred, failed=barred.failed | {member})
    if failure.transient and failure.submitted is not None:
        return replace(barred, tried=barred.tried | {member})
    # It cannot work there, or may have worked already and must not be paid twice.
    return replace(barred, never=barred.never | {member})


def requeue_unaffordable(state: RunState, member: str, group: Group, verdict: Verdict) -> bool:
    """Let work that does not fit the budget or an allowance move, wait, or stop the run.

    Args:
        state: The run.
        member: Where it does not fit.
        group: The work.
        verdict: Why it does not.

    Returns:
        Whether others may take some of it now.
    """
    if isinstance(verdict, UsedUp | Unpriced):
        if sum(piece.rows for piece in group.pieces) < 2:
            return _move(state, member, group, verdict.reason)
        # Part of it may fit where all of it does not.
        for half in reversed(halve(group.pieces)):
            state.dealer.line_up(member, replace(group, pieces=half), first=True)
        return False
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
    give_up_waiting(state, state.stopped)
    return False


def _move(state: RunState, member: str, group: Group, reason: str) -> bool:
    barred, moved = replace(group.barred, never=group.barred.never | {member}), False
    for piece in group.pieces:
        state.causes.append((piece, member, reason))
        # Members that failed by accident are asked again where nobody else is left.
        if state.may_go(replace(barred, tried=frozenset())):
            state.dealer.backlog.put(piece, barred)
            moved = True
        else:
            give_up(state, piece)
    return moved


def sweep(state: RunState) -> bool:
    """Put right the classes of work that no member may take; return whether any go on."""
    classes = state.dealer.backlog.classes
    goes_on = False
    for barred in [key for key in classes if key != NOBODY and not state.may_wait(key)]:
        # Members that may have failed by accident are asked again when nobody else is left.
        again = replace(barred, tried=frozenset())
        for piece in classes.pop(barred):
            if state.may_go(again):
                state.dealer.backlog.put(piece, again)
                goes_on = True
            else:
                give_up(state, piece)
    return goes_on


def requeue_refused(state: RunState) -> bool:
    """Handle work that the policy's filters refuse everywhere, and not only for now.

    Members that failed at it by accident are asked again; where there are none it is given up.

    Returns:
        Whether any goes on.
    """
    refused = list(state.planner.verdicts.items())
    go_on = [_requeue_refused(state, barred, verdicts) for barred, verdicts in refused]
    return any(go_on)


def _requeue_refused(state: RunState, barred: Barred, verdicts: dict[str, Verdict]) -> bool:
    candidates = state.candidates(barred)
    if any(name not in verdicts or verdicts[name].waits for name in candidates):
        return False
    again = replace(barred, never=barred.never.union(candidates), tried=frozenset())
    pieces = list(state.dealer.backlog.classes.pop(barred, ()))
    for piece in pieces:
        for name in candidates:
            state.causes.append((piece, name, verdicts[name].reason))
        if state.may_go(again):
            state.dealer.backlog.put(piece, again)
        else:
            give_up(state, piece)
    return bool(pieces) and state.may_go(again)


def single_out(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    """Divide pieces into shards of one circuit each."""
    for piece in pieces:
        left = piece
        while left.rows:
            one, left = left.split_rows(1)
            yield (one,)


def halve(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
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


def _remove_from_flight(state: RunState, index: int, now: float, *, ran: bool) -> Flight:
    """Take out a shard that has ended, and give its slot back.

    Args:
        state: The run.
        index: Its number.
        now: Seconds of the loop's clock.
        ran: Whether its member has perhaps worked on it.
    """
    flight = state.flights.pop(index)
    known = state.states[flight.member]
    # A member works on one job after the other, so this one had it since the last one ended,
    # or since its turn in the queue came. Where jobs overlap, that is what they take of it.
    turn = flight.submitted
    if flight.queued_until is not None:
        turn = flight.queued_until
    elif known.wait_read:  # What was learned from other jobs says nothing of this one.
        turn = min(now, turn + known.queue_seconds)
    flight.seconds = now - max(turn, known.busy_since)
    known.release(state.key(index), now, ran=ran)
    return flight


def _count_retry(state: RunState) -> bool:
    """Use up a retry; return whether there was one."""
    allowed = state.may_retry()
    state.retries += 1
    return allowed


def _forgive(state: RunState, member: str) -> None:
    """Let a member that is healthy again have what it failed at before."""
    state.dealer.backlog.forgive(member)
    for flight in state.flights.values():
        barred = flight.group.barred
        if member in barred.tried:
            barred = replace(barred, tried=barred.tried - {member})
            flight.group = replace(flight.group, barred=barred)


def give_up(state: RunState, piece: Piece, why: str = "") -> None:
    """Note that a piece will not be done, with every reason that is known."""
    task = state.tasks[piece.task]
    why = why or state.stopped
    reasons = dict(state.health.lost) | dict(task.refusals)
    for failed, member, reason in state.causes:
        same = failed.task == piece.task
        if same and failed.row_start < piece.row_stop and piece.row_start < failed.row_stop:
            reasons[member] = reason
    if why:
        reasons[""] = why
    state.given_up.append(GivenUp(piece=piece, pub=task.group, reasons=reasons))


def give_up_waiting(state: RunState, why: str) -> None:
    """Give up all that waits."""
    for piece, _ in state.dealer.waiting():
        give_up(state, piece, why)
    state.dealer.clear()
