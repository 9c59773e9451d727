"""A run as the journal has it, replayed: what has arrived goes into its place, and the rest is named."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.run_log import Entry, outcome_of
from qiskit_gateway.work.receipt import Receipt, count_ran_shots
from qiskit_gateway.work.record.attempt import SURPLUS, Attempt, AttemptOutcome
from qiskit_gateway.work.record.remaining import Flying, Left, Past, Spent, Unfinished
from qiskit_gateway.work.rectangles import intersection, without
from qiskit_gateway.work.tasks import Piece, Shard, Task
from qiskit_gateway.work.workload import Work

# What an attempt that brought nothing may still bring, the surest first: the provider has it; it
# was perhaps cancelled there; the process ended while it was being sent; nobody ever knew.
_ASKED_AGAIN = ("accepted", "cancelled", "intended", "unknown")


def replay(
    entries: Iterable[Entry], work: Work, members: Collection[str], *, seconds: float
) -> Past:
    """Put the recorded results of a run into place, and return the remaining work.

    Args:
        entries: The attempts, in the order in which they began.
        work: The work, stated anew; its stores are written to.
        members: The names of the members that there are now.
        seconds: How long ago the run began.

    Raises:
        JournalError: If the attempts are not of this work.
    """
    books = _Books(work)
    for entry in entries:
        books.enter(entry)
    # Of those that are as sure the latest, which is the likeliest to be there.
    latest = reversed(books.open)
    asked = sorted(latest, key=lambda entry: _ASKED_AGAIN.index(entry.state))
    flights = [flying for entry in asked if (flying := books.make_flight(entry, members))]
    lost = [attempt for attempt in books.attempts if attempt.outcome is AttemptOutcome.UNKNOWN]
    unfinished = Unfinished(
        left=tuple(left for task in work.tasks for left in books.find_left(task, lost)),
        flights=tuple(flights),
        spent=tuple(_list_spent(books.attempts)),
        next_shard=1 + max((attempt.shard for attempt in books.attempts), default=-1),
    )
    return Past(
        attempts=tuple(books.attempts),
        done={name: (circuits, shots) for name, (circuits, shots) in books.done.items()},
        seconds=seconds,
        unfinished=unfinished,
    )


@dataclass(slots=True)
class _Books:
    """The state of a run, rebuilt attempt by attempt.

    Attributes:
        work: The work.
        attempts: The attempts so far.
        open: Those that brought nothing, and may have.
        taken: Of each task, the rectangles that have arrived or are in flight.
        done: By member, circuits and shots that have arrived.
        failed: Of each task, what failed, where and why.
    """

    work: Work
    attempts: list[Attempt] = field(default_factory=list)
    open: list[Entry] = field(default_factory=list)
    taken: dict[int, list[Piece]] = field(default_factory=lambda: defaultdict(list))
    done: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    failed: dict[int, list[tuple[Piece, str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def enter(self, entry: Entry) -> None:
        attempt = entry.attempt
        _check(entry, self.work.tasks)
        self.attempts.append(attempt)
        attempt.outcome = outcome_of(entry.state)
        if entry.outcomes is not None:
            whole = self._receive(entry)
            attempt.outcome = AttemptOutcome.DONE if whole else AttemptOutcome.SHORT
        elif attempt.outcome is AttemptOutcome.CANCELLED and not attempt.failure:
            return  # It is certain that it did not run.
        elif entry.state in _ASKED_AGAIN:
            self.open.append(entry)
        elif attempt.outcome is AttemptOutcome.FAILED:
            for piece in attempt.pieces:
                self.failed[piece.task].append((piece, attempt.member, attempt.failure))

    def _receive(self, entry: Entry) -> bool:
        """Write outcomes into their places; return whether all of them are good."""
        attempt = entry.attempt
        shard = _make_shard(attempt)
        ran = count_ran_shots(entry.outcomes or (), shard.shots, shard.pieces[0].shots)
        attempt.ran_shots = ran if ran < shard.circuits * shard.shots else None
        if not self._free(shard.pieces):
            # A second job for the same shots: the first that came is the one that counts.
            attempt.failure = SURPLUS
            return False
        receipt = self.work.write(shard, deque(entry.outcomes or ()))
        for piece in shard.pieces:
            self.taken[piece.task] += without(piece, _list_holes(receipt))
        for piece, error in receipt.failed:
            self.failed[piece.task].append((piece, attempt.member, str(error)))
        lost = sum(hole.circuit_shots for hole in _list_holes(receipt))
        done = self.done[attempt.member]
        done[0] += shard.circuits - sum(piece.rows for piece, _ in receipt.failed)
        done[1] += shard.circuit_shots - lost
        attempt.failure = str(receipt.failed[0][1]) if receipt.failed else ""
        return not lost

    def make_flight(self, entry: Entry, members: Collection[str]) -> Flying | None:
        """Make an attempt one in flight, unless its shots are to come from elsewhere."""
        attempt = entry.attempt
        shard = _make_shard(attempt)
        attempt.failure = attempt.failure or _describe_loss(entry)
        attempt.outcome = AttemptOutcome.UNKNOWN
        if not self._free(shard.pieces):
            return None
        if attempt.member not in members:
            attempt.failure += f", and the fleet has no member {attempt.member!r} to ask"
            return None
        attempt.outcome, attempt.failure = AttemptOutcome.RUNNING, ""
        attempt.finished_seconds = None
        for piece in shard.pieces:
            self.taken[piece.task].append(piece)
        return Flying(
            shard=shard,
            number=attempt.number,
            member=attempt.member,
            job_id=attempt.job_id,
            price_usd=attempt.price_usd,
            free_units=attempt.free_units,
        )

    def find_left(self, task: Task, lost: Sequence[Attempt]) -> list[Left]:
        """Find the work neither arrived nor in flight, and the members that may have taken it."""
        if not task.rows or not task.shots:
            return []
        whole = Piece(task.index, 0, task.rows, 0, task.shots)
        left = [Left(piece=piece) for piece in without(whole, self.taken[task.index])]
        for attempt in lost:
            for piece in attempt.pieces:
                left = [part for one in left for part in _mark_unknown(one, piece, attempt)]
        for piece, member, reason in self.failed[task.index] if left else ():
            left = [part for one in left for part in _mark_failed(one, piece, member, reason)]
        return left

    def _free(self, pieces: Iterable[Piece]) -> bool:
        return not any(
            intersection(piece, other) for piece in pieces for other in self.taken[piece.task]
        )


def _check(entry: Entry, tasks: Sequence[Task]) -> None:
    attempt, rows = entry.attempt, 0
    for piece in attempt.pieces:
        task = tasks[piece.task] if 0 <= piece.task < len(tasks) else None
        if (
            task is None
            or not 0 <= piece.row_start < piece.row_stop <= task.rows
            or not 0 <= piece.shot_start < piece.shot_stop <= task.shots
            or piece.shots != attempt.pieces[0].shots
        ):
            raise JournalError(f"the journal holds shots that the run does not have: {piece}")
        rows += piece.rows
    if not rows or (entry.outcomes is not None and len(entry.outcomes) != rows):
        raise JournalError(f"the journal holds not one outcome for each circuit: {attempt}")


def _mark_unknown(left: Left, piece: Piece, attempt: Attempt) -> list[Left]:
    common = intersection(left.piece, piece)
    if common is None:
        return [left]
    noted = replace(
        left,
        piece=common,
        unknown={**left.unknown, attempt.member: attempt.failure},
        paid=left.paid | {attempt.member} if attempt.costs else left.paid,
    )
    return [noted, *(replace(left, piece=part) for part in without(left.piece, [common]))]


def _mark_failed(left: Left, piece: Piece, member: str, reason: str) -> list[Left]:
    common = intersection(left.piece, piece)
    if common is None:
        return [left]
    noted = replace(left, piece=common, failed={**left.failed, member: reason})
    return [noted, *(replace(left, piece=part) for part in without(left.piece, [common]))]


def _list_holes(receipt: Receipt) -> list[Piece]:
    return [*receipt.missing, *(piece for piece, _ in receipt.failed)]


def _make_shard(attempt: Attempt) -> Shard:
    return Shard(index=attempt.shard, pieces=attempt.pieces, shots=attempt.shots)


def _describe_loss(entry: Entry) -> str:
    if entry.attempt.job_id:
        return f"job {entry.attempt.job_id!r} may still run"
    return "the process ended while the provider was being asked to take it"


def _list_spent(attempts: Iterable[Attempt]) -> Iterable[Spent]:
    for attempt in attempts:
        if attempt.outcome not in {AttemptOutcome.REFUSED, AttemptOutcome.RUNNING}:
            yield Spent(
                member=attempt.member,
                usd=attempt.price_usd,
                shots=attempt.circuit_shots,
                attempts=1,
            )
