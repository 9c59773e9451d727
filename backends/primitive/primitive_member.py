"""A provider's native ``SamplerV2`` as a member of a fleet."""

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

from qiskit.primitives import BackendSamplerV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_gateway.backends.adapter.compiling_member import MemberSettings, check_settings
from qiskit_gateway.backends.adapter.payload import Pairs
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.native_primitive import ModeKind, NativePrimitive
from qiskit_gateway.backends.primitive.native_member import PLAIN, ModeTerms, NativeMember
from qiskit_gateway.backends.primitive.pubs import pubs_of, read_pubs
from qiskit_gateway.backends.readout.outcomes import ReadOutcomes
from qiskit_gateway.backends.registry import profiles_of


class PrimitiveMember(NativeMember):
    """A provider's native ``SamplerV2`` in a fleet, for sampler and estimator work alike.

    The router compiles, as for a backend, and sends PUBs; the primitive is never asked for more
    than bits. So all members measure the same circuits, and an estimator's work can go to any.

    Args:
        sampler: The primitive, with the options that all its jobs are to have. Its seed, and the
            shots that it has by default, are not used: both are those of the run.
        backend: What circuits are compiled for, a ``BackendV2`` or a ``Target``; by default the
            primitive's own.
        mode: How its jobs are held together, where the provider can do that: each by itself
            (``"job"``), in a ``"batch"``, or in a ``"session"``. It is opened for the first job, and
            closed when it idles, by :meth:`close`, or when the process ends. A primitive that is in
            one already stays there, and closing that is its owner's business.
        mode_seconds: How long the batch or session may last.
        idle_seconds: How long it is left open with no job in flight. A session is billed meanwhile.
        **settings: As for a :class:`~qiskit_gateway.backends.Member`: ``name``, ``limits``, ``pricing``
            and so on. ``adaptation`` is what the primitive gets wrong.

    Raises:
        TypeError: If ``sampler`` is no ``SamplerV2``, or one whose backend is a better member.
        ValueError: If a number is out of range, it is not known what to compile for, or the
            provider has no such mode.
    """

    def __init__(
        self,
        sampler: BaseSamplerV2,
        *,
        backend: BackendV2 | Target | None = None,
        mode: ModeKind = "job",
        mode_seconds: int | None = None,
        idle_seconds: float = 10.0,
        **settings: Unpack[MemberSettings],
    ) -> None:
        _require_sampler(sampler)
        held = ModeTerms(kind=mode, seconds=mode_seconds, idle_seconds=idle_seconds)
        super().__init__(sampler, backend, check_settings(type(self), settings), held)

    @property
    def sampler(self) -> BaseSamplerV2:
        """The primitive."""
        assert isinstance(self.primitive, BaseSamplerV2)  # noqa: S101
        return self.primitive

    @property
    def _native(self) -> NativePrimitive:
        known = (profile.primitive for profile in profiles_of(self.primitive))
        return next(filter(None, known), PLAIN)

    def _pack(self, batch: Batch, pairs: Pairs) -> Callable[[], Any]:
        pubs, shots = pubs_of(pairs), int(batch.shots)
        sampler = self._for_job(batch, len(pubs))
        return partial(self._send, sampler, lambda one: one.run(pubs, shots=shots))

    def _read(self, result: Any, batch: Batch, pairs: Pairs) -> ReadOutcomes:
        return read_pubs(result, pairs, batch.kept_shots)


def sampler_over(backend: BackendV2) -> BaseSamplerV2 | None:
    """Make the native sampler of a backend that has no ``backend.run``; ``None`` for any other."""
    natives = (profile.primitive for profile in profiles_of(backend) if profile.primitive)
    made: BaseSamplerV2 | None = next(filter(None, (one.over(backend) for one in natives)), None)
    return made


def _require_sampler(sampler: object) -> None:
    if isinstance(sampler, BackendSamplerV2):
        raise TypeError(
            "BackendSamplerV2 reads zeros where a backend returns no memory: give its backend to the "
            "fleet, Member(sampler.backend)"
        )
    if not isinstance(sampler, BaseSamplerV2) or isinstance(sampler, type):
        raise TypeError(
            "a PrimitiveMember needs a SamplerV2, for estimator work too; an EstimatorMember takes an "
            f"EstimatorV2; got {sampler!r}"
        )
