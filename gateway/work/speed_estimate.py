"""Estimates of how long the jobs of a member run, with their sources."""

from dataclasses import dataclass
from typing import Literal

SpeedSource = Literal["seen", "journal", "told", "durations", "peers", "guess"]
"""Jobs of this fleet; those that a journal recorded; what the user says; what circuits are compiled
to; the members of the same provider; all others."""

_SOURCES = {
    "seen": "seen in {jobs:g} jobs",
    "journal": "in {jobs:g} jobs of the journal",
    "told": "told",
    "durations": "a shot by the durations of the circuits, the rest {rest}",
    "peers": "as others of its provider take",
    "guess": "a guess",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedEstimate:
    """The expected running time of a member's jobs, without their queue.

    Attributes:
        source: Where that comes from: ``"seen"`` in jobs of this fleet, recorded in the
            ``"journal"`` by earlier processes, ``"told"`` by the user, for the time of a shot the
            ``"durations"`` of the circuits as compiled, what its ``"peers"`` of the same provider
            take, or a ``"guess"`` by what all others take.
        job_seconds: The part that does not depend on its size.
        circuit_seconds: For each circuit.
        shot_seconds: For each shot of each circuit.
        jobs: How many jobs were seen, or recorded.
        times_off: The factor by which a job may well take longer, or shorter.
        rest: Where the times of a job and of a circuit come from, if that of a shot is known by
            ``"durations"``.
    """

    source: SpeedSource
    job_seconds: float
    circuit_seconds: float
    shot_seconds: float
    jobs: int
    times_off: float
    rest: Literal["peers", "guess"] | None = None

    def __str__(self) -> str:
        """Return it as one line."""
        rest = _SOURCES[self.rest] if self.rest else ""
        source = _SOURCES[self.source].format(jobs=self.jobs, rest=rest)
        return (
            f"{self.job_seconds:.3g} s a job, {self.circuit_seconds:.3g} s a circuit, "
            f"{self.shot_seconds:.3g} s a shot ({source}; off by {self.times_off:.2g} times)"
        )
