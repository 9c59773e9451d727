"""Seconds, price and queue of work on each member: the one place where they are estimated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log
from statistics import fmean, median
from typing import NamedTuple

from qiskit_gateway.policies.verdict import ALLOWED, Verdict
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.price import PriceError
from qiskit_gateway.work.speed_estimate import SpeedEstimate
from qiskit_gateway.work.speed_evidence import UNSEEN_OFF
from qiskit_gateway.work.tasks import NO_LOAD, Compiled, Load

# Assumed of a member that was never seen at work where none was: what superconducting devices take,
# which are the most. All are then thought to take the same, so that it matters only beside queues.
_NOMINAL = Speed(circuit_seconds=0.1, shot_seconds=1e-3)
# How many times faster or slower than its peers, members of the same provider, one may be; what is not
# known of these comes on top.
_PEERS_OFF = 2.0
# What a circuit takes beside its shots where the durations of its gates are told.
_LOADING_SECONDS = 1e-3
# No provider runs a job in less, as far as queues are counted in jobs.
_LEAST_JOB_SECONDS = 1e-3
# Jobs at once on a member that may overlap them: at least, and at most.
_LEAST_SLOTS = 2
_MOST_SLOTS = 512
# How many times faster or slower than others one may be that was never seen at work.
HOPE = UNSEEN_OFF
# Times that differ by no more are one: a quote reads another clock than the run that it is about.
ROUNDING_SECONDS = 1e-6
# A part of a job that is no more is a rounding error.
_ROUNDING = 1e-9
# What a job counts as for which a tariff has no price: more than anybody pays, and yet a number.
UNPRICED_USD = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced(Verdict):
    """The refusal of a job for which its member's tariff has no price."""


class Turn(NamedTuple):
    """What is foreseen of one of our jobs at a member.

    Attributes:
        key: The job.
        begins: When it should begin, in seconds of the loop's clock.
        end: When it should end.
        may_wait: Whether the member may not have begun with it: its turn has not come, or it is late, or
            the member does nothing now.
    """

    key: object
    begins: float
    end: float
    may_wait: bool


