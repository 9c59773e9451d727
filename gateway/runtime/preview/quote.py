"""Quote a run before anything is sent: its price, its times, and which member runs what."""

import math
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import anyio

from qiskit_gateway.backends.circuits.estimates import Estimate
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.simulation.simulated_member import SimulatedMember
from qiskit_gateway.display.tables import Remark, render_html, render_text
from qiskit_gateway.display.units import number, span, usd
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.reporting.explanation import Explanation
from qiskit_gateway.reporting.pictures import QuotedMember, draw_quote
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.preview.dry_run import (
    Answers,
    Prospect,
    Rehearsal,
    ask_members,
    ask_prices,
    estimate_speeds,
    read_queues,
    rehearse,
)
from qiskit_gateway.runtime.survey import allotment_of
from qiskit_gateway.scheduling.members.state import FleetState, MemberState
from qiskit_gateway.work.record.plan_record import PlanRecord
from qiskit_gateway.work.record.remaining import GivenUp
from qiskit_gateway.work.speed_estimate import SpeedEstimate, SpeedSource
from qiskit_gateway.work.workload import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Speed = Literal["simulated", "learned", "journal", "told", "durations", "peers", "assumed"]
_CALLED: dict[SpeedSource, Speed] = {
    "seen": "learned",
    "journal": "journal",
    "told": "told",
    "durations": "durations",
    "peers": "peers",
    "guess": "assumed",
}

