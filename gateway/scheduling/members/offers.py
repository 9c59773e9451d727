"""Offers: what it would mean for a member to take some work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from statistics import median

from qiskit_gateway.policies.offer import Offer, behind
from qiskit_gateway.policies.verdict import ALLOWED, Verdict, refuse
from qiskit_gateway.scheduling.members.allowances import say_used_up
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.work.tasks import NO_LOAD, Compiled, Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Offers for some waiting work, at one moment of one run. Call it to get one.

    Attributes:
        estimator: What is known of the members.
        assigned: Circuit-shots given to each member in this run.
        waiting: The work that the offers are about; a member's jobs in flight are thought to
            grow by one when it takes all of it.
        uses: The fields of an offer that will be read.
        now: Seconds of the loop's clock.
        mix: What the circuits of the work are on a member on average, where that is known.
        left: What is left of members' allotments, in units.
        busy_seconds: When what is in flight will be done, in seconds from now: until then time
            costs nothing.
    """

    estimator: Estimator
    assigned: Mapping[str, float]
    waiting: Load
    uses: frozenset[str]
    now: float
    mix: Mapping[str, Compiled] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)
    busy_seconds: float = 0.0
    _made: dict[tuple[str, bool], tuple[Load, Load, Offer]] = field(default_factory=dict)
    _queues: dict[str, float] = field(default_factory=dict)
    _waits: dict[str, tuple[float, float]] = field(default_factory=dict)
    _typical: list[float] = field(default_factory=list)

    def __call__(self, member: str, load: Load, before: Load = NO_LOAD) -> Offer:
        """Make the offer of a member to take a load after another."""
        # Filters and the objective are shown what a member's first circuit would mean; and where work
        # is divided, and divided again among fewer, what its last one would.
        key = member, before is NO_LOAD
        known = self._made.get(key)
        if known is None or known[0] != load or known[1] != before:
            made = (
                self._make_later(member, load, before)
                if before.circuits
                else self._make(member, load)
            )
            known = self._made[key] = load, before, made
        return known[2]

    def _make_later(self, member: str, load: Load, before: Load) -> Offer:
        estimator, compiled, first = self.estimator, self.mix.get(member), self(member, load)
        # What comes after it in the same jobs adds no job's overhead, but for what needs more.
        earlier, whole = estimator.seconds(member, before, compiled), before.plus(load)
        waits = self._waits_of(member)[0] + self._wait_anew_seconds(member, whole)
        return behind(
            first,
            wait_seconds=max(0.0, waits + earlier),
            run_seconds=estimator.seconds(member, whole, compiled) - earlier,
            in_flight=first.in_flight + before.circuits / self.waiting.circuits,
            work_assigned=first.work_assigned + before.circuit_shots,
        )

    def _make(self, member: str, load: Load) -> Offer:
        estimator = self.estimator
        profile, state = estimator.profiles[member], estimator.states[member]
        compiled, uses = self.mix.get(member), self.uses
        fidelity = profile.fidelity
        if fidelity is None and compiled is not None:
            fidelity = compiled.fidelity
        return Offer(
            member=member,
            circuits=round(load.circuits) or 1,
            shots=round(load.circuit_shots / load.circuits) or 1,
            price_usd=self._price_usd(member, load) if "price_usd" in uses else 0.0,
            wait_seconds=max(
                0.0, self._waits_of(member)[0] + self._wait_anew_seconds(member, load)
            ),
            run_seconds=estimator.seconds(member, load, compiled),
            fidelity=fidelity,
            in_flight=float(len(state.in_flight)),
            pending_jobs=self._pending_jobs(member) if "pending_jobs" in uses else 0.0,
            work_assigned=self.assigned.get(member, 0.0),
            weight=profile.weight,
            order=profile.order,
            tags=profile.tags,
            failure_rate=state.failure_rate,
            data_age_seconds=self._data_age_seconds(member) if "data_age_seconds" in uses else 0.0,
        )

    def wait_seconds(self, member: str) -> float:
        """Estimate how long a job sent now waits, by what was told in seconds or learned alone."""
        return self._waits_of(member)[1]

    def _waits_of(self, member: str) -> tuple[float, float]:
        """Estimate the same by all that is known, and by that alone."""
        found = self._waits.get(member)
        if found is None:
            estimator = self.estimator
            queue, told = self.queue_seconds(member), estimator.states[member].queue_seconds
            wait = estimator.wait_behind(member, queue, self.now)
            found = wait, wait if queue == told else estimator.wait_seconds(member, self.now)
            self._waits[member] = found
        return found

    def queue_seconds(self, member: str) -> float:
        """Estimate how long a job waits behind those of others, by all that is known."""
        found = self._queues.get(member)
        if found is None:
            found = self._queues[member] = self.estimator.queue_seconds(member, self.waiting)
        return found

    def _wait_anew_seconds(self, member: str, load: Load) -> float:
        """Estimate how long the jobs of a load queue after the first ones."""
        if not (queue := self.queue_seconds(member)):
            return 0.0
        compiled = self.mix.get(member)
        return self.estimator.wait_anew_seconds(member, load, compiled, queue_seconds=queue)

    def round_circuits(self, member: str) -> float:
        """Return how many of the circuits a member can have before jobs queue anew; or infinity."""
        slots = self.estimator.slots(member) if self.queue_seconds(member) else None
        jobs = self.estimator.profiles[member].jobs(self.waiting)
        if slots is None or jobs <= slots:
            return inf
        return slots * self.waiting.circuits / jobs

    def payable(self, member: str) -> Verdict:
        """Check whether a member has a price, or enough of its allotment, for any of the work."""
        profile = self.estimator.profiles[member]
        allotment = profile.allotment
        if profile.free and allotment is None:
            return ALLOWED
        one = self.waiting.part(1 / self.waiting.circuits)
        verdict = self.estimator.price_refusal(member, one, self.mix.get(member))
        if not verdict or allotment is None or allotment.sells_more:
            return verdict
        asked = self.estimator.price(member, one, self.mix.get(member))
        left = self.left.get(member, 0.0)
        fits = not allotment.usd(asked, left)
        return ALLOWED if fits else refuse(say_used_up(allotment, asked, left))

    def _data_age_seconds(self, member: str) -> float:
        state = self.estimator.states[member]
        known_at = max(state.read_at, state.learned_at)
        return self.now - known_at if isfinite(known_at) else 0.0

    def _pending_jobs(self, member: str) -> float:
        """Estimate the jobs of others in a queue; of one that nobody tells, as in those of the others."""
        estimator = self.estimator
        known = estimator.pending_jobs(member, self.waiting)
        if known is None and not self._typical:
            told = (estimator.pending_jobs(name, self.waiting) for name in estimator.states)
            readings = [jobs for jobs in told if jobs is not None]
            self._typical.append(median(readings) if readings else 0.0)
        return estimator.states[member].ahead + (self._typical[0] if known is None else known)

    def _price_usd(self, member: str, load: Load) -> float:
        """Price a load as part of jobs as large as all that waits allows."""
        whole, profile = self.waiting, self.estimator.profiles[member]
        share = load.circuits / whole.circuits
        asked = self.estimator.price(
            member,
            whole,
            self.mix.get(member),
            jobs=profile.jobs(whole),
        )
        return profile.usd(asked, self.left.get(member, 0.0)) * share
