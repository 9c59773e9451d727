"""qBraid, which resells devices for credits."""

from collections.abc import Callable

from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.published import list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing


def _credits(per_shot: float) -> Callable[..., Pricing]:
    def make(*, usd_per_credit: float = 0.01) -> Pricing:
        return Pricing(per_circuit=30 * usd_per_credit, per_shot=per_shot * usd_per_credit)

    return make


PROFILE = ProviderProfile(
    name="qbraid",
    tariffs=list_tariffs(
        "credits",
        "a project's document that cites docs.qbraid.com/v2/home/pricing",
        "mid-2026",
        {
            "qbraid:ionq_forte_1": _credits(8),
            "qbraid:ionq_forte_enterprise_1": _credits(8),
            "qbraid:iqm_emerald": _credits(0.16),
            "qbraid:iqm_garnet": _credits(0.145),
            "qbraid:rigetti_cepheus_1_108q": _credits(0.0425),
            "qbraid:aqt_ibex_q1": _credits(2.35),
            "qbraid:quera_aquila": _credits(1),
        },
        "30 credits for each task, and for each shot; one credit was 0.01 USD",
    ),
)
