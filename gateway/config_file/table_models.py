"""Tables of a configuration file, made from the values that they describe.

A field of a frozen dataclass is a key of its table: its type is what the key may hold, its
docstring the description, and the dataclass's own checks the checks of the file. So a new field is
a new key, and nothing is written down twice.
"""

import inspect
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic import Field as Key
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from qiskit_gateway.config_file.problems import read_variable
from qiskit_gateway.policies.removed import explain_removed, removed_keywords

TEXT_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"env": {"type": "string"}}, "required": ["env"]},
    ]
}
"""The JSON schema of a text, or of the environment variable that holds it."""


def _look_up(value: Any, info: ValidationInfo) -> Any:
    # A variable that is not set is a problem that `find_secrets` tells.
    variable = read_variable(value)
    return (info.context or {}).get(variable, "") if variable else value


Text = Annotated[str, BeforeValidator(_look_up), WithJsonSchema(TEXT_SCHEMA)]
"""A text, or ``{ env = "NAME" }``; the variables are the context of the validation."""


class Table(BaseModel):
    """A table whose keys are all known."""

    removed: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_removed(cls, table: Any) -> Any:
        for name in table if isinstance(table, dict) else ():
            if name in cls.removed:
                raise wrong(explain_removed(name, cls.removed[name]))
        return table

    def list_given(self) -> dict[str, Any]:
        """List the values that the file sets, by key; defaults are left out."""
        said = self.model_fields_set
        return {name: getattr(self, name) for name in type(self).model_fields if name in said}


@dataclass(frozen=True)
class Made:
    """Annotate a type whose values are made from a table.

    Attributes:
        table: The table.
        make: Makes the value; what it raises with :func:`wrong` is a problem of the file.
    """

    table: type[Table]
    make: Callable[[Any], object]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read the table, then make the value."""
        return core_schema.no_info_after_validator_function(self.make, handler(self.table))


def annotate_table(kind: Any) -> Made:
    """Annotate a dataclass that is written as a table of its fields."""
    return Made(make_table(kind), lambda table: make_checked(lambda: kind(**table.list_given())))


@cache
def make_table(kind: type) -> type[Table]:
    """Make the table whose keys are the fields of a dataclass."""
    return new_table(f"{kind.__name__}Table", list_key_types(kind), kind)


def new_table(
    name: str, keys: Mapping[str, Any], documented: object, base: type[Table] = Table
) -> type[Table]:
    """Return a table of optional keys.

    Args:
        name: Of the table, for the schema.
        keys: The types, by key.
        documented: Whose docstring describes the keys.
        base: What the table extends.
    """
    said = read_descriptions(documented)
    made: dict[str, Any] = {
        key: (Annotated[kind, Key(description=said[key])] if key in said else kind, None)
        for key, kind in keys.items()
    }
    table = create_model(name, __base__=base, __module__=__name__, **made)
    table.removed = removed_keywords(documented)
    return table


def list_key_types(kind: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """List the types of the keys of a dataclass's table; the dataclass itself checks them."""
    hints = get_type_hints(kind)
    return {
        field.name: Annotated[find_file_type(hints[field.name]), _field_check(kind, field)]
        for field in fields(kind)
        if field.name not in without
    }


def _field_check(kind: Any, field: "Field[Any]") -> AfterValidator:
    optional = field.default is not MISSING and type(None) in get_args(field.type)

    def check(value: Any) -> Any:
        # TOML has no null: where there may be no limit, that is written `inf`.
        if optional and value == math.inf:
            value = None
        make_checked(lambda: kind(**{field.name: value}))
        return value

    return AfterValidator(check)


def find_file_type(hint: Any) -> Any:
    """Find the type that a value of a type has in a file."""
    if hint is str:
        return Text
    if is_dataclass(hint):
        return Annotated[hint, annotate_table(hint)]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        # A key that is there is never null.
        kept = [find_file_type(part) for part in arguments if part is not type(None)]
        return Union[tuple(kept)]  # noqa: UP007  Computed.
    if isinstance(origin, type) and issubclass(origin, frozenset):
        return types.GenericAlias(list, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return types.GenericAlias(dict, arguments)
    return hint


def make_check(make: Callable[[Any], Any]) -> AfterValidator:
    """Make the check that a value can be made from what a key holds."""

    def check(value: Any) -> Any:
        make_checked(lambda: make(value))
        return value

    return AfterValidator(check)


def make_checked(make: Callable[[], Any]) -> Any:
    """Make a value, and let what the value says against it be a problem of the file."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise wrong(str(error)) from None


def wrong(text: str) -> PydanticCustomError:
    """Return the error of a file that says ``text``, to be raised in a validator."""
    return PydanticCustomError("config", "{text}", {"text": text.rstrip(".")})


def read_descriptions(documented: object) -> dict[str, str]:
    """Read the description of each attribute or argument from a Google-style docstring."""
    text = inspect.getdoc(documented) or ""
    found = re.search(r"^(?:Attributes|Args):\n((?:[ ]+.*\n?|\n)*)", text, re.MULTILINE)
    entries = re.findall(
        r"^ {4}\*{0,2}(\w+): (.*(?:\n {5,}.*)*)", found[1] if found else "", re.MULTILINE
    )
    return {name: re.sub(r"\s+", " ", said) for name, said in entries}