@dataclass(slots=True, kw_only=True)
class Estimator:
    """Estimates of time and cost on the members, from current knowledge.

    A member of which nothing is known is thought to take what its peers do, the members of the same
    provider, else what all others do; and for a shot what the durations of the circuits say, as they
    are compiled for it.

    Attributes:
        profiles: By member.
        states: By member; read, never changed.
        guess: The speed assumed of members never seen at work; ``None`` where none was. It is only
            as fresh as the last :meth:`refresh`, since it is found in time proportional to the
            fleet.
    """

    profiles: Mapping[str, MemberProfile]
    states: Mapping[str, MemberState]
    guess: Speed | None = None
    # The members of each provider that has several, and what one of them takes where any is known.
    _providers: dict[str, list[str]] = field(init=False)
    _peers: dict[str, Speed] = field(default_factory=dict)
    # By member that shares its machine: all members of that.
    _mates: dict[str, list[str]] = field(init=False)
    # What is assumed where nobody is known at all.
    _nominal: Speed = field(init=False)
    # Speeds with shots by durations, as made since the last refresh, by provider and durations.
    _timed: dict[tuple[str, float], Speed] = field(default_factory=dict)
    # How many times what was thought members never seen at work take, where that is more than once.
    _lateness: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        told = [one.shot_seconds for one in self.profiles.values() if one.shot_seconds]
        self._nominal = _NOMINAL if not told else _nominal(median(told))
        of_provider: dict[str, list[str]] = {}
        on_machine: dict[str, list[str]] = {}
        for name, profile in self.profiles.items():
            if profile.provider:
                of_provider.setdefault(profile.provider, []).append(name)
            if profile.machine:
                on_machine.setdefault(profile.machine, []).append(name)
        shared = [names for names in on_machine.values() if len(names) > 1]
        self._mates = {name: names for names in shared for name in names}
        self._providers = {one: names for one, names in of_provider.items() if len(names) > 1}

    def refresh(self) -> None:
        """Guess anew from the members that were seen at work."""
        self.guess = guess_speed(state.speed for state in self.states.values())
        self._peers = {}
        self._timed.clear()
        for provider, names in self._providers.items():
            speeds = [self.states[name].speed for name in names]
            # Where all are known, nobody asks.
            if not all(speed.jobs for speed in speeds) and (peers := _guess_of_peers(speeds)):
                self._peers[provider] = peers

    def seconds(self, member: str, load: Load, compiled: Compiled | None = None) -> float:
        """Estimate how long a member works on a load, in seconds.

        Args:
            member: Where.
            load: The work.
            compiled: What its circuits are there on average, if known.
        """
        # With no call of the method below, nor of max(): this is asked for all the time.
        speed, times = self.states[member].speed, 1.0
        if not speed.jobs:
            speed, times = self._assume(member, compiled), self._lateness.get(member, 1.0)
        jobs = self.profiles[member].jobs(load)
        circuits, circuit_shots = load
        circuits = circuits if circuits > jobs else jobs  # noqa: FURB136
        return speed.seconds(circuits, circuit_shots, jobs) * times

    def jobs_seconds(
        self, member: str, load: Load, jobs: float, compiled: Compiled | None = None
    ) -> float:
        """Like :meth:`seconds`, for a load that is in a known number of jobs."""
        speed, times = self.states[member].speed, 1.0
        if not speed.jobs:
            speed, times = self._assume(member, compiled), self._lateness.get(member, 1.0)
        # No job is of less than a circuit, though it may be a part of the shots of one.
        circuits, circuit_shots = load
        circuits = circuits if circuits > jobs else jobs  # noqa: FURB136
        return speed.seconds(circuits, circuit_shots, jobs) * times

    def note_lateness(self, now: float) -> None:
        """Think of members never seen at work as slow as their first jobs show that they are at least."""
        self._lateness = {
            # No more than for a member never seen: jobs may differ by what was compiled for them.
            name: min(times, HOPE)
            for name, state in self.states.items()
            if state.in_flight
            and not state.speed.jobs
            and (times := self._read_lateness(name, now)) > 1
        }

    def _read_lateness(self, member: str, now: float) -> float:
        """Return how many times what was thought a member has worked on its first job by now."""
        worked, late = self.states[member].worked_seconds(now), self.late_seconds(member, now)
        return worked / (worked - late) if worked > late else 0.0

    def speed_of(self, member: str) -> SpeedEstimate:
        """Return the known or assumed speed of a member, with its source."""
        speed = self.states[member].speed
        return (speed if speed.jobs else self._assume(member, None)).estimate

    def source(self, member: str, compiled: Compiled | None = None) -> str:
        """Say where :meth:`seconds` comes from."""
        speed = self.states[member].speed
        if speed.jobs:
            return speed.source
        source = self._assume(member, compiled).source
        return "nothing" if source == "guess" and self.guess is None else source

    def price(
        self,
        member: str,
        load: Load,
        compiled: Compiled | None = None,
        *,
        jobs: float = 1.0,
        seconds: float | None = None,
    ) -> float:
        """Estimate the price of a load, in units of the member's allotment, or in USD without one.

        It is :data:`UNPRICED_USD` where the member's tariff has no price for it.

        Args:
            member: Where.
            load: The work.
            compiled: What its circuits are there on average, if known.
            jobs: In how many equal jobs.
            seconds: How long the member works on it, where that is not what it is estimated at.
        """
        known = () if compiled is None else (compiled,)
        if seconds is None:
            seconds = self.seconds(member, load, compiled)
        price = self.profiles[member].price
        try:
            return price(jobs, load.circuits, load.circuit_shots, seconds, *known)
        except PriceError:
            return UNPRICED_USD

    def price_refusal(self, member: str, load: Load, compiled: Compiled | None = None) -> Verdict:
        """Refuse a load for which the member's tariff has no price; allow any other."""
        profile, known = self.profiles[member], () if compiled is None else (compiled,)
        if profile.free:
            return ALLOWED
        seconds = self.seconds(member, load, compiled)
        try:
            profile.price(1.0, load.circuits, load.circuit_shots, seconds, *known)
        except PriceError as error:
            return Unpriced(allowed=False, reason=str(error))
        return ALLOWED

    def wait_seconds(self, member: str, now: float) -> float:
        """Estimate how long the next job waits: behind those of others, or behind ours."""
        return self.wait_behind(member, self.states[member].queue_seconds, now)

    def wait_behind(self, member: str, queue_seconds: float, now: float) -> float:
        """Estimate how long the next job waits, where those of others alone take so long.

        A member that has as many of our jobs as it takes at once gets the next one when the first has
        ended, and only then does that queue.
        """
        busy = self.busy_seconds(member, now)
        slots = self.slots(member) if queue_seconds else None
        if slots is not None and len(self.states[member].in_flight) >= slots:
            queue_seconds += self._first_seconds(member, now)
        return queue_seconds if queue_seconds > busy else busy  # noqa: FURB136  Asked for all the time.

    def slots(self, member: str) -> int | None:
        """Return how many jobs a member takes at once; ``None`` where that is enough to keep it busy."""
        profile, most = self.profiles[member], self.states[member].most_at_once
        limit = profile.max_in_flight or (None if profile.overlaps else 1)
        return limit if most is None else min(most, limit or most)

    def wait_anew_seconds(
        self,
        member: str,
        load: Load,
        compiled: Compiled | None = None,
        *,
        queue_seconds: float | None = None,
    ) -> float:
        """Estimate how long the jobs of a load queue after the first ones, in seconds.

        Where a member takes few jobs at once each further one is sent when one has ended, and queues
        while what it has besides is run.

        Args:
            member: Where.
            load: The work.
            compiled: What its circuits are there on average, if known.
            queue_seconds: How long a job waits behind those of others, where that is not what was told
                or learned.
        """
        if queue_seconds is None:
            queue_seconds = self.states[member].queue_seconds
        slots = self.slots(member) if queue_seconds else None
        if slots is None or (jobs := self.profiles[member].jobs(load)) <= slots:
            return 0.0
        each = self.seconds(member, load, compiled) / jobs
        return count_rounds(jobs, slots) * round_wait_seconds(queue_seconds, each, slots)

    def span_seconds(self, member: str, load: Load) -> float:
        """Estimate how long it takes from when a member begins with a load until all of it is done."""
        return self.seconds(member, load) + self.wait_anew_seconds(member, load)

    def cut_seconds(self, member: str, load: Load) -> float:
        """Estimate how long one job more in a load queues anew, if it takes a slot of another."""
        slots, queue_seconds = self.slots(member), self.states[member].queue_seconds
        if slots is None or not queue_seconds:
            return 0.0
        each = self.seconds(member, load) / max(slots, self.profiles[member].jobs(load))
        return round_wait_seconds(queue_seconds, each, slots) / slots

    def queue_seconds(self, member: str, waiting: Load) -> float:
        """Estimate how long a job waits behind those of others.

        Where no seconds were told or learned, but a number of jobs was told, these are thought to take
        as long as ours do there.

        Args:
            member: Where.
            waiting: What is to be sent, for how long jobs take where none was seen.
        """
        state = self.states[member]
        if state.knows_wait or not state.pending_jobs:
            return state.queue_seconds
        jobs_of_others = state.pending_jobs * self._mean_job_seconds(member, waiting)
        return max(state.queue_seconds, jobs_of_others)

    def pending_jobs(self, member: str, waiting: Load) -> float | None:
        """Estimate how many jobs of others are queued; ``None`` where nothing is known of the queue.

        Where no number was told, but seconds were told or learned, it is how many jobs like ours take
        that long.

        Args:
            member: Where.
            waiting: What is to be sent, for how long jobs take where none was seen.
        """
        state = self.states[member]
        if state.pending_jobs is not None:
            return state.pending_jobs
        if not state.knows_wait:
            return None
        return state.queue_seconds / self._mean_job_seconds(member, waiting)

    def _mean_job_seconds(self, member: str, waiting: Load) -> float:
        """Estimate what a job takes: as those that were seen did, else as one of what waits would."""
        mean = self.states[member].speed.mean_seconds
        if mean is None:
            part = waiting.part(1 / self.profiles[member].jobs(waiting))
            mean = self.jobs_seconds(member, part, 1)
        return max(mean, _LEAST_JOB_SECONDS)

    def busy_seconds(self, member: str, now: float) -> float:
        """Estimate how long a member, or one that shares its machine, still works on our jobs in flight."""
        mates = self._mates.get(member)
        if mates is None:
            return self._own_busy_seconds(member, now)
        return sum([self._own_busy_seconds(mate, now) for mate in mates])

    def is_one_machine(self, members: Sequence[str]) -> bool:
        """Whether all of some members work on one machine."""
        mates = self._mates.get(members[0], ())
        return len(members) == 1 or (bool(mates) and set(members).issubset(mates))

    def sort_by_machine(self, members: Sequence[str]) -> list[list[str]]:
        """Sort members by the machines on which they work, in their order."""
        found: dict[str, list[str]] = {}
        for name in members:
            mates = self._mates.get(name)
            found.setdefault(mates[0] if mates else name, []).append(name)
        return list(found.values())

    def _own_busy_seconds(self, member: str, now: float) -> float:
        state = self.states[member]
        if not state.in_flight:
            return 0.0
        worked = state.worked_seconds(now)
        left = self._left_seconds(member, worked)
        return left - worked if worked < 0 else left

    def _first_seconds(self, member: str, now: float) -> float:
        """Estimate after what time a member is done with the first of our jobs in flight."""
        state = self.states[member]
        worked, first = state.worked_seconds(now), next(iter(state.in_flight.values()))
        left = self._thought_seconds(member, first) - worked
        return left if worked <= 0 else abs(left)

    def foresee(self, member: str, now: float) -> Iterator[Turn]:
        """Foresee when each of our jobs at a member begins and ends, and whether it may still wait.

        A member that was never seen at work may be fast, as long as it has not taken longer over its
        first job. Of one that is unhealthy nothing is thought to be done before it is tried again.
        """
        state = self.states[member]
        healthy = state.breaker.phase == "closed"
        late, times = self.late_seconds(member, now), 1.0
        if healthy and not state.speed.jobs:
            times = max(1 / HOPE, self._read_lateness(member, now))
        end = state.busy_since if healthy else max(now, state.breaker.until)
        for key, load in state.in_flight.items():
            begins = max(end, state.turns[key])
            end = begins + self._thought_seconds(member, load) * times
            waits = not healthy or begins > now + ROUNDING_SECONDS
            if not waits:
                end = max(end, now + late)
            # What is late may wait as well: its provider is asked, and gives back nothing that it runs.
            yield Turn(key, begins, end, waits or late > ROUNDING_SECONDS)

    def late_seconds(self, member: str, now: float) -> float:
        """Seconds by which a member's first job of ours exceeds its expected duration."""
        state = self.states[member]
        first = next(iter(state.in_flight.values()), NO_LOAD)
        return state.worked_seconds(now) - self._thought_seconds(member, first)

    def _thought_seconds(self, member: str, load: Load) -> float:
        """Estimate what one job takes, as if none had been late."""
        speed = self.states[member].speed
        if not speed.jobs:
            speed = self._assume(member, None)
        return speed.seconds(max(load.circuits, 1.0), load.circuit_shots, 1)

    def free_slots(self, member: str, now: float) -> int:
        """Count the further jobs that a member may have now.

        Where its limits do not say, it may have enough to stay busy while jobs wait in its queue,
        and no more: what it was given can hardly be taken back. One that was never seen at work
        may be fast: it is given what a fast one could do meanwhile.
        """
        profile, state = self.profiles[member], self.states[member]
        jobs = len(state.in_flight)
        if profile.max_in_flight is not None:
            return profile.max_in_flight - jobs - state.elsewhere
        if not profile.overlaps:
            return 1 - jobs
        if not state.speed.jobs:
            return self._unseen_slots(member, now)
        # Of one job it is not known what it would have taken at another size.
        least = _LEAST_SLOTS if state.speed.jobs > 1 else 1
        if jobs < least:
            return least - jobs
        left = self._left_seconds(member, state.worked_seconds(now))
        each = left / jobs
        return 1 if left < state.queue_seconds + each and jobs < _MOST_SLOTS else 0

    def _unseen_slots(self, member: str, now: float) -> int:
        state = self.states[member]
        jobs = len(state.in_flight)
        if not jobs or not state.queue_seconds:
            return 1 - jobs
        # Once its turn has come its speed will soon be known.
        waits = state.worked_seconds(now) < -ROUNDING_SECONDS
        least = 0.0 if self.guess is None else self.seconds(member, state.load) / HOPE
        return int(waits and least < state.queue_seconds and jobs < _MOST_SLOTS)

    def _left_seconds(self, member: str, worked: float) -> float:
        """Estimate how long a member works on our jobs once their turn has come.

        A job that is late may well take as long again as it is late by now.
        """
        state = self.states[member]
        seconds = self.jobs_seconds(member, state.load, len(state.in_flight))
        if worked <= 0 or not state.in_flight:
            return seconds
        first = next(iter(state.in_flight.values()))
        rest = max(0.0, seconds - self.jobs_seconds(member, first, 1))
        return rest + abs(worked - self._thought_seconds(member, first))

    def _assume(self, member: str, compiled: Compiled | None) -> Speed:
        """Assume the speed of a member that was never seen at work."""
        profile = self.profiles[member]
        shot_seconds = (compiled and compiled.shot_seconds) or profile.shot_seconds
        assumed = self._peers.get(profile.provider) or self.guess
        # Of gates that are said to take no time nobody knows what they take.
        if not shot_seconds:
            return assumed or self._nominal
        key = profile.provider, shot_seconds
        if key not in self._timed:
            assumed = assumed or _nominal(shot_seconds)
            self._timed[key] = replace(assumed, shot_seconds=shot_seconds, timed=True)
        return self._timed[key]


