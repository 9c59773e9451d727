"""The status of a fleet, from the knowledge of the runs over it."""

import math
import time
from collections.abc import Iterator
from functools import partial

import anyio

from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.status import (
    BudgetStatus,
    FleetStatus,
    Health,
    LimitStatus,
    MemberStatus,
    SpeedStatus,
)
from qiskit_gateway.policies.breaker import BreakerState, poll
from qiskit_gateway.policies.budget import Budget, Ledger
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.survey import allotment_of, provider_of, read_declared_seconds
from qiskit_gateway.scheduling.members.allowances import Pot
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import FleetState, MemberState
from qiskit_gateway.work.speed_estimate import SpeedEstimate

_DAY_SECONDS = 86_400


class Teller:
    """Reports the status of a fleet. The fleet keeps one once there is a router over it."""

    def fleet_status(self, fleet: Fleet) -> FleetStatus:
        """Read it in the event loop in which all runs live."""
        return ENGINE.call(partial(_read_fleet, fleet))


def sum_up_budget(budget: Budget, ledger: Ledger, scope: str | None = None) -> BudgetStatus:
    """Sum up what is left of a budget, by its books.

    Args:
        budget: The budget.
        ledger: The books.
        scope: Whose spending is in them; by default that of runs in this process.
    """
    told = {} if scope is None else {"scope": scope}
    limits = tuple(_list_limits(budget, ledger))
    return BudgetStatus(limits=limits, on_exhausted=budget.on_exhausted, **told)


def ledger_of(fleet: Fleet, budget: Budget) -> Ledger:
    """Find the books of a fleet under a budget."""
    accounts = fleet.keep(FleetState).accounts
    return ENGINE.call(lambda: accounts[id(budget)].ledger if id(budget) in accounts else Ledger())


def _list_limits(budget: Budget, ledger: Ledger) -> Iterator[LimitStatus]:
    day = math.floor(time.time() / _DAY_SECONDS)
    limits: list[tuple[str, str, float | None]] = [
        ("USD", "usd", budget.usd),
        ("USD today (UTC)", f"usd on day {day}", budget.per_day_usd),
        ("shots", "shots", budget.shots),
        ("attempts", "attempts", budget.attempts),
    ]
    for member, most in (budget.per_member_usd or {}).items():
        limits.append((f"USD at {member}", f"usd of {member}", most))
    for user, most in (budget.per_user_usd or {}).items():
        limits.append((f"USD for {user}", f"usd for {user!r}", most))
    for user, most in (budget.per_user_day_usd or {}).items():
        limits.append((f"USD today (UTC) for {user}", f"usd on day {day} for {user!r}", most))
    runs = sorted(
        {name for sums in (ledger.held, ledger.spent) for name in sums if " in run " in name}
    )
    per_run = {"usd": ("USD", budget.per_run_usd), "shots": ("shots", budget.per_run_shots)}
    for account in runs:
        what, _, run = account.partition(" in run ")
        shown, limit = per_run[what]
        limits.append((f"{shown} in run {run}", account, limit))
    for name, account, limit in limits:
        if limit is not None:
            spent, held = ledger.spent.get(account, 0.0), max(0.0, ledger.held.get(account, 0.0))
            yield LimitStatus(name=name, limit=limit, spent=spent, reserved=held)


def _read_fleet(fleet: Fleet) -> FleetStatus:
    known, now = fleet.keep(FleetState), anyio.current_time()
    estimator = _make_estimator(fleet, known)
    accounts = [(one.budget, one.ledger) for one in known.accounts.values()]
    members = {one.name: _describe_member(one, known, now, estimator) for one in fleet}
    return FleetStatus(
        members=members, budgets=tuple(sum_up_budget(*account) for account in accounts)
    )


def _make_estimator(fleet: Fleet, known: FleetState) -> Estimator:
    states = {}
    for member in fleet:
        speed = known.members.get(member.name, MemberState()).speed
        if not speed.jobs and (told := read_declared_seconds(member)) is not None:
            speed = Speed()  # Of its own: what is told is noted for good when a run begins.
            speed.tell(told)
        states[member.name] = MemberState(speed=speed)
    profiles = {one.name: MemberProfile(name=one.name, provider=provider_of(one)) for one in fleet}
    estimator = Estimator(profiles=profiles, states=states)
    estimator.refresh()
    return estimator


def _describe_member(
    member: FleetMember, known: FleetState, now: float, estimator: Estimator
) -> MemberStatus:
    name = member.name
    state = known.members.get(name, MemberState())
    breaker = poll(state.breaker, now)
    read = max(state.read_at, state.learned_at)
    allotment = allotment_of(member)
    left_units = None
    if allotment is not None:
        pot = known.pots.get(allotment.name, Pot(allotment))
        left_units = pot.copy().left(time.time())  # A copy, since to look at it settles its days.
    return MemberStatus(
        name=name,
        health=_judge_health(state, breaker),
        why=state.trouble,
        until_seconds=_count_quiet_seconds(state, breaker, now),
        failure_rate=state.failure_rate,
        jobs_in_flight=len(state.in_flight),
        circuits_in_flight=state.load.circuits,
        queue_seconds=state.queue_seconds if read > -math.inf else None,
        queue_jobs=state.pending_jobs if state.read_at > -math.inf else None,
        queue_age_seconds=now - read if read > -math.inf else None,
        speed=_describe_speed(estimator.speed_of(name)),
        spent_usd=known.spent_usd.get(name, 0.0),
        left_usd=_find_left_usd(name, known),
        left_units=left_units,
        unit="" if allotment is None else allotment.unit,
    )


def _judge_health(state: MemberState, breaker: BreakerState) -> Health:
    if breaker.phase == "open":
        return "ejected"
    if breaker.phase == "half-open":
        return "on trial"
    if breaker.failures or breaker.bad_results or breaker.submit_errors:
        return "failing"
    return "well" if breaker.proven or state.speed.seen else "not used yet"


def _count_quiet_seconds(state: MemberState, breaker: BreakerState, now: float) -> float | None:
    until = max(breaker.until if breaker.phase == "open" else -math.inf, state.quiet_until)
    return until - now if until > now else None


def _describe_speed(estimate: SpeedEstimate) -> SpeedStatus:
    return SpeedStatus(
        source=estimate.source,
        job_seconds=estimate.job_seconds,
        circuit_seconds=estimate.circuit_seconds,
        shot_seconds=estimate.shot_seconds,
        jobs=estimate.jobs,
        times_off=estimate.times_off,
    )


def _find_left_usd(member: str, known: FleetState) -> float | None:
    left = [
        limit.left
        for account in known.accounts.values()
        for limit in _list_limits(account.budget, account.ledger)
        if limit.name == f"USD at {member}"
    ]
    return min(left, default=None)
