"""What becomes of work for which there is no money, or no room in an allowance."""

from dataclasses import replace

from qiskit_gateway.allowances import UsedUp
from qiskit_gateway.dealing import Group
from qiskit_gateway.endings import halves
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.state import RunState


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
