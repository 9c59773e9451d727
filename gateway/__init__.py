"""One ``SamplerV2`` over many Qiskit backends: split, fan out, retry, merge."""

from qiskit_gateway.late_names import late_names

__getattr__, __dir__, __all__ = late_names(__name__)
