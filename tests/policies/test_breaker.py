import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qiskit_gateway.policies import BreakerPolicy
from qiskit_gateway.policies.breaker import (
    BreakerState,
    admits,
    drop_probe,
    may_eject,
    poll,
    record_failure,
    record_probe,
    record_success,
    spare,
)
from qiskit_gateway.policies.failure import Failure

JOB = Failure(submitted=True)
UNTRUE = Failure(submitted=True, bad_result=True)
SUBMIT = Failure(submitted=False, fault="network")
THROTTLED = Failure(submitted=True, throttled=True)
CALLER = Failure(fault="caller", transient=False)
REFUSED = Failure(authentication=True, fault="caller")
POLICY = BreakerPolicy(failures=3, submit_errors=4)


def fail(state, *failures, now=0.0, policy=POLICY):
    for failure in failures:
        state = record_failure(state, failure, policy, now)
    return state


class Breaker(RuleBasedStateMachine):
    """A member that works, fails, is cancelled and waits in any order."""

    def __init__(self):
        super().__init__()
        self.state = BreakerState()
        self.now = 0.0
        self.refused = False

    @rule(seconds=st.floats(0, 4000))
    def wait(self, seconds):
        """Only time, and all the time that was set, ends an ejection."""
        before = self.state
        self.now += seconds
        self.state = poll(before, self.now)
        if before.phase == "open":
            over = self.now >= before.until
            assert self.state.phase == ("half-open" if over else "open")
        else:
            assert self.state == before

    @rule()
    def succeed(self):
        """A success closes what is half-open, and leaves what is open as it is."""
        before = self.state
        self.state = record_success(before, POLICY)
        if before.phase == "open":
            assert self.state == before
        else:
            assert self.state.phase == "closed"
            assert self.state.ejections in {before.ejections, before.ejections - 1}

    @rule(failure=st.sampled_from([JOB, UNTRUE, SUBMIT, THROTTLED]))
    def fall_ill(self, failure):
        """Ejections grow, are capped, and one outage is one ejection."""
        before = self.state
        self.state = record_failure(before, failure, POLICY, self.now)
        if before.phase == "open":
            assert self.state == before
            return
        if self.state.phase == "open":
            seconds = min(60.0 * 2.0**before.ejections, 3600.0)
            assert self.state.until == self.now + seconds
            assert self.state.ejections == before.ejections + 1
        else:
            assert before.phase == "closed"

    @rule()
    def mistake(self):
        """The caller's fault changes nothing but that a probe is back."""
        before = self.state
        self.state = record_failure(before, CALLER, POLICY, self.now)
        assert self.state == replace(before, probing=False)

    @rule()
    def cancel(self):
        """A cancelled shard changes nothing but that a probe is back."""
        before = self.state
        self.state = drop_probe(before)
        assert self.state == replace(before, probing=False)

    @precondition(lambda self: admits(self.state) != "none")
    @rule()
    def send(self):
        """After the probe nothing more is sent to a half-open member."""
        self.state = record_probe(self.state)
        assert admits(self.state) == ("all" if self.state.phase == "closed" else "none")

    @precondition(lambda self: self.state.phase == "open")
    @rule()
    def keep(self):
        """A member that may not be ejected is probed, unless it refused our credentials."""
        self.state = spare(self.state)
        assert admits(self.state) == ("none" if self.refused else "one")

    @rule()
    def refuse_credentials(self):
        """Refused credentials eject for good."""
        self.state = record_failure(self.state, REFUSED, POLICY, self.now)
        self.refused = True
        assert self.state.until == math.inf

    @invariant()
    def phases_and_counts_agree(self):
        """Only a half-open member has a probe out; a closed one is below every threshold."""
        state = self.state
        assert state.ejections >= 0
        assert not state.probing or state.phase == "half-open"
        assert self.refused == (state.until == math.inf)
        if state.phase == "closed":
            assert state.failures < POLICY.failures
            assert state.bad_results < 2
            assert state.submit_errors < POLICY.submit_errors
        if self.refused:
            assert state.phase == "open"


TestBreaker = Breaker.TestCase


@pytest.mark.parametrize(
    ("failure", "threshold"), [(JOB, 3), (UNTRUE, 2), (SUBMIT, 4), (THROTTLED, 4), (REFUSED, 1)]
)
def test_each_kind_has_its_threshold(failure, threshold):
    """A member is ejected at the threshold of one kind, not before; a success starts anew."""
    state = fail(BreakerState(), *[failure] * (threshold - 1))
    assert admits(state) == "all"
    assert admits(fail(record_success(state, POLICY), *[failure] * (threshold - 1))) == "all"
    assert admits(fail(state, failure)) == "none"


