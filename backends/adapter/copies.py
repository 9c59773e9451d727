"""Copies and pickles of members: what cannot be copied is named before that fails unexplained."""

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy as shallow
from inspect import currentframe
from typing import Any

from qiskit.transpiler import Target

from qiskit_gateway.backends.failures.redaction import redact

# They take more than pickle does, such as lambdas.
_PICKLERS = frozenset({"cloudpickle", "dill"})
# Owners whose parts are being tried: a part may hold its owner.
_TRIED: ContextVar[tuple[object, ...]] = ContextVar("_TRIED", default=())


def require_copied(owner: str, parts: Mapping[str, object], copy: Callable[[Any], object]) -> None:
    """Make sure that what a user gave to a member can be copied.

    Raises:
        TypeError: If that fails over one of them.
    """
    for name, part in parts.items():
        try:
            copy(part)
            _require_whole_targets(part)
        except Exception as error:
            said = redact(f"{type(error).__name__}: {error}")
            raise TypeError(
                f"member {owner!r} cannot be copied or pickled, because its {name}, a "
                f"{type(part).__name__}, cannot ({said}); make the member where it is used, in "
                "the worker"
            ) from error


def _require_whole_targets(backend: object) -> None:
    """Make sure that the targets of a backend are copied whole.

    Qiskit's own is; attributes of a subclass, as IQM has, are lost without an error.
    """
    for held in _attributes(backend).values():
        if isinstance(held, Target):
            lost = sorted(_attributes(held).keys() - _attributes(shallow(held)).keys())
            if lost:
                raise TypeError(f"a copy of {type(held).__name__} lacks {lost[0]!r}")


def _attributes(thing: object) -> dict[str, Any]:
    return getattr(thing, "__dict__", {})


@contextmanager
def once(owner: object) -> Iterator[bool]:
    """Check that the parts of an owner are not being tried already, and note that they are."""
    tried = _TRIED.get()
    token = _TRIED.set((*tried, owner))
    try:
        yield all(one is not owner for one in tried)
    finally:
        _TRIED.reset(token)


def dump(thing: object) -> bytes:
    """Pickle an object with the pickler in use."""
    frame = currentframe()
    while frame is not None:
        module: str = frame.f_globals.get("__name__", "")
        if not _PICKLERS.isdisjoint(module.split(".")):
            content: bytes = frame.f_globals["dumps"](thing)
            return content
        frame = frame.f_back
    return pickle.dumps(thing)
