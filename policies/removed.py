"""Keywords that a class took once: each gets an error that says what to do instead."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type[Any])

_REMOVED: dict[type[Any], Mapping[str, str]] = {}


def refuse_removed(**advice: str) -> Callable[[Kind], Kind]:
    """Refuse keywords that the decorated class took once.

    Write it above ``@dataclass``.

    Args:
        **advice: What to do instead, by keyword: a sentence without its full stop.
    """

    def decorate(kind: Kind) -> Kind:
        construct = kind.__init__

        @wraps(construct)
        def check_keywords(self: object, *args: Any, **keywords: Any) -> None:
            for name in keywords:
                if name in advice:
                    raise TypeError(f"{kind.__name__} {explain_removed(name, advice[name])}.")
            construct(self, *args, **keywords)

        kind.__init__ = check_keywords
        _REMOVED[kind] = advice
        return kind

    return decorate


def removed_keywords(kind: object) -> Mapping[str, str]:
    """Keywords that a class took once, with what to do instead."""
    return _REMOVED.get(kind, {}) if isinstance(kind, type) else {}


def explain_removed(name: str, advice: str) -> str:
    """Word the error of a removed keyword, the same for Python and for a configuration file."""
    return f"no longer takes {name}: {advice}"
