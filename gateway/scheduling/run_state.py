"""The state of one run: what flies, what was given up, and what it has used of its allowances."""

import heapq
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.assignment import Dealer
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.fair_queue import Flow
from qiskit_gateway.scheduling.members.health import Health
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.spending import Spending
from qiskit_gateway.scheduling.members.state import FleetState, MemberState
from qiskit_gateway.work.record.plan_record import PlanRecord
from qiskit_gateway.work.record.remaining import GivenUp
from qiskit_gateway.work.tasks import Piece, Shard, Task

# What was longer ago says less of how sure the next times are.
_SURPRISES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What is known of a run at one moment.

    Attributes:
        reasons_against: Why members could not take some of the work, by member.
        plan: What the first plan gave each member, and why.
    """

    reasons_against: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    plan: PlanRecord = field(default_factory=PlanRecord)


@dataclass(slots=True)
class Lookout:
    """The time at which each shard in flight is to be looked at again.

    Attributes:
        next_check: When it is next asked whether work waits where it should not, in seconds of the
            loop's clock.
        asks: Whether the last check asked for something back.
        spare_until: Until when enough waits for any member that no job at a member would end the run later.
    """

    next_check: float = -math.inf
    asks: bool = False
    spare_until: float = -math.inf
    # Shards that have ended are passed over when they come up.
    _recalls: list[tuple[float, int]] = field(default_factory=list)

    def add(self, at: float, shard: int) -> None:
        """Look at a shard at some time, unless that is never."""
        if at < math.inf:
            heapq.heappush(self._recalls, (at, shard))

    def pop_due(self, now: float) -> Iterator[int]:
        """Take out the shards whose time has come."""
        while self._recalls and self._recalls[0][0] <= now:
            yield heapq.heappop(self._recalls)[1]

    def next_recall(self, flights: Mapping[int, Flight]) -> float:
        """Find the time of the next look at a shard that still flies."""
        while self._recalls and self._recalls[0][1] not in flights:
            heapq.heappop(self._recalls)
        return self._recalls[0][0] if self._recalls else math.inf


@dataclass(frozen=True, slots=True)
class TopUp:
    """A second request to a member that delivered too few shots.

    Attributes:
        member: Where.
        came: How many shots came.
        share: The share of the shots asked for that this is.
        shots: Fewest shots to ask for now.
    """

    member: str
    came: int
    share: float
    shots: int


@dataclass(slots=True, kw_only=True)
class RunState:
    """The state of one run. Only the transitions in this package change it.

    Attributes:
        tasks: The work.
        policy: The rules.
        states: What is known of the members; shared with other runs.
        health: Their breakers.
        spending: What may be spent.
        planner: How much of what waits each member should take.
        dealer: What waits, and which member gets it.
        settled: Whether cuts and members are fixed before anything runs.
        next_shard: The number of the next shard.
        flights: What is in flight, by number.
        lookout: When to look at what flies.
        causes: Where pieces failed or were refused, and why, by task.
        top_ups: The pieces that a member came short of and is asked for again.
        given_up: What will not be done.
        first_tries: Attempts that were the first of their shard.
        retries: Attempts that were not.
        broke: The members whose budgets have no room for what waits, as of the last look.
        denied: Until when members get nothing more, for which all processes have no room together.
        denials: How often in a row each was denied.
        sent: Whether a provider has taken anything.
        stopped: Why the run was stopped, or ``""``.
        done: Whether the run is over.
        freed: The only member whose slots have changed since work was last given out; ``None`` for
            any.
        down_since: Since when no member has been usable.
        rated: The members that take no more than some submissions a minute.
        fleet: What is known of the whole fleet; shared with other runs.
        flow: This run among those that wait for members.
        held: The members where it has stepped back for others, since that was last taken.
        surprises: Of the last shards, the logarithm of the time they took over the expected one.
        estimator: The planner's estimates of time and cost on the members.
    """

    tasks: Sequence[Task]
    policy: Policy
    states: dict[str, MemberState]
    health: Health
    spending: Spending
    planner: Planner
    dealer: Dealer
    settled: bool = False
    next_shard: int = 0
    flights: dict[int, Flight] = field(default_factory=dict)
    lookout: Lookout = field(default_factory=Lookout)
    causes: dict[int, list[tuple[Piece, str, str]]] = field(default_factory=dict)
    top_ups: dict[Piece, TopUp] = field(default_factory=dict)
    given_up: list[GivenUp] = field(default_factory=list)
    first_tries: int = 0
    retries: int = 0
    broke: set[str] = field(default_factory=set)
    denied: dict[str, float] = field(default_factory=dict)
    denials: dict[str, int] = field(default_factory=dict)
    sent: bool = False
    stopped: str = ""
    done: bool = False
    freed: str | None = None
    down_since: float | None = None
    rated: Sequence[MemberProfile] = ()
    fleet: FleetState = field(default_factory=FleetState)
    flow: Flow = field(default_factory=Flow)
    held: set[str] = field(default_factory=set)
    surprises: deque[float] = field(default_factory=lambda: deque(maxlen=_SURPRISES))
    estimator: Estimator = field(init=False)

    def __post_init__(self) -> None:
        self.estimator = self.planner.estimator

    @property
    def is_through(self) -> bool:
        """Nothing waits or flies: the run is to end."""
        return not self.flights and self.dealer.empty

    @property
    def reasons_against(self) -> dict[str, tuple[str, ...]]:
        """Collect the reasons why members could not take some of the work, by member."""
        found: dict[str, dict[str, None]] = {}
        for member, reason in self._reasons():
            found.setdefault(member, {})[reason] = None
        return {member: tuple(reasons) for member, reasons in found.items()}

    def _reasons(self) -> Iterator[tuple[str, str]]:
        for task in self.tasks:
            yield from task.refusals.items()
        for verdicts in self.planner.verdicts.values():
            yield from ((member, verdict.reason) for member, verdict in verdicts.items())
        for causes in self.causes.values():
            yield from ((member, reason) for _, member, reason in causes)
        yield from self.health.lost.items()
        for member in self.health.ejected:
            yield member, "is left alone for a while, after failures"

    def note_cause(self, piece: Piece, member: str, reason: str) -> None:
        """Note why a piece did not come from a member."""
        self.causes.setdefault(piece.task, []).append((piece, member, reason))

    def key(self, shard: int) -> tuple[int, int]:
        """Name a shard as no shard of another run is named."""
        return id(self), shard

    def slots(self, member: str, now: float) -> int:
        """Count the further shards that a member may be sent now; none where it is the turn of others."""
        # Most often it is full, which is quickly found out.
        free = self.estimator.free_slots(member, now)
        if free <= 0 or member in self.broke or now < self.denied.get(member, now):
            return 0
        admission = self.health.admits(member, now)
        if admission == "none":
            return 0
        per_minute = self.estimator.profiles[member].submissions_per_minute
        known = self.states[member]
        free = min(free, known.submissions_left(per_minute, now), known.jobs_left(now))
        if free > 0 and self.fleet.queue.steps_back(self.flow, member):
            self.held.add(member)
            return 0
        return max(0, min(free, 1) if admission == "one" else free)

    def fits(self, shard: Shard, member: str) -> bool:
        """A member can take a shard as it is."""
        profile = self.estimator.profiles[member]
        tasks = [self.tasks[one.task] for one in shard.pieces]
        if any(member in task.refusals for task in tasks) or profile.min_shots > shard.shots:
            return False
        payload = sum(
            piece.rows * task.payload_bytes for piece, task in zip(shard.pieces, tasks, strict=True)
        )
        return (
            shard.circuits <= (profile.max_circuits or shard.circuits)
            and shard.shots <= (profile.max_shots or shard.shots)
            and shard.circuits * shard.shots
            <= (profile.max_executions or shard.circuits * shard.shots)
            and payload <= (profile.max_payload_bytes or payload)
        )

    def judges_health(self, flight: Flight) -> bool:
        """How a shard ends says something about its member's health.

        What was sent before an ejection says nothing of whether the member is healthy since.
        """
        return flight.probing or flight.member not in self.health.unhealthy

    def may_retry(self) -> bool:
        """The run has a retry left."""
        most = self.policy.retry.max_failures_per_run
        if most is not None and self.retries >= most:
            return False
        return self.policy.retry.allows_retry(first_tries=self.first_tries, retries=self.retries)

    def close(self, now: float) -> None:
        """Give back what the run holds of its fleet: it is over."""
        for index, flight in self.flights.items():
            self.states[flight.member].release(self.key(index), now)
        self.spending.close()
        self.fleet.queue.forget(self.flow)
        self.done = True
