"""AQT, its own API and its simulators."""

from qiskit_gateway.backends.failures.table import CALLER, WRAPPER
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

PROFILE = ProviderProfile(
    name="aqt",
    packages=("qiskit_aqt_provider",),
    jobs_overlap=True,
    failures={
        "aqt_connector": (WRAPPER, "AqtConnectorError"),
        "qiskit_aqt_provider": (CALLER, "CircuitValidationError TokenNotFoundError"),
    },
)
