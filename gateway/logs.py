"""The events that are logged, and where they go.

Every event is named here, as ``gateway.<noun>_<past participle>``; its fields are flat. A library
must not print: where the application has not configured structlog, events go to the standard
library's logger ``qiskit_gateway``, which shows warnings and nothing else.
"""

import logging
from typing import Any

import structlog

PLAN_MADE = "gateway.plan_made"
SHARD_SUBMITTED = "gateway.shard_submitted"
SHARD_RETRIED = "gateway.shard_retried"
SHARD_MOVED = "gateway.shard_moved"
SHARD_REFUSED = "gateway.shard_refused"
RECALL_FAILED = "gateway.recall_failed"
SHARD_FINISHED = "gateway.shard_finished"
SHOTS_DROPPED = "gateway.shots_dropped"
BACKEND_OPENED = "gateway.backend_opened"
BACKEND_CLOSED = "gateway.backend_closed"
JOURNAL_FAILED = "gateway.journal_failed"
JOB_FINISHED = "gateway.job_finished"

_FALLBACK = "qiskit_gateway"


def silent_logger() -> Any:
    """Return a logger that says nothing: a simulation is nobody's incident."""
    return structlog.wrap_logger(None, processors=[_drop])


def _drop(_logger: Any, _name: str, _event: Any) -> Any:
    raise structlog.DropEvent


def logger_for(job_id: str) -> Any:
    """Return a logger for one run, with its job id bound."""
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
