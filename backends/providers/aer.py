"""Qiskit Aer, the simulator."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from numpy.random import default_rng

from qiskit_gateway.backends.failures.table import CALLER
from qiskit_gateway.backends.interface.limits import read_property
from qiskit_gateway.backends.interface.native_primitive import JobTerms, NativePrimitive
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

# Gates whose angles Aer binds rightly by itself; checked against bound circuits by the tests. The
# controlled rotations are not among them: Aer 0.18 returns one result for any number of rows.
BINDS = frozenset({"p", "r", "rx", "rxx", "ry", "ryy", "rz", "rzx", "rzz", "u", "u1", "u2", "u3"})

# Their memory does not double with each qubit. Aer tells some number of qubits all the same: 63, or
# what a state vector may have. "automatic" chooses one of them where a state vector has no room.
_WIDE = frozenset({"automatic", "matrix_product_state", "stabilizer", "tensor_network"})


def _any_width(backend: Any, options: Mapping[str, Any]) -> bool:
    method = options.get("method") or read_property(backend, "options", "method")
    # A coupling map is that of a machine, whose qubits are a limit.
    return method in _WIDE and read_property(backend, "coupling_map") is None


def _seeded(sampler: Any, job: JobTerms) -> Any:
    """Return a sampler with the seed of a job: its own would be that of all jobs."""
    made = copy(sampler)
    # There is no public way. Without any, the one in its run options would count.
    made._seed = default_rng().integers(1 << 31).item() if job.seed is None else job.seed  # noqa: SLF001
    return made


PROFILE = ProviderProfile(
    name="aer",
    packages=("qiskit_aer",),
    jobs_overlap=True,
    num_qubits=("MAX_QUBITS_STATEVECTOR",),
    any_width=_any_width,
    binds=BINDS,
    primitive=NativePrimitive(
        overlaps=lambda *_: True,
        # As PUBs they are given to backend.run with their values, by parameter_binds.
        binds=lambda *_: BINDS,
        for_job=_seeded,
    ),
    failures={"qiskit_aer": (CALLER, "AerError NoiseError")},
)
