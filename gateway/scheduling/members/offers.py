"""Offers: what it would mean for a member to take some work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.policies.verdict import ALLOWED, Verdict, refuse
from qiskit_gateway.scheduling.members.allowances import used_up
from qiskit_gateway.scheduling.members.profile import Terms, informed
from qiskit_gateway.scheduling.members.state import Standing
from qiskit_gateway.work.tasks import NO_LOAD, Compiled, Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoting:
    """What offers are made from: terms and standings at one moment of one run.

    Attributes:
        terms: By member.
        standings: By member.
        assigned: Circuit-shots given to each member in this run.
        waiting: The work that the offers are about; a member's jobs in flight are thought to
            grow by one when it takes all of it.
        guess: Seconds per circuit and circuit-shot to assume of members never seen at work.
        uses: The fields of an offer that will be read.
        now: Seconds of the loop's clock.
        mix: What the circuits of the work are on a member on average, where that is known.
        left: What is left of members' allotments, in units.
    """

    terms: dict[str, Terms]
    standings: dict[str, Standing]
    assigned: dict[str, float]
    waiting: Load
    guess: Load | None
    uses: frozenset[str]
    now: float
    mix: Mapping[str, Compiled] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)
    _first: dict[str, tuple[Load, Offer]] = field(default_factory=dict)

    def __call__(self, member: str, load: Load, before: Load = NO_LOAD) -> Offer:
        """Return what it would mean for a member to take a load after another."""
        if before is not NO_LOAD:
            return self._made(member, load, before)
        # Filters and the objective are both shown what a member's first circuit would mean.
        known = self._first.get(member)
        if known is None or known[0] != load:
            known = self._first[member] = load, self._made(member, load, before)
        return known[1]

    def _made(self, member: str, load: Load, before: Load) -> Offer:
        terms, standing = self.terms[member], self.standings[member]
        compiled = self.mix.get(member)
        guess = informed(self.guess, compiled)
        wait = max(standing.queue_seconds, terms.busy_seconds(standing, self.now, guess))
        if before.circuits:
            wait += terms.seconds(standing, before, guess)
        run = terms.seconds(standing, load, guess)
        known_at = max(standing.read_at, standing.learned_at)
        fidelity = terms.fidelity
        if fidelity is None and compiled is not None:
            fidelity = compiled.fidelity
        return Offer(
            member=member,
            circuits=max(1, round(load.circuits)),
            shots=max(1, round(load.circuit_shots / load.circuits)),
            price_usd=self._price(terms, load, run) if "price_usd" in self.uses else 0.0,
            wait_seconds=max(0.0, wait),
            run_seconds=run,
            fidelity=fidelity,
            in_flight=len(standing.in_flight) + before.circuits / self.waiting.circuits,
            pending_jobs=standing.pending_jobs,
            work_assigned=self.assigned.get(member, 0.0) + before.circuit_shots,
            weight=terms.weight,
            order=terms.order,
            tags=terms.tags,
            failure_rate=standing.failure_rate,
            data_age_seconds=self.now - known_at if isfinite(known_at) else 0.0,
        )

    def used_up(self, member: str) -> Verdict:
        """Return whether a member can do any of the waiting work, by what is left of its allotment."""
        terms = self.terms[member]
        if terms.allotment is None or terms.allotment.sells_more:
            return ALLOWED
        one, compiled = self.waiting.part(1 / self.waiting.circuits), self.mix.get(member)
        guess = informed(self.guess, compiled)
        asked = terms.asked(1, one, terms.seconds(self.standings[member], one, guess), compiled)
        left = self.left.get(member, 0.0)
        fits = not terms.allotment.usd(asked, left)
        return ALLOWED if fits else refuse(used_up(terms.allotment, asked, left))

    def _price(self, terms: Terms, load: Load, seconds: float) -> float:
        """Return the price of a load, as part of jobs as large as all that waits allows."""
        whole = self.waiting
        jobs = terms.jobs(whole)
        share = load.circuits / whole.circuits
        asked = terms.asked(jobs, whole, seconds / share, self.mix.get(terms.name))
        return terms.usd(asked, self.left.get(terms.name, 0.0)) * share
