"""Spans and metrics of runs, as the SDK of OpenTelemetry's exporters in memory get them."""

import contextlib
import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import killing
import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import ones

from qiskit_gateway import GatewayError, Journal, RouterSampler, RunError, TelemetryObserver
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing, SimulatedMember
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.scripted import Fails, Hangs, ScriptedBackend, Short
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Filter,
    Policy,
    RetryPolicy,
    failover,
    refuse,
)

ONE = Limits(max_circuits=1, max_in_flight=1)
QUICK = RetryPolicy(wait_initial_seconds=0.001)


class Bench:
    """An observer, and what it has exported."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.observer = TelemetryObserver(tracer_provider=self.tracers, meter_provider=self.meters)

    def run(self, members, *, circuits=3, policy=None):
        fleet = Fleet(members, observers=[self.observer])
        job = RouterSampler(fleet, policy=policy).run([ones()] * circuits, shots=10)
        with contextlib.suppress(GatewayError):
            job.result(timeout=60)
        assert fleet.flush_observers()
        return job

    def spans(self, name):
        found = self.exporter.get_finished_spans()
        return [span for span in found if span.name == f"qiskit_gateway.{name}"]

    def numbers(self, name):
        """Return the points of a metric, by their attributes' values."""
        data = self.reader.get_metrics_data()
        (points,) = [
            metric.data.data_points
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"qiskit_gateway.{name}"
        ]
        return {tuple(point.attributes.values()): point for point in points}

    def values(self, name):
        return {key: point.value for key, point in self.numbers(name).items()}


@pytest.fixture
def bench():
    return Bench()


def test_a_run_holds_its_shards_and_these_their_attempts(bench):
    """One trace: a run, three shards, an attempt each, with what was sent and what it cost."""
    job = bench.run([Member(BasicSimulator(), name="a", limits=ONE, pricing=Pricing(per_job=0.5))])

    (run,) = bench.spans("run")
    shards, attempts = bench.spans("shard"), bench.spans("attempt")
    assert run.parent is None
    assert run.attributes["qiskit_gateway.job_id"] == job.job_id()
    assert run.attributes["qiskit_gateway.shots"] == 30
    assert run.attributes["qiskit_gateway.cost_usd"] == pytest.approx(1.5)
    assert [shard.parent.span_id for shard in shards] == [run.context.span_id] * 3
    assert [one.attributes["qiskit_gateway.shard"] for one in shards] == [0, 1, 2]
    assert {one.parent.span_id for one in attempts} == {one.context.span_id for one in shards}
    assert {one.kind for one in attempts} == {SpanKind.CLIENT}
    done = {attempt.job_id for attempt in job.report().attempts}
    assert {one.attributes["qiskit_gateway.provider_job_id"] for one in attempts} == done
    assert {one.attributes["qiskit_gateway.cost_usd"] for one in attempts} == {0.5}
    for span in [run, *shards, *attempts]:
        assert span.status.status_code is StatusCode.UNSET
        assert span.attributes["qiskit_gateway.outcome"] == "done"
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time


def test_a_run_is_a_child_of_the_span_it_was_called_in(bench):
    """Whoever calls ``run()`` in a span finds the run in it, however late observers are told."""
    tracer = bench.tracers.get_tracer("application")
    with tracer.start_as_current_span("experiment") as experiment:
        bench.run([BasicSimulator()])
    bench.run([BasicSimulator()])

    inside, outside = bench.spans("run")
    assert inside.parent.span_id == experiment.get_span_context().span_id
    assert outside.parent is None


def test_work_that_moves_is_linked_to_where_it_failed(bench):
    """The shard that does the work links to the one that could not, which is an error."""
    broken = Member(ScriptedBackend(BasicSimulator(), then=Fails()), name="broken", limits=ONE)
    members = [broken, Member(BasicSimulator(), name="well")]

    bench.run(members, circuits=2, policy=Policy(breaker=BreakerPolicy(submit_errors=1)))

    shards = {shard.context.span_id: shard for shard in bench.spans("shard")}
    failed = {
        key for key, one in shards.items() if one.attributes["qiskit_gateway.member"] == "broken"
    }
    links = [link for one in shards.values() for link in one.links]
    assert failed
    assert {link.context.span_id for link in links} == failed
    assert {link.attributes["qiskit_gateway.outcome"] for link in links} == {"failed"}
    for key in failed:
        assert shards[key].status.status_code is StatusCode.ERROR
        assert "refused" in shards[key].status.description
        assert shards[key].attributes["error.type"] == "failed"
    moved = [one for one in shards.values() if one.links]
    assert {one.attributes["qiskit_gateway.moved_from"] for one in moved} == {("broken",)}
    (run,) = bench.spans("run")
    assert "qiskit_gateway.member_ejected" in {event.name for event in run.events}
    assert bench.values("ejections")["broken",] >= 1
    assert bench.values("moves")["well",] >= 1


