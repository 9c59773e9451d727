"""The rules for taking work back from a member that has not begun it, or does not answer.

Work moves only after the provider has confirmed that it cancelled the job; until then its result is
waited for, and counts if it comes. What a provider says is running is left to it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from qiskit_gateway.policies.arguments import check_choice, check_number
from qiskit_gateway.policies.removed import refuse_removed

Where = Literal["never", "free", "always"]
Spare = Literal["never", "free"]


# Estimates of when jobs end are seldom truer than a tenth.
_GAIN_TIMES = 1.1


@refuse_removed(
    tied="a second job for the same work is sent only as a hedge against a failure; set spare",
    gain_times="work moves where it would end a tenth sooner, and gain_seconds more; set gain_seconds",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class RecallPolicy:
    """The rules of taking work back.

    Each kind has its members: ``"never"`` is none, ``"free"`` those without a fee per job, ``"always"``
    all. No provider that is known charges for a job that was cancelled before it began; where one
    does, ``"free"`` leaves it alone.

    Attributes:
        overdue: Where to ask for work back that takes far longer than expected, if another member
            could take it. A provider that does not answer even that is treated as if the fate of
            the job were unknown (:attr:`RetryPolicy.on_unknown`).
        idle: Where to ask for queued work back that others would end much sooner: for a member
            that is idle, once nothing else waits; and under a policy that minimizes the time to
            finish, whenever what was learned of speeds says so, or a member is stuck.
        spare: Where to queue a shard a second time in case it fails, once nothing else waits, under a
            policy that minimizes the time to finish: where members have failed, and the one that fails
            next would have to queue anew. ``"free"`` is at members that are said to cost nothing,
            by ``pricing=Pricing()``, not at those without a price. The second job is due only when
            the first should have ended, and is cancelled when that has.
        overdue_times: Work is overdue after so many times what was expected, its queue included,
            at least 1,
        overdue_seconds: and so many seconds more;
        unseen_seconds: so many seconds more at a member that has not returned a job yet, of which
            nothing is known.
        gain_seconds: "Much sooner" is: what is left of the wait exceeds what the others would take
            by more than a tenth and so many seconds.
    """

    overdue: Where = "always"
    idle: Where = "always"
    spare: Spare = "free"
    overdue_times: float = 3.0
    overdue_seconds: float = 300.0
    unseen_seconds: float = 3600.0
    gain_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in ("overdue", "idle"):
            check_choice(name, getattr(self, name), get_args(Where))
        check_choice("spare", self.spare, get_args(Spare))
        check_number("overdue_times", self.overdue_times, low=1.0)
        check_number("overdue_seconds", self.overdue_seconds)
        check_number("unseen_seconds", self.unseen_seconds)
        check_number("gain_seconds", self.gain_seconds)

    def grace_seconds(self, *, seen: bool) -> float:
        """Seconds past the expected time after which work is overdue.

        Args:
            seen: Whether the member has returned a job before.
        """
        return self.overdue_seconds if seen else self.unseen_seconds

    def is_much_sooner(self, there_seconds: float, here_seconds: float) -> bool:
        """Decide whether moving work is worth it, by when it would end there and here."""
        return here_seconds - there_seconds > self.gain_from(there_seconds)

    def gain_from(self, seconds: float) -> float:
        """Seconds by which something that takes so long must be sooner to be worth a move."""
        return (_GAIN_TIMES - 1) * seconds + self.gain_seconds


def covers(where: Where, job_fee_usd: float) -> bool:
    """Check that a rule covers a member with this fee per job."""
    return where == "always" or (where == "free" and job_fee_usd < _NO_FEE_USD)


# Fees are found by subtracting prices, which leaves some rounding.
_NO_FEE_USD = 1e-9
