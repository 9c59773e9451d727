"""What is known of particular providers, and how their answers are put right.

Names of classes and modules stand here, in ``lookup`` and in ``fault_table`` only; no provider is
imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.circuits.normalize import is_dynamic
from qiskit_gateway.backends.readout.bit_mapping import Wiring

Trait = Literal["mid-circuit", "repeated", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """How to talk to a backend whose bits do not come back as Qiskit's do.

    Attributes:
        flatten: Send a single classical register, because the order of several gets lost.
        register_order: As in :class:`~qiskit_gateway.backends.readout.bit_mapping.Wiring`.
        bit_order: As there.
        numbers: As there.
        unsound: Traits of circuits that come back wrong without an error: ``"mid-circuit"``, a
            gate after a measurement of the same qubit; ``"repeated"``, a qubit measured again with
            nothing in between; ``"reset"``. Circuits that have them are not sent.
        unanswered: Traits of circuits that are taken, and have no result in the end.
        alone: Traits of circuits that must be the only one of a job.
        bare: Send a circuit that is alone as it is, and not in a list.
        gates: Gates that its target has and its machine gets wrong; circuits are compiled without.
        options: What ``backend.run`` must always be told.
        refusal: Why no circuit can be trusted to this backend; empty where they can.
    """

    flatten: bool = False
    register_order: Literal["qiskit", "reversed"] = "qiskit"
    bit_order: Literal["qiskit", "reversed"] = "qiskit"
    numbers: Literal["sent", "measured"] = "sent"
    unsound: frozenset[Trait] = frozenset()
    unanswered: frozenset[Trait] = frozenset()
    alone: frozenset[Trait] = frozenset()
    bare: bool = False
    gates: frozenset[str] = frozenset()
    options: tuple[tuple[str, Any], ...] = ()
    refusal: str = ""

    def reason(self, circuit: QuantumCircuit) -> str:
        """Return why the answer to a circuit, as it is sent, is not to be trusted, or ``""``."""
        if self.refusal or not self.unsound | self.unanswered:
            return self.refusal
        found = traits(circuit)
        for trait in sorted(self.unsound & found):
            return f"gets {_CALLED[trait]} wrong without telling"
        for trait in sorted(self.unanswered & found):
            return f"has no result for circuits with {_CALLED[trait]}"
        return ""

    def goes_alone(self, circuit: QuantumCircuit) -> str:
        """Return why a circuit, as it is sent, must be the only one of its job, or ``""``."""
        for trait in sorted(self.alone & traits(circuit)) if self.alone else ():
            return f"takes circuits with {_CALLED[trait]} only one in a job"
        return ""

    def applied(self, wiring: Wiring) -> Wiring:
        """Return a wiring as it is for this backend."""
        if (self.register_order, self.bit_order, self.numbers) == ("qiskit", "qiskit", "sent"):
            return wiring
        return replace(
            wiring,
            register_order=self.register_order,
            bit_order=self.bit_order,
            numbers=self.numbers,
        )


_CALLED: dict[Trait, str] = {
    "mid-circuit": "mid-circuit measurements",
    "repeated": "repeated measurements",
    "reset": "resets",
}

FAITHFUL = Adaptation()
"""For backends that answer as Qiskit's own do."""


def traits(circuit: QuantumCircuit) -> frozenset[Trait]:
    """Return what a circuit has that some backends get wrong; control flow may have anything."""
    if is_dynamic(circuit):
        return frozenset(get_args(Trait))
    found: set[Trait] = set()
    measured: set[Any] = set()
    for instruction in circuit.data:
        if instruction.name == "barrier":
            continue
        if instruction.name == "reset":
            found.add("reset")
        if not measured.isdisjoint(instruction.qubits):
            found.add("repeated" if instruction.name == "measure" else "mid-circuit")
        if instruction.name == "measure":
            measured.update(instruction.qubits)
        else:
            measured.difference_update(instruction.qubits)
    return frozenset(found)


