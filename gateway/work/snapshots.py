"""Circuits as they were when a run was asked for.

What the caller does to a circuit afterwards is nothing to the run.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from qiskit.circuit import ParameterExpression, QuantumCircuit

from qiskit_gateway.backends.forks import ProcessLock
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.work.expressions import find_fragile

_SIZE = 1024


@dataclass(slots=True)
class _Snapshot:
    """One circuit of the caller's, a copy of it, and the programs that were made of the copy."""

    original: QuantumCircuit
    copy: QuantumCircuit
    programs: dict[str | None, Program] = field(default_factory=dict)
    fragile: tuple[ParameterExpression, ...] = field(init=False)
    _plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self._plain = _is_plain(self.copy)
        self.fragile = find_fragile(self.copy)

    @property
    def is_current(self) -> bool:
        """True if the caller's circuit is what it was as the copy was made."""
        # Most are written alike, which is found out in a tenth of the time.
        plain = self._plain and not self.original.num_identifiers
        alike = plain and _form_of(self.original) == _form_of(self.copy)
        return alike or self.original == self.copy

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
        """Return copies of programs as they are now: the same as before, where nothing changed."""
        with self._lock:
            fresh: dict[int, _Snapshot] = {}
            for program in programs:
                key = id(program.circuit)
                if key not in fresh:
                    fresh[key] = self._refresh(program.circuit)
            while len(self._kept) > _SIZE:
                self._kept.popitem(last=False)
        return tuple(fresh[id(program.circuit)].program(program.basis) for program in programs)

    def fragile_in(self, circuit: QuantumCircuit) -> tuple[ParameterExpression, ...]:
        """Return what of a circuit may have no value, as of the last copy of it."""
        found = self._kept.get(id(circuit))
        return find_fragile(circuit) if found is None else found.fragile

    def _refresh(self, circuit: QuantumCircuit) -> _Snapshot:
        found = self._kept.pop(id(circuit), None)
        if found is None or found.original is not circuit or not found.is_current:
            found = _Snapshot(circuit, circuit.copy())
        self._kept[id(circuit)] = found
        return found


# Qiskit compares circuit data by far faster than circuits, but takes no notice of the bodies of
# control flow, nor of how long a delay is. Of these and of gates it does.
_COMPARED = frozenset({"measure", "reset", "barrier"})


def _is_plain(circuit: QuantumCircuit) -> bool:
    """Check whether a circuit is told by its data, its bits and its phase alone."""
    return not circuit.num_identifiers and all(
        one.is_standard_gate() or one.name in _COMPARED for one in circuit.data
    )


def _form_of(circuit: QuantumCircuit) -> tuple[object, ...]:
    return (
        circuit.global_phase,
        circuit.qubits,
        circuit.clbits,
        circuit.qregs,
        circuit.cregs,
        circuit.data,
    )
