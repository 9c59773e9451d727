"""Published tariffs by name, each with its source and the date of that source.

They are what was published, not what is on a live page or in your contract: compare before you
rely on one, and give the rates that are yours, ``tariff("braket:iqm_garnet", per_shot=0.0016)``.
Prices in other currencies need the rate of exchange from you; there is none inside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from inspect import Parameter, signature
from math import inf
from types import MappingProxyType
from typing import Any, Literal, cast

from qiskit_gateway.backends.pricing.allowance import Allowance, allowance_of
from qiskit_gateway.backends.pricing.rates import (
    FREE,
    Hqc,
    Pricing,
    Tariff,
    Usage,
    needs_gates,
    needs_seconds,
)

Currency = Literal["USD", "EUR", "credits", "HQC"]
_HOUR_SECONDS = 3600.0
_SECONDS = Pricing(per_second=1.0)


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
        """Return what of it is free in every period, or paid for already."""
        return allowance_of(self.pricing)

    @property
    def needs_seconds(self) -> bool:
        """Return whether the price depends on the machine time."""
        return needs_seconds(self.pricing)

    @property
    def needs_gates(self) -> bool:
        """Return whether the price depends on the gates of the circuits as compiled."""
        return needs_gates(self.pricing)


def tariff(name: str, /, **overrides: float | bool | str) -> PublishedTariff:
    """Return a published tariff.

    Args:
        name: One of :func:`tariff_names`.
        **overrides: The arguments that the tariff asks for (see :data:`ARGUMENTS`), and any rate of
            its :class:`~qiskit_gateway.backends.pricing.rates.Pricing` that is another for you, or what
            is other in its :class:`~qiskit_gateway.backends.pricing.allowance.Allowance`.

    Raises:
        ValueError: If there is none of that name.
        TypeError: If an argument is missing, or is not one of this tariff.
    """
    if name not in _LISTINGS:
        close = get_close_matches(name, _LISTINGS, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see tariff_names()"
        raise ValueError(f"no published tariff {name!r}; {hint}")
    listing = _LISTINGS[name]
    return PublishedTariff(
        name=name,
        pricing=_priced(name, listing.make, overrides),
        currency=listing.currency,
        source=listing.source,
        as_of=listing.as_of,
        note=listing.note,
    )


def tariff_names() -> tuple[str, ...]:
    """Return the names of all published tariffs, in order."""
    return tuple(sorted(_LISTINGS))


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


_Rates = Pricing | Hqc | Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    make: Callable[..., _Rates]
    currency: Currency
    source: str
    as_of: str
    note: str = ""


def _priced(
    name: str, make: Callable[..., _Rates], overrides: Mapping[str, float | bool | str]
) -> _Rates:
    asked = signature(make).parameters
    for argument, parameter in asked.items():
        if argument in overrides:
            _check_argument(argument, overrides[argument], parameter.annotation)
        elif parameter.default is Parameter.empty:
            raise TypeError(f"tariff {name!r} needs {argument}: {ARGUMENTS[argument]}")
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
    """Return what may be said of a tariff; of one with an allowance, also of its meter."""
    names = [field.name for field in fields(pricing) if field.name != "meter"]
    return names + (_rates_of(pricing.meter) if isinstance(pricing, Allowance) else [])


def _check_argument(name: str, value: object, kind: type) -> None:
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    elif not 0 < value < inf:
        raise ValueError(f"{name} must be above 0 and finite, got {value!r}")


def _braket(per_shot: float) -> Callable[..., _Rates]:
    def make(*, program_sets: bool = False) -> Pricing:
        if program_sets:
            return Pricing(per_job=0.30, per_shot=per_shot)
        return Pricing(per_circuit=0.30, per_shot=per_shot)

    return make


def _qbraid(credits_per_shot: float) -> Callable[..., _Rates]:
    def make(*, usd_per_credit: float = 0.01) -> Pricing:
        return Pricing(per_circuit=30 * usd_per_credit, per_shot=credits_per_shot * usd_per_credit)

    return make


def _ionq_azure(
    *, gate_1q: float, gate_2q: float, floor: float, mitigated_floor: float
) -> Callable[..., _Rates]:
    def make(*, error_mitigation: bool = True) -> Pricing:
        return Pricing(
            per_1q_gate_shot=gate_1q,
            per_2q_gate_shot=gate_2q,
            minimum_per_job=mitigated_floor if error_mitigation else floor,
        )

    return make


def _fixed(pricing: _Rates) -> Callable[..., _Rates]:
    return lambda: pricing


def _hourly(usd: float) -> Callable[..., _Rates]:
    return _fixed(Pricing(per_second=usd / _HOUR_SECONDS))


def _hourly_eur(eur: float) -> Callable[..., _Rates]:
    def make(*, usd_per_eur: float) -> Pricing:
        return Pricing(per_second=eur * usd_per_eur / _HOUR_SECONDS)

    return make


def _free_hour(usd: float) -> _Rates:
    return Allowance(
        meter=_SECONDS,
        amount=_HOUR_SECONDS,
        period="month",
        unit="s",
        usd_per_unit=usd / _HOUR_SECONDS,
    )


def _free_minutes() -> _Rates:
    return Allowance(meter=_SECONDS, amount=600, period=28.0, unit="s", usd_per_unit=inf)


def _free_credits(*, credits_per_second: float) -> _Rates:
    meter = Pricing(per_second=credits_per_second)
    return Allowance(meter=meter, amount=30, period="month", unit="credits", usd_per_unit=inf)


def _subscribed_hqc(amount: float, unit: str = "HQC") -> Callable[..., _Rates]:
    meter = Hqc(usd_per_hqc=1)
    return _fixed(
        Allowance(meter=meter, amount=amount, period="month", unit=unit, usd_per_unit=inf)
    )


def _hqc(*, usd_per_hqc: float) -> Hqc:
    return Hqc(usd_per_hqc=usd_per_hqc)


def _aqt_scaleway(*, usd_per_eur: float) -> Pricing:
    return Pricing(per_circuit=0.30 * usd_per_eur, per_shot=0.021 * usd_per_eur)


def _each(
    currency: Currency,
    source: str,
    as_of: str,
    makers: Mapping[str, Callable[..., _Rates]],
    note: str = "",
) -> dict[str, _Listing]:
    return {
        name: _Listing(make=make, currency=currency, source=source, as_of=as_of, note=note)
        for name, make in makers.items()
    }


_AZURE = "MicrosoftDocs/quantum-docs, articles/pricing.md"

_LISTINGS: Mapping[str, _Listing] = MappingProxyType(
    _each(
        "USD",
        "aws.amazon.com/braket/pricing, stored copy",
        "about 2025 (undated)",
        {
            "braket:ionq_forte": _braket(0.08),
            "braket:ionq_aria": _braket(0.03),
            "braket:iqm_garnet": _braket(0.00145),
            "braket:quera_aquila": _braket(0.01),
            "braket:rigetti_ankaa": _braket(0.00090),
        },
        "a fee for each task and each shot; with error mitigation IonQ asks for 2500 shots or more",
    )
    | _each(
        "credits",
        "a project's document that cites docs.qbraid.com/v2/home/pricing",
        "mid-2026",
        {
            "qbraid:ionq_forte_1": _qbraid(8),
            "qbraid:ionq_forte_enterprise_1": _qbraid(8),
            "qbraid:iqm_emerald": _qbraid(0.16),
            "qbraid:iqm_garnet": _qbraid(0.145),
            "qbraid:rigetti_cepheus_1_108q": _qbraid(0.0425),
            "qbraid:aqt_ibex_q1": _qbraid(2.35),
            "qbraid:quera_aquila": _qbraid(1),
        },
        "30 credits for each task, and for each shot; one credit was 0.01 USD",
    )
    | _each(
        "USD",
        _AZURE,
        "2026-04-15",
        {
            "azure:ionq_aria": _ionq_azure(
                gate_1q=0.000220, gate_2q=0.000975, floor=12.4166, mitigated_floor=97.50
            ),
            "azure:ionq_forte": _ionq_azure(
                gate_1q=0.0001645, gate_2q=0.001121, floor=25.7899, mitigated_floor=168.195
            ),
            "azure:ionq_forte_enterprise": _ionq_azure(
                gate_1q=0.0001645, gate_2q=0.001121, floor=25.7899, mitigated_floor=168.195
            ),
        },
        "the page calls the floor a minimum in its table and adds it in its formula; here it is a "
        "minimum. A program is a job, since Azure takes one circuit in a job",
    )
    | _each(
        "HQC",
        _AZURE,
        "2026-04-15",
        {"quantinuum:hqc": _hqc},
        "5 + C (N1q + 10 N2q + 5 Nm) / 5000 credits for a circuit of C shots, Nm of measurements, "
        "initial preparations and resets; all branches of control flow count; what a credit costs is by contract",
    )
    | _each(
        "HQC",
        _AZURE,
        "2026-04-15",
        {
            "azure:quantinuum_standard": _subscribed_hqc(10_000),
            "azure:quantinuum_standard_emulator": _subscribed_hqc(100_000, "eHQC"),
            "azure:quantinuum_premium": _subscribed_hqc(17_000),
            "azure:quantinuum_premium_emulator": _subscribed_hqc(170_000, "eHQC"),
        },
        "the credits of a subscription of 125 000 USD a month (standard) or 175 000 (premium), which "
        "are not in the price; taken as those of a calendar month, and none are sold beyond them",
    )
    | _each(
        "USD",
        _AZURE,
        "2026-04-15",
        {
            "azure:rigetti_cepheus_1_108q": _fixed(Pricing(per_second=2.0, second_increment=0.01)),
            "azure:rigetti_qvm": _fixed(FREE),
        },
        "0.02 USD for each 10 ms of execution; nothing for jobs, shots or gates",
    )
    | _each(
        "EUR",
        _AZURE,
        "2026-04-15",
        {"azure:pasqal_qpu": _hourly_eur(3000), "azure:pasqal_emulator": _hourly_eur(15)},
        "by the hour of machine time",
    )
    | _each(
        "USD",
        "api-evangelist/ibm-quantum plans, citing ibm.com/quantum/pricing",
        "2026-05-25",
        {
            "ibm:open": _free_minutes,
            "ibm:pay_as_you_go": _fixed(Pricing(per_second=1.60)),
            "ibm:flex": _hourly(72 * 60),
            "ibm:premium": _hourly(48 * 60),
        },
        "of machine time, of which the open plan has 10 minutes in any 28 days and sells no more; "
        "the 30 000 USD that flex asks for are not counted",
    )
    | _each(
        "USD",
        "api-evangelist/iqm-quantum-computers plans",
        "2026-08-23",
        {"iqm:resonance": _fixed(Pricing(per_second=0.30))},
        "the lowest price of a QPU second",
    )
    | _each(
        "credits",
        "api-evangelist/iqm-quantum-computers plans",
        "2026-08-23",
        {"iqm:starter": _free_credits},
        "up to 30 free credits a month, taken as those of a calendar month; what a second takes of "
        "them was not published",
    )
    | _each(
        "EUR",
        "scaleway/docs-content, pull request 5902",
        "undated",
        {
            "scaleway:aqt_ibex_q1": _aqt_scaleway,
            "scaleway:aqt_emulator": _hourly_eur(0.75),
        },
        "0.30 EUR a circuit and 0.021 EUR a shot; emulators by the hour",
    )
    | _each(
        "USD",
        "api-evangelist/alice--bob plans",
        "2026-08-06",
        {
            "alice_bob:qpu": _hourly(5000),
            "alice_bob:emulator": _hourly(25),
            "alice_bob:qpu_free_hour": lambda: _free_hour(5000),
            "alice_bob:emulator_free_hour": lambda: _free_hour(25),
        },
        "by the hour; one hour of each is free a month, taken as a calendar month, which only the "
        "tariffs that are named for it count",
    )
)
