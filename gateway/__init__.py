"""One ``SamplerV2`` over many Qiskit backends: split, fan out, retry, merge."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qiskit_gateway.errors import ConfigError, GatewayError, JournalError, PlanError, RunError
from qiskit_gateway.forecast.quote import MemberQuote, Quote
from qiskit_gateway.forecast.simulation import Simulation, simulate
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.primitives.estimator import RouterEstimator
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.primitives.sampler import RouterSampler

if TYPE_CHECKING:
    from qiskit_gateway.config import Config, config_schema, load_config

__all__ = [
    "Config",
    "ConfigError",
    "GatewayError",
    "Journal",
    "JournalError",
    "MemberQuote",
    "PlanError",
    "Quote",
    "RouterEstimator",
    "RouterJob",
    "RouterSampler",
    "RunError",
    "Simulation",
    "config_schema",
    "load_config",
    "simulate",
]


def __getattr__(name: str) -> Any:
    # What reads files needs pydantic, which takes longer to import than all the rest, and most
    # programs read none.
    if name in {"Config", "config_schema", "load_config"}:
        return getattr(import_module("qiskit_gateway.config"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
