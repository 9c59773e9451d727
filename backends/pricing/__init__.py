"""Prices of jobs: rates, published price lists, allowances."""

from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.published import PublishedTariff, tariff, tariff_names
from qiskit_gateway.backends.pricing.rates import FREE, Hqc, Pricing, Tariff, Usage

__all__ = [
    "FREE",
    "Allowance",
    "Hqc",
    "Pricing",
    "PublishedTariff",
    "Tariff",
    "Usage",
    "tariff",
    "tariff_names",
]
