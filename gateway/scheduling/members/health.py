"""Which members of a fleet may be sent work: the breakers, seen from a run."""

import math
from collections.abc import Iterable

from qiskit_gateway.policies.breaker import (
    Admission,
    BreakerPolicy,
    BreakerState,
    admits,
    drop_probe,
    follow_ejection,
    may_eject,
    poll,
    record_failure,
    record_probe,
    record_success,
    spare,
)
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.events import (
    Command,
    EjectedElsewhere,
    FleetDown,
    MemberEjected,
    MemberRecovered,
    RecoveredElsewhere,
)
from qiskit_gateway.scheduling.members.state import FleetState

_NOBODY: frozenset[str] = frozenset()
_LOST = (
    "in another run its credentials were refused, it took no jobs, or its results could not be read"
)


class Health:
    """The breakers of the members that a run may use.

    The states are the fleet's, shared by all runs over it; this only applies the policy to them.

    Args:
        members: Their names, in the fleet's order.
        fleet_state: What is known of the fleet.
        policy: The rules.
        probe_seconds: How long a probe may keep others waiting while no member is healthy.

    Attributes:
        lost: The members that are out for the rest of the run, and why: credentials, results
            that nobody can read, or that they take nothing any more.
    """

    def __init__(
        self,
        members: Iterable[str],
        fleet_state: FleetState,
        policy: BreakerPolicy,
        probe_seconds: float,
    ) -> None:
        self._names = tuple(members)
        self._states = {name: fleet_state.of(name) for name in self._names}
        self._ejected = fleet_state.ejected
        self._unhealthy = fleet_state.unhealthy
        self._policy = policy
        self._probe_seconds = probe_seconds
        self._next_probe = -math.inf
        self._told_down = False
        self._usable = self._names
        self._known: frozenset[str] = frozenset()
        self.lost: dict[str, str] = {}

    def begin(self) -> None:
        """Give members that were given up for good in an earlier run another chance."""
        for name in self._ejected & self._states.keys():
            if self._states[name].breaker.until == math.inf:
                self._set(name, BreakerState(phase="half-open"))

    def usable(self, now: float) -> tuple[str, ...]:
        """Return the members that are not ejected, in the fleet's order.

        The same object as before, where nothing changed.
        """
        for name in self.ejected:
            self._set(name, poll(self._states[name].breaker, now))
            if self._states[name].breaker.until == math.inf:
                self.lost.setdefault(name, _LOST)
        if (ejected := self.ejected) != self._known:
            self._known = ejected
            self._usable = tuple(name for name in self._names if name not in ejected)
        return self._usable

    @property
    def ejected(self) -> frozenset[str]:
        """The members that get no work now."""
        return self._ours(self._ejected)

    @property
    def unhealthy(self) -> frozenset[str]:
        """The members that are ejected, or have not done a shard since they were."""
        return self._ours(self._unhealthy)

    def _ours(self, members: set[str]) -> frozenset[str]:
        # Nearly always none, and asked for with every event.
        return frozenset(members & self._states.keys()) if members else _NOBODY

    def admits(self, member: str, now: float) -> Admission:
        """Return the amount of work that a member may be sent now.

        While no member is healthy, one at a time is probed, unless a probe does not come back.
        """
        admission = admits(self._states[member].breaker)
        if admission == "one" and now < self._next_probe and self._waits_for_a_probe:
            return "none"
        return admission

    def healthy(self, now: float) -> list[str]:
        """Return the members that may be sent as much as they take, in the fleet's order."""
        return [name for name in self.usable(now) if self.admits(name, now) == "all"]

    @property
    def _waits_for_a_probe(self) -> bool:
        breakers = [state.breaker for state in self._states.values()]
        return all(one.phase != "closed" for one in breakers) and any(
            one.probing for one in breakers
        )

    def note_sent(self, member: str, now: float) -> None:
        """Note that a shard was sent."""
        before = self._states[member].breaker
        if before.phase == "half-open":
            self._next_probe = now + self._probe_seconds
        self._set(member, record_probe(before))

    def note_success(self, member: str, now: float) -> Iterable[Command]:
        """Note that a shard came back well."""
        before = self._states[member].breaker
        self._states[member].well_at = now
        self._states[member].judge(failed=False)
        after = record_success(before, self._policy)
        self._set(member, after)
        self._told_down = False
        if before.phase == "half-open" and after.phase == "closed":
            yield MemberRecovered(member=member)

    def end_probe(self, member: str) -> None:
        """Note that a shard ended in a way that says nothing of the member's health."""
        self._set(member, drop_probe(self._states[member].breaker))

    def note_failure(
        self, member: str, failure: Failure, reason: str, now: float
    ) -> Iterable[Command]:
        """Note that a shard failed."""
        before = self._states[member].breaker
        known = self._states[member]
        # What is the caller's fault is no trouble of the member's, but that it refuses credentials.
        blamed = failure.fault != "caller" or failure.authentication
        known.judge(failed=True, trouble=reason if blamed else known.trouble)
        after = record_failure(before, failure, self._policy, now)
        newly = after.phase == "open" and before.phase != "open"
        if before.phase == "closed" and newly and not self._may_eject():
            # Spared once: it is probed before it is ejected beyond the share of the fleet.
            after = spare(after)
        if after.until == math.inf and before.until != math.inf:
            self.lost[member] = reason
        self._set(member, after)
        if newly and after.phase == "open":
            yield MemberEjected(member=member, until=after.until, reason=reason)
        if not self._told_down and len(self.unhealthy) == len(self._names):
            self._told_down = True
            yield FleetDown(reason=reason)

    def follow(self, event: EjectedElsewhere | RecoveredElsewhere, now: float) -> Iterable[Command]:
        """Note what another process has found of a member.

        One that it has ejected is ejected here, unless it has done a shard of ours since. One that
        it found well may show that here, too.
        """
        known = self._states.get(event.member)
        if known is None:
            return
        if isinstance(event, RecoveredElsewhere):
            self._set(event.member, spare(known.breaker))
            return
        if event.until <= now or known.well_at > event.since:
            return
        after = follow_ejection(known.breaker, event.until)
        if after is known.breaker:
            return
        known.trouble = event.reason
        after = after if self._may_eject() else spare(after)
        self._set(event.member, after)
        if after.phase == "open":
            yield MemberEjected(
                member=event.member, until=after.until, reason=event.reason, elsewhere=True
            )

    def _may_eject(self) -> bool:
        return may_eject(len(self.ejected), len(self._names), self._policy)

    def next_opening(self, now: float) -> float:
        """Return the time at which the next member may be let in again; infinity if none ever is."""
        untils = [self._states[name].breaker.until for name in self.ejected]
        if now < self._next_probe and self._waits_for_a_probe:
            untils.append(self._next_probe)
        return min(untils, default=math.inf)

    def _set(self, member: str, state: BreakerState) -> None:
        self._states[member].breaker = state
        (self._ejected.add if state.phase == "open" else self._ejected.discard)(member)
        (self._unhealthy.discard if state.phase == "closed" else self._unhealthy.add)(member)
