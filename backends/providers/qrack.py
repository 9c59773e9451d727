"""Qrack, the simulator."""

from qiskit_gateway.backends.failures.table import CALLER
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

PROFILE = ProviderProfile(
    name="qrack",
    packages=("qiskit_qrack_provider",),
    is_local=lambda _: True,
    failures={
        "pyqrack": (CALLER, "QrackError"),
        "qiskit_qrack_provider": (CALLER, "QrackError"),
    },
)
