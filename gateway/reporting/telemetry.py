"""Traces and metrics of runs, by OpenTelemetry.

Only its API is used: where spans and numbers go is for the application to say, by setting up an SDK.
Names and units follow OpenTelemetry's conventions: dots between words, ``s`` for seconds, what is
counted in braces.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import time_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qiskit_gateway.work.record import run_events as happened
from qiskit_gateway.work.record.attempt import AttemptOutcome
from qiskit_gateway.work.record.run_events import RunEvent
from qiskit_gateway.work.tasks import Piece

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Link, Span, SpanContext, Tracer, TracerProvider

_SCOPE = "qiskit_gateway"
# Of a run whose last event was lost, as it is where too many wait, nothing more is heard.
_MOST_RUNS = 10_000
# Jobs take from a fraction of a second on a simulator to a day in a queue; the SDK's own buckets
# are made for milliseconds.
_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
# What became of a try that is an error; a verdict and a job that was taken back are none.
_ERRORS = frozenset({AttemptOutcome.FAILED, AttemptOutcome.UNKNOWN})
# After these a shard is not tried again, and nothing else tells so of each.
_LAST = frozenset({AttemptOutcome.CANCELLED, AttemptOutcome.REFUSED})


class TelemetryObserver:
    """Makes spans and metrics of the runs over a fleet: ``Fleet(..., observers=[...])``.

    A run is a span, a child of the one in which ``run()`` was called. In it are its shards, and in
    these their attempts, one for each job that a provider was asked to take. A shard whose work was
    tried before, or is tried elsewhere as well, has links to those other shards.

    Args:
        tracer_provider: Makes the spans; by default the application's.
        meter_provider: Takes the metrics; by default the application's.

    Raises:
        ImportError: If ``opentelemetry-api`` is not installed.
    """

    def __init__(
        self,
        *,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
    ) -> None:
        trace, metrics = _import_opentelemetry()
        self._providers = {"tracer_provider": tracer_provider, "meter_provider": meter_provider}
        self._traces = _Traces(trace.get_tracer(_SCOPE, tracer_provider=tracer_provider))
        self._metrics = _Metrics(metrics.get_meter(_SCOPE, meter_provider=meter_provider))

    def on_event(self, event: RunEvent) -> None:
        """Take in an event."""
        self._traces.on_event(event)
        self._metrics.on_event(event)

    def __deepcopy__(self, memo: dict[int, Any]) -> "TelemetryObserver":
        """Copies know no runs in progress, and tell the same providers."""
        return TelemetryObserver(**self._providers)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[type["TelemetryObserver"], tuple[()]]:
        """Another process has providers of its own."""
        return TelemetryObserver, ()


def _import_opentelemetry() -> tuple[ModuleType, ModuleType]:
    try:
        from opentelemetry import metrics, trace  # noqa: PLC0415  An extra.
    except ImportError as error:
        raise ImportError(
            "traces and metrics need opentelemetry-api: pip install 'qiskit-gateway[otel]'"
        ) from error
    return trace, metrics


# -- traces --------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _ShardSpan:
    """A shard that is under way: its span, that of its try, and what it covers."""

    span: "Span"
    pieces: tuple[Piece, ...] = ()
    attempt: "Span | None" = None


@dataclass(slots=True, kw_only=True)
class _RunSpan:
    """A run that is under way.

    Attributes:
        span: Its span.
        origin_ns: When its seconds began, as spans count.
        shards: Those under way, by number.
        moved: Where the work of a shard that is about to be submitted comes from.
        undone: What ended without all that was asked for: the pieces and how it ended.
    """

    span: "Span"
    origin_ns: int
    shards: dict[int, _ShardSpan] = field(default_factory=dict)
    moved: dict[int, tuple[str, ...]] = field(default_factory=dict)
    undone: list[tuple[tuple[Piece, ...], "SpanContext", str]] = field(default_factory=list)

    def time_of(self, event: RunEvent) -> int:
        """Return the time of an event, as spans count it."""
        return self.origin_ns + round(event.seconds * 1e9)


class _Traces:
    """Makes spans of events."""

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer
        self._runs: dict[str, _RunSpan] = {}

    def on_event(self, event: RunEvent) -> None:
        run = self._run_of(event)
        match event:
            case happened.ShardEvent():
                self._tell_shard(run, event)
            case happened.MemberEjected() | happened.MemberRecovered() | happened.FleetDown():
                _note(run.span, event, run.time_of(event))
            case happened.RunHeldUp():
                facts = _collect_facts(event, "reason")  # A mapping is no value of an attribute.
                run.span.add_event(_spell_name(event), facts, run.time_of(event))
            case happened.JournalFailed() | happened.ShotsDropped():
                _note(run.span, event, run.time_of(event))
            case happened.RunPlanned():
                run.span.set_attributes(_collect_facts(event, "circuits", "shots", "members"))
            case happened.RunFinished():
                self._finish(run, event)

    def _run_of(self, event: RunEvent) -> _RunSpan:
        run = self._runs.get(event.job_id)
        if run is None:
            origin = time_ns() - round(event.seconds * 1e9)
            # Called in the context of the caller of `run()`, whose span is thus the parent.
            span = self._tracer.start_span(
                "qiskit_gateway.run",
                attributes={f"{_SCOPE}.job_id": event.job_id},
                start_time=origin + round(event.seconds * 1e9),
            )
            run = self._runs[event.job_id] = _RunSpan(span=span, origin_ns=origin)
            while len(self._runs) > _MOST_RUNS:
                self._runs.pop(next(iter(self._runs))).span.end()
        return run

    def _tell_shard(self, run: _RunSpan, event: happened.ShardEvent) -> None:
        match event:
            case happened.ShardMoved():
                run.moved[event.shard] = event.from_members
            case happened.ShardSubmitted():
                self._submit(run, event)
            case happened.ShardAccepted() | happened.ShardStarted():
                self._note_progress(run, event)
            case happened.MoneySettled():
                self._settle(run, event)
            case happened.ShardRetried() | happened.RecallFailed():
                _note(self._shard_of(run, event).span, event, run.time_of(event))
            case happened.ShardFinished():
                shard = self._shard_of(run, event)
                asked = sum(piece.circuit_shots for piece in shard.pieces)
                self._end(run, event, "done" if event.circuit_shots >= asked else "short")
            case happened.ShardFailed():
                self._end(run, event, "failed", event.reason)

    def _shard_of(self, run: _RunSpan, event: happened.ShardEvent) -> _ShardSpan:
        """Find a shard that is under way; one of an earlier process begins with what is heard of it."""
        if event.shard not in run.shards:
            pieces = event.pieces if isinstance(event, happened.ShardSubmitted) else ()
            facts = _collect_facts(event, "shard", "member")
            if event.shard in run.moved:
                facts[f"{_SCOPE}.moved_from"] = run.moved.pop(event.shard)
            span = self._tracer.start_span(
                "qiskit_gateway.shard",
                context=_make_context(run.span),
                links=list(_make_links(run, pieces)),
                attributes=facts,
                start_time=run.time_of(event),
            )
            run.shards[event.shard] = _ShardSpan(span=span, pieces=pieces)
        return run.shards[event.shard]

    def _attempt_of(self, run: _RunSpan, event: happened.ShardEvent) -> "Span":
        shard = self._shard_of(run, event)
        if shard.attempt is None:
            from opentelemetry.trace import SpanKind  # noqa: PLC0415  An extra.

            shard.attempt = self._tracer.start_span(
                "qiskit_gateway.attempt",
                context=_make_context(shard.span),
                kind=SpanKind.CLIENT,
                attributes={f"{_SCOPE}.member": event.member},
                start_time=run.time_of(event),
            )
        return shard.attempt

    def _submit(self, run: _RunSpan, event: happened.ShardSubmitted) -> None:
        attempt = self._attempt_of(run, event)
        attempt.set_attributes(_collect_facts(event, "attempt", "circuits", "shots"))

    def _note_progress(self, run: _RunSpan, event: happened.ShardEvent) -> None:
        attempt = self._attempt_of(run, event)
        if isinstance(event, happened.ShardAccepted):
            attempt.set_attribute(f"{_SCOPE}.provider_job_id", event.provider_job_id)
        attempt.add_event(_spell_name(event), timestamp=run.time_of(event))

    def _settle(self, run: _RunSpan, event: happened.MoneySettled) -> None:
        attempt = self._attempt_of(run, event)
        attempt.set_attributes({f"{_SCOPE}.cost_usd": event.usd})
        _conclude(attempt, event.outcome.value, event.reason)
        attempt.end(run.time_of(event))
        run.shards[event.shard].attempt = None
        if event.outcome in _LAST:
            self._end(run, event, event.outcome.value, event.reason)

    def _end(
        self, run: _RunSpan, event: happened.ShardEvent, outcome: str, reason: str = ""
    ) -> None:
        shard = self._shard_of(run, event)
        _conclude(shard.span, outcome, reason)
        shard.span.end(run.time_of(event))
        del run.shards[event.shard]
        if outcome != "done":
            run.undone.append((shard.pieces, shard.span.get_span_context(), outcome))

    def _finish(self, run: _RunSpan, event: happened.RunFinished) -> None:
        for shard in run.shards.values():  # Those that waited to be tried again.
            if shard.attempt is not None:
                shard.attempt.end(run.time_of(event))
            shard.span.end(run.time_of(event))
        run.span.set_attributes(_collect_facts(event, "attempts", "given_up", "shots_dropped"))
        run.span.set_attribute(f"{_SCOPE}.cost_usd", event.price_usd)
        _conclude(run.span, _outcome_of(event), event.reason)
        run.span.end(run.time_of(event))
        del self._runs[event.job_id]


def _make_context(span: "Span") -> Any:
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415  An extra.

    return set_span_in_context(span)


def _make_links(run: _RunSpan, pieces: tuple[Piece, ...]) -> Iterator["Link"]:
    """Link to the shards that cover some of the same work, with how they ended."""
    from opentelemetry.trace import Link  # noqa: PLC0415  An extra.

    flying = (
        (shard.pieces, shard.span.get_span_context(), "in flight") for shard in run.shards.values()
    )
    for others, context, outcome in (*run.undone, *flying):
        if any(_overlap(one, other) for one in pieces for other in others):
            yield Link(context, {f"{_SCOPE}.outcome": outcome})


def _overlap(one: Piece, other: Piece) -> bool:
    return (
        one.task == other.task
        and one.row_start < other.row_stop
        and other.row_start < one.row_stop
        and one.shot_start < other.shot_stop
        and other.shot_start < one.shot_stop
    )


def _conclude(span: "Span", outcome: str, reason: str) -> None:
    """Set the outcome of a span; by the conventions only an error has a status."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415  An extra.

    span.set_attribute(f"{_SCOPE}.outcome", outcome)
    if outcome in _ERRORS:
        span.set_attribute("error.type", outcome)
        span.set_status(Status(StatusCode.ERROR, reason))
    elif reason:
        span.set_attribute(f"{_SCOPE}.reason", reason)


