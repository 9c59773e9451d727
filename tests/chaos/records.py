"""What must hold of that which a run tells of itself: its attempts, its retries, its end, its journal."""

import math

from qiskit_gateway.policies.retry import RETRIES_PER_FIRST_TRY
from qiskit_gateway.work.rectangles import intersection

_OUTCOMES = {"done", "short", "failed", "refused", "unknown", "cancelled"}


def assert_recorded(world, lives):
    """Assert it of the last of the lives of a run."""
    life = lives[-1]
    _assert_record(life)
    _assert_retries(world, life)
    _assert_in_time(world, life)
    for attempt in life.run.record:
        left = attempt.outcome == "cancelled" and attempt.failure and attempt not in _own(life)
        if attempt.outcome == "unknown" or (left and not life.run._stop_reason):
            _assert_looked_for(world, lives, attempt)


def _assert_record(life):
    """Every attempt has ended in a documented way, and says why if that is not well."""
    for one in life.run.record:
        assert one.outcome in _OUTCOMES, one
        assert one.finished_seconds is not None or one.outcome == "unknown", one
        assert one.failure or one.outcome in {"done", "short", "cancelled"}, one
        assert one.outcome != "failed" or one.price_usd == 0 or one.accepted_seconds is not None


def _assert_retries(world, life):
    """No member is tried too often, nor does a run try again more often than the rules allow."""
    rules = world.scenario.policy.retry
    own = _own(life)
    retries = sum(one.number > 1 for one in own)
    most = rules.budget_floor + RETRIES_PER_FIRST_TRY * (len(own) - retries)
    assert retries < most + 1, (retries, most)
    assert retries <= (
        math.inf if rules.max_failures_per_run is None else rules.max_failures_per_run
    )
    assert all(one.number <= rules.max_attempts for one in own)


def _own(life):
    """Return the attempts that were made in this life."""
    return life.run.record[len(life.run._run_log.past.attempts) :]


def _assert_looked_for(world, lives, attempt):
    """What a provider can tell of a job is not unknown: it was asked, and could not tell.

    A job that was found is unknown only when it was to be cancelled, and that was not confirmed; or
    when it was left alone, for want of credentials.
    """
    life, adopted = lives[-1], attempt not in _own(lives[-1])
    asks = _asks(world, lives, attempt)
    if not asks:
        taken = attempt.job_id and not adopted
        assert taken or (adopted and _is_superseded(world, lives, attempt)), (
            "nobody asked",
            attempt,
        )
        return
    if asks[-1].answer == "down" and adopted:
        assert len(asks) >= world.scenario.policy.retry.max_attempts, ("asked too rarely", attempt)
    elif asks[-1].answer == "yes":
        provider = _provider_of(world, attempt)
        if "it is left alone" in attempt.failure:
            return  # The credentials were refused as it was fetched, which says nothing of the job.
        (job,) = (one for one in provider.jobs.values() if asks[-1].name in one.names)
        assert any(life.began <= at <= life.over for at in job.let_go), ("it was found", attempt)
    elif asks[-1].answer == "no":
        # A submission of this process may still be on its way.
        assert not adopted, ("it was never sent", attempt)


def key_of(run, attempt):
    """Return our own name for the job of an attempt."""
    return f"run{run}-{attempt.shard}-{attempt.number}"


def _asks(world, lives, attempt):
    """Return when the provider of an attempt was asked for its job, in the last of the lives."""
    life, number = lives[-1], world.lives.index(lives)
    names = {attempt.job_id, key_of(number, attempt)} - {""}
    asks = _provider_of(world, attempt).asks
    return [ask for ask in asks if ask.name in names and life.began < ask.at <= life.over]


def _provider_of(world, attempt):
    return next(one for one in world.scenario.providers if one.name == attempt.member)


def _is_superseded(world, lives, attempt):
    """Return whether the shots of an attempt of an earlier process are those of another one."""
    return any(
        intersection(a, b)
        for other in lives[-1].run._run_log.past.attempts
        if other is not attempt
        and (other.outcome in {"done", "short"} or _asks(world, lives, other))
        for a in attempt.pieces
        for b in other.pieces
    )


def _assert_in_time(world, life):
    """A deadline, or a cancellation, ends a run within the time that cancelling may take."""
    policy = world.scenario.policy
    ends = [world.cancelled_at]
    if policy.deadline_seconds is not None:
        ends.append(life.began + policy.deadline_seconds)
    assert life.over <= min(ends) + policy.cancel_seconds + 1e-6 or life.over <= life.began


def assert_journal(world):
    """The journal says of the run what the run says of itself."""
    found, life = world.written, world.lives[0][-1]
    received = sum(int(store.coverage.received.sum()) for store in life.run.work.stores)
    assert not found.held
    assert found.state != "done" or found.shots_done >= found.shots
    if life.run._recorder._writes:
        assert world.scenario.outage is not None, "what was not written could have been"
        return
    assert found.state == ("failed" if life.run.ended.given_up else "done")
    spent = sum(one.price_usd for one in life.run.record)
    assert math.isclose(found.spent_usd, spent, abs_tol=1e-9)
    assert found.shots_done >= received
