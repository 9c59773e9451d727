"""Backends of pytket, as Qiskit's."""

from qiskit_gateway.backends.failures.table import CALLER
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile, by_class

PROFILE = ProviderProfile(
    name="pytket",
    packages=("pytket",),
    adaptation=by_class(
        # Registers come back in an order that depends on their names; a single one cannot.
        {"pytket.extensions.qiskit.tket_backend.TketBackend": Adaptation(flatten=True)}
    ),
    failures={
        "pytket": (
            CALLER,
            "CircuitNotValidError CircuitNotRunError InvalidResultType ResultHandleTypeError "
            "NoIBMQCredentialsError",
        ),
    },
)
