"""The status of a fleet: health, queue, speed and money of its members."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, Literal

from qiskit_gateway.display.tables import Remark, render_html, render_text
from qiskit_gateway.display.units import number, span, usd

Health = Literal["not used yet", "well", "failing", "on trial", "ejected"]
SpeedSource = Literal["told", "journal", "seen", "durations", "peers", "guess"]

_HEAD = ("member", "health", "in flight", "queue", "speed", "spent", "left")
# What speeds are told for, since one number can be compared and three cannot.
_SAMPLE_SHOTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedStatus:
    """The expected running time of jobs on a member, without their queue.

    Attributes:
        job_seconds: For each job, in seconds.
        circuit_seconds: For each circuit besides.
        shot_seconds: For each shot of each circuit besides.
        jobs: How many jobs that is learned from.
        times_off: The factor by which a job may well take longer, or shorter.
        source: Where it is from: ``"seen"`` in jobs of this fleet, read from a ``"journal"``,
            ``"told"`` by the user, what its ``"peers"`` of the same provider take, or a ``"guess"``
            by what all others take.
    """

    job_seconds: float = 0.0
    circuit_seconds: float = 0.0
    shot_seconds: float = 0.0
    jobs: int = 0
    times_off: float = 1.0
    source: SpeedSource = "guess"

    def seconds(self, circuits: int, shots: int) -> float:
        """Expected time of a job with these circuits and shots of each, in seconds."""
        per_circuit = self.circuit_seconds + shots * self.shot_seconds
        return self.job_seconds + circuits * per_circuit


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """The status of a member, from the runs over its fleet in this process.

    Attributes:
        name: Its name.
        health: ``"well"``; ``"failing"`` of late; ``"ejected"``, which gets no work; ``"on trial"``,
            which gets one job after it was ejected; or ``"not used yet"``.
        why: What its last failure was, unless it has done a job since.
        until_seconds: How long it is still left alone, in seconds; infinite for the rest of a run;
            ``None`` where it is not.
        failure_rate: Share of its recent jobs that failed, in [0, 1].
        jobs_in_flight: Jobs that it has now.
        circuits_in_flight: Their circuits.
        queue_seconds: How long a job waits there behind those of others; ``None`` if not known.
        queue_jobs: How many jobs of others wait there; ``None`` if not known.
        queue_age_seconds: How long ago that was read or learned.
        speed: How fast it is; ``None`` before any run or quote asked.
        spent_usd: What its jobs are expected to have cost, in USD.
        left_usd: What budgets leave for it by name, in USD; ``None`` for no limit.
        left_units: What is left of its allowance; ``None`` where it has none.
        unit: Of what.
    """

    name: str
    health: Health = "not used yet"
    why: str = ""
    until_seconds: float | None = None
    failure_rate: float = 0.0
    jobs_in_flight: int = 0
    circuits_in_flight: float = 0.0
    queue_seconds: float | None = None
    queue_jobs: float | None = None
    queue_age_seconds: float | None = None
    speed: SpeedStatus | None = None
    spent_usd: float = 0.0
    left_usd: float | None = None
    left_units: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        """One line: its name, health, and why."""
        return ": ".join(filter(None, [f"{self.name}, {self.health}", self._reason()]))

    def _row(self) -> tuple[str, ...]:
        return (
            self.name,
            self.health,
            f"{self.jobs_in_flight} jobs" if self.jobs_in_flight else "-",
            self._queue(),
            "-" if self.speed is None else _speed(self.speed),
            usd(self.spent_usd),
            self._describe_left(),
        )

    def _queue(self) -> str:
        parts = []
        if self.queue_seconds is not None:
            parts.append(span(self.queue_seconds))
        if self.queue_jobs:
            parts.append(f"{number(self.queue_jobs)} jobs")
        if not parts or self.queue_age_seconds is None:
            return ", ".join(parts) or "not read"
        return f"{', '.join(parts)} ({span(self.queue_age_seconds)} ago)"

    def _describe_left(self) -> str:
        left = []
        if self.left_usd is not None:
            left.append(usd(self.left_usd))
        if self.left_units is not None:
            left.append(f"{self.left_units:.6g} {self.unit} free")
        return ", ".join(left) or "no limit"

    def _reason(self) -> str:
        until = ""
        if self.until_seconds is not None:
            long = f"for {span(self.until_seconds)} more"
            until = f"left alone {'for the rest of the run' if self.until_seconds == inf else long}"
        return "; ".join(filter(None, [until, self.why]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """The spent part of one limit of a budget.

    Attributes:
        name: Of what: ``"USD"``, ``"shots"``, ``"USD at <member>"``, and so on.
        limit: The most that may be.
        spent: What was spent.
        reserved: What is set aside for jobs in flight.
    """

    name: str
    limit: float
    spent: float = 0.0
    reserved: float = 0.0

    @property
    def left(self) -> float:
        """The part that may still be spent."""
        return max(0.0, self.limit - self.spent - self.reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """The spent and remaining parts of a budget, limit by limit.

    Attributes:
        limits: The limits.
        on_exhausted: What happens to work that does not fit.
        scope: Whose spending is counted.
    """

    limits: tuple[LimitStatus, ...]
    on_exhausted: str
    scope: str = "runs over this fleet in this process"

    def __getitem__(self, name: str) -> LimitStatus:
        """Return a limit by its name."""
        for limit in self.limits:
            if limit.name == name:
                return limit
        raise KeyError(f"no limit {name!r}; there are {', '.join(one.name for one in self.limits)}")

    def to_dict(self) -> dict[str, Any]:
        """The status as plain data, fit for JSON."""
        limits = [{**asdict(limit), "left": limit.left} for limit in self.limits]
        return {"limits": limits, "on_exhausted": self.on_exhausted, "scope": self.scope}

    def __str__(self) -> str:
        """A table of the limits."""
        return render_text(self._rows(), self._remarks())

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        return render_html(self._rows(), self._remarks(), footed=False)

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("limit", "at most", "spent", "set aside", "left")]
        for one in self.limits:
            amounts = (one.limit, one.spent, one.reserved, one.left)
            money = one.name.startswith("USD")
            rows.append((one.name, *(usd(x) if money else number(x) for x in amounts)))
        return rows

    def _remarks(self) -> list[Remark]:
        none = "" if self.limits else "no limits; "
        return [Remark(f"{none}counted: {self.scope}; work that does not fit: {self.on_exhausted}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """The status of the members of a fleet.

    Attributes:
        members: By name, in the fleet's order.
        budgets: The budgets under which runs were made.
    """

    members: Mapping[str, MemberStatus]
    budgets: tuple[BudgetStatus, ...] = field(default=())

    def __getitem__(self, name: str) -> MemberStatus:
        """Return the status of a member by its name."""
        if name not in self.members:
            raise KeyError(f"no member {name!r}; there are {', '.join(self.members)}")
        return self.members[name]

    def to_dict(self) -> dict[str, Any]:
        """The status as plain data, fit for JSON; what is infinite is ``None``."""
        members = {name: asdict(one) for name, one in self.members.items()}
        for facts in members.values():
            facts["until_seconds"] = (
                None if facts["until_seconds"] == inf else facts["until_seconds"]
            )
        return {"members": members, "budgets": [one.to_dict() for one in self.budgets]}

    def __str__(self) -> str:
        """A table of the members, and below it what is wrong with them and what budgets leave."""
        return render_text(self._rows(), self._remarks(), words=2)

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        return render_html(self._rows(), self._remarks(), footed=False, words=2)

    def _rows(self) -> list[tuple[str, ...]]:
        return [_HEAD, *(one._row() for one in self.members.values())]  # noqa: SLF001

    def _remarks(self) -> list[Remark]:
        remarks = [Remark(str(one)) for one in self.members.values() if one._reason()]  # noqa: SLF001
        if any(one.speed for one in self.members.values()):
            remarks.append(Remark(f"speed: one circuit of {_SAMPLE_SHOTS} shots, without queue"))
        for budget in self.budgets:
            parts = tuple(Remark(_budget_line(one)) for one in budget.limits)
            remarks.append(Remark(f"budget, {budget.scope}", parts))
        return remarks


def _speed(speed: SpeedStatus) -> str:
    seen = f"{speed.source}, {speed.jobs} jobs" if speed.jobs else speed.source
    return f"{span(speed.seconds(1, _SAMPLE_SHOTS))} ({seen})"


def _budget_line(one: LimitStatus) -> str:
    shown = usd if one.name.startswith("USD") else number
    aside = f", {shown(one.reserved)} set aside" if one.reserved else ""
    name = one.name.removeprefix("USD").strip()
    where = f"{name}: " if name else ""
    return f"{where}{shown(one.spent)} of {shown(one.limit)} spent{aside}, {shown(one.left)} left"
