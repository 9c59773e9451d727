"""Published price lists, under the name that users import."""

from qiskit_gateway.backends.pricing.published import tariff, tariff_names

__all__ = ["tariff", "tariff_names"]
