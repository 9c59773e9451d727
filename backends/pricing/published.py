"""Published tariffs by name, each with its source and the date of that source.

The price lists themselves are in the profiles of the providers.

They are what was published, not what is on a live page or in your contract: compare before you
rely on one, and give the rates that are yours, ``tariff("braket:iqm_garnet", per_shot=0.0016)``.
Prices in other currencies need the rate of exchange from you; there is none inside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, Literal, cast

from qiskit_gateway.arguments import check_flag, check_real, is_finite
from qiskit_gateway.backends.pricing.allowance import Allowance, allowance_of
from qiskit_gateway.backends.pricing.rates import (
    Hqc,
    Pricing,
    Tariff,
    Usage,
    needs_gates,
    needs_seconds,
)
from qiskit_gateway.backends.registry import profiles

Currency = Literal["USD", "EUR", "credits", "HQC"]
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTariff:
    """A price list that somebody published; called with a usage it answers USD, as any tariff.

    Attributes:
        name: Its name, ``"channel:device"``.
        pricing: What prices a job, in USD.
        currency: In what it was published.
        source: Where it was read.
        as_of: The date of the source, as far as that is known.
        note: What it leaves out or leaves open; empty if nothing is known of that.
    """

    name: str
    pricing: Tariff
    currency: Currency
    source: str
    as_of: str
    note: str = ""

    def __call__(self, usage: Usage) -> float:
        """Return the price of the job in USD."""
        return self.pricing(usage)

    @property
    def allowance(self) -> Allowance | None:
        """The part of it that is free in every period, or paid for already."""
        return allowance_of(self.pricing)

    @property
    def needs_seconds(self) -> bool:
        """True if the price depends on the machine time."""
        return needs_seconds(self.pricing)

    @property
    def needs_gates(self) -> bool:
        """True if the price depends on the gates of the circuits as compiled."""
        return needs_gates(self.pricing)


def tariff(name: str, /, **overrides: float | bool | str) -> PublishedTariff:
    """Make a published tariff.

    Args:
        name: One of :func:`tariff_names`.
        **overrides: The arguments that the tariff asks for (see :data:`ARGUMENTS`), and any rate of
            its :class:`~qiskit_gateway.backends.pricing.rates.Pricing` that is another for you, or what
            is other in its :class:`~qiskit_gateway.backends.pricing.allowance.Allowance`.

    Raises:
        ValueError: If there is none of that name.
        TypeError: If an argument is missing, or is not one of this tariff.
    """
    listings = _listings()
    if name not in listings:
        close = get_close_matches(name, listings, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see tariff_names()"
        raise ValueError(f"no published tariff {name!r}; {hint}")
    listing = listings[name]
    return PublishedTariff(
        name=name,
        pricing=_price(name, listing.make, overrides),
        currency=listing.currency,
        source=listing.source,
        as_of=listing.as_of,
        note=listing.note,
    )


def tariff_names() -> tuple[str, ...]:
    """List the names of all published tariffs, in order."""
    return tuple(sorted(_listings()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffEntry:
    """An entry of the list of published tariffs.

    Attributes:
        name: What :func:`tariff` calls it.
        currency: In what it was published.
        source: Where it was read.
        as_of: The date of the source, as far as that is known.
        asks_for: The arguments that it cannot do without, see :data:`ARGUMENTS`.
        note: What it leaves out or leaves open.
    """

    name: str
    currency: Currency
    source: str
    as_of: str
    asks_for: tuple[str, ...] = ()
    note: str = ""


def list_published() -> tuple[TariffEntry, ...]:
    """List all published tariffs with their sources, by name; none is made."""
    return tuple(
        TariffEntry(
            name=name,
            currency=one.currency,
            source=one.source,
            as_of=one.as_of,
            asks_for=_require(one.make),
            note=one.note,
        )
        for name, one in sorted(_listings().items())
    )


def _require(make: Callable[..., Any]) -> tuple[str, ...]:
    asked = signature(make).parameters.items()
    return tuple(name for name, one in asked if one.default is Parameter.empty)


def _listings() -> dict[str, "Listing"]:
    return {name: one for profile in profiles() for name, one in profile.tariffs.items()}


ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "usd_per_eur": "what you pay for one euro, in USD",
        "usd_per_credit": "what you pay for one credit, in USD (published: 0.01)",
        "usd_per_hqc": "what you pay for one Quantinuum credit (HQC), in USD; not published",
        "credits_per_second": "how many credits a second of machine time takes; not published",
        "error_mitigation": "whether the provider's error mitigation is on, as it is by default",
        "program_sets": "whether a whole job is one Braket task, as on devices with program sets; "
        "by default each circuit is a task, which is the dearer reading",
    }
)
"""The arguments that tariffs ask for beside rates, and what each means."""


Rates = Pricing | Hqc | Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A published price list, as the profile of its provider has it.

    Attributes:
        make: Makes the rates, in USD. Its keyword arguments are what the tariff asks for beside
            rates, see :data:`ARGUMENTS`.
        currency: In what it was published.
        source: Where it was read.
        as_of: The date of the source, as far as that is known.
        note: What it leaves out or leaves open.
    """

    make: Callable[..., Rates]
    currency: Currency
    source: str
    as_of: str
    note: str = ""


