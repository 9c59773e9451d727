"""The Munich Quantum Toolkit: DDSIM and QDMI."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from qiskit_gateway.backends.failures.table import CALLER, FAILED, WRAPPER
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
# The version of mqt-core from which QDMI writes both.
_WRITES_BOTH = 4

_BY_CLASS = by_class(
    {
        "mqt.core.plugins.qiskit.backend.QDMIBackend": _KEEPS_LAST,
        f"{_DDSIM}.hybrid_qam_simulator_backend.HybridQasmSimulatorBackend": _REPORTS_QUBITS,
        f"{_DDSIM}.path_qasm_simulator_backend.PathQasmSimulatorBackend": _REPORTS_QUBITS,
        f"{_DDSIM}.qasm_simulator_backend.QasmSimulatorBackend": _KEEPS_LAST,
    }
)


def _adaptation(backend: Any, options: Mapping[str, Any]) -> Adaptation | None:
    found = _BY_CLASS(backend, options)
    is_qdmi = type(backend).__module__.startswith("mqt.core.")
    return None if is_qdmi and _core_version() >= _WRITES_BOTH else found


def _core_version() -> int:
    try:
        return int(version("mqt-core").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return 0


PROFILE = ProviderProfile(
    name="mqt",
    packages=("mqt",),
    adaptation=_adaptation,
    failures={
        "mqt wrapper": (WRAPPER, "QDMIQiskitError JobSubmissionError"),
        "mqt failed": (FAILED, "JobExecutionError"),
        "mqt caller": (
            CALLER,
            "UnsupportedDeviceError UnsupportedOperationError TranslationError "
            "CircuitValidationError UnsupportedFormatError",
        ),
    },
)
