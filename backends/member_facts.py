"""Facts about a member, for people and programs: its class, limits, tariff and tags."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from math import inf
from typing import Any

from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import FleetMember, TellsIfFree, able
from qiskit_gateway.backends.pricing.allowance import Allowance, allowance_of
from qiskit_gateway.backends.pricing.published import PublishedTariff
from qiskit_gateway.backends.pricing.rates import FREE, Hqc, Pricing, Tariff
from qiskit_gateway.display.cards import render_card
from qiskit_gateway.display.tables import render_html

_LIMITS = (
    ("max_circuits", "{:,} circuits"),
    ("max_shots", "{:,} shots"),
    ("min_shots", "from {:,} shots"),
    ("max_in_flight", "{:,} at once"),
    ("max_payload_bytes", "{:,} bytes"),
    ("submissions_per_minute", "{:,} a minute"),
)
_PLAIN_RATES = {
    "per_job": "a job",
    "per_circuit": "a circuit",
    "per_shot": "a shot",
    "per_second": "a second",
    "per_1q_gate_shot": "a 1q gate",
    "per_2q_gate_shot": "a 2q gate",
}


def costs_nothing(member: FleetMember) -> bool:
    """Check whether a member is declared free of charge; a member without a price is not."""
    return (
        member.costs_nothing
        if able(member, TellsIfFree)
        else isinstance(member.pricing, Pricing) and member.pricing == FREE
    )


def member_html(member: FleetMember) -> str:
    """Show a member in a notebook; options of its provider are left out, as they may be secret."""
    facts = [
        ("backend", class_of(member)),
        ("qubits", qubits_of(member)),
        ("a job", limits_of(member.limits).replace("\n", ", ")),
        ("price", price_of(member)),
        ("tariff", source_of(member.pricing)),
        ("weight", "" if member.weight == 1 else f"{member.weight:g}"),
        ("fidelity", "" if member.fidelity is None else f"{member.fidelity:g}"),
        ("tags", ", ".join(sorted(member.tags))),
    ]
    return render_card(f"{type(member).__name__} {member.name}", facts)


def members_html(members: Iterable[FleetMember]) -> str:
    """Show members in a notebook, a row for each."""
    rows = [
        (
            one.name,
            class_of(one),
            qubits_of(one),
            limits_of(one.limits),
            price_of(one),
            ", ".join(sorted(one.tags)),
        )
        for one in members
    ]
    head = ("member", "backend", "qubits", "a job", "price", "tags")
    return render_html([head, *rows], (), footed=False, words=len(head))


def class_of(member: FleetMember) -> str:
    """Name the class of a member's backend, or of the member where it has none."""
    return type(getattr(member, "backend", member)).__qualname__


def qubits_of(member: FleetMember) -> str:
    """Describe how wide a circuit may be."""
    return "any" if member.limits.num_qubits is None else str(member.limits.num_qubits)


def limits_of(limits: Limits) -> str:
    """List the limits of a job, one a line."""
    said = [
        text.format(value) for name, text in _LIMITS if (value := getattr(limits, name)) is not None
    ]
    return "\n".join(said) or "none known"


def price_of(member: FleetMember) -> str:
    """Summarize what a job costs."""
    if member.pricing == FREE:
        return "free" if costs_nothing(member) else "none given"
    return _in_words(member.pricing)


def _in_words(tariff: Tariff) -> str:
    if isinstance(tariff, PublishedTariff):
        return tariff.name
    if isinstance(tariff, Allowance):
        beyond = "no more is sold"
        if tariff.usd_per_unit != inf:
            beyond = f"then {tariff.usd_per_unit:.6g} USD each"
        period = "" if tariff.period is None else f" in each {_period(tariff.period)}"
        return f"{tariff.amount:.10g} {tariff.unit} free{period}, {beyond}"
    if isinstance(tariff, Pricing):
        return _rates(tariff)
    if isinstance(tariff, Hqc):
        return f"{tariff.usd_per_hqc:.6g} USD a credit (HQC)"
    return f"by {getattr(tariff, '__qualname__', type(tariff).__qualname__)}"


def source_of(tariff: Tariff) -> str:
    """Name the source of a published tariff and its date, or ``""``."""
    if not isinstance(tariff, PublishedTariff):
        return ""
    said = f"{tariff.name}: {tariff.source}, {_date(tariff.as_of)}, in {tariff.currency}"
    return f"{said}; {tariff.note}" if tariff.note else said


def collect_facts(member: FleetMember) -> dict[str, Any]:
    """Collect what is known of a member, for JSON."""
    kind = type(getattr(member, "backend", member))
    return {
        "name": member.name,
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "limits": asdict(member.limits),
        "tariff": {"text": price_of(member), **_collect_tariff_facts(member.pricing)},
        "weight": member.weight,
        "fidelity": member.fidelity,
        "tags": sorted(member.tags),
    }


def _rates(pricing: Pricing) -> str:
    rates = [
        f"{rate:.6g} {unit}"
        for name, unit in _PLAIN_RATES.items()
        if (rate := getattr(pricing, name))
    ]
    if pricing.minimum_per_job:
        rates.append(f"at least {pricing.minimum_per_job:.6g} a job")
    return f"USD {', '.join(rates)}"


def _period(period: str | float) -> str:
    return period if isinstance(period, str) else f"{period:g} days"


def _date(as_of: str) -> str:
    return as_of if as_of.startswith("undated") else f"as of {as_of}"


def _collect_tariff_facts(tariff: Tariff) -> dict[str, Any]:
    allowance = allowance_of(tariff)
    facts: dict[str, Any] = {}
    if isinstance(tariff, PublishedTariff):
        facts |= {key: getattr(tariff, key) for key in ("name", "currency", "source", "as_of")}
        facts["note"] = tariff.note
        tariff = tariff.pricing
    if allowance is not None:
        facts["allowance"] = _shallow(allowance, without="meter")
        tariff = allowance.meter
    if isinstance(tariff, Pricing | Hqc):
        facts["rates"] = _shallow(tariff)
    return facts


def _shallow(value: Any, without: str = "") -> Mapping[str, Any]:
    assert is_dataclass(value)  # noqa: S101
    return {
        field.name: getattr(value, field.name) for field in fields(value) if field.name != without
    }
