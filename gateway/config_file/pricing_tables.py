"""The ``pricing`` tables of a configuration file, and the tariffs made of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, WithJsonSchema
from pydantic import Field as Key

from qiskit_gateway.backends.pricing.allowance import Allowance, allowance_of
from qiskit_gateway.backends.pricing.published import (
    ARGUMENTS,
    PublishedTariff,
    tariff,
    tariff_names,
)
from qiskit_gateway.backends.pricing.rates import FREE, Pricing, Tariff
from qiskit_gateway.config_file.table_models import (
    Made,
    Table,
    find_file_type,
    list_key_types,
    make_check,
    make_checked,
    new_table,
    wrong,
)

_TARIFF_KINDS: dict[str, Any] = {
    name: bool if name in {"error_mitigation", "program_sets"} else float for name in ARGUMENTS
}
_NO_ALLOWANCE = Allowance(meter=FREE, amount=0)


def _period(value: Any) -> Any:
    if type(value) not in {int, float, str}:
        raise wrong(f"must be 'day', 'month' or a number of days, got {value!r}")
    make_checked(lambda: replace(_NO_ALLOWANCE, period=value))
    return value


def _allowance_key(name: str, hint: Any) -> Any:
    if name == "period":
        schema = {"anyOf": [{"enum": ["day", "month"]}, {"type": "number", "exclusiveMinimum": 0}]}
        return Annotated[Any, AfterValidator(_period), WithJsonSchema(schema)]
    return Annotated[
        find_file_type(hint), make_check(lambda value: replace(_NO_ALLOWANCE, **{name: value}))
    ]


AllowanceTable = new_table(
    "AllowanceTable",
    {
        name: _allowance_key(name, hint)
        for name, hint in get_type_hints(Allowance).items()
        if name != "meter"
    },
    Allowance,
)
PricingTable = new_table(
    "PricingTable",
    {
        "tariff": Annotated[
            Literal[tariff_names()],
            Key(description="A published tariff by name; rates given beside it win."),
        ],
        **{
            name: Annotated[kind, Key(description=f"For a tariff: {ARGUMENTS[name]}.")]
            for name, kind in _TARIFF_KINDS.items()
        },
        "allowance": Annotated[
            Any,
            Made(AllowanceTable, Table.list_given),
            Key(description="What is free, or paid for already: the rates count its units."),
        ],
    }
    | list_key_types(Pricing),
    Pricing,
)


def read_tariff(table: Table) -> Tariff:
    """Read the tariff in a table of a member's prices."""
    given = table.list_given()
    allowed = given.pop("allowance", None)
    if allowed is not None:
        return _add_allowance(_read_rates(given), allowed)
    return _read_rates(given)


def _add_allowance(rates: Tariff, said: Mapping[str, Any]) -> Tariff:
    own = allowance_of(rates)
    if own is None and "amount" not in said:
        raise wrong("has an allowance that does not say its amount")
    made: Tariff = make_checked(lambda: _set_allowance(rates, own, said))
    return made


def _set_allowance(rates: Tariff, own: Allowance | None, said: Mapping[str, Any]) -> Tariff:
    if own is None:
        return Allowance(meter=rates, **said)
    other = replace(own, **said)
    return replace(rates, pricing=other) if isinstance(rates, PublishedTariff) else other


def _read_rates(given: dict[str, Any]) -> Tariff:
    name = given.pop("tariff", None)
    if name is not None:
        published: Tariff = make_checked(lambda: tariff(name, **given))
        return published
    for argument in ARGUMENTS:
        if argument in given:
            raise wrong(f"has {argument}, which is for a tariff by name; rates are in USD")
    return Pricing(**given)
