"""The rules for trying a failed shard again."""

from dataclasses import dataclass
from typing import Literal, get_args

from qiskit_gateway.arguments import check_choice, check_count, check_number, make_plain
from qiskit_gateway.policies.backoff import DOUBLING, backoff_seconds
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.removed import refuse_removed

OnUnknown = Literal["move", "wait", "fail"]

# Waits longer than a minute are no matter of retries: by then a member that keeps failing is ejected.
LONGEST_WAIT_SECONDS = 60.0
# One more retry for every five first tries, the retry budget that Finagle and linkerd have, too:
# members that fail because of load get at most a fifth more of it.
RETRIES_PER_FIRST_TRY = 0.2


@refuse_removed(
    wait_multiplier="waits double with each attempt; set wait_initial_seconds",
    wait_max_seconds="waits double up to a minute; set wait_initial_seconds",
    jitter="a wait is a random part of the longest, so that clients that failed together do not come "
    "back together; set wait_initial_seconds",
    budget_ratio="a run has one more retry for every five first tries; set budget_floor",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The rules of trying again, the only layer that does.

    Attributes:
        max_attempts: Attempts per shard on one member before moving on, at least 1. Failures of
            unknown kind have two, and all of them where nobody else could take the work.
        max_moves: How many other members a piece may move to after it failed, in one process;
            ``None`` for all.
        max_failures_per_run: Failed attempts after which a run gives up; ``None`` for no limit.
        wait_initial_seconds: Longest wait before the second attempt, in seconds. It doubles with
            each attempt, up to a minute; the wait is a random part of it. A member that asks for
            more gets it.
        budget_floor: Retries that a run may always make. It has one more for every five first tries.
        on_unknown: What to do if it is unknown whether the provider took the job: ``"move"``
            runs it elsewhere, or again there where nobody else could take it, and may pay twice. ``"wait"`` keeps looking for the
            job: in a run until ``submit_seconds`` are over, when the work is given up, and after a
            resume without end. ``"fail"`` gives the work up.
            Only ``"move"`` ever repeats work.
    """

    max_attempts: int = 3
    max_moves: int | None = None
    max_failures_per_run: int | None = None
    wait_initial_seconds: float = 1.0
    budget_floor: int = 20
    on_unknown: OnUnknown = "move"

    def __post_init__(self) -> None:
        check_count("max_attempts", self.max_attempts, low=1)
        if self.max_moves is not None:
            check_count("max_moves", self.max_moves)
        if self.max_failures_per_run is not None:
            check_count("max_failures_per_run", self.max_failures_per_run)
        check_number("wait_initial_seconds", self.wait_initial_seconds)
        check_count("budget_floor", self.budget_floor)
        check_choice("on_unknown", self.on_unknown, get_args(OnUnknown))
        make_plain(self)

    @property
    def repeats_unknown(self) -> bool:
        """Work whose submission has an unknown fate may run elsewhere, and be paid for twice."""
        return self.on_unknown == "move"

    @property
    def waits_for_unknown(self) -> bool:
        """A submission of unknown fate is looked up again and again before work is given up."""
        return self.on_unknown == "wait"

    def may_repeat(self, failure: Failure, attempt: int) -> bool:
        """Decide whether a failed attempt is worth another on the same member.

        A submission of unknown fate never is: it may be running there.

        Args:
            failure: What is known of the failure.
            attempt: Which attempt of this shard on this member failed, from 1.
        """
        if failure.submitted is None:
            return False
        return attempt < min(self.max_attempts, self._useful_attempts(failure))

    def may_repeat_at_last(self, failure: Failure, attempt: int) -> bool:
        """Decide whether a failed attempt is worth another where nobody else could take the work.

        There a failure of unknown kind is no verdict; and a submission of unknown fate may be paid
        for twice, as it might be elsewhere.

        Args:
            failure: What is known of the failure.
            attempt: Which attempt of this shard on this member failed, from 1.
        """
        if self.may_repeat(failure, attempt):
            return True
        known = failure.authentication or failure.bad_result or failure.transient is False
        may_pay_twice = failure.submitted is not None or self.repeats_unknown
        return attempt < self.max_attempts and may_pay_twice and not known

    def backoff_seconds(
        self, attempt: int, u: float, retry_after_seconds: float | None = None
    ) -> float:
        """Draw the wait after a failed attempt, in seconds.

        Args:
            attempt: Which attempt failed, from 1.
            u: A random number in [0, 1).
            retry_after_seconds: How long the member asked to be left alone, in seconds: the wait
                is never shorter.
        """
        longest = backoff_seconds(
            self.wait_initial_seconds,
            multiplier=DOUBLING,
            times=attempt - 1,
            maximum=max(LONGEST_WAIT_SECONDS, self.wait_initial_seconds),
        )
        return max(longest * (1.0 - u), retry_after_seconds or 0.0)

    def allows_retry(self, *, first_tries: int, retries: int) -> bool:
        """Check that a run has a retry left.

        Without this, retries multiply the load on members that fail because of load.

        Args:
            first_tries: Attempts so far that were the first of their shard.
            retries: Attempts so far that were not.
        """
        return retries < self.budget_floor + RETRIES_PER_FIRST_TRY * first_tries

    def _useful_attempts(self, failure: Failure) -> int:
        if failure.authentication:
            return 1
        if failure.bad_result:
            return 2
        if failure.throttled or failure.transient:
            return self.max_attempts
        # Unknown is given the benefit of the doubt once.
        return 2 if failure.transient is None else 1
