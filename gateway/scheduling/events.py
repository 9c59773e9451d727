"""Events for the scheduler, and its commands."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.work.price import FREE, Price
from qiskit_gateway.work.record.remaining import GivenUp
from qiskit_gateway.work.tasks import Piece, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFinished:
    """A job came back.

    Attributes:
        shard: Its number.
        missing: Pieces of it that the provider did not deliver though nothing failed: short shots.
        failed: Pieces of it that failed, each with the facts and the reason for people.
        top_up_shots: Fewest shots to ask for again of what is missing.
        handed_over: When its provider was asked to take it, in seconds of the loop's clock. Before
            that its circuits were compiled, which tells nothing of its member's speed.
    """

    shard: int
    missing: tuple[Piece, ...] = ()
    failed: tuple[tuple[Piece, Failure, str], ...] = ()
    top_up_shots: int = 0
    handed_over: float = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFailed:
    """A job failed as a whole, after whatever was tried on the same member."""

    shard: int
    failure: Failure
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRefused:
    """A member cannot run some pieces of a shard; nothing was sent.

    Attributes:
        shard: Its number.
        reasons: Why, by position of the piece in the shard. The others were not sent either.
    """

    shard: int
    reasons: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDenied:
    """All processes of a journal have no room for a shard together; nothing was sent.

    Attributes:
        shard: Its number.
        verdict: Why.
    """

    shard: int
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCancelled:
    """A shard was cancelled on our own wish.

    Attributes:
        shard: Its number.
        confirmed: Whether it is certain that it will not run: the provider said so, or never had
            it. Otherwise its fate is unknown.
        accepted: Whether the provider had told that it took the job.
    """

    shard: int
    confirmed: bool = False
    accepted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLost:
    """A shard of an earlier process cannot be fetched: a provider took it, or may have taken it.

    Attributes:
        shard: Its number.
        reason: Why.
    """

    shard: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryFailed:
    """One try of a shard failed.

    The answer holds a :class:`Retry` if it is to be tried again on the same member. Otherwise its
    end is still to be reported.

    Attributes:
        shard: Its number.
        failure: What is known of the failure.
        reason: Why, for people.
        attempt: Which try there it was, from 1.
        accepted: Whether the provider had told that it took the job.
    """

    shard: int
    failure: Failure
    reason: str
    attempt: int = 1
    accepted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultArrived:
    """A provider delivered what a shard brings; nothing of it is written yet.

    The answer is :class:`Accept` or :class:`Discard`.

    Attributes:
        shard: Its number.
        ran_shots: How many shots its provider ran, summed over circuits, where these are fewer than
            it was asked for; otherwise ``None``.
        charged_units: What its provider says that it took, in units of the member's allotment, or in
            USD where it has none; ``None`` where that is not said.
    """

    shard: int
    ran_shots: int | None = None
    charged_units: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallFailed:
    """A shard was asked back, and continues.

    Attributes:
        shard: Its number.
        reason: Why, for people.
        failure: What went wrong with asking; ``None`` where the provider answered and said no.
        has_job: Whether there was a job to ask for: not while it is submitted or looked for.
    """

    shard: int
    reason: str
    failure: Failure | None = None
    has_job: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardQueued:
    """A provider says that a shard that is watched still waits in its queue."""

    shard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStarted:
    """A provider has begun to run a shard that was watched."""

    shard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectedElsewhere:
    """Another process of the journal has ejected a member.

    Attributes:
        member: Its name.
        since: Since when, in seconds of the loop's clock.
        until: Until when.
        reason: Why.
    """

    member: str
    since: float
    until: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredElsewhere:
    """A member that was ejected did a shard again, of another process of the journal."""

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The problem of a :class:`Solve` was solved.

    Attributes:
        answer: What calling it has returned.
    """

    answer: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed, or a slot may have become free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Give up all that is not done."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """The run is torn down from outside: what it holds of its fleet is given back."""


Event = (
    ShardFinished
    | ShardFailed
    | ShardRefused
    | ShardDenied
    | ShardCancelled
    | ShardLost
    | TryFailed
    | ResultArrived
    | RecallFailed
    | ShardQueued
    | ShardStarted
    | EjectedElsewhere
    | RecoveredElsewhere
    | Solved
    | Tick
    | Stop
    | Close
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Submit a shard to a member.

    Attributes:
        shard: The shard.
        member: Where.
        price: What its first try is expected to cost.
        moved_from: The members that failed at some of it, or gave it back.
    """

    shard: Shard
    member: str
    price: Price = FREE
    moved_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Fetch a shard that an earlier process submitted to a member, or was about to."""

    shard: Shard
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try a shard again where it is.

    Attributes:
        shard: Its number.
        price: What the new try is expected to cost.
    """

    shard: int
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Write what a shard brought into the results.

    Attributes:
        shard: Its number.
        price: What it has cost.
    """

    shard: int
    price: Price = FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Leave out what a shard brought: its duplicate has brought the same pieces.

    Attributes:
        shard: Its number.
        price: What it has cost all the same.
    """

    shard: int
    price: Price = FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel a shard that is in flight; its end is still to be reported."""

    shard: int


Unless = Literal["running", "perhaps running", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Ask a provider to cancel a shard, and keep waiting for its result until that is confirmed.

    Attributes:
        shard: Its number.
        member: Where.
        unless: When not to ask: if the provider says that it runs the job (``"running"``), if it
            does not say that it does not (``"perhaps running"``), or ``"never"``.
    """

    shard: int
    member: str
    unless: Unless


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Ask a provider from time to time if it runs a shard, and tell what it says."""

    shard: int
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Solve:
    """Solve a problem where that holds up nothing else, and tell the answer as :class:`Solved`.

    There is one at a time. What depends on its answer waits for that.

    Attributes:
        problem: Called to have it solved. It does not raise, and reads nothing that may change.
    """

    problem: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Send a :class:`Tick` at that time, in seconds of the loop's clock."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEjected:
    """A member gets no work for a while: for observers.

    Attributes:
        member: Its name.
        until: Until when, in seconds of the loop's clock; infinity for good.
        reason: Why.
        elsewhere: Whether another process has found that.
    """

    member: str
    until: float
    reason: str
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDown:
    """No member is healthy: work waits, and they are probed one at a time: for observers.

    Attributes:
        reason: Why the last of them is not.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecovered:
    """A member that was ejected did a shard again: for observers."""

    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing waits and nothing is in flight.

    Attributes:
        given_up: What was not done.
        sent: Whether anything was ever sent.
    """

    given_up: tuple[GivenUp, ...] = field(default=())
    sent: bool = True


Command = (
    Submit
    | Fetch
    | Retry
    | Accept
    | Discard
    | Cancel
    | Recall
    | Watch
    | Solve
    | WakeAt
    | MemberEjected
    | MemberRecovered
    | FleetDown
    | Done
)