def test_work_that_does_not_move_has_no_links(bench):
    """Shards that cover nothing in common have nothing to do with each other."""
    bench.run([Member(BasicSimulator(), limits=ONE)], circuits=5)
    assert [one for one in bench.spans("shard") if one.links] == []


def test_a_top_up_is_linked_to_the_job_that_fell_short(bench):
    """Of the shots that a job did not bring, the next shard brings the rest, and says whose."""
    short = ScriptedBackend(BasicSimulator(), [Short(6)])

    bench.run([Member(short, name="a")], circuits=1, policy=Policy(retry=QUICK))

    first, second = sorted(bench.spans("shard"), key=lambda one: one.start_time)
    assert first.attributes["qiskit_gateway.outcome"] == "short"
    (link,) = second.links
    assert link.context.span_id == first.context.span_id
    assert link.attributes["qiskit_gateway.outcome"] == "short"
    assert bench.values("shots")["a",] == 10


def test_a_retry_is_another_attempt_of_the_shard(bench):
    """What is tried again where it was stays one shard, with the wait noted on it."""
    fails = ScriptedBackend(BasicSimulator(), [Fails()])

    bench.run([Member(fails, name="a")], circuits=1, policy=Policy(retry=QUICK))

    (shard,) = bench.spans("shard")
    first, second = bench.spans("attempt")
    assert first.parent.span_id == second.parent.span_id == shard.context.span_id
    assert first.status.status_code is StatusCode.ERROR
    assert [one.attributes["qiskit_gateway.attempt"] for one in (first, second)] == [1, 2]
    (retried,) = shard.events
    assert retried.name == "qiskit_gateway.shard_retried"
    assert retried.attributes["qiskit_gateway.wait_seconds"] <= 0.002
    assert bench.values("retries") == {("a",): 1}
    assert bench.values("jobs") == {("a", "failed"): 1, ("a", "done"): 1}


def test_a_run_that_fails_is_an_error_with_its_reason(bench):
    """Work that is given up makes the run's span an error, and all spans end."""
    dead = Member(ScriptedBackend(BasicSimulator(), then=Fails()), name="dead")
    few = RetryPolicy(wait_initial_seconds=0.001, max_attempts=2)

    bench.run([dead], circuits=1, policy=Policy(retry=few, deadline_seconds=0.5))

    (run,) = bench.spans("run")
    assert run.status.status_code is StatusCode.ERROR
    assert run.status.description
    assert run.attributes["error.type"] == "failed"
    assert bench.values("runs") == {("failed",): 1}


class AtNight(Filter):
    def __call__(self, offer):
        return refuse("it is not night yet", waits=True)


def test_a_run_that_stands_says_why_in_its_span(bench):
    """Once, as a text: an attribute holds no mapping."""
    policy = Policy(where=AtNight(), deadline_seconds=0.5)
    bench.run([Member(BasicSimulator(), name="a")], circuits=1, policy=policy)

    (run,) = bench.spans("run")
    (held,) = [one for one in run.events if one.name == "qiskit_gateway.run_held_up"]
    assert dict(held.attributes) == {"qiskit_gateway.reason": "a: it is not night yet"}


def test_a_cancelled_run_ends_its_spans_without_error(bench):
    """What the user has cancelled is no failure, and nothing stays open."""
    hangs = Member(ScriptedBackend(BasicSimulator(), then=Hangs()), name="a", limits=ONE)
    fleet = Fleet([hangs], observers=[bench.observer])
    job = RouterSampler(fleet).run([ones()] * 2, shots=10)
    while not job.report().attempts:
        pass
    job.cancel()
    with pytest.raises(RunError, match="cancelled"):
        job.result(timeout=60)
    assert fleet.flush_observers()

    (run,) = bench.spans("run")
    assert run.attributes["qiskit_gateway.outcome"] == "cancelled"
    assert run.status.status_code is StatusCode.UNSET
    assert len(bench.spans("shard")) == len(bench.spans("attempt")) == 1
    assert set(bench.values("jobs.in_flight").values()) == {0}


