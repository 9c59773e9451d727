"""Checks of arguments at the door: each names the argument, what was seen, and what is allowed.

All packages use them. ``name`` is how the caller knows the argument.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

_NUMBERS = (int, float)
_PLAIN = (bool, int, float, str)


def make_plain(owner: Any) -> None:
    """Make the numbers and truth values of a dataclass Python's own, also those in its dicts.

    NumPy's and fractions are numbers to whoever calculates, but no lock waits for them, not all can
    be formatted, and they are not written into a journal.
    """
    for field in fields(owner):
        value = getattr(owner, field.name)
        plain = (
            {key: as_plain(one) for key, one in value.items()}
            if type(value) is dict
            else as_plain(value)
        )
        if plain is not value:
            object.__setattr__(owner, field.name, plain)


def as_plain(value: Any) -> Any:
    """Return a number or truth value as Python's own, and anything else as it is."""
    if type(value) in _PLAIN:
        return value
    if is_flag(value):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    try:
        return float(value) if isinstance(value, Real) else value
    except OverflowError:  # A fraction that no float holds is out of every range.
        return value


def is_flag(value: object) -> bool:
    """Check that a value is true or false, by name, because NumPy's are no bool of Python's."""
    return type(value).__name__ in {"bool", "bool_"}


def check_real(name: str, value: object) -> None:
    """Check that ``value`` is a number of any size.

    Raises:
        TypeError: It is not.
    """
    # Looked at by type first: to ask what is a Real takes longer than all the rest.
    if type(value) not in _NUMBERS and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{name} must be a number, got {value!r}")


def is_finite(value: float) -> bool:
    """Check that a float can hold ``value``: an integer may be larger than any."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def check_amount(name: str, value: float) -> None:
    """Check that ``value`` is an amount: of money, time or work, zero or more and finite.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative or not finite.
    """
    check_real(name, value)
    if not (value >= 0 and is_finite(value)):
        raise ValueError(f"{name} must be zero or more and finite, got {value!r}")


def check_number(name: str, value: float, *, low: float = 0.0, high: float = math.inf) -> None:
    """Check that ``value`` is a finite number in ``[low, high]``.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not finite or out of range.
    """
    check_real(name, value)
    if not (low <= value <= high and is_finite(value)):
        allowed = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a finite number, {allowed}; got {value!r}")


def check_positive(name: str, value: float) -> None:
    """Check that ``value`` is a finite number above 0.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not finite or not above 0.
    """
    check_number(name, value)
    if value == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")


def check_count(name: str, value: int, *, low: int = 0) -> None:
    """Check that ``value`` is a whole number of at least ``low``.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is less than ``low``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value!r}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Check that ``value`` is one of ``choices``.

    Raises:
        ValueError: It is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")


def check_flag(name: str, value: object) -> None:
    """Check that ``value`` is a truth value.

    Raises:
        TypeError: It is not.
    """
    if not is_flag(value):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def check_mapping(name: str, value: Mapping[str, object]) -> None:
    """Check that ``value`` is a mapping whose keys are strings; what it holds may be a secret.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a mapping from strings, such as a dict; got one of type "
            f"{type(value).__name__}"
        )
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must be a mapping from strings; got the key {key!r}")


def check_names(owner: str, names: Sequence[str]) -> None:
    """Check that ``names`` are one or more different strings.

    Args:
        owner: What is being built from the names.
        names: What was given.

    Raises:
        TypeError: One of them is not a string.
        ValueError: There are none, or one is there twice.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"{owner} takes strings, each its own argument ({owner}('a', 'b')); got {name!r}"
            )
    if not names:
        raise ValueError(f"{owner} needs at least one name, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"{owner} takes each name once, got {', '.join(map(repr, names))}")
