"""The ``[policy]`` table of a configuration file, and what its names mean."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial, reduce
from operator import add
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import Field as Key
from pydantic import model_validator

from qiskit_gateway.config_file.table_models import (
    Made,
    Table,
    find_file_type,
    list_key_types,
    make_check,
    new_table,
    wrong,
)
from qiskit_gateway.policies.filters import FILTERS, Every, Filter, Some
from qiskit_gateway.policies.objectives import OBJECTIVES, Objective, Then
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.presets import PRESETS

REGISTRY: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"preset": PRESETS, "where": FILTERS, "minimize": OBJECTIVES}
)
"""What every name in a file means, by the key under which it may be. There is no other."""


def _takes_names(kind: Any) -> bool:
    """Check whether a filter or objective takes any number of names, as ``Tagged("free")``."""
    parameters = inspect.signature(kind).parameters.values()
    return any(each.kind is each.VAR_POSITIONAL for each in parameters)


class _Saying(Table):
    """A table that says at least one thing."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise wrong("is empty; fill it, or remove it")
        return self


def _filter(kind: Any, value: Any) -> Filter:
    made: Filter = kind(*value) if _takes_names(kind) else kind(value)
    return made


def _term(kind: Any, value: Any) -> Objective:
    """Make an objective times a factor, or one of names."""
    if _takes_names(kind):
        named: Objective = kind(*value)
        return named
    term: Objective = kind()
    return term if value == 1 else value * term


def _keys(
    kinds: Mapping[str, Any], make: Callable[[Any, Any], object], description: str
) -> dict[str, Any]:
    return {
        name: Annotated[
            list[str] if _takes_names(kind) else float,
            make_check(partial(make, kind)),
            Key(description=f"{description}{inspect.getdoc(kind) or ''}".split("\n\n")[0]),
        ]
        for name, kind in kinds.items()
    }


def _filter_table() -> type[Table]:
    nested = Annotated[list["FilterTable"], Key(min_length=1)]  # type: ignore[valid-type]
    keys = _keys(FILTERS, _filter, "") | {
        "any": Annotated[nested, Key(description="Allow what at least one of these allows.")],
        "all": Annotated[nested, Key(description="Allow what every one of these allows.")],
    }
    table = new_table("FilterTable", keys, None, _Saying)
    table.model_rebuild(_types_namespace={"FilterTable": table})
    return table


FilterTable = _filter_table()
ObjectiveTable = new_table(
    "ObjectiveTable", _keys(OBJECTIVES, _term, "This much for each unit of: "), None, _Saying
)


def _own(preset: Callable[..., Policy]) -> dict[str, Any]:
    """Types of the arguments of a preset that are not those of every policy."""
    hints = get_type_hints(preset)
    return {
        each.name: GenericAlias(list, hints[each.name])
        if each.kind is each.VAR_POSITIONAL
        else find_file_type(hints[each.name])
        for each in inspect.signature(preset).parameters.values()
        if each.kind is not each.VAR_KEYWORD
    }


PresetArguments = new_table(
    "PresetArguments",
    {
        name: Annotated[kind, Key(description=f"An argument of {preset}.")]
        for preset, make in PRESETS.items()
        for name, kind in _own(make).items()
    },
    None,
    _Saying,
)

_Filters = Annotated[list[FilterTable], Key(min_length=1)]  # type: ignore[valid-type]
_Objectives = Annotated[list[ObjectiveTable], Key(min_length=1)]  # type: ignore[valid-type]
PolicyTable = new_table(
    "PolicyTable",
    {
        "preset": Annotated[Literal[tuple(PRESETS)], Key(description="A policy by name.")],
        "arguments": Annotated[PresetArguments, Key(description="Arguments of the preset.")],
        "where": Annotated[_Filters, Key(description="Filters, all of which must allow.")],
        "minimize": Annotated[_Objectives, Key(description="What is added up and made least.")],
        "then": Annotated[_Objectives, Key(description="What breaks ties, one after the other.")],
    }
    | list_key_types(Policy, without=("where", "minimize")),
    Policy,
)


def _policy(table: Any) -> Policy:
    """Make the policy that a ``[policy]`` table describes."""
    given: dict[str, Any] = table.list_given()
    preset = given.pop("preset", None)
    arguments = given.pop("arguments", None)
    if "where" in given:
        given["where"] = _every(given["where"])
    if preset is None:
        if arguments is not None:
            raise wrong("has arguments, but no preset to take them; name one, or remove them")
        return Policy(**_objective(given))
    if "minimize" in given or "then" in given:
        raise wrong(f"has minimize or then beside the preset {preset!r}, which has its own")
    return _preset(preset, {} if arguments is None else arguments.list_given(), given)


def _objective(given: dict[str, Any]) -> dict[str, Any]:
    first, ties = given.pop("minimize", None), given.pop("then", ())
    if first is None:
        if ties:
            raise wrong("has then, which breaks ties of minimize; say what to minimize")
        return given
    terms = [reduce(add, _terms(table)) for table in ties]
    whole = reduce(add, [term for table in first for term in _terms(table)])
    return {**given, "minimize": Then(whole, *terms) if terms else whole}


def _terms(table: Table) -> list[Objective]:
    return [_term(OBJECTIVES[name], value) for name, value in table.list_given().items()]


def _every(tables: list[Any]) -> Filter:
    filters = [
        _read_filter(name, value) for table in tables for name, value in table.list_given().items()
    ]
    return filters[0] if len(filters) == 1 else Every(*filters)


def _read_filter(name: str, value: Any) -> Filter:
    if name == "any":
        return Some(*[_every([table]) for table in value])
    return _every(value) if name == "all" else _filter(FILTERS[name], value)


def _preset(name: str, arguments: dict[str, Any], options: dict[str, Any]) -> Policy:
    own = _own(PRESETS[name])
    for argument in arguments:
        if argument not in own:
            takes = f"takes {', '.join(own)}" if own else "takes none"
            raise wrong(f"has the argument {argument}, and {name} {takes}")
    try:
        return PRESETS[name](*arguments.pop("members", ()), **arguments, **options)
    except (TypeError, ValueError) as error:
        raise wrong(f"{name}: {error}") from None


POLICY = Made(PolicyTable, _policy)
"""The annotation of a policy that is written as a ``[policy]`` table."""
