"""A world for the scheduler: members that answer its instructions by a script, on a clock."""

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from qiskit_gateway.policies import Policy
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.events import (
    Accept,
    Cancel,
    Done,
    FleetDown,
    MemberEjected,
    Recall,
    RecallFailed,
    ResultArrived,
    Retry,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    Solve,
    Solved,
    Submit,
    Tick,
    TryFailed,
    WakeAt,
    Watch,
)
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.tasks import Piece, Shard, Task

TRANSIENT = Failure(transient=True, submitted=True)
POISON = Failure(transient=False, fault="caller")
UNKNOWN = Failure(transient=True, submitted=None, fault="network")
THROTTLED = Failure(transient=True, throttled=True)
LOGIN = Failure(transient=False, authentication=True, fault="caller")
LIE = Failure(bad_result=True, submitted=True)


@dataclass
class World:
    """Members that answer shards after some time, in ways that a script draws."""

    scheduler: Scheduler
    fleet_state: FleetState
    policy: Policy
    profiles: dict[str, MemberProfile]
    tasks: list[Task]
    now: float = 0.0
    queue: list = field(default_factory=list)
    done: list[Piece] = field(default_factory=list)
    submits: list[Submit] = field(default_factory=list)
    closed: list[MemberEjected | FleetDown] = field(default_factory=list)
    end: Done | None = None
    wake: float = math.inf
    flying: dict[int, Submit] = field(default_factory=dict)
    order: Iterator[int] = field(default_factory=itertools.count)
    solving_seconds: float = 0.0

    def perform(self, instructions, seconds) -> None:
        for instruction in instructions:
            match instruction:
                case Submit(shard=shard, member=member):
                    self.check_limits(shard, member)
                    self.submits.append(instruction)
                    self.flying[shard.index] = instruction
                    self.push(self.now + seconds(instruction), instruction)
                case WakeAt() | Solve():
                    self.later(instruction)
                case MemberEjected() | FleetDown():
                    self.closed.append(instruction)
                case Done():
                    self.end = instruction
                case Cancel() | Recall() | Watch():
                    self.asked(instruction)

    def later(self, instruction) -> None:
        """Ring when it is time, or answer once that has been found out."""
        if isinstance(instruction, Solve):
            self.push(self.now + self.solving_seconds, Solved(answer=instruction.problem()))
            return
        assert instruction.seconds > self.now
        # As the shell does: only an earlier alarm is set anew.
        if instruction.seconds < self.wake:
            self.wake = instruction.seconds
            self.push(self.wake, Tick())

    def asked(self, instruction) -> None:
        """Confirm no cancellation, give nothing back, and say nothing of queues."""
        if isinstance(instruction, Watch):
            return
        if isinstance(instruction, Recall):
            self.push(self.now, RecallFailed(shard=instruction.shard, reason="it runs"))
            return
        assert isinstance(instruction, Cancel)
        self.push(self.now, ShardCancelled(shard=instruction.shard))

    def next(self):
        """Let time pass until something happens, and return that."""
        assert self.queue, "the scheduler waits for something that nobody will tell it"
        self.now, _, what = heapq.heappop(self.queue)
        if isinstance(what, Tick) and self.now == self.wake:
            self.wake = math.inf
        return what

    def push(self, at, what) -> None:
        heapq.heappush(self.queue, (at, next(self.order), what))

    def check_limits(self, shard: Shard, member: str) -> None:
        profile = self.profiles[member]
        assert shard.circuits <= (profile.max_circuits or math.inf)
        assert profile.min_shots <= shard.shots <= (profile.max_shots or math.inf)
        heights = {piece.shots for piece in shard.pieces}
        assert len(heights) == 1
        assert shard.shots == max(profile.min_shots, *heights)
        payload = sum(p.rows * self.tasks[p.task].payload_bytes for p in shard.pieces)
        asked = shard.circuits * max(shard.shots, profile.min_shots)
        assert asked <= (profile.max_executions or math.inf)
        assert shard.circuits == 1 or payload <= (profile.max_payload_bytes or math.inf)
        in_flight = sum(flight.member == member for flight in self.flying.values())
        assert in_flight < (profile.max_in_flight or math.inf)
        for piece in shard.pieces:
            assert member not in self.tasks[piece.task].refusals

    def run(self, answer, seconds, *, most=20_000) -> Done:
        self.perform(self.scheduler.start(self.now), seconds)
        for _ in range(most):
            if self.end is not None:
                return self.end
            what = self.next()
            event = answer(what) if isinstance(what, Submit) else what
            index = getattr(event, "shard", None)
            if isinstance(event, TryFailed):
                self.try_again(what, event, seconds)
                continue
            if index is not None and not isinstance(event, RecallFailed):
                if index not in self.flying:
                    continue
                self.book(self.flying.pop(index).shard, event)
            self.perform(self.scheduler.handle(event, self.now), seconds)
        raise AssertionError("the run does not end")

    def try_again(self, submit: Submit, failed: TryFailed, seconds) -> None:
        """Have a shard tried again, or else report its end."""
        answers = self.scheduler.handle(failed, self.now)
        if any(isinstance(one, Retry) for one in answers):
            self.push(self.now + 1, submit)
        else:
            end = ShardFailed(shard=failed.shard, failure=failed.failure, reason=failed.reason)
            self.push(self.now, end)
        self.perform(answers, seconds)

    def book(self, shard: Shard, event) -> None:
        if isinstance(event, ShardFinished):
            lost = [*event.missing, *(piece for piece, _, _ in event.failed)]
            for piece in shard.pieces:
                self.done += without(piece, lost)


def accepts(scheduler: Scheduler, shard: int, now: float = 0.0) -> bool:
    """Tell a scheduler that a result has arrived; return whether it is to be written."""
    (answer,) = scheduler.handle(ResultArrived(shard=shard), now)
    return isinstance(answer, Accept)


def without(piece: Piece, lost: list[Piece]) -> list[Piece]:
    """Return a piece, cut into rows and shots, less the lost rectangles."""
    left = []
    for row in range(piece.row_start, piece.row_stop):
        start, stop = piece.shot_start, piece.shot_stop
        for gap in lost:
            here = gap.task == piece.task and gap.row_start <= row < gap.row_stop
            if here and start <= gap.shot_start < stop:
                stop = gap.shot_start
        if stop > start:
            left.append(Piece(piece.task, row, row + 1, start, stop))
    return left


def assert_tiled(tasks: list[Task], pieces: list[Piece]) -> None:
    """Assert that pieces cover every shot of every row of every task exactly once."""
    rows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for piece in pieces:
        for row in range(piece.row_start, piece.row_stop):
            rows.setdefault((piece.task, row), []).append((piece.shot_start, piece.shot_stop))
    for task in tasks:
        for row in range(task.rows):
            at = 0
            for start, stop in sorted(rows.pop((task.index, row), [])):
                assert start == at
                at = stop
            assert at == task.shots
    assert not rows


def make_world(tasks, members, policy, *, settled=False, fleet_state=None) -> World:
    fleet_state = fleet_state or FleetState()
    scheduler = Scheduler(tasks, members, policy, fleet_state=fleet_state, settled=settled)
    return World(
        scheduler, fleet_state, policy, {profile.name: profile for profile in members}, list(tasks)
    )


def profile(name: str, order: int = 0, **facts) -> MemberProfile:
    return MemberProfile(name=name, order=order, **facts)
