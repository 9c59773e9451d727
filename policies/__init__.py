"""Decide where work goes: filters, objectives, and the rules of retry, breaking and budget."""

from qiskit_gateway.late_names import late_names

__getattr__, __dir__, __all__ = late_names(__name__)
