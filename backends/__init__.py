"""Members of a fleet: everything that touches a provider."""

from qiskit_gateway.late_names import late_names

__getattr__, __dir__, __all__ = late_names(__name__)
