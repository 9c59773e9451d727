"""What must hold, whatever happened: asserted of a scenario that was lived through."""

import math
from collections import Counter, defaultdict

import numpy as np
from chaos import circuits
from chaos.money import assert_money, is_too_dear, meter_of
from chaos.records import assert_journal, assert_recorded, key_of
from chaos.world import World

from qiskit_gateway import PlanError, RunError
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.rectangles import intersection

# Twice the chance of a false alarm of one test of a distribution; see `_assert_coins`.
_CHANCE = 1e-12


def assert_laws(world: World) -> None:
    """Assert all that must hold."""
    for lives in world.lives:
        life = lives[-1]
        assert not life.died
        assert life.run.ended is not None
        _assert_answer(world, life)
        _assert_gaps(life)
        if world.scenario.lenient:
            _assert_whole(world, life)
        if world.scenario.kind == "sampler":
            _assert_shots(world, life)
        else:
            _assert_values(world, life)
        assert_recorded(world, lives)
    _assert_nothing_left(world)
    _assert_jobs_are_told(world)
    _assert_paid_once(world)
    _assert_limits(world)
    assert_money(world)
    if world.journal is not None:
        assert_journal(world)


# -- the answer ------------------------------------------------------------------------------------


def _assert_answer(world, life):
    """What is asked for comes, or an error of the documented kinds that carries what was done."""
    answer, ended = life.answer, life.run.ended
    cancelled = life.run._stop_reason != ""
    if not ended.given_up and not cancelled:
        assert not isinstance(answer, BaseException), repr(answer)
        return
    if not ended.sent and not cancelled:
        assert type(answer) is PlanError, repr(answer)
        assert set(answer.reasons) <= set(life.fleet.names)
        assert not any(one.accepted_seconds is not None for one in life.run.record)
        return
    if world.scenario.policy.on_failure == "partial" and not cancelled:
        assert not isinstance(answer, BaseException), repr(answer)
        return
    assert type(answer) is RunError, repr(answer)
    assert answer.failures == ended.given_up
    assert math.isclose(answer.spent_usd, sum(one.price_usd for one in life.run.record))
    for what, told in (("cancelled", " cancelled"), ("failed", " failed")):
        ended_so = any(
            one.outcome == what and one.accepted_seconds is not None and not one.failure
            for one in life.run.record
        )
        assert not ended_so or told in str(answer)
    assert [one.failure for one in answer.attempts] == [one.failure for one in life.run.record]


def _result_of(life):
    if isinstance(life.answer, PlanError):
        return None
    return life.answer.partial_result if isinstance(life.answer, RunError) else life.answer


def _assert_gaps(life):
    """Each row has exactly its shots, and what it does not have was given up, with a reason."""
    lost = defaultdict(Counter)
    for one in life.run.ended.given_up:
        assert one.why, one
        for row in range(one.piece.row_start, one.piece.row_stop):
            lost[one.piece.task][row] += one.piece.shots
    for task, store in zip(life.run.work.tasks, life.run.work.stores, strict=True):
        for row in range(task.rows):
            received = int(store.coverage.received[row])
            assert received + lost[task.index][row] == task.shots, (task, row, received)


def _assert_whole(world, life):
    """Where one member can be relied on and the rules allow it, everything is done."""
    assert life.run.ended.given_up == (), [str(one) for one in life.run.ended.given_up]
    assert not world.scenario.providers[0].nature.fault_rate


# -- the sampler -----------------------------------------------------------------------------------


def _assert_shots(world, life):
    """Each shot is in its row, once, whole, and of a job that was taken in; coins fall by odds."""
    result = _result_of(life)
    if result is None:
        return
    jobs = {job.serial: job for one in world.scenario.providers for job in one.jobs.values()}
    seen, coins = set(), []
    for task, pub in zip(life.run.work.tasks, result, strict=True):
        fields = {name: _numbers(getattr(pub.data, name)) for name in circuits.WIDTHS}
        codes = life.run.work.rows[task.index][:, 0].astype(int)
        received = np.asarray(pub.metadata.get("received_shots", np.full(len(codes), task.shots)))
        for row, code in enumerate(codes.tolist()):
            for shot in range(int(received[row])):
                place, job, number, tie, coin = (
                    int(fields[name][row, shot]) for name in circuits.WIDTHS
                )
                assert tie == circuits.tie(place, job, number), "a shot of two halves"
                shown = jobs[job].shown[code] if world.scenario.unique else {code, *_swapped(jobs)}
                assert place in shown, f"row {code} has a shot of row {place}, of job {job}"
                if world.scenario.unique:
                    assert number // jobs[job].batch.shots in jobs[job].good, "of a failed circuit"
                    assert (job, number) not in seen, "a shot was counted twice"
                    seen.add((job, number))
                coins.append((circuits.odds(place), coin & 1))
    counted = {one.job_id for one in life.run.record if one.outcome in {"done", "short"}}
    used = {jobs[job].job_id for job, _ in seen}
    assert used <= counted, "shots of jobs that the report does not count"
    _assert_coins(coins)


