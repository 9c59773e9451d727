"""A member as the scheduler sees it: its terms, and what they make of an amount of work."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from qiskit_gateway.scheduling.backlog import Room
from qiskit_gateway.scheduling.members.allowances import Allotment
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import Standing
from qiskit_gateway.work.tasks import NO_LOAD, Compiled, Load

# What a member that was never seen at work is thought to take, where nobody was: only the
# proportions matter, since then all members are thought to take the same.
_NOMINAL_CIRCUIT_SECONDS = 1e-3
_NOMINAL_SHOT_SECONDS = 1e-6
# Jobs at once on a member that may overlap them: at least, at most, and before its first came back.
_LEAST_SLOTS = 2
_MOST_SLOTS = 512
_UNSEEN_SLOTS = 4
# How many times faster or slower than others one may be that was never seen at work.
HOPE = 4
# Times that differ by no more are one: a quote reads another clock than the run that it is about.
ROUNDING_SECONDS = 1e-6
_ANY = 1 << 62


def _free(_jobs: float, _circuits: float, _circuit_shots: float, _seconds: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What does not change about a member during a run.

    Attributes:
        name: The member.
        order: Its place in the fleet, from 0.
        weight: Its share under policies that weigh.
        tags: The user's labels.
        fidelity: Expected fidelity there, if known.
        max_circuits: Most circuits of a job, or ``None``.
        max_shots: Most shots of a job, or ``None``.
        min_shots: Fewest shots of a job.
        max_payload_bytes: Most bytes of a job, or ``None``.
        max_in_flight: Most jobs at once, or ``None``.
        submissions_per_minute: Most submissions in any minute, or ``None``.
        overlaps: Whether its jobs may overlap where ``max_in_flight`` does not say.
        price: USD for so many jobs, circuits, circuit-shots and seconds, and, where that is known,
            for circuits that are such on average; units of the allotment where there is one.
        allotment: What of it costs nothing; ``None`` where all is to be paid.
        free: Whether it was said that nothing is ever paid for it.
        job_fee_usd: The part of a job's price that does not depend on its size.
        check: The jobs that its check usually takes, where it is to be checked before its first.
    """

    name: str
    order: int = 0
    weight: float = 1.0
    tags: frozenset[str] = frozenset()
    fidelity: float | None = None
    max_circuits: int | None = None
    max_shots: int | None = None
    min_shots: int = 1
    max_payload_bytes: int | None = None
    max_in_flight: int | None = None
    submissions_per_minute: int | None = None
    overlaps: bool = True
    price: Callable[..., float] = _free
    allotment: Allotment | None = None
    free: bool = True
    job_fee_usd: float = 0.0
    check: tuple[Load, ...] = ()

    def free_slots(self, standing: Standing, now: float, guess: Load | None = None) -> int:
        """Return how many more jobs the member may have now.

        Where nobody says how many, so many that it stays busy while jobs wait in its queue, and
        no more: what it has been given can hardly be taken back. One that was never seen at work
        may be fast: it is given what a fast one would have to do meanwhile.

        Args:
            standing: What is known of the member.
            now: Seconds of the loop's clock.
            guess: What to assume of members never seen at work, if others were.
        """
        jobs = len(standing.in_flight)
        if self.max_in_flight is not None:
            return self.max_in_flight - jobs
        if not self.overlaps:
            return 1 - jobs
        if not standing.speed.jobs:
            return self._unseen_slots(standing, now, guess)
        if jobs < _LEAST_SLOTS:
            return _LEAST_SLOTS - jobs
        left = self._left_seconds(standing, standing.worked_seconds(now))
        each = left / jobs
        return 1 if left < standing.queue_seconds + each and jobs < _MOST_SLOTS else 0

    def _unseen_slots(self, standing: Standing, now: float, guess: Load | None) -> int:
        jobs = len(standing.in_flight)
        if not standing.queue_seconds:
            return _UNSEEN_SLOTS - jobs
        # Once its turn has come its speed will soon be known.
        waits = not jobs or standing.worked_seconds(now) < -ROUNDING_SECONDS
        least = 0.0 if guess is None else self.seconds(standing, standing.load, guess) / HOPE
        return int(waits and least < standing.queue_seconds and jobs < _MOST_SLOTS)

    def busy_seconds(self, standing: Standing, now: float, guess: Load | None = None) -> float:
        """Return how long the member is still expected to work on our jobs in flight."""
        if not standing.in_flight:
            return 0.0
        worked = standing.worked_seconds(now)
        return self._left_seconds(standing, worked, guess) - min(0.0, worked)

    def _left_seconds(self, standing: Standing, worked: float, guess: Load | None = None) -> float:
        """Return how long the member has still to work on our jobs, once their turn has come.

        One that is late may well take as long again as it is late by now.
        """
        seconds = self._worth_seconds(standing, standing.load, len(standing.in_flight), guess)
        if worked <= 0 or not standing.in_flight:
            return seconds
        first = next(iter(standing.in_flight.values()))
        each = self._worth_seconds(standing, first, 1, guess)
        return max(0.0, seconds - each) + abs(worked - each)

    def late_seconds(self, standing: Standing, now: float, guess: Load | None = None) -> float:
        """Return how much longer the member has worked on the first of our jobs than expected."""
        first = next(iter(standing.in_flight.values()), NO_LOAD)
        return standing.worked_seconds(now) - self._worth_seconds(standing, first, 1, guess)

    def _worth_seconds(
        self, standing: Standing, load: Load, jobs: int, guess: Load | None
    ) -> float:
        if standing.speed.jobs:
            return standing.speed.seconds(load.circuits, load.circuit_shots, jobs)
        return self.seconds(standing, load, guess)

    def room(self, circuits: int = _ANY, *, most_shots: int | None = None) -> Room:
        """Return how large a shard of at most so many circuits and shots may be."""
        return Room(
            circuits=circuits if self.max_circuits is None else min(circuits, self.max_circuits),
            max_shots=self.max_shots,
            min_shots=self.min_shots,
            payload_bytes=self.max_payload_bytes,
            most_shots=most_shots,
        )

    def seconds(self, standing: Standing, load: Load, guess: Load | None = None) -> float:
        """Return how long the member is expected to work on a load.

        Args:
            standing: What is known of the member.
            load: The work.
            guess: Seconds per circuit and per circuit-shot to assume of a member never seen at
                work.
        """
        if not standing.speed.jobs:
            circuit = guess.circuits if guess else _NOMINAL_CIRCUIT_SECONDS
            shot = guess.circuit_shots if guess else _NOMINAL_SHOT_SECONDS
            return load.circuits * circuit + load.circuit_shots * shot
        return standing.speed.seconds(load.circuits, load.circuit_shots, self.jobs(load))

    def asked(
        self, jobs: float, load: Load, seconds: float, compiled: Compiled | None = None
    ) -> float:
        """Return the price of a load in so many equal jobs, in units of the allotment or in USD.

        Args:
            jobs: In how many jobs.
            load: The work.
            seconds: How long the member is expected to work on it.
            compiled: What its circuits are there on average, if known.
        """
        known = () if compiled is None else (compiled,)
        return self.price(jobs, load.circuits, load.circuit_shots, seconds, *known)

    def usd(self, asked: float, left: float) -> float:
        """Return what to expect to pay for a load, where so many free units are left.

        Where no more are sold, what does not fit is not done there, and nothing is paid.
        """
        if self.allotment is None:
            return asked
        return self.allotment.usd(asked, left) if self.allotment.sells_more else 0.0

    def jobs(self, load: Load) -> float:
        """Return how many jobs a load is there."""
        jobs = 1.0
        if self.max_circuits is not None:
            jobs = max(jobs, load.circuits / self.max_circuits)
        if self.max_shots is not None and load.circuits:
            jobs *= max(1.0, load.circuit_shots / load.circuits / self.max_shots)
        return jobs


def informed(guess: Load | None, compiled: Compiled | None) -> Load | None:
    """Return a guess with the machine time of a shot as the member tells it, if it does."""
    if compiled is None or compiled.shot_seconds is None:
        return guess
    return Load(guess.circuits if guess else _NOMINAL_CIRCUIT_SECONDS, compiled.shot_seconds)


def guess_seconds(speeds: Iterable[Speed]) -> Load | None:
    """Return seconds per circuit and circuit-shot to assume of a member never seen at work.

    Those of the middle one among the members that were, or ``None`` where there are none.
    """
    seen = [speed for speed in speeds if speed.jobs]
    if not seen:
        return None
    return Load(
        median(speed.circuit_seconds for speed in seen),
        median(speed.shot_seconds for speed in seen),
    )