def test_the_callers_fault_never_ejects():
    """Verdicts are not failures: a bad circuit says nothing of the member's health."""
    assert fail(BreakerState(), *[CALLER] * 100) == BreakerState()


def test_repeated_ejections_last_longer_up_to_the_cap():
    """Each ejection is twice as long as the one before, until the cap."""
    state, now, lasted = fail(BreakerState(), JOB, JOB, JOB), 0.0, []
    for _ in range(9):
        lasted.append(state.until - now)
        now = state.until
        state = fail(poll(state, now), JOB, now=now)
    assert lasted == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_run_of_successes_forgives():
    """Ten successes in a row take one ejection off the count, and as many more the next."""
    state = BreakerState(ejections=2)
    counts = []
    for _ in range(22):
        state = record_success(state, POLICY)
        counts.append(state.ejections)
    assert counts == [2] * 9 + [1] * 10 + [0] * 3


def test_a_failure_breaks_the_run_of_successes():
    """Successes forgive only in a row."""
    state = BreakerState(ejections=1)
    for _ in range(5):
        state = fail(record_success(record_success(state, POLICY), POLICY), JOB)
    assert state.ejections == 1


@given(st.integers(1, 1000), st.floats(0, 1))
def test_ejection_is_capped(num_members, share):
    """Ejecting while allowed stops at the share, or at one member; a share of 0 ejects nobody."""
    policy = BreakerPolicy(max_ejected_share=share)
    ejected = 0
    while ejected < num_members and may_eject(ejected, num_members, policy):
        ejected += 1
    assert ejected <= max(1, share * num_members + 1e-6)
    assert (ejected == 0) == (share == 0)


@pytest.mark.parametrize(
    ("num_members", "share", "most"),
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (100, 0.29, 29), (3, 1.0, 3), (3, 0, 0)],
)
def test_the_cap_in_numbers(num_members, share, most):
    """A lone member may be ejected; half of three is one; rounding takes none away."""
    policy = BreakerPolicy(max_ejected_share=share)
    assert [may_eject(n, num_members, policy) for n in range(num_members + 1)] == [
        n < most for n in range(num_members + 1)
    ]


CLOSED = Failure(transient=False, takes_nothing=True)


def test_a_member_that_takes_nothing_any_more_is_ejected_for_good():
    """Waiting does not help; whether it has ever done a shard does not matter either."""
    for before in (BreakerState(), BreakerState(proven=True)):
        assert fail(before, CLOSED).phase == "closed"
        state = fail(before, *[CLOSED] * POLICY.submit_errors)
        assert (state.phase, state.until) == ("open", math.inf)


@pytest.mark.parametrize(
    "other",
    [
        Failure(transient=False),
        Failure(),
        Failure(fault="network"),
    ],
)
def test_a_member_that_may_take_jobs_later_is_probed(other):
    """Only what is known for certain is for good."""
    state = fail(BreakerState(), *[other] * POLICY.submit_errors)
    assert (state.phase, state.until < math.inf) == ("open", True)


UNREADABLE = replace(UNTRUE, unreadable=True)


@pytest.mark.parametrize("before", [(), (UNTRUE,), (UNREADABLE,)])
def test_results_that_nobody_can_read_end_it_for_good(before):
    """Where so many bad results came that it is ejected, and it has never done a shard."""
    assert fail(BreakerState(), UNREADABLE).phase == "closed"
    state = fail(BreakerState(), *before, UNREADABLE, UNREADABLE)
    assert (state.phase, state.until) == ("open", math.inf)
    assert spare(state) == state
    assert fail(BreakerState(), UNREADABLE, UNTRUE).until < math.inf
    proven = record_success(BreakerState(), POLICY)
    assert fail(proven, *before, UNREADABLE, UNREADABLE).until < math.inf
    assert fail(poll(fail(proven, JOB, JOB, JOB), 60.0), UNREADABLE).until < math.inf


def test_a_spared_member_that_fails_again_is_ejected_for_longer():
    """Sparing does not forgive."""
    state = spare(fail(BreakerState(), JOB, JOB, JOB))
    assert state.phase == "half-open"
    assert fail(record_probe(state), JOB, now=5.0).until == 125.0
    assert spare(BreakerState()) == BreakerState()


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": 0},
        {"submit_errors": 0},
        {"eject_seconds": -1},
        {"max_ejected_share": 1.5},
    ],
)
def test_bad_arguments_are_refused(wrong):
    """A rule that could not mean anything is an error that names it."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        BreakerPolicy(**wrong)
