"""Problems in a configuration file: each with its key, its line, and a remedy.

Values of keys that may hold secrets are never shown, nor are whole tables.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from qiskit_gateway.backends.failures.redaction import keep_secret, names_secret, printable, redact

Path = tuple[str | int, ...]
"""Where something is in a document: keys of tables, and places in lists from 0."""

_URL_SECRET = re.compile(r"://[^/\s@]*:[^/\s@]+@")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_OF_ARGUMENTS = ("arguments", "method_arguments", "primitive_arguments", "run_options")
_MOST_SHOWN = 60
_MOST_LISTED = 12

# What must be there instead, by the kind of pydantic's error.
_WANTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where.
        text: What was seen, and what is allowed.
    """

    path: Path
    text: str


def translate_problems(
    errors: Iterable[Mapping[str, Any]], schema: Mapping[str, Any]
) -> list[Problem]:
    """Translate pydantic's errors.

    Args:
        errors: ``ValidationError.errors()``.
        schema: The JSON schema of the document, for the keys that are allowed.
    """
    return [Problem(path=tuple(error["loc"]), text=_text(error, schema)) for error in errors]


def find_secrets(document: object, environ: Mapping[str, str]) -> list[Problem]:
    """Find secrets that are written out, and environment variables that are missing."""
    problems = []
    for path, value in walk(document):
        if variable := _read_variable_at(path, value):
            if not environ.get(variable):
                text = f"the environment variable {variable} is not set"
                problems.append(Problem(path=path, text=text))
        elif _is_secret(path) and value and type(value) in {str, int, float}:
            text = (
                "a secret must not be written here: set an environment variable and name it, "
                f"{_name(path)} = {{ env = {_suggest_variable(path)!r} }}"
            )
            problems.append(Problem(path=path, text=text))
        elif isinstance(value, str) and _URL_SECRET.search(value):
            text = 'an address must not hold a password: name a variable, { env = "NAME" }'
            problems.append(Problem(path=path, text=text))
    return problems


def keep_secrets(document: object, environ: Mapping[str, str]) -> None:
    """Keep what the environment gives to a document out of every text from now on.

    What it gives to the policy is a secret only under the name of one: reports name the user.
    """
    for path, value in walk(document):
        told = path[:1] == ("policy",) and not _is_secret(path)
        if not told and (variable := _read_variable_at(path, value)):
            keep_secret(environ.get(variable, ""))


