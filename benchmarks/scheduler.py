"""What the scheduler takes for a shard: its decisions alone, fed with events as fast as it answers.

Members differ in speed by up to ten times, hold two jobs of at most a hundred circuits each, and
nothing is known of them beforehand. The time is of the processor, from the statement of the work to
the end, is divided by the number of shards and by how slow the machine is.
"""

import heapq
import time
from collections.abc import Iterable, Iterator

from benchmarks.measure import Row, seconds, slowness
from qiskit_gateway.policies import fastest
from qiskit_gateway.scheduling.events import Command, Done, ShardFinished, Submit
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.tasks import Task

# Members, rows, in how many tasks, and the target in microseconds.
CASES = (
    (10, 10_000, 1, 100),
    (10, 1_000_000, 1, 100),
    (10, 100_000, 100_000, None),
    (1000, 100_000, 1, 400),
    (1000, 1_000_000, 1, 400),
    (1000, 100_000, 100_000, None),
)
QUICK = ((10, 1_000, 1, None), (100, 1_000, 1_000, None))


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure every size."""
    for members, circuits, tasks, target in QUICK if quick else CASES:
        found = [Drive(members, circuits, tasks) for _ in range(1 if quick else _repeats(circuits))]
        slow, best = slowness(), min(seconds(drive.run, time.process_time) for drive in found)
        each = best / found[0].shards * 1e6
        yield Row(
            case=f"scheduler, {members} members, {circuits:,} rows in {tasks:,} tasks",
            against=f"calibration {slow:.2f}",
            router=f"{found[0].shards} shards, {each:.3g} us each",
            figure=each / slow,
            unit="us/shard",
            at_most=target,
        )


def _repeats(circuits: int) -> int:
    """Return how often a size is run: the less it takes, the more one slow moment would show."""
    return max(3, 200_000 // circuits)


class Drive:
    """A scheduler, and members that are nothing but the times when their jobs end."""

    def __init__(self, members: int, circuits: int, tasks: int) -> None:
        self._profiles = [
            MemberProfile(name=f"m{order}", order=order, max_circuits=100, max_in_flight=2)
            for order in range(members)
        ]
        each = circuits // tasks
        self._tasks = [Task(index=index, rows=each, shots=1000) for index in range(tasks)]
        self._free_at = dict.fromkeys((term.name for term in self._profiles), 0.0)
        self._ends: list[tuple[float, int]] = []
        self._now = 0.0
        self.shards = 0

    def run(self) -> None:
        """Do all the work."""
        scheduler = Scheduler(self._tasks, self._profiles, fastest(), fleet_state=FleetState())
        self._perform(scheduler.start(self._now))
        while not scheduler.done:
            self._now, shard = heapq.heappop(self._ends)
            self._perform(scheduler.handle(ShardFinished(shard=shard), self._now))

    def _perform(self, instructions: Iterable[Command]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Submit):
                self.shards += 1
                member, shard = instruction.member, instruction.shard
                slowness = 1 + int(member[1:]) % 10
                begins = max(self._now, self._free_at[member])
                self._free_at[member] = begins + slowness * (1 + shard.circuits / 100)
                heapq.heappush(self._ends, (self._free_at[member], shard.index))
            elif isinstance(instruction, Done):
                assert not instruction.given_up
