"""MENOS, a local simulator that chooses among engines."""

import importlib
from typing import Any

from qiskit_gateway.backends.failures.table import CALLER, FAILED
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.native_primitive import NativePrimitive
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile, by_class

# Its engines sample final states.
_FINAL_STATES = Adaptation(unanswered=frozenset({"mid-circuit"}))
_SORTED = Adaptation(
    refusal="its shots come sorted by outcome; give the fleet a MENOSBackend, whose counts are shuffled"
)


def _target_of(_: Any) -> Any:
    """Find what its estimator runs, which knows no backend."""
    return importlib.import_module("menos.qiskit").MENOSBackend()


PROFILE = ProviderProfile(
    name="menos",
    packages=("menos",),
    is_local=lambda _: True,
    adaptation=by_class({"menos.qiskit.backend.MENOSBackend": _FINAL_STATES}),
    primitive=NativePrimitive(adaptation=lambda *_: _SORTED, backend=_target_of),
    # It binds no parameters. Its values are exact, and so is the standard error of 0 that it tells.
    estimator=NativePrimitive(
        adaptation=lambda *_: _FINAL_STATES,
        backend=_target_of,
        binds=lambda *_: frozenset(),
    ),
    failures={
        "menos": (CALLER, "InvalidCircuitError UnsupportedFeatureError ResourceExceededError"),
        "menos failed": (FAILED, "MenosError InternalError"),
    },
)