def _price(
    name: str, make: Callable[..., Rates], overrides: Mapping[str, float | bool | str]
) -> Rates:
    asked = signature(make).parameters
    for argument, parameter in asked.items():
        if argument in overrides:
            _check_argument(argument, overrides[argument], parameter.annotation)
        elif parameter.default is Parameter.empty:
            raise TypeError(
                f"tariff {name!r} needs {argument}: {ARGUMENTS.get(argument, 'see its source')}"
            )
    pricing = make(**{key: value for key, value in overrides.items() if key in asked})
    rates: dict[str, Any] = {key: value for key, value in overrides.items() if key not in asked}
    known = _rates_of(pricing)
    for rate in rates:
        if rate not in known:
            raise TypeError(f"tariff {name!r} takes {', '.join([*asked, *known])}; got {rate!r}")
    if not isinstance(pricing, Allowance):
        return replace(pricing, **rates)
    metered = {rate: rates.pop(rate) for rate in _rates_of(pricing.meter) if rate in rates}
    return replace(pricing, meter=replace(cast("Any", pricing.meter), **metered), **rates)


def _rates_of(pricing: Any) -> list[str]:
    """List the fields of a tariff that may be overridden; with an allowance, also those of its meter."""
    names = [field.name for field in fields(pricing) if field.name != "meter"]
    return names + (_rates_of(pricing.meter) if isinstance(pricing, Allowance) else [])


def _check_argument(name: str, value: Any, kind: type) -> None:
    if kind is bool:
        check_flag(name, value)
        return
    check_real(name, value)
    if not (value > 0 and is_finite(value)):
        raise ValueError(f"{name} must be above 0 and finite, got {value!r}")


# -- for authors of profiles -----------------------------------------------------------------


def fixed(pricing: Rates) -> Callable[..., Rates]:
    """Make a tariff that asks for nothing."""
    return lambda: pricing


def hourly(usd: float) -> Callable[..., Rates]:
    """Make a tariff of machine time, in USD an hour."""
    return fixed(Pricing(per_second=usd / _HOUR_SECONDS))


def hourly_eur(eur: float) -> Callable[..., Rates]:
    """Make a tariff of machine time, in EUR an hour."""

    def make(*, usd_per_eur: float) -> Pricing:
        return Pricing(per_second=eur * usd_per_eur / _HOUR_SECONDS)

    return make


def free_hour(usd: float) -> Callable[..., Rates]:
    """Make a tariff of machine time, in USD an hour, of which one is free a month."""
    return fixed(
        Allowance(
            meter=Pricing(per_second=1.0),
            amount=_HOUR_SECONDS,
            period="month",
            unit="s",
            usd_per_unit=usd / _HOUR_SECONDS,
        )
    )


def list_tariffs(
    currency: Currency,
    source: str,
    as_of: str,
    makers: Mapping[str, Callable[..., Rates]],
    note: str = "",
) -> dict[str, Listing]:
    """Make listings that have all but the rates in common.

    Args:
        currency: In what they were published.
        source: Where they were read.
        as_of: The date of the source.
        makers: By name, what makes the rates.
        note: What they leave out or leave open.
    """
    return {
        name: Listing(make=make, currency=currency, source=source, as_of=as_of, note=note)
        for name, make in makers.items()
    }