def _outcome_of(event: happened.RunFinished) -> str:
    if event.quiet:
        return "cancelled"
    return "failed" if event.given_up else "done"


def _note(span: "Span", event: RunEvent, at: int) -> None:
    names = type(event).__dataclass_fields__.keys() - {"job_id", "seconds", "shard"}
    span.add_event(
        _spell_name(event), attributes=_collect_facts(event, *sorted(names)), timestamp=at
    )


def _collect_facts(event: RunEvent, *names: str) -> dict[str, Any]:
    return {f"{_SCOPE}.{name}": getattr(event, name) for name in names}


def _spell_name(event: RunEvent) -> str:
    """Spell the type of an event as events are named: ``qiskit_gateway.member_ejected``."""
    words = "".join(
        f"_{letter.lower()}" if letter.isupper() else letter for letter in _name_kind(event)
    )
    return f"{_SCOPE}.{words.lstrip('_')}"


def _name_kind(event: RunEvent) -> str:
    return type(event).__name__


# -- metrics -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """The times at which a job was handed over, taken, and begun, in seconds of its run."""

    submitted: float
    accepted: float | None = None
    started: float | None = None


_COUNTED: dict[type[RunEvent], str] = {
    happened.ShardDenied: "denials",
    happened.ShardMoved: "moves",
    happened.ShardRetried: "retries",
}


