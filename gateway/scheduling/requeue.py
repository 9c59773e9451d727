"""Pieces that wait, or wait again: who may take them, or that nobody is left who may."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.backlog import NOBODY, Barred, Group
from qiskit_gateway.scheduling.events import ShardFinished
from qiskit_gateway.scheduling.flight import Flight, Phase
from qiskit_gateway.scheduling.members.allowances import UsedUp
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.remaining import Left
from qiskit_gateway.work.tasks import Piece


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
            state.give_up(piece)
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
    may_move = not left.unknown or state.policy.retry.on_unknown == "move"
    if may_move and state.may_go(replace(barred, tried=frozenset())):
        state.dealer.backlog.put(left.piece, barred)
    else:
        state.give_up(left.piece)


def requeue_undelivered(
    state: RunState, event: ShardFinished, flight: Flight, known: Barred = NOBODY
) -> None:
    """Queue again what a job did not deliver.

    Args:
        state: The run.
        event: What that is.
        flight: The job.
        known: Who must not take it for what became of a duplicate with the same pieces.
    """
    if known is not NOBODY:
        flight.group = replace(flight.group, barred=flight.group.barred.plus(known))
    for piece in event.missing:
        state.dealer.backlog.keep(flight.member, piece, flight.group.barred)
    for piece, failure, reason in event.failed:
        requeue_failed(state, piece, flight, failure, reason)


def requeue_failed(
    state: RunState, piece: Piece, flight: Flight, failure: Failure, reason: str
) -> None:
    """Queue a failed piece for another member, or give it up."""
    state.causes.append((piece, flight.member, reason))
    if failure.submitted is None and state.policy.retry.on_unknown != "move":
        state.give_up(piece, "nobody knows whether the provider took it")
        return
    barred = exclude_after(state.policy, flight, failure)
    moves = state.policy.retry.max_moves
    if moves is not None and len(barred.failed) > moves:
        state.give_up(piece, f"it may move {moves} times")
    elif not state.may_go(replace(barred, tried=frozenset())):
        state.give_up(piece)
    elif not (flight.probing or flight.phase is Phase.CANCELLING) and not state.count_retry():
        # A probe, and what was left behind on a member that answers no more, load nobody anew.
        state.give_up(piece, "the run has no retry left")
    else:
        state.dealer.backlog.put(piece, barred)


def exclude_after(policy: Policy, flight: Flight, failure: Failure) -> Barred:
    """Say who must not take the pieces of a shard after it failed."""
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
    if isinstance(verdict, UsedUp):
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
    state.give_up_waiting(state.stopped)
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
            state.give_up(piece)
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
                state.give_up(piece)
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
            state.give_up(piece)
    return bool(pieces) and state.may_go(again)


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
