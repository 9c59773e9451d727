"""The options of ``backend.run``: the names that a backend knows, and their values."""

from collections.abc import Callable, Mapping
from copy import copy
from inspect import Parameter, signature
from itertools import islice
from math import ceil, floor, isfinite
from numbers import Integral, Real
from types import FunctionType, MappingProxyType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

_BY_KEYWORD = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def known_options(backend: object) -> frozenset[str]:
    """Find the options of ``backend.run`` that a backend says it knows.

    Those that its ``options`` list, and the parameters of ``run``. What is listed and no parameter
    is one only where ``run`` takes any keyword.
    """
    listed = _list_names(_options(backend))
    try:
        named, any_keyword = _keywords_of(backend.run)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  Whatever a wrapper of run() does; then it tells nothing.
        return listed
    return listed | named if any_keyword else named


def _keywords_of(run: Callable[..., object]) -> tuple[frozenset[str], bool]:
    """Find what a function takes by keyword besides the circuits, and whether it takes any."""
    # Of a method it is the same each time, and to find out takes longer than to bind a circuit.
    function = getattr(run, "__func__", None)
    if isinstance(run, MethodType) and isinstance(function, FunctionType):
        if function not in _KEYWORDS:
            _KEYWORDS[function] = _read_keywords(run)
        return _KEYWORDS[function]
    return _read_keywords(run)


def _read_keywords(run: Callable[..., object]) -> tuple[frozenset[str], bool]:
    parameters = signature(run).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    # The first are the circuits.
    named = {name for name, one in islice(parameters.items(), 1, None) if one.kind in _BY_KEYWORD}
    return frozenset(named), Parameter.VAR_KEYWORD in kinds


_KEYWORDS: "WeakKeyDictionary[FunctionType, tuple[frozenset[str], bool]]" = WeakKeyDictionary()


def takes_one_circuit(backend: object) -> bool:
    """Check by the first parameter of ``backend.run`` whether it takes one circuit and no list."""
    try:
        first = next(iter(signature(backend.run).parameters.values()))  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  As above.
        return False
    if first.annotation is Parameter.empty:
        return first.name.endswith("circuit")
    return bool(getattr(first.annotation, "__name__", first.annotation) == "QuantumCircuit")


def objection(backend: object, name: str, value: object) -> str:
    """Explain why a backend's option validator rejects a value, or return ``""``."""
    options = _options(backend)
    try:
        if _fields(options) is not None:
            validator = type(options).__pydantic_validator__  # type: ignore[attr-defined]
            validator.validate_assignment(copy(options), name, value)
        elif name in _validators(options):
            copy(options).update_options(**{name: value})  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001  A value may be of a type that nothing is compared with.
        return f"does not take {value!r} for the option {name!r}: {error}"
    return ""


def read_shots_range(backend: object) -> tuple[object, object]:
    """Read the fewest and the most shots that the validator of a backend's options allows.

    Of choices that have gaps it is the smallest one, of which any larger number is made.
    """
    options = _options(backend)
    fields = _fields(options)
    if fields is not None:
        return _bounds_of(fields.get("shots"))
    allowed = _validators(options).get("shots")
    if isinstance(allowed, tuple) and len(allowed) == 2:
        return _whole(allowed[0], ceil), _whole(allowed[1], floor)
    if isinstance(allowed, list):
        choices = {int(one) for one in allowed if isinstance(one, Integral)} - {0}
        if choices:
            fewest, most = min(choices), max(choices)
            return fewest, most if len(choices) == most - fewest + 1 else fewest
    return None, None


def _list_names(options: object) -> frozenset[str]:
    try:
        fields = _fields(options)
        if fields is None:
            fields = options if isinstance(options, Mapping) else getattr(options, "__dict__", {})
        return frozenset(map(str, fields))
    except Exception:  # noqa: BLE001  To read what a provider made of it runs foreign code.
        return frozenset()


def _options(backend: object) -> object:
    try:
        return getattr(backend, "options", None)
    except (Exception, SystemExit):  # noqa: BLE001  A property may raise anything; it tells nothing.
        return None


def _fields(options: object) -> Mapping[str, Any] | None:
    """Return the fields of options that are a model of pydantic's, as AQT's are."""
    fields = getattr(type(options), "model_fields", None)
    return fields if isinstance(fields, Mapping) else None


def _validators(options: object) -> Mapping[str, Any]:
    try:
        found = getattr(options, "validator", None)
    except Exception:  # noqa: BLE001  As above.
        return {}
    return found if isinstance(found, Mapping) else {}


def _bounds_of(field: Any) -> tuple[object, object]:
    fewest: object = None
    most: object = None
    for rule in getattr(field, "metadata", ()):
        above, below = getattr(rule, "gt", None), getattr(rule, "lt", None)
        fewest = getattr(rule, "ge", above if above is None else above + 1) or fewest
        most = getattr(rule, "le", below if below is None else below - 1) or most
    return fewest, most


def _whole(bound: object, rounded: Any) -> object:
    return rounded(bound) if isinstance(bound, Real) and isfinite(bound) else None
