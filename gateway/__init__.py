"""One ``SamplerV2`` over many Qiskit backends: split, fan out, retry, merge."""

from typing import TYPE_CHECKING

from qiskit_gateway.late_names import late_names

if TYPE_CHECKING:
    from qiskit_gateway.config_file.loader import config_schema
    from qiskit_gateway.errors import ConfigError, GatewayError, JournalError, PlanError, RunError
    from qiskit_gateway.forecast.comparison import Comparison, compare
    from qiskit_gateway.forecast.simulation import MemberUse, SimulatedShard, Simulation, simulate
    from qiskit_gateway.journal.accounts import Spending
    from qiskit_gateway.journal.journal import Journal
    from qiskit_gateway.journal.records import RunList, RunRecord
    from qiskit_gateway.primitives.configured import Config, load_config
    from qiskit_gateway.primitives.estimator import EstimatorOptions, RouterEstimator
    from qiskit_gateway.primitives.group import GroupJob, GroupResult
    from qiskit_gateway.primitives.job import RouterJob
    from qiskit_gateway.primitives.sampler import RouterSampler, SamplerOptions
    from qiskit_gateway.reporting.explanation import Explanation
    from qiskit_gateway.reporting.progress import MemberProgress, Progress
    from qiskit_gateway.reporting.report import Report
    from qiskit_gateway.reporting.telemetry import TelemetryObserver
    from qiskit_gateway.reporting.usage import RunUsage
    from qiskit_gateway.runtime.preview.quote import AllowanceUse, MemberQuote, Quote
    from qiskit_gateway.version import __version__ as __version__
    from qiskit_gateway.work.record import run_events
    from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
    from qiskit_gateway.work.record.outlook import Outlook
    from qiskit_gateway.work.record.plan_record import Considered, PlanRecord
    from qiskit_gateway.work.record.remaining import GivenUp
    from qiskit_gateway.work.record.run_events import RunEvent, RunObserver
    from qiskit_gateway.work.record.run_status import RunStatus
    from qiskit_gateway.work.speed_estimate import SpeedEstimate
    from qiskit_gateway.work.speed_evidence import SpeedEvidence
    from qiskit_gateway.work.tasks import Load, Piece

__all__ = [
    "AllowanceUse",
    "Attempt",
    "AttemptOutcome",
    "Comparison",
    "Config",
    "ConfigError",
    "Considered",
    "EstimatorOptions",
    "Explanation",
    "GatewayError",
    "GivenUp",
    "GroupJob",
    "GroupResult",
    "Journal",
    "JournalError",
    "Load",
    "MemberProgress",
    "MemberQuote",
    "MemberUse",
    "Outlook",
    "Piece",
    "PlanError",
    "PlanRecord",
    "Progress",
    "Quote",
    "Report",
    "RouterEstimator",
    "RouterJob",
    "RouterSampler",
    "RunError",
    "RunEvent",
    "RunList",
    "RunObserver",
    "RunRecord",
    "RunStatus",
    "RunUsage",
    "SamplerOptions",
    "SimulatedShard",
    "Simulation",
    "SpeedEstimate",
    "SpeedEvidence",
    "Spending",
    "TelemetryObserver",
    "__version__",
    "compare",
    "config_schema",
    "load_config",
    "run_events",
    "simulate",
]

# Importing everything takes nearly half as long as importing Qiskit, so a name is imported when it
# is first used.
_HOMES = {
    "config_file.loader": ("config_schema",),
    "errors": ("ConfigError", "GatewayError", "JournalError", "PlanError", "RunError"),
    "forecast.comparison": ("Comparison", "compare"),
    "runtime.preview.quote": ("AllowanceUse", "MemberQuote", "Quote"),
    "forecast.simulation": ("MemberUse", "SimulatedShard", "Simulation", "simulate"),
    "journal.accounts": ("Spending",),
    "journal.journal": ("Journal",),
    "journal.records": ("RunList", "RunRecord"),
    "primitives.configured": ("Config", "load_config"),
    "primitives.estimator": ("EstimatorOptions", "RouterEstimator"),
    "primitives.group": ("GroupJob", "GroupResult"),
    "primitives.job": ("RouterJob",),
    "primitives.sampler": ("RouterSampler", "SamplerOptions"),
    "reporting.explanation": ("Explanation",),
    "reporting.progress": ("MemberProgress", "Progress"),
    "reporting.report": ("Report",),
    "reporting.telemetry": ("TelemetryObserver",),
    "reporting.usage": ("RunUsage",),
    "version": ("__version__",),
    "work.record.attempt": ("Attempt", "AttemptOutcome"),
    "work.record": ("run_events",),
    "work.record.outlook": ("Outlook",),
    "work.record.plan_record": ("Considered", "PlanRecord"),
    "work.record.remaining": ("GivenUp",),
    "work.record.run_events": ("RunEvent", "RunObserver"),
    "work.speed_estimate": ("SpeedEstimate",),
    "work.speed_evidence": ("SpeedEvidence",),
    "work.record.run_status": ("RunStatus",),
    "work.tasks": ("Load", "Piece"),
}
if not TYPE_CHECKING:  # Or a type checker would believe any name.
    __getattr__, __dir__ = late_names(__name__, _HOMES)