def read_variable(value: object) -> str:
    """Read the variable that ``{ env = "NAME" }`` names; ``""`` if it is not that."""
    if isinstance(value, dict) and set(value) == {"env"} and isinstance(value["env"], str):
        return value["env"]
    return ""


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """Return a hint at the word that was probably meant, or ``""``."""
    close = get_close_matches(str(word).lower(), list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def list_problems(name: str, problems: Sequence[Problem], text: str) -> str:
    """Return the message that lists problems, by line where that is known."""
    lines = _find_line_numbers(text)
    found = sorted(
        {
            (_line(problem.path, lines), write_path(problem.path), problem.text)
            for problem in problems
        }
    )
    many = f"{len(found)} problems" if len(found) > 1 else "1 problem"
    lines_said = [
        f"  {f'line {line}: ' if line else ''}{f'{path}: ' if path else ''}{said}"
        for line, path, said in found
    ]
    return printable("\n".join([f"{name} has {many}:", *lines_said]))


def write_path(path: Path) -> str:
    """Return a path as TOML would be spoken of: ``members[1].limits.max_circuits``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE.fullmatch(step) else repr(step))
    return text


def walk(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Yield everything in a document, and where it is; ``{ env = ... }`` is one thing."""
    yield path, value
    if _read_variable_at(path, value):
        return  # One thing, not a table.
    parts: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for step, part in parts:
        yield from walk(part, (*path, step))


# -- one error -------------------------------------------------------------------------------


def _text(error: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    path, value, context = tuple(error["loc"]), error["input"], error.get("ctx", {})
    match error["type"]:
        case "config":  # Ours, which says all.
            return str(error["msg"])
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return _unknown(path, schema)
        case "literal_error":
            return _choice(path, value, re.findall(r"'([^']*)'", context["expected"]))
        case "too_short":
            said = f"must hold {context['min_length']} or more"
        case kind if kind in _WANTED:
            said = f"must be {_WANTED[kind]}"
        case _:
            said = str(error["msg"]).replace("Input should be", "must be")
    return f"{said}, got {_describe_value(path, value)}"


def _unknown(path: Path, schema: Mapping[str, Any]) -> str:
    allowed = sorted(_list_keys_at(path[:-1], schema))
    hint = did_you_mean(path[-1], allowed)
    if not hint and path[-1] in _list_keys_at((), schema):
        # In TOML a key belongs to the table above it, which is easily forgotten.
        hint = "; if it is meant for the whole file, put it above the first table"
    return f"unknown key{hint} (there are {', '.join(allowed)})"


def _choice(path: Path, value: object, choices: Sequence[str]) -> str:
    hint = did_you_mean(value, choices)
    if hint and len(choices) > _MOST_LISTED:
        return f"{_describe_value(path, value)} is not one of the {len(choices)} known{hint}"
    return (
        f"must be one of {', '.join(map(repr, choices))}; got {_describe_value(path, value)}{hint}"
    )


def _describe_value(path: Path, value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if _is_secret(path):
        return "something that is not shown"
    text = str(value).lower() if isinstance(value, bool) else redact(repr(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _list_keys_at(path: Path, schema: Mapping[str, Any]) -> list[str]:
    """List the keys that the table at a path may have, by its JSON schema."""
    here = schema
    for step in path:
        inner = here.get("items" if isinstance(step, int) else "properties", {})
        here = inner if isinstance(step, int) else inner.get(step, {})
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rsplit("/", 1)[-1]]
    return list(here.get("properties", {}))


# -- secrets ---------------------------------------------------------------------------------


def _read_variable_at(path: Path, value: object) -> str:
    # A table of arguments is no value of its own: an argument may be called env.
    return "" if path and path[-1] in _OF_ARGUMENTS else read_variable(value)


def _is_secret(path: Path) -> bool:
    return names_secret(_name(path))


def _name(path: Path) -> str:
    """Return the last key of a path."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _suggest_variable(path: Path) -> str:
    return re.sub(r"\W", "_", _name(path)).upper()


# -- lines -----------------------------------------------------------------------------------


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    """Return the line of a path, or of the nearest thing around it that has one; 0 is unknown."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0)


def _find_line_numbers(text: str) -> dict[Path, int]:
    """Find the line of a TOML document on which each key and each item of a list begins."""
    lines: dict[Path, int] = {}
    table: Path = ()
    sizes: dict[Path, int] = {}
    for number, statement in _split_statements(text):
        if statement.lstrip().startswith("["):
            table = _descend(tomllib.loads(statement), sizes)
            lines.setdefault(table, number)
            lines.setdefault(table[:-1], number)
        else:
            for path, _ in _walk_inside(tomllib.loads(statement)):
                lines.setdefault((*table, *path), number)
    lines.pop((), None)
    return lines


def _walk_inside(value: object) -> Iterator[tuple[Path, object]]:
    for path, part in walk(value):
        yield path, part
        if _read_variable_at(path, part):
            yield (*path, "env"), part


def _split_statements(text: str) -> Iterator[tuple[int, str]]:
    """Split a TOML document into headers and assignments, each with the line it begins on."""
    begun: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        begun.append(line.removesuffix("\r"))
        statement = "\n".join(begun)
        try:
            content = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # It continues on the next line.
        if content:
            yield number - len(begun) + 1, statement
        begun = []


def _descend(header: Any, sizes: dict[Path, int]) -> Path:
    """Return the path of the table that a header opens.

    Args:
        header: The header alone, parsed.
        sizes: By path of a list of tables, the place of its last; a new one is counted.
    """
    path: Path = ()
    while header:
        ((key, header),) = header.items()
        path = (*path, key)
        if isinstance(header, list):
            sizes[path] = sizes.get(path, -1) + 1
            return (*path, sizes[path])
        if path in sizes:
            path = (*path, sizes[path])
    return path
