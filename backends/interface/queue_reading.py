"""A reading of a queue."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real

# Braket writes numbers as "7", ">4000", or "0 (1 prioritized job(s) running)".
_WRITTEN = re.compile(r"\s*>?\s*(\d+(?:\.\d+)?)")
_MAX_WRITTEN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """A reading of one queue; ``None`` is unknown.

    Attributes:
        wait_seconds: How long a job submitted now waits behind those of others.
        pending_jobs: How many jobs of others are queued. Where a provider only says "more than
            4000" it is 4000.
        read_at: When it was asked for, in seconds of the event loop's clock.
        error: Why nothing could be read, for people; secrets are taken out. Empty if it could.
        answered: Whether there was an answer at all, however it was to be understood.
    """

    wait_seconds: float | None = None
    pending_jobs: float | None = None
    read_at: float | None = None
    error: str = ""
    answered: bool = field(default=True, compare=False)

    @property
    def known(self) -> bool:
        """True if anything was read."""
        return self.wait_seconds is not None or self.pending_jobs is not None


Probe = Callable[[], QueueReading]
"""Asks for the state of one queue. It blocks, and never raises."""


def amount_of(value: object) -> float | None:
    """Read a believable amount from a number or a text, else ``None``."""
    if isinstance(value, str):
        written = _WRITTEN.match(value[:_MAX_WRITTEN])
        return float(written[1]) if written else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    return number if isfinite(number) and number >= 0 else None
