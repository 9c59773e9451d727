"""The data behind the dashboard, read from a journal and, if there is one, from a configuration."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qiskit_gateway.config_file.loader import Config
from qiskit_gateway.journal.accounts import report_outcome
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.journal.records import RunRecord
from qiskit_gateway.journal.run_log import LoggedAttempt
from qiskit_gateway.reporting.timeline import Timeline, arrange_timeline
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.run_status import RunStatus

# The page stays a page, however long the journal is.
MOST_RUNS = 200
MOST_RUNNING = 20
MOST_FAILURES = 20
_RECENT = 2_000
_JUDGED = 20
_BAD = frozenset({AttemptOutcome.FAILED, AttemptOutcome.UNKNOWN})
_DAY = 86_400
_SAMPLE_SHOTS = 1000
_NO_TIMELINE = Timeline(rows=(), seconds=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """A run.

    Attributes:
        record: What the journal says of it.
        attempts: Its attempts, where they are shown.
        timeline: The same as bars.
    """

    record: RunRecord
    attempts: tuple[Attempt, ...] = ()
    timeline: Timeline = _NO_TIMELINE

    @property
    def state(self) -> RunStatus:
        """Its status now."""
        return self.record.status

    @property
    def share(self) -> float:
        """The share of its shots that have arrived."""
        return min(1.0, self.record.shots_done / self.record.shots) if self.record.shots else 1.0


@dataclass(slots=True, kw_only=True)
class MemberView:
    """A member, as the runs of the journal have met it.

    Attributes:
        name: Its name.
        health: ``"well"``, ``"failing"``, ``"ejected"``, or ``"not used yet"``.
        why: Why it is not well.
        until: Until when it is ejected, in seconds since 1970; ``None`` for the rest of its run.
        speed_seconds: How long a job of one circuit of 1000 shots takes, as its jobs taught.
        speed_jobs: How many of them.
        jobs: How many of the latest jobs ended, and ``failures`` of them badly.
        failures: See there.
        in_flight: Jobs under way.
        queue_seconds: How long a job waits there, as last read.
        pending_jobs: How many wait there, as last read.
        queue_age_seconds: How long ago that was.
        spent_usd: What its jobs are expected to cost, in all.
        about: What the configuration says of it.
    """

    name: str
    health: str = "not used yet"
    why: str = ""
    until: float | None = None
    speed_seconds: float | None = None
    speed_jobs: int = 0
    jobs: int = 0
    failures: int = 0
    in_flight: int = 0
    queue_seconds: float | None = None
    pending_jobs: float | None = None
    queue_age_seconds: float | None = None
    spent_usd: float = 0.0
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The used part of a budget or an allowance, in USD.

    Attributes:
        name: Of what.
        spent: So much.
        limit: The limit itself; ``None`` where there is none.
    """

    name: str
    spent: float
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Attempts that failed for the same reason.

    Attributes:
        member: Where.
        cause: Why.
        count: How often.
        job_id: In which run, the last of them.
        since: When that was, in seconds since 1970.
    """

    member: str
    cause: str
    count: int
    job_id: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that the first page shows.

    Attributes:
        runs: The latest runs, newest first, and of the running ones the attempts.
        total: How many runs there are.
        members: The fleet.
        meters: Spending against budgets.
        failures: The latest, newest first.
        now: When it was read, in seconds since 1970.
    """

    runs: tuple[ShownRun, ...]
    total: int
    members: tuple[MemberView, ...]
    meters: tuple[Meter, ...]
    failures: tuple[FailureGroup, ...]
    now: float

    @property
    def running(self) -> tuple[ShownRun, ...]:
        """The runs in progress, and those whose process died, as far as they are drawn."""
        going = [run for run in self.runs if run.record.state is RunStatus.RUNNING]
        return tuple(going[:MOST_RUNNING])


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads a journal for the dashboard.

    Attributes:
        journal: The journal.
        config: The fleet and the budget, where they are known.
    """

    journal: Journal
    config: Config | None = None

    def overview(self) -> Overview:
        """Read all that the first page shows."""
        records = list(reversed(self.journal.runs(most=MOST_RUNS)))
        recent = self.journal.attempts(most=_RECENT)
        held = {record.job_id for record in records if record.held}
        shown = [ShownRun(record=record) for record in records[: MOST_RUNS + MOST_RUNNING]]
        drawn = 0
        for place, run in enumerate(shown):
            if run.record.state is RunStatus.RUNNING and drawn < MOST_RUNNING:
                shown[place] = self._group_attempts(run.record)
                drawn += 1
        return Overview(
            runs=tuple(shown),
            total=self.journal.num_runs,
            members=tuple(self._list_members(recent, held)),
            meters=tuple(self._make_meters(shown)),
            failures=tuple(_gather_failures(recent)),
            now=self.journal.now,
        )

    def run(self, job_id: str) -> ShownRun | None:
        """Read one run; ``None`` if there is none of that id."""
        record = self.journal.find_run(job_id)
        return None if record is None else self._group_attempts(record)

    def _group_attempts(self, record: RunRecord) -> ShownRun:
        attempts = self.journal.report(record.job_id).attempts
        ended = [one.finished_seconds or one.submitted_seconds for one in attempts]
        goes_on = record.status is RunStatus.RUNNING
        # What still runs is drawn until now, or until the process died, as far as that is known.
        seconds = record.age_seconds if goes_on else max(ended, default=0.0)
        return ShownRun(
            record=record, attempts=attempts, timeline=arrange_timeline(attempts, seconds)
        )

    def _list_members(
        self, recent: Iterable[LoggedAttempt], held: Collection[str]
    ) -> Iterable[MemberView]:
        found: dict[str, MemberView] = {}
        if self.config is not None:
            for member in self.config.fleet:
                qubits = member.limits.num_qubits
                about = [type(member).__name__, f"{qubits} qubits" if qubits else "", *member.tags]
                text = ", ".join(filter(None, about))
                found[member.name] = MemberView(name=member.name, about=text)
        plans = self.journal.standing("plan")
        for name in plans[-1].facts.get("members", ()) if plans else ():
            found.setdefault(name, MemberView(name=name))
        _judge(found, recent, held)
        self._note_standing(found, held)
        for name, evidence in self.journal.speeds().items():
            if name in found:
                speed = Speed()
                speed.recall(evidence)
                found[name].speed_seconds = speed.seconds(1, _SAMPLE_SHOTS)
                found[name].speed_jobs = evidence.jobs
        for name, spent in self._read_spent("usd of ").items():
            found.setdefault(name, MemberView(name=name)).spent_usd = spent
        return found.values()

    def _note_standing(self, found: dict[str, MemberView], held: Collection[str]) -> None:
        now = self.journal.now
        for one in self.journal.standing("queue"):
            member = found.setdefault(one.member, MemberView(name=one.member))
            member.queue_seconds = one.facts.get("wait_seconds")
            member.pending_jobs = one.facts.get("pending_jobs")
            member.queue_age_seconds = max(0.0, now - one.since)
        # What was known of health dies with the process that knew it.
        for one in (one for job in held for one in self.journal.standing("health", job)):
            member = found.setdefault(one.member, MemberView(name=one.member))
            wait = one.facts.get("wait_seconds")
            lasts = wait is None or one.since + wait > now
            if one.facts.get("ejected") and lasts:
                member.health, member.why = "ejected", str(one.facts.get("reason", ""))
                member.until = None if wait is None else one.since + wait

    def _make_meters(self, runs: Iterable[ShownRun]) -> Iterable[Meter]:
        budget = self._budget()
        by_member, days = self._read_spent("usd of "), self._read_spent("usd on day ")
        day = days.get(f"{int(self.journal.now // _DAY)}", 0.0)
        yield Meter(name="in all", spent=sum(by_member.values()), limit=budget.get("usd"))
        yield Meter(name="today (UTC)", spent=day, limit=budget.get("per_day_usd"))
        for name, limit in (budget.get("per_member_usd") or {}).items():
            yield Meter(name=f"at {name}", spent=by_member.get(name, 0.0), limit=limit)
        by_user = self._read_spent("usd for ")
        for name, limit in (budget.get("per_user_usd") or {}).items():
            yield Meter(name=f"for {name}", spent=by_user.get(repr(name), 0.0), limit=limit)
        for name, limit in (budget.get("per_user_day_usd") or {}).items():
            spent = days.get(f"{int(self.journal.now // _DAY)} for {name!r}", 0.0)
            yield Meter(name=f"today (UTC) for {name}", spent=spent, limit=limit)
        if (limit := budget.get("per_run_usd")) is not None:
            for run in runs:
                if run.state is RunStatus.RUNNING:
                    name = f"in run {run.record.job_id[:8]}"
                    yield Meter(name=name, spent=run.record.spent_usd, limit=limit)

    def _read_spent(self, accounts: str) -> dict[str, float]:
        """Read what was spent and is set aside on accounts whose names begin so, in USD."""
        ledger, found = self.journal.ledger(), dict[str, float]()
        for sums in (ledger.spent, ledger.held):
            for account, usd in sums.items():
                if account.startswith(accounts):
                    name = account.removeprefix(accounts)
                    found[name] = found.get(name, 0.0) + usd
        return found

    def _budget(self) -> Mapping[str, Any]:
        """The budget of the configuration, else that of the latest run."""
        if self.config is not None:
            budget = self.config.policy.budget
            return {} if budget is None else asdict(budget)
        plans = self.journal.standing("plan")
        return (plans[-1].facts.get("budget") if plans else None) or {}


def _judge(
    found: dict[str, MemberView], recent: Iterable[LoggedAttempt], held: Collection[str]
) -> None:
    """Rate the recent results of each member."""
    ended: dict[str, list[Attempt]] = {}
    for one in recent:
        attempt = report_outcome(one, held=one.job_id in held)
        member = found.setdefault(attempt.member, MemberView(name=attempt.member))
        if one.is_open:
            # Of a job whose process died nobody can tell, and it says nothing of the member.
            member.in_flight += one.job_id in held
        elif attempt.outcome.delivered or attempt.outcome in _BAD:
            ended.setdefault(attempt.member, []).append(attempt)
    for name, attempts in ended.items():
        latest = attempts[-_JUDGED:]
        bad = [one for one in latest if one.outcome in _BAD]
        member = found[name]
        member.jobs, member.failures = len(latest), len(bad)
        failing = latest[-1] in bad
        member.health = "failing" if failing else "well"
        member.why = latest[-1].failure if failing else ""


def _gather_failures(recent: Iterable[LoggedAttempt]) -> list[FailureGroup]:
    """Gather failures of one cause, the newest first."""
    found: dict[tuple[str, str], FailureGroup] = {}
    for one in recent:
        attempt = one.attempt
        if one.state not in {"failed", "unknown", "refused"}:
            continue
        key = (attempt.member, attempt.failure)
        count = found.pop(key).count if key in found else 0
        ended = attempt.finished_seconds or attempt.submitted_seconds
        found[key] = FailureGroup(
            member=attempt.member,
            cause=attempt.failure or one.state,
            count=count + 1,
            job_id=one.job_id,
            since=one.created + ended,
        )
    return list(reversed(found.values()))[:MOST_FAILURES]
