"""Timelines of runs: jobs as bars, one row a member."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from qiskit_gateway.display.units import number, span, usd
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome

Kind = Literal["queue", "run", "whole", "failed", "recalled", "unknown"]
# In the order of legends, and what they are called there.
KINDS: dict[Kind, str] = {
    "queue": "in queue",
    "run": "runs",
    "whole": "queue and run",
    "failed": "failed",
    "recalled": "taken back",
    "unknown": "fate unknown",
}
# How they are drawn as text.
_MARKS: dict[Kind, str] = {
    "queue": "░",
    "run": "█",
    "whole": "▓",
    "failed": "x",
    "recalled": "<",
    "unknown": "?",
}
# How a job that has begun to run is drawn, by the outcome of its attempt.
_AFTER_START: dict[AttemptOutcome, Kind] = {
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.CANCELLED: "recalled",
    AttemptOutcome.UNKNOWN: "unknown",
}
# Jobs side by side on one member have a lane each; further ones share the last.
_MOST_LANES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a bar.

    Attributes:
        kind: What happened then.
        start: From when, in seconds from the start of the run.
        stop: Until when.
    """

    kind: Kind
    start: float
    stop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A job.

    Attributes:
        lane: Its place among the jobs that its member had at the same time, from 0.
        parts: What happened to it, in order.
        text: What there is to say of it, as a line.
    """

    lane: int
    parts: tuple[Part, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The jobs of one member.

    Attributes:
        member: Its name.
        lanes: How many lanes they need.
        bars: The jobs, in order of submission.
    """

    member: str
    lanes: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The jobs of a run.

    Attributes:
        rows: By member, in the order in which they were first used.
        seconds: How long the run took, or has taken so far.
    """

    rows: tuple[Row, ...]
    seconds: float

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are in it, in the order of legends."""
        found = {part.kind for row in self.rows for bar in row.bars for part in bar.parts}
        return tuple(kind for kind in KINDS if kind in found)


def arrange_timeline(attempts: Iterable[Attempt], seconds: float) -> Timeline:
    """Arrange attempts as bars.

    Args:
        attempts: What was tried; what was refused is left out, since nothing was sent.
        seconds: How long the run took, or has taken so far: until then what still runs is drawn.
    """
    by_member: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.outcome is not AttemptOutcome.REFUSED:
            by_member.setdefault(attempt.member, []).append(attempt)
            seconds = max(seconds, attempt.submitted_seconds, attempt.finished_seconds or 0.0)
    rows = (_arrange_row(member, mine, seconds) for member, mine in by_member.items())
    return Timeline(rows=tuple(rows), seconds=seconds)


def write_timeline(timeline: Timeline, columns: int = 80) -> str:
    """Write a timeline as text, a line for each lane; ``""`` where nothing was sent.

    Args:
        timeline: The timeline.
        columns: How wide it may be.
    """
    if not timeline.rows:
        return ""
    names = max(len(row.member) for row in timeline.rows)
    names = min(names, columns // 3)
    width = max(10, columns - names - 2)
    per_second = width / (timeline.seconds or 1.0)
    lines = []
    for row in timeline.rows:
        lanes = [[" "] * width for _ in range(row.lanes)]
        for bar in row.bars:
            for part in bar.parts:
                _mark(lanes[bar.lane], part, per_second)
        for number_, lane in enumerate(lanes):
            name = "" if number_ else row.member[:names]
            lines.append(f"{name.ljust(names)}  {''.join(lane).rstrip()}")
    end = span(timeline.seconds)
    lines.append(f"{' ' * names}  0{end.rjust(width - 1)}")
    lines.append("  ".join(f"{_MARKS[kind]} {KINDS[kind]}" for kind in timeline.kinds))
    return "\n".join(lines)


def _mark(lane: list[str], part: Part, per_second: float) -> None:
    """Draw a part, which is seen however short it is, unless it is a queue of no length."""
    first = min(len(lane) - 1, int(part.start * per_second))
    last = min(len(lane), round(part.stop * per_second))
    last = max(first, last) if part.kind == "queue" else max(first + 1, last)
    lane[first:last] = _MARKS[part.kind] * (last - first)


def _arrange_row(member: str, attempts: Sequence[Attempt], seconds: float) -> Row:
    free: list[tuple[float, int]] = []
    lanes, bars = 0, []
    for attempt in sorted(attempts, key=lambda one: one.submitted_seconds):
        if free and free[0][0] <= attempt.submitted_seconds:
            _, lane = heapq.heappop(free)
        else:
            lane, lanes = lanes, lanes + 1
        heapq.heappush(free, (_find_end(attempt, seconds), lane))
        bars.append(
            Bar(
                lane=min(lane, _MOST_LANES - 1),
                parts=tuple(_cut_parts(attempt, seconds)),
                text=describe_attempt(attempt, seconds),
            )
        )
    return Row(member=member, lanes=min(lanes, _MOST_LANES), bars=tuple(bars))


def _find_end(attempt: Attempt, seconds: float) -> float:
    return seconds if attempt.finished_seconds is None else attempt.finished_seconds


def _cut_parts(attempt: Attempt, seconds: float) -> Iterable[Part]:
    begin, start, end = (
        attempt.submitted_seconds,
        attempt.started_seconds,
        _find_end(attempt, seconds),
    )
    if start is None:
        # Its start is unknown: a bar of a finished job is then one part.
        kind: Kind = "queue" if attempt.outcome is AttemptOutcome.RUNNING else "whole"
        yield Part(kind=_AFTER_START.get(attempt.outcome, kind), start=begin, stop=end)
        return
    start = min(max(begin, start), end)
    yield Part(kind="queue", start=begin, stop=start)
    yield Part(kind=_AFTER_START.get(attempt.outcome, "run"), start=start, stop=end)


def describe_attempt(attempt: Attempt, seconds: float) -> str:
    """Describe an attempt on one line: its work, its duration and its outcome."""
    took = span(_find_end(attempt, seconds) - attempt.submitted_seconds)
    size = f"{number(attempt.circuits)} circuits of {number(attempt.shots)} shots"
    waited = ""
    if attempt.started_seconds is not None:
        waited = f", {span(attempt.started_seconds - attempt.submitted_seconds)} in queue"
    price = f", {usd(attempt.price_usd)}" if attempt.price_usd else ""
    failure = f": {attempt.failure}" if attempt.failure else ""
    return f"{attempt.member}, {size}, {took}{waited}{price}, {attempt.outcome}{failure}"
