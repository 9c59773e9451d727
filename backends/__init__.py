"""Members of a fleet: everything that touches a provider."""

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.adapter.queues import QueueReading
from qiskit_gateway.backends.conformance import (
    Conformance,
    Finding,
    check_backend,
    check_member,
)
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import FleetMember, Handle
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.rates import Pricing, Usage
from qiskit_gateway.backends.providers.quirks import Adaptation
from qiskit_gateway.backends.scripted.backend import ScriptedBackend
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember

__all__ = [
    "Adaptation",
    "Allowance",
    "BackendError",
    "Conformance",
    "Finding",
    "Fleet",
    "FleetMember",
    "Handle",
    "Limits",
    "Member",
    "Pricing",
    "QueueReading",
    "Refused",
    "ScriptedBackend",
    "SimulatedMember",
    "Usage",
    "check_backend",
    "check_member",
]