def _swapped(jobs):
    return {
        place for job in jobs.values() for code in job.shown for place in job.shown[code] - {code}
    }


def _numbers(bits):
    """Return the value of a register in each row and shot."""
    array = bits.array.astype(np.int64)
    weights = 256 ** np.arange(array.shape[-1])[::-1]
    return (array * weights).sum(axis=-1)


def _assert_coins(coins):
    """Random bits fall by their odds, up to what happens once in 10^12 scenarios (Hoeffding)."""
    if coins:
        surplus = sum(coin - odds for odds, coin in coins)
        assert abs(surplus) <= math.sqrt(len(coins) / 2 * math.log(2 / _CHANCE)), surplus


# -- the estimator ---------------------------------------------------------------------------------


def _assert_values(world, life):
    """Each value is exactly that of the jobs which were taken in."""
    result = _result_of(life)
    if result is None:
        return
    swapped = _swapped_codes(world)
    work, pubs = life.run.work, world.scenario.runs[world.lives.index(_lives_of(world, life))]
    for index, (pub, found) in enumerate(zip(pubs, result, strict=True)):
        codes = np.asarray(pub.parameter_values.as_array())[:, 0].astype(int).tolist()
        for place, observable in enumerate(pub.observables.ravel().tolist()):
            ((label, _),) = observable.items()
            for row, code in enumerate(codes):
                value = found.data.evs[place, row]
                if np.isnan(value) or code in swapped:
                    continue
                expected = (
                    _noise_of(world, life, work, index, code)
                    if label == "ZII"
                    else circuits.expected_sign(code, label)
                )
                if expected is not None:
                    assert abs(value - expected) < 1e-9, (index, label, code, value, expected)


def _swapped_codes(world):
    """Return the rows in whose place a provider has once shown another: nobody can detect that."""
    jobs = [job for one in world.scenario.providers for job in one.jobs.values()]
    return {code for job in jobs for code in job.swapped}


def _lives_of(world, life):
    return next(lives for lives in world.lives if life in lives)


def _noise_of(world, life, work, pub, code):
    """Return what the jobs that were taken in say of qubit 2 in a row, one by one."""
    tasks = [t for t in work.tasks if t.group == pub and work.programs[t.index].basis[0] == "Z"]
    (task,) = tasks
    row = work.rows[task.index][:, 0].astype(int).tolist().index(code)
    jobs = {job.job_id: job for one in world.scenario.providers for job in one.jobs.values()}
    total = shots = 0
    for attempt in life.run.record:
        if attempt.outcome not in {"done", "short"}:
            continue
        position = 0
        for piece in attempt.pieces:
            if piece.task == task.index and piece.row_start <= row < piece.row_stop:
                job, at = jobs[attempt.job_id], position + row - piece.row_start
                usable = dict(job.usable[code])[at]
                sign = 1 - 2 * circuits.noise(job.serial, at)
                total, shots = total + usable * sign, shots + usable
            position += piece.rows
    received = int(work.stores[task.index].coverage.received[row])
    assert shots == received, (task, row, shots, received)
    return total / shots if shots else None


# -- what is left ----------------------------------------------------------------------------------


def _assert_nothing_left(world):
    """No slot is taken, no money set aside, nobody listens any more, in any process."""
    for life in (life for lives in world.lives for life in lives):
        fleet_state = life.fleet.keep(FleetState)
        assert not any(one.in_flight for one in fleet_state.members.values())
        assert fleet_state.queue.listeners == []
        if not life.died:
            assert life.run._scopes == {}
            assert not any(account.ledger.reserved for account in fleet_state.accounts.values())