def count_rounds(jobs: float, slots: int) -> int:
    """Count how often so many slots are filled again for some jobs, after the first time."""
    return ceil(jobs / slots - _ROUNDING) - 1


def round_wait_seconds(queue_seconds: float, job_seconds: float, slots: int) -> float:
    """Return how long a member does nothing each time that its slots are filled again.

    Args:
        queue_seconds: How long a job waits behind those of others.
        job_seconds: How long each job runs; meanwhile those in the other slots queue.
        slots: How many jobs it takes at once.
    """
    return max(0.0, queue_seconds - (slots - 1) * job_seconds)


def _nominal(shot_seconds: float) -> Speed:
    """Assume a speed where nobody is known, but what a shot takes."""
    return Speed(circuit_seconds=_LOADING_SECONDS, shot_seconds=shot_seconds)


def guess_speed(speeds: Iterable[Speed]) -> Speed | None:
    """Guess the speed of a member never seen at work; ``None`` where none was.

    What a job, a circuit and a shot take are the medians of the members that were, or the means
    where all medians are nothing: it is never thought to take no time.
    """
    seen = [speed for speed in speeds if speed.jobs]
    if not seen:
        return None
    by_term = (
        [speed.overhead_seconds for speed in seen],
        [speed.circuit_seconds for speed in seen],
        [speed.shot_seconds for speed in seen],
    )
    terms = [median(values) for values in by_term]
    if not any(terms):
        terms = [fmean(values) for values in by_term]
        if not any(terms):
            return None
    overhead, circuit, shot = terms
    return Speed(overhead_seconds=overhead, circuit_seconds=circuit, shot_seconds=shot)


def _guess_of_peers(speeds: Sequence[Speed]) -> Speed | None:
    """Guess the speed of a member never seen at work from others of its provider, if one was."""
    guess = guess_speed(speeds)
    if guess is None:
        return None
    theirs = median(speed.doubt for speed in speeds if speed.jobs)
    return replace(guess, doubt=min(theirs + log(_PEERS_OFF), log(UNSEEN_OFF)), lent="peers")
