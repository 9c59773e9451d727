"""How a run stands: what flies, what was given up, and what it has used of its allowances.

The parts of the scheduler share this, and change it; it decides nothing itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.assignment import Dealer
from qiskit_gateway.scheduling.backlog import Barred
from qiskit_gateway.scheduling.flight import Flight
from qiskit_gateway.scheduling.members.health import Health
from qiskit_gateway.scheduling.members.spending import Purse
from qiskit_gateway.scheduling.members.state import Standing
from qiskit_gateway.work.remaining import GivenUp
from qiskit_gateway.work.tasks import Piece, Shard, Task


@dataclass(slots=True, kw_only=True)
class RunState:
    """How one run stands.

    Attributes:
        tasks: The work.
        policy: The rules.
        standings: What is known of the members; shared with other runs.
        health: Their breakers.
        purse: What may be spent.
        planner: How much of what waits each member should take.
        dealer: What waits, and who gets it.
        settled: Whether cuts and members are settled before anything runs.
        flights: What is in flight, by number.
        causes: Where pieces failed or were refused, and why.
        given_up: What will not be done.
        first_tries: Attempts that were the first of their shard.
        retries: Attempts that were not.
        broke: The members whose budgets have no room for what waits, as of the last look.
        sent: Whether a provider has taken anything.
        stopped: Why the run was stopped, or ``""``.
        down_since: Since when no member has been usable.
    """

    tasks: Sequence[Task]
    policy: Policy
    standings: dict[str, Standing]
    health: Health
    purse: Purse
    planner: Planner
    dealer: Dealer
    settled: bool = False
    flights: dict[int, Flight] = field(default_factory=dict)
    causes: list[tuple[Piece, str, str]] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)
    first_tries: int = 0
    retries: int = 0
    broke: set[str] = field(default_factory=set)
    sent: bool = False
    stopped: str = ""
    down_since: float | None = None

    @property
    def against(self) -> dict[str, tuple[str, ...]]:
        """Return why members could not take some of the work, by member."""
        found: dict[str, dict[str, None]] = {}
        for task in self.tasks:
            for member, reason in task.refusals.items():
                found.setdefault(member, {})[reason] = None
        for verdicts in self.planner.verdicts.values():
            for member, verdict in verdicts.items():
                found.setdefault(member, {})[verdict.reason] = None
        for member, reason in [*((m, r) for _, m, r in self.causes), *self.health.lost.items()]:
            found.setdefault(member, {})[reason] = None
        for member in self.health.ejected:
            found.setdefault(member, {})["is left alone for a while, after failures"] = None
        return {member: tuple(reasons) for member, reasons in found.items()}

    def key(self, shard: int) -> tuple[int, int]:
        """Return the name of a shard that no shard of another run has."""
        return id(self), shard

    def slots(self, member: str, now: float) -> int:
        """Return how many more shards a member may be sent now."""
        admission = self.health.admits(member, now)
        if admission == "none" or member in self.broke:
            return 0
        standing, terms = self.standings[member], self.planner.estimator.profiles[member]
        if self.is_unchecked(member):
            return 0 if standing.in_flight else 1
        free = min(
            self.planner.estimator.free_slots(member, now),
            standing.submissions_left(terms.submissions_per_minute, now),
        )
        return max(0, min(free, 1) if admission == "one" else free)

    def is_unchecked(self, member: str) -> bool:
        """Return whether a member is to be checked first: until then it gets one shard."""
        return (
            bool(self.planner.estimator.profiles[member].check)
            and not self.standings[member].checked
        )

    def twin_of(self, flight: Flight) -> Flight | None:
        """Return the other shard in flight that carries the same pieces, if there is one."""
        return None if flight.twin is None else self.flights.get(flight.twin)

    def has_spare(self, flight: Flight) -> bool:
        """Return whether a shard has a second job in case it fails, or is that job."""
        twin = self.twin_of(flight)
        return twin is not None and (flight.spare or twin.spare)

    def fits(self, shard: Shard, member: str) -> bool:
        """Return whether a member can take a shard as it is."""
        terms, tasks = (
            self.planner.estimator.profiles[member],
            [self.tasks[one.task] for one in shard.pieces],
        )
        if any(member in task.refusals for task in tasks) or terms.min_shots > shard.shots:
            return False
        payload = sum(
            piece.rows * task.payload_bytes for piece, task in zip(shard.pieces, tasks, strict=True)
        )
        return (
            shard.circuits <= (terms.max_circuits or shard.circuits)
            and shard.shots <= (terms.max_shots or shard.shots)
            and payload <= (terms.max_payload_bytes or payload)
        )

    def leave_to_twin(self, flight: Flight, barred: Barred) -> bool:
        """Return whether the pieces of a shard that ended are another's business.

        Args:
            flight: The shard, no longer in flight.
            barred: Who must not take the pieces after that.
        """
        twin = self.twin_of(flight)
        if twin is None:
            if flight.surplus:
                flight.group = replace(flight.group, barred=barred)
            return flight.surplus
        # Whatever was claimed came to nothing: what the twin brings counts.
        twin.twin, twin.surplus, twin.spare = None, False, False
        twin.group = replace(twin.group, barred=barred)
        return True

    def land(self, index: int, now: float, *, ran: bool = True) -> Flight:
        """Take a shard out of the air, and give its slot back.

        Args:
            index: Its number.
            now: Seconds of the loop's clock.
            ran: Whether its member has perhaps worked on it.
        """
        flight = self.flights.pop(index)
        standing = self.standings[flight.member]
        # A member works on one job after the other, so this one had it since the last one ended,
        # or since its turn in the queue came. Where jobs overlap, that is what they take of it.
        turn = flight.submitted
        if flight.queued_until is not None:
            turn = flight.queued_until
        elif standing.wait_read:  # What was learned from other jobs says nothing of this one.
            turn = min(now, turn + standing.queue_seconds)
        flight.seconds = now - max(turn, standing.busy_since)
        standing.release(self.key(index), now, ran=ran)
        return flight

    def candidates(self, barred: Barred) -> list[str]:
        """Return the members that may take such work, now or when they are well again."""
        lost = self.health.lost
        return [name for name in self.standings if name not in barred and name not in lost]

    def may_go(self, barred: Barred) -> bool:
        """Return whether any member may take such work, now or when it is well again."""
        lost = self.health.lost
        return any(name not in barred and name not in lost for name in self.standings)

    def may_wait(self, barred: Barred) -> bool:
        """Return whether such work should wait for a member that did not fail at it.

        Not for one that is ill while one is well that may have failed by accident.
        """
        if not self.may_go(barred):
            return False
        ill = self.health.ill
        if not barred.tried or not ill or any(name not in ill for name in self.candidates(barred)):
            return True
        again = self.candidates(replace(barred, tried=frozenset()))
        return all(name in ill for name in again)

    def forgive(self, member: str) -> None:
        """Let a member that is well again have what it failed at before."""
        self.dealer.backlog.forgive(member)
        for flight in self.flights.values():
            barred = flight.group.barred
            if member in barred.tried:
                barred = replace(barred, tried=barred.tried - {member})
                flight.group = replace(flight.group, barred=barred)

    def may_retry(self) -> bool:
        """Return whether the run has a retry left."""
        most = self.policy.retry.max_failures_per_run
        if most is not None and self.retries >= most:
            return False
        return self.policy.retry.allows_retry(first_tries=self.first_tries, retries=self.retries)

    def count_retry(self) -> bool:
        """Use up a retry; return whether there was one."""
        allowed = self.may_retry()
        self.retries += 1
        return allowed

    def give_up(self, piece: Piece, why: str = "") -> None:
        """Note that a piece will not be done, with every reason that is known."""
        task = self.tasks[piece.task]
        why = why or self.stopped
        reasons = dict(self.health.lost) | dict(task.refusals)
        for failed, member, reason in self.causes:
            same = failed.task == piece.task
            if same and failed.row_start < piece.row_stop and piece.row_start < failed.row_stop:
                reasons[member] = reason
        if why:
            reasons[""] = why
        self.given_up.append(GivenUp(piece=piece, pub=task.group, reasons=reasons))

    def give_up_waiting(self, why: str) -> None:
        """Give up all that waits."""
        for piece, _ in self.dealer.waiting():
            self.give_up(piece, why)
        self.dealer.clear()

    def see_to_refused(self, barred: Barred, verdicts: Mapping[str, Verdict]) -> bool:
        """See to work that the policy's filters refuse everywhere, and not only for now.

        Returns:
            Whether it goes on: those who failed at it by accident are asked again.
        """
        candidates = self.candidates(barred)
        if any(name not in verdicts or verdicts[name].waits for name in candidates):
            return False
        never = barred.never.union(candidates)
        again = replace(barred, never=never, tried=frozenset())
        pieces = list(self.dealer.backlog.classes.pop(barred, ()))
        for piece in pieces:
            for name in candidates:
                self.causes.append((piece, name, verdicts[name].reason))
            if self.may_go(again):
                self.dealer.backlog.put(piece, again)
            else:
                self.give_up(piece)
        return bool(pieces) and self.may_go(again)
