"""The state of each member of a fleet, which outlives every run over it.

Plain data, changed by the schedulers of all runs over the fleet, all of which live in one event
loop: slots in flight, health, learned speed, queue readings.
"""

import math
from collections import deque
from collections.abc import Container
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from math import isfinite

from qiskit_gateway.policies.breaker import BreakerState, drop_probe
from qiskit_gateway.policies.budget import settle
from qiskit_gateway.scheduling.members.allowances import Pot
from qiskit_gateway.scheduling.members.fair_queue import FairQueue
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.spending import Account
from qiskit_gateway.work.tasks import NO_LOAD, Load

_MINUTE = 60.0
_RECENT_JOBS = 20
# How long a member that took no more jobs at once is not tried with more.
_FULL_SECONDS = 60.0
_MANY = 1 << 30
# How much the newest wait counts against all before it.
_NEWEST = 0.5


@dataclass(slots=True)
class MemberState:
    """The state of one member.

    Attributes:
        in_flight: The size of each job of ours there, by a key that no other job has.
        turns: When the turn of each was expected to come, its queue waited out.
        load: The sizes of those jobs together.
        busy_since: Since when it has worked on the first of them: when the last one ended, or this
            one was handed over, in seconds of the loop's clock.
        speed: What its jobs taught.
        breaker: Its health.
        failure_rate: Share of its recent jobs that failed, in [0, 1].
        queue_seconds: How long a job waits behind those of others, as last read, or as learned
            from jobs of ours where it cannot be read.
        pending_jobs: How many jobs of others are queued, as last read; ``None`` where that was never
            told.
        ahead: How many jobs more are queued there that were ours, in a copy where they are those of
            others, and no reading counts them.
        read_at: When that was, in seconds of the loop's clock.
        wait_read: Whether the wait was ever read.
        asked_at: When it was last tried to read its queue, with whatever outcome.
        learned_at: When the wait was last learned from a job of ours.
        watched_at: When such a job was last sent that is looked at while it waits.
        most_at_once: How many jobs of ours it had as it took no more; ``None`` if it never said so.
        opens_at: From when on it may be tried with one more; infinity where it never said so.
        quiet_until: Until when it asked to be left alone, as it said so.
        elsewhere: How many jobs other processes have there, where they share a limit with this one.
        submissions: When the jobs of the last minute were handed over, oldest first.
        trouble: What its last failure was, unless it has done a job since.
        well_at: When it last did a job.
    """

    in_flight: dict[object, Load] = field(default_factory=dict)
    turns: dict[object, float] = field(default_factory=dict)
    load: Load = NO_LOAD
    busy_since: float = 0.0
    speed: Speed = field(default_factory=Speed)
    breaker: BreakerState = field(default_factory=BreakerState)
    failure_rate: float = 0.0
    queue_seconds: float = 0.0
    pending_jobs: float | None = None
    ahead: int = 0
    read_at: float = -math.inf
    wait_read: bool = False
    asked_at: float = -math.inf
    learned_at: float = -math.inf
    watched_at: float = -math.inf
    most_at_once: int | None = None
    opens_at: float = math.inf
    quiet_until: float = -math.inf
    elsewhere: int = 0
    submissions: deque[float] = field(default_factory=deque)
    trouble: str = ""
    well_at: float = -math.inf

    def take(self, key: object, load: Load, now: float) -> None:
        """Note that a job was handed over."""
        if not self.in_flight:
            self.busy_since = now
        self.in_flight[key] = load
        self.turns[key] = now + self.queue_seconds
        self.load = self.load.plus(load)
        self.submissions.append(now)

    def take_again(self, key: object, now: float) -> None:
        """Note that a job that failed was handed over anew: it is the last in line."""
        self.in_flight[key] = self.in_flight.pop(key)
        del self.turns[key]
        self.turns[key] = now + self.queue_seconds
        self.busy_since = now

    def worked_seconds(self, now: float) -> float:
        """Return the time worked on the jobs in flight; negative before the first one's turn."""
        turn, since = next(iter(self.turns.values()), now), self.busy_since
        return now - (since if since > turn else turn)  # noqa: FURB136  It is asked for all the time.

    def alone(self) -> "MemberState":
        """Return a copy in which the jobs in flight are those of others."""
        ours, told = len(self.in_flight) + self.elsewhere, self.pending_jobs
        copied = deepcopy(self)
        copied.speed.take_fresh()  # The state that saw the jobs writes them down.
        return replace(
            copied,
            in_flight={},
            turns={},
            load=NO_LOAD,
            breaker=drop_probe(self.breaker),
            pending_jobs=None if told is None else told + ours,
            ahead=self.ahead + ours if told is None else 0,
            elsewhere=0,
        )

    def note_queue(
        self, wait_seconds: float | None, pending_jobs: float | None, now: float
    ) -> None:
        """Note a reading of its queue; ``None`` means unknown."""
        self.asked_at = now
        if wait_seconds is None and pending_jobs is None:
            # A member that could not be asked need not be idle: what was last read remains.
            return
        self.read_at, self.ahead = now, 0
        if wait_seconds is not None:
            self.queue_seconds = wait_seconds
            self.wait_read = True
        if pending_jobs is not None:
            self.pending_jobs = pending_jobs

    def learn_wait(self, least_seconds: float, most_seconds: float, now: float) -> None:
        """Learn how long a job of ours waited behind those of others, if that cannot be read.

        Args:
            least_seconds: So long its provider said that it waits.
            most_seconds: So long it took until it ran, or ended.
            now: Seconds of the loop's clock.
        """
        if self.wait_read:
            return
        seen = min(max(self.queue_seconds, least_seconds), most_seconds)
        share = _NEWEST if isfinite(self.learned_at) else 1.0
        self.queue_seconds += share * (seen - self.queue_seconds)
        self.learned_at = now

    @property
    def knows_wait(self) -> bool:
        """Whether how long a job waits was told in seconds, or learned."""
        return self.wait_read or isfinite(self.learned_at)

    def note_full(self, quiet_seconds: float, now: float) -> None:
        """Note that it takes no more jobs than it has of ours; one that was refused is released.

        Args:
            quiet_seconds: How long it asked to be left alone, in seconds.
            now: Seconds of the loop's clock.
        """
        self.most_at_once = max(1, len(self.in_flight))
        self.quiet_until = max(self.quiet_until, now + quiet_seconds)
        self.opens_at = max(self.quiet_until, now + (0.0 if quiet_seconds else _FULL_SECONDS))

    def jobs_left(self, now: float) -> int:
        """Count the further jobs it may hold at once, by its own reports."""
        if self.most_at_once is None:
            return _MANY
        if now < self.quiet_until:
            return 0
        if now >= self.opens_at:
            self.most_at_once, self.opens_at = self.most_at_once + 1, now + _FULL_SECONDS
        return self.most_at_once - len(self.in_flight)

    def judge(self, *, failed: bool, trouble: str = "") -> None:
        """Note how a job ended, and what its trouble was."""
        self.trouble = trouble
        self.failure_rate += (failed - self.failure_rate) / _RECENT_JOBS

    def submissions_left(self, per_minute: int | None, now: float) -> int:
        """Count the jobs that may be submitted now under a limit per minute."""
        while self.submissions and self.submissions[0] + _MINUTE <= now:
            self.submissions.popleft()
        return _MANY if per_minute is None else per_minute - len(self.submissions)

    def release(self, key: object, now: float, *, ran: bool = True) -> None:
        """Note that a job is over; a second release of one key does nothing.

        Args:
            key: The job.
            now: Seconds of the loop's clock.
            ran: Whether the member has worked on it.
        """
        first = key == next(iter(self.in_flight), None)
        load = self.in_flight.pop(key, None)
        if load is not None:
            del self.turns[key]
            # Exactly none when it is empty, whatever rounding has added up to.
            self.load = self.load.minus(load) if self.in_flight else NO_LOAD
            if ran or first:
                self.busy_since = now


