"""The limits of one provider job, and their discovery on a backend.

Providers spell their limits in many ways and many tell nothing. :func:`discover` reads what is
there; what the user says about a member wins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from operator import index
from typing import Any, Self

from qiskit_gateway.backends.interface.run_options import (
    NO_OPTIONS,
    read_shots_range,
    takes_one_circuit,
)
from qiskit_gateway.backends.registry import profiles_around, profiles_of

# A cap of one shot is how some providers say that they do not know (IonQ's simulator, Azure).
_SMALLEST_SHOT_CAP = 2
# The largest integer of 32 bits, from which on a limit is how some say that there is none: Braket's
# local simulator tells that of 64 bits. No machine runs that many shots or circuits in one job.
_UNLIMITED = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one job on a member; ``None`` is unknown or unlimited.

    Attributes:
        max_circuits: Circuits of one job.
        max_shots: Shots of each circuit.
        min_shots: Shots that each circuit must have at least.
        max_executions: Circuits times shots of one job.
        max_in_flight: Jobs submitted and not finished.
        num_qubits: Qubits of a circuit.
        max_payload_bytes: Size of one job.
        submissions_per_minute: Jobs submitted in any minute.

    Raises:
        TypeError: If a limit is not an integer.
        ValueError: If a limit is not positive, or ``min_shots`` is above ``max_shots`` or
            ``max_executions``.
    """

    max_circuits: int | None = None
    max_shots: int | None = None
    min_shots: int | None = None
    max_executions: int | None = None
    max_in_flight: int | None = None
    num_qubits: int | None = None
    max_payload_bytes: int | None = None
    submissions_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name, value in self._list_known():
            object.__setattr__(self, name, _check(name, value))
        for name in ("max_shots", "max_executions"):
            most = getattr(self, name)
            if most is not None and (self.min_shots or 0) > most:
                raise ValueError(
                    f"min_shots={self.min_shots} is above {name}={most}: no job could run; give both"
                )

    def overridden_by(self, explicit: "Limits | None") -> Self:
        """Return these limits with every limit that ``explicit`` gives in place of ours."""
        if explicit is None:
            return self
        merged = dict(self._list_known()) | dict(explicit._list_known())  # noqa: SLF001 - same class
        return type(self)(**merged)

    def _list_known(self) -> Iterator[tuple[str, int]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value


def discover(backend: object, options: Mapping[str, Any] = NO_OPTIONS) -> Limits:
    """Read the limits that a backend tells.

    Never raises, whatever reading an attribute of the backend does. Some of what backends tell
    is not enforced by them (Aer's 1 000 000 shots, the 300 circuits of IBM's fakes); it is
    honoured all the same, and can be overridden.

    Args:
        backend: Any Qiskit backend.
        options: The options of ``backend.run`` that all its jobs get.

    Returns:
        The limits found; ``None`` for each that is not told.
    """
    legacy = _call(read_property(backend, "configuration"))
    told, allowed = _read_shots_range(backend), [_number(one) for one in read_shots_range(backend)]
    fewest = max((one for one in (told[0], allowed[0]) if one), default=None)
    caps = (
        _number(read_property(backend, "max_shots"), at_least=_SMALLEST_SHOT_CAP),
        _number(read_property(backend, "MAX_SHOTS"), at_least=_SMALLEST_SHOT_CAP),
        _number(read_property(backend, "_max_shots"), at_least=_SMALLEST_SHOT_CAP),
        _number(read_property(backend, "_MAX_SHOTS"), at_least=_SMALLEST_SHOT_CAP),
        _number(read_property(legacy, "max_shots"), at_least=_SMALLEST_SHOT_CAP),
        told[1],
        allowed[1],
    )
    max_shots = min((cap for cap in caps if cap), default=None)
    return Limits(
        max_circuits=_number(read_property(backend, "max_circuits"))
        or _number(read_property(legacy, "max_experiments"))
        or (1 if takes_one_circuit(backend) else None),
        max_shots=max_shots,
        min_shots=fewest if fewest and fewest <= (max_shots or fewest) else None,
        num_qubits=_read_width(backend, options),
    )


def _read_width(backend: object, options: Mapping[str, Any]) -> int | None:
    if any(profile.any_width(backend, options) for profile in profiles_of(backend)):
        return None
    return (
        _number(read_property(backend, "num_qubits"))
        or _number(read_property(backend, "target", "num_qubits"))
        or next(
            filter(
                None,
                (_number(read_property(backend, *path)) for path in _paths(backend, "num_qubits")),
            ),
            None,
        )
    )


def _read_shots_range(backend: object) -> tuple[int | None, int | None]:
    """Read the fewest and the most shots of a backend, where its provider tells both in one place."""
    for path in _paths(backend, "shots_range"):
        found = read_property(backend, *path)
        if isinstance(found, tuple | list) and len(found) == 2:
            return _number(found[0]), _number(found[1], at_least=_SMALLEST_SHOT_CAP)
    return None, None


def _paths(backend: object, name: str) -> list[tuple[str, ...]]:
    """List where providers tell something, as their profiles say."""
    return [path for profile in profiles_around(backend) if (path := getattr(profile, name))]


def read_property(source: object, *names: str) -> Any:
    """Follow attributes, to ``None`` where one is missing or cannot be read."""
    for name in names:
        source = _call(partial(getattr, source, name))
    return source


def _call(read: Any) -> Any:
    try:
        return read()
    except (Exception, SystemExit):  # noqa: BLE001 - a provider's property may raise anything; then it tells nothing
        return None


def _number(value: object, *, at_least: int = 1) -> int | None:
    """Return a believable integer, else ``None``.

    0 is how some say that there is no limit, and a largest integer how others do.
    """
    try:
        number = _check("", value)
    except (TypeError, ValueError):
        return None
    return number if at_least <= number < _UNLIMITED else None


def _check(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a positive integer or None, got {value!r}")
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a positive integer or None, got {value!r}") from None
    if number < 1:
        raise ValueError(
            f"{name} must be a positive integer, got {number}; leave it None for no limit"
        )
    return number
