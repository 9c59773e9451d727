"""Reports and costs of runs, read from the journal without the runs' work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qiskit_gateway.journal.run_log import LoggedAttempt, outcome_of, read_attempts
from qiskit_gateway.journal.storage.database import Database, reading
from qiskit_gateway.reporting.report import Report
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.run_status import RunStatus

# Of these attempts the journal does not know the end. Where nobody works on the run, it is reported
# that their fate is unknown, and why.
_LEFT = {
    "intended": "the process ended while the provider was being asked to take it",
    "accepted": "the process ended; the job may still run, and resume() fetches it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The expected cost of one attempt.

    Attributes:
        job_id: The run.
        member: Where.
        when: When it was submitted, in seconds since 1970.
        user: On whose behalf; ``""`` where nobody was named.
        shots: Its shots, summed over circuits.
        usd: What it is expected to cost, in USD.
        free_units: What it used of its member's allowance, in units of that.
    """

    job_id: str
    member: str
    when: float
    user: str
    shots: int
    usd: float
    free_units: float


def report_of(database: Database, job_id: str, *, held: bool, age_seconds: float) -> Report:
    """Report a run as it is written down.

    Raises:
        JournalError: If the record cannot be read.
    """
    ((state, shots),) = database.query("SELECT state, shots FROM runs WHERE job_id = ?", (job_id,))
    found = read_attempts(database, job_id)
    attempts = tuple(report_outcome(one, held=held) for one in found)
    ends = [one.finished_seconds for one in attempts if one.finished_seconds is not None]
    arrived = sum(one.delivered for one in found)
    return Report(
        job_id=job_id,
        seconds=age_seconds if held else max(ends, default=0.0),
        attempts=attempts,
        notes=(
            f"{_describe_state(str(state), held=held)}: {arrived} of {int(shots)} shots have arrived",
        ),
    )


def list_spending(database: Database) -> tuple[Spending, ...]:
    """List what was paid or used, attempt by attempt, the oldest first.

    Raises:
        JournalError: If the record cannot be read.
    """
    rows = database.query(
        "SELECT job_id, member, created + submitted, for_user, circuits * attempts.shots, "
        "price_usd, free_units FROM attempts JOIN runs USING (job_id) "
        "WHERE attempts.state != 'refused' ORDER BY created + submitted, attempts.id"
    )
    with reading(f"what {database.name} says of prices"):
        return tuple(map(_make_spending, rows))


def _make_spending(row: Sequence[Any]) -> Spending:
    job_id, member, when, user, shots, usd, units = row
    return Spending(
        job_id=str(job_id),
        member=str(member),
        when=float(when),
        user=str(user),
        shots=int(shots),
        usd=float(usd),
        free_units=float(units),
    )


def _describe_state(state: str, *, held: bool) -> str:
    if state == RunStatus.RUNNING and not held:
        return "nobody works on it, resume() goes on"
    return state


def report_outcome(logged: LoggedAttempt, *, held: bool) -> Attempt:
    """Report an attempt with the outcome that the running process would show.

    Args:
        logged: The attempt as it was written down.
        held: Whether a process works on its run.
    """
    attempt, state = logged.attempt, logged.state
    if state == "arrived":
        asked = attempt.circuits * attempt.shots
        whole = logged.delivered >= asked
        return replace(attempt, outcome=AttemptOutcome.DONE if whole else AttemptOutcome.SHORT)
    if held and state in _LEFT:
        return replace(attempt, outcome=AttemptOutcome.RUNNING)
    if state in _LEFT:
        failure = attempt.failure or _LEFT[state]
        return replace(attempt, outcome=AttemptOutcome.UNKNOWN, failure=failure)
    return replace(attempt, outcome=outcome_of(state))