@dataclass(slots=True)
class FleetState:
    """The state of all members of a fleet.

    Attributes:
        members: The states, by member.
        ejected: The members whose breakers are open.
        unhealthy: The members whose breakers are not closed.
        limited: The members that said once that they take no more jobs; see :meth:`note_full`.
        accounts: What was spent and is set aside, by identity of the budget.
        spent_usd: What each member's jobs are expected to have cost, under a budget or not.
        pots: What was used of members' allotments and is set aside, by name of the allotment.
        queue: The runs that wait, and what each has had.
    """

    members: dict[str, MemberState] = field(default_factory=dict)
    ejected: set[str] = field(default_factory=set)
    unhealthy: set[str] = field(default_factory=set)
    limited: set[str] = field(default_factory=set)
    accounts: dict[int, Account] = field(default_factory=dict)
    spent_usd: dict[str, float] = field(default_factory=dict)
    pots: dict[str, Pot] = field(default_factory=dict)
    queue: FairQueue = field(default_factory=FairQueue)

    def copy_into(self, other: "FleetState") -> None:
        """Make another state say the same; what then happens to either is nothing to the other.

        Nobody listens to the copy, and jobs in flight are there as pending ones, as if of others.
        """
        other.members = {name: state.alone() for name, state in self.members.items()}
        other.ejected, other.unhealthy = set(self.ejected), set(self.unhealthy)
        other.limited = set(self.limited)
        other.accounts = {
            key: Account(account.budget, account.ledger, count(_MANY))
            for key, account in self.accounts.items()
        }
        other.spent_usd = dict(self.spent_usd)
        other.pots = {name: pot.copy() for name, pot in self.pots.items()}

    def renew_in_child(self) -> None:
        """Go on in a forked child: the jobs in flight, and the runs that listen, are its parent's.

        What they are to cost counts as spent: the child never learns what it was.
        """
        own = FleetState()
        self.copy_into(own)
        for account in own.accounts.values():
            for reservation in account.ledger.reserved.values():
                account.ledger = settle(account.ledger, reservation, reservation.amount)
        for pot in own.pots.values():
            for key in list(pot.held):
                pot.settle(key)
        for name in self.__slots__:
            setattr(self, name, getattr(own, name))

    def of(self, member: str) -> MemberState:
        """Return the state of a member, making it where it was never seen."""
        state = self.members.get(member)
        if state is None:
            state = self.members[member] = MemberState()
        return state

    def note_full(self, member: str, quiet_seconds: float, now: float) -> None:
        """Note that a member takes no more jobs than it has of ours.

        Args:
            member: Which.
            quiet_seconds: How long it asked to be left alone, in seconds.
            now: Seconds of the loop's clock.
        """
        self.of(member).note_full(quiet_seconds, now)
        self.limited.add(member)

    def openings(self, members: Container[str]) -> list[float]:
        """List when those of these members that were full may be tried with one job more."""
        return [self.members[name].opens_at for name in self.limited if name in members]
