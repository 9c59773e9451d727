"""Superstaq."""

from qiskit_gateway.backends.failures.table import FAILED, WRAPPER
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

PROFILE = ProviderProfile(
    name="superstaq",
    packages=("qiskit_superstaq",),
    jobs_overlap=True,
    failures={
        "general_superstaq": (WRAPPER, "SuperstaqException SuperstaqServerException"),
        "general_superstaq failed": (FAILED, "SuperstaqUnsuccessfulJobException"),
    },
)
