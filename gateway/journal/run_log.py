"""The log of one run in the journal: its attempts, written while it runs and read back later."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit_gateway.backends.adapter.threads import call_in_thread, leave_to_thread
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.claims import ATTEMPT, Claim, Claims, Key
from qiskit_gateway.journal.lease import let_go
from qiskit_gateway.journal.sightings import read_sightings, write_sighting
from qiskit_gateway.journal.speeds import add_speeds
from qiskit_gateway.journal.storage.codec import pack_outcomes, unpack_outcomes
from qiskit_gateway.journal.storage.database import Database, UnwritableError, reading
from qiskit_gateway.journal.storage.write_queue import WriteQueue
from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.remaining import Past
from qiskit_gateway.work.record.run_log import (
    DeniedError,
    LeftJob,
    RunLog,
    Sighting,
    TakenOverError,
    Terms,
    Write,
)
from qiskit_gateway.work.record.run_status import RunStatus
from qiskit_gateway.work.speed_evidence import SpeedEvidence
from qiskit_gateway.work.tasks import Piece

# How often the process that works on a run says so.
BEAT_SECONDS = 15.0
# How long it may take until a run hears that it is to be cancelled.
LOOK_SECONDS = 3.0
# How often to try again what a run could not write while it ran: ten minutes, for a disk to be
# cleared. What is lost then can still be fetched from the providers.
_LATE_SECONDS = 5.0
_LATE_TRIES = 120
# More attempts than there ever are.
_ALL = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """An attempt as it was written down.

    Attributes:
        attempt: The attempt.
        state: ``"intended"``, ``"accepted"``, ``"arrived"``, or how it ended otherwise.
        outcomes: What it brought, where it has arrived.
    """

    attempt: Attempt
    state: str
    outcomes: tuple[Outcome, ...] | None


class KeptRunLog(RunLog):
    """The log of one run in a journal.

    Args:
        database: Where.
        queue: The way there from an event loop.
        job_id: The run.
        token: Tells which process has taken the run.
        party: Whose its jobs in flight are: the runs of one fleet in one process are a party.
        clock: What says how late it is, in seconds since 1970.

    Attributes:
        token: As given.
        party: As given; by default the token.
    """

    lasting = True
    beat_seconds = BEAT_SECONDS
    look_seconds = LOOK_SECONDS

    def __init__(  # noqa: PLR0913  Made in one place.
        self,
        database: Database,
        queue: WriteQueue,
        job_id: str,
        token: str,
        *,
        party: str = "",
        clock: Callable[[], float],
    ) -> None:
        self.place = database.name
        self.past = Past()
        self.cancel_asked = False
        self.token = token
        self._database = database
        self._queue = queue
        self._job_id = job_id
        self.party = party or token
        self._claims = Claims(database)
        self._created: float | None = None
        self._clock = clock

    # -- from an event loop ----------------------------------------------------------------------

    async def perform(self, writes: Sequence[Write]) -> tuple[JournalError | None, ...]:
        """Call other methods, in order and in one transaction, in the thread of the journal."""
        return await self._queue.put(
            lambda: self._write(writes), salvage=lambda: self._write_apart(writes)
        )

    async def count_elsewhere(self) -> dict[str, int]:
        """Count the jobs that other processes have in flight, by member."""
        return await call_in_thread(lambda: self._claims.elsewhere(self.party))

    async def list_left_behind(self, members: Sequence[str]) -> list[LeftJob]:
        """List the jobs that other processes have in flight at some members."""
        return await call_in_thread(lambda: self._claims.list_left_jobs(self.party, members))

    async def list_sightings(self) -> list[Sighting]:
        """List what other processes have found of members."""
        return await call_in_thread(lambda: read_sightings(self._database, self.party))

    async def look(self) -> None:
        """Read whether a cancel or the like was asked for, without waiting for writers."""
        await call_in_thread(self._check)

    async def free(self, job: LeftJob) -> None:
        """Give back the slot of a job of a process that died, which is over."""
        await self._queue.put(lambda: self._claims.free(job))

    def leave(self, writes: Sequence[Write]) -> None:
        """Call other methods later, in a thread, once that is possible, and wait for nothing."""
        leave_to_thread(lambda: self._write_late(writes))

    def abandon(self) -> None:
        """Work on the run no more, as far as this process knows."""
        let_go(self.token)

    def _write(self, writes: Sequence[Write]) -> tuple[JournalError | None, ...]:
        """Write all of it; what fails, except by being denied, leaves the transaction of no use."""
        self._check()
        return tuple(map(_write_or_deny, writes))

    def _write_apart(self, writes: Sequence[Write]) -> tuple[JournalError | None, ...]:
        self._check()
        return tuple(map(self._write_one, writes))

    def _check(self) -> None:
        asked = "SELECT cancel_asked, created FROM runs WHERE job_id = ? AND holder = ?"
        rows = self._database.query(asked, (self._job_id, self.token))
        if not rows:
            raise self._make_taken_over()
        self.cancel_asked, self._created = bool(rows[0][0]), float(rows[0][1])

    def _write_one(self, write: Write) -> JournalError | None:
        try:
            with self._database.savepoint():
                return _write_or_deny(write)
        except UnwritableError as error:
            return error
        except JournalError:
            raise
        except Exception as error:  # noqa: BLE001  Whatever an adapter may have brought.
            return JournalError(f"this cannot be written down: {type(error).__name__}: {error}")

    def _write_late(self, writes: Sequence[Write]) -> None:
        for _ in range(_LATE_TRIES):
            time.sleep(_LATE_SECONDS)
            try:
                with self._database.transaction(busy_seconds=_LATE_SECONDS):
                    self._write_apart(writes)
            except TakenOverError:
                return
            except JournalError:
                continue
            return

    # -- what is written, in the thread ----------------------------------------------------------
    # Writing something twice is as good as once: a write that fails may have been made.

    def record_intent(self, attempt: Attempt, seed: int | None, terms: Terms | None = None) -> None:
        """Record that an attempt is about to be made, and claim its resources.

        Whatever it raises, nothing must be sent.
        """
        # What is written already is granted: a write that failed may have been made.
        if self._database.query(
            f"SELECT 1 FROM attempts WHERE {ATTEMPT}",  # noqa: S608  A constant.
            self._key(attempt),
        ):
            if not self._is_ours():
                raise self._make_taken_over()
            return
        asked = terms or Terms()
        with self._database.transaction():
            self._claims.take(self._claim(attempt, asked.user), asked)
            written = self._database.execute(
                "INSERT INTO attempts "
                "(job_id, state, seed, shard, number, member, pieces, circuits, shots, price_usd, "
                "free_units, submitted, for_user, counted_shots, counted_attempts) "
                "SELECT job_id, 'intended', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1 "
                "FROM runs WHERE job_id = ? AND holder = ?",
                (
                    *(seed, attempt.shard, attempt.number, attempt.member),
                    *(_write_pieces(attempt.pieces), attempt.circuits, attempt.shots),
                    *(attempt.price_usd, attempt.free_units, attempt.submitted_seconds),
                    *(asked.user, attempt.circuits * attempt.shots),
                    *(self._job_id, self.token),
                ),
            )
            if not written:
                raise self._make_taken_over()
        self._database.count_written(0)

    def _claim(self, attempt: Attempt, user: str) -> Claim:
        if self._created is None:
            asked = "SELECT created FROM runs WHERE job_id = ?"
            found = self._database.query(asked, (self._job_id,))
            if not found:
                raise self._make_taken_over()
            self._created = float(found[0][0])
        return Claim(
            key=self._key(attempt),
            party=self.party,
            member=attempt.member,
            when=self._created + attempt.submitted_seconds,
            usd=attempt.price_usd,
            shots=attempt.circuits * attempt.shots,
            units=attempt.free_units,
            user=user,
        )

    def record_acceptance(self, attempt: Attempt) -> None:
        """Write down that a provider has taken an attempt."""
        self._update(
            attempt,
            state="accepted",
            provider_job_id=attempt.job_id,
            accepted=attempt.accepted_seconds,
            failure="",
        )

    def record_start(self, attempt: Attempt) -> None:
        """Write down when an attempt began to run."""
        self._update(attempt, started=attempt.started_seconds)

    def record_outcomes(
        self, attempt: Attempt, outcomes: Sequence[Outcome], seconds: float
    ) -> None:
        """Write down what an attempt brought."""
        content = pack_outcomes(outcomes)
        spent = Amount(usd=attempt.price_usd, shots=attempt.circuit_shots)
        with self._database.transaction() as connection:
            self._claims.settle(self._key(attempt), spent, attempt.free_units)
            found = connection.execute(
                f"INSERT INTO outcomes SELECT id, ? FROM attempts WHERE {ATTEMPT} "  # noqa: S608
                "ON CONFLICT (attempt) DO UPDATE SET content = excluded.content",
                (content, *self._key(attempt)),
            )
            if not found.rowcount:
                raise UnwritableError(f"{self._database.name} does not know of attempt {attempt}")
            self._update(
                attempt,
                state="arrived",
                finished=seconds,
                delivered=sum(outcome.shots for outcome in outcomes),
                charged=int(attempt.charged),
                **_count(attempt, spent),
            )
        self._database.count_written(len(content))

    def record_end(self, attempt: Attempt, *, taken: bool = True) -> None:
        """Write down how an attempt ended that brought nothing."""
        spent = Amount(usd=attempt.price_usd, shots=attempt.circuit_shots)
        if not taken:
            spent = Amount(usd=attempt.price_usd, attempts=0)
        with self._database.transaction() as connection:
            asked = f"SELECT 1 FROM attempts WHERE {ATTEMPT} AND state = 'arrived'"  # noqa: S608
            if connection.execute(asked, self._key(attempt)).fetchone():
                return
            self._claims.settle(self._key(attempt), spent, attempt.free_units)
            self._update(
                attempt,
                state=attempt.outcome,
                finished=attempt.finished_seconds,
                failure=redact(attempt.failure),
                **_count(attempt, spent),
            )

    def record_standing(
        self, kind: str, member: str, seconds: float, facts: Mapping[str, Any]
    ) -> None:
        """Record the present state of something, in place of the last."""
        self._database.execute(
            "INSERT INTO standing VALUES (?, ?, ?, ?, ?) ON CONFLICT (job_id, kind, member) "
            "DO UPDATE SET seconds = excluded.seconds, facts = excluded.facts",
            (self._job_id, kind, member, seconds, redact(json.dumps(facts))),
        )
        self._database.count_written(0)

    def record_sighting(
        self, kind: str, member: str, facts: Mapping[str, Any], *, age_seconds: float = 0.0
    ) -> None:
        """Write down for other processes what was found of a member."""
        found = Sighting(kind=kind, member=member, age_seconds=age_seconds, facts=facts)
        write_sighting(self._database, self.party, found)

    def record_speeds(self, speeds: Mapping[str, SpeedEvidence]) -> None:
        """Write down what jobs taught of members' speeds, beside what other processes have learned.

        Should it be written twice, these jobs count twice, which a forecast can bear.
        """
        add_speeds(self._database, speeds, self._clock())

    def beat(self) -> None:
        """Record that the run is alive.

        Raises:
            JournalError: If another process has taken it.
        """
        if not self._database.execute(
            "UPDATE runs SET beat = ?, beats = beats + 1 WHERE job_id = ? AND holder = ?",
            (self._clock(), self._job_id, self.token),
        ):
            raise self._make_taken_over()

    def close(self, status: RunStatus) -> None:
        """Record the final state of the run and give up its lease. Done means that all of it is here."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET holder = NULL, state = CASE WHEN ? = 'done' AND shots > "
                "(SELECT coalesce(sum(delivered), 0) FROM attempts "
                "WHERE attempts.job_id = runs.job_id) "
                "THEN 'running' ELSE ? END WHERE job_id = ? AND holder = ?",
                (str(status), str(status), self._job_id, self.token),
            )
            asked = "SELECT 1 FROM runs WHERE job_id = ? AND holder IS NULL AND state <> 'running'"
            if connection.execute(asked, (self._job_id,)).fetchone():
                # Whatever may still run of it: nobody will ask.
                self._claims.end_run(self._job_id)
        self.abandon()

    def keep_only(self, flights: Sequence[tuple[int, int]]) -> None:
        """Count as spent what attempts hold that this process will not ask for.

        Args:
            flights: Those that it will ask for, by shard and number.
        """
        with self._database.transaction():
            self._claims.end_run(self._job_id, besides=flights)

    def _update(self, attempt: Attempt, **columns: Any) -> None:
        changes = ", ".join(f"{name} = ?" for name in columns)
        self._database.execute(
            f"UPDATE attempts SET {changes} WHERE {ATTEMPT}",  # noqa: S608  Names of columns.
            (*columns.values(), *self._key(attempt)),
        )
        self._database.count_written(0)

    def _key(self, attempt: Attempt) -> Key:
        return self._job_id, attempt.shard, attempt.number

    def _is_ours(self) -> bool:
        asked = "SELECT 1 FROM runs WHERE job_id = ? AND holder = ?"
        return bool(self._database.query(asked, (self._job_id, self.token)))

    def _make_taken_over(self) -> TakenOverError:
        return TakenOverError(
            f"run {self._job_id} was forgotten, or another process has taken it; this one stops"
        )


