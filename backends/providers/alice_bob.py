"""Alice & Bob."""

from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.published import free_hour, hourly, list_tariffs

PROFILE = ProviderProfile(
    name="alice_bob",
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
