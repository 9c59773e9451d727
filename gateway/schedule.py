"""The scheduler: which piece, which member, how much, and what after a failure.

It does no I/O. Events go in, instructions come out; it holds no task, thread, clock or logger, so
that it is tested as a table, and the same code serves runs, tests and simulation.

Rules:

* A piece is in exactly one place: waiting, in flight, done, or given up.
* A member's slot is taken when the instruction to submit is made, and released when the shard's
  end is handled, whatever end that is.
* Pieces that failed wait like any others, barred from the members that failed at them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qiskit_gateway.cutting import NOBODY, Backlog, Barred
from qiskit_gateway.dealing import Dealer, Group
from qiskit_gateway.events import (
    Cancel,
    Done,
    Event,
    Fetch,
    GivenUp,
    Instruction,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
    Stop,
    Submit,
    TryFailed,
    WakeAt,
)
from qiskit_gateway.health import Health
from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.purse import Purse
from qiskit_gateway.standing import FleetStanding
from qiskit_gateway.terms import Terms
from qiskit_gateway.unfinished import Flying, Left, Unfinished
from qiskit_gateway.workload import Load, Piece, Shard, Task

# A shard on a member that is not well is given up on after so many times what it was expected to
# take, and so many seconds more.
_OVERDUE_TIMES = 1.5
_OVERDUE_SECONDS = 10.0
_OVERDUE_UNSEEN_SECONDS = 300.0


@dataclass(slots=True)
class _Flight:
    """A shard in flight.

    Attributes:
        overdue: When it has taken so long that, if its member is ill, nobody waits for it any more.
        recalled: Whether it is being cancelled for that.
        seconds: How long its member worked on it, once that is known.
        retried: Whether it took more than one try, so that its time tells nothing of a speed.
        probing: Whether it was sent to find out whether its member is well again.
        adopted: Whether an earlier process sent it.
        price_usd: What it costs, where an earlier process sent it.
    """

    shard: Shard
    member: str
    group: Group
    submitted: float
    overdue: float
    recalled: bool = False
    seconds: float = 0.0
    retried: bool = False
    probing: bool = False
    adopted: bool = False
    price_usd: float = 0.0


@dataclass(slots=True)
class _Tally:
    """What a run has used of its allowances."""

    first_tries: int = 0
    retries: int = 0


class Scheduler:
    """One run's decisions.

    Args:
        tasks: The work.
        members: The terms of the members, in the fleet's order.
        policy: The rules.
        standing: What is known of the fleet; shared with other runs, and changed here.
        settled: Whether cuts and members are settled before anything runs, looking at nothing that
            depends on time, so that the same input gives the same shards.
        unfinished: What is left to do, where an earlier process began.
    """

    def __init__(  # noqa: PLR0913  The last is for runs that are taken up again.
        self,
        tasks: Sequence[Task],
        members: Sequence[Terms],
        policy: Policy,
        *,
        standing: FleetStanding,
        settled: bool = False,
        unfinished: Unfinished | None = None,
    ) -> None:
        self._tasks = tuple(tasks)
        self._policy = policy
        self._settled = settled
        terms = {member.name: member for member in members}
        self._standings = {name: standing.of(name) for name in terms}
        # The others are not looked at: that would cost every event in proportion to the fleet.
        self._rated = [term for term in members if term.submissions_per_minute is not None]
        self._health = Health(terms, standing, policy.breaker)
        self._purse = Purse(policy.budget, standing.ledgers)
        self._dealer = Dealer(
            terms=terms,
            standings=self._standings,
            policy=policy,
            backlog=Backlog(self._tasks, policy.spread),
        )
        self._flights: dict[int, _Flight] = {}
        self._causes: list[tuple[Piece, str, str]] = []
        self._given_up: list[GivenUp] = []
        self._tally = _Tally()
        self._next_shard = unfinished.next_shard if unfinished else 0
        self._sent = unfinished is not None
        self._unfinished = unfinished
        self._stopped = ""
        self._down_since: float | None = None
        self._deadline = math.inf
        self.done = False
        for left in self._whole if unfinished is None else unfinished.left:
            self._put(left)

    @property
    def _whole(self) -> Iterator[Left]:
        """Go through all the work of the run, as if nothing of it were done."""
        for task in self._tasks:
            if task.rows and task.shots:
                yield Left(piece=Piece(task.index, 0, task.rows, 0, task.shots))

    def _put(self, left: Left) -> None:
        """Let a piece wait for those who may take it, or give it up."""
        for member, reason in left.unknown.items():
            self._causes.append((left.piece, member, reason))
        barred = Barred(
            never=frozenset(self._tasks[left.piece.task].refusals) | left.paid,
            tried=frozenset(left.unknown) - left.paid,
        )
        may_move = not left.unknown or self._policy.retry.on_unknown == "move"
        if may_move and self._may_go(replace(barred, tried=frozenset())):
            self._dealer.backlog.put(left.piece, barred)
        else:
            self._give_up(left.piece)

    # -- the one door ------------------------------------------------------------------------

    def start(self, now: float) -> list[Instruction]:
        """Begin: return the first instructions.

        Work that no member can take is found here, and then nothing is sent at all.
        """
        if self._policy.deadline_seconds is not None:
            self._deadline = now + self._policy.deadline_seconds
        if self._given_up and self._unfinished is None:
            self._give_up_waiting("other work of the run can run nowhere")
        self._health.begin()
        adopted = [] if self._unfinished is None else list(self._resume(self._unfinished, now))
        return [*adopted, *self._assign(now), *self._conclude(now)]

    def _resume(self, unfinished: Unfinished, now: float) -> Iterator[Instruction]:
        """Go on where an earlier process ended."""
        for number, spent in enumerate(unfinished.spent):
            key = (id(self), "before", number)
            amount = Amount(usd=spent.usd, shots=spent.shots, attempts=spent.attempts)
            self._purse.owe(key, spent.member, amount)
            self._purse.settle(key)
        if self._settled:
            whole = [
                (left.piece, Barred(never=frozenset(self._tasks[left.piece.task].refusals)))
                for left in self._whole
            ]
            self._dealer.settle_as_before(now, self._health.usable(now), whole)
        for flying in unfinished.flights:
            yield self._adopt(flying, now)

    def _adopt(self, flying: Flying, now: float) -> Fetch:
        """Take over a shard that an earlier process has sent; its slot and price are taken."""
        shard, member = flying.shard, flying.member
        load = Load(shard.circuits, shard.circuits * shard.shots)
        key = (id(self), shard.index)
        amount = Amount(usd=flying.price_usd, shots=shard.circuits * shard.shots)
        self._purse.owe(key, member, amount)
        self._standings[member].take(key, load, now)
        refusals = (self._tasks[piece.task].refusals for piece in shard.pieces)
        group = Group(shard.pieces, Barred(never=frozenset().union(*refusals)))
        self._flights[shard.index] = _Flight(
            shard,
            member,
            group,
            now,
            # How long it has taken is not known, nor how long it should.
            now + (self._policy.patience_seconds or math.inf),
            adopted=True,
            price_usd=flying.price_usd,
        )
        return Fetch(shard=shard, member=member)

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take in an event and return what to do about it.

        Args:
            event: What happened.
            now: Seconds of the loop's clock, never running backwards.
        """
        if self.done:
            return []
        freed = self._flights[event.shard].member if isinstance(event, ShardFinished) else None
        answers = list(self._take_in(event, now))
        if now >= self._deadline:
            answers += self._stop(f"the deadline of {self._policy.deadline_seconds:g} s is over")
        answers += self._recall(now)
        return [*answers, *self._assign(now, freed), *self._conclude(now)]

    def _take_in(self, event: Event, now: float) -> Iterable[Instruction]:
        match event:
            case ShardFinished():
                return self._finished(event, now)
            case ShardFailed():
                return self._failed(event, now)
            case TryFailed():
                return self._try_failed(event, now)
            case ShardRefused():
                self._refused(event, now)
            case ShardCancelled():
                self._cancelled(event, now)
            case ShardLost():
                self._lost(event, now)
            case Stop():
                return self._stop(event.reason)
        return ()

    @property
    def in_flight(self) -> Mapping[int, tuple[Shard, str]]:
        """Return the shards in flight and their members, by number."""
        return {index: (flight.shard, flight.member) for index, flight in self._flights.items()}

    def may_retry(self, shard: int | None = None) -> bool:
        """Return whether the run has a retry left, for a shard where it is.

        A shard sent to find out whether its member is well again is not tried twice there.
        """
        if shard is not None and self._flights[shard].probing:
            return False
        retry, tally = self._policy.retry, self._tally
        most = retry.max_failures_per_run
        if most is not None and tally.retries >= most:
            return False
        return retry.allows_retry(first_tries=tally.first_tries, retries=tally.retries)

    # -- how shards end ----------------------------------------------------------------------

    def _land(self, index: int, now: float) -> _Flight:
        flight = self._flights.pop(index)
        standing = self._standings[flight.member]
        # A member works on one job after the other, so this one had it since the last one ended,
        # or since its turn in the queue came. Where jobs overlap, that is what they take of it.
        turn = min(now, flight.submitted + standing.queue_seconds)
        flight.seconds = now - max(turn, standing.busy_since)
        standing.release((id(self), index), now)
        return flight

    def _finished(self, event: ShardFinished, now: float) -> Iterator[Instruction]:
        flight = self._land(event.shard, now)
        self._sent = True
        self._purse.settle((id(self), event.shard))
        shard = flight.shard
        if not flight.retried and not flight.adopted:
            speed = self._standings[flight.member].speed
            speed.observe(shard.circuits, shard.circuits * shard.shots, flight.seconds)
        if event.failed:
            _, failure, reason = event.failed[0]
            yield from self._health.failed(flight.member, failure, reason, now)
        else:
            self._down_since = None
            yield from self._health.succeeded(flight.member)
        for piece in event.missing:
            self._dealer.backlog.keep(flight.member, piece, flight.group.barred)
        for piece, failure, reason in event.failed:
            self._again(piece, flight, failure, reason)

    def _failed(self, event: ShardFailed, now: float) -> Iterator[Instruction]:
        flight = self._land(event.shard, now)
        failure = event.failure
        if failure.submitted is False:
            self._purse.release((id(self), event.shard))
        else:
            self._sent = True
            self._purse.settle((id(self), event.shard))
        if flight.group.isolating:
            self._health.learned_nothing(flight.member)
        else:
            yield from self._health.failed(flight.member, failure, event.reason, now)
        if self._may_hide_a_bad_one(flight, failure) and self._count_retry():
            for half in _halves(flight.shard.pieces):
                group = replace(flight.group, pieces=half, isolating=True)
                self._dealer.line_up(flight.member, group)
            return
        for piece in flight.shard.pieces:
            self._again(piece, flight, failure, event.reason)

    def _try_failed(self, event: TryFailed, now: float) -> Iterator[Instruction]:
        self._tally.retries += 1
        self._sent = self._sent or event.failure.submitted is not False
        flight = self._flights[event.shard]
        flight.retried = True
        self._standings[flight.member].busy_since = now
        if not flight.group.isolating:
            yield from self._health.failed(flight.member, event.failure, event.reason, now)

    def _refused(self, event: ShardRefused, now: float) -> None:
        flight = self._land(event.shard, now)
        self._purse.release((id(self), event.shard))
        self._health.learned_nothing(flight.member)
        self._tally.first_tries -= 1
        self._dealer.assigned[flight.member] -= flight.shard.circuit_shots
        for position, piece in enumerate(flight.shard.pieces):
            reason = event.reasons.get(position)
            if reason is not None:
                whole = Piece(piece.task, 0, self._tasks[piece.task].rows, 0, piece.shot_stop)
                self._causes.append((whole, flight.member, reason))
                self._dealer.backlog.refuse(piece.task, flight.member)
        for piece in flight.shard.pieces:
            self._dealer.backlog.put(piece, flight.group.barred)

    def _cancelled(self, event: ShardCancelled, now: float) -> None:
        flight = self._land(event.shard, now)
        self._health.learned_nothing(flight.member)
        if event.confirmed:
            self._purse.release((id(self), event.shard))
            if flight.adopted and self._settled:
                # It was never sent: the same shard is to go to the same member.
                self._dealer.line_up(flight.member, flight.group)
                return
            barred = flight.group.barred
            if flight.recalled:
                # Back to the same member only when nobody else is left.
                barred = replace(barred, tried=barred.tried | {flight.member})
            for piece in flight.shard.pieces:
                self._dealer.backlog.put(piece, barred)
            return
        self._sent = True
        self._purse.settle((id(self), event.shard))
        lost = Failure(transient=True, fault="network", submitted=None)
        for piece in flight.shard.pieces:
            self._again(piece, flight, lost, "given up on, and its cancellation not confirmed")

    def _lost(self, event: ShardLost, now: float) -> None:
        flight = self._land(event.shard, now)
        self._purse.settle((id(self), event.shard))
        self._health.learned_nothing(flight.member)
        paid = frozenset([flight.member] if flight.price_usd else [])
        for piece in flight.shard.pieces:
            self._put(Left(piece=piece, unknown={flight.member: event.reason}, paid=paid))

    def _recall(self, now: float) -> Iterator[Instruction]:
        """Give up on shards that are overdue on members that are ill.

        Without this a member that died with jobs in its queue would hold up the run for ever.
        """
        for index, flight in self._flights_on_ill():
            if now >= flight.overdue and not flight.recalled:
                flight.recalled = True
                yield Cancel(shard=index)

    def _flights_on_ill(self) -> list[tuple[int, _Flight]]:
        ill = self._health.ill
        return [item for item in self._flights.items() if item[1].member in ill] if ill else []

    @staticmethod
    def _may_hide_a_bad_one(flight: _Flight, failure: Failure) -> bool:
        """Return whether one circuit of several may be what the provider choked on."""
        if flight.shard.circuits < 2 or failure.authentication or failure.throttled:
            return False
        return not failure.transient and failure.submitted is not None

    def _count_retry(self) -> bool:
        allowed = self.may_retry()
        self._tally.retries += 1
        return allowed

    def _again(self, piece: Piece, flight: _Flight, failure: Failure, reason: str) -> None:
        """Let a failed piece wait for another member, or give it up."""
        self._causes.append((piece, flight.member, reason))
        barred, member = flight.group.barred, flight.member
        if failure.submitted is None and self._policy.retry.on_unknown != "move":
            self._give_up(piece, "nobody knows whether the provider took it")
            return
        if failure.transient and failure.submitted is not None:
            barred = replace(barred, tried=barred.tried | {member})
        else:
            # It cannot work there, or may have worked already and must not be paid twice.
            barred = replace(barred, never=barred.never | {member})
        moves = self._policy.retry.max_moves
        if moves is not None and len(barred.never | barred.tried) > moves:
            self._give_up(piece, f"it may move {moves} times")
            return
        if not self._may_go(replace(barred, tried=frozenset())):
            self._give_up(piece)
        elif not flight.probing and not self._count_retry():
            self._give_up(piece, "the run has no retry left")
        else:
            self._dealer.backlog.put(piece, barred)

    def _candidates(self, barred: Barred) -> list[str]:
        """Return the members that may take such work, now or when they are well again."""
        lost = self._health.lost
        return [name for name in self._standings if name not in barred and name not in lost]

    def _may_go(self, barred: Barred) -> bool:
        """Return whether any member may take such work, now or when it is well again."""
        lost = self._health.lost
        return any(name not in barred and name not in lost for name in self._standings)

    def _give_up(self, piece: Piece, why: str = "") -> None:
        task = self._tasks[piece.task]
        why = why or self._stopped
        reasons = dict(self._health.lost) | dict(task.refusals)
        for failed, member, reason in self._causes:
            same = failed.task == piece.task
            if same and failed.row_start < piece.row_stop and piece.row_start < failed.row_stop:
                reasons[member] = reason
        if why:
            reasons[""] = why
        self._given_up.append(GivenUp(piece=piece, pub=task.group, reasons=reasons))

    def _stop(self, reason: str) -> Iterator[Instruction]:
        if not self._stopped:
            self._stopped = reason
            for index in self._flights:
                yield Cancel(shard=index)
        self._give_up_waiting(self._stopped)

    def _give_up_waiting(self, why: str) -> None:
        for piece, _ in self._dealer.waiting():
            self._give_up(piece, why)
        self._dealer.clear()

    # -- giving out work ---------------------------------------------------------------------

    def _assign(self, now: float, freed: str | None = None) -> Iterator[Instruction]:
        if self._stopped:
            self._give_up_waiting(self._stopped)
            return
        self._sweep()
        yield from self._deal(now, freed)
        # Dealing may have found that some work can go to nobody it was kept for.
        while not self._stopped and self._sweep():
            yield from self._deal(now)

    def _deal(self, now: float, freed: str | None = None) -> Iterator[Instruction]:
        usable = self._health.usable(now)
        for name in self._health.ejected:
            self._dealer.give_back(name)
        if self._settled:
            self._dealer.settle(now, usable)

        def slots(member: str) -> int:
            return self._slots(member, now)

        for member, group in self._dealer.deal(now, usable, slots, freed):
            submit = self._submit(member, group, now)
            if submit is not None:
                yield submit
            if self._stopped:
                return

    def _sweep(self) -> bool:
        """Put right the classes of work that no member may take; return whether any go on."""
        classes = self._dealer.backlog.classes
        goes_on = False
        for barred in [key for key in classes if key != NOBODY and not self._may_go(key)]:
            # Those who may have failed by accident are asked again when nobody else is left.
            again = replace(barred, tried=frozenset())
            for piece in classes.pop(barred):
                if self._may_go(again):
                    self._dealer.backlog.put(piece, again)
                    goes_on = True
                else:
                    self._give_up(piece)
        return goes_on

    def _slots(self, member: str, now: float) -> int:
        admission = self._health.admits(member)
        if admission == "none":
            return 0
        standing, terms = self._standings[member], self._dealer.terms[member]
        free = min(
            terms.free_slots(standing, now),
            standing.submissions_left(terms.submissions_per_minute, now),
        )
        return max(0, min(free, 1) if admission == "one" else free)

    def _submit(self, member: str, group: Group, now: float) -> Submit | None:
        terms, standing = self._dealer.terms[member], self._standings[member]
        shots = max(group.pieces[0].shots, terms.min_shots)
        shard = Shard(index=self._next_shard, pieces=group.pieces, shots=shots)
        load = Load(shard.circuits, shard.circuits * shots)
        guess = None if standing.speed.jobs else self._dealer.guess
        seconds = terms.seconds(standing, load, guess)
        key = (id(self), shard.index)
        usd = terms.price(1, load.circuits, load.circuit_shots, seconds)
        amount = Amount(usd=usd, shots=shard.circuits * shots)
        verdict = self._purse.reserve(key, member, amount)
        if not verdict:
            self._lack_money(member, group, verdict)
            return None
        self._next_shard += 1
        standing.take(key, load, now)
        probing = member in self._health.ill
        expected = terms.seconds(standing, standing.load, guess) + standing.queue_seconds
        # Nothing is known of how long an unseen member takes; and for a probe there is all the time.
        least = _OVERDUE_SECONDS if standing.speed.jobs else _OVERDUE_UNSEEN_SECONDS
        overdue = math.inf if probing else now + _OVERDUE_TIMES * expected + least
        self._flights[shard.index] = _Flight(shard, member, group, now, overdue, probing=probing)
        self._health.sent(member)
        self._tally.first_tries += 1
        assigned = self._dealer.assigned
        assigned[member] = assigned.get(member, 0.0) + shard.circuit_shots
        return Submit(shard=shard, member=member)

    def _lack_money(self, member: str, group: Group, verdict: Verdict) -> None:
        """Let work that does not fit the budget move, or stop the run."""
        if self._policy.budget is not None and self._policy.budget.on_exhausted != "move":
            for piece in group.pieces:
                self._dealer.backlog.put(piece, group.barred)
            self._stopped = verdict.reason
            self._give_up_waiting(verdict.reason)
            return
        barred = replace(group.barred, never=group.barred.never | {member})
        for piece in group.pieces:
            self._causes.append((piece, member, verdict.reason))
            if self._may_go(barred):
                self._dealer.backlog.put(piece, barred)
            else:
                self._give_up(piece)

    # -- the end, or when to look again ------------------------------------------------------

    def _conclude(self, now: float) -> Iterator[Instruction]:
        if not self._flights and not self._dealer.empty:
            self._give_up_hopeless(now)
        if not self._flights and self._dealer.empty:
            self.done = True
            yield Done(given_up=tuple(self._given_up), sent=self._sent)
            return
        deadline = math.inf if self._stopped else self._deadline
        wake = min(deadline, self._next_look(now))
        if wake < math.inf:
            yield WakeAt(seconds=wake)

    def _give_up_hopeless(self, now: float) -> None:
        """Give up what nothing in sight will get done, though nothing is in flight."""
        for barred, verdicts in list(self._dealer.verdicts.items()):
            self._give_up_refused(barred, verdicts)
        if self._dealer.empty or self._health.usable(now):
            return
        if self._down_since is None:
            self._down_since = now
        patience, waited = self._policy.patience_seconds, now - self._down_since
        if self._deadline == math.inf and patience is not None and waited >= patience:
            self._give_up_waiting(f"no member was usable for {waited:.0f} s")

    def _give_up_refused(self, barred: Barred, verdicts: Mapping[str, Verdict]) -> None:
        """Give up work that the policy's filters refuse everywhere, and not only for now."""
        candidates = self._candidates(barred)
        if any(name not in verdicts or verdicts[name].waits for name in candidates):
            return
        for piece in self._dealer.backlog.classes.pop(barred, ()):
            for name in candidates:
                self._causes.append((piece, name, verdicts[name].reason))
            self._give_up(piece)

    def _next_look(self, now: float) -> float:
        """Return when something may change that no event tells."""
        looks = [self._health.next_opening()]
        if self._down_since is not None and self._policy.patience_seconds is not None:
            looks.append(self._down_since + self._policy.patience_seconds)
        if any(self._dealer.verdicts.values()):
            looks.append(now + self._policy.probe_seconds)
        looks += [flight.overdue for _, flight in self._flights_on_ill()]
        for terms in self._rated:
            standing = self._standings[terms.name]
            if standing.submissions_left(terms.submissions_per_minute, now) < 1:
                looks.append(standing.submissions[0] + 60)
        return min(look for look in looks if look > now or look == math.inf)


def _halves(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Divide pieces into two shards of about the same number of circuits."""
    left = sum(piece.rows for piece in pieces) // 2
    first: list[Piece] = []
    second: list[Piece] = []
    for piece in pieces:
        rows = min(piece.rows, left)
        head, tail = piece.split_rows(rows)
        left -= rows
        first += [head] * (head.rows > 0)
        second += [tail] * (tail.rows > 0)
    return tuple(first), tuple(second)
