"""Whatever a public call takes or returns can be imported from where users import."""

import inspect
import subprocess
import sys
import typing
from functools import cached_property
from importlib import import_module

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
    "Adaptation.applied",
    "Journal.begin",
    "Journal.entries",
    "Journal.spec",
    "Journal.take",
    "Member.answer",
    "RouterJob.__init__",
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


def annotations_of(exported):
    """Yield each annotation that a user meets, with the name of what bears it."""
    if isinstance(exported, type):
        for name, hint in typing.get_type_hints(exported).items():
            if not name.startswith("_"):
                yield f"{exported.__name__}.{name}", hint
    for name, function in functions_of(exported):
        if name not in OURS_ALONE and function.__module__.startswith("qiskit_gateway"):
            for hint in typing.get_type_hints(function).values():
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


@pytest.mark.parametrize("face", FACES[:2], ids=lambda face: face.__name__)
def test_names_that_are_imported_late_are_those_exported(face):
    """Every exported name has a module that it is imported from, and no other name has one."""
    assert set(face._HOMES) == set(face.__all__)
    for name, module in face._HOMES.items():
        assert getattr(face, name) is getattr(import_module(f"{face.__name__}.{module}"), name)


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
    command = [sys.executable, "-c", program]
    ratios = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603
        for _ in range(3)
    ]
    assert min(ratios) <= 0.15
