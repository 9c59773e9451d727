"""The history of a run, for people and for programs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from qiskit_gateway.display.cards import Fold, render_card, render_folds
from qiskit_gateway.display.tables import Remark, render_html, write_table
from qiskit_gateway.display.units import number, span, usd
from qiskit_gateway.reporting.explanation import Explanation
from qiskit_gateway.reporting.pictures import draw_timeline
from qiskit_gateway.reporting.timeline import arrange_timeline
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.plan_record import PlanRecord
from qiskit_gateway.work.record.remaining import GivenUp
from qiskit_gateway.work.speed_estimate import SpeedEstimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# A notebook with more of them is slow to open.
_MOST_ATTEMPTS = 200
_ATTEMPT = (
    *("member", "job", "outcome", "failure", "circuits", "shots"),
    *("submitted", "in queue", "took", "USD"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every attempt of a run, and its outcome.

    Attributes:
        job_id: The run.
        seconds: How long it took, or has taken so far.
        attempts: Every attempt, in the order in which they began.
        given_up: The pieces that were not done, and why.
        settled: Whether cuts and members were settled beforehand, as they are with a seed.
        notes: What there is to say of how the work was stated.
        speeds: How long jobs of each member are expected to run by now, and how that is known.
        plan: What the first plan gave each member, and what it knew of them.
        reasons: Why members could not take some of the work, by member.
    """

    job_id: str
    seconds: float
    attempts: tuple[Attempt, ...]
    given_up: tuple[GivenUp, ...] = ()
    settled: bool = False
    notes: tuple[str, ...] = ()
    speeds: Mapping[str, SpeedEstimate] = field(default_factory=dict)
    plan: PlanRecord = field(default_factory=PlanRecord)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def members(self) -> dict[str, dict[str, Any]]:
        """Return, by member: jobs, circuits, shots, failures, price in USD."""
        found: dict[str, dict[str, Any]] = {}
        for attempt in self.attempts:
            row = found.setdefault(
                attempt.member,
                {"jobs": 0, "circuits": 0, "shots": 0, "failures": 0, "price_usd": 0.0},
            )
            delivered = attempt.outcome.delivered
            row["jobs"] += delivered
            row["circuits"] += attempt.circuits * delivered
            row["shots"] += attempt.circuit_shots * delivered
            row["failures"] += attempt.outcome in {AttemptOutcome.FAILED, AttemptOutcome.UNKNOWN}
            row["price_usd"] += attempt.price_usd
        return found

    @property
    def price_usd(self) -> float:
        """Expected cost of the run in USD, failed attempts included."""
        return sum(attempt.price_usd for attempt in self.attempts)

    @property
    def reproducible(self) -> bool:
        """True if the same seed gives the same result again on the same fleet.

        It does where a seed was given, no attempt failed, and the simulators honour their seed.
        """
        return self.settled and all(
            attempt.outcome in {AttemptOutcome.DONE, AttemptOutcome.REFUSED}
            for attempt in self.attempts
        )

    def why(self) -> Explanation:
        """Explain what the first plan gave each member: the numbers that decided, and why some got nothing."""
        done = {name: row["circuits"] for name, row in self.members.items()}
        return Explanation(plan=self.plan, done=done, reasons=self.reasons)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "job_id": self.job_id,
            "seconds": self.seconds,
            "price_usd": self.price_usd,
            "members": self.members,
            "attempts": [asdict(one) | {"outcome": one.outcome.value} for one in self.attempts],
            "given_up": [asdict(given_up) for given_up in self.given_up],
            "notes": list(self.notes),
            "speeds": {name: asdict(speed) for name, speed in self.speeds.items()},
        }

    def draw(self) -> "Figure":
        """Draw the timeline: each job by member, with queue, run, failure and recall told apart.

        Queue and run are told apart where the provider tells when a job began.

        Returns:
            A matplotlib figure; a notebook shows it, and ``savefig(path)`` writes it.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        title = f"{span(self.seconds)}, {usd(self.price_usd)}, {len(self.attempts)} jobs"
        return draw_timeline(arrange_timeline(self.attempts, self.seconds), title)

    def __str__(self) -> str:
        """Return a table of members, and below it what runs and whatever went wrong."""
        lines = [write_table(self._rows()), *self._describe_running()]
        lines += [f"{count} x {text}" for text, count in self._count_failures().items()]
        lines += [f"not done: {given_up}" for given_up in self.given_up]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        wrong = tuple(Remark(f"{count} x {text}") for text, count in self._count_failures().items())
        remarks = [*map(Remark, self._describe_running())]
        if wrong:
            failures = sum(self._count_failures().values())
            remarks.append(Remark(f"{number(failures)} attempts went wrong", wrong))
        if self.given_up:
            lost = tuple(Remark(str(one)) for one in self.given_up)
            remarks.append(Remark("not done", lost))
        remarks += map(Remark, self.notes)
        attempts = len(self.attempts)
        title = f"{span(self.seconds)}, {usd(self.price_usd)}, {number(attempts)} attempts"
        members = render_html(self._rows(), remarks, footed=False)
        folds = [
            Fold(f"all {number(attempts)} attempts", self._render_attempts()),
            Fold("how fast members are", self._render_speeds()),
        ]
        return f"<div><strong>{escape(title)}</strong>{members}{render_folds(folds)}</div>"

    def _describe_running(self) -> list[str]:
        running = sum(attempt.outcome is AttemptOutcome.RUNNING for attempt in self.attempts)
        if not running:
            return []
        return [f"running for {self.seconds:.1f} s, with {running} jobs in flight"]

    def _count_failures(self) -> "Counter[str]":
        return Counter(
            f"{attempt.member}: {attempt.failure}" for attempt in self.attempts if attempt.failure
        )

    def _render_speeds(self) -> str:
        return (
            render_card("", [(name, str(one)) for name, one in self.speeds.items()])
            if self.speeds
            else ""
        )

    def _render_attempts(self) -> str:
        rows = [_write_row(attempt, self.seconds) for attempt in self.attempts[-_MOST_ATTEMPTS:]]
        earlier = len(self.attempts) - len(rows)
        remarks = (
            [Remark(f"the last of them; to_dict() has {number(earlier)} more")] if earlier else []
        )
        return render_html([_ATTEMPT, *rows], remarks, footed=False, words=4) if rows else ""

    def _rows(self) -> list[list[str]]:
        rows = [["member", "jobs", "circuits", "shots", "failures", "USD"]]
        for name, row in self.members.items():
            price = f"{row['price_usd']:.4f}"
            numbers = [str(row[key]) for key in ("jobs", "circuits", "shots", "failures")]
            rows.append([name, *numbers, price])
        return rows


def _write_row(attempt: Attempt, now: float) -> tuple[str, ...]:
    end = now if attempt.finished_seconds is None else attempt.finished_seconds
    started = attempt.started_seconds
    waited = None if started is None else max(0.0, started - attempt.submitted_seconds)
    return (
        attempt.member,
        attempt.job_id or "no id",
        attempt.outcome.value,
        attempt.failure,
        number(attempt.circuits),
        number(attempt.shots),
        span(attempt.submitted_seconds),
        span(waited),
        span(max(0.0, end - attempt.submitted_seconds)),
        usd(attempt.price_usd),
    )


def join_reports(group_id: str, reports: Iterable[Report], *, notes: Sequence[str] = ()) -> Report:
    """Join the reports of the runs of a group, which began together."""
    parts = tuple(reports)
    attempts = (attempt for part in parts for attempt in part.attempts)
    return Report(
        job_id=group_id,
        seconds=max(part.seconds for part in parts),
        attempts=tuple(sorted(attempts, key=lambda one: one.submitted_seconds)),
        given_up=tuple(one for part in parts for one in part.given_up),
        settled=all(part.settled for part in parts),
        notes=(*dict.fromkeys(note for part in parts for note in part.notes), *notes),
        speeds={name: speed for part in parts for name, speed in part.speeds.items()},
    )
