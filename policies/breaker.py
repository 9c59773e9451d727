"""Circuit breakers: when to eject a member, and for how long.

    closed ----- enough counted failures in a row ------> open
    open ------- its time is up (poll) -----------------> half-open
    half-open -- success -------------------------------> closed
    half-open -- counted failure -----------------------> open, for longer
    any -------- credentials refused -------------------> open for good
    any -------- results that nobody can read ----------> open for good
    any -------- takes no jobs any more ----------------> open for good

Rule 1.  Closed admits all work, open none, half-open one shard at a time: the probe.
Rule 2.  Three counts, each with its own threshold: jobs that failed, results that cannot be true,
         and submissions that were not taken or were throttled. Any success sets all three to 0.
         A call that ran into our deadline is enough by itself: to find out three times would
         cost three deadlines.
Rule 3.  What is the caller's fault is no sign of illness and counts nowhere. A probe that ends so
         has shown nothing, and another may be sent.
Rule 4.  The n-th ejection lasts ``eject_seconds * 2 ** (n - 1)``, at most
         an hour, or as long as the first. Ten successes in a row take one ejection off the count.
Rule 5.  Only time ends an ejection. What jobs report that were sent before it, good or bad,
         changes nothing: one outage with many jobs in flight is one ejection.
Rule 6.  Refused credentials do not heal by waiting: that ejection has no end.
Rule 7.  Nor does a member that has never done a shard, and whose results nobody can read: when
         enough of them came to eject it, that ejection has no end either. The same goes for one
         that says of itself that it takes nothing any more.
Rule 8.  No more than ``max_ejected_share`` of the fleet is open at once (``may_eject``), but always
         one may be. A member that may not be ejected is spared (``spare``): half-open, so it gets
         one shard at a time. A fleet that is down altogether is thus probed, never sprayed.
Rule 9.  What another process of a journal has ejected is ejected here too, for as long, unless a
         probe of our own is out. Once a probe of theirs came back well, ours may go.

Time comes in as ``now``, in seconds of any clock that does not run backwards.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from qiskit_gateway.arguments import check_count, check_number, make_plain
from qiskit_gateway.policies.backoff import DOUBLING, backoff_seconds
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.removed import refuse_removed

Phase = Literal["closed", "open", "half-open"]
Admission = Literal["all", "one", "none"]


# Successes in a row that take one ejection off the count. A member that fails every few jobs keeps
# its count; one that was down for once loses it within the first jobs after that.
_FORGIVING_SUCCESSES = 10
# One result that cannot be true may be chance, and costs more than a failed job: it was paid for.
_BAD_RESULTS = 2
# A member that is down for a day costs a probe an hour, and is missed for at most an hour after.
_LONGEST_EJECTION_SECONDS = 3600.0


@refuse_removed(
    eject_multiplier="ejections double in length; set eject_seconds",
    eject_max_seconds="ejections double in length up to an hour; set eject_seconds",
    forgive_after="ten successes in a row take one ejection off; set eject_seconds",
    bad_results="two untrue results in a row eject a member; set max_ejected_share=0 to eject none",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """The rules of ejecting a member.

    Attributes:
        failures: Jobs failed without a success between that eject a member. Of results that cannot
            be true, two do.
        submit_errors: Failed or throttled submissions without a success between that do.
        eject_seconds: How long the first ejection lasts, in seconds. Each further one lasts twice
            as long, up to an hour.
        max_ejected_share: Share of the fleet that may be ejected at once, in [0, 1]; 0 ejects
            nobody, anything else at least one.
    """

    failures: int = 3
    submit_errors: int = 5
    eject_seconds: float = 60.0
    max_ejected_share: float = 0.5

    def __post_init__(self) -> None:
        check_count("failures", self.failures, low=1)
        check_count("submit_errors", self.submit_errors, low=1)
        check_number("eject_seconds", self.eject_seconds)
        check_number("max_ejected_share", self.max_ejected_share, high=1.0)
        make_plain(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """The health of one member. A new member is ``BreakerState()``.

    Attributes:
        phase: Whether it gets work: all, none, or one probe.
        failures: Jobs failed since the last success.
        bad_results: Untrue results since the last success.
        submit_errors: Failed or throttled submissions since the last success.
        successes: Successes since the last counted failure or forgiven ejection.
        ejections: Ejections not forgiven yet.
        until: When the ejection ends, on the clock of ``now``; infinity if never.
        probing: Whether a probe is out.
        proven: Whether it has ever done a shard.
    """

    phase: Phase = "closed"
    failures: int = 0
    bad_results: int = 0
    submit_errors: int = 0
    successes: int = 0
    ejections: int = 0
    until: float = 0.0
    probing: bool = False
    proven: bool = False


def admits(state: BreakerState) -> Admission:
    """Amount of work that the member may be sent now: all, one shard, or none."""
    if state.phase == "closed":
        return "all"
    return "one" if state.phase == "half-open" and not state.probing else "none"


def may_eject(num_ejected: int, num_members: int, policy: BreakerPolicy) -> bool:
    """Decide whether one more member may be ejected.

    At least one always may, whatever the share, so also the only member of a fleet. Were it not,
    a fleet of one would have no breaker: all work would be sent to a member known to fail it, and
    be paid for. Ejected, it costs nothing: there is nowhere else to go, so the work waits, and one
    probe at a time finds out when the member is back.

    Args:
        num_ejected: Members that are open already.
        num_members: Members of the fleet, ejected or not.
        policy: The rules.
    """
    if policy.max_ejected_share == 0:
        return False
    # 0.29 * 100 is 28.999999999999996.
    share = math.floor(policy.max_ejected_share * num_members + 1e-9)
    return num_ejected < max(1, share)


def poll(state: BreakerState, now: float) -> BreakerState:
    """Return the state as time has made it: an ejection may be over."""
    return _half_open(state) if state.phase == "open" and now >= state.until else state


def record_probe(state: BreakerState) -> BreakerState:
    """Return the state after a shard was sent to the member: if half-open, that is the probe."""
    return replace(state, probing=True) if state.phase == "half-open" else state


def drop_probe(state: BreakerState) -> BreakerState:
    """Return the state after a shard came back with nothing learned, as when it was cancelled."""
    return replace(state, probing=False)


def record_success(state: BreakerState, policy: BreakerPolicy) -> BreakerState:
    """Return the state after the member did a shard."""
    if state.phase == "open":
        return state
    successes = state.successes + 1
    forgiven = state.ejections > 0 and successes >= _FORGIVING_SUCCESSES
    return BreakerState(
        successes=0 if forgiven else successes,
        ejections=state.ejections - forgiven,
        proven=True,
    )


def record_failure(
    state: BreakerState, failure: Failure, policy: BreakerPolicy, now: float
) -> BreakerState:
    """Return the state after the member failed a shard.

    The member is ejected in the answer whatever the rest of the fleet; ask :func:`may_eject`, and
    :func:`spare` it if that says no.
    """
    if failure.authentication:
        return replace(_count(state, failure), phase="open", until=math.inf, probing=False)
    if failure.fault == "caller":
        return drop_probe(state)
    if state.phase == "open":
        return state
    counted = _count(state, failure)
    unreadable = failure.unreadable and not state.proven and counted.bad_results >= _BAD_RESULTS
    if unreadable or (failure.takes_nothing and _is_ill(counted, policy)):
        return replace(counted, phase="open", until=math.inf, probing=False)
    if state.phase == "half-open" or failure.hung or _is_ill(counted, policy):
        return _eject(counted, policy, now)
    return counted


def follow_ejection(state: BreakerState, until: float) -> BreakerState:
    """Return the state after another process has ejected the member, until some time.

    The member is ejected in the answer whatever the rest of the fleet, as in :func:`record_failure`.
    """
    if state.phase == "open" or state.probing:
        return state
    return replace(state, phase="open", ejections=state.ejections + 1, successes=0, until=until)


def spare(state: BreakerState) -> BreakerState:
    """Return the state of a member that would be ejected but may not be: it is probed.

    A member that is ejected for good is not spared: no work can be done there.
    """
    return state if state.phase != "open" or state.until == math.inf else _half_open(state)


def _half_open(state: BreakerState) -> BreakerState:
    return replace(state, phase="half-open", probing=False)


def _count(state: BreakerState, failure: Failure) -> BreakerState:
    if failure.bad_result:
        return replace(state, bad_results=state.bad_results + 1, successes=0)
    if failure.submitted and not failure.throttled:
        return replace(state, failures=state.failures + 1, successes=0)
    return replace(state, submit_errors=state.submit_errors + 1, successes=0)


def _is_ill(state: BreakerState, policy: BreakerPolicy) -> bool:
    return (
        state.failures >= policy.failures
        or state.bad_results >= _BAD_RESULTS
        or state.submit_errors >= policy.submit_errors
    )


def _eject(state: BreakerState, policy: BreakerPolicy, now: float) -> BreakerState:
    seconds = backoff_seconds(
        policy.eject_seconds,
        multiplier=DOUBLING,
        times=state.ejections,
        maximum=max(_LONGEST_EJECTION_SECONDS, policy.eject_seconds),
    )
    ejections = state.ejections + 1
    return replace(state, phase="open", ejections=ejections, until=now + seconds, probing=False)
