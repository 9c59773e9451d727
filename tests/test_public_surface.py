"""Whatever a public call takes or returns can be imported from where users import."""

import ast
import inspect
import subprocess
import sys
import typing
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

FACES = [
    import_module(name)
    for name in (
        "qiskit_gateway",
        "qiskit_gateway.backends",
        "qiskit_gateway.backends.conformance",
        "qiskit_gateway.backends.pricing",
        "qiskit_gateway.backends.scripted",
        "qiskit_gateway.backends.tariffs",
        "qiskit_gateway.config",
        "qiskit_gateway.policies",
    )
]
# Python shows these, and the package alone calls them.
OURS_ALONE = {
    "Adaptation.adapt_wiring",
    "GroupJob.__init__",
    "GroupJob.show_progress",
    "Journal.begin",
    "Journal.begin_group",
    "Journal.entries",
    "Journal.member_of",
    "Journal.ledger",
    "Journal.spec",
    "Journal.speeds",
    "Journal.attempts",
    "Journal.standing",
    "Journal.take",
    "ExecutorMember.answer",
    "ExecutorMember.result_of_prepared",
    "ExecutorMember.run_prepared",
    "Member.answer",
    "Member.result_of_prepared",
    "Member.run_prepared",
    "RouterJob.__init__",
    "RouterJob.follow",
    "RouterJob.show_progress",
}
# Of the names with underscores, those that users write as a call or an operator.
WRITTEN = {
    "__add__",
    "__and__",
    "__await__",
    "__call__",
    "__getitem__",
    "__init__",
    "__iter__",
    "__mul__",
    "__or__",
}


def public_objects():
    """Collect what the faces export, by name."""
    return {name: getattr(face, name) for face in FACES for name in face.__all__}


def functions_of(exported):
    """Yield the public functions of an exported function or class, by qualified name."""
    if inspect.isfunction(exported):
        yield exported.__name__, exported
    if not isinstance(exported, type):
        return
    for name in dir(exported):
        member = inspect.getattr_static(exported, name)
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        elif isinstance(member, property):
            member = member.fget
        elif isinstance(member, cached_property):
            member = member.func
        if inspect.isfunction(member) and (not name.startswith("_") or name in WRITTEN):
            yield f"{exported.__name__}.{name}", member


def hints_of(found):
    """Return annotations by name; types of an extra's package are imported for type checkers alone."""
    names = ("Figure", "MeterProvider", "TracerProvider")
    return typing.get_type_hints(found, localns=dict.fromkeys(names, object))


def annotations_of(exported):
    """Yield each annotation that a user meets, with the name of what bears it."""
    if isinstance(exported, type):
        for name, hint in hints_of(exported).items():
            if not name.startswith("_"):
                yield f"{exported.__name__}.{name}", hint
    for name, function in functions_of(exported):
        if name not in OURS_ALONE and function.__module__.startswith("qiskit_gateway"):
            for hint in hints_of(function).values():
                yield name, hint


def types_in(hint):
    """Yield the types of this package in an annotation, however deep."""
    inner = typing.get_args(hint)
    for part in inner or (hint if isinstance(hint, list) else ()):
        yield from types_in(part)
    for found in (hint, typing.get_origin(hint)):
        if isinstance(found, type) and found.__module__.split(".")[0] == "qiskit_gateway":
            yield found


def test_types_that_public_calls_show_are_exported():
    """Nobody has to import from an inner module to annotate what a call takes or returns."""
    exported = public_objects()
    hidden = {
        f"{found.__module__}.{found.__name__}, shown by {where}"
        for one in exported.values()
        for where, hint in annotations_of(one)
        for found in types_in(hint)
        if not found.__name__.startswith("_") and exported.get(found.__name__) is not found
    }
    assert not sorted(hidden)


def test_the_package_alone_calls_what_is_said_to_be_its_own():
    """The list of exceptions names only what exists."""
    known = {name for one in public_objects().values() for name, _ in functions_of(one)}
    assert known >= OURS_ALONE


def test_one_name_means_one_thing():
    """What two faces export under the same name is the same object."""
    exported = public_objects()
    assert all(getattr(face, name) is exported[name] for face in FACES for name in face.__all__)


LATE_FACES = [face for face in FACES if Path(face.__file__).with_suffix(".pyi").exists()]


