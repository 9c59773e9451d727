"""The events that are logged, and where they go.

Every event is named here, as ``gateway.<noun>_<past participle>``; its fields are flat. A library
must not print: where the application has not configured structlog, events go to the standard
library's logger ``qiskit_gateway``, which shows warnings and nothing else: one line of a run that
ends without all that was asked for, however much went wrong on the way.

structlog is imported at the first run: it brings all that it can print tracebacks with, which takes
longer to import than this package.
"""

# ruff: noqa: PLC0415

import logging
from typing import Any

from qiskit_gateway.work import run_events as happened
from qiskit_gateway.work.run_events import RunEvent

PLAN_MADE = "gateway.plan_made"
SHARD_SUBMITTED = "gateway.shard_submitted"
SHARD_RETRIED = "gateway.shard_retried"
SHARD_FAILED = "gateway.shard_failed"
SHARD_REFUSED = "gateway.shard_refused"
RECALL_FAILED = "gateway.recall_failed"
SHARD_FINISHED = "gateway.shard_finished"
SHOTS_DROPPED = "gateway.shots_dropped"
MEMBER_RECOVERED = "gateway.member_recovered"
MEMBER_EJECTED = "gateway.member_ejected"
FLEET_DOWN = "gateway.fleet_down"
JOURNAL_FAILED = "gateway.journal_failed"
JOB_FINISHED = "gateway.job_finished"

_FALLBACK = "qiskit_gateway"


def silent_logger() -> Any:
    """Return a logger that says nothing: a simulation is nobody's incident."""
    import structlog

    def drop(_logger: Any, _name: str, _event: Any) -> Any:
        raise structlog.DropEvent

    return structlog.wrap_logger(None, processors=[drop])


def logger_for(job_id: str) -> Any:
    """Return a logger for one run, with its job id bound."""
    import structlog

    if structlog.is_configured():
        return structlog.get_logger().bind(job_id=job_id)
    return structlog.wrap_logger(
        logging.getLogger(_FALLBACK),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        job_id=job_id,
    )


def write_event(log: Any, event: RunEvent) -> None:
    """Write an event of a run to its log; those that are for other observers alone are not."""
    if type(event) not in _LOGGED:
        return
    level, name, fields = _LOGGED[type(event)]
    if isinstance(event, happened.RunFinished) and event.given_up:
        level = "info" if event.quiet else "warning"
        fields = fields | {"shots_dropped": "shots_dropped"} | _REASON
    facts = {label: _round(label, getattr(event, fact)) for fact, label in fields.items()}
    getattr(log, level)(name, **facts)


def _round(label: str, value: Any) -> Any:
    """Round seconds to milliseconds, and USD to a millionth."""
    if not isinstance(value, float):
        return value
    return round(value, 3 if label.endswith("seconds") else 6)


_SHARD = {"shard": "shard", "member": "backend"}
_REASON = {"reason": "error"}
# For each logged event: its level, its name, and its facts with the fields they are logged as.
_LOGGED: dict[type[RunEvent], tuple[str, str, dict[str, str]]] = {
    happened.RunPlanned: (
        "debug",
        PLAN_MADE,
        {name: name for name in ("circuits", "shots", "members", "settled")},
    ),
    happened.ShardAccepted: (
        "debug",
        SHARD_SUBMITTED,
        _SHARD | {name: name for name in ("circuits", "shots", "provider_job_id")},
    ),
    happened.ShardRetried: (
        "debug",
        SHARD_RETRIED,
        _SHARD | {"attempt": "attempt", "wait_seconds": "wait_seconds"} | _REASON,
    ),
    happened.ShardFinished: ("debug", SHARD_FINISHED, _SHARD),
    happened.ShardFailed: ("debug", SHARD_FAILED, _SHARD | _REASON),
    happened.ShardRefused: ("debug", SHARD_REFUSED, _SHARD | _REASON),
    happened.RecallFailed: ("debug", RECALL_FAILED, {"shard": "shard"} | _REASON),
    happened.MemberEjected: (
        "info",
        MEMBER_EJECTED,
        {"member": "backend", "wait_seconds": "wait_seconds"} | _REASON,
    ),
    happened.MemberRecovered: ("info", MEMBER_RECOVERED, {"member": "backend"}),
    happened.FleetDown: ("info", FLEET_DOWN, _REASON),
    happened.JournalFailed: ("warning", JOURNAL_FAILED, _REASON),
    happened.ShotsDropped: ("debug", SHOTS_DROPPED, {"shots": "shots"} | _REASON),
    happened.RunFinished: (
        "info",
        JOB_FINISHED,
        {name: name for name in ("seconds", "attempts", "members", "price_usd", "given_up")},
    ),
}
