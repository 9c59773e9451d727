"""Tariffs that have a price for some jobs only, and say something else of the others."""

import math
import sys
from dataclasses import dataclass

from qiskit_gateway.backends.pricing.rates import Pricing, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileTariff:
    """A tariff of somebody's own that is wrong about large jobs.

    Attributes:
        pricing: The price of jobs that it has one for.
        most_circuits: The largest of those.
        answer: What it says of others.
    """

    pricing: Pricing
    most_circuits: int
    answer: str

    @property
    def per_job(self):
        return self.pricing.per_job

    def __call__(self, usage: Usage):
        if usage.circuits <= self.most_circuits:
            return self.pricing(usage)
        if self.answer == "raises":
            raise ZeroDivisionError("a bug in a tariff")
        if self.answer == "exits":
            sys.exit("a tariff ends the program")
        return {"NaN": math.nan, "None": None, "text": "dear", "negative": -1.0}[self.answer]
