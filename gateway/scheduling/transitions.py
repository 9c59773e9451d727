"""The transitions of a run: what each event changes in its state.

All that an event tells is taken in here, once: about slots, money, and the health and speed of
members. :mod:`~qiskit_gateway.scheduling.requeue` decides where the pieces of a shard go that has
ended. What is done next is found in the state alone.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.allocation.integer_program import Division
from qiskit_gateway.scheduling.events import (
    Accept,
    Cancel,
    Command,
    Discard,
    EjectedElsewhere,
    Event,
    RecallFailed,
    RecoveredElsewhere,
    ResultArrived,
    Retry,
    ShardCancelled,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardQueued,
    ShardRefused,
    ShardStarted,
    Solved,
    Stop,
    TryFailed,
)
from qiskit_gateway.scheduling.flight import Flight, Phase, Reason
from qiskit_gateway.scheduling.members.estimator import UNPRICED_USD
from qiskit_gateway.scheduling.members.shared import (
    HeldByOthers,
    JournalDown,
    RateReached,
    SlotsTaken,
    UsedByOthers,
)
from qiskit_gateway.scheduling.members.spending import Bought
from qiskit_gateway.scheduling.outlook import note_surprise
from qiskit_gateway.scheduling.recall.moves import may_pay_twice
from qiskit_gateway.scheduling.recall.overdue import look_later
from qiskit_gateway.scheduling.recall.rebalance import is_better_elsewhere, is_stuck
from qiskit_gateway.scheduling.requeue import (
    Ending,
    NotSent,
    duplicate_of,
    give_up_waiting,
    is_last,
    requeue,
)
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.price import Due
from qiskit_gateway.work.tasks import Load

# How long a member that was denied is left alone, at first; each further denial doubles it.
_AGAIN_SECONDS = 0.05
_DOUBLINGS = 7
# The least wait until a limit per minute lets another job pass.
_LEAST_SECONDS = 0.001
# After what time it is tried whether the journal is back.
_JOURNAL_SECONDS = 1.0
_CANCELLED = Failure(transient=True, fault="network", submitted=None)

ShardEnd = ShardFinished | ShardFailed | ShardRefused | ShardDenied | ShardCancelled | ShardLost


def take_in(state: RunState, event: Event, now: float) -> Iterator[Command]:
    """Change the state by what has happened."""
    match event:
        case ShardQueued() | ShardStarted():
            _note_stage(state, event, now)
        case EjectedElsewhere() | RecoveredElsewhere():
            yield from state.health.follow(event, now)
        case Solved():
            assert isinstance(event.answer, Division)  # noqa: S101
            state.planner.take_answer(event.answer, now)
        case TryFailed():
            yield from _fail_try(state, event, now)
        case RecallFailed():
            yield from _fail_recall(state, event, now)
        case Stop():
            yield from stop(state, event.reason)
        case (
            ShardFinished()
            | ShardFailed()
            | ShardRefused()
            | ShardDenied()
            | ShardCancelled()
            | ShardLost()
        ):
            yield from _complete(state, event, now)


def _note_stage(state: RunState, event: ShardQueued | ShardStarted, now: float) -> None:
    flight = state.flights.get(event.shard)
    if flight is None:
        return
    if isinstance(event, ShardStarted):
        flight.started = now
    else:
        flight.queued_until = now


def stop(state: RunState, reason: str) -> Iterator[Cancel]:
    """Give up all that is not done."""
    # It may have stopped sending before, for want of money, and waited for what flies.
    state.stopped = state.stopped or reason
    for index, flight in state.flights.items():
        if flight.phase is not Phase.CANCELLING:
            flight.cancel()
            yield Cancel(shard=index)
    give_up_waiting(state, state.stopped)


# -- a try, and its result ---------------------------------------------------------------------------


def may_retry(state: RunState, event: TryFailed, now: float) -> bool:
    """Decide whether a shard is tried again where it is.

    One that was sent to find out whether its member is healthy again is not tried twice there,
    nor one that has a duplicate elsewhere in case it fails, and none beyond the budget.
    """
    failure = event.failure
    flight = state.flights[event.shard]
    if flight.probing or _waits_for_slot(state, flight, failure):
        return False
    if duplicate_of(state, flight) is not None:
        return False
    rules = state.policy.retry
    # Of a job that the provider has taken, and that may still run, nobody needs a second one.
    lost = event.accepted and failure.submitted is None
    at_last = not lost and rules.may_repeat_at_last(failure, event.attempt)
    if not rules.may_repeat(failure, event.attempt) and not (
        at_last and is_last(state, flight, failure)
    ):
        return False
    paid = failure.submitted is not False
    if paid and not state.spending.affords_again(state.key(event.shard), now):
        return False
    if paid and is_better_elsewhere(state, flight, now):
        return False
    return state.may_retry()


def _fail_try(state: RunState, event: TryFailed, now: float) -> Iterator[Command]:
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
        yield from state.health.note_failure(flight.member, event.failure, event.reason, now)


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
    member, compiled = flight.member, flight.compiled
    asked = state.estimator.price(member, flight.load, compiled)
    if not 0.0 < asked < UNPRICED_USD:
        return 1.0
    # A share, since speeds that have been learned meanwhile may have changed both.
    ran = Load(flight.shard.circuits, flight.circuit_shots)
    return min(1.0, state.estimator.price(member, ran, compiled) / asked)


def _fail_recall(state: RunState, event: RecallFailed, now: float) -> Iterator[Command]:
    """Leave a shard where it is that could not be taken back, or give up on it.

    One at a member that is unhealthy or stuck, and does not even answer, is given up on where the time
    that it would be waited for is worth more than paying for it again. One of an earlier process is
    not while it is looked for, unless patience ends: nobody else can find it.
    """
    flight = state.flights.get(event.shard)
    if flight is None or flight.phase is not Phase.ASKED_BACK:
        return
    member, silent, rules = flight.member, event.failure is not None, state.policy.retry
    if event.failure is not None and state.judges_health(flight):
        yield from state.health.note_failure(member, event.failure, event.reason, now)
    unhealthy = member in state.health.unhealthy
    overdue = flight.reason is not Reason.SOONER_ELSEWHERE
    if overdue:
        sought = flight.adopted and not event.has_job and now < flight.giveup_at
        gone = unhealthy or (silent and not rules.waits_for_unknown)
        again, abandoned = False, gone and not sought
    else:
        again = silent and may_pay_twice(state, flight, now)
        abandoned = again and rules.repeats_unknown and (unhealthy or is_stuck(state, member, now))
    if abandoned:
        flight.cancel()
        yield Cancel(shard=event.shard)
        return
    flight.keep(may_ask_again=again)
    if overdue:
        look_later(state, flight, now)


# -- the end of a shard ------------------------------------------------------------------------------


def _complete(state: RunState, event: ShardEnd, now: float) -> Iterator[Command]:
    """Take in how a shard ended: first what it tells and costs, then what happens to its pieces."""
    # Its member worked on it or may have, but for what was surely cancelled.
    ran = not (
        isinstance(event, ShardDenied) or (isinstance(event, ShardCancelled) and event.confirmed)
    )
    flight = _remove_from_flight(state, event.shard, now, ran=ran)
    if not isinstance(event, ShardDenied):
        state.denials.pop(flight.member, None)
    ending: Ending = event
    match event:
        case ShardFinished():
            yield from _finish(state, flight, event, now)
        case ShardFailed():
            ending = yield from _fail(state, flight, event, now)
        case ShardRefused():
            _take_off_books(state, flight)
        case ShardDenied():
            ending = _deny(state, flight, event, now)
        case ShardCancelled():
            ending = _cancel(state, flight, event)
        case ShardLost():
            state.spending.settle(state.key(event.shard))
            _end_probe(state, flight)
    yield from requeue(state, flight, ending)


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


def _finish(state: RunState, flight: Flight, event: ShardFinished, now: float) -> Iterator[Command]:
    state.sent = True
    state.freed = flight.member
    state.spending.settle(state.key(event.shard))
    note_surprise(state, flight, now)
    shard = flight.shard
    if not flight.retried and not flight.adopted:
        known = state.states[flight.member]
        seconds = min(flight.seconds, now - event.handed_over)
        known.speed.observe(shard.circuits, flight.circuit_shots, seconds)
        if flight.alone:
            known.learn_wait(*flight.wait_seconds(now), now)
    if event.failed:
        _, failure, reason = event.failed[0]
        # What was read in part is of a kind that can be read.
        failure = replace(failure, unreadable=False)
        yield from state.health.note_failure(flight.member, failure, reason, now)
    else:
        state.down_since = None
        for change in state.health.note_success(flight.member, now):
            yield change  # It is healthy again, and is to get what its illness kept from it.
            _forgive(state, flight.member)
    if not state.states[flight.member].in_flight:
        state.dealer.backlog.welcome(flight.member)


def _forgive(state: RunState, member: str) -> None:
    """Let a member that is healthy again have what it failed at before."""
    state.dealer.backlog.forgive(member)
    for flight in state.flights.values():
        barred = flight.group.barred
        if member in barred.for_now:
            flight.group = replace(flight.group, barred=barred.forgiving(member))


def _fail(
    state: RunState, flight: Flight, event: ShardFailed, now: float
) -> Generator[Command, None, ShardFailed | NotSent]:
    failure, key = event.failure, state.key(event.shard)
    if _waits_for_slot(state, flight, failure):
        _take_off_books(state, flight)
        state.fleet.note_full(flight.member, failure.retry_after_seconds or 0.0, now)
        return NotSent()
    state.sent |= failure.submitted is not False
    if failure.submitted is False or failure.unbilled:
        state.spending.release(key)
    else:
        state.spending.settle(key)
    if flight.group.isolating:
        _end_probe(state, flight)
    else:
        yield from state.health.note_failure(flight.member, failure, event.reason, now)
    return event


def _waits_for_slot(state: RunState, flight: Flight, failure: Failure) -> bool:
    """A member has as many of our jobs as it takes: it is healthy, and takes one when one has ended.

    One that has none of ours is asked again in time.
    """
    others = state.states[flight.member].in_flight.keys() - {state.key(flight.shard.index)}
    full = failure.throttled and failure.submitted is False
    return full and bool(others) and not flight.probing


def _deny(state: RunState, flight: Flight, event: ShardDenied, now: float) -> ShardDenied | NotSent:
    """Treat a shard as if there had been no room for it here; its member is not to blame."""
    member, verdict = flight.member, event.verdict
    _take_off_books(state, flight)
    state.denials[member] = state.denials.get(member, 0) + 1
    known = state.states[member]
    if flight.submitted in known.submissions:
        known.submissions.remove(flight.submitted)
    if isinstance(verdict, SlotsTaken):
        known.elsewhere = verdict.elsewhere
    if isinstance(verdict, UsedByOthers):
        state.spending.allowances.note_left(member, verdict.units_left, now)
    state.denied[member] = now + _denied_seconds(state, member, verdict)
    passes = SlotsTaken | RateReached | UsedByOthers | HeldByOthers | JournalDown
    return NotSent() if isinstance(verdict, passes) else event


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


def _cancel(state: RunState, flight: Flight, event: ShardCancelled) -> ShardCancelled | ShardFailed:
    _end_probe(state, flight)
    key = state.key(event.shard)
    if event.confirmed:
        state.sent |= event.accepted
        state.spending.release(key)
        return event
    state.sent = True
    state.spending.settle(key)
    reason = "given up on, and its cancellation not confirmed"
    return ShardFailed(shard=event.shard, failure=_CANCELLED, reason=reason)


def _take_off_books(state: RunState, flight: Flight) -> None:
    """Count a shard that was not sent as if it had never been taken out."""
    state.spending.release(state.key(flight.shard.index))
    _end_probe(state, flight)
    if flight.adopted:
        return  # An earlier process took it out.
    state.planner.assigned[flight.member] -= flight.shard.circuit_shots
    if not flight.retried:
        state.first_tries -= 1


def _end_probe(state: RunState, flight: Flight) -> None:
    """Let another probe be sent where a shard was one and has told nothing; others never were one."""
    if flight.probing:
        state.health.end_probe(flight.member)
