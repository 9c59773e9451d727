"""Taking back what waits at members and would be done sooner elsewhere."""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from qiskit_gateway.policies.recall import covers, is_much_sooner
from qiskit_gateway.scheduling.allocation.water_filling import Level
from qiskit_gateway.scheduling.decisions import AskBack, Decision, Expect
from qiskit_gateway.scheduling.flight import Flight, Phase, Reason
from qiskit_gateway.scheduling.members.estimator import HOPE, ROUNDING_SECONDS
from qiskit_gateway.scheduling.recall.moves import (
    allowed_offers,
    finishes_first,
    may_be_recalled,
    others,
    values_time,
)
from qiskit_gateway.scheduling.requeue import may_go
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.tasks import Load

# A member is stuck at a job that is late by this many times what was expected, and this many seconds.
_STUCK_TIMES = 2.0
_STUCK_SECONDS = 10.0
_LEAST_SECONDS = 1e-9


class Foreseen(NamedTuple):
    """The expected end of a shard at its member, in seconds of the loop's clock.

    Attributes:
        flight: The shard.
        end: When it should end.
        may_wait: Whether its member may not have begun with it.
    """

    flight: Flight
    end: float
    may_wait: bool


class Rest(NamedTuple):
    """What a run has to do besides the queued jobs that it may take back.

    Attributes:
        waiting: How many circuits wait for any member.
        stays: When what is not taken back in any case ends, in seconds from now.
        last: When the run ends if nothing is taken back, in seconds from now. If the circuits that wait
            cost less then, what they save is subtracted.
    """

    waiting: float
    stays: float
    last: float


def rebalance(state: RunState, now: float) -> Iterator[Decision]:
    """Ask back what waits behind a job that does not end, and what others would end sooner."""
    if not values_time(state):
        return
    # Where time has a price, to leave a member for being stuck may cost more than it is worth.
    hurries = finishes_first(state)
    stuck = {name for name in state.states if is_stuck(state, name, now)} if hurries else set()
    able = state.health.healthy(now)
    unhealthy = state.health.unhealthy
    foreseen = _foresee(state, [*able, *(name for name in state.states if name in unhealthy)], now)
    yield Expect({one.flight.shard.index: one.end for one in foreseen})
    free = [name for name in able if name not in stuck]
    if not free:
        return
    if hurries and (spare := _spare_seconds(state, foreseen, free, now)) > 0:
        state.lookout.spare_until = now + spare
        return
    if stuck:
        yield from _leave(state, stuck, free)
    waiting = [
        one
        for one in foreseen
        if one.flight.member not in stuck and one.may_wait and _may_go_elsewhere(state, one.flight)
    ]
    if waiting:
        yield from _take_back(state, waiting, foreseen, free, now)


def _leave(state: RunState, stuck: Collection[str], free: Sequence[str]) -> Iterator[AskBack]:
    """Ask back what members have that are stuck, for those that are not."""
    for flight in list(state.flights.values()):
        if flight.member not in stuck or not _may_go_elsewhere(state, flight):
            continue
        if any(name not in flight.group.barred for name in free):
            yield AskBack(flight.shard.index, Reason.SOONER_ELSEWHERE)


def _spare_seconds(
    state: RunState, foreseen: Sequence[Foreseen], free: Sequence[str], now: float
) -> float:
    """Say for how long what waits for anybody ends later than any job at a member, if speeds are right.

    They are as far off as they have been. A member later than that shows when the jobs should be over.
    """
    if not foreseen:
        return 0.0
    off = math.exp(max(state.states[name].speed.doubt for name in free))
    last = max(one.end for one in foreseen) - now
    return min((state.planner.end - now) / off - last * off, last)


def is_stuck(state: RunState, member: str, now: float) -> bool:
    """A member takes far longer over a job than expected."""
    known, estimator = state.states[member], state.estimator
    if not known.in_flight or not (known.speed.jobs or estimator.guess):
        return False
    worked = known.worked_seconds(now)
    if worked <= _STUCK_SECONDS:
        return False
    late = estimator.late_seconds(member, now)
    times = _STUCK_TIMES * (1 if known.speed.jobs else HOPE)
    return late > times * (worked - late) + _STUCK_SECONDS + ROUNDING_SECONDS


def is_better_elsewhere(state: RunState, flight: Flight, now: float) -> bool:
    """Decide whether a shard that failed should move, and not queue again at its member."""
    moves = state.policy.retry.max_moves
    members = {*flight.group.barred.failed, flight.member}
    if state.settled or (moves is not None and len(members) > moves):
        return False
    names = [flight.member, *others(state, flight, now)]
    offers = allowed_offers(state, names, flight, now)
    here = offers.pop(flight.member, None)
    if _is_better_shared(state, flight, list(offers), now):
        return True
    queue_seconds = state.states[flight.member].queue_seconds
    if not queue_seconds or here is None:
        return False
    key = state.policy.minimize.key
    again = key(replace(here, wait_seconds=queue_seconds))
    return any(key(offer) < again for offer in offers.values())


