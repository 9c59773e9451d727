"""Microsoft's QDK, whose simulator is local."""

from qiskit_gateway.backends.failures.table import CALLER
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile, by_class

# The simulator of qdk 1.33 turns the wrong way for negative angles of controlled rotations, and
# run() brings such gates into circuits that it is let compile again.
_TURNS_WRONG = Adaptation(
    gates=frozenset({"crx", "cry", "crz"}), options={"skip_transpilation": True}
)

PROFILE = ProviderProfile(
    name="qdk",
    packages=("qdk",),
    adaptation=by_class({"qdk.qiskit.backends.qsharp_backend.QSharpBackend": _TURNS_WRONG}),
    # Its errors live in a module that calls itself "module".
    failures={"module": (CALLER, "QSharpError QasmError StimError")},
)
