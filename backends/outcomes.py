"""The results of a member's ``collect``, under the name that users import."""

from qiskit_gateway.backends.readout.outcomes import Outcome

__all__ = ["Outcome"]
