"""A provider's native ``SamplerV2`` as a member of a fleet."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

from qiskit.primitives import BackendSamplerV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.transpiler import PassManager, Target

from qiskit_gateway.backends.adapter.compiling_member import CompilingMember, Said
from qiskit_gateway.backends.adapter.discovery import Told, told_in_time
from qiskit_gateway.backends.adapter.job_lookup import fetch, only_one
from qiskit_gateway.backends.adapter.payload import Pairs
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.redaction import redact_name
from qiskit_gateway.backends.failures.translate import text_of, translate
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.limits import Limits, discover, read_property
from qiskit_gateway.backends.interface.native_primitive import (
    ALL_GATES,
    JobTerms,
    ModeKind,
    NativePrimitive,
)
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.backends.interface.provider_profile import bound_gates
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.pricing.rates import Tariff
from qiskit_gateway.backends.primitive.execution_mode import ModeKeeper
from qiskit_gateway.backends.primitive.pubs import pubs_of, read_pubs
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes
from qiskit_gateway.backends.registry import profiles_of

_PLAIN = NativePrimitive()

_SAYS_CLOSED = re.compile(r"\b(?:session|batch) (?:is|was|has been) closed", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetOnly:
    """The compilation target of a primitive without a backend.

    Attributes:
        name: What to call it.
        target: What it runs; ``None`` for anything.
        num_qubits: Its width, if that is known.
    """

    name: str
    target: Target | None = None
    num_qubits: int | None = None


class PrimitiveMember(CompilingMember):
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
        name: Its label; by default the backend's own name. A fleet makes it unique.
        limits: What a job may be; whatever is given wins over what is known.
        pricing: As for a :class:`~qiskit_gateway.backends.Member`, like all that follows.
        weight: Share of the work under policies that weigh.
        fidelity: Expected fidelity of its circuits in [0, 1].
        queue: Returns how long a job waits behind those of others, in seconds.
        speed: How long its jobs run.
        pass_manager: What to compile circuits with.
        compile_tries: How often to compile each circuit, to send the best.
        tags: Free labels.
        adaptation: What the primitive gets wrong; by default what is known of it.

    Attributes:
        sampler: The primitive.

    Raises:
        TypeError: If ``sampler`` is no ``SamplerV2``, or one whose backend is a better member.
        ValueError: If a number is out of range, there is no telling what to compile for, or the
            provider has no such mode.
    """

    _copied = (*CompilingMember._copied, "sampler")  # noqa: SLF001  Its own base.

    def __init__(  # noqa: PLR0913  All that a user may say of a primitive.
        self,
        sampler: BaseSamplerV2,
        *,
        backend: BackendV2 | Target | None = None,
        mode: ModeKind = "job",
        mode_seconds: int | None = None,
        idle_seconds: float = 10.0,
        name: str | None = None,
        limits: Limits | None = None,
        pricing: Tariff | None = None,
        weight: float = 1.0,
        fidelity: float | None = None,
        queue: Callable[[], float] | None = None,
        speed: Speed | None = None,
        pass_manager: PassManager | None = None,
        compile_tries: int = 1,
        tags: Iterable[str] = (),
        adaptation: Adaptation | None = None,
    ) -> None:
        _require_sampler(sampler)
        said = Said(
            name=name,
            limits=limits,
            pricing=pricing,
            weight=weight,
            fidelity=fidelity,
            queue=queue,
            speed=speed,
            pass_manager=pass_manager,
            compile_tries=compile_tries,
            tags=tags,
            adaptation=adaptation,
        )
        self.sampler = sampler
        native, place = _native_of(sampler), _place_of(sampler, backend)
        super().__init__(
            place,
            told_in_time(partial(_told, sampler, place, native), type(sampler).__name__),
            said,
            binds=_binds_of(sampler, place, native),
        )
        self.mode = mode
        self._keeper = self._kept(mode_seconds, idle_seconds)

    @property
    def _native(self) -> NativePrimitive:
        # Not kept: what is known of a provider is no part of copies and pickles.
        return _native_of(self.sampler)

    def close(self) -> None:
        """Close the batch or session that is open; jobs that are in it run on. Blocks.

        The next job opens one anew. Raises whatever the provider does.
        """
        if self._keeper is not None:
            self._keeper.close()

    # -- what can be told at once ------------------------------------------------------------

    @property
    def known_options(self) -> frozenset[str]:
        """Report that it knows no options of ``backend.run``."""
        return frozenset()

    @property
    def finds(self) -> bool:
        """True if the provider lists jobs with a name of ours, to find them by."""
        return self._native.jobs is not None and read_property(self.backend, "service") is not None

    def _objection(self, options: Mapping[str, Any]) -> str:
        for name in options:
            return f"takes no options of backend.run, such as {name!r}: set those of its primitive"
        return ""

    def _kept(self, mode_seconds: int | None, idle_seconds: float) -> ModeKeeper | None:
        if self.mode not in get_args(ModeKind):
            raise ValueError(
                f"mode must be one of {', '.join(map(repr, get_args(ModeKind)))}, got {self.mode!r}"
            )
        if not idle_seconds >= 0:
            raise ValueError(f"idle_seconds must not be negative, got {idle_seconds!r}")
        if mode_seconds is not None and not mode_seconds > 0:
            raise ValueError(f"mode_seconds must be positive, got {mode_seconds!r}")
        if self.mode == "job":
            return None
        modes = self._native.modes
        if modes is None:
            raise ValueError(
                f"{type(self.sampler).__name__} has no mode {self.mode!r}: its provider runs each job "
                "by itself"
            )
        if modes.of(self.sampler) is not None:
            raise ValueError(
                f"the primitive is in a {type(modes.of(self.sampler)).__name__} already: give one that "
                f"is made with the backend, or leave out mode={self.mode!r}"
            )
        return ModeKeeper(partial(modes.begin, self.mode, self.backend, mode_seconds), idle_seconds)

    # -- in a thread -------------------------------------------------------------------------

    def _pack(self, batch: Batch, pairs: Pairs) -> Callable[[], Any]:
        if reason := self._objection(batch.options):
            raise Refused(dict.fromkeys(range(len(batch.entries)), reason))
        pubs = pubs_of(pairs)
        terms = JobTerms(seed=batch.seed, key=batch.key, pubs=len(pubs))
        sampler = self._native.for_job(self.sampler, terms)
        return partial(self._sent, sampler, pubs, int(batch.shots))

    def _sent(self, sampler: Any, pubs: Sequence[Any], shots: int) -> Any:
        if self._keeper is None:
            return self._run_in(self._mode_of(sampler), sampler, pubs, shots)
        try:
            return self._sent_in_mode(self._keeper, sampler, pubs, shots)
        except _ClosedError:
            # It has lasted for as long as it may. Nothing was sent, and the next one is new.
            return self._sent_in_mode(self._keeper, sampler, pubs, shots)

    def _sent_in_mode(
        self, keeper: ModeKeeper, sampler: Any, pubs: Sequence[Any], shots: int
    ) -> Any:
        assert self._native.modes is not None  # noqa: S101
        mode, job = keeper.enter(), None
        try:
            inside = self._native.modes.enter(sampler, mode)
            job = self._run_in(mode, inside, pubs, shots)
        except _ClosedError:
            keeper.forget(mode)
            raise
        finally:
            keeper.leave(job)
        return job

    def _run_in(self, mode: Any, sampler: Any, pubs: Sequence[Any], shots: int) -> Any:
        try:
            return sampler.run(pubs, shots=shots)
        except Exception as error:
            if mode is not None and self._is_closed(mode, error):
                raise _ClosedError(self.name, mode, error) from error
            raise

    def _mode_of(self, sampler: Any) -> Any:
        return None if self._native.modes is None else self._native.modes.of(sampler)

    def _is_closed(self, mode: Any, error: Exception) -> bool:
        """Check whether a job was refused because its session or batch is closed."""
        if _SAYS_CLOSED.search(text_of(error)):
            return True
        # A connection that was closed says nothing of that: the job may have been taken.
        if self._native.modes is None or translate(error, phase="submit").submitted is not False:
            return False
        try:
            return self._native.modes.is_closed(mode)
        except Exception:  # noqa: BLE001  Then it is what the first error says.
            return False

    def _collect(self, handle: Handle) -> Sequence[Outcome]:
        try:
            return super()._collect(handle)
        finally:
            if self._keeper is not None:
                self._keeper.note_over(handle.job)

    def _read(self, result: Any, batch: Batch, pairs: Pairs) -> ReadOutcomes:
        return read_pubs(result, pairs, batch.kept_shots)

    def _fetch(self, job_id: str) -> Any:
        return fetch(self.backend, job_id) if self.finds else None

    def _look_up(self, key: str) -> Any:
        assert self._native.jobs is not None  # noqa: S101
        return only_one(self._native.jobs(self.backend, key), key)


