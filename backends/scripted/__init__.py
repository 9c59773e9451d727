"""Fault injection over any backend: a backend that behaves until the script says otherwise."""

from qiskit_gateway.backends.scripted.backend import ScriptedBackend, ScriptedJob
from qiskit_gateway.backends.scripted.spoiled_results import (
    CountsOnly,
    Drops,
    FailsExperiments,
    Malformation,
    Malforms,
    Short,
    Swaps,
)
from qiskit_gateway.backends.scripted.steps import (
    AcceptsThenRaises,
    Call,
    Cancels,
    Delays,
    Errors,
    Fails,
    Hangs,
    Moment,
    Poison,
    ProviderHTTPError,
    Runs,
    Step,
    Together,
)

__all__ = [
    "AcceptsThenRaises",
    "Call",
    "Cancels",
    "CountsOnly",
    "Delays",
    "Drops",
    "Errors",
    "Fails",
    "FailsExperiments",
    "Hangs",
    "Malformation",
    "Malforms",
    "Moment",
    "Poison",
    "ProviderHTTPError",
    "Runs",
    "ScriptedBackend",
    "ScriptedJob",
    "Short",
    "Step",
    "Swaps",
    "Together",
]
