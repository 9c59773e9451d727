"""Qiskit Aer, the simulator."""

from qiskit_gateway.backends.failures.table import CALLER
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

# Gates whose angles Aer binds rightly by itself; checked against bound circuits by the tests. The
# controlled rotations are not among them: Aer 0.18 returns one result for any number of rows.
_BINDS = frozenset({"p", "r", "rx", "rxx", "ry", "ryy", "rz", "rzx", "rzz", "u", "u1", "u2", "u3"})

PROFILE = ProviderProfile(
    name="aer",
    packages=("qiskit_aer",),
    jobs_overlap=True,
    num_qubits=("MAX_QUBITS_STATEVECTOR",),
    binds=_BINDS,
    failures={"qiskit_aer": (CALLER, "AerError NoiseError")},
)