class _ClosedError(BackendError):
    """A job was not taken because the batch or session that it was sent in is closed."""

    def __init__(self, name: str, mode: Any, error: Exception) -> None:
        kind = type(mode).__name__.lower()
        super().__init__(
            f"the {kind} of {name} is closed, so that nothing was sent ({text_of(error)}); give a "
            f"primitive that is made with the backend, and mode={kind!r}, to have one opened and "
            "closed as it is needed",
            transient=False,
            fault="backend",
            submitted=False,
        )


def sampler_over(backend: BackendV2) -> BaseSamplerV2 | None:
    """Make the native sampler of a backend that has no ``backend.run``; ``None`` for any other."""
    natives = (profile.primitive for profile in profiles_of(backend) if profile.primitive)
    made: BaseSamplerV2 | None = next(filter(None, (one.over(backend) for one in natives)), None)
    return made


# -- what a primitive is ---------------------------------------------------------------------


def _require_sampler(sampler: object) -> None:
    if isinstance(sampler, BackendSamplerV2):
        raise TypeError(
            "BackendSamplerV2 reads zeros where a backend returns no memory: give its backend to the "
            "fleet, Member(sampler.backend)"
        )
    if not isinstance(sampler, BaseSamplerV2) or isinstance(sampler, type):
        raise TypeError(
            f"a PrimitiveMember needs a SamplerV2, for estimator work too; got {sampler!r}"
        )


