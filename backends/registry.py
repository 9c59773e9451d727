"""Find the profiles of providers: the built-in ones, and those of other packages.

Ours are the modules of :mod:`qiskit_gateway.backends.providers`, each with a ``PROFILE``. Another
package joins by an entry point of the group ``qiskit_gateway.providers``, whose value is a
:class:`~qiskit_gateway.backends.interface.provider_profile.ProviderProfile`::

    [project.entry-points."qiskit_gateway.providers"]
    acme = "acme_qiskit.gateway:PROFILE"

Modules are imported when a profile is first asked for, which importing the package does not do.
Everybody asks here, down to the translation of errors, so this module does not import their type.
"""

import importlib
import pkgutil
import threading
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from weakref import WeakKeyDictionary

from qiskit_gateway.backends.forks import ProcessLock

Profile = Any
"""A ``ProviderProfile``. Its module is above this one, whose errors are translated by profiles."""

GROUP = "qiskit_gateway.providers"
_PACKAGE = "qiskit_gateway.backends.providers"
_KIND = "qiskit_gateway.backends.interface.provider_profile"

_LOCK = ProcessLock(threading.RLock)
_found: list[tuple[Profile, ...]] = []
_of_class: WeakKeyDictionary[type, tuple[Profile, ...]] = WeakKeyDictionary()


def profiles() -> tuple[Profile, ...]:
    """Find the profiles of all providers, ours first; they are looked for once."""
    with _LOCK:
        if not _found:
            own = tuple(_own_profiles())
            _found.append((*own, *_foreign_profiles(own)))
        return _found[0]


def profiles_of(backend: Any) -> tuple[Profile, ...]:
    """Find the profiles of a backend's provider, and of the providers it derives from."""
    kind = type(backend)
    with _LOCK:
        if kind not in _of_class:
            modules = [base.__module__ for base in kind.__mro__]
            found = (one for module in modules for one in profiles() if one.has_module(module))
            _of_class[kind] = tuple({one.name: one for one in found}.values())
        return _of_class[kind]


def profiles_around(backend: Any) -> tuple[Profile, ...]:
    """Find the profiles whose names of attributes may tell of a backend.

    Those of its provider; where nobody knows that, all, since a wrapper has the attributes of what
    it wraps. So no profile has a say in the backends of somebody else.
    """
    return profiles_of(backend) or profiles()


def forget() -> None:
    """Look for profiles anew at the next use, after a package was installed."""
    with _LOCK:
        _found.clear()
        _of_class.clear()


def _own_profiles() -> Iterator[Profile]:
    package = importlib.import_module(_PACKAGE)
    for module in pkgutil.iter_modules(package.__path__):
        profile = importlib.import_module(f"{_PACKAGE}.{module.name}").PROFILE
        yield profile


def _foreign_profiles(own: tuple[Profile, ...]) -> Iterator[Profile]:
    known = list(own)
    for point in entry_points(group=GROUP):
        try:
            profile = _load(point, known)
        except Exception as error:  # noqa: BLE001  Whatever a foreign module does.
            _warn(point, error)
            continue
        known.append(profile)
        yield profile


def _load(point: EntryPoint, known: Sequence[Profile]) -> Profile:
    profile = point.load()
    if not isinstance(profile, importlib.import_module(_KIND).ProviderProfile):
        raise TypeError(f"{point.value} is no ProviderProfile")
    for other in known:
        if profile.name == other.name:
            raise ValueError(f"there is a profile {other.name!r} already")
        for name in profile.tariffs:
            if name in other.tariffs:
                raise ValueError(f"there is a tariff {name!r} already, of {other.name!r}")
    return profile


def _warn(point: EntryPoint, error: Exception) -> None:
    package = "an unknown package" if point.dist is None else point.dist.name
    warnings.warn(
        f"the provider profile {point.name!r} of {package} is left out: "
        f"{type(error).__name__}: {error}",
        RuntimeWarning,
        stacklevel=2,
    )