_HEAD = ("member", "jobs", "circuits", "shots", "USD", "starts in", "done in", "fidelity")
_MOST_LINES = 5
_SAID = {
    "told": "times are as told beforehand",
    "journal": "times are as the journal recorded them",
    "durations": "a shot takes what the durations of the circuits say",
    "peers": "times are those of others of the same provider",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowanceUse:
    """Expected use of a member's allowance, in the allowance's own unit.

    Attributes:
        units: What its jobs take.
        left: What is left then.
        amount: What there is in each period.
        unit: What the units are called.
    """

    units: float
    left: float
    amount: float
    unit: str

    def __str__(self) -> str:
        """Return it as one line."""
        return (
            f"takes {self.units:.6g} of the {self.amount:.10g} {self.unit} that are free, and "
            f"leaves {self.left:.6g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberQuote:
    """The part of one member in a quoted run; times in seconds from now.

    Attributes:
        member: Its name.
        jobs: Jobs that it would be sent.
        circuits: Circuits in them.
        shots: Shots, summed over circuits.
        price_usd: What they are expected to cost, in USD.
        price_told: Whether the provider has said so of each, and not its tariff.
        start_seconds: When the first begins to run; ``None`` without jobs.
        finish_seconds: When the last is done; ``None`` without jobs.
        fidelity: Expected fidelity of a shot there, on average over the circuits of the run, if
            known.
        speed: Where its times come from: a ``"simulated"`` member's own model, speed ``"learned"``
            from its jobs, or from those that the ``"journal"`` recorded, speed that was ``"told"``,
            ``"durations"`` of its gates, what its ``"peers"`` of the same provider take, or
            ``"assumed"`` where nothing is known.
        estimate: What the plan went by: how long its jobs are expected to run.
        reasons: Why it takes no part, or not in all of the work.
        allowance: What would be used of its allowance, if it has one.
    """

    member: str
    jobs: int = 0
    circuits: int = 0
    shots: int = 0
    price_usd: float = 0.0
    price_told: bool = False
    start_seconds: float | None = None
    finish_seconds: float | None = None
    fidelity: float | None = None
    speed: Speed = "assumed"
    estimate: SpeedEstimate | None = None
    reasons: tuple[str, ...] = ()
    allowance: AllowanceUse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The expected course of a run, found by the scheduler that real runs use. Nothing was sent.

    Attributes:
        members: What each member would do, in the order of the fleet.
        price_usd: What all of it is expected to cost, in USD.
        makespan_seconds: When all of it would be done, in seconds from now.
        circuits: Circuits that the run asks for.
        shots: Shots that it asks for, summed over circuits.
        not_done: What would not be done, and why: budget, deadline, or no member that may take it.
        notes: What there is to say of how the work was stated.
        plan: What the first plan gave each member, and what it knew of them.
    """

    members: tuple[MemberQuote, ...]
    price_usd: float
    makespan_seconds: float
    circuits: int
    shots: int
    not_done: tuple[GivenUp, ...] = ()
    notes: tuple[str, ...] = ()
    plan: PlanRecord = field(default_factory=PlanRecord, compare=False)

    def __getitem__(self, member: str) -> MemberQuote:
        """Look up the share of one member.

        Raises:
            KeyError: If there is none of that name.
        """
        for one in self.members:
            if one.member == member:
                return one
        raise KeyError(
            f"no member {member!r}; there are {', '.join(m.member for m in self.members)}"
        )

    @property
    def jobs(self) -> int:
        """Number of jobs that would be sent."""
        return sum(member.jobs for member in self.members)

    @property
    def shots_not_done(self) -> int:
        """Number of shots that would not be done."""
        return sum(given_up.piece.circuit_shots for given_up in self.not_done)

    def why(self) -> Explanation:
        """Explain what the first plan gave each member: the numbers that decided, and why some got nothing."""
        return Explanation(
            plan=self.plan,
            done={one.member: one.circuits for one in self.members},
            reasons={one.member: one.reasons for one in self.members},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the quote as plain data, fit for JSON."""
        return {
            "price_usd": self.price_usd,
            "makespan_seconds": self.makespan_seconds,
            "jobs": self.jobs,
            "circuits": self.circuits,
            "shots": self.shots,
            "shots_not_done": self.shots_not_done,
            "members": [
                {**asdict(member), "reasons": list(member.reasons)} for member in self.members
            ],
            "not_done": [
                {
                    "pub": given_up.pub,
                    "rows": [given_up.piece.row_start, given_up.piece.row_stop],
                    "shots": given_up.piece.shots,
                    "reasons": dict(given_up.reasons),
                }
                for given_up in self.not_done
            ],
            "notes": list(self.notes),
        }

    def draw(self) -> "Figure":
        """Draw when each member would wait and work, beside what it would cost.

        Returns:
            A matplotlib figure; a notebook shows it, and ``savefig(path)`` writes it.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        members = [
            QuotedMember(
                name=one.member,
                start_seconds=one.start_seconds or 0.0,
                finish_seconds=one.finish_seconds or 0.0,
                price_usd=one.price_usd,
                text=f"{number(one.circuits)} circuits in {number(one.jobs)} jobs",
            )
            for one in self.members
        ]
        lost = f", {number(self.shots_not_done)} shots not done" if self.not_done else ""
        title = f"quote: {usd(self.price_usd)}, done in {span(self.makespan_seconds)}{lost}"
        return draw_quote(members, title)

    def __str__(self) -> str:
        """Return a table of the members, the total, and below it what the run may fail of."""
        return render_text([_HEAD, *self._rows()], self._remarks())

    def _repr_html_(self) -> str:
        return render_html([_HEAD, *self._rows()], self._remarks())

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for one in self.members:
            yield (
                one.member,
                *_format_amounts(one.jobs, one.circuits, one.shots, one.price_usd),
                span(one.start_seconds),
                span(one.finish_seconds),
                "?" if one.fidelity is None else f"{one.fidelity:.3f}",
            )
        circuits, shots = (
            sum(getattr(m, what) for m in self.members) for what in ("circuits", "shots")
        )
        done = span(self.makespan_seconds)
        yield ("total", *_format_amounts(self.jobs, circuits, shots, self.price_usd), "", done, "")

    def _remarks(self) -> Iterator[Remark]:
        undone = self.not_done[:_MOST_LINES]
        if undone:
            places = [_describe_not_done(given_up) for given_up in undone]
            more = _note_rest(len(self.not_done), "pieces")
            text = f"not done: {self.shots_not_done} of {self.shots} shots"
            yield Remark(text, (*dict.fromkeys(places), *more))
        known = {(name, why) for given_up in undone for name, why in given_up.reasons.items()}
        for one in self.members:
            reasons = [reason for reason in one.reasons if (one.member, reason) not in known]
            yield from _list_reasons(one.member, reasons)
        yield from (
            Remark(f"{one.member}: {one.allowance}") for one in self.members if one.allowance
        )
        for source, text in _SAID.items():
            whose = [m.member for m in self.members if m.jobs and m.speed == source]
            if whose:
                yield Remark(f"{text}: {', '.join(whose)}")
        told = [m.member for m in self.members if m.price_told]
        if told:
            yield Remark(f"prices are the provider's own estimate: {', '.join(told)}")
        assumed = [m.member for m in self.members if m.jobs and m.speed == "assumed"]
        if assumed:
            names = ", ".join(assumed)
            yield Remark(f"times are a guess: nothing is known of the speed of {names}")
        yield from map(Remark, self.notes)


def quote_run(fleet: Fleet, policy: Policy, work: Work, *, exact: bool = False) -> Quote:
    """Forecast a run. This blocks until the forecast is made, and sends nothing.

    Args:
        fleet: The members. What is known of them is not changed.
        policy: The rules.
        work: What to do, prepared for the fleet.
        exact: Whether providers are asked what the jobs would cost.
    """
    answers = ask_members(fleet, work, fleet.names, seconds=policy.submit_seconds)
    prospect = replace(_snapshot(fleet), answers=answers, wall=time.time())
    read_queues(fleet, prospect, policy)
    rehearsal = rehearse(fleet, policy, work, prospect, seed=0)
    if exact:
        prices = ask_prices(fleet, rehearsal, work, seconds=policy.submit_seconds)
        prospect = replace(prospect, prices=prices)
        rehearsal = rehearse(fleet, policy, work, prospect, seed=0)
    return _build_quote(rehearsal, fleet, work, prospect)


def _snapshot(fleet: Fleet) -> Prospect:

    def copy_state() -> Prospect:
        known = fleet.keep(FleetState)
        fleet_state = FleetState()
        known.copy_into(fleet_state)
        origins = {one.name: one.origin() for one in fleet if isinstance(one, SimulatedMember)}
        return Prospect(
            fleet_state=fleet_state,
            models={name: deepcopy(known.members.get(name, MemberState())) for name in fleet.names},
            origins=origins,
            # A full second, so that members are not told apart by how times are rounded, and a quote
            # that is asked for again is the same.
            now=float(math.ceil(anyio.current_time())),
        )

    # In the loop in which all runs live, where nothing changes it meanwhile.
    return ENGINE.call(copy_state)


def _build_quote(rehearsal: Rehearsal, fleet: Fleet, work: Work, prospect: Prospect) -> Quote:
    run = rehearsal.run
    assert run.ended is not None  # noqa: S101
    view = run.view
    against = view.reasons_against
    speeds = estimate_speeds(fleet, work, prospect)
    return Quote(
        members=tuple(
            replace(
                _quote_member(rehearsal, member, work, prospect, against.get(member.name, ())),
                speed="simulated"
                if isinstance(member, SimulatedMember)
                else _CALLED[speeds[member.name].source],
                estimate=speeds[member.name],
            )
            for member in fleet
        ),
        price_usd=sum(attempt.price_usd for attempt in run.record),
        makespan_seconds=run.seconds,
        circuits=sum(task.rows for task in work.tasks),
        shots=sum(task.rows * task.shots for task in work.tasks),
        not_done=run.ended.given_up,
        notes=work.notes,
        plan=view.plan,
    )


def _quote_member(
    rehearsal: Rehearsal,
    member: FleetMember,
    work: Work,
    prospect: Prospect,
    reasons: Sequence[str],
) -> MemberQuote:
    mine = [one for one in rehearsal.run.record if one.member == member.name]
    done = [one for one in mine if one.outcome.delivered]
    said = prospect.answers.get(member.name, {}).values()
    refused = (one.reasons[0] for one in said if isinstance(one, Refused))
    starts = [rehearsal.find_start_seconds(one) for one in done]
    return MemberQuote(
        member=member.name,
        jobs=len(done),
        circuits=sum(one.circuits for one in done),
        shots=sum(one.circuits * one.shots for one in done),
        price_usd=sum(one.price_usd for one in mine),
        price_told=bool(done) and all(one.charged for one in done),
        start_seconds=min(starts, default=None),
        finish_seconds=max((one.finished_seconds or 0.0 for one in done), default=None),
        fidelity=_average_fidelity(member, work, prospect.answers),
        reasons=tuple(dict.fromkeys([*reasons, *refused])),
        allowance=_sum_allowance_use(rehearsal, member, prospect),
    )


def _sum_allowance_use(
    rehearsal: Rehearsal, member: FleetMember, prospect: Prospect
) -> AllowanceUse | None:
    allotment = allotment_of(member)
    if allotment is None:
        return None
    run = rehearsal.run
    pot = rehearsal.fleet.keep(FleetState).pots[allotment.name]
    return AllowanceUse(
        units=sum(one.free_units for one in run.record if one.member == member.name),
        left=pot.left(prospect.wall + run.seconds),
        amount=allotment.amount,
        unit=allotment.unit,
    )


def _average_fidelity(member: FleetMember, work: Work, answers: Answers) -> float | None:
    if member.fidelity is not None:
        return member.fidelity
    told = answers.get(member.name, {})
    total, shots = 0.0, 0
    for task, program in zip(work.tasks, work.programs, strict=True):
        answer = told.get(id(program))
        fidelity = answer.fidelity if isinstance(answer, Estimate) else None
        if fidelity is not None:
            total += fidelity * task.rows * task.shots
            shots += task.rows * task.shots
        elif isinstance(answer, Estimate):
            return None
    return total / shots if shots else None


def _format_amounts(jobs: int, circuits: int, shots: int, usd: float) -> tuple[str, str, str, str]:
    return str(jobs), str(circuits), str(shots), f"{usd:.4f}"


def _describe_not_done(given_up: GivenUp) -> Remark:
    reasons = [f"{name}: {why}" if name else why for name, why in given_up.reasons.items()]
    return Remark(given_up.place, tuple(map(Remark, reasons)))


def _list_reasons(member: str, reasons: Sequence[str]) -> Iterator[Remark]:
    """Yield the reasons why a member takes no part, on one line if there is only one."""
    if len(reasons) == 1:
        yield Remark(f"{member}: {reasons[0]}")
    elif reasons:
        told = tuple(map(Remark, reasons[:_MOST_LINES]))
        yield Remark(member, (*told, *_note_rest(len(reasons), "reasons")))


def _note_rest(count: int, what: str) -> Iterator[Remark]:
    if count > _MOST_LINES:
        yield Remark(f"and {count - _MOST_LINES} {what} more")