def _count(attempt: Attempt, spent: Amount) -> dict[str, Any]:
    """Write what an attempt took, as the books have it."""
    return {
        "price_usd": attempt.price_usd,
        "free_units": attempt.free_units,
        "counted_shots": spent.shots,
        "counted_attempts": spent.attempts,
    }


def _write_or_deny(write: Write) -> DeniedError | None:
    """Write something, and return why it is denied: then nothing of it was written."""
    try:
        write()
    except DeniedError as error:
        return error
    return None


def read_entries(database: Database, job_id: str) -> Iterator[Entry]:
    """Read the attempts of a run in the order in which they began.

    Raises:
        JournalError: If what is recorded cannot be read.
    """
    for number, *row in database.query(
        f"SELECT id, state, {_COLUMNS} FROM attempts "  # noqa: S608  A constant.
        "WHERE job_id = ? ORDER BY id",
        (job_id,),
    ):
        # One by one: all together they may be larger than the memory.
        blobs = database.query("SELECT content FROM outcomes WHERE attempt = ?", (number,))
        with reading(f"run {job_id} in {database.name}"):
            outcomes = tuple(unpack_outcomes(blobs[0][0])) if blobs else None
            entry = Entry(attempt=_read_attempt(row[1:]), state=str(row[0]), outcomes=outcomes)
        yield entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedAttempt:
    """An attempt as it was written down, without what it brought.

    Attributes:
        job_id: Its run.
        created: When that began, in seconds since 1970.
        state: ``"intended"``, ``"accepted"``, ``"arrived"``, or how it ended otherwise.
        delivered: The shots that it delivered, summed over circuits.
        attempt: The attempt.
    """

    job_id: str
    created: float
    state: str
    delivered: int
    attempt: Attempt

    @property
    def is_open(self) -> bool:
        """Whether the run has no recorded end: it is under way, or its process died."""
        return self.state in {"intended", "accepted"}


