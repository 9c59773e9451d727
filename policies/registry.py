"""Registries: the names that filters, objectives and presets have in a configuration file.

Each registers itself where it is defined, so a new one touches one module.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")
Registered = TypeVar("Registered", bound=Callable[..., Any])


class Registry(Mapping[str, Entry], Generic[Entry]):
    """A mapping from names to classes or functions, filled by a decorator.

    Its names are sorted, so the order of classes in a module changes nothing.

    Args:
        kind: What is registered, for error messages: ``"filter"``.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, Any] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Give a class or function its name in a configuration file.

        Write it above ``@dataclass``: with ``slots=True`` that one makes a new class, and the new
        class is the one to register.

        Raises:
            ValueError: If the name is taken.
        """

        def add(entry: Registered) -> Registered:
            if name in self._entries:
                raise ValueError(
                    f"The {self._kind} name {name!r} is taken by "
                    f"{self._entries[name].__qualname__}; give {entry.__qualname__} another name."
                )
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> Entry:
        entry: Entry = self._entries[name]
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
