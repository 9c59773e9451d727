"""The Munich Quantum Toolkit: DDSIM and QDMI."""

from qiskit_gateway.backends.failures.table import CALLER, WRAPPER
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile, by_class

# Reports every qubit in order, whatever was measured and into which bit. No reading of that is
# right for all circuits.
_REPORTS_QUBITS = Adaptation(
    refusal="this simulator reports qubits where classical bits were asked for"
)
# Of a qubit that is measured into two bits, only the last is written.
_KEEPS_LAST = Adaptation(unsound=frozenset({"repeated"}))
_DDSIM = "mqt.ddsim"

PROFILE = ProviderProfile(
    name="mqt",
    packages=("mqt",),
    adaptation=by_class(
        {
            "mqt.core.plugins.qiskit.backend.QDMIBackend": _KEEPS_LAST,
            f"{_DDSIM}.hybrid_qam_simulator_backend.HybridQasmSimulatorBackend": _REPORTS_QUBITS,
            f"{_DDSIM}.path_qasm_simulator_backend.PathQasmSimulatorBackend": _REPORTS_QUBITS,
            f"{_DDSIM}.qasm_simulator_backend.QasmSimulatorBackend": _KEEPS_LAST,
        }
    ),
    failures={
        "mqt wrapper": (WRAPPER, "QDMIQiskitError JobSubmissionError"),
        "mqt caller": (
            CALLER,
            "UnsupportedDeviceError UnsupportedOperationError TranslationError "
            "CircuitValidationError UnsupportedFormatError",
        ),
    },
)