def _is_better_shared(state: RunState, flight: Flight, names: Sequence[str], now: float) -> bool:
    """Decide whether a shard that failed would end last if it were tried again as it is.

    Others then share it with all else that waits, in shards as small as befits the time left.
    """
    if not (names and finishes_first(state)):
        return False
    load = _load(state, [flight])
    whole = state.planner.backlog.load.plus(load)
    wait, each = _pace(state, [flight.member], load, now)
    here = wait[0] + each[0] * _units(state, load)
    base, slope = _pace(state, names, whole, now)
    return is_much_sooner(level_of(base, slope).of(_units(state, whole)), here)


def level_of(base: Sequence[float], slope: Sequence[float]) -> Level:
    """Return when members end that share some circuits so that all end together.

    Args:
        base: When each could begin, in seconds.
        slope: What a circuit takes there, in seconds.
    """
    # A member that takes no time, as far as is known, takes next to none.
    return Level(
        (begins, max(each, _LEAST_SECONDS)) for begins, each in zip(base, slope, strict=True)
    )


def surplus(
    ends: Sequence[tuple[float, float]],
    base: Sequence[float],
    slope: Sequence[float],
    waiting: float,
) -> int:
    """Count the last-ending jobs that should be taken back.

    Enough that those which stay end no later than what is taken back would elsewhere, or not much.

    Args:
        ends: When jobs end that wait at members, in seconds from now, the last first; and how many
            circuits they have.
        base: When each member could begin with what is taken back, in seconds from now.
        slope: What a circuit takes there, in seconds.
        waiting: The number of circuits that wait for any member.
    """
    taken = list(accumulate((circuits for _, circuits in ends), initial=waiting))[1:]
    level = level_of(base, slope)

    def stays(position: int) -> bool:
        end = ends[position][0] - ROUNDING_SECONDS
        # If all could begin as soon as the first; while much waits, that is late enough.
        if not is_much_sooner(level.first + taken[position] / level.rate, end):
            return True
        return not is_much_sooner(level.of(taken[position]), end)

    return bisect_left(range(len(ends)), x=True, key=stays)


def worthwhile(
    ends: Sequence[tuple[float, float]],
    tolls: Sequence[float],
    base: Sequence[float],
    slope: Sequence[float],
    rest: Rest,
) -> int:
    """Count the last-ending jobs to take back so that the whole run ends sooner by more than that costs.

    Args:
        ends: As of :func:`surplus`.
        tolls: What each costs elsewhere beyond what it does where it is, in seconds.
        base: As of :func:`surplus`.
        slope: As well.
        rest: What else the run has to do.
    """
    waiting, stays, last = rest.waiting, rest.stays, rest.last
    level = level_of(base, slope)
    best, many, toll = 0.0, 0, 0.0
    for count, ((_, circuits), more) in enumerate(zip(ends, tolls, strict=True), start=1):
        waiting, toll = waiting + circuits, toll + more
        before = max(stays, ends[count][0] if count < len(ends) else 0.0)
        end = max(before, level.of(waiting))
        gain = last - end - toll
        if gain > best and is_much_sooner(end + toll, last):
            best, many = gain, count
    return many


def _may_go_elsewhere(state: RunState, flight: Flight) -> bool:
    """Work may be taken back, and another member may take it."""
    fee = state.estimator.profiles[flight.member].job_fee_usd
    if not (may_be_recalled(state, flight) and covers(state.policy.recall.idle, fee)):
        return False
    return may_go(state, flight.group.barred, besides=flight.member)


def _foresee(state: RunState, names: Sequence[str], now: float) -> list[Foreseen]:
    """Foresee when the shards at members begin and end."""
    if not names:
        return []
    ours: dict[object, int] = {state.key(index): index for index in state.flights}
    return [one for name in names for one in _foresee_member(state, name, ours, now)]


def _foresee_member(
    state: RunState, member: str, ours: Mapping[object, int], now: float
) -> Iterator[Foreseen]:
    known, estimator = state.states[member], state.estimator
    unhealthy = member in state.health.unhealthy
    waits = len(known.in_flight) > 1 or known.queue_seconds or unhealthy
    if not (waits and (known.speed.jobs or estimator.guess or state.planner.backlog.empty)):
        return
    for turn in estimator.foresee(member, now):
        index = ours.get(turn.key)
        if index is not None:
            yield Foreseen(state.flights[index], turn.end, turn.may_wait)