def read_attempts(
    database: Database, job_id: str | None = None, *, most: int = -1
) -> list[LoggedAttempt]:
    """List attempts without what they brought, in the order in which they began.

    Args:
        database: Where.
        job_id: Of which run; of all by default.
        most: How many at most, the latest; all by default.

    Raises:
        JournalError: If what is recorded cannot be read.
    """
    columns = ", ".join(f"attempts.{name}" for name in _COLUMNS.split(", "))
    limit = _ALL if most < 0 else most
    # Two questions, since SQLite would answer one that covers both without the index.
    of_run = "" if job_id is None else "WHERE job_id = ?"
    rows = database.query(
        f"SELECT job_id, created, attempts.state, delivered, {columns} "  # noqa: S608  Constants.
        f"FROM attempts JOIN runs USING (job_id) {of_run} ORDER BY attempts.id DESC LIMIT ?",
        (limit,) if job_id is None else (job_id, limit),
    )
    whose = "attempts" if job_id is None else f"run {job_id}"
    with reading(f"{whose} in {database.name}"):
        return [
            LoggedAttempt(
                job_id=str(job_id),
                created=float(created),
                state=str(state),
                delivered=int(delivered),
                attempt=_read_attempt(row),
            )
            for job_id, created, state, delivered, *row in reversed(rows)
        ]


