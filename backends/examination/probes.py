"""Small circuits whose outcomes are known, to find out by if a backend tells the truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import pi

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    ClassicalRegister,
    Clbit,
    Parameter,
    QuantumCircuit,
    QuantumRegister,
    Qubit,
)

from qiskit_gateway.backends.interface.adaptation import Trait


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A circuit and, for each of its parameter rows, the one outcome that it has.

    Attributes:
        name: What is looked at.
        circuit: The circuit.
        expected: The outcomes, row by row.
        rows: The parameter rows.
        basis: As of a :class:`~qiskit_gateway.backends.interface.batch.Program`.
    """

    name: str
    circuit: QuantumCircuit
    expected: tuple[int, ...]
    rows: NDArray[np.float64] = field(default_factory=lambda: np.empty((1, 0)))
    basis: str | None = None


TRAITS: tuple[Trait, ...] = ("repeated", "mid-circuit", "overwritten")
"""What backends may get wrong without being wrong about all the rest."""


def make_required_probes() -> list[Question]:
    """Make the probes that every backend has to get right.

    Together they tell apart every order of registers and of bits, registers sorted by name, and
    backends that report qubits instead of bits.
    """
    return [
        _probe_flipped_qubit("bit order", {"c": 3}, {0: 0, 1: 1, 2: 2}, flip=0),
        _probe_flipped_qubit("measured bits", {"c": 3}, {0: 2, 1: 0, 2: 1}, flip=0),
        _probe_flipped_qubit("register order", {"a": 1, "b": 2}, {0: 0, 1: 1, 2: 2}, flip=2),
        _probe_flipped_qubit("register names", {"z": 1, "y": 2}, {0: 0, 1: 1, 2: 2}, flip=2),
        _probe_flipped_qubit(
            "three registers", {"m": 1, "n": 1, "l": 1}, {0: 2, 1: 0, 2: 1}, flip=1
        ),
        _probe_flipped_qubit("unmeasured bits", {"c": 3}, {2: 0}, flip=0),
        _probe_flipped_qubit("unmeasured register", {"low": 2, "high": 1}, {2: 0}, flip=0),
        _probe_flipped_qubit("empty register", {"none": 0, "one": 1}, {0: 0}, flip=0),
        _probe_loose_bits(),
        _probe_parameters(),
    ]


def make_basis_probe() -> Question:
    """Make the probe that measures nothing itself, and is measured in a basis."""
    circuit = QuantumCircuit(3)
    circuit.x(2)
    circuit.h(0)
    return Question(name="basis", circuit=circuit, expected=(0b10,), basis="ZIX")


def make_lone_probe() -> Question:
    """Make the probe of a job of its own: it tells apart all that :func:`make_required_probes` do."""
    return _probe_flipped_qubit("job of one circuit", {"m": 1, "n": 2}, {0: 2, 1: 0, 2: 1}, flip=1)


def make_trait_probes() -> list[Question]:
    """Make the probes that backends may refuse, but must not get wrong."""
    repeated, middle = QuantumCircuit(1, 2), QuantumCircuit(1, 2)
    repeated.x(0)
    repeated.measure([0, 0], [0, 1])
    middle.x(0)
    middle.measure(0, 0)
    middle.x(0)
    middle.measure(0, 1)
    return [
        Question(name="repeated", circuit=repeated, expected=(0b11,)),
        Question(name="mid-circuit", circuit=middle, expected=(0b01,)),
        # Told apart: the first one counts, the lower or the higher qubit, 1 before 0 or 0 before 1.
        _probe_overwritten_bit(first=1, last=0, flip=0, expected=1),
        _probe_overwritten_bit(first=0, last=1, flip=0, expected=0),
        _probe_overwritten_bit(first=1, last=0, flip=1, expected=0),
        _probe_watched_qubit(),
    ]


def _probe_overwritten_bit(*, first: int, last: int, flip: int, expected: int) -> Question:
    circuit = QuantumCircuit(2, 1)
    circuit.x(flip)
    circuit.measure(first, 0)
    circuit.z(first)  # Or the first measurement would not be sent.
    circuit.measure(last, 0)
    return Question(name="overwritten", circuit=circuit, expected=(expected,))


def _probe_watched_qubit() -> Question:
    """Probe a qubit that stays where it is because it is measured on the way (Zeno's effect).

    Nothing reads these measurements: other qubits write the same bits. Where they are made, the
    outcome is seen in 74 % of the shots, and in 7 % where they are left out.
    """
    others = range(4)
    circuit = QuantumCircuit(5, 5)
    circuit.ry(pi / 6, 4)
    for other in others:
        circuit.measure(4, other)
        circuit.measure(other, other)
        circuit.ry(pi / 6, 4)
    circuit.measure(4, 4)
    return Question(name="overwritten", circuit=circuit, expected=(0,))


def _probe_flipped_qubit(
    name: str, registers: Mapping[str, int], measured: Mapping[int, int], *, flip: int
) -> Question:
    """Probe the order of bits: flip one qubit and measure some, given by classical bit."""
    circuit = QuantumCircuit(
        QuantumRegister(1 + max(measured.values()), "q"),
        *(ClassicalRegister(size, name) for name, size in registers.items()),
    )
    circuit.x(flip)
    for bit, qubit in measured.items():
        circuit.measure(qubit, bit)
    (written,) = (bit for bit, qubit in measured.items() if qubit == flip)
    return Question(name=name, circuit=circuit, expected=(1 << written,))


def _probe_loose_bits() -> Question:
    circuit = QuantumCircuit([Qubit(), Qubit()], [Clbit(), Clbit()])
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    return Question(name="loose bits", circuit=circuit, expected=(0b10,))


def _probe_parameters() -> Question:
    # The names are not in the order of use: rows follow circuit.parameters, which is sorted.
    circuit = QuantumCircuit(2, 2)
    circuit.rx(Parameter("b"), 0)
    circuit.rx(Parameter("a"), 1)
    circuit.measure([0, 1], [0, 1])
    rows = np.array([[pi, 0.0], [0.0, pi]])
    return Question(name="parameters", circuit=circuit, expected=(0b10, 0b01), rows=rows)
