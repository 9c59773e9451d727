"""One ``SamplerV2`` over many Qiskit backends: split, fan out, retry, merge."""

from qiskit_gateway.config import Config, config_schema, load_config
from qiskit_gateway.errors import ConfigError, GatewayError, JournalError, PlanError, RunError
from qiskit_gateway.estimator import RouterEstimator
from qiskit_gateway.job import RouterJob
from qiskit_gateway.journal import Journal
from qiskit_gateway.quote import MemberQuote, Quote
from qiskit_gateway.sampler import RouterSampler
from qiskit_gateway.simulate import Simulation, simulate

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
