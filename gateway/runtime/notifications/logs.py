"""The events that are logged, and where they go.

Every event is named here, as ``gateway.<noun>_<past participle>``; its fields are flat. A library
must not print: where the application has not configured structlog, events go to the standard
library's logger ``qiskit_gateway``, which shows warnings and nothing else: one line of a run that
ends without all that was asked for, however much went wrong on the way.

structlog is never imported here: it brings all that it can print tracebacks with, which takes longer
to import than this package. An application that has configured it has imported it.
"""

import logging
import sys
from typing import Any, Protocol

from qiskit_gateway.work.record import run_events as happened
from qiskit_gateway.work.record.run_events import RunEvent

PLAN_MADE = "gateway.plan_made"
SHARD_SUBMITTED = "gateway.shard_submitted"
SHARD_RETRIED = "gateway.shard_retried"
SHARD_FAILED = "gateway.shard_failed"
SHARD_REFUSED = "gateway.shard_refused"
SHARD_DENIED = "gateway.shard_denied"
RECALL_FAILED = "gateway.recall_failed"
SHARD_FINISHED = "gateway.shard_finished"
SHOTS_DROPPED = "gateway.shots_dropped"
MEMBER_RECOVERED = "gateway.member_recovered"
MEMBER_EJECTED = "gateway.member_ejected"
FLEET_DOWN = "gateway.fleet_down"
JOURNAL_FAILED = "gateway.journal_failed"
RUN_HELD_UP = "gateway.run_held_up"
RUNS_DELAYED = "gateway.runs_delayed"
JOB_FINISHED = "gateway.job_finished"

_FALLBACK = "qiskit_gateway"


class Log(Protocol):
    """The destination of log events."""

    def takes(self, level: int) -> bool:
        """Check whether events of a level are written at all."""

    def write(self, level: int, name: str, facts: dict[str, Any]) -> None:
        """Write an event by its name, with its fields."""


class _Structlog:
    """Writes to a logger of structlog, which sees to levels itself."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def takes(self, level: int) -> bool:
        return True

    def write(self, level: int, name: str, facts: dict[str, Any]) -> None:
        getattr(self._logger, logging.getLevelName(level).lower())(name, **facts)


class _Standard:
    """Writes lines of ``key=value`` to a logger of the standard library."""

    def __init__(self, logger: logging.Logger, bound: dict[str, Any]) -> None:
        self._logger = logger
        self._bound = bound

    def takes(self, level: int) -> bool:
        return self._logger.isEnabledFor(level)

    def write(self, level: int, name: str, facts: dict[str, Any]) -> None:
        fields = {"event": name, **self._bound, **facts}
        self._logger.log(level, " ".join(f"{key}={value!r}" for key, value in fields.items()))


class _Silent:
    """Writes nothing."""

    def takes(self, level: int) -> bool:
        return False

    def write(self, level: int, name: str, facts: dict[str, Any]) -> None:
        """Do nothing."""


def silent_logger() -> Log:
    """Return a log that says nothing: a simulation is nobody's incident."""
    return _Silent()


def logger_for(job_id: str) -> Log:
    """Return a log for one run, with its job id bound."""
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        return _Structlog(structlog.get_logger().bind(job_id=job_id))
    return _Standard(logging.getLogger(_FALLBACK), {"job_id": job_id})


def is_written(log: Log, kind: type[RunEvent]) -> bool:
    """Check whether events of a kind are written to a log; the others are for observers alone."""
    # The end of a run that lost work is told louder than others.
    loudest = logging.WARNING if kind is happened.RunFinished else None
    return kind in _LOGGED and log.takes(loudest or _LOGGED[kind][0])


def write_event(log: Log, event: RunEvent) -> None:
    """Write an event of a run to its log, if that takes it."""
    if not is_written(log, type(event)):
        return
    level, name, fields = _LOGGED[type(event)]
    if isinstance(event, happened.RunFinished) and event.given_up:
        level = logging.INFO if event.quiet else logging.WARNING
        fields = fields | {"shots_dropped": "shots_dropped"} | _REASON
    if log.takes(level):
        facts = {label: _round(label, getattr(event, fact)) for fact, label in fields.items()}
        log.write(level, name, facts)


def _round(label: str, value: Any) -> Any:
    """Round seconds to milliseconds, and USD to a millionth."""
    if not isinstance(value, float):
        return value
    return round(value, 3 if label.endswith("seconds") else 6)


_SHARD = {"shard": "shard", "member": "backend"}
_REASON = {"reason": "error"}
# For each logged event: its level, its name, and its facts with the fields they are logged as.
_LOGGED: dict[type[RunEvent], tuple[int, str, dict[str, str]]] = {
    happened.RunPlanned: (
        logging.DEBUG,
        PLAN_MADE,
        {name: name for name in ("circuits", "shots", "members", "settled")},
    ),
    happened.ShardAccepted: (
        logging.DEBUG,
        SHARD_SUBMITTED,
        _SHARD | {name: name for name in ("circuits", "shots", "provider_job_id")},
    ),
    happened.ShardRetried: (
        logging.DEBUG,
        SHARD_RETRIED,
        _SHARD | {"attempt": "attempt", "wait_seconds": "wait_seconds"} | _REASON,
    ),
    happened.ShardFinished: (logging.DEBUG, SHARD_FINISHED, _SHARD),
    happened.ShardFailed: (logging.DEBUG, SHARD_FAILED, _SHARD | _REASON),
    happened.ShardRefused: (logging.DEBUG, SHARD_REFUSED, _SHARD | _REASON),
    happened.ShardDenied: (logging.DEBUG, SHARD_DENIED, _SHARD | _REASON),
    happened.RecallFailed: (logging.DEBUG, RECALL_FAILED, {"shard": "shard"} | _REASON),
    happened.MemberEjected: (
        logging.INFO,
        MEMBER_EJECTED,
        {"member": "backend", "wait_seconds": "wait_seconds"} | _REASON,
    ),
    happened.MemberRecovered: (logging.INFO, MEMBER_RECOVERED, {"member": "backend"}),
    happened.FleetDown: (logging.INFO, FLEET_DOWN, _REASON),
    happened.JournalFailed: (logging.WARNING, JOURNAL_FAILED, _REASON),
    happened.RunHeldUp: (logging.INFO, RUN_HELD_UP, _REASON),
    happened.RunsDelayed: (
        logging.WARNING,
        RUNS_DELAYED,
        {"delay_seconds": "delay_seconds"} | _REASON,
    ),
    happened.ShotsDropped: (logging.DEBUG, SHOTS_DROPPED, {"shots": "shots"} | _REASON),
    happened.RunFinished: (
        logging.INFO,
        JOB_FINISHED,
        {name: name for name in ("seconds", "attempts", "members", "price_usd", "given_up")},
    ),
}