def test_work_that_a_budget_denies_is_counted_as_that(bench, tmp_path):
    """Where other runs of the journal have spent the money, nothing is sent and no member fails."""
    member = Member(BasicSimulator(), name="a", limits=ONE, pricing=Pricing(per_job=0.5))
    journal = Journal(tmp_path / "journal.db")
    for observers in ([], [bench.observer]):
        # A budget of its own each time, as in another process: only the journal knows of both.
        policy = Policy(budget=Budget(usd=0.5))
        fleet = Fleet([member], observers=observers)
        job = RouterSampler(fleet, policy=policy, journal=journal).run([ones()], shots=10)
        try:
            job.result(timeout=60)
        except GatewayError:
            assert observers
    assert fleet.flush_observers()

    assert not bench.spans("shard")
    assert bench.values("denials") == {("a",): 1}


def test_what_a_member_refuses_goes_elsewhere_without_error(bench):
    """A verdict is no failure: the shard that was refused ends, and the one elsewhere links to it."""
    narrow = ScriptedBackend(BasicSimulator(), then=Fails(Refused({0: "too wide for it"})))

    bench.run(
        [Member(narrow, name="narrow"), Member(BasicSimulator(), name="wide")],
        circuits=1,
        policy=failover(),
    )

    by_member = {one.attributes["qiskit_gateway.member"]: one for one in bench.spans("shard")}
    assert by_member["narrow"].attributes["qiskit_gateway.outcome"] == "refused"
    assert "too wide for it" in by_member["narrow"].attributes["qiskit_gateway.reason"]
    assert by_member["narrow"].status.status_code is StatusCode.UNSET
    (link,) = by_member["wide"].links
    assert link.context.span_id == by_member["narrow"].context.span_id


def test_a_run_that_is_resumed_has_a_trace_of_its_own(bench, tmp_path):
    """After ``kill -9`` the spans of the second process are whole, and nothing counts below zero."""
    program = "import killing, pathlib, sys; killing.run(pathlib.Path(sys.argv[1]), 'sampler')"
    command = [sys.executable, "-c", program, str(tmp_path)]
    place = Path(killing.__file__).parent
    child = subprocess.Popen(command, cwd=place)  # noqa: S603
    while len(killing.jobs_in(tmp_path)) < 4:
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    sampler = killing.router(tmp_path, "sampler", observers=[bench.observer])
    (record,) = Journal(tmp_path / "journal.db").runs()

    job = sampler.resume(record.job_id)
    assert killing.is_right(job.result(timeout=60), "sampler")
    assert sampler.fleet.flush_observers()

    (run,) = bench.spans("run")
    assert run.attributes["qiskit_gateway.job_id"] == record.job_id
    assert run.attributes["qiskit_gateway.outcome"] == "done"
    assert run.attributes["qiskit_gateway.attempts"] == len(job.report().attempts)
    shards, attempts = bench.spans("shard"), bench.spans("attempt")
    for span in [*shards, *attempts]:
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time
    assert {one.parent.span_id for one in attempts} <= {one.context.span_id for one in shards}
    assert sum(bench.values("jobs").values()) == len(attempts)
    assert set(bench.values("jobs.in_flight").values()) <= {0}


def test_metrics_add_up(bench):
    """Jobs, shots, money and what is left of the budget are those of the report."""
    priced = Member(BasicSimulator(), name="a", limits=ONE, pricing=Pricing(per_job=0.5))
    policy = Policy(budget=Budget(usd=4, per_day_usd=2))

    for _ in range(2):
        bench.run([priced], circuits=1, policy=policy)

    assert bench.values("jobs") == {("a", "done"): 2}
    assert bench.values("shots") == {("a",): 20}
    assert bench.values("cost") == {("a",): pytest.approx(1.0)}
    assert bench.values("budget.left") == {(): pytest.approx(1.5)}
    assert bench.values("runs") == {("done",): 2}
    assert bench.values("jobs.in_flight") == {("a",): 0}
    assert bench.numbers("run.duration")[()].count == 2
    assert bench.numbers("job.duration")["a",].sum > 0


def test_a_budget_that_several_runs_share_is_told_as_what_is_left_of_it(bench):
    """The gauge goes down from run to run, and a run of its own limit starts anew."""
    members = [Member(BasicSimulator(), name="a", limits=ONE, pricing=Pricing(per_job=0.5))]
    fleet = Fleet(members, observers=[bench.observer])
    shared = RouterSampler(fleet, policy=Policy(budget=Budget(usd=4)))
    left = []
    for _ in range(3):
        shared.run([ones()], shots=10).result(timeout=60)
        assert fleet.flush_observers()
        left.append(bench.values("budget.left")[()])
    assert left == pytest.approx([3.5, 3.0, 2.5])
    own = RouterSampler(fleet, policy=Policy(budget=Budget(per_run_usd=4)))
    for _ in range(2):
        own.run([ones()], shots=10).result(timeout=60)
    assert fleet.flush_observers()
    assert bench.values("budget.left")[()] == pytest.approx(3.5)


