"""Announce to the observers of a run what its scheduler decided, and how shards and the run ended."""

from collections import Counter
from collections.abc import Sequence

from qiskit_gateway.runtime.notifications.notify import Notifier
from qiskit_gateway.scheduling.events import (
    Done,
    Event,
    FleetDown,
    MemberEjected,
    MemberRecovered,
    RecallFailed,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
    Submit,
)
from qiskit_gateway.work.record import run_events as happened
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.tasks import Shard
from qiskit_gateway.work.workload import Work


def announce_plan(notifier: Notifier, work: Work, members: int) -> None:
    """Announce what there is to do."""
    notifier.tell(
        happened.RunPlanned,
        circuits=sum(task.rows for task in work.tasks),
        shots=sum(task.rows * task.shots for task in work.tasks),
        members=members,
        settled=work.seed is not None,
    )


def announce_move(notifier: Notifier, submit: Submit) -> None:
    """Announce that a shard holds work which other members failed at or gave back, if it does."""
    if submit.moved_from:
        notifier.tell(
            happened.ShardMoved,
            shard=submit.shard.index,
            member=submit.member,
            from_members=submit.moved_from,
        )


def announce_health(
    notifier: Notifier, change: MemberEjected | MemberRecovered | FleetDown, now: float
) -> None:
    """Announce that a member, or the whole fleet, is unhealthy or recovered."""
    match change:
        case FleetDown():
            notifier.tell(happened.FleetDown, reason=change.reason)
        case MemberRecovered():
            notifier.tell(happened.MemberRecovered, member=change.member)
        case MemberEjected():
            notifier.tell(
                happened.MemberEjected,
                member=change.member,
                wait_seconds=change.until - now,
                reason=change.reason,
                elsewhere=change.elsewhere,
            )


def announce_failed_recall(notifier: Notifier, failed: RecallFailed, member: str) -> None:
    """Announce that a provider did not give a shard back."""
    notifier.tell(
        happened.RecallFailed,
        shard=failed.shard,
        member=member,
        answered=failed.failure is None,
        reason=failed.reason,
    )


def announce_shard_end(notifier: Notifier, shard: Shard, member: str, event: Event) -> None:
    """Announce how a shard ended at a member."""
    match event:
        case ShardFinished():
            circuits, circuit_shots = count_delivered(shard, event)
            notifier.tell(
                happened.ShardFinished,
                shard=shard.index,
                member=member,
                circuits=circuits,
                circuit_shots=circuit_shots,
            )
        case ShardFailed() | ShardLost():
            notifier.tell(
                happened.ShardFailed, shard=shard.index, member=member, reason=event.reason
            )
        case ShardDenied():
            notifier.tell(
                happened.ShardDenied,
                shard=shard.index,
                member=member,
                reason=event.verdict.reason,
            )
        case ShardRefused():
            reasons = "; ".join(dict.fromkeys(event.reasons.values()))
            notifier.tell(happened.ShardRefused, shard=shard.index, member=member, reason=reasons)


def count_delivered(shard: Shard, finished: ShardFinished) -> tuple[int, int]:
    """Count the circuits of a shard that succeeded, and their shots that arrived."""
    failed = [piece for piece, _, _ in finished.failed]
    lost = sum(piece.circuit_shots for piece in (*finished.missing, *failed))
    return shard.circuits - sum(piece.rows for piece in failed), shard.circuit_shots - lost


def announce_run_end(
    notifier: Notifier, ended: Done, attempts: Sequence[Attempt], *, stopped: bool, quiet: bool
) -> None:
    """Announce that a run is over, and before that what it did not do.

    Args:
        notifier: The way to the observers.
        ended: What was given up.
        attempts: All attempts of the run.
        stopped: Whether it was ended before it was done.
        quiet: Whether the user ended it.
    """
    shots: Counter[str] = Counter()
    for given_up in ended.given_up:
        shots[given_up.why] += given_up.piece.circuit_shots
    # What the user has cancelled, or is told by an error at once, is not worth a warning.
    known = stopped or not ended.sent
    for reason, lost in shots.items():
        notifier.tell(happened.ShotsDropped, shots=lost, reason=reason, quiet=known)
    notifier.tell(
        happened.RunFinished,
        attempts=len(attempts),
        members=len({attempt.member for attempt in attempts}),
        price_usd=sum(attempt.price_usd for attempt in attempts),
        given_up=len(ended.given_up),
        shots_dropped=shots.total(),
        reason=_main_reason(shots),
        quiet=quiet,
    )


def _main_reason(shots: Counter[str]) -> str:
    """Name the reason that cost the most shots, and count the others."""
    if not shots:
        return ""
    ((reason, _),) = shots.most_common(1)
    others = len(shots) - 1
    return f"{reason} (and {others} other reasons)" if others else reason
