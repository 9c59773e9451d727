"""A member's speed: what is told of it, and what the jobs that it finished teach."""

import math
from dataclasses import dataclass, field
from typing import Literal

from qiskit_gateway.work.speed_estimate import SpeedEstimate, SpeedSource
from qiskit_gateway.work.speed_evidence import UNSEEN_OFF, Moments, SpeedEvidence, Terms

_TRUST = 0.5


# How little each term of the speed model is trusted without evidence, relative to its own scale.
# A first reading is thus read as cost per circuit and per shot, hardly as cost per job.
_RIDGE = (0.005, 0.0005, 0.0005)
# A speed that is told counts as much as one seen in this many jobs.
_TOLD_JOBS = 2
# How many times longer or shorter a job may well take than is told, and than the first one did.
_TOLD_OFF = 1.25
_FIRST_OFF = 1.5
# How much the newest job counts in how far off the model is.
_NEWEST = 0.3


@dataclass(slots=True)
class Speed:
    """A member's speed: what is told of it, and what the jobs that it finished teach.

    Seconds per job = ``overhead + circuits * per_circuit + circuit_shots * per_shot``, fitted by
    least squares that forget, with no negative term. Where a speed is told it counts as one job of
    the size of those that were seen, and as less the more there were; and what jobs do not tell
    apart, such as the overhead of jobs that were all of one size, stays as told.

    Where nothing is told, however it comes out, a circuit is not thought to take less than half of
    the least that it was seen to take, so that a few odd jobs cannot make a member look able to do
    anything at once.

    Attributes:
        overhead_seconds: Of a job.
        circuit_seconds: Of a circuit.
        shot_seconds: Of a shot of a circuit.
        jobs: How many jobs this is known from; 0 where nothing is known, or was told.
        told: The three times as told, if they were.
        seen: How many jobs of this fleet it is known from.
        doubt: How far off it is expected to be, as the logarithm of a factor.
        lent: The member it is taken from, where nothing is known of the member itself.
        timed: Whether, then, what a shot takes is not lent, but known by durations.
        fresh: What is not written down yet of what its jobs taught.
    """

    overhead_seconds: float = 0.0
    circuit_seconds: float = 0.0
    shot_seconds: float = 0.0
    jobs: int = 0
    told: Terms | None = None
    seen: int = 0
    doubt: float = math.log(UNSEEN_OFF)
    lent: Literal["peers", "guess"] = "guess"
    timed: bool = False
    fresh: SpeedEvidence = field(default_factory=SpeedEvidence)
    _evidence: SpeedEvidence = field(default_factory=SpeedEvidence)
    # What a circuit is thought to take at least; 0 where nothing is known of that.
    _least_seconds: float = 0.0

    @property
    def source(self) -> SpeedSource:
        """The source of the speed."""
        if self.seen:
            return "seen"
        if self._evidence.jobs:
            return "journal"
        if self.told is not None:
            return "told"
        return "durations" if self.timed else self.lent

    @property
    def mean_seconds(self) -> float | None:
        """What its jobs took on average; ``None`` where none was seen or recorded."""
        weight = self._evidence.weight
        return self._evidence.targets[0] / weight if weight else None

    @property
    def estimate(self) -> SpeedEstimate:
        """The speed as an estimate for people."""
        return SpeedEstimate(
            source=self.source,
            rest=self.lent if self.source == "durations" else None,
            job_seconds=self.overhead_seconds,
            circuit_seconds=self.circuit_seconds,
            shot_seconds=self.shot_seconds,
            jobs=self._evidence.jobs,
            times_off=math.exp(self.doubt),
        )

    def seconds(self, circuits: float, circuit_shots: float, jobs: float = 1.0) -> float:
        """Return the expected time of that much work on an idle member; 0 while unknown."""
        fitted = (
            jobs * self.overhead_seconds
            + circuits * self.circuit_seconds
            + circuit_shots * self.shot_seconds
        )
        if not self._least_seconds:
            return fitted
        least = circuits * self._least_seconds
        return least if least > fitted else fitted  # noqa: FURB136  Asked for all the time.

    def tell(self, told: Terms) -> None:
        """Note what is told of it, before any job or after some."""
        if told == self.told:
            return
        if not self.jobs:
            self.doubt = math.log(_TOLD_OFF)
        self.told, self.jobs = told, max(self.jobs, _TOLD_JOBS)
        self._fit()

    def recall(self, recorded: SpeedEvidence) -> None:
        """Take in what earlier processes have learned; what this one has seen came later."""
        if not self.seen:
            self.doubt = recorded.doubt
        self._evidence = recorded.combine_with(self._evidence)
        self.jobs = max(self.jobs, self._evidence.jobs)
        self._fit()

    def take_fresh(self) -> SpeedEvidence:
        """Return the new evidence from its jobs that is to be recorded, once."""
        fresh, self.fresh = self.fresh, SpeedEvidence()
        fresh.doubt = self.doubt
        return fresh

    def observe(self, circuits: int, circuit_shots: int, seconds: float) -> None:
        """Learn from one finished job."""
        if self.jobs:
            expected = self.seconds(circuits, circuit_shots)
            off = math.log(UNSEEN_OFF)
            if seconds > 0 < expected:
                off = min(off, abs(math.log(seconds) - math.log(expected)))
            self.doubt += _NEWEST * (off - self.doubt)
        else:
            self.doubt = math.log(_FIRST_OFF)
        self._evidence.add(circuits, circuit_shots, seconds)
        self.fresh.add(circuits, circuit_shots, seconds)
        self.jobs += 1
        self.seen += 1
        self._fit()

    def _fit(self) -> None:
        """Find the terms that fit the evidence best, and what is told."""
        least = self._evidence.least_seconds
        trusted = self.told is None and least < math.inf
        self._least_seconds = _TRUST * least if trusted else 0.0
        moments, targets = self._evidence.moments, self._evidence.targets
        told = self.told or (0.0, 0.0, 0.0)
        weight = self._evidence.weight
        if self.told is not None:
            if not weight:
                self.overhead_seconds, self.circuit_seconds, self.shot_seconds = told
                return
            c, s, share = moments[1] / weight, moments[3] / weight, 1.0 / (1.0 + weight)
            seconds = share * (told[0] + c * told[1] + s * told[2])
            job = (1.0, c, c * c, s, s * c, s * s)
            m11, m21, m22, m31, m32, m33 = (
                before + share * more for before, more in zip(moments, job, strict=True)
            )
            moments = (m11, m21, m22, m31, m32, m33)
            t1, t2, t3 = targets
            targets = (t1 + seconds, t2 + c * seconds, t3 + s * seconds)
        fitted = _fit(moments, targets, told)
        self.overhead_seconds, self.circuit_seconds, self.shot_seconds = fitted


def _fit(moments: Moments, targets: Terms, told: Terms) -> Terms:
    """Solve the regularised normal equations, dropping terms that come out negative."""
    m11, m21, m22, m31, m32, m33 = moments
    # Little by little, what jobs do not tell apart is drawn to what is told.
    r1, r2, r3 = m11 * _RIDGE[0], m22 * _RIDGE[1], m33 * _RIDGE[2]
    moments = (m11 + r1, m21, m22 + r2, m31, m32, m33 + r3)
    targets = (targets[0] + r1 * told[0], targets[1] + r2 * told[1], targets[2] + r3 * told[2])
    dropped: set[int] = set()
    while min(terms := _solve(moments, targets, dropped)) < 0:
        dropped.add(terms.index(min(terms)))
    return terms


def _solve(moments: Moments, targets: Terms, dropped: set[int]) -> Terms:
    """Solve for three unknowns by elimination, with the dropped ones held at 0.

    Written out, since it is done for every job: too small for numpy to be worth its calls.
    """
    m11, m21, m22, m31, m32, m33 = moments
    t1, t2, t3 = targets
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
