"""The faces of the package: names that are imported when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def late_names(
    package: str, homes: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's ``__getattr__`` and ``__dir__`` from the homes of its names.

    A name is imported once and then stands in the package like any other.

    Args:
        package: The package, by its full name.
        homes: The names that each of its modules defines, by the module's name in the package.

    Returns:
        What to bind as ``__getattr__`` and ``__dir__`` in the package.
    """
    modules = {name: f"{package}.{module}" for module, names in homes.items() for name in names}

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

    return find, names
