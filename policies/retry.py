"""What to do with a shard whose attempt failed."""

from dataclasses import dataclass
from typing import Literal, get_args

from qiskit_gateway.policies.arguments import check_choice, check_count, check_number
from qiskit_gateway.policies.backoff import DOUBLING, backoff_seconds
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.removed import refuse_removed

OnUnknown = Literal["move", "wait", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again on the same member.

    Attributes:
        wait_seconds: After how long, in seconds.
    """

    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Go to another member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Send nothing: wait until the fate of the submission can be looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Give the work up.

    Attributes:
        reason: Why, for people.
    """

    reason: str


Decision = Retry | Move | Await | Stop


@refuse_removed(
    wait_multiplier="waits double with each attempt; set wait_initial_seconds and wait_max_seconds"
)
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The rules of trying again, the only layer that does.

    Attributes:
        max_attempts: Attempts per shard on one member before moving on, at least 1.
        max_moves: How many other members a piece may move to after it failed, in one process;
            ``None`` for all.
        max_failures_per_run: Failed attempts after which a run gives up; ``None`` for no limit.
        wait_initial_seconds: Longest wait before the second attempt, in seconds. It doubles with
            each attempt.
        wait_max_seconds: Cap of the wait, in seconds. A member that asks for more gets it.
        jitter: Share of the wait that is random, in [0, 1]; 1 is full jitter.
        budget_floor: Retries that a run may always make.
        budget_ratio: Further retries for each attempt that was a first try.
        on_unknown: What to do where nobody knows whether the provider took the job: ``"move"``
            runs it elsewhere and may pay twice. ``"wait"`` keeps looking for the
            job: in a run until ``submit_seconds`` are over, when the work is given up, and after a
            resume without end. ``"fail"`` gives the work up.
            Only ``"move"`` ever repeats work.
    """

    max_attempts: int = 3
    max_moves: int | None = None
    max_failures_per_run: int | None = None
    wait_initial_seconds: float = 1.0
    wait_max_seconds: float = 60.0
    jitter: float = 1.0
    budget_floor: int = 20
    budget_ratio: float = 0.2
    on_unknown: OnUnknown = "move"

    def __post_init__(self) -> None:
        check_count("max_attempts", self.max_attempts, low=1)
        if self.max_moves is not None:
            check_count("max_moves", self.max_moves)
        if self.max_failures_per_run is not None:
            check_count("max_failures_per_run", self.max_failures_per_run)
        check_number("wait_initial_seconds", self.wait_initial_seconds)
        check_number("wait_max_seconds", self.wait_max_seconds)
        check_number("jitter", self.jitter, high=1.0)
        check_count("budget_floor", self.budget_floor)
        check_number("budget_ratio", self.budget_ratio)
        check_choice("on_unknown", self.on_unknown, get_args(OnUnknown))

    @property
    def repeats_unknown(self) -> bool:
        """Work whose submission has an unknown fate may run elsewhere, and be paid for twice."""
        return self.on_unknown == "move"

    @property
    def waits_for_unknown(self) -> bool:
        """A submission of unknown fate is looked up again and again before work is given up."""
        return self.on_unknown == "wait"

    def decide(self, failure: Failure, attempt: int, u: float) -> Decision:
        """Decide what happens to a shard after a failed attempt.

        A submission of unknown fate is never tried again on the same member.

        Args:
            failure: What is known of the failure.
            attempt: Which attempt of this shard on this member failed, from 1.
            u: A random number in [0, 1).
        """
        if failure.submitted is None:
            return self._decide_unknown()
        if attempt >= min(self.max_attempts, self._useful_attempts(failure)):
            return Move()
        wait_seconds = self.backoff_seconds(attempt, u, failure.retry_after_seconds)
        return Retry(wait_seconds=wait_seconds)

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
            maximum=self.wait_max_seconds,
        )
        return max(longest * (1.0 - self.jitter * u), retry_after_seconds or 0.0)

    def allows_retry(self, *, first_tries: int, retries: int) -> bool:
        """Say whether a run has a retry left.

        Without this, retries multiply the load on members that fail because of load.

        Args:
            first_tries: Attempts so far that were the first of their shard.
            retries: Attempts so far that were not.
        """
        return retries < self.budget_floor + self.budget_ratio * first_tries

    def _decide_unknown(self) -> Decision:
        match self.on_unknown:
            case "move":
                return Move()
            case "wait":
                return Await()
            case "fail":
                return Stop(reason="nobody knows whether the provider took the job")

    def _useful_attempts(self, failure: Failure) -> int:
        if failure.authentication:
            return 1
        if failure.bad_result:
            return 2
        if failure.throttled or failure.transient:
            return self.max_attempts
        # Unknown is given the benefit of the doubt once.
        return 2 if failure.transient is None else 1