def outcome_of(state: str) -> AttemptOutcome:
    """Derive the outcome of an attempt from its record, as far as the record tells it.

    Raises:
        JournalError: If it is no state of an attempt.
    """
    if state in {"intended", "accepted", "arrived"}:
        return AttemptOutcome.UNKNOWN
    try:
        return AttemptOutcome(state)
    except ValueError as error:
        raise JournalError(
            f"the journal gives an attempt the state {state!r}, which this release does not know: "
            "a later release has written it, or another program"
        ) from error


_COLUMNS = (
    "shard, member, number, pieces, circuits, shots, provider_job_id, submitted, accepted, started, "
    "finished, price_usd, free_units, charged, failure"
)


def _read_attempt(row: Sequence[Any]) -> Attempt:
    shard, member, number, pieces, circuits, shots, job_id, *rest = row
    submitted, accepted, started, finished, price, units, charged, failure = rest
    return Attempt(
        shard=int(shard),
        member=str(member),
        number=int(number),
        pieces=tuple(Piece(*map(int, piece)) for piece in json.loads(pieces)),
        circuits=int(circuits),
        shots=int(shots),
        job_id=str(job_id),
        submitted_seconds=float(submitted),
        accepted_seconds=accepted,
        started_seconds=started,
        finished_seconds=finished,
        price_usd=float(price),
        free_units=float(units),
        charged=bool(charged),
        failure=str(failure),
    )


def _write_pieces(pieces: Sequence[Piece]) -> str:
    return json.dumps(
        [[p.task, p.row_start, p.row_stop, p.shot_start, p.shot_stop] for p in pieces]
    )
