"""Reasons why a resource shared by all processes of a journal is denied; no member is to blame."""

from dataclasses import dataclass

from qiskit_gateway.policies.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsTaken(Verdict):
    """A member has as many jobs of all processes as it may have at once.

    Attributes:
        elsewhere: How many of them are of other processes.
    """

    elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateReached(Verdict):
    """All processes have handed a member as many jobs within a minute as it takes.

    Attributes:
        wait_seconds: After what time it takes one more.
    """

    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedByOthers(Verdict):
    """Other processes have used some of an allotment that was thought to be left.

    Attributes:
        units_left: How much is left of it.
    """

    units_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalDown(Verdict):
    """Nothing can be claimed now; members that share nothing continue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldByOthers(Verdict):
    """The money is set aside for other jobs, which may turn out not to cost it."""
