"""A member's work order: programs, their parameter rows, and shots.

A :class:`Batch` becomes exactly one provider job. It speaks of circuits as the user wrote them;
how they must look for one backend is that member's business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparseObservable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A circuit as the user wrote it, and what to measure at its end.

    Programs are compared by identity: what a member prepares for one is kept under it.

    Attributes:
        circuit: The circuit, with free parameters or without. Not modified.
        basis: ``None`` to run the circuit's own measurements. Otherwise a Pauli label over the
            circuit's qubits, qubit 0 rightmost (``"XIZ"``): the circuit's final state is measured
            in that basis, one classical bit for each letter that is not ``I``, lowest qubit
            first, and those bits are all that is read.
    """

    circuit: QuantumCircuit
    basis: str | None = None

    @property
    def num_bits(self) -> int:
        """Number of classical bits of a shot of this program."""
        if self.basis is None:
            return len(self.circuit.clbits)
        return len(self.basis) - self.basis.count("I")

    @property
    def reads_circuit(self) -> bool:
        """Whether the circuit's own classical bits are read, if it has any."""
        return self.basis is None and bool(self.circuit.clbits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wanted:
    """The expectation values that some consecutive rows of a program are measured for.

    Most members bring the bits of the program's basis, and have no use for it. One that estimates
    by itself brings these values in their place.

    Attributes:
        rows: How many rows.
        size: How many observables there are.
        make: Makes the observables, over the circuit's qubits: each a sum of terms that the basis
            measures, scaled so that a shot has a standard deviation of at most 1. So ``n`` shots
            mean a precision of ``1 / sqrt(n)``.
        group: What has the same number comes from the same PUB, in this process and in one that
            reads the result in its place.
    """

    rows: int
    size: int
    make: Callable[[], Sequence[SparseObservable]]
    group: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One program and the parameter rows to run it with.

    Attributes:
        program: What to run.
        rows: Parameter values, shape ``(circuits, num_parameters)``, columns in the order of
            ``circuit.parameters``. One row of width 0 for a circuit without parameters.
        wanted: For a program with a basis, what its rows are measured for, if that is known: all
            rows, in order.
    """

    program: Program
    rows: NDArray[np.float64]
    wanted: tuple[Wanted, ...] = ()

    @property
    def circuits(self) -> int:
        """Number of circuits of this entry."""
        return len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """The content of one provider job.

    Attributes:
        entries: What to run, in order; outcomes come back in the same order, row by row.
        shots: Shots of every circuit, as asked of the provider.
        kept_shots: Shots of every circuit that are wanted; fewer than ``shots`` where a provider
            has a minimum. Outcomes hold at most this many.
        seed: Seed for simulators, or ``None`` to leave it to the backend.
        options: The user's own options of ``backend.run``.
        key: A name for this submission that no other has; sent along where a provider takes one.
    """

    entries: tuple[Entry, ...]
    shots: int
    kept_shots: int
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def widths(self) -> list[int]:
        """Classical bits of each circuit, in order."""
        return [one.program.num_bits for one in self.entries for _ in range(one.circuits)]

    @property
    def observables(self) -> list[int]:
        """Observables that each circuit may be estimated for in place of its bits, in order."""
        return [
            size
            for entry in self.entries
            for rows, size in [(part.rows, part.size) for part in entry.wanted]
            or [(entry.circuits, 0)]
            for _ in range(rows)
        ]

    @property
    def circuits(self) -> int:
        """Number of circuits of the job."""
        return sum(entry.circuits for entry in self.entries)
