"""A provider's charge or quote for a job, and its price by a tariff."""

from dataclasses import dataclass, replace
from typing import Any

from qiskit_gateway.arguments import check_amount, make_plain
from qiskit_gateway.backends.pricing.allowance import Allowance, allowance_of
from qiskit_gateway.backends.pricing.published import PublishedTariff
from qiskit_gateway.backends.pricing.rates import (
    Pricing,
    Tariff,
    Usage,
    needs_gates,
    needs_seconds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A provider's account of one job; ``None`` for what it does not say.

    Attributes:
        usd: The price, in USD.
        seconds: The machine time that is billed, all of it.
        shots: The shots that are billed, summed over circuits.

    Raises:
        TypeError: If something is no number.
        ValueError: If something is negative or not finite.
    """

    usd: float | None = None
    seconds: float | None = None
    shots: int | None = None

    def __post_init__(self) -> None:
        for name in ("usd", "seconds", "shots"):
            if (value := getattr(self, name)) is not None:
                check_amount(name, value)
        make_plain(self)


def count_charged_units(tariff: Tariff, usage: Usage, charge: Charge) -> float | None:
    """Work out what a job took, in units of the tariff's allowance, or in USD without one.

    Args:
        tariff: Of the member.
        usage: What was asked of it, of which circuits and shots are known.
        charge: What its provider says.

    Returns:
        The amount; ``None`` where what is said does not tell it.
    """
    allowance = allowance_of(tariff)
    if charge.usd is not None:
        return charge.usd if allowance is None or allowance.unit == "USD" else None
    meter = tariff if allowance is None else allowance.meter
    if needs_gates(meter):
        return None
    timed = needs_seconds(meter)
    if charge.seconds is None if timed else charge.shots is None:
        return None
    shots = usage.shots if charge.shots is None else int(charge.shots)
    return float(_meter(meter)(replace(usage, shots=shots, seconds=charge.seconds)))


def _meter(tariff: Any) -> Tariff:
    """Return a tariff for machine time that was measured: what a job takes besides is in it."""
    if isinstance(tariff, PublishedTariff):
        return _meter(tariff.pricing)
    if isinstance(tariff, Allowance):
        return replace(tariff, meter=_meter(tariff.meter))
    found: Tariff = (
        replace(tariff, job_overhead_seconds=0.0) if isinstance(tariff, Pricing) else tariff
    )
    return found
