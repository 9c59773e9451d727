from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.policies import RetryPolicy
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.retry import LONGEST_WAIT_SECONDS, RETRIES_PER_FIRST_TRY

failures = st.from_type(Failure)
randoms = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 10),
    wait_initial_seconds=st.floats(0, 100),
    on_unknown=st.sampled_from(["move", "wait", "fail"]),
)


@given(policies, attempts, randoms)
def test_backoff_is_bounded(policy, attempt, u):
    """A wait is never negative, and never above a minute or the first."""
    longest = max(LONGEST_WAIT_SECONDS, policy.wait_initial_seconds)
    assert 0 <= policy.backoff_seconds(attempt, u) <= longest


@given(policies, attempts, randoms)
def test_backoff_grows(policy, attempt, u):
    """For the same luck, a later wait is never shorter."""
    assert policy.backoff_seconds(attempt, u) <= policy.backoff_seconds(attempt + 1, u)


@given(policies, attempts, randoms)
def test_a_wait_is_a_random_part_of_the_longest(policy, attempt, u):
    """Clients that failed together come back spread over all of the wait."""
    longest = policy.backoff_seconds(attempt, 0.0)
    assert policy.backoff_seconds(attempt, u) == pytest.approx(longest * (1 - u))


@given(policies, attempts, randoms, st.floats(0, 1e5))
def test_backoff_honours_retry_after(policy, attempt, u, asked):
    """A member is left alone for as long as it asked, even above the cap."""
    assert policy.backoff_seconds(attempt, u, asked) >= asked


@given(policies, failures)
def test_attempts_are_bounded(policy, failure):
    """At the last attempt no failure whatever leads to another on the same member."""
    assert not policy.may_repeat(failure, policy.max_attempts)


@given(policies, failures, attempts)
def test_unknown_fate_is_never_tried_again_here(policy, failure, attempt):
    """A submission that the provider may have taken is never repeated there, whatever the policy."""
    assert not policy.may_repeat(replace(failure, submitted=None), attempt)


@given(policies, failures, attempts)
def test_at_last_only_doubts_are_tried_more_often(policy, failure, attempt):
    """Where nobody else is left no verdict, lie or double payment is added, and no more attempts."""
    more = policy.may_repeat_at_last(failure, attempt) and not policy.may_repeat(failure, attempt)
    if more:
        assert attempt < policy.max_attempts
        assert failure.transient is not False
        assert not failure.authentication
        assert not failure.bad_result
        assert failure.submitted is not None or policy.repeats_unknown
    assert policy.may_repeat_at_last(failure, attempt) or not policy.may_repeat(failure, attempt)


@pytest.mark.parametrize(
    ("failure", "useful"),
    [
        (Failure(transient=True), 5),
        (Failure(transient=False, throttled=True), 5),
        (Failure(transient=None), 2),
        (Failure(transient=False), 1),
        (Failure(transient=False, bad_result=True, submitted=True), 2),
        (Failure(transient=True, bad_result=True, submitted=True), 2),
        (Failure(transient=True, authentication=True), 1),
    ],
)
def test_facts_bound_the_attempts(failure, useful):
    """What may pass is tried to the end, what is unknown or untrue once more, the rest not at all."""
    policy = RetryPolicy(max_attempts=5)
    for attempt in range(1, useful):
        assert policy.may_repeat(failure, attempt)
        assert policy.backoff_seconds(attempt, 0.0) == 2.0 ** (attempt - 1)
    assert not policy.may_repeat(failure, useful)


@given(
    st.builds(RetryPolicy, budget_floor=st.integers(0, 20)),
    st.lists(st.booleans(), max_size=200),
)
def test_retries_stay_within_their_budget(policy, wishes):
    """However first tries and wishes to retry mix, retries stay below what first tries allow."""
    first_tries = retries = 0
    for retry in wishes:
        if not retry:
            first_tries += 1
        elif policy.allows_retry(first_tries=first_tries, retries=retries):
            retries += 1
    assert retries <= policy.budget_floor + RETRIES_PER_FIRST_TRY * first_tries + 1
    if first_tries == policy.budget_floor == 0:
        assert retries == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_moves": -1},
        {"max_failures_per_run": -1},
        {"wait_initial_seconds": -1},
        {"budget_floor": -1},
        {"on_unknown": "hope"},
    ],
)
def test_bad_arguments_are_refused(wrong):
    """A rule that could not mean anything is an error that names it."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        RetryPolicy(**wrong)


@pytest.mark.parametrize(
    ("on_unknown", "repeats", "waits"),
    [("move", True, False), ("wait", False, True), ("fail", False, False)],
)
def test_only_move_repeats_what_is_unknown(on_unknown, repeats, waits):
    """Work of unknown fate is repeated under "move" alone, and looked up again under "wait" alone."""
    policy = RetryPolicy(on_unknown=on_unknown)
    assert (policy.repeats_unknown, policy.waits_for_unknown) == (repeats, waits)
