"""What is known of particular providers, and how their answers are put right.

Names of classes and modules stand here and in ``fault_table`` only; no provider is imported.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from qiskit_gateway.backends.wiring import Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """How to talk to a backend whose bits do not come back as Qiskit's do.

    Attributes:
        flatten: Send a single classical register, because the order of several gets lost.
        register_order: As in :class:`~qiskit_gateway.backends.wiring.Wiring`.
        bit_order: As there.
        numbers: As there.
        refusal: Why no circuit can be trusted to this backend; empty where they can.
    """

    flatten: bool = False
    register_order: Literal["qiskit", "reversed"] = "qiskit"
    bit_order: Literal["qiskit", "reversed"] = "qiskit"
    numbers: Literal["sent", "measured"] = "sent"
    refusal: str = ""

    def applied(self, wiring: Wiring) -> Wiring:
        """Return a wiring as it is for this backend."""
        if self == FAITHFUL:
            return wiring
        return replace(
            wiring,
            register_order=self.register_order,
            bit_order=self.bit_order,
            numbers=self.numbers,
        )


FAITHFUL = Adaptation()
"""For backends that answer as Qiskit's own do."""

_ADAPTATIONS = {
    # Two registers come back swapped; one cannot.
    "pytket.extensions.qiskit.tket_backend.TketBackend": Adaptation(flatten=True),
    "mqt.ddsim.hybridqasmsimulator.HybridQasmSimulatorBackend": Adaptation(
        refusal="DDSIM's hybrid simulator reports qubits where classical bits were asked for"
    ),
}

# Backends whose jobs may overlap: remote services, and simulators that keep the state of a run in
# the job. All others are given one job at a time, since many keep it on the backend object.
_OVERLAPPING = (
    "azure.quantum.",
    "iqm.",
    "qiskit.providers.fake_provider.",
    "qiskit_aer.",
    "qiskit_aqt_provider.",
    "qiskit_braket_provider.",
    "qiskit_ibm_runtime.",
    "qiskit_ionq.",
    "qiskit_superstaq.",
)


def adaptation_for(backend: Any) -> Adaptation:
    """Return what is known of a backend's class, or :data:`FAITHFUL`."""
    for kind in type(backend).__mro__:
        found = _ADAPTATIONS.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            return found
    return FAITHFUL


def jobs_overlap(backend: Any) -> bool:
    """Return whether several jobs of one backend object are known to be safe."""
    return any(
        f"{kind.__module__}.".startswith(_OVERLAPPING)
        for kind in type(backend).__mro__
        if not kind.__module__.startswith("qiskit.providers.backend")
    )


def takes_parameter_binds(backend: Any) -> bool:
    """Return whether ``backend.run`` takes Aer's ``parameter_binds``."""
    return any(kind.__module__.startswith("qiskit_aer.") for kind in type(backend).__mro__)
