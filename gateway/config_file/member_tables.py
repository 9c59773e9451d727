"""The ``[[members]]`` tables of a configuration file, and the members made of them.

Code is imported here, and only what the file names.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, WithJsonSchema, model_validator
from pydantic import Field as Key
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.executors.executor_member import ExecutorMember
from qiskit_gateway.backends.executors.pool import connect_dask, make_process_pool
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.member_terms import check_name
from qiskit_gateway.backends.interface.native_primitive import ModeKind
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.primitive.estimator_member import EstimatorMember
from qiskit_gateway.backends.primitive.primitive_member import PrimitiveMember
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember
from qiskit_gateway.config_file.pricing_tables import PricingTable, read_tariff
from qiskit_gateway.config_file.problems import Path, Problem, did_you_mean, read_variable
from qiskit_gateway.config_file.table_models import (
    Made,
    Table,
    annotate_table,
    make_check,
    make_checked,
    new_table,
    wrong,
)

_KINDS = ("backend", "provider", "simulated", "member")
_OF_PROVIDERS = ("get_backend", "method", "method_arguments")
_OF_PRIMITIVES = ("primitive_arguments", "mode", "mode_seconds", "idle_seconds")
_NOT_OF_SIMULATED = (
    "arguments",
    "run_options",
    "adaptation",
    "compile_tries",
    "queue",
    "speed",
    "primitive",
)
# Whatever makes a member says all of it.
_NOT_OF_MEMBER = [
    "limits",
    "pricing",
    "weight",
    "fidelity",
    "tags",
    "run_options",
    "adaptation",
    "compile_tries",
    "queue",
    "speed",
    "primitive",
]


def _import_path(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text):
        raise wrong(f"must be an import path such as 'package.module:Class', got {text!r}")
    module, _, names = text.partition(":")
    if _is_of_python(module):
        raise wrong(f"names {module}, a part of Python, which has no backends")
    if _is_private(names):
        raise wrong(f"must not be private, beginning with an underscore; got {text!r}")
    return text


def _is_of_python(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _is_private(names: str) -> bool:
    return any(name.startswith("_") for name in names.split("."))


def _method(names: str | None) -> str | None:
    if names is not None and not all(map(str.isidentifier, names.split("."))):
        raise wrong(
            f"must be the name of a method such as 'device' or 'offline.ideal', got {names!r}"
        )
    if names is not None and _is_private(names):
        raise wrong(f"must not be private, beginning with an underscore; got {names!r}")
    return names


def _name(text: str | None) -> str | None:
    if text is not None:
        make_checked(lambda: check_name(text))
    return text


def _queue(value: Any) -> Any:
    if isinstance(value, str):
        return _import_path(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise wrong(
            "must be a number of seconds, or the import path of a callable that returns one, such "
            "as 'package.module:function'"
        )
    return float(value)


ImportPath = Annotated[str, AfterValidator(_import_path)]


def _make_simulated_key(name: str, kind: Any) -> Any:
    return Annotated[kind, make_check(lambda value: SimulatedMember("checked", **{name: value}))]


_Window = Annotated[list[float], Key(min_length=2, max_length=2)]
SimulatedTable = new_table(
    "SimulatedTable",
    {
        name: _make_simulated_key(name, kind)
        for name, kind in {
            "num_qubits": int,
            "queue_seconds": float,
            "job_seconds": float,
            "circuit_seconds": float,
            "shot_seconds": float,
            "failure_rate": float,
            "outages": list[_Window],
            "parallel_jobs": int,
            "told": bool,
            "seed": int,
        }.items()
    },
    SimulatedMember,
)


SpeedTable = new_table(
    "SpeedTable",
    {field.name: Annotated[float, Key(ge=0, allow_inf_nan=False)] for field in fields(Speed)},
    Speed,
)


class ExecutorTable(Table):
    """Workers that build the backend, and run its jobs."""

    kind: Annotated[
        Literal["dask", "process"] | None,
        Key(description="What the workers are: those of a Dask cluster, or processes here."),
    ] = None
    address: Annotated[
        str | None, Key(description="Of the Dask scheduler, such as 'tcp://head:8786'.")
    ] = None
    workers: Annotated[
        int | None, Key(gt=0, description="Processes; by default one for each processor.")
    ] = None
    factory: Annotated[
        ImportPath | None, Key(description="Import path of what is called to get an executor.")
    ] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        said = self.model_fields_set
        if ("kind" in said) == ("factory" in said):
            raise wrong("must have one of kind and factory")
        if self.kind == "dask" and self.address is None:
            raise wrong("must have the address of the scheduler, such as 'tcp://head:8786'")
        for key, kind in (("address", "dask"), ("workers", "process")):
            if key in said and self.kind != kind:
                raise wrong(f"has {key}, which is for kind = {kind!r}")
        return self


class MemberTable(Table):
    """One member of the fleet: a backend, one of a provider, a primitive, or a simulated one."""

    removed: ClassVar[Mapping[str, str]] = {
        "check": "run check_backend(backend) once, and write down what it finds as adaptation = {...}, "
        "which it prints"
    }

    name: Annotated[
        str | None,
        AfterValidator(_name),
        Key(min_length=1, description="Its label; by default the backend's own name."),
    ] = None
    backend: Annotated[
        ImportPath | None, Key(description="Import path of what is called to get a backend.")
    ] = None
    provider: Annotated[
        ImportPath | None, Key(description="Import path of what is called to get a provider.")
    ] = None
    executor: Annotated[
        ExecutorTable | None,
        Key(description="Workers to build the backend on, in place of this process."),
    ] = None
    target: Annotated[
        ImportPath | None,
        Key(description="With executor: import path of what is called for what to compile for."),
    ] = None
    simulated: Annotated[
        Any,
        Made(SimulatedTable, Table.list_given),
        Key(description="A member that only takes time."),
    ] = None
    primitive: Annotated[
        ImportPath | None,
        Key(
            description="Import path of what is called to get a SamplerV2 or EstimatorV2: with the "
            "backend, where there is one, else with the arguments."
        ),
    ] = None
    primitive_arguments: Annotated[
        dict[str, Any],
        Key(default_factory=dict, description="Arguments of the primitive beside its backend."),
    ]
    mode: Annotated[
        ModeKind | None, Key(description="How jobs of a primitive are held together.")
    ] = None
    mode_seconds: Annotated[
        int | None, Key(gt=0, description="How long a batch or session may last.")
    ] = None
    idle_seconds: Annotated[
        float | None, Key(ge=0, description="How long it is left open with no job in flight.")
    ] = None
    member: Annotated[
        ImportPath | None, Key(description="Import path of what is called to get a member.")
    ] = None
    arguments: Annotated[
        dict[str, Any],
        Key(
            default_factory=dict,
            description="Arguments of the backend, provider, primitive or member; secrets as "
            "{ env = 'NAME' }.",
        ),
    ]
    get_backend: Annotated[
        str | None, Key(description="Name of the backend to get from the provider.")
    ] = None
    method: Annotated[
        str | None,
        AfterValidator(_method),
        Key(description="Method of the provider that returns a backend, for get_backend."),
    ] = None
    method_arguments: Annotated[
        dict[str, Any], Key(default_factory=dict, description="Arguments of the method.")
    ]
    limits: Annotated[
        Limits | None,
        annotate_table(Limits),
        Key(description="What a job may be; wins over the backend."),
    ] = None
    pricing: Annotated[
        Any, Made(PricingTable, read_tariff), Key(description="What a job costs; free by default.")
    ] = None
    weight: Annotated[
        float, Key(gt=0, allow_inf_nan=False, description="Share of the work, for weighted.")
    ] = 1.0
    fidelity: Annotated[
        float | None, Key(ge=0, le=1, description="Expected fidelity of its circuits.")
    ] = None
    tags: Annotated[
        list[str], Key(default_factory=list, description="Labels that filters may ask for.")
    ]
    run_options: Annotated[
        dict[str, Any],
        Key(default_factory=dict, description="Options of backend.run for every job here."),
    ]
    compile_tries: Annotated[
        int, Key(gt=0, description="How often to compile a circuit, to send the best by fidelity.")
    ] = 1
    adaptation: Annotated[
        Adaptation | None,
        annotate_table(Adaptation),
        Key(description="How to read the backend's bits, as check_backend found it."),
    ] = None
    queue: Annotated[
        Any,
        AfterValidator(_queue),
        WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
        Key(description="Wait in seconds, or the import path of a callable that tells it."),
    ] = None
    speed: Annotated[
        Any,
        Made(SpeedTable, lambda table: make_checked(lambda: Speed(**table.list_given()))),
        Key(description="How long its jobs run; by default that is learned."),
    ] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        said = self.model_fields_set
        kinds = [kind for kind in _KINDS if kind in said]
        if not kinds and "primitive" in said:
            kinds = ["primitive"]
        if len(kinds) != 1:
            seen = " and ".join(kinds) if kinds else "none"
            raise wrong(f"must have one of {', '.join((*_KINDS, 'primitive'))}; got {seen}")
        for key in _find_foreign_keys(kinds[0], said):
            if key in said:
                raise wrong(f"has {key}, which a member by {kinds[0]} does not")
        if kinds == ["provider"] and len(said & {"get_backend", "method"}) != 1:
            raise wrong("must say which backend of the provider: by get_backend, or by method")
        return self


def _find_foreign_keys(kind: str, said: Collection[str]) -> Sequence[str]:
    """List the keys that a member of a kind does not have."""
    primitive = "primitive" in said
    foreign = [] if kind == "provider" else [*_OF_PROVIDERS]
    foreign += ["run_options"] if primitive else _OF_PRIMITIVES
    foreign += [] if kind == "backend" and not primitive else ["executor"]
    foreign += [] if "executor" in said else ["target"]
    foreign += {
        "primitive": ("primitive_arguments",),
        "simulated": _NOT_OF_SIMULATED,
        "member": _NOT_OF_MEMBER,
    }.get(kind, ())
    return foreign


# -- from tables to members ------------------------------------------------------------------


class _UnmadeError(Exception):
    """A member that cannot be made: at which key, and why."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