@pytest.mark.parametrize("face", LATE_FACES, ids=lambda face: face.__name__)
def test_names_that_are_imported_late_are_those_exported(face):
    """Every exported name has one module that it is imported from, and no other name has one.

    Type checkers read the same lines, and take a name for exported that is imported as itself.
    """
    stub = ast.parse(Path(face.__file__).with_suffix(".pyi").read_text())
    homes = [(alias, node.module) for node in stub.body for alias in node.names]
    assert all(alias.asname == alias.name for alias, _ in homes)
    assert sorted(alias.name for alias, _ in homes) == sorted(face.__all__)
    for alias, module in homes:
        assert module.startswith(f"{face.__name__}.")
        assert getattr(face, alias.name) is getattr(import_module(module), alias.name)


@pytest.mark.parametrize("face", LATE_FACES, ids=lambda face: face.__name__)
def test_names_can_be_listed_before_they_are_used(face):
    """``dir()`` of a fresh interpreter shows every export and what modules always show."""
    shown = run_python(f"import {face.__name__} as face; print(*dir(face))").split()
    assert {*face.__all__, "__all__", "__doc__", "__file__", "__name__", "__path__"} <= {*shown}


def test_a_module_can_be_imported_by_its_export_before_all_else():
    """An export that is a module is found though nobody has imported that yet."""
    name = "qiskit_gateway.work.record.run_events"
    assert run_python("from qiskit_gateway import run_events as m; print(m.__name__)").split() == [
        name
    ]


@pytest.mark.parametrize("face", LATE_FACES, ids=lambda face: face.__name__)
def test_names_that_do_not_exist_are_attribute_errors(face):
    """A name that nobody exports is told as of any module."""
    with pytest.raises(AttributeError, match=f"module '{face.__name__}' has no attribute 'Router'"):
        face.Router  # noqa: B018


def test_faces_import_no_module_before_it_is_used():
    """The faces alone load themselves: no room of the package, and nothing that they need."""
    program = "\n".join(
        [
            "import sys",
            *(f"import {face.__name__}" for face in LATE_FACES),
            "print(*sys.modules)",
        ]
    )
    loaded = run_python(program).split()
    ours = {name for name in loaded if name.startswith("qiskit_gateway")}
    assert ours == {face.__name__ for face in LATE_FACES} | {"qiskit_gateway.late_names"}
    heavy = {"anyio", "asyncio", "numpy", "pydantic", "qiskit", "structlog", "tenacity"}
    assert not heavy & {*loaded}
    # Measured: 29 with the interpreter of a plain virtual environment, `typing` the most of them.
    started = run_python("import sys; print(*sys.modules)").split()
    assert len({*loaded} - {*started}) <= 40


@pytest.mark.parametrize(
    ("policy", "fee", "needed"),
    [
        ("fastest()", 1, False),
        ("balanced(usd_per_hour=40)", 0, False),
        ("balanced(usd_per_hour=40)", 1, True),
    ],
)
def test_the_solver_is_loaded_only_where_prices_decide(policy, fee, needed):
    """It takes half a second to import."""
    program = "\n".join(
        [
            "import sys",
            "from qiskit import QuantumCircuit",
            "from qiskit_gateway import simulate",
            "from qiskit_gateway.backends import Pricing, SimulatedMember",
            "from qiskit_gateway.policies import balanced, fastest",
            "made = QuantumCircuit(1); made.measure_all()",
            f"facts = dict(told=True, circuit_seconds=1.0, pricing=Pricing(per_job={fee}))",
            "fleet = [SimulatedMember('a', **facts), SimulatedMember('b', **facts)]",
            f"simulate(fleet, [made] * 9, policy={policy})",
            "print('scipy.optimize' in sys.modules)",
        ]
    )
    assert run_python(program).split() == [str(needed)]


def run_python(program):
    """Run a program in a fresh interpreter, and return what it prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def test_importing_the_package_costs_little_beside_qiskit():
    """CPU time of the import is at most 0.15 of that of Qiskit's, the least of three trials."""
    program = "\n".join(
        [
            "import time",
            "began = time.process_time()",
            "import qiskit",
            "between = time.process_time()",
            "import qiskit_gateway",
            "print((time.process_time() - between) / (between - began))",
        ]
    )
    ratios = [float(run_python(program)) for _ in range(3)]
    assert min(ratios) <= 0.15
