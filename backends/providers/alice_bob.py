"""Alice & Bob."""

from typing import Any

from qiskit_gateway.backends.failures.table import CALLER, WRAPPER
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.interface.queue_reading import amount_of
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.published import free_hour, hourly, list_tariffs


def _charge(_backend: Any, job: Any) -> Charge | None:
    """Read the time that a job of the service took; local emulators tell none."""
    if not hasattr(job, "_get_metrics"):
        return None
    metrics = job._get_metrics()  # noqa: SLF001  There is no public way.
    times = (metrics.get(name) for name in ("qpu_duration_ns", "simulation_duration_ns"))
    nanoseconds = next((found for one in times if (found := amount_of(one))), None)
    return None if nanoseconds is None else Charge(seconds=nanoseconds / 1e9)


PROFILE = ProviderProfile(
    name="alice_bob",
    packages=("qiskit_alice_bob_provider",),
    # Jobs of local emulators do not overlap: all of them share one Aer simulator.
    # Circuits are scheduled, and qubits prepared, by stages of its own.
    own_stages=("get_scheduling_stage_plugin", "get_translation_stage_plugin"),
    charge=_charge,
    failures={
        "qiskit_alice_bob_provider": (WRAPPER, "AliceBobException AliceBobApiException"),
        "qiskit_alice_bob_provider caller": (CALLER, "AliceBobTranspilationException"),
    },
    tariffs=list_tariffs(
        "USD",
        "api-evangelist/alice--bob plans",
        "2026-08-06",
        {
            "alice_bob:qpu": hourly(5000),
            "alice_bob:emulator": hourly(25),
            "alice_bob:qpu_free_hour": free_hour(5000),
            "alice_bob:emulator_free_hour": free_hour(25),
        },
        "by the hour; one hour of each is free a month, taken as a calendar month, which only the "
        "tariffs that are named for it count",
    ),
)
