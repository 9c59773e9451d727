"""How far a run is, in circuits and shots, all told and by member."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qiskit_gateway.work.tasks import Shard, Task


@dataclass(slots=True, kw_only=True)
class MemberProgress:
    """What one member has done and is doing for a run."""

    circuits_done: int = 0
    shots_done: int = 0
    circuits_running: int = 0
    shots_running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, in circuits and in shots summed over circuits.

    Attributes:
        circuits: In all.
        circuits_done: Of these, complete. A circuit whose shots are cut counts in parts.
        shots: In all.
        shots_done: Of these, arrived.
        members: By member: circuits and shots that run there, and that it has done.
    """

    circuits: int
    circuits_done: float
    shots: int
    shots_done: int
    members: dict[str, MemberProgress]

    @property
    def shots_running(self) -> int:
        """Return the shots in flight."""
        return sum(member.shots_running for member in self.members.values())

    @property
    def shots_waiting(self) -> int:
        """Return the shots that nobody has been given yet."""
        return self.shots - self.shots_done - self.shots_running


def progress_of(
    tasks: Sequence[Task],
    members: Iterable[str],
    done: Mapping[str, Sequence[int]],
    in_flight: Iterable[tuple[Shard, str]],
) -> Progress:
    """Return how far a run is.

    Args:
        tasks: Its work.
        members: The names of its members.
        done: Circuits and shots that have arrived, by member.
        in_flight: Shards, and where they are.
    """
    progress = {name: MemberProgress() for name in members}
    for name, (circuits, shots) in done.items():
        progress[name].circuits_done = circuits
        progress[name].shots_done = shots
    for shard, name in in_flight:
        progress[name].circuits_running += shard.circuits
        progress[name].shots_running += shard.circuit_shots
    circuits = sum(task.rows for task in tasks)
    shots = sum(task.rows * task.shots for task in tasks)
    arrived = sum(member.shots_done for member in progress.values())
    return Progress(
        circuits=circuits,
        circuits_done=round(circuits * arrived / shots, 3) if shots else 0,
        shots=shots,
        shots_done=arrived,
        members=progress,
    )
