"""Members of a fleet: everything that touches a provider."""

from typing import TYPE_CHECKING

from qiskit_gateway.late_names import late_names

if TYPE_CHECKING:
    from qiskit_gateway.backends.adapter.backend_member import Member
    from qiskit_gateway.backends.adapter.compiling_member import MemberSettings
    from qiskit_gateway.backends.circuits.estimates import Estimate, GateCounts
    from qiskit_gateway.backends.conformance import (
        Conformance,
        Finding,
        check_backend,
        check_member,
    )
    from qiskit_gateway.backends.executors.executor_member import ExecutorMember
    from qiskit_gateway.backends.failures.errors import BackendError, Refused
    from qiskit_gateway.backends.fleet import Fleet
    from qiskit_gateway.backends.interface.adaptation import Adaptation
    from qiskit_gateway.backends.interface.batch import Batch, Entry, Program, Wanted
    from qiskit_gateway.backends.interface.limits import Limits
    from qiskit_gateway.backends.interface.observer import Mailbox, Observer
    from qiskit_gateway.backends.interface.protocol import FleetMember, Handle, JobStage
    from qiskit_gateway.backends.interface.queue_reading import QueueReading
    from qiskit_gateway.backends.interface.speed import Speed
    from qiskit_gateway.backends.pricing.allowance import Allowance
    from qiskit_gateway.backends.pricing.charge import Charge
    from qiskit_gateway.backends.pricing.published import PublishedTariff, tariff, tariff_names
    from qiskit_gateway.backends.pricing.rates import Hqc, Pricing, Tariff, Usage
    from qiskit_gateway.backends.primitive.estimator_member import EstimatorMember
    from qiskit_gateway.backends.primitive.primitive_member import PrimitiveMember
    from qiskit_gateway.backends.readout.outcomes import Outcome
    from qiskit_gateway.backends.scripted.backend import ScriptedBackend
    from qiskit_gateway.backends.simulation.machine import SimulatedJob
    from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember
    from qiskit_gateway.backends.status import (
        BudgetStatus,
        FleetStatus,
        LimitStatus,
        MemberStatus,
        SpeedStatus,
    )

__all__ = [
    "Adaptation",
    "Allowance",
    "BackendError",
    "Batch",
    "BudgetStatus",
    "Charge",
    "Conformance",
    "Entry",
    "Estimate",
    "EstimatorMember",
    "ExecutorMember",
    "Finding",
    "Fleet",
    "FleetMember",
    "FleetStatus",
    "GateCounts",
    "Handle",
    "Hqc",
    "JobStage",
    "LimitStatus",
    "Limits",
    "Mailbox",
    "Member",
    "MemberSettings",
    "MemberStatus",
    "Observer",
    "Outcome",
    "Pricing",
    "PrimitiveMember",
    "Program",
    "PublishedTariff",
    "QueueReading",
    "Refused",
    "ScriptedBackend",
    "SimulatedJob",
    "SimulatedMember",
    "Speed",
    "SpeedStatus",
    "Tariff",
    "Usage",
    "Wanted",
    "check_backend",
    "check_member",
    "tariff",
    "tariff_names",
]

# A name is imported when it is first used, so that importing the package stays cheap.
_HOMES = {
    "adapter.backend_member": ("Member",),
    "adapter.compiling_member": ("MemberSettings",),
    "circuits.estimates": ("Estimate", "GateCounts"),
    "conformance": ("Conformance", "Finding", "check_backend", "check_member"),
    "executors.executor_member": ("ExecutorMember",),
    "failures.errors": ("BackendError", "Refused"),
    "fleet": ("Fleet",),
    "interface.adaptation": ("Adaptation",),
    "interface.batch": ("Batch", "Entry", "Program", "Wanted"),
    "interface.limits": ("Limits",),
    "interface.observer": ("Mailbox", "Observer"),
    "interface.protocol": ("FleetMember", "Handle", "JobStage"),
    "interface.queue_reading": ("QueueReading",),
    "interface.speed": ("Speed",),
    "pricing.allowance": ("Allowance",),
    "pricing.charge": ("Charge",),
    "pricing.published": ("PublishedTariff", "tariff", "tariff_names"),
    "pricing.rates": ("Hqc", "Pricing", "Tariff", "Usage"),
    "primitive.estimator_member": ("EstimatorMember",),
    "primitive.primitive_member": ("PrimitiveMember",),
    "readout.outcomes": ("Outcome",),
    "scripted.backend": ("ScriptedBackend",),
    "simulation.machine": ("SimulatedJob",),
    "simulation.simulated_member": ("SimulatedMember",),
    "status": ("BudgetStatus", "FleetStatus", "LimitStatus", "MemberStatus", "SpeedStatus"),
}
if not TYPE_CHECKING:  # Or a type checker would believe any name.
    __getattr__, __dir__ = late_names(__name__, _HOMES)
