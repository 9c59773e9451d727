"""One ``SamplerV2`` over many Qiskit backends: split, fan out, retry, merge."""

from qiskit_gateway.errors import ConfigError, GatewayError, PlanError, RunError
from qiskit_gateway.job import RouterJob
from qiskit_gateway.sampler import RouterSampler

__all__ = [
    "ConfigError",
    "GatewayError",
    "PlanError",
    "RouterJob",
    "RouterSampler",
    "RunError",
]
