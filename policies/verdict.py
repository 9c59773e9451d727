"""A filter's answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Answer of a filter: an offer may be taken, or why not. It is true exactly when it may.

    Attributes:
        allowed: Whether it may.
        reason: Why not, for people: no capital at the start, no full stop. Empty if allowed.
        waits: What to do with work that is refused everywhere: ``True`` lets it wait, since the
            answer may change without anyone's doing, ``False`` fails it.
    """

    allowed: bool
    reason: str = ""
    waits: bool = False

    def __bool__(self) -> bool:
        return self.allowed


ALLOWED = Verdict(allowed=True)
"""The verdict that raises no objection."""


def refuse(reason: str, *, waits: bool = False) -> Verdict:
    """Return the verdict that an offer may not be taken.

    Args:
        reason: Why not, for people.
        waits: Whether the answer may change by waiting.
    """
    return Verdict(allowed=False, reason=reason, waits=waits)