def test_time_in_queues_is_told_apart_from_running(bench):
    """Where a provider says when a job begins, the wait and the run have their own histograms."""
    slow = SimulatedMember("a", queue_seconds=0.05, job_seconds=0.02)
    bench.run([slow], circuits=1)

    queued = bench.numbers("job.queue.duration")["a",]
    running = bench.numbers("job.run.duration")["a",]
    whole = bench.numbers("job.duration")["a",]
    assert queued.count == running.count == whole.count == 1
    assert queued.sum >= 0.05
    assert running.sum <= whole.sum - queued.sum + 1e-6
    assert queued.explicit_bounds[0] < 1


def test_without_an_sdk_nothing_is_made():
    """The API alone does nothing, and costs no run anything."""
    fleet = Fleet([BasicSimulator()], observers=[TelemetryObserver()])
    RouterSampler(fleet).run([ones()], shots=10).result(timeout=60)
    assert fleet.flush_observers()


@pytest.mark.parametrize(
    ("again", "told"),
    [(copy.deepcopy, True), (lambda one: pickle.loads(pickle.dumps(one)), False)],  # noqa: S301
)
def test_fleets_with_it_can_be_copied_and_pickled(bench, again, told):
    """A copy tells the same providers; another process those of its own application."""
    fleet = again(Fleet([BasicSimulator()], observers=[bench.observer]))
    RouterSampler(fleet).run([ones()], shots=10).result(timeout=60)
    assert fleet.flush_observers()
    assert bool(bench.spans("run")) is told


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.trace"])
def test_without_the_api_the_extra_is_named(monkeypatch, missing):
    """Whoever lacks it is told what to install, before anything runs."""
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "opentelemetry.trace":
        monkeypatch.delattr("opentelemetry.trace")
    with pytest.raises(ImportError, match=r"pip install 'qiskit-gateway\[otel\]'"):
        TelemetryObserver()


def test_prometheus_gets_what_its_pages_say():
    """Names, units and labels as Prometheus spells them, in its own text format."""
    reader = PrometheusMetricReader()
    meters = MeterProvider([reader])
    try:
        member = Member(BasicSimulator(), name="a", limits=ONE, pricing=Pricing(per_job=0.5))
        fleet = Fleet([member], observers=[TelemetryObserver(meter_provider=meters)])
        policy = Policy(budget=Budget(usd=4))
        RouterSampler(fleet, policy=policy).run([ones()] * 3, shots=10).result(timeout=60)
        assert fleet.flush_observers()
        text = generate_latest(REGISTRY).decode()
    finally:
        meters.shutdown()
    samples = {
        (sample.name, sample.labels.get("qiskit_gateway_member", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["qiskit_gateway_jobs_total", "a"] == 3
    assert samples["qiskit_gateway_shots_total", "a"] == 30
    assert samples["qiskit_gateway_cost_total", "a"] == pytest.approx(1.5)
    assert samples["qiskit_gateway_budget_left", ""] == pytest.approx(2.5)
    assert samples["qiskit_gateway_job_duration_seconds_count", "a"] == 3


def test_a_collector_gets_spans_and_metrics():
    """They arrive at a collector's port, as its protocol has them."""
    got = {}

    class Collector(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    tracers, exporter = TracerProvider(), OTLPMetricExporter(endpoint=f"{url}/metrics")
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/traces")))
    meters = MeterProvider([PeriodicExportingMetricReader(exporter)])
    observer = TelemetryObserver(tracer_provider=tracers, meter_provider=meters)
    try:
        fleet = Fleet([BasicSimulator()], observers=[observer])
        RouterSampler(fleet).run([ones()], shots=10).result(timeout=60)
        assert fleet.flush_observers()
    finally:
        tracers.shutdown()
        meters.shutdown()
        server.shutdown()
        server.server_close()
    spans = [
        span.name
        for body in got["/v1/traces"]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    names = {
        metric.name
        for body in got["/v1/metrics"]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert sorted(spans) == [
        "qiskit_gateway.attempt",
        "qiskit_gateway.run",
        "qiskit_gateway.shard",
    ]
    assert "qiskit_gateway.jobs" in names
