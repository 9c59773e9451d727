"""The faces of the package: names that are imported when they are first used (PEP 562).

Importing everything takes nearly half as long as importing Qiskit. The names of a package are in its
stub, ``__init__.pyi``, which type checkers read in place of its code.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any


def late_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make a package's ``__getattr__``, ``__dir__`` and ``__all__`` from the imports in its stub.

    A name is imported once and is then in the package like any other.
    """
    modules = dict(_read_homes(sys.modules[package]))

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(modules[name])
        # What a package exports may be a module of it that nobody has imported yet.
        if not hasattr(home, name):
            import_module(f"{home.__name__}.{name}")
        found = getattr(home, name)
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        # Beside the exports only what every package shows: its modules, and its own facts.
        here = vars(sys.modules[package]).items()
        own = {name for name, value in here if name[0] == "_" or isinstance(value, ModuleType)}
        return sorted(own | modules.keys())

    return find, names, sorted(modules)


def _read_homes(package: ModuleType) -> Iterator[tuple[str, str]]:
    """Yield each name in the stub of a package, and the module that it is imported from."""
    loader: Any = package.__loader__
    for node in ast.parse(loader.get_data(f"{package.__path__[0]}/__init__.pyi")).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                yield alias.name, node.module
