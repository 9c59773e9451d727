"""Quantinuum's credits (HQC)."""

from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.published import list_tariffs
from qiskit_gateway.backends.pricing.rates import Hqc


def _hqc(*, usd_per_hqc: float) -> Hqc:
    return Hqc(usd_per_hqc=usd_per_hqc)


PROFILE = ProviderProfile(
    name="quantinuum",
    tariffs=list_tariffs(
        "HQC",
        "MicrosoftDocs/quantum-docs, articles/pricing.md",
        "2026-04-15",
        {"quantinuum:hqc": _hqc},
        "5 + C (N1q + 10 N2q + 5 Nm) / 5000 credits for a circuit of C shots, Nm of measurements, "
        "initial preparations and resets; all branches of control flow count; what a credit costs is by contract",
    ),
)
