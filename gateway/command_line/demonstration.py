"""The demonstration, ``qiskit-gateway demo``: one run over three simulators.

Everything that it uses comes with Qiskit: no account, no network, no extra package.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from math import pi
from typing import Any

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BitArray
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.command_line.screen import say
from qiskit_gateway.primitives.sampler import RouterSampler

_SWEEP_STEPS = 25
_SHOWN_ROWS = 4
_SHOWN_OUTCOMES = 4


def demonstrate() -> None:
    """Run five PUBs over three unlike simulators, and print what happened."""
    # Without Aer, GenericBackendV2 runs without its noise and says so each time.
    warnings.filterwarnings(
        "ignore", message="Aer not found using BasicSimulator", category=RuntimeWarning
    )
    pubs = _make_pubs()
    fleet = _make_fleet()
    sampler = RouterSampler(fleet, options={"seed_simulator": 7})
    say(f"{len(pubs)} PUBs over {', '.join(fleet.names)}\n")
    job = sampler.run([pub for _, pub in pubs])
    result = job.result()
    say(f"{job.report()}\n")
    for index, (label, _) in enumerate(pubs):
        bits = result[index].join_data()
        say(f"{label}, {bits.num_shots} shots")
        for line in _lines(bits):
            say(f"  {line}")


def _make_fleet() -> Fleet:
    """Make a simulator without limits, and two small devices of unlike shape."""
    line = GenericBackendV2(5, coupling_map=CouplingMap.from_line(5), seed=11)
    ring = GenericBackendV2(
        7, basis_gates=["rz", "sx", "x", "cz"], coupling_map=CouplingMap.from_ring(7), seed=12
    )
    return Fleet(
        [
            Member(BasicSimulator(), name="simulator", limits=Limits(max_circuits=20)),
            Member(line, name="line-5", limits=Limits(max_circuits=8, max_shots=1000)),
            Member(ring, name="ring-7", limits=Limits(max_circuits=12, max_shots=4000)),
        ]
    )


def _make_pubs() -> list[tuple[str, tuple[Any, ...]]]:
    """Make PUBs of unlike shapes and shots, each with what to call it."""
    angle = Parameter("angle")
    sweep = QuantumCircuit(1)
    sweep.ry(angle, 0)
    sweep.measure_all()
    angles = [[pi * step / (_SWEEP_STEPS - 1)] for step in range(_SWEEP_STEPS)]
    return [
        ("Bell pair", (_make_ghz(2), None, 1000)),
        ("GHZ of 5 qubits", (_make_ghz(5), None, 2500)),
        ("GHZ of 7 qubits, too wide for line-5", (_make_ghz(7), None, 500)),
        (f"rotation, {_SWEEP_STEPS} angles from 0 to pi", (sweep, angles, 1000)),
        ("rotation, 2 x 2 angles", (sweep, [[[0.0], [pi]], [[pi / 2], [pi / 3]]], 300)),
    ]


def _make_ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for qubit in range(1, qubits):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    return circuit


def _lines(bits: BitArray) -> Iterator[str]:
    """Yield the most frequent outcomes of some parameter rows, evenly spaced."""
    indices = list(np.ndindex(bits.shape))
    for index in indices[:: max(1, len(indices) // _SHOWN_ROWS)]:
        counts = Counter(bits.get_counts(index)).most_common(_SHOWN_OUTCOMES)
        place = f"{list(index)} " if index else ""
        yield place + "  ".join(f"{outcome} x {count}" for outcome, count in counts)