# Reports every qubit in order, whatever was measured and into which bit. No reading of that is
# right for all circuits.
_REPORTS_QUBITS = Adaptation(
    refusal="this simulator reports qubits where classical bits were asked for"
)
# Of a qubit that is measured into two bits, only the last is written.
_KEEPS_LAST = Adaptation(unsound=frozenset({"repeated"}))

# The simulator of qdk 1.33 turns the wrong way for negative angles of controlled rotations, and
# run() brings such gates into circuits that it is let compile again.
_TURNS_WRONG = Adaptation(
    gates=frozenset({"crx", "cry", "crz"}), options=(("skip_transpilation", True),)
)

# What IonQ's list of gates cannot express goes to it as a program, one in a job and only by itself.
# A job that is a list of one has no memory either.
_DYNAMIC: frozenset[Trait] = frozenset({"mid-circuit", "reset"})
_IONQ = Adaptation(alone=_DYNAMIC, bare=True)
# The ideal simulator answers with chances, of which such programs have none.
_IONQ_IDEAL = Adaptation(unanswered=_DYNAMIC, bare=True)

_ADAPTATIONS = {
    # Registers come back in an order that depends on their names; a single one cannot.
    "pytket.extensions.qiskit.tket_backend.TketBackend": Adaptation(flatten=True),
    "mqt.core.plugins.qiskit.backend.QDMIBackend": _KEEPS_LAST,
    "mqt.ddsim.hybrid_qam_simulator_backend.HybridQasmSimulatorBackend": _REPORTS_QUBITS,
    "mqt.ddsim.path_qasm_simulator_backend.PathQasmSimulatorBackend": _REPORTS_QUBITS,
    "mqt.ddsim.qasm_simulator_backend.QasmSimulatorBackend": _KEEPS_LAST,
    "qdk.qiskit.backends.qsharp_backend.QSharpBackend": _TURNS_WRONG,
    "qiskit_ionq.ionq_backend.IonQBackend": _IONQ,
    "qiskit_ionq.ionq_backend.IonQSimulatorBackend": _IONQ_IDEAL,
}

# Backends whose jobs may overlap: remote services, and simulators that keep the state of a run in
# the job. All others are given one job at a time, since many keep it on the backend object; the
# fakes of Qiskit and IBM among them, which run on BasicSimulator where Aer is not installed.
_OVERLAPPING = (
    "azure.quantum.",
    "iqm.",
    "qiskit_aer.",
    "qiskit_aqt_provider.",
    "qiskit_braket_provider.",
    "qiskit_ionq.",
    "qiskit_superstaq.",
)


def adaptation_for(backend: Any, options: Mapping[str, Any] = MappingProxyType({})) -> Adaptation:
    """Return what is known of a backend's class, or :data:`FAITHFUL`.

    Args:
        backend: The backend.
        options: The options of ``backend.run`` that all its jobs get.
    """
    for kind in type(backend).__mro__:
        found = _ADAPTATIONS.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is _IONQ_IDEAL and _noise(backend, options) != "ideal":
            found = _IONQ
        if found is not None:
            return found
    return FAITHFUL


def _noise(backend: Any, options: Mapping[str, Any]) -> Any:
    return options.get("noise_model") or getattr(backend.options, "noise_model", None)


def jobs_overlap(backend: Any) -> bool:
    """Return whether several jobs of one backend object are known to be safe."""
    return any(
        f"{kind.__module__}.".startswith(_OVERLAPPING)
        for kind in type(backend).__mro__
        if not kind.__module__.startswith("qiskit.providers.backend")
    )


def takes_parameter_binds(backend: Any) -> bool:
    """Return whether ``backend.run`` takes Aer's ``parameter_binds``."""
    # Those who wrap or subclass Aer with a run of their own seldom pass it on.
    return str(getattr(type(backend).run, "__module__", "")).startswith("qiskit_aer.")
