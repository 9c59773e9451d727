"""Planning what waits: how many circuits of it each member should take, and when to plan anew."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from qiskit_gateway.policies.objectives import Finish, Hours, Then, Trade
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.recall import is_much_sooner
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.allocation.divide import (
    Question,
    Shares,
    divide,
    earliest_seconds,
)
from qiskit_gateway.scheduling.allocation.integer_program import Division, Problem
from qiskit_gateway.scheduling.allocation.plan import ROUNDING, Asked, Lot, Plan
from qiskit_gateway.scheduling.backlog import Backlog, Barred
from qiskit_gateway.scheduling.members.allowances import Allowances
from qiskit_gateway.scheduling.members.estimator import UNPRICED_USD, Estimator
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.record.plan_record import Considered, PlanRecord, add_up
from qiskit_gateway.work.tasks import NO_LOAD, Compiled, Load

# A plan is made anew when this share of the planned work is gone.
_STALE_SHARE = 0.75
# Work goes to fewer members where the run is longer by no more than this part of it: a fifth of what
# `benchmarks.planner` counts as worth a job, since work is planned anew until it ends, and each plan may
# lose as much.
_SMALL = 1 / 100
# Prices are subtracted, which leaves some rounding.
_NO_USD = 1e-9


@dataclass(slots=True)
class Planner:
    """Plans how much of the waiting work each member should take, by a policy.

    Attributes:
        estimator: What is known of the members.
        policy: The rules.
        backlog: The waiting work; read, never changed.
        assigned: Circuit-shots given to each member in this run.
        verdicts: Why the policy's filters refused members, by class of work.
        mixes: What the circuits of a kind are on each member on average, where that is known; and
            those of a kind and a number of shots.
        deadline: When all should be done, in seconds of the loop's clock.
        began: When the run began, in seconds of the loop's clock.
        allowances: What members do for nothing; read, never changed.
        trade: What the policy trades, price against time, if it does.
        finishes_first: Whether the policy wants to finish first, whatever it costs.
        grows: Whether the policy's objective may rise as a member is given more work.
        uses: The fields of an offer that the policy reads.
    """

    estimator: Estimator
    policy: Policy
    backlog: Backlog
    assigned: dict[str, float] = field(default_factory=dict)
    verdicts: dict[Barred, dict[str, Verdict]] = field(default_factory=dict)
    mixes: Mapping[int | tuple[int, int], Mapping[str, Compiled]] = field(default_factory=dict)
    deadline: float = math.inf
    began: float = 0.0
    allowances: Allowances = field(default_factory=Allowances)
    trade: Trade | None = field(init=False)
    finishes_first: bool = field(init=False)
    grows: bool = field(init=False)
    uses: frozenset[str] = field(init=False)
    _plans: dict[Lot, Plan] = field(default_factory=dict)
    # The answers for plans that look at nothing that depends on time, by all that they depend on.
    _settled: dict[tuple[Lot, Load, tuple[str, ...]], Shares] = field(default_factory=dict)
    _asked: Asked | None = None
    # What was known as the lots with which the run began were planned.
    _first: dict[Lot, list[Considered]] = field(default_factory=dict)
    # How many members' speeds are known, and at how many more all is planned anew.
    _seen: int = 0
    _seen_next: int = 1
    _eligibles: dict[Barred, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trade = Trade.of(self.policy.minimize)
        first = self.policy.minimize
        first = first.objectives[0] if isinstance(first, Then) else first
        self.finishes_first = isinstance(first, Finish | Hours)
        self.grows, self.uses = self.policy.minimize.grows, self.policy.uses

    @property
    def timeless(self) -> bool:
        """Whether only prices count."""
        return self.trade is not None and not self.trade.usd_per_hour and self.deadline == math.inf

    def cut_seconds(self, member: str, plan: Plan, now: float) -> float:
        """Return the cost of cutting a member's quota once more, in seconds.

        It is found by asking for prices, so it does not matter how a tariff is written.
        """
        quota = plan.quotas[member]
        compiled = self._mix(plan.lot.barred, plan.lot.height).get(member)
        profile, price = self.estimator.profiles[member], self.estimator.price
        if self.usd_per_second == math.inf or profile.free:
            return 0.0
        whole = Load(quota, quota * plan.shots)
        left = self.allowances.left(now).get(member, 0.0)
        more = profile.usd(price(member, whole, compiled, jobs=2 * profile.jobs(whole)), left)
        usd = more - profile.usd(price(member, whole, compiled, jobs=profile.jobs(whole)), left)
        if usd <= _NO_USD:
            return 0.0
        return usd / self.usd_per_second if self.usd_per_second else math.inf

    @property
    def usd_per_second(self) -> float:
        """The worth of a second of the run in USD; infinite if only the end counts."""
        if self.finishes_first:
            return math.inf
        trade = self.trade
        return trade.usd_per_hour / 3600 / trade.price_factor if trade else 0.0

    def eligible(self, barred: Barred, usable: tuple[str, ...]) -> tuple[str, ...]:
        """List the usable members that may take a class of work."""
        if not (barred.never or barred.for_now):
            return usable
        known = self._eligibles.get(barred)
        if known is None or known[0] is not usable:
            known = (usable, tuple(name for name in usable if name not in barred))
            self._eligibles[barred] = known
        return known[1]

    def heights(self, barred: Barred) -> Sequence[int | None]:
        """Return the lots that are planned separately: the shots of rows, where jobs have prices."""
        if self.trade is None:
            return [None]
        return sorted(self.backlog.classes[barred].heights, reverse=True)

    def load(self, lot: Lot) -> Load:
        """Measure the waiting work of a lot."""
        waiting = self.backlog.classes.get(lot.barred)
        if waiting is None:
            return NO_LOAD
        if lot.height is None:
            return Load(waiting.circuits, waiting.circuit_shots)
        rows = waiting.rows.get(lot.height, 0)
        return Load(rows, rows * lot.height)

    def plan(
        self, lot: Lot, eligible: tuple[str, ...], now: float, freed: str | None = None
    ) -> tuple[Plan, bool] | None:
        """Return a plan for a lot that is still good, or make one; and whether it is new.

        There is none while a question waits for its answer: what else there is to plan comes after that.

        Args:
            lot: What waits.
            eligible: The members that may take it.
            now: Seconds of the loop's clock.
            freed: The only member that has changed since the last look; ``None`` for any.
        """
        load = self.load(lot)
        plan = self._plans.get(lot)
        if (
            plan is None
            # Whom the filters refuse for the time being is asked for again.
            or not plan.quotas
            or (
                not plan.is_new
                and self._is_off(plan, plan.quotas if freed is None else [freed], now)
            )
            or plan.usable != eligible
            or not _STALE_SHARE * plan.circuits <= load.circuits <= plan.left + ROUNDING
            or (plan.deals > len(eligible) and not self._foresees_ends)
        ):
            plan = self._make_plan(lot, load, eligible, now)
        if plan is None:
            return None
        is_new = plan.is_new
        plan.is_new = False
        plan.deals += not is_new
        return plan, is_new

    def _make_plan(
        self, lot: Lot, load: Load, eligible: tuple[str, ...], now: float
    ) -> Plan | None:
        if self.is_asking:
            return None
        shares = Shares({})
        if self.trade is not None:
            # What waits for late work must not think that who is late will be quick with more of it.
            self.estimator.note_lateness(now)
        if load.circuits:
            offers = self._lot_offers(lot, load, now)
            found = self._divide(lot, load, eligible, offers)
            if isinstance(found, Question):
                self._asked = Asked(lot, load, eligible, now, found, settles=False)
                return None
            shares = found
        return self._keep_plan(Plan(lot, shares, load, eligible), now)

    def _keep_plan(self, plan: Plan, now: float) -> Plan:
        self._note_first(plan.lot, plan.quotas, now)
        self._plans[plan.lot] = plan
        states = self.estimator.states
        plan.unseen = [member for member in plan.usable if not states[member].speed.jobs]
        if self._foresees_ends:
            plan.expect({member: self.foresee_end(member, plan, now) for member in plan.quotas})
        return plan

    @property
    def _foresees_ends(self) -> bool:
        """Whether a plan is good as long as members end when it was planned that they do."""
        return self.finishes_first or self.trade is not None

    def foresee_end(self, member: str, plan: Plan, now: float) -> float:
        """Foresee when a member is done with its quota, in seconds of the loop's clock."""
        quota = plan.quotas[member]
        seconds = self.estimator.span_seconds(member, Load(quota, quota * plan.shots))
        return now + self.estimator.wait_seconds(member, now) + seconds

    @property
    def is_asking(self) -> bool:
        """Whether something is to be solved before any more is planned."""
        return self._asked is not None

    def take_problem(self) -> Problem | None:
        """Return what is to be solved, once."""
        asked = self._asked
        if asked is None or asked.is_told:
            return None
        asked.is_told = True
        return asked.question.problem

    def take_answer(self, answer: Division, now: float) -> None:
        """Plan by the answer to what was asked."""
        asked, self._asked = self._asked, None
        if asked is None or asked.void:
            return
        shares = asked.question.read(answer)
        if asked.settles:
            self._settled[asked.lot, asked.load, asked.eligible] = shares
            return
        self._keep_plan(Plan(asked.lot, shares, asked.load, asked.eligible), now)

    @property
    def end(self) -> float:
        """When all that waits should be done as planned, in seconds of the loop's clock; 0 without a plan."""
        plans = (self._plans.get(lot) for lot in self._lots())
        return max((plan.end for plan in plans if plan), default=0.0)

    def _is_off(self, plan: Plan, members: Iterable[str], now: float) -> bool:
        """Check whether members would end at other times than planned with some of the work.

        Who is late where only the end counts keeps what it can do in time.
        """
        most = _SMALL * plan.circuits
        for member in members if plan.ends else ():
            quota = plan.quotas.get(member, 0.0)
            if quota <= ROUNDING:
                continue
            planned = max(0.0, (plan.end if self.finishes_first else plan.ends[member]) - now)
            seconds = self.foresee_end(member, plan, now) - now
            if self.finishes_first and is_much_sooner(planned, seconds):
                plan.quotas[member] = quota * planned / seconds
                plan.late += quota - plan.quotas[member]
            elif (
                is_much_sooner(*sorted((planned, seconds)))
                and abs(planned - seconds) * quota > most * seconds
            ):
                return True
        return plan.late > most

    @property
    def is_planned(self) -> bool:
        """Whether there is a plan for all waiting work."""
        return all(lot in self._plans for lot in self._lots())

    def shares(self) -> Iterator[tuple[str, Load]]:
        """Yield the planned share of each member in the waiting work."""
        for lot in self._lots():
            if (plan := self._plans.get(lot)) is not None:
                load, planned = self.load(lot), sum(plan.quotas.values())
                for member, circuits in plan.quotas.items() if planned else ():
                    yield member, load.part(circuits / planned)

    def _lots(self) -> Iterator[Lot]:
        for barred in self.backlog.classes:
            for height in self.heights(barred):
                yield Lot(barred, height)

    def settle(self, lot: Lot, eligible: tuple[str, ...], now: float) -> Plan | None:
        """Return a plan for a lot that looks at nothing that depends on time.

        There is none while a question waits for its answer, as of :meth:`plan`.
        """
        load = self.load(lot)
        shares = self._settled.get((lot, load, eligible))
        if shares is None:
            if self.is_asking:
                return None
            offers = self.offers(load, now, lot.barred, blank=True, height=lot.height)
            found = self._divide(lot, load, eligible, offers, blank=True)
            if isinstance(found, Question):
                self._asked = Asked(lot, load, eligible, now, found, settles=True)
                return None
            shares = found
        self._note_first(lot, shares.circuits, now)
        return Plan(lot, shares.copy(), load, eligible)

    @property
    def record(self) -> PlanRecord:
        """What the first plan of the run gave each member, and what it knew of them."""
        usd_per_hour = None
        if self.finishes_first or self.trade is not None:
            usd_per_hour = 3600 * self.usd_per_second
        return PlanRecord(usd_per_hour=usd_per_hour, members=add_up(self._first.values()))

    def _note_first(self, lot: Lot, quotas: Mapping[str, float], now: float) -> None:
        """Note what is known of members as a lot is planned with which the run begins."""
        if not self._first:
            self._first = {one: [] for one in self._lots()}
        if self._first.get(lot, True):
            return
        load, estimator = self.load(lot), self.estimator
        left, mix = self.allowances.left(now), self._mix(lot.barred, lot.height)
        refusals = self.verdicts.get(lot.barred, {})
        found = self._first[lot]
        for member, profile in estimator.profiles.items():
            compiled = mix.get(member)
            given = load.part(quotas.get(member, 0.0) / load.circuits) if load.circuits else NO_LOAD
            wait = estimator.wait_seconds(member, now)
            times = [estimator.seconds(member, work, compiled) for work in (given, load)]
            usd = [
                profile.usd(
                    estimator.price(
                        member, work, compiled, jobs=profile.jobs(work), seconds=seconds
                    ),
                    left.get(member, 0.0),
                )
                for work, seconds in zip((given, load), times, strict=True)
                if work.circuits
            ]
            spans = [
                time + estimator.wait_anew_seconds(member, work, compiled)
                for work, time in zip((given, load), times, strict=True)
            ]
            found.append(
                Considered(
                    member=member,
                    given=given,
                    wait_seconds=wait,
                    run_seconds=spans[0],
                    price_usd=usd[0] if given.circuits else 0.0,
                    alone_seconds=wait + spans[1],
                    alone_usd=usd[-1] if usd and usd[-1] < UNPRICED_USD else math.inf,
                    source=estimator.source(member, compiled),
                    reason=refusals[member].reason if member in refusals else "",
                )
            )

    def learns(self, member: str) -> bool:
        """Check whether enough was learned since a member's return to void the plans.

        So it is when the first speed is known, then two, four: not at each, or in a large fleet
        planning would never end.
        """
        if self.estimator.states[member].speed.jobs == 1:
            self._seen += 1
        if self._seen < self._seen_next:
            return False
        self._seen_next = 2 * self._seen
        self.estimator.refresh()
        self._plans.clear()
        if self._asked is not None:
            self._asked.void = True
        return True

    def offers(
        self,
        load: Load,
        now: float,
        barred: Barred | None = None,
        *,
        blank: bool = False,
        height: int | None = None,
    ) -> Offers:
        """Make the offers for some waiting work.

        Args:
            load: The work.
            now: Seconds of the loop's clock.
            barred: Its class, if it is of one.
            blank: Whether all is left out that is known only from how runs go.
            height: How many shots each of its circuits needs, if all need as many.
        """
        estimator = self.estimator
        if blank:
            profiles = estimator.profiles
            estimator = Estimator(
                profiles=profiles, states={one: MemberState() for one in profiles}
            )
        else:
            estimator.refresh()
        return Offers(
            estimator=estimator,
            assigned={} if blank else self.assigned,
            waiting=load,
            uses=self.uses,
            now=now,
            mix=self._mix(barred, height) if barred else {},
            left=self._whole_allotments if blank else self.allowances.left(now),
            busy_seconds=0.0 if blank or self.trade is None else self._busy_seconds(now),
        )

    def _busy_seconds(self, now: float) -> float:
        """When the members are done with what they were given, in seconds from now."""
        foreseen = chain.from_iterable(self.estimator.foresee(one, now) for one in self.assigned)
        return max((one.end - now for one in foreseen), default=0.0)

    def _mix(self, barred: Barred, height: int | None) -> Mapping[str, Compiled]:
        # Of rows that were cut by their shots, what is known is that of their kind.
        known = None if height is None else self.mixes.get((barred.kind, height))
        return known or self.mixes.get(barred.kind, {})

    @property
    def _whole_allotments(self) -> dict[str, float]:
        allotments = (
            (name, profile.allotment) for name, profile in self.estimator.profiles.items()
        )
        return {name: allotment.amount for name, allotment in allotments if allotment}

    def earliest_seconds(self, now: float) -> float:
        """Return the least time in which all that waits can be done, as far as that is known.

        That of any class alone, and of all together if every member could take all.
        """
        earliest = 0.0
        whole, anybody = NO_LOAD, dict[str, None]()
        for barred in self.backlog.classes:
            load = self.load(Lot(barred))
            offers = self.offers(load, now, barred)
            one = load.part(1 / load.circuits)
            names = self.estimator.profiles
            verdicts = {name: self.policy.judge(offers(name, one)) for name in names}
            open_to = {name for name, verdict in verdicts.items() if verdict or verdict.waits}
            able = [name for name in names if name in open_to and name not in barred]
            earliest = max(earliest, earliest_seconds(offers, able))
            whole, anybody = whole.plus(load), anybody | dict.fromkeys(able)
        if len(self.backlog.classes) > 1:
            offers = self.offers(whole, now)
            earliest = max(earliest, earliest_seconds(offers, list(anybody)))
        return earliest

    def _lot_offers(self, lot: Lot, load: Load, now: float) -> Offers:
        """Make the offers by which a lot of some size is divided."""
        whole = load
        if self.trade is None and len(self.backlog.classes) > 1:
            # What else waits keeps members busy too.
            whole = self.backlog.load
        return self.offers(whole, now, lot.barred, height=lot.height)

    def _divide(
        self,
        lot: Lot,
        load: Load,
        eligible: Sequence[str],
        offers: Offers,
        *,
        blank: bool = False,
    ) -> Shares | Question:
        """Divide the circuits of a lot among the members, or say what is to be solved for that."""
        one = load.part(1 / load.circuits)
        allowed, refused = [], {}
        for member in eligible:
            verdict = offers.payable(member) and self.policy.judge(offers(member, one))
            if verdict:
                allowed.append(member)
            else:
                refused[member] = verdict
        self.verdicts[lot.barred] = refused
        if not allowed:
            return Shares({})
        allowed = self._one_a_machine(allowed, offers)
        divisible = self.backlog.divides_rows
        horizon = math.inf if blank else max(0.0, self.deadline - offers.now)
        objective = self.policy.minimize
        found = divide(offers, allowed, objective, divisible=divisible, horizon=horizon)
        thins = self.finishes_first and not blank and horizon == math.inf
        if thins and isinstance(found, Shares) and len(found.circuits) > 1:
            large = self._with_much(found.circuits, offers)
            if len(large) < len(found.circuits):
                found = divide(offers, large, objective, divisible=divisible, horizon=horizon)
        if isinstance(found, Shares):
            return self._of_lot(found, lot, load, offers)
        read = found.read
        return replace(found, read=lambda answer: self._of_lot(read(answer), lot, load, offers))

    def _one_a_machine(self, members: list[str], offers: Offers) -> list[str]:
        """Leave one member of each machine, the best: who shares one gains no time from the others.

        A policy that looks at no time has other reasons to share work out, and keeps all.
        """
        machines = offers.estimator.sort_by_machine(members)
        if len(machines) == len(members) or "run_seconds" not in self.policy.minimize.uses:
            return members
        one, key = offers.waiting.part(1 / offers.waiting.circuits), self.policy.minimize.key

        def value(member: str) -> tuple[float, ...]:
            # Who has had less of the run is no better for it, or it would change hands with each plan.
            return key(replace(offers(member, one), work_assigned=0.0))

        return [min(sharers, key=value) for sharers in machines]

    def _of_lot(self, shares: Shares, lot: Lot, load: Load, offers: Offers) -> Shares:
        """Return what of the shares in what waits are those in a lot."""
        circuits = shares.circuits
        if offers.waiting is not load:
            circuits = self._cut_out(circuits, lot.barred, offers)
        if self.backlog.divides_rows:
            circuits = in_whole_shots(circuits, load)
        return Shares(circuits, shares.jobs)

    def _cut_out(
        self, shares: Mapping[str, float], barred: Barred, offers: Offers
    ) -> dict[str, float]:
        """Cut the shares of one class out of those of all that waits.

        The members lie in a row, each as long as its share, and the classes lie beside them, so that a small
        class goes to one member or two, and is not ground to crumbs for all.
        """
        begin = 0.0
        for one, waiting in self.backlog.classes.items():
            if one == barred:
                end = begin + waiting.circuits
                break
            begin += waiting.circuits
        cut, at = {}, 0.0
        for member in sorted(shares, key=offers.wait_seconds, reverse=True):
            inside = min(end, at + shares[member]) - max(begin, at)
            if inside > ROUNDING:
                cut[member] = inside
            at += shares[member]
        return cut

    def _with_much(self, shares: Mapping[str, float], offers: Offers) -> list[str]:
        """List the members but those with little to do without whom the run is hardly longer.

        Whoever can begin first is none of those: others may be busy for longer than is known.
        """
        estimator, load = self.estimator, offers.waiting
        waits = {member: offers.wait_seconds(member) for member in shares}
        seconds = {
            member: estimator.span_seconds(member, load.part(share / load.circuits))
            for member, share in shares.items()
        }
        longest = max(waits[member] + seconds[member] for member in shares)
        whole = offers.now - self.began + longest
        rates = {one: shares[one] / each if each else math.inf for one, each in seconds.items()}
        first = min(shares, key=waits.__getitem__)
        later = [member for member in shares if member != first]
        small, dropped, rate = set[str](), 0.0, sum(rates.values())
        for member in sorted(later, key=seconds.__getitem__):
            dropped, rate = dropped + shares[member], rate - rates[member]
            if not dropped <= _SMALL * whole * rate:
                break
            small.add(member)
        return [member for member in shares if member not in small]


def in_whole_shots(shares: Mapping[str, float], load: Load) -> dict[str, float]:
    """Round shares of divided circuits to whole shots that are as many in all as before.

    Of less than a shot no job can be made: by no rounding of each alone would all be given out.
    """
    shots = load.circuit_shots / load.circuits
    whole = {member: math.floor(share * shots + ROUNDING) for member, share in shares.items()}
    left = round(sum(shares.values()) * shots) - sum(whole.values())
    nearest = sorted(shares, key=lambda member: whole[member] - shares[member] * shots)
    for member in nearest[: max(0, left)]:
        whole[member] += 1
    return {member: count / shots for member, count in whole.items() if count}