def _take_back(
    state: RunState,
    waiting: list[Foreseen],
    foreseen: Sequence[Foreseen],
    free: Sequence[str],
    now: float,
) -> Iterator[AskBack]:
    asked = [
        one
        for one in state.flights.values()
        if one.phase is Phase.ASKED_BACK and one.reason is Reason.SOONER_ELSEWHERE
    ]
    before = state.planner.backlog.load.plus(_load(state, asked))
    whole = before.plus(_load(state, [one.flight for one in waiting]))
    waiting.sort(key=lambda one: -one.end)
    ends = [(one.end - now, _units(state, one.flight.load)) for one in waiting]
    if finishes_first(state):
        many = surplus(ends, *_pace(state, free, whole, now), _units(state, before))
    else:
        # By the largest of them: a small one at the end tells little of what fees come to.
        flight = max(waiting, key=lambda one: _units(state, one.flight.load)).flight
        units = _units(state, before)
        takers, each = _takers(state, whole, free, flight, now)
        base, slope = _pace(state, takers, whole, now)
        level = level_of(base, slope).of(_units(state, whole))
        sharing = [name for name, begins in zip(takers, base, strict=True) if begins < level]
        tolls = [
            _toll_seconds(state, one.flight, sharing, each * size, now)
            for one, (_, size) in zip(waiting, ends, strict=True)
        ]
        leave = {one.flight.shard.index for one in waiting}
        stay = (one.end - now for one in foreseen if one.flight.shard.index not in leave)
        stays, last = max(stay, default=0.0), max(one.end - now for one in foreseen)
        if units:
            # Else what waits anyway would seem to be done by dearer members at no price.
            _, rate = _takers(state, before, free, flight, now, busy=last)
            last -= max(0.0, each - rate) * units
        many = worthwhile(ends, tolls, base, slope, Rest(units, stays, last))
    for one in waiting[:many]:
        yield AskBack(one.flight.shard.index, Reason.SOONER_ELSEWHERE)


def _takers(  # noqa: PLR0913  A question with one answer.
    state: RunState,
    work: Load,
    free: Sequence[str],
    flight: Flight,
    now: float,
    *,
    busy: float = 0.0,
) -> tuple[list[str], float]:
    """Choose which members should share work, by price and end together; and the price of a unit, in seconds.

    Args:
        state: The run.
        work: What is to be shared.
        free: Members that may.
        flight: In jobs as large as this one.
        now: Seconds of the loop's clock.
        busy: Until when, in seconds from now, others are busy anyway: to end sooner is worth nothing.
    """
    offers, units = state.planner.offers(flight.load, now, flight.group.barred), _units(state, work)
    usd_per_second = state.planner.usd_per_second
    # In jobs no larger than what is taken back: it pays their fees.
    part = _units(state, flight.load)
    prices = {name: offers(name, flight.load).price_usd / usd_per_second for name in free}
    names = sorted(free, key=prices.__getitem__)
    base, slope = _pace(state, names, work, now)
    paces = [*zip(base, slope, (prices[name] / part for name in names), strict=True)]

    def end_and_price(many: int) -> tuple[float, float]:
        taking = paces[:many]
        end = level_of(base[:many], slope[:many]).of(units)
        shares = (max(0.0, end - begins) / max(each, _LEAST_SECONDS) for begins, each, _ in taking)
        price = sum(share * rate for share, (_, _, rate) in zip(shares, taking, strict=True))
        return max(end, busy), price

    # Each time twice as many: what a member more changes is the less, the more there are.
    counts = [*(1 << power for power in range((len(names) - 1).bit_length())), len(names)]
    _, price, many = min((sum(found), found[1], n) for n in counts for found in [end_and_price(n)])
    return names[:many], price / units


def _toll_seconds(
    state: RunState, flight: Flight, names: Sequence[str], seconds: float, now: float
) -> float:
    """Return what a shard costs elsewhere beyond what it does where it is, in seconds.

    Args:
        state: The run.
        flight: The shard.
        names: Members that would share it.
        seconds: What it costs there as a part of larger jobs; a fee is due again in any case.
        now: Seconds of the loop's clock.
    """
    offers = state.planner.offers(flight.load, now, flight.group.barred)
    usd = min(offers(name, flight.load).price_usd for name in names)
    return max(seconds, usd / state.planner.usd_per_second) - (
        flight.price.usd / state.planner.usd_per_second
    )


def _pace(
    state: RunState, names: Sequence[str], work: Load, now: float
) -> tuple[list[float], list[float]]:
    """Estimate when members could begin with some work, from now, and their time for a unit of it."""
    estimator, units = state.estimator, _units(state, work)
    base = [estimator.wait_seconds(name, now) for name in names]
    return base, [estimator.span_seconds(name, work) / units for name in names]


def _units(state: RunState, work: Load) -> float:
    """Measure work as it may be divided: in circuits, or in their shots."""
    return work.circuit_shots if state.planner.backlog.divides_rows else work.circuits


def _load(state: RunState, flights: Collection[Flight]) -> Load:
    loads = [state.planner.backlog.load_of(one.shard) for one in flights]
    return Load(sum([load[0] for load in loads], 0.0), sum([load[1] for load in loads], 0.0))
