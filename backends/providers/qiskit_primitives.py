"""Qiskit's own ``StatevectorSampler`` and ``StatevectorEstimator``."""

from copy import copy
from typing import Any

import numpy as np
from numpy.random import default_rng

from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.native_primitive import JobTerms, NativePrimitive, Stds
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

# It samples one final state: a reset collapses it once for all shots, and what is measured must come
# last.
_FINAL_STATES = Adaptation(
    unsound=frozenset({"reset"}), unanswered=frozenset({"mid-circuit", "repeated"})
)
# As Qiskit's BasicSimulator, so that no circuit takes all memory: the state has 256 MB.
_MAX_QUBITS = 24


def _seed_for(primitive: Any, job: JobTerms) -> Any:
    made = copy(primitive)
    # A number would be the seed of each PUB; a generator is drawn from by one after the other.
    made._seed = default_rng(job.seed)  # noqa: SLF001  There is no public way.
    return made


def _noise(_primitive: Any, _backend: Any, told: Stds, precision: float) -> Stds:
    # It adds noise as large as the precision to exact values, and tells a standard error of 0.
    return np.full_like(told, precision)


PROFILE = ProviderProfile(
    name="qiskit",
    packages=("qiskit.primitives.statevector_sampler", "qiskit.primitives.statevector_estimator"),
    primitive=NativePrimitive(
        adaptation=lambda *_: _FINAL_STATES,
        limits=lambda *_: Limits(num_qubits=_MAX_QUBITS),
        overlaps=lambda *_: True,
        for_job=_seed_for,
    ),
    estimator=NativePrimitive(
        # A reset collapses the state, once for all.
        adaptation=lambda *_: Adaptation(unsound=frozenset({"reset"})),
        limits=lambda *_: Limits(num_qubits=_MAX_QUBITS),
        overlaps=lambda *_: True,
        for_job=_seed_for,
        stds=_noise,
    ),
)
