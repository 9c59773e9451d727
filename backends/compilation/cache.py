"""Circuits made fit for one backend, once, and kept.

Also the one place to import from for whatever concerns circuits as a backend gets them.
"""

from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import PassManager

from qiskit_gateway.backends.circuits.estimates import (
    Estimate,
    estimate_fidelity,
    estimate_seconds,
)
from qiskit_gateway.backends.compilation.prepare import (
    Base,
    Prepared,
    base_of,
    bind,
    parameter_binds,
    prepare,
    prepare_from,
    read_as_it_stands,
    values_of,
)
from qiskit_gateway.backends.compilation.target import Site, fits, misfit
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.forks import ProcessLock
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.backends.interface.limits import Limits

__all__ = [
    "Estimate",
    "IsaCache",
    "Prepared",
    "bind",
    "estimate_fidelity",
    "estimate_seconds",
    "fits",
    "misfit",
    "parameter_binds",
    "prepare",
    "values_of",
]


class IsaCache:
    """A cache of one backend's prepared programs.

    Programs are told apart by identity. Programs over the very same circuit object share its
    compilation, whatever basis they measure, as long as the circuit has not been changed since;
    those that read the circuit's own bits have one of their own.
    Safe for threads: a circuit is compiled once, even when two ask for it at the same time.

    Args:
        backend: Where the programs run.
        pass_manager: As for :func:`prepare`.
        without: As for :class:`Site`.
        limits: As for :class:`Site`.
        binds: As for :class:`Site`.
        tries: As for :class:`Site`.
        size: How many programs, and how many circuits, are kept at most.

    Attributes:
        pass_manager: As given.
    """

    def __init__(  # noqa: PLR0913  All but two of them are what Site is given.
        self,
        backend: Any,
        pass_manager: PassManager | None = None,
        *,
        without: frozenset[str] | None = None,
        limits: Limits | None = None,
        binds: Container[str] | None = None,
        tries: int = 1,
        size: int = 1024,
    ) -> None:
        self._backend = backend
        self.pass_manager = pass_manager
        self._without = without
        self._limits = limits
        self._binds = binds
        self._tries = tries
        self._programs: _Recent[tuple[Program, Prepared | str]] = _Recent(size)
        self._circuits: _Recent[_Known] = _Recent(size)
        self._estimates: _Recent[tuple[Program, Estimate]] = _Recent(size)
        self._size = size
        self._compiling = ProcessLock()
        self._asking = ProcessLock()
        self._site: Site | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold nothing yet; programs are compiled where they are used."""
        given: dict[str, Any] = {
            "without": self._without,
            "limits": self._limits,
            "binds": self._binds,
            "tries": self._tries,
        }
        anew = partial(IsaCache, **given, size=self._size)
        return anew, (self._backend, self.pass_manager)

    @property
    def site(self) -> Site:
        """The backend as a place to compile for, asked for its target at the first use."""
        # A lock of its own: that of a cached property is one for all backends before Python 3.12,
        # and some hang when they are asked.
        with self._asking:
            if self._site is None:
                self._site = Site(
                    self._backend,
                    self.pass_manager,
                    without=self._without,
                    limits=self._limits,
                    binds=self._binds,
                    tries=self._tries,
                )
            return self._site

    @property
    def is_asked(self) -> bool:
        """The backend has told what it can do; never blocks."""
        return self._site is not None

    def prepare(
        self, program: Program, *, flatten: bool = False, measured: bool = True
    ) -> Prepared:
        """Prepare a program as :func:`prepare` does, errors included, and remember it.

        Args:
            program: What to run.
            flatten: As for :func:`prepare`.
            measured: Whether to measure the basis of the program, if it has one.
        """
        key = (id(program), flatten, measured)
        found = self._programs.get(key)
        if found is None:
            with self._compiling:
                found = self._programs.get(key)
                if found is None:
                    wanted = program if measured else _measure_nothing(program)
                    found = (program, self._prepare(wanted, flatten=flatten))
                    self._programs.put(key, found)
        if isinstance(found[1], str):
            raise Refused({0: found[1]})
        return found[1]

    def prepare_to_read(
        self, program: Program, *, flatten: bool = False, measured: bool = True
    ) -> Prepared:
        """Prepare a program whose job was sent before, whatever the backend takes by now."""
        try:
            return self.prepare(program, flatten=flatten, measured=measured)
        except Refused:
            wanted = program if measured else _measure_nothing(program)
            return read_as_it_stands(wanted, self.site, flatten=flatten)

    def knows(self, program: Program, *, flatten: bool = False, measured: bool = True) -> bool:
        """Check whether a program has been prepared before; never blocks."""
        return self._programs.get((id(program), flatten, measured)) is not None

    def look_up_estimate(self, program: Program, *, flatten: bool = False) -> Estimate | None:
        """Look up an estimate made before, or ``None``; never blocks."""
        found = self._estimates.get((id(program), flatten))
        return found and found[1]

    def estimate(self, program: Program, *, flatten: bool = False) -> Estimate:
        """Estimate a program, compiling it; raise what :meth:`prepare` raises."""
        ready, site = self.prepare(program, flatten=flatten), self.site
        target, seconds = site.target, estimate_seconds(ready.specimen, site.target)
        made = Estimate(
            gates=ready.gates,
            fidelity=estimate_fidelity(ready.specimen, target),
            shot_seconds=None if seconds is None else seconds + site.pause_seconds,
        )
        self._estimates.put((id(program), flatten), (program, made))
        return made

    def _prepare(self, program: Program, *, flatten: bool) -> Prepared | str:
        known = self._look_up(program, flatten=flatten)
        if program.basis not in known.prepared:
            known.prepared[program.basis] = self._prepare_on(program, known.base)
        return known.prepared[program.basis]

    def _prepare_on(self, program: Program, base: "Base | str") -> Prepared | str:
        if isinstance(base, str):
            return base
        try:
            return prepare_from(program, base, self.site)
        except Refused as refused:
            return refused.reasons[0]

    def _look_up(self, program: Program, *, flatten: bool) -> "_Known":
        circuit = program.circuit
        # Which measurements can be left out depends on whether a basis is measured at the end.
        key = (id(circuit), flatten, program.reads_circuit)
        known = self._circuits.get(key)
        # A circuit is mutable, and somebody may have added to it since.
        if known is None or known.copy != circuit:
            copy = circuit.copy()
            try:
                base: Base | str = base_of(
                    replace(program, circuit=copy), self.site, flatten=flatten
                )
            except Refused as refused:
                base = refused.reasons[0]
            known = _Known(circuit=circuit, copy=copy, base=base)
            self._circuits.put(key, known)
        return known


def _measure_nothing(program: Program) -> Program:
    return replace(program, basis="I" * program.circuit.num_qubits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Known:
    """A cache's knowledge of one circuit object.

    Attributes:
        circuit: The object, kept so that nothing else gets its id.
        copy: What it was when it was compiled.
        base: What it was compiled to, or why it was refused.
        prepared: The same of each basis that was asked for.
    """

    circuit: QuantumCircuit
    copy: QuantumCircuit
    base: Base | str
    prepared: dict[str | None, Prepared | str] = field(default_factory=dict)


_Kept = TypeVar("_Kept")


class _Recent(Generic[_Kept]):
    """The values used last, under the identity of an object that they keep alive."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[tuple[int | bool, ...], _Kept] = OrderedDict()
        self._lock = ProcessLock()

    def get(self, key: tuple[int | bool, ...]) -> _Kept | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: tuple[int | bool, ...], value: _Kept) -> None:
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
