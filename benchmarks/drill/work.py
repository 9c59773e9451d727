"""The work: circuits of MQT Bench and of randomized benchmarking, as those packages make them."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from qiskit import qpy
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Statevector

# Of at most 8 qubits and 0.1 s of compiling, and measured at their ends alone.
ALGORITHMS = (
    "ae", "bv", "dj", "ghz", "graphstate", "qft", "qftentangled", "qnn", "qpeexact",
    "qpeinexact", "randomcircuit", "vqe_real_amp", "vqe_su2", "vqe_two_local", "wstate",
)  # fmt: skip
SIZES = range(3, 9)
SHOTS = 250
# Cliffords of the circuit that IonQ's compiler does not get through.
POISON_LENGTH = 300
# Braket's tariff for IonQ Forte, https://aws.amazon.com/braket/pricing/, by the task and the shot.
USD_TASK, USD_SHOT = 0.30, 0.08


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        seed: What it was drawn by.
        count: How many circuits.
        shots: Shots of each.
    """

    seed: int
    count: int
    shots: int = SHOTS

    @property
    def budget_usd(self) -> float:
        """An eighth of all the work can be paid for; an even split over four would take twice that."""
        return self.count / 8 * (USD_TASK + USD_SHOT * self.shots)

    def save(self, path: Path) -> None:
        """Write the circuits down, so that all have the same ones."""
        with path.open("wb") as file:
            qpy.dump(self.circuits, file)

    def load(self, path: Path) -> None:
        """Read circuits that were written down."""
        with path.open("rb") as file:
            self.__dict__["circuits"] = qpy.load(file)

    @cached_property
    def circuits(self) -> list[QuantumCircuit]:
        """The circuits, half of each kind, in an order that is drawn; their names are numbered."""
        rng = np.random.default_rng(self.seed)
        np.random.seed(self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = [*_benchmarks(self.count // 2, rng), _long(rng)]
            made += _randomized(self.count - len(made), rng)
        circuits = [made[at] for at in rng.permutation(len(made))]
        for number, circuit in enumerate(circuits):
            circuit.name = f"c{number}"
        return circuits


def _benchmarks(count: int, rng: np.random.Generator) -> list[QuantumCircuit]:
    from mqt.bench import BenchmarkLevel, get_benchmark  # noqa: PLC0415  Clients do without.

    kinds = [(name, size) for name in ALGORITHMS for size in SIZES]
    chosen = rng.permutation(len(kinds))
    return [
        get_benchmark(kinds[at][0], BenchmarkLevel.ALG, kinds[at][1])
        for at in np.resize(chosen, count)
    ]


def _randomized(count: int, rng: np.random.Generator) -> list[QuantumCircuit]:
    from qiskit_experiments.library import StandardRB  # noqa: PLC0415  Clients do without.

    made: list[QuantumCircuit] = []
    while len(made) < count:
        qubits = range(int(rng.integers(1, 3)))
        lengths = sorted({int(one) for one in rng.integers(1, 20, 10)})
        made += StandardRB(qubits, lengths, num_samples=2, seed=int(rng.integers(2**31))).circuits()
    return made[:count]


def _long(rng: np.random.Generator) -> QuantumCircuit:
    from qiskit_experiments.library import StandardRB  # noqa: PLC0415  Clients do without.

    seed = int(rng.integers(2**31))
    return StandardRB((0, 1), [POISON_LENGTH], num_samples=1, seed=seed).circuits()[0]


def is_poison(circuit: QuantumCircuit) -> bool:
    """Tell whether IonQ's compiler does not get through a circuit."""
    return bool((circuit.metadata or {}).get("xval") == POISON_LENGTH)


def exact_distribution(circuit: QuantumCircuit) -> dict[str, float]:
    """Work out the probability of each outcome that is possible, as Qiskit's counts name them."""
    gates = circuit.copy_empty_like()
    bit_of: dict[int, int] = {}
    for instruction in circuit.data:
        if instruction.name == "measure":
            qubit, bit = instruction.qubits[0], instruction.clbits[0]
            bit_of[circuit.find_bit(bit).index] = circuit.find_bit(qubit).index
        elif instruction.name != "barrier":
            assert not any(circuit.find_bit(q).index in bit_of.values() for q in instruction.qubits)
            gates.append(instruction)
    chances = Statevector(gates.remove_final_measurements(inplace=False) or gates).probabilities()
    found: dict[str, float] = {}
    for state in np.flatnonzero(chances > 1e-12):
        bits = ["0"] * circuit.num_clbits
        for bit, qubit in bit_of.items():
            bits[-1 - bit] = str(int(state) >> qubit & 1)
        text = "".join(bits)
        found[text] = found.get(text, 0.0) + float(chances[state])
    return found
