"""Checks of what a user says of a member, the same for every kind of member."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qiskit_gateway.arguments import check_real, is_finite, make_plain
from qiskit_gateway.backends.failures.redaction import printable
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.pricing.rates import Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTerms:
    """What a user may say of any member, checked.

    Attributes:
        name: Its label; ``None`` for its own name.
        limits: What a job may be.
        pricing: What a job costs.
        weight: Share of the work under policies that weigh; positive.
        fidelity: Expected fidelity of its circuits in [0, 1].
        tags: Free labels, or a single one.

    Raises:
        TypeError: If a value is of the wrong kind.
        ValueError: If a number is out of range, or the name is empty or has control characters.
    """

    name: str | None = None
    limits: Limits | None = None
    pricing: Tariff | None = None
    weight: float = 1.0
    fidelity: float | None = None
    tags: Iterable[str] = ()

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)
        check_instance("limits", self.limits, Limits, "a Limits, such as Limits(max_shots=1000)")
        if self.pricing is not None and not callable(self.pricing):
            raise TypeError(
                "the pricing of a member must be a Pricing, such as Pricing(per_shot=0.001), or "
                f"another callable from a Usage to USD, got {self.pricing!r}"
            )
        check_real("the weight of a member", self.weight)
        if not (self.weight > 0 and is_finite(self.weight)):
            raise ValueError(
                f"the weight of a member must be positive and finite, got {self.weight!r}"
            )
        if self.fidelity is not None:
            check_real("the fidelity of a member", self.fidelity)
            if not 0 <= self.fidelity <= 1:
                raise ValueError(
                    f"the fidelity of a member must be in [0, 1], got {self.fidelity!r}"
                )
        object.__setattr__(self, "tags", _read_tags(self.tags))
        make_plain(self)


def check_name(name: object) -> None:
    """Check that a name fits in a line of text.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is empty or has control characters.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a member must be a text, got {name!r}")
    if not name or printable(name) != name or "\n" in name or "\t" in name:
        raise ValueError(
            "the name of a member must be a text that is not empty and can be printed on a line, "
            f"without control characters, got {name!r}; give it another name"
        )


def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """Make the root of a member's randomness of what a user gave as its seed.

    Args:
        seed: A whole number of zero or more, several of them, or ``None`` for any.

    Raises:
        TypeError: If it is none of these.
        ValueError: If a number is negative.
    """
    try:
        return np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"seed must be a whole number of zero or more, or several, got {seed!r}"
        ) from None


def check_instance(what: str, given: object, kind: type, wanted: str) -> None:
    """Check that what a user gave is ``None`` or of a kind.

    Args:
        what: The keyword.
        given: Its value.
        kind: What it must be.
        wanted: That in words, with how one is written.

    Raises:
        TypeError: If it is not.
    """
    if given is not None and not isinstance(given, kind):
        raise TypeError(f"the {what} of a member must be {wanted}, got {given!r}")


def _read_tags(tags: object) -> frozenset[str]:
    given = [tags] if isinstance(tags, str) else tags
    if isinstance(given, Iterable):
        read = [*given]
        if all(isinstance(tag, str) for tag in read):
            return frozenset(read)
    raise TypeError(f"the tags of a member must be texts, such as ['free', 'eu'], got {tags!r}")
