"""Scaleway's quantum as a service."""

from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.published import hourly_eur, list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing


def _aqt(*, usd_per_eur: float) -> Pricing:
    return Pricing(per_circuit=0.30 * usd_per_eur, per_shot=0.021 * usd_per_eur)


PROFILE = ProviderProfile(
    name="scaleway",
    tariffs=list_tariffs(
        "EUR",
        "scaleway/docs-content, pull request 5902",
        "undated",
        {"scaleway:aqt_ibex_q1": _aqt, "scaleway:aqt_emulator": hourly_eur(0.75)},
        "0.30 EUR a circuit and 0.021 EUR a shot; emulators by the hour",
    ),
)