def _native_of(sampler: BaseSamplerV2) -> NativePrimitive:
    known = (profile.primitive for profile in profiles_of(sampler))
    return next(filter(None, known), _PLAIN)


def _place_of(sampler: BaseSamplerV2, given: BackendV2 | Target | None) -> Any:
    """Find the backend that circuits are compiled for."""
    name = type(sampler).__name__
    if isinstance(given, BackendV2):
        return given
    if isinstance(given, Target):
        return TargetOnly(name=name, target=given, num_qubits=given.num_qubits)
    if given is not None:
        raise TypeError(f"backend must be a BackendV2 or a Target, got {given!r}")
    for attribute in ("backend", "_backend"):
        found = read_property(sampler, attribute)
        found = found() if callable(found) else found
        if isinstance(found, BackendV2):
            return found
    if any(profile.primitive for profile in profiles_of(sampler)):
        return TargetOnly(name=name)  # It is known to run anything.
    raise ValueError(
        f"{name} tells no backend, so that there is no telling what to compile for: give "
        "backend=, a BackendV2 or a Target"
    )


def _binds_of(sampler: BaseSamplerV2, place: Any, native: NativePrimitive) -> Any:
    # Over a simulator that binds some gates wrongly, the caller binds them.
    return bound_gates(place) or ALL_GATES if native is _PLAIN else native.binds(sampler, place)


def _told(sampler: BaseSamplerV2, place: Any, native: NativePrimitive) -> Told:
    # A number of circuits is told of backend.run: a PUB has as many rows as it likes.
    limits = native.limits(sampler, place, replace(discover(place), max_circuits=None))
    return Told(
        redact_name(str(read_property(place, "name") or type(sampler).__name__)),
        limits,
        native.overlaps(sampler, place),
        native.adaptation(sampler, place),
    )
