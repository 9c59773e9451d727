"""Why each member got what it got: the first plan of a run, and the numbers that decided."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from qiskit_gateway.display.tables import Remark, render_html, render_text
from qiskit_gateway.display.units import span, usd
from qiskit_gateway.work.record.plan_record import Considered, PlanRecord

_HEAD = ("member", "planned", "done", "wait", "runs", "USD", "all alone", "USD", "known from")
# What differs by no more is equal: quotes and runs read different clocks.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the first plan gave each member, and why.

    A plan is made anew whenever more is known, so what was ``done`` may differ from what was planned.

    Attributes:
        plan: What was planned, and what was known of the members.
        done: Circuits that each member did, or would do, in the end.
        reasons: Why members could not take some of the work.
    """

    plan: PlanRecord
    done: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, member: str) -> Considered:
        """Look up what was known of one member.

        Raises:
            KeyError: If there is none of that name.
        """
        for one in self.plan.members:
            if one.member == member:
                return one
        names = ", ".join(one.member for one in self.plan.members)
        raise KeyError(f"no member {member!r}; there are {names or 'none: nothing was planned'}")

    def because(self, member: str) -> str:
        """Say in a sentence why a member got what it got."""
        one, plan = self[member], self.plan
        refusals = [*dict.fromkeys([*filter(None, [one.reason]), *self.reasons.get(member, ())])]
        if refusals and not one.given.circuits:
            return "; ".join(refusals)
        if plan.usd_per_hour is None:
            return "the policy ranks members by other things than time and price"
        if one.given.circuits:
            return self._explain_given(one)
        return self._explain_refusal(one)

    def _explain_given(self, one: Considered) -> str:
        hour = self.plan.usd_per_hour
        if hour == 0:
            return f"nobody asks less for it: {usd(one.price_usd)}"
        ends = span(one.wait_seconds + one.run_seconds)
        if hour == math.inf:
            return f"it would be done in {ends}, and all of it in {span(self.plan.seconds)}"
        return f"with it all is done in {span(self.plan.seconds)}, its part in {ends}"

    def _explain_refusal(self, one: Considered) -> str:
        plan, hour = self.plan, self.plan.usd_per_hour
        assert hour is not None  # noqa: S101
        if hour == math.inf:
            if one.wait_seconds >= plan.seconds - _ROUNDING:
                return (
                    f"it could begin in {span(one.wait_seconds)}, when the others are done "
                    f"({span(plan.seconds)})"
                )
            return "the others are done hardly later without it"
        if one.alone_usd == math.inf:
            return "its tariff has no price for the work"
        if hour == 0:
            return f"all of it would cost {usd(one.alone_usd)} there, and {usd(plan.price_usd)} as planned"
        there, planned = (
            f"{usd(money)} and {span(seconds)}, together worth {usd(money + hour * seconds / 3600)}"
            for money, seconds in (
                (one.alone_usd, one.alone_seconds),
                (plan.price_usd, plan.seconds),
            )
        )
        return f"all of it there: {there}; as planned: {planned}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "usd_per_hour": self.plan.usd_per_hour,
            "seconds": self.plan.seconds,
            "price_usd": self.plan.price_usd,
            "members": [
                asdict(one)
                | {
                    "given": {"circuits": one.given.circuits, "shots": one.given.circuit_shots},
                    "done": self.done.get(one.member, 0),
                    "because": self.because(one.member),
                }
                for one in self.plan.members
            ],
        }

    def __str__(self) -> str:
        """Return a table of the members, and below it why each got what it got."""
        return render_text([_HEAD, *self._rows()], self._remarks())

    def _repr_html_(self) -> str:
        return render_html([_HEAD, *self._rows()], self._remarks(), footed=False)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for one in self.plan.members:
            part = one.given.circuits
            able = part or not (one.reason or self.reasons.get(one.member))
            yield (
                one.member,
                f"{part:.1f}".removesuffix(".0"),
                str(self.done.get(one.member, 0)),
                span(one.wait_seconds) if able else "-",
                span(one.run_seconds) if part else "-",
                f"{one.price_usd:.4f}" if part else "-",
                span(one.alone_seconds) if able else "-",
                f"{one.alone_usd:.4f}" if able and one.alone_usd < math.inf else "-",
                one.source,
            )

    def _remarks(self) -> Iterator[Remark]:
        hour = self.plan.usd_per_hour
        if hour is not None:
            worth = "more than any price" if hour == math.inf else usd(hour) if hour else "nothing"
            yield Remark(f"an hour of the run is worth {worth}")
        for one in self.plan.members:
            yield Remark(f"{one.member}: {self.because(one.member)}")
        if not self.plan.members:
            yield Remark("nothing was planned")
