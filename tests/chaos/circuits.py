"""Circuits whose every shot says where it belongs.

The parameter of a row is its *code*, a number that no other row of the scenario has. A sampled shot
holds, in registers of their own, the code, the number of the job, the number of the shot in the job,
a check over these three, which ties the registers together, and random bits whose distribution
depends on the code. So a shot that is counted twice, or stands in the wrong row, or was put together
from two, is seen at once and for certain.

For the estimator, qubits 0 and 1 read one of the two eigenvalues, fixed by code, qubit and letter;
qubit 2 one that is fixed by job and circuit. So every expectation value is known beforehand.
"""

from functools import cache

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter

from qiskit_gateway.backends.readout.bit_mapping import Wiring

WIDTHS = {"place": 8, "job": 12, "shot": 14, "tie": 4, "coin": 2}


def sampled(order=tuple(WIDTHS)):
    """Return a circuit with the registers in some order; a row's parameter is its code."""
    circuit = QuantumCircuit(1, metadata={"a": (1,)})
    for name in order:
        circuit.add_register(ClassicalRegister(WIDTHS[name], name))
    circuit.rx(Parameter("t"), 0)
    circuit.measure([0] * circuit.num_clbits, range(circuit.num_clbits))
    return circuit


def estimated():
    """Return a circuit of three qubits; a row's parameter is its code."""
    circuit = QuantumCircuit(3, metadata={"a": (1,)})
    circuit.rx(Parameter("t"), 0)
    return circuit


def odds(code):
    """Return the probability of a coin of a row."""
    return 0.2 + 0.2 * (code % 4)


def shots_of(circuit, code, serials, rng):
    """Return the values of the shots of a row, as numbers over all bits of the circuit.

    Args:
        circuit: The circuit, of which the order of the registers matters.
        code: The code of the row.
        serials: The numbers of the job and of the shot in it, for each shot.
        rng: What the coins are thrown with.
    """
    coins = (rng.random((len(serials), WIDTHS["coin"])) < odds(code)).astype(int).tolist()
    values = []
    for (job, shot), (low, high) in zip(serials, coins, strict=True):
        fields = {"place": code, "job": job, "shot": shot, "coin": low + 2 * high}
        fields["tie"] = tie(code, job, shot)
        value, at = 0, 0
        for register in circuit.cregs:
            value |= fields[register.name] << at
            at += register.size
        values.append(value)
    return values


def tie(place, job, shot):
    """Return the check over the registers of one shot."""
    return (7 * place + 11 * job + 13 * shot) & 15


def bits_of(code, basis, job, position):
    """Return what every shot of a row reads in a basis: a bit for each letter, lowest qubit first."""
    value, at = 0, 0
    for qubit, letter in enumerate(reversed(basis)):
        if letter == "I":
            continue
        bit = noise(job, position) if qubit == 2 else eigenvalue(code, qubit, letter)
        value |= bit << at
        at += 1
    return value


def eigenvalue(code, qubit, letter):
    """Return which eigenvalue a qubit of a row reads: 0 for +1, and 1 for -1."""
    return (code * 2654435761 + 40503 * qubit + 977 * ord(letter)) >> 7 & 1


def noise(job, position):
    """Return what qubit 2 reads in a circuit of a job."""
    return (job * 2246822519 + 3266489917 * position) >> 9 & 1


def wiring(program):
    """Return how the bits of a program are reported: as Qiskit does, register by register."""
    widths = tuple(register.size for register in program.circuit.cregs)
    return _wiring(program.num_bits, widths if program.basis is None else ())


@cache
def _wiring(bits, widths):
    every = tuple(range(bits))
    return Wiring(num_sent=bits, measured=every, to_user=every, num_user=bits, widths=widths)


@cache
def blank(bits):
    """Return a circuit of so many classical bits, in place of one that is sent."""
    return QuantumCircuit(0, bits)


def expected_sign(code, label):
    """Return the value of a Pauli label of qubits 0 and 1 in a row."""
    letters = [(q, letter) for q, letter in enumerate(reversed(label)) if letter != "I"]
    return int(np.prod([1 - 2 * eigenvalue(code, q, letter) for q, letter in letters]))
