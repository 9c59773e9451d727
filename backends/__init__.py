"""Members of a fleet: everything that touches a provider."""

from qiskit_gateway.backends.allowance import Allowance
from qiskit_gateway.backends.errors import BackendError, Refused
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.limits import Limits
from qiskit_gateway.backends.member import FleetMember, Handle
from qiskit_gateway.backends.pricing import Pricing, Usage
from qiskit_gateway.backends.provider import Member
from qiskit_gateway.backends.queueing import QueueReading
from qiskit_gateway.backends.scripted import ScriptedBackend
from qiskit_gateway.backends.simulated import SimulatedMember

__all__ = [
    "Allowance",
    "BackendError",
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
]
