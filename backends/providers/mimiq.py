"""MIMIQ of QPerfect, its service and its local simulator."""

from qiskit_gateway.backends.failures.table import CALLER, CONNECTION
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

# One class is both the service and local simulators, whose jobs may not be safe side by side.
PROFILE = ProviderProfile(
    name="mimiq",
    packages=("mimiq_qiskit",),
    failures={
        "mimiq_qiskit": (CALLER, "UnsupportedGateError"),
        "mimiqcircuits": (
            CALLER,
            "UnsupportedCapabilityError UnboundSymbolicError RemotePassOrderError "
            "UnacceptedPassError DecompositionError UnexpectedSymbolics UndefinedValue QASMError",
        ),
        "mimiqlink": (CONNECTION, "MimiqConnectionError"),
    },
)
