"""Circuits of a few gates that tests of all packages run."""

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter


def ones(width=1):
    """Return a circuit whose every shot is all ones."""
    circuit = QuantumCircuit(width)
    circuit.x(range(width))
    circuit.measure_all()
    return circuit


def zero():
    """Return a circuit whose every shot is 0."""
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    return circuit


def bell():
    """Return a Bell pair, measured."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def rotated():
    """Return a pair that is entangled by an angle, and not measured."""
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("angle"), 0)
    circuit.cx(0, 1)
    return circuit
