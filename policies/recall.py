"""The rules for taking work back from a member that has not begun it, or does not answer.

Work moves only after the provider has confirmed that it cancelled the job; until then its result is
waited for, and counts if it comes. What a provider says is running is left to it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from qiskit_gateway.arguments import check_choice
from qiskit_gateway.policies.removed import refuse_removed

Where = Literal["never", "free", "always"]
Spare = Literal["never", "free"]


# Asking work back too soon costs its place in the queue, too late only time. Three times as long as
# expected is more than an estimate is usually wrong by; the minutes are for jobs that take seconds.
OVERDUE_TIMES = 3.0
OVERDUE_SECONDS = 300.0
# Nothing is expected of a member that has not returned a job yet, and queues last for hours.
UNSEEN_SECONDS = 3600.0
# Estimates of when jobs end are seldom truer than a tenth; the seconds pay for two slow requests, to
# cancel one job and to submit another.
_GAIN_TIMES = 1.1
GAIN_SECONDS = 5.0


@refuse_removed(
    tied="a second job for the same work is sent only as a hedge against a failure; set spare",
    gain_times="work moves where it would end a tenth and five seconds sooner; set idle",
    gain_seconds="work moves where it would end a tenth and five seconds sooner; set idle",
    overdue_times="work is overdue after three times what was expected and five minutes; set "
    "Policy.start_seconds to ask it back sooner, or overdue",
    overdue_seconds="work is overdue after three times what was expected and five minutes; set "
    "Policy.start_seconds to ask it back sooner, or overdue",
    unseen_seconds="a member that has not returned a job yet has an hour more than was expected; tell "
    "what you know of it, Member(speed=..., queue=...), or set overdue",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class RecallPolicy:
    """The rules of taking work back.

    Each kind has its members: ``"never"`` is none, ``"free"`` those without a fee per job, ``"always"``
    all. No provider that is known charges for a job that was cancelled before it began; where one
    does, ``"free"`` leaves it alone.

    Attributes:
        overdue: Where to ask for work back that takes far longer than expected, if another member
            could take it: three times as long and five minutes more, or an hour more at a member
            that has not returned a job yet. A provider that does not answer even that is treated as
            if the fate of the job were unknown (:attr:`RetryPolicy.on_unknown`).
        idle: Where to ask for queued work back that others would end much sooner, by five seconds
            and a tenth of what they take: for a member that is idle, once nothing else waits; and
            under a policy that minimizes the time to finish, whenever what was learned of speeds
            says so, a job is late, or a member is stuck. Where time has a price, whenever the whole
            run ends sooner by more than that costs elsewhere.
        spare: Where to queue a shard a second time in case it fails, once nothing else waits, under a
            policy that minimizes the time to finish: where members have failed, and the one that fails
            next would have to queue anew. ``"free"`` is at members that are said to cost nothing,
            by ``pricing=Pricing()``, not at those without a price. The second job is due only when
            the first should have ended, and is cancelled when that has.
    """

    overdue: Where = "always"
    idle: Where = "always"
    spare: Spare = "free"

    def __post_init__(self) -> None:
        for name in ("overdue", "idle"):
            check_choice(name, getattr(self, name), get_args(Where))
        check_choice("spare", self.spare, get_args(Spare))


def covers(where: Where, job_fee_usd: float) -> bool:
    """Check that a rule covers a member with this fee per job."""
    return where == "always" or (where == "free" and job_fee_usd < _NO_FEE_USD)


# Fees are found by subtracting prices, which leaves some rounding.
_NO_FEE_USD = 1e-9


def overdue_seconds(expected_seconds: float, *, seen: bool) -> float:
    """Seconds after which work is overdue.

    Args:
        expected_seconds: What it was expected to take, its queue included.
        seen: Whether the member has returned a job before.
    """
    return OVERDUE_TIMES * expected_seconds + (OVERDUE_SECONDS if seen else UNSEEN_SECONDS)


def is_much_sooner(there_seconds: float, here_seconds: float) -> bool:
    """Decide whether moving work is worth it, by when it would end there and here."""
    return here_seconds - there_seconds > gain_from(there_seconds)


def gain_from(seconds: float) -> float:
    """Seconds by which work must end sooner to be worth a move, given when it would end."""
    return (_GAIN_TIMES - 1) * seconds + GAIN_SECONDS
