"""A member's speed, learned from the jobs that it finished."""

import math
from dataclasses import dataclass

# The lower triangle of a symmetric matrix, row by row.
Moments = tuple[float, float, float, float, float, float]


Terms = tuple[float, float, float]


_TRUST = 0.5


_FORGET = 0.95


# How little each term of the speed model is trusted without evidence, relative to its own scale.
# A first reading is thus read as cost per circuit and per shot, hardly as cost per job.
_RIDGE = (0.005, 0.0005, 0.0005)


@dataclass(slots=True)
class Speed:
    """A member's speed, learned from the jobs that it finished.

    Seconds per job = ``overhead + circuits * per_circuit + circuit_shots * per_shot``, fitted by
    least squares that forget, with no negative term. However it comes out, a circuit is not thought
    to take less than half of the least that it was seen to take, so that a few odd jobs cannot make
    a member look able to do anything at once.
    """

    overhead_seconds: float = 0.0
    circuit_seconds: float = 0.0
    shot_seconds: float = 0.0
    least_seconds: float = math.inf
    jobs: int = 0
    _moments: Moments = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    _targets: Terms = (0.0, 0.0, 0.0)

    def seconds(self, circuits: float, circuit_shots: float, jobs: float = 1.0) -> float:
        """Return the expected time of that much work on an idle member; 0 while unknown."""
        fitted = (
            jobs * self.overhead_seconds
            + circuits * self.circuit_seconds
            + circuit_shots * self.shot_seconds
        )
        return max(
            fitted, circuits * self.least_seconds * _TRUST if self.least_seconds < math.inf else 0.0
        )

    def observe(self, circuits: int, circuit_shots: int, seconds: float) -> None:
        """Learn from one finished job."""
        c, s, keep = float(circuits), float(circuit_shots), _FORGET
        m11, m21, m22, m31, m32, m33 = self._moments
        self._moments = (
            keep * m11 + 1.0,
            keep * m21 + c,
            keep * m22 + c * c,
            keep * m31 + s,
            keep * m32 + s * c,
            keep * m33 + s * s,
        )
        t1, t2, t3 = self._targets
        self._targets = (keep * t1 + seconds, keep * t2 + c * seconds, keep * t3 + s * seconds)
        self.jobs += 1
        self.least_seconds = min(self.least_seconds, seconds / circuits)
        fitted = _fit(self._moments, self._targets)
        self.overhead_seconds, self.circuit_seconds, self.shot_seconds = fitted


def _fit(moments: Moments, targets: Terms) -> Terms:
    """Solve the regularised normal equations, dropping terms that come out negative."""
    dropped: set[int] = set()
    while min(terms := _solved(moments, targets, dropped)) < 0:
        dropped.add(terms.index(min(terms)))
    return terms


def _solved(moments: Moments, targets: Terms, dropped: set[int]) -> Terms:
    """Solve for three unknowns by elimination, with the dropped ones held at 0.

    Written out, since it is done for every job: too small for numpy to be worth its calls.
    """
    m11, m21, m22, m31, m32, m33 = moments
    t1, t2, t3 = targets
    m11, m22, m33 = m11 * (1 + _RIDGE[0]), m22 * (1 + _RIDGE[1]), m33 * (1 + _RIDGE[2])
    if 0 in dropped:
        m11, m21, m31, t1 = 1.0, 0.0, 0.0, 0.0
    if 1 in dropped:
        m21, m22, m32, t2 = 0.0, 1.0, 0.0, 0.0
    if 2 in dropped:
        m31, m32, m33, t3 = 0.0, 0.0, 1.0, 0.0
    factor2, factor3 = m21 / m11, m31 / m11
    m22, m32, t2 = m22 - factor2 * m21, m32 - factor2 * m31, t2 - factor2 * t1
    m33, t3 = m33 - factor3 * m31, t3 - factor3 * t1
    factor = m32 / m22
    third = (t3 - factor * t2) / (m33 - factor * m32)
    second = (t2 - m32 * third) / m22
    return (t1 - m21 * second - m31 * third) / m11, second, third
