"""A provider's native ``EstimatorV2`` as a member of a fleet."""

from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt
from typing import Any, Unpack

import numpy as np
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_gateway.backends.adapter.compiling_member import MemberSettings, check_settings
from qiskit_gateway.backends.adapter.payload import Pairs
from qiskit_gateway.backends.circuits.normalize import is_dynamic
from qiskit_gateway.backends.compilation.cache import Prepared
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.native_primitive import ModeKind, NativePrimitive, Stds
from qiskit_gateway.backends.primitive.estimates import blocks_of, read_estimates, require_wanted
from qiskit_gateway.backends.primitive.native_member import PLAIN, ModeTerms, NativeMember
from qiskit_gateway.backends.readout.outcomes import ReadOutcomes
from qiskit_gateway.backends.registry import profiles_of


class EstimatorMember(NativeMember):
    """A provider's native ``EstimatorV2`` in a fleet, for estimator work alone.

    It is sent PUBs, whole or in blocks of rows, and brings expectation values, with whatever error
    mitigation it has. In one fleet with members that bring bits, each row of a basis is estimated
    here or measured there; ``n`` shots there are a precision of ``1 / sqrt(n)`` here.

    Args:
        estimator: The primitive, with the options that all its jobs are to have. Its seed, and the
            precision that it has by default, are not used: both are those of the run.
        backend: What circuits are compiled for, a ``BackendV2`` or a ``Target``; by default the
            primitive's own.
        mode: As for :class:`~qiskit_gateway.backends.PrimitiveMember`, like all that follows. One
            circuit of a price is a row of one basis.
        mode_seconds: How long a batch or session may last.
        idle_seconds: How long it is left open with no job in flight. A session is billed meanwhile.
        **settings: As for a :class:`~qiskit_gateway.backends.Member`: ``name``, ``limits``, ``pricing``
            and so on. ``adaptation`` is what the primitive gets wrong.

    Raises:
        TypeError: If ``estimator`` is no ``EstimatorV2``, or one whose backend is a better member.
        ValueError: If a number is out of range, it is not known what to compile for, or the
            provider has no such mode.
    """

    _measures = False  # The estimator does that by itself.

    def __init__(
        self,
        estimator: BaseEstimatorV2,
        *,
        backend: BackendV2 | Target | None = None,
        mode: ModeKind = "job",
        mode_seconds: int | None = None,
        idle_seconds: float = 10.0,
        **settings: Unpack[MemberSettings],
    ) -> None:
        _require_estimator(estimator)
        held = ModeTerms(kind=mode, seconds=mode_seconds, idle_seconds=idle_seconds)
        super().__init__(estimator, backend, check_settings(type(self), settings), held)

    @property
    def estimator(self) -> BaseEstimatorV2:
        """The primitive."""
        assert isinstance(self.primitive, BaseEstimatorV2)  # noqa: S101
        return self.primitive

    def refusal(self, program: Program, shots: int, options: Mapping[str, Any]) -> str:
        """Give the reason why a program cannot run here, or ``""``: it must have a basis."""
        if program.basis is None:
            return (
                "is an EstimatorV2, which gives expectation values and no bits: a sampler needs the "
                "provider's SamplerV2, or its backend"
            )
        return super().refusal(program, shots, options)

    @property
    def _native(self) -> NativePrimitive:
        known = (profile.estimator for profile in profiles_of(self.primitive))
        return next(filter(None, known), PLAIN)

    def _prepare(self, program: Program, adaptation: Adaptation) -> Prepared:
        if program.basis is None:  # The caller did not ask beforehand.
            raise Refused({0: self.refusal(program, 1, {})})
        ready = super()._prepare(program, adaptation)
        if is_dynamic(ready.specimen) or ready.specimen.num_clbits:
            raise Refused(
                {0: "has measurements of its own, and an EstimatorV2 takes no such circuit"}
            )
        return ready

    def _pack(self, batch: Batch, pairs: Pairs) -> Callable[[], Any]:
        require_wanted(pairs)
        pubs = [pub for block in blocks_of(pairs) for pub in block.pubs()]
        precision = _precision(batch)
        estimator = self._for_job(batch, len(pubs))
        return partial(self._send, estimator, lambda one: one.run(pubs, precision=precision))

    def _read(self, result: Any, batch: Batch, pairs: Pairs) -> ReadOutcomes:
        return read_estimates(
            result, pairs, batch.kept_shots, lambda told: self._stds(told, _precision(batch))
        )

    def _stds(self, told: Stds, precision: float) -> Stds:
        stds = self._native.stds(self.primitive, self.backend, told, precision)
        # No error can be larger than that of these shots, which is the precision.
        return np.where(np.isfinite(stds) & (stds >= 0), stds, precision)


# So little less that rounding up gives the very number of shots again.
_ROUNDING = 1 + 1e-12


def _precision(batch: Batch) -> float:
    return _ROUNDING / sqrt(batch.shots)


def _require_estimator(estimator: object) -> None:
    if isinstance(estimator, BackendEstimatorV2):
        raise TypeError(
            "BackendEstimatorV2 adds nothing to its backend: give that to the fleet, "
            "Member(estimator.backend)"
        )
    if not isinstance(estimator, BaseEstimatorV2) or isinstance(estimator, type):
        raise TypeError(
            "an EstimatorMember needs an EstimatorV2; a PrimitiveMember takes a SamplerV2, for "
            f"estimator work too; got {estimator!r}"
        )
