"""The common base of native primitives as members: what is told of them, and their modes."""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_gateway.arguments import check_amount, check_choice, check_positive, make_plain
from qiskit_gateway.backends.adapter.compiling_member import CompilingMember, Said
from qiskit_gateway.backends.adapter.discovery import Told, read_in_time
from qiskit_gateway.backends.adapter.job_lookup import fetch, only_one
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.redaction import redact_name
from qiskit_gateway.backends.failures.translate import text_of, translate
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.limits import discover, read_property
from qiskit_gateway.backends.interface.native_primitive import (
    ALL_GATES,
    JobTerms,
    ModeKind,
    NativePrimitive,
)
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.backends.interface.provider_profile import bound_gates
from qiskit_gateway.backends.primitive.execution_mode import ModeKeeper
from qiskit_gateway.backends.readout.outcomes import Outcome

Primitive = BaseSamplerV2 | BaseEstimatorV2

PLAIN = NativePrimitive()
"""For primitives of which nothing is known."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeTerms:
    """How the jobs of a primitive are held together.

    Attributes:
        kind: Each by itself (``"job"``), in a ``"batch"``, or in a ``"session"``.
        seconds: How long the batch or session may last.
        idle_seconds: How long it is left open with no job in flight.

    Raises:
        TypeError: If a time is no number.
        ValueError: If there is no such mode, or a number is out of range.
    """

    kind: ModeKind = "job"
    seconds: int | None = None
    idle_seconds: float = 10.0

    def __post_init__(self) -> None:
        check_choice("mode", self.kind, get_args(ModeKind))
        check_amount("idle_seconds", self.idle_seconds)
        if self.seconds is not None:
            check_positive("mode_seconds", self.seconds)
        make_plain(self)


class NativeMember(CompilingMember):
    """A native primitive that is sent PUBs.

    Subclassing:
        Say what is known of the primitive, what runs PUBs, and what reads their results.

    Args:
        primitive: The primitive.
        backend: What circuits are compiled for; by default the primitive's own.
        said: What the user says.
        mode: How its jobs are held together.

    Attributes:
        primitive: The primitive.
        mode: The kind of mode.

    Raises:
        TypeError: If ``backend`` is none.
        ValueError: If it is not known what to compile for, or the provider has no such mode.
    """

    _copied = (*CompilingMember._copied, "primitive")  # noqa: SLF001  Its own base.

    def __init__(
        self,
        primitive: Primitive,
        backend: BackendV2 | Target | None,
        said: Said,
        mode: ModeTerms,
    ) -> None:
        self.primitive = primitive
        native = self._native
        place = _place_of(primitive, backend, native)
        super().__init__(
            place,
            read_in_time(
                partial(_read_properties, primitive, place, native), type(primitive).__name__
            ),
            said,
            binds=_binds_of(primitive, place, native),
        )
        self.mode = mode.kind
        self._keeper = self._make_keeper(mode)

    @property
    @abstractmethod
    def _native(self) -> NativePrimitive:
        """The facts about the primitive. Not kept: they are no part of copies and pickles."""

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

    def _make_keeper(self, mode: ModeTerms) -> ModeKeeper | None:
        if mode.kind == "job":
            return None
        modes = self._native.modes
        if modes is None:
            raise ValueError(
                f"{type(self.primitive).__name__} has no mode {mode.kind!r}: its provider runs each job "
                "by itself"
            )
        if modes.of(self.primitive) is not None:
            raise ValueError(
                f"the primitive is in a {type(modes.of(self.primitive)).__name__} already: give one that "
                f"is made with the backend, or leave out mode={mode.kind!r}"
            )
        begin = partial(modes.begin, mode.kind, self.backend, mode.seconds)
        return ModeKeeper(begin, mode.idle_seconds)

    # -- in a thread -------------------------------------------------------------------------

    def _for_job(self, batch: Batch, pubs: int) -> Any:
        """Return the primitive for one job.

        Raises:
            Refused: If the run has options that it does not take.
        """
        if reason := self._objection(batch.options):
            raise Refused(dict.fromkeys(range(len(batch.entries)), reason))
        terms = JobTerms(seed=batch.seed, key=batch.key, pubs=pubs, shots=int(batch.shots))
        return self._native.for_job(self.primitive, terms)

    def _send(self, primitive: Any, run: Callable[[Any], Any]) -> Any:
        """Have a primitive run something, in the batch or session that its jobs are in."""
        if self._keeper is None:
            return self._run_in(self._mode_of(primitive), primitive, run)
        try:
            return self._send_in_mode(self._keeper, primitive, run)
        except _ClosedError:
            # It has lasted for as long as it may. Nothing was sent, and the next one is new.
            return self._send_in_mode(self._keeper, primitive, run)

    def _send_in_mode(self, keeper: ModeKeeper, primitive: Any, run: Callable[[Any], Any]) -> Any:
        assert self._native.modes is not None  # noqa: S101
        mode, job = keeper.enter(), None
        try:
            inside = self._native.modes.enter(primitive, mode)
            job = self._run_in(mode, inside, run)
        except _ClosedError:
            keeper.forget(mode)
            raise
        finally:
            keeper.leave(job)
        return job

    def _run_in(self, mode: Any, primitive: Any, run: Callable[[Any], Any]) -> Any:
        try:
            return run(primitive)
        except Exception as error:
            if mode is not None and self._is_closed(mode, error):
                raise _ClosedError(self.name, mode, error) from error
            raise

    def _mode_of(self, primitive: Any) -> Any:
        return None if self._native.modes is None else self._native.modes.of(primitive)

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


# -- what is told of a primitive ----------------------------------------------------------------


def _place_of(
    primitive: Primitive, given: BackendV2 | Target | None, native: NativePrimitive
) -> Any:
    name = type(primitive).__name__
    if isinstance(given, BackendV2):
        return given
    if isinstance(given, Target):
        return TargetOnly(name=name, target=given, num_qubits=given.num_qubits)
    if given is not None:
        raise TypeError(f"backend must be a BackendV2 or a Target, got {given!r}")
    for attribute in ("backend", "_backend"):
        found = read_property(primitive, attribute)
        found = found() if callable(found) else found
        if isinstance(found, BackendV2):
            return found
    if native is not PLAIN:
        known = native.backend(primitive)
        return TargetOnly(name=name) if known is None else known
    raise ValueError(
        f"{name} names no backend to compile for: give one, backend=..., a BackendV2 or a Target"
    )


def _binds_of(primitive: Primitive, place: Any, native: NativePrimitive) -> Any:
    # Over a simulator that binds some gates wrongly, the caller binds them.
    return bound_gates(place) or ALL_GATES if native is PLAIN else native.binds(primitive, place)


def _read_properties(primitive: Primitive, place: Any, native: NativePrimitive) -> Told:
    # A number of circuits is told of backend.run: a PUB has as many rows as it likes.
    limits = native.limits(primitive, place, replace(discover(place), max_circuits=None))
    return Told(
        redact_name(str(read_property(place, "name") or type(primitive).__name__)),
        limits,
        native.overlaps(primitive, place),
        native.adaptation(primitive, place),
    )
