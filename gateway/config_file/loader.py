"""One configuration file: members, policy and journal from TOML.

Only code that the file names is imported, and only once the file itself has been found right. No
secret is in the file: ``{ env = "NAME" }`` names an environment variable in its place.

For an editor's completion, ``qiskit-gateway schema`` writes the JSON schema.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError, WithJsonSchema
from pydantic import Field as Key

from qiskit_gateway.backends.failures.redaction import printable
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.config_file.member_tables import (
    MemberTable,
    find_repeated_names,
    make_members,
    resolve,
)
from qiskit_gateway.config_file.policy_tables import POLICY, REGISTRY
from qiskit_gateway.config_file.problems import (
    Problem,
    did_you_mean,
    find_secrets,
    keep_secrets,
    list_problems,
    read_variable,
    translate_problems,
    walk,
)
from qiskit_gateway.config_file.table_models import TEXT_SCHEMA, Table, wrong
from qiskit_gateway.errors import ConfigError
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.primitives.estimator import RouterEstimator
from qiskit_gateway.primitives.sampler import RouterSampler

__all__ = ["REGISTRY", "Config", "config_schema", "journal_in", "load_config"]

# Under these keys of a policy are names of members: as texts of a list, or as keys of a table.
_LISTS_OF_MEMBERS = frozenset({"named", "order_of", "members"})
_TABLES_OF_MEMBERS = frozenset({"weights", "per_member_usd"})


# Tables within tables, which nothing here needs more of.
_DEEPEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The contents of a configuration file, and the primitives that they make.

    Attributes:
        fleet: The members.
        policy: Where work goes, and what happens when something fails.
        journal: Path or address of the journal, if the file names one.
    """

    fleet: Fleet
    policy: Policy
    journal: str | None = None

    def sampler(self, **options: Any) -> RouterSampler:
        """Return a sampler over the fleet; the options are its ``SamplerOptions``."""
        return RouterSampler(self.fleet, policy=self.policy, options=options, journal=self.journal)

    def estimator(self, **options: Any) -> RouterEstimator:
        """Return an estimator over the fleet; the options are its ``EstimatorOptions``."""
        return RouterEstimator(
            self.fleet, policy=self.policy, options=options, journal=self.journal
        )


def load_config(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> Config:
    """Load a configuration file and make its backends.

    Args:
        path: Of a TOML file; ``docs/configuration.md`` says what may be in it.
        environ: Where ``{ env = "NAME" }`` is looked up; the process's environment by default.

    Raises:
        ConfigError: If the file cannot be used. It lists the problems, each with its key, and the
            line where it is known.
        OSError: If the file cannot be read.
    """
    file = Path(path)
    variables = os.environ if environ is None else environ
    text, document = _read(file, variables)
    form = _validate(file.name, text, document, variables)
    members, problems = make_members(form.members, variables)
    if not problems:
        try:
            fleet = Fleet(members)
        except ValueError as error:  # Members that share something do not agree on it.
            problems = [Problem(path=("members",), text=str(error))]
        else:
            problems = [
                *_find_strangers(document, fleet.names),
                *_find_limits_of_nobody(form.policy),
            ]
    if problems:
        raise ConfigError(list_problems(file.name, problems, text))
    journal = resolve(form.journal, variables)
    return Config(fleet=fleet, policy=form.policy, journal=journal and _place(journal, file.parent))


def journal_in(path: str | os.PathLike[str]) -> str | None:
    """Find the journal that a configuration file names; no backend is made.

    Raises:
        ConfigError: If the file cannot be used.
        OSError: If the file cannot be read.
    """
    file = Path(path)
    text, document = _read(file, os.environ)
    said = {key: document[key] for key in ("journal",) if key in document}
    problems = find_secrets(said, os.environ)
    if problems:
        raise ConfigError(list_problems(file.name, problems, text))
    try:
        journal = resolve(_journal(said["journal"]), os.environ) if said else None
    except ValueError as error:
        problem = Problem(path=("journal",), text=str(error))
        raise ConfigError(list_problems(file.name, [problem], text)) from None
    return journal and _place(journal, file.parent)


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ConfigTable.model_json_schema(),
    }


def _read(file: Path, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    try:
        # Some editors begin a file with a mark of its encoding.
        text = file.read_bytes().decode("utf-8-sig")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file.name} is not UTF-8, as TOML must be: {error.reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(printable(f"{file.name} is not TOML: {error}")) from None
    except RecursionError:
        raise ConfigError(f"{file.name} is nested too deep to be read") from None
    except ValueError as error:  # A number of thousands of digits.
        raise ConfigError(f"{file.name} cannot be read: {error}") from None
    if _measure_depth(document, _DEEPEST) == _DEEPEST:
        raise ConfigError(f"{file.name} is nested too deep to be read")
    keep_secrets(document, environ)
    return text, document


def _measure_depth(document: Any, most: int) -> int:
    """Measure how deep tables and lists are nested, within a limit."""
    level = [document]
    for depth in range(most):
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [one for parts in inner for one in parts if isinstance(one, dict | list)]
        if not level:
            return depth
    return most


def _journal(value: Any) -> Any:
    if not read_variable(value) and not (isinstance(value, str) and value):
        raise wrong('must be a path or an address, or { env = "NAME" }')
    return value


class ConfigTable(Table):
    """A configuration of qiskit-gateway."""

    members: Annotated[list[MemberTable], Key(min_length=1, description="The fleet, in order.")]
    policy: Annotated[
        Policy, POLICY, Key(description="Where work goes, and what happens when something fails.")
    ] = Policy()
    journal: Annotated[
        Any,
        AfterValidator(_journal),
        WithJsonSchema(TEXT_SCHEMA),
        Key(description="Path, relative to this file, or address of the record of all runs."),
    ] = None


def _validate(
    name: str, text: str, document: dict[str, Any], environ: Mapping[str, str]
) -> ConfigTable:
    problems = find_secrets(document, environ)
    try:
        form = ConfigTable.model_validate(document, context=environ)
        problems += find_repeated_names(form.members)
    except ValidationError as error:
        problems += translate_problems(error.errors(), config_schema())
    if problems:
        raise ConfigError(list_problems(name, problems, text)) from None
    return form


def _find_strangers(document: Mapping[str, Any], names: Sequence[str]) -> list[Problem]:
    """Find members that the policy names and the fleet does not have."""
    problems = []
    for path, value in walk(document.get("policy", {}), ("policy",)):
        around = [step for step in path[:-1] if isinstance(step, str)][-1:]
        name = ""
        if around and around[0] in _LISTS_OF_MEMBERS and isinstance(value, str):
            name = value
        elif around and around[0] in _TABLES_OF_MEMBERS:
            name = str(path[-1])
        if name and name not in names:
            text = f"there is no member {name!r}{did_you_mean(name, names)}"
            problems.append(Problem(path=path, text=f"{text} (there are {', '.join(names)})"))
    return problems


def _find_limits_of_nobody(policy: Policy) -> list[Problem]:
    """Find limits for users in a policy that does not say on whose behalf runs are."""
    if policy.budget is None or not policy.budget.names_users or policy.share.user:
        return []
    text = (
        "limits what is spent for each user, and policy.share.user does not say for whom runs are"
    )
    return [Problem(path=("policy", "budget"), text=text)]


def _place(journal: str, folder: Path) -> str:
    """Path of the journal, the same from whatever folder the program is started."""
    if "://" in journal or journal.startswith(":"):
        return journal
    return str(folder / Path(journal).expanduser())
