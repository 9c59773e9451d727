"""PUBs of unlike shapes and shots, and what they give exactly."""

from dataclasses import dataclass
from math import pi, prod

import numpy as np
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit
from qiskit.quantum_info import Statevector

# Chance that a right distribution is called wrong, for one row; there are less than 1000 rows.
CHANCE = 1e-13


def ask(number, seed=20):
    """Return so many PUBs; the same each time."""
    rng = np.random.default_rng(seed)
    return [asked(rng) for _ in range(number)]


def rows_of(result):
    """Return the shots of each row of each PUB as texts, all registers joined."""
    for pub in result:
        bits = pub.join_data()
        for index in np.ndindex(bits.shape):
            assert bits.num_shots == pub.metadata["shots"]
            yield bits.get_bitstrings(index)


@dataclass(frozen=True)
class Asked:
    """A PUB, and the probability of each outcome of each of its rows."""

    circuit: QuantumCircuit
    values: np.ndarray
    shots: int
    distributions: list

    @property
    def pub(self):
        return self.circuit, self.values, self.shots


def asked(rng):
    """Return a PUB of random shape, shots, gates, registers and order of measurement."""
    qubits = int(rng.integers(1, 4))
    body = QuantumCircuit(qubits)
    for number in range(int(rng.integers(1, 4))):
        qubit = int(rng.integers(qubits))
        getattr(body, ("rx", "ry")[number % 2])(Parameter(f"angle_{number}"), qubit)
        if qubits > 1:
            body.cx(qubit, (qubit + 1) % qubits)
    shape = [(), (1,), (3,), (2, 2)][rng.integers(4)]
    values = rng.uniform(0, 2 * pi, (*shape, body.num_parameters))
    if rng.random() < 0.4:
        values = pi * rng.integers(0, 2, values.shape)  # One sure outcome for each row.

    places = rng.permutation(qubits + 1)[:qubits].tolist()
    split = int(rng.integers(1, qubits + 1))
    registers = ClassicalRegister(split, "one"), ClassicalRegister(qubits + 1 - split, "two")
    circuit = QuantumCircuit(body.qubits, *registers)
    circuit.compose(body, inplace=True)
    circuit.measure(range(qubits), places)
    rows = values.reshape(prod(shape), -1)
    return Asked(
        circuit=circuit,
        values=values,
        shots=int(rng.integers(20, 600)),
        distributions=[distribution(body.assign_parameters(row), places) for row in rows],
    )


def distribution(body, places):
    """Return the exact probabilities of what is measured: qubit ``i`` into bit ``places[i]``."""
    found = {}
    for outcome, probability in enumerate(Statevector(body).probabilities()):
        number = sum(((outcome >> qubit) & 1) << place for qubit, place in enumerate(places))
        found[format(number, f"0{len(places) + 1}b")] = float(probability)
    return found


def check(result, questions):
    """Check every row: its shots, that nothing impossible was seen, and its distribution."""
    wrong = []
    assert len(result) == len(questions)
    for number, (pub, question) in enumerate(zip(result, questions, strict=True)):
        assert pub.data.shape == question.values.shape[:-1]
        assert pub.metadata == {"shots": question.shots, "circuit_metadata": {}}
        rows = rows_of([pub])
        for texts, expected in zip(rows, question.distributions, strict=True):
            assert len(texts) == question.shots
            if not is_distributed(texts, expected):
                wrong.append((number, expected, {text: texts.count(text) for text in set(texts)}))
    assert not wrong


def is_distributed(texts, expected):
    """Tell whether shots follow a distribution, by their total variation distance from it.

    The bound is that of Bretagnolle, Huber and Carol.
    """
    possible = [text for text, probability in expected.items() if probability > 1e-12]
    if not set(texts) <= set(possible):
        return False
    size = len(texts)
    distance = sum(abs(texts.count(text) / size - expected[text]) for text in possible) / 2
    return distance <= ((len(possible) * np.log(2) - np.log(CHANCE)) / (2 * size)) ** 0.5


def all_shots(questions):
    return sum(len(question.distributions) * question.shots for question in questions)