class _Metrics:
    """Counts and measures events. No attribute tells runs or jobs apart: series would never end."""

    def __init__(self, meter: "Meter") -> None:
        count = meter.create_counter
        self._counters = {
            "runs": count("qiskit_gateway.runs", "{run}", "Runs that ended."),
            "jobs": count("qiskit_gateway.jobs", "{job}", "Jobs that ended, of any outcome."),
            "shots": count("qiskit_gateway.shots", "{shot}", "Shots that arrived."),
            "cost": count("qiskit_gateway.cost", "{USD}", "Price of the jobs that ended."),
            "retries": count("qiskit_gateway.retries", "{retry}", "Tries again on one member."),
            "denials": count(
                "qiskit_gateway.denials", "{job}", "Jobs for which there was no room."
            ),
            "moves": count("qiskit_gateway.moves", "{shard}", "Shards that came from others."),
            "ejections": count("qiskit_gateway.ejections", "{ejection}", "Ejections of members."),
        }
        self._in_flight = meter.create_up_down_counter(
            "qiskit_gateway.jobs.in_flight", "{job}", "Jobs that were sent and have not ended."
        )
        self._left = meter.create_gauge(
            "qiskit_gateway.budget.left", "{USD}", "What may still be spent."
        )
        self._durations = {
            name: _make_histogram(meter, f"qiskit_gateway.{name}.duration", said)
            for name, said in {
                "run": "From the beginning of a run to its end.",
                "job": "From handing a job over to its end.",
                "job.queue": "From a job's being taken to its beginning to run.",
                "job.run": "From a job's beginning to run to its end.",
            }.items()
        }
        self._jobs: dict[tuple[str, int], _Job] = {}

    def on_event(self, event: RunEvent) -> None:
        match event:
            case happened.ShardEvent():
                self._tell_shard(event)
            case happened.MemberEjected():
                self._count("ejections", 1, {"member": event.member})
            case happened.BudgetRead():
                self._left.set(event.left_usd)
            case happened.RunFinished():
                self._count("runs", 1, {"outcome": _outcome_of(event)})
                self._durations["run"].record(event.seconds)

    def _tell_shard(self, event: happened.ShardEvent) -> None:
        of, where = (event.job_id, event.shard), {"member": event.member}
        if name := _COUNTED.get(type(event)):
            self._count(name, 1, where)
        match event:
            case happened.ShardSubmitted():
                self._jobs[of] = _Job(event.seconds)
                self._in_flight.add(1, _qualify(where))
            case happened.ShardAccepted() if of in self._jobs:
                self._jobs[of].accepted = event.seconds
            case happened.ShardStarted() if of in self._jobs:
                self._jobs[of].started = event.seconds
            case happened.ShardFinished():
                self._count("shots", event.circuit_shots, where)
            case happened.MoneySettled():
                self._count("cost", event.usd, where)
                self._count("jobs", 1, {**where, "outcome": event.outcome.value})
                self._measure(event)

    def _measure(self, event: happened.MoneySettled) -> None:
        job = self._jobs.pop((event.job_id, event.shard), None)
        if job is None:  # An earlier process has sent it.
            return
        where = _qualify({"member": event.member})
        self._in_flight.add(-1, where)
        self._durations["job"].record(event.seconds - job.submitted, where)
        if job.started is not None and job.accepted is not None:
            self._durations["job.queue"].record(job.started - job.accepted, where)
            self._durations["job.run"].record(event.seconds - job.started, where)

    def _count(self, name: str, amount: float, where: Mapping[str, str]) -> None:
        self._counters[name].add(amount, _qualify(where))


def _qualify(where: Mapping[str, str]) -> dict[str, str]:
    return {f"{_SCOPE}.{name}": value for name, value in where.items()}


def _make_histogram(meter: "Meter", name: str, said: str) -> "Histogram":
    return meter.create_histogram(
        name, "s", said, explicit_bucket_boundaries_advisory=list(_SECONDS)
    )