def find_repeated_names(tables: Iterable[MemberTable]) -> list[Problem]:
    """Return the members that have the name of an earlier one."""
    first: dict[str, int] = {}
    problems = []
    for index, table in enumerate(tables):
        if table.name is not None and first.setdefault(table.name, index) != index:
            text = f"{table.name!r} is the name of members[{first[table.name]}] too"
            problems.append(Problem(path=("members", index, "name"), text=text))
    return problems


def make_members(
    tables: Sequence[MemberTable], environ: Mapping[str, str]
) -> tuple[list[FleetMember], list[Problem]]:
    """Return the members of tables, and why some could not be made."""
    members: list[FleetMember] = []
    problems = []
    for index, table in enumerate(tables):
        try:
            members.append(_Maker(table, environ).make(index))
        except _UnmadeError as unmade:
            path = ("members", index, *unmade.path)
            problems.append(Problem(path=path, text=unmade.text))
    return members, problems


def resolve(value: Any, environ: Mapping[str, str]) -> Any:
    """Return a value of the file with environment variables in place of their names."""
    if variable := read_variable(value):
        return environ[variable]
    if isinstance(value, dict):
        return {key: resolve(part, environ) for key, part in value.items()}
    return [resolve(part, environ) for part in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the member that a table says."""

    table: MemberTable
    environ: Mapping[str, str]

    def make(self, index: int) -> FleetMember:
        table = self.table
        said: dict[str, Any] = {
            key: getattr(table, key) for key in ("limits", "pricing", "weight", "fidelity", "tags")
        }
        if table.simulated is not None:
            return SimulatedMember(table.name or f"simulated-{index}", **said, **table.simulated)
        if table.member is not None:
            return self._make_own(table.member)
        said |= {
            "name": table.name,
            "adaptation": table.adaptation,
            "compile_tries": table.compile_tries,
            "queue": _wait(table.queue),
            "speed": table.speed,
        }
        if table.primitive is not None:
            return self._make_primitive(table.primitive, said)
        said["run_options"] = self._resolve_all(table.run_options)
        if table.executor is not None:
            return self._make_on_workers(table.executor, said)
        return Member(self._make_backend(), **said)

    def _make_own(self, path: str) -> FleetMember:
        member = self._call("member", _import("member", path), self.table.arguments)
        if not isinstance(member, FleetMember) or isinstance(member, type):
            raise _UnmadeError(
                ("member",),
                f"gave {type(member).__name__}, which has not the attributes and verbs of a "
                "FleetMember",
            )
        if self.table.name is not None:
            member.name = self.table.name
        return member

    def _make_primitive(self, path: str, said: Mapping[str, Any]) -> FleetMember:
        table = self.table
        make, arguments = _import("primitive", path), table.arguments
        if table.backend is not None or table.provider is not None:
            make, arguments = partial(make, self._make_backend()), table.primitive_arguments
        primitive = self._call("primitive", make, arguments)
        if not isinstance(primitive, BaseSamplerV2 | BaseEstimatorV2):
            text = f"gave {type(primitive).__name__}, which is no SamplerV2, nor an EstimatorV2"
            raise _UnmadeError(("primitive",), text)
        given = {key: getattr(table, key) for key in ("mode", "mode_seconds", "idle_seconds")}
        held = {key: value for key, value in given.items() if value is not None}
        try:
            if isinstance(primitive, BaseEstimatorV2):
                return EstimatorMember(primitive, **said, **held)
            return PrimitiveMember(primitive, **said, **held)
        except (TypeError, ValueError) as error:
            raise _UnmadeError(("primitive",), f"cannot be a member: {error}") from None

    def _make_on_workers(self, workers: ExecutorTable, said: Mapping[str, Any]) -> FleetMember:
        table = self.table
        make: Callable[..., Any]
        if workers.factory is not None:
            make = _import("executor", workers.factory)
        elif workers.kind == "dask":
            make = partial(connect_dask, workers.address or "")
        else:
            make = partial(make_process_pool, workers.workers)
        target = table.target and self._call("target", _import("target", table.target), {})
        arguments = self._resolve_all(table.arguments)
        try:
            return ExecutorMember(make, table.backend or "", arguments, target=target, **said)
        except (BackendError, TypeError) as error:
            raise _UnmadeError(("executor",), f"cannot be made: {text_of(error)}") from None

    def _make_backend(self) -> BackendV2:
        if self.table.backend is not None:
            key, make, given = (
                "backend",
                _import("backend", self.table.backend),
                self.table.arguments,
            )
        else:
            key, make, given = self._find_backend()
        backend = self._call(key, make, given)
        if not isinstance(backend, BackendV2):
            text = f"gave {type(backend).__name__}, which is no qiskit BackendV2"
            raise _UnmadeError((key,), text)
        return backend

    def _find_backend(self) -> tuple[str, Callable[..., Any], dict[str, Any]]:
        """Make a provider; return the key that says how to get its backend, what to call, and how."""
        table = self.table
        make = _import("provider", table.provider or "")
        provider = self._call("provider", make, table.arguments)
        if table.method is not None:
            return "method", _attribute("method", provider, table.method), table.method_arguments
        function = _attribute("get_backend", provider, "get_backend")
        return "get_backend", partial(function, table.get_backend), {}

    def _call(self, key: str, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        try:
            return function(**self._resolve_all(arguments))
        except Exception as error:  # noqa: BLE001  Whatever a provider raises.
            # From nothing: what it was called with may be in the traceback of its own error.
            raise _UnmadeError((key,), f"cannot be made: {text_of(error)}") from None

    def _resolve_all(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {key: resolve(value, self.environ) for key, value in arguments.items()}


def _wait(queue: Any) -> Callable[[], Any] | None:
    if isinstance(queue, str):
        return _import("queue", queue)
    return None if queue is None else partial(float, queue)


def _import(key: str, path: str) -> Callable[..., Any]:
    name, _, attributes = path.partition(":")
    try:
        module = importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  Whatever a module does when it is imported.
        text = f"{name} cannot be imported: {text_of(error)}"
        raise _UnmadeError((key,), text) from None
    return _attribute(key, module, attributes)


def _attribute(key: str, owner: Any, names: str) -> Callable[..., Any]:
    found = owner
    for name in names.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            where = getattr(found, "__name__", type(found).__name__)
            hint = did_you_mean(name, dir(found))
            raise _UnmadeError((key,), f"{where} has no {name!r}{hint}") from None
        if isinstance(found, ModuleType) and _is_of_python(found.__name__):
            raise _UnmadeError((key,), f"{names!r} leads to {found.__name__}, a part of Python")
    routine = inspect.isroutine(found) or inspect.isclass(found)
    if routine and _is_of_python(getattr(found, "__module__", None) or ""):
        raise _UnmadeError((key,), f"{names!r} is a part of Python, and gives no backend")
    if not callable(found):
        raise _UnmadeError((key,), f"{names!r} is {type(found).__name__} and cannot be called")
    function: Callable[..., Any] = found
    return function
