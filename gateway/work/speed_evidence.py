"""Evidence of a member's speed from finished jobs, as it is learned, recorded and read again."""

import math
from dataclasses import dataclass

# The lower triangle of a symmetric matrix, row by row.
Moments = tuple[float, float, float, float, float, float]
Terms = tuple[float, float, float]

# How much what was seen counts less with each further job.
FORGET = 0.95
# How many times longer or shorter a job may take than is thought, where its member was never seen
# at work: the most that is thought of any.
UNSEEN_OFF = 4.0


@dataclass(slots=True)
class SpeedEvidence:
    """Evidence of a speed, summed over jobs; newer jobs count more.

    Attributes:
        jobs: How many there were.
        moments: Sums of the products of one, circuits and circuit-shots.
        targets: Sums of their products with the seconds.
        least_seconds: The least that a circuit took.
        doubt: How far off what was expected was of late, as the logarithm of a factor.
    """

    jobs: int = 0
    moments: Moments = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    targets: Terms = (0.0, 0.0, 0.0)
    least_seconds: float = math.inf
    doubt: float = math.log(UNSEEN_OFF)

    @property
    def weight(self) -> float:
        """The number of new jobs that it counts as much as."""
        return self.moments[0]

    def add(self, circuits: float, circuit_shots: float, seconds: float) -> None:
        """Count one more job; those before count a little less."""
        c, s, keep = float(circuits), float(circuit_shots), FORGET
        m11, m21, m22, m31, m32, m33 = self.moments
        self.moments = (
            keep * m11 + 1.0,
            keep * m21 + c,
            keep * m22 + c * c,
            keep * m31 + s,
            keep * m32 + s * c,
            keep * m33 + s * s,
        )
        t1, t2, t3 = self.targets
        self.targets = (keep * t1 + seconds, keep * t2 + c * seconds, keep * t3 + s * seconds)
        self.jobs += 1
        self.least_seconds = min(self.least_seconds, seconds / circuits)

    def fade(self, share: float) -> "SpeedEvidence":
        """Return the same, as it counts after a while: a share of that, and doubted accordingly."""
        m11, m21, m22, m31, m32, m33 = (share * one for one in self.moments)
        t1, t2, t3 = (share * one for one in self.targets)
        most = math.log(UNSEEN_OFF)
        return SpeedEvidence(
            jobs=self.jobs,
            moments=(m11, m21, m22, m31, m32, m33),
            targets=(t1, t2, t3),
            least_seconds=self.least_seconds,
            doubt=most + share * (self.doubt - most),
        )

    def combine_with(self, later: "SpeedEvidence") -> "SpeedEvidence":
        """Combine it with later evidence."""
        before = self.fade(FORGET**later.jobs)
        m11, m21, m22, m31, m32, m33 = map(sum, zip(before.moments, later.moments, strict=True))
        t1, t2, t3 = map(sum, zip(before.targets, later.targets, strict=True))
        return SpeedEvidence(
            jobs=self.jobs + later.jobs,
            moments=(m11, m21, m22, m31, m32, m33),
            targets=(t1, t2, t3),
            least_seconds=min(self.least_seconds, later.least_seconds),
            doubt=later.doubt if later.jobs else self.doubt,
        )
