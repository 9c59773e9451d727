"""The events that are logged, and where they go.

Every event is named here, as ``gateway.<noun>_<past participle>``; its fields are flat. A library
must not print: where the application has not configured structlog, events go to the standard
library's logger ``qiskit_gateway``, which shows warnings and nothing else.

structlog is imported at the first run: it brings all that it can print tracebacks with, which takes
longer to import than this package.
"""

# ruff: noqa: PLC0415

import logging
from typing import Any

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
