"""Qiskit Aer, the simulator."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from math import sqrt
from typing import Any

from numpy.random import default_rng

from qiskit_gateway.backends.failures.table import CALLER
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.limits import Limits, read_property
from qiskit_gateway.backends.interface.native_primitive import JobTerms, NativePrimitive, Stds
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

# Gates whose angles Aer binds rightly by itself; checked against bound circuits by the tests. The
# controlled rotations are not among them: Aer 0.18 returns one result for any number of rows.
BINDS = frozenset({"p", "r", "rx", "rxx", "ry", "ryy", "rz", "rzx", "rzz", "u", "u1", "u2", "u3"})

# Their memory does not double with each qubit. Aer tells some number of qubits all the same: 63, or
# what a state vector may have. "automatic" chooses one of them where a state vector has no room.
_WIDE = frozenset({"automatic", "matrix_product_state", "stabilizer", "tensor_network"})

_NOT_PLAIN = ("executor", "noise_model")


def _any_width(backend: Any, options: Mapping[str, Any]) -> bool:
    method = options.get("method") or read_property(backend, "options", "method")
    # A coupling map is that of a machine, whose qubits are a limit.
    return method in _WIDE and read_property(backend, "coupling_map") is None


def _machine(backend: Any, options: Mapping[str, Any]) -> str:
    """Say whether a simulator takes turns with others: Aer 0.18 holds the interpreter for a whole job.

    A simulator with noise or a coupling map models a device, and subclasses and executors may do anything.
    """
    kind = type(backend)
    plain = kind.__name__ == "AerSimulator" and kind.__module__.startswith("qiskit_aer.")
    asked = (options.get(name) or read_property(backend, "options", name) for name in _NOT_PLAIN)
    if not plain or any(one is not None for one in asked):
        return ""
    # Its own property makes the whole target, in half a millisecond.
    couplings = read_property(backend.configuration(), "coupling_map")
    return "Python's interpreter" if couplings is None else ""


def _seed_for(sampler: Any, job: JobTerms) -> Any:
    """Return a sampler with the seed of a job: its own would be that of all jobs."""
    made = copy(sampler)
    # There is no public way. Without any, the one in its run options would count.
    made._seed = default_rng().integers(1 << 31).item() if job.seed is None else job.seed  # noqa: SLF001
    return made


# -- the native estimator: it computes the value of each Pauli, and adds noise as large as the precision.


def _for_estimator_job(estimator: Any, job: JobTerms) -> Any:
    """Return an estimator with the seed of a job; with noise it averages over as many runs as shots."""
    made = copy(estimator)
    options = {**estimator.options.run_options, "shots": job.shots}
    options.pop("seed_simulator", None)
    if job.seed is not None and job.pubs == 1:  # All PUBs of a job would have the same noise.
        options["seed_simulator"] = job.seed
    made._options = replace(estimator.options, run_options=options)  # noqa: SLF001  As above.
    return made


def _estimator_limits(_: Any, backend: Any, told: Limits) -> Limits:
    # Shots are of no matter to it but where there is noise, which it averages over them.
    return told if _is_noisy(backend) else replace(told, max_shots=None)


def _is_noisy(backend: Any) -> bool:
    return read_property(backend, "options", "noise_model") is not None


def _estimator_stds(_: Any, backend: Any, told: Stds, __: float) -> Stds:
    return told * sqrt(2) if _is_noisy(backend) else told


PROFILE = ProviderProfile(
    name="aer",
    packages=("qiskit_aer",),
    is_local=lambda _: True,
    jobs_overlap=True,
    num_qubits=("MAX_QUBITS_STATEVECTOR",),
    any_width=_any_width,
    own_durations=False,
    machine=_machine,
    binds=BINDS,
    primitive=NativePrimitive(
        overlaps=lambda *_: True,
        # As PUBs they are given to backend.run with their values, by parameter_binds.
        binds=lambda *_: BINDS,
        for_job=_seed_for,
    ),
    estimator=NativePrimitive(
        # It averages over what resets collapse, and tells nothing of the spread.
        adaptation=lambda *_: Adaptation(unsound=frozenset({"reset"})),
        limits=_estimator_limits,
        overlaps=lambda *_: True,
        binds=lambda *_: BINDS,
        for_job=_for_estimator_job,
        stds=_estimator_stds,
    ),
    failures={"qiskit_aer": (CALLER, "AerError NoiseError")},
)
