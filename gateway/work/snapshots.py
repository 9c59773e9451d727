"""Circuits as they were when a run was asked for.

What the caller does to a circuit afterwards is nothing to the run.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.forks import ProcessLock
from qiskit_gateway.backends.interface.batch import Program

_SIZE = 1024


@dataclass(slots=True)
class _Snapshot:
    """One circuit of the caller's, a copy of it, and the programs that were made of the copy."""

    original: QuantumCircuit
    copy: QuantumCircuit
    programs: dict[str | None, Program] = field(default_factory=dict)

    def program(self, basis: str | None) -> Program:
        return self.programs.setdefault(basis, Program(circuit=self.copy, basis=basis))


class Snapshots:
    """Copies of programs, kept so that members know a circuit again that they have compiled.

    Safe for threads.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, _Snapshot] = OrderedDict()
        self._lock = ProcessLock()

    def __reduce__(self) -> tuple[type["Snapshots"], tuple[()]]:
        """Copies and pickles are empty: circuits are known by identity."""
        return Snapshots, ()

    def of(self, programs: tuple[Program, ...]) -> tuple[Program, ...]:
        """Return copies of programs as they stand: the same as before, where nothing changed."""
        with self._lock:
            fresh: dict[int, _Snapshot] = {}
            for program in programs:
                key = id(program.circuit)
                if key not in fresh:
                    fresh[key] = self._refresh(program.circuit)
            while len(self._kept) > _SIZE:
                self._kept.popitem(last=False)
        return tuple(fresh[id(program.circuit)].program(program.basis) for program in programs)

    def _refresh(self, circuit: QuantumCircuit) -> _Snapshot:
        found = self._kept.pop(id(circuit), None)
        if found is None or found.original is not circuit or found.copy != circuit:
            found = _Snapshot(circuit, circuit.copy())
        self._kept[id(circuit)] = found
        return found
