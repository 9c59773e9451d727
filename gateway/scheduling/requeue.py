"""Where the pieces of a shard go that did not arrive: to its duplicate, back in the queue, or nowhere.

A piece that did not arrive waits again, barred from the members that failed at it; where nobody is
left that may take it, it is given up.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.backlog import NOBODY, Barred, Group
from qiskit_gateway.scheduling.events import (
    Cancel,
    ShardCancelled,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
)
from qiskit_gateway.scheduling.flight import Flight, Phase, Reason
from qiskit_gateway.scheduling.members.allowances import UsedUp
from qiskit_gateway.scheduling.members.estimator import Unpriced
from qiskit_gateway.scheduling.run_state import RunState, TopUp
from qiskit_gateway.work.record.remaining import GivenUp, Left
from qiskit_gateway.work.tasks import Piece


@dataclass(frozen=True, slots=True)
class NotSent:
    """A shard was not sent, for no reason that is its own: it is as if it had never been taken out."""


Ending = (
    ShardFinished | ShardFailed | ShardRefused | ShardDenied | ShardCancelled | ShardLost | NotSent
)
"""The end of a shard as its pieces see it: what is cancelled is certain not to run."""


def requeue(state: RunState, flight: Flight, ending: Ending) -> Iterator[Cancel]:
    """Decide where the pieces of a shard go that has ended.

    Args:
        state: The run.
        flight: The shard, no longer in flight.
        ending: How it ended.
    """
    match ending:
        case ShardFinished():
            _requeue_rest(state, flight, ending)
        case ShardFailed():
            _requeue_whole(state, flight, ending)
        case ShardRefused():
            _requeue_unfit(state, flight, ending)
        case ShardDenied():
            _requeue_denied(state, flight, ending.verdict)
        case ShardCancelled():
            _put_back(state, flight)
        case ShardLost():
            _requeue_lost(state, flight, ending.reason)
        case NotSent():
            _queue_again(state, flight)
    yield from _settle_duplicate(state, flight)


def duplicate_of(state: RunState, flight: Flight) -> Flight | None:
    """Find the other shard in flight that carries the same pieces, if there is one."""
    pair = flight.duplicate
    return None if pair is None else state.flights.get(pair.other(flight.shard.index))


def may_go(state: RunState, barred: Barred, *, besides: str = "") -> bool:
    """A member may take such work, besides one, now or when it is healthy again."""
    lost = state.health.lost
    for name in state.states:  # noqa: SIM110  With no generator: it is asked of each shard in flight.
        if name != besides and name not in barred and name not in lost:
            return True
    return False


def is_last(state: RunState, flight: Flight, failure: Failure) -> bool:
    """Nobody else could take what a shard carries if it failed so, nor would it be halved."""
    moves = state.policy.retry.max_moves
    barred = flight.group.barred
    settles = moves is not None and len(barred.failed | {flight.member}) > moves
    last = settles or not may_go(state, barred.untried, besides=flight.member)
    return last and not (flight.group.isolating or _may_hide_poison(state, flight, failure))


# -- a shard that ended ----------------------------------------------------------------------------


def _requeue_rest(state: RunState, flight: Flight, event: ShardFinished) -> None:
    """Queue again what a job did not deliver, once its duplicate cannot bring it."""
    if duplicate_of(state, flight) is None:
        _requeue_undelivered(state, event, flight)
    else:
        assert flight.duplicate is not None  # noqa: S101
        flight.duplicate.unsettled = event, flight


def _requeue_whole(state: RunState, flight: Flight, event: ShardFailed) -> None:
    failure = event.failure
    if _is_halved(state, flight, failure) and _count_retry(state):
        for part in (_single_out if failure.alone else _halve)(flight.shard.pieces):
            group = replace(flight.group, pieces=part, isolating=True)
            state.dealer.line_up(flight.member, group)
        return
    failed = [(piece, failure, event.reason) for piece in flight.shard.pieces]
    if not _hand_over(state, flight, _exclude_after(state.policy, flight, failure)):
        _requeue_failed(state, flight, failed)
        return
    for piece, _, reason in failed:
        state.note_cause(piece, flight.member, reason)


def _requeue_unfit(state: RunState, flight: Flight, event: ShardRefused) -> None:
    for position, piece in enumerate(flight.shard.pieces):
        reason = event.reasons.get(position)
        if reason is not None:
            whole = Piece(piece.task, 0, state.tasks[piece.task].rows, 0, piece.shot_stop)
            state.note_cause(whole, flight.member, reason)
            state.dealer.backlog.refuse(piece.task, flight.member)
    if not _hand_over(state, flight, flight.group.barred):
        for piece in flight.shard.pieces:
            state.dealer.backlog.put(piece, flight.group.barred)


def _requeue_denied(state: RunState, flight: Flight, verdict: Verdict) -> None:
    if not _hand_over(state, flight, flight.group.barred):
        requeue_unaffordable(state, flight.member, flight.group, verdict)


def _requeue_lost(state: RunState, flight: Flight, reason: str) -> None:
    paid = frozenset([flight.member] if flight.price.costs else [])
    for piece in flight.shard.pieces:
        queue_left(state, Left(piece=piece, unknown={flight.member: reason}, paid=paid))


def _put_back(state: RunState, flight: Flight) -> None:
    """Queue again the pieces of a shard that for certain does not run."""
    barred = flight.group.barred
    if flight.reason is Reason.OVERDUE:
        _count_retry(state)
    if flight.reason is Reason.SOONER_ELSEWHERE and not 0 < state.planner.usd_per_second < math.inf:
        barred = barred.once_recalled_from(flight.member)
    elif flight.reason is not None:
        # Back to the same member only when nobody else is left: that it is idle is no loss where a
        # move was worth its price.
        barred = replace(barred, tried=barred.tried | {flight.member})
    if _hand_over(state, flight, barred):
        return
    if flight.adopted and state.settled and flight.reason is None:
        # It was never sent: the same shard is to go to the same member.
        state.dealer.line_up(flight.member, flight.group)
        return
    for piece in flight.shard.pieces:
        state.dealer.backlog.put(piece, barred)


def _queue_again(state: RunState, flight: Flight) -> None:
    """Queue a shard again that was not sent, as if it had never been taken out."""
    if _hand_over(state, flight, flight.group.barred):
        return
    if state.settled or flight.group.isolating:
        state.dealer.line_up(flight.member, flight.group, first=True)
        return
    for piece in flight.shard.pieces:
        state.dealer.backlog.put(piece, flight.group.barred)


def _is_halved(state: RunState, flight: Flight, failure: Failure) -> bool:
    """What failed as a whole is tried in halves there, and what fails again goes elsewhere.

    Where it is not one circuit but the member that is at fault, halving on would use up all that
    the run has for retries. Nothing else is left where nobody else may take it.
    """
    if not _may_hide_poison(state, flight, failure):
        return False
    again = flight.group.isolating
    return not (again and may_go(state, _exclude_after(state.policy, flight, failure)))


def _may_hide_poison(state: RunState, flight: Flight, failure: Failure) -> bool:
    """One circuit of several may be what the provider failed at, and no duplicate has it."""
    if flight.shard.circuits < 2 or failure.authentication or failure.throttled:
        return False
    if flight.member in state.health.lost or failure.takes_nothing:
        return False
    shared = flight.is_beaten or duplicate_of(state, flight) is not None
    return not shared and not failure.transient and failure.submitted is not None


def _hand_over(state: RunState, flight: Flight, barred: Barred) -> bool:
    """Leave the pieces of a shard that ended to its duplicate, if it has one.

    Args:
        state: The run.
        flight: The shard, no longer in flight.
        barred: Members that must not take the pieces after that.

    Returns:
        Whether they are the duplicate's now, or have arrived with it.
    """
    other = duplicate_of(state, flight)
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
        _requeue_undelivered(state, *pair.unsettled, flight.group.barred)
    other = duplicate_of(state, flight)
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
            known[refusals] = barred if may_go(state, barred) else None
        waits = known[refusals]
        if waits is None:
            _give_up(state, piece)
        else:
            state.dealer.backlog.put(piece, waits)


def queue_left(state: RunState, left: Left) -> None:
    """Queue a piece whose submission may or may not have reached its member, or give it up."""
    for member, reason in {**left.failed, **left.unknown}.items():
        state.note_cause(left.piece, member, reason)
    barred = Barred(
        never=frozenset(state.tasks[left.piece.task].refusals) | left.paid,
        tried=frozenset({**left.failed, **left.unknown}) - left.paid,
    )
    if not left.unknown or state.policy.retry.repeats_unknown:
        _queue(state, [left.piece], barred)
    else:
        _give_up(state, left.piece)


def _queue(state: RunState, pieces: Collection[Piece], barred: Barred) -> bool:
    """Queue pieces, or give them up where nobody may take them, now or as a last resort.

    Returns:
        Whether any waits now.
    """
    goes_on = may_go(state, barred.untried)
    for piece in pieces:
        if goes_on:
            state.dealer.backlog.put(piece, barred)
        else:
            _give_up(state, piece)
    return goes_on and bool(pieces)


def _requeue_undelivered(
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
    _requeue_failed(state, flight, event.failed)


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
        shots = piece.shots  # It runs no more than these: no share of the shots is lost.
    state.top_ups[piece] = TopUp(member, came, came / asked, shots)
    state.dealer.backlog.keep(member, piece, flight.group.barred)


def _requeue_failed(
    state: RunState, flight: Flight, failed: Iterable[tuple[Piece, Failure, str]]
) -> None:
    """Queue the failed pieces of a shard for other members, or give them up.

    However many pieces it carried, the shard is one retry.
    """
    failed = list(failed)
    # A probe, what was left behind on a member that answers no more, and what one that is ejected by
    # now has never taken, load nobody anew.
    unhealthy = flight.member in state.health.unhealthy
    never_taken = unhealthy and all(failure.submitted is False for _, failure, _ in failed)
    exempt = flight.probing or flight.phase is Phase.CANCELLING or never_taken
    allowed: bool | None = True if exempt else None
    for piece, failure, reason in failed:
        state.note_cause(piece, flight.member, reason)
        barred = _exclude_after(state.policy, flight, failure)
        refusal = _refuse_repeat(state, barred, failure)
        if refusal is None and allowed is None:
            allowed = _count_retry(state)
        if refusal is None and not allowed:
            refusal = "the run has no retry left"
        if refusal is None:
            state.dealer.backlog.put(piece, barred)
        else:
            _give_up(state, piece, refusal)


def _refuse_repeat(state: RunState, barred: Barred, failure: Failure) -> str | None:
    """Explain why failed work may not be repeated, if anything but the retry rules forbids it."""
    if failure.submitted is None and not state.policy.retry.repeats_unknown:
        return "it is unknown whether the provider took it"
    moves = state.policy.retry.max_moves
    if moves is not None and len(barred.failed) > moves:
        return f"it may move {moves} times"
    return None if may_go(state, barred.untried) else ""


def _exclude_after(policy: Policy, flight: Flight, failure: Failure) -> Barred:
    """Name the members that must not take the pieces of a shard after it failed."""
    barred, member = flight.group.barred, flight.member
    if policy.retry.max_moves is not None:
        barred = replace(barred, failed=barred.failed | {member})
    if failure.transient and failure.submitted is not None:
        return replace(barred, tried=barred.tried | {member})
    # It cannot work there, or may have worked already and must not be paid twice.
    return replace(barred, never=barred.never | {member})


def _count_retry(state: RunState) -> bool:
    """Use up a retry; return whether there was one."""
    allowed = state.may_retry()
    state.retries += 1
    return allowed


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
        for half in reversed(_halve(group.pieces)):
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
    for piece in group.pieces:
        state.note_cause(piece, member, reason)
    barred = replace(group.barred, never=group.barred.never | {member})
    return _queue(state, group.pieces, barred)


def sweep(state: RunState) -> bool:
    """Put right the classes of work that no member may take; return whether any continue."""
    classes = state.dealer.backlog.classes
    goes_on = False
    for barred in [key for key in classes if key != NOBODY and not _may_wait(state, key)]:
        # Members that may have failed by accident are asked again when nobody else is left.
        goes_on |= _queue(state, list(classes.pop(barred)), barred.untried)
    return goes_on


def _candidates(state: RunState, barred: Barred) -> Iterator[str]:
    """Go through the members that may take such work, now or when they are healthy again."""
    lost = state.health.lost
    return (name for name in state.states if name not in barred and name not in lost)


def _may_wait(state: RunState, barred: Barred) -> bool:
    """Such work should wait for a member that did not fail at it.

    Not for an unhealthy one while a healthy one may have failed by accident.
    """
    if not may_go(state, barred):
        return False
    unhealthy = state.health.unhealthy
    if not barred.for_now or not unhealthy:
        return True
    if any(name not in unhealthy for name in _candidates(state, barred)):
        return True
    again = _candidates(state, barred.untried)
    return all(name in unhealthy for name in again)


def requeue_refused(state: RunState) -> bool:
    """Handle work that the policy's filters refuse everywhere, and not only for now.

    Members that failed at it by accident are asked again; where there are none it is given up.

    Returns:
        Whether any continues.
    """
    refused = list(state.planner.verdicts.items())
    go_on = [_requeue_refused(state, barred, verdicts) for barred, verdicts in refused]
    return any(go_on)


def _requeue_refused(state: RunState, barred: Barred, verdicts: dict[str, Verdict]) -> bool:
    candidates = list(_candidates(state, barred))
    if any(name not in verdicts or verdicts[name].waits for name in candidates):
        return False
    again = replace(barred.untried, never=barred.never.union(candidates))
    pieces = list(state.dealer.backlog.classes.pop(barred, ()))
    for piece in pieces:
        for name in candidates:
            state.note_cause(piece, name, verdicts[name].reason)
    return _queue(state, pieces, again)


def _single_out(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    """Divide pieces into shards of one circuit each."""
    for piece in pieces:
        left = piece
        while left.rows:
            one, left = left.split_rows(1)
            yield (one,)


def _halve(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
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


def _give_up(state: RunState, piece: Piece, why: str = "") -> None:
    """Note that a piece will not be done, with every reason that is known."""
    task = state.tasks[piece.task]
    why = why or state.stopped
    reasons = dict(state.health.lost) | dict(task.refusals)
    for failed, member, reason in state.causes.get(piece.task, ()):
        if failed.row_start < piece.row_stop and piece.row_start < failed.row_stop:
            reasons[member] = reason
    if why:
        reasons[""] = why
    state.given_up.append(GivenUp(piece=piece, pub=task.group, reasons=reasons))


def give_up_waiting(state: RunState, why: str) -> None:
    """Give up all that waits."""
    for piece, _ in state.dealer.waiting():
        _give_up(state, piece, why)
    state.dealer.clear()
