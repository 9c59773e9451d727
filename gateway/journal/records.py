"""The runs of a journal as it lists them, and the last recorded states."""

from dataclasses import dataclass
from typing import Any

from qiskit_gateway.display.tables import Remark, render_html
from qiskit_gateway.display.units import number, span, usd
from qiskit_gateway.work.record.run_status import RunStatus

# A notebook with more of them is slow to open.
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as the journal knows it.

    Attributes:
        job_id: Its name, for ``resume``.
        kind: ``"sampler"`` or ``"estimator"``.
        state: As it was last recorded: still running after its process died, see :attr:`status`.
        created: When it began, in seconds since 1970.
        age_seconds: Time since then.
        spent_usd: Expected price of its jobs so far.
        shots: Shots to deliver, summed over circuits.
        shots_done: Those of them that have arrived.
        held: Whether a process works on it now, as far as can be told.
        group_id: The group that it belongs to, for ``resume_on_each``; ``None`` for a run by
            itself.
        member: The one member that it may use; ``None`` for all.
    """

    job_id: str
    kind: str
    state: RunStatus
    created: float
    age_seconds: float
    spent_usd: float
    shots: int
    shots_done: int
    held: bool
    group_id: str | None = None
    member: str | None = None

    @property
    def status(self) -> RunStatus:
        """Its status now: interrupted if it is recorded as running and no process works on it."""
        dead = self.state is RunStatus.RUNNING and not self.held
        return RunStatus.INTERRUPTED if dead else self.state


class RunList(tuple[RunRecord, ...]):
    """The runs of a journal, the oldest first: a tuple that a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [_row_of(one) for one in reversed(self[-_MOST_SHOWN:])]
        head = ("run", "kind", "state", "began", "shots done", "of", "USD")
        earlier = len(self) - len(rows)
        remarks = [Remark(f"{number(earlier)} earlier ones")] if earlier else []
        return render_html([head, *rows], remarks, footed=False, words=4)


def _row_of(run: RunRecord) -> tuple[str, ...]:
    return (
        run.job_id,
        run.kind,
        run.status,
        f"{span(run.age_seconds)} ago",
        number(run.shots_done),
        number(run.shots),
        usd(run.spent_usd),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The last recorded state of a run or a member.

    Attributes:
        job_id: The run.
        member: Whom it is about; ``""`` for the run.
        since: When it was written, in seconds since 1970.
        facts: Plain data.
    """

    job_id: str
    member: str
    since: float
    facts: dict[str, Any]