def _assert_jobs_are_told(world):
    """Each job that a provider took is an attempt of the report; what may run on is said to."""
    attempts = {
        key_of(number, one): one
        for number, lives in enumerate(world.lives)
        for one in lives[-1].run.record
    }
    keys = Counter()
    for provider in world.scenario.providers:
        for job in provider.jobs.values():
            keys[job.batch.key] += 1
            assert job.batch.key in attempts, f"{job.job_id} is in no report"
            one = attempts[job.batch.key]
            assert one.outcome != "refused"
            if job.told or job.cancelled:
                continue
            assert _may_run(one), (job.job_id, one)
    assert not keys or max(keys.values()) == 1, "one attempt is two jobs"
    taken = {job_id for provider in world.scenario.providers for job_id in provider.jobs}
    assert {one.job_id for one in attempts.values() if one.job_id} <= taken


def _assert_paid_once(world):
    """Nothing is sent while a job that has it may run, unless that one's fate is not known."""
    for lives in world.lives:
        # What one process did not know, the next one may have found out.
        told = {_name(one) for life in lives for one in life.run.record if _may_run(one)}
        for one, later in _repeats(lives[-1].run.record):
            # A process that begins anew may know of nobody else.
            blindly = one.outcome == "unknown" and one.member == later.member and len(lives) == 1
            blindly = blindly and not _is_last_resort(world, one, later)
            assert not blindly, ("sent blindly again", one, later)
            if _name(one) in told or (one.outcome == "cancelled" and not one.job_id):
                continue  # That is reported; or it is certain that it was never sent.
            if not (one.pieces == later.pieces and _may_be_hedged(world, one, later)):
                assert one.finished_seconds <= later.submitted_seconds + 1e-9, (one, later)


def _is_last_resort(world, one, later):
    """Return whether a submission was made again because nobody else could take the work."""
    moves = world.scenario.policy.retry.on_unknown == "move"
    # In a shard of another number, where a later try of the first one failed for the moment.
    again = later.submitted_seconds >= one.finished_seconds
    return moves and again and not one.job_id and _nobody_else(world, one)


def _nobody_else(world, one):
    """Return whether each other member is known to be out of the question for some of it."""
    record = [other for lives in world.lives for other in lives[-1].run.record]
    failed = {
        other.member
        for other in record
        if other.outcome in {"unknown", "failed", "refused", "short"}
        or (other.outcome == "cancelled" and not other.taken_back)
    }
    most = world.scenario.policy.retry.max_moves
    if most is not None and len(failed | {one.member}) > most:
        return True  # It may not go on to anybody.
    return all(
        provider.name == one.member
        or provider.name in failed
        or is_too_dear(world, provider, record)
        for provider in world.scenario.providers
    )


def _repeats(record):
    """Go through the pairs of attempts that have shots in common, the earlier one first."""
    for later in record:
        for one in record:
            if one is later or one.submitted_seconds > later.submitted_seconds:
                continue
            if any(intersection(a, b) for a in one.pieces for b in later.pieces):
                yield one, later


def _may_be_hedged(world, one, other):
    """Return whether the rules allow two members to have the same shard at once, on purpose."""
    rules = world.scenario.policy.recall
    if one.member == other.member or rules.spare == "never":
        return False
    # Where there is no fee nothing is paid at all.
    fees = {one.name: meter_of(one.pricing).per_job for one in world.scenario.providers}
    return fees[one.member] == fees[other.member] == 0


def _name(attempt):
    return attempt.shard, attempt.number


def _may_run(attempt):
    """Return whether the report says of an attempt that its job may run on."""
    told = ("may still run", "cancelled while the provider was being asked")
    return attempt.outcome == "unknown" or any(text in attempt.failure for text in told)


def _assert_limits(world):
    """No job is larger than its member allows, nor are there more at once, or in a minute."""
    for provider in world.scenario.providers:
        limits = provider.limits
        for batch in provider.batches:
            assert batch.circuits <= (limits.max_circuits or math.inf)
            assert (limits.min_shots or 1) <= batch.shots <= (limits.max_shots or math.inf)
            assert 0 < batch.kept_shots <= batch.shots
        if limits.max_in_flight is not None and len(world.lives[0]) == 1:
            assert _most_at_once(world, provider.name) <= limits.max_in_flight


def _most_at_once(world, name):
    edges = []
    for lives in world.lives:
        life = lives[-1]
        for one in life.run.record:
            if one.member == name:
                edges.append((life.began + one.submitted_seconds, 1))
                edges.append((life.began + one.finished_seconds, -1))
    running = most = 0
    for _, step in sorted((round(at, 9), step) for at, step in edges):
        running += step
        most = max(most, running)
    return most
