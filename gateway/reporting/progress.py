"""Progress of a run in circuits, shots and money, in total and by member."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from qiskit_gateway.display.units import join_short, number, span, usd
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.record.outlook import Outlook
from qiskit_gateway.work.tasks import Shard, Task


@dataclass(slots=True, kw_only=True)
class MemberProgress:
    """Finished and current work of one member for a run.

    Attributes:
        circuits_done: Circuits that have arrived.
        shots_done: Shots that have arrived, summed over circuits.
        circuits_running: Circuits that it has now, those that wait in its queue included.
        shots_running: Their shots.
        circuits_queued: Those of them of which it says that they wait in its queue.
        shots_queued: Their shots.
        price_usd: What its jobs are expected to cost, in USD, those in flight included.
    """

    circuits_done: int = 0
    shots_done: int = 0
    circuits_running: int = 0
    shots_running: int = 0
    circuits_queued: int = 0
    shots_queued: int = 0
    price_usd: float = 0.0

    def __str__(self) -> str:
        """Circuits done, running and waiting, as far as there are any."""
        running = self.circuits_running - self.circuits_queued
        parts = [(self.circuits_done, "done"), (running, "running")]
        parts.append((self.circuits_queued, "in queue"))
        return join_short(f"{number(count)} {what}" for count, what in parts if count) or "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a run in circuits, and in shots summed over circuits.

    Attributes:
        circuits: In all.
        circuits_done: Of these, complete. A circuit whose shots are cut counts in parts.
        shots: In all.
        shots_done: Of these, arrived.
        members: By member: circuits and shots that run there, and that it has done.
        seconds: How long the run has gone on, or took.
        outlook: How long it is expected to take yet; ``None`` where that cannot be told.
        held_up_by: Why nobody takes what waits, by member, while nothing is in flight. None of
            these three counts where progress is compared.
    """

    circuits: int
    circuits_done: float
    shots: int
    shots_done: int
    members: dict[str, MemberProgress]
    seconds: float = field(default=0.0, compare=False)
    outlook: Outlook | None = field(default=None, compare=False)
    held_up_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)

    @property
    def shots_running(self) -> int:
        """The shots in flight."""
        return sum(member.shots_running for member in self.members.values())

    @property
    def shots_waiting(self) -> int:
        """The shots that nobody has been given yet."""
        return max(0, self.shots - self.shots_done - self.shots_running)

    @property
    def price_usd(self) -> float:
        """Expected cost of the jobs so far in USD, including jobs in flight."""
        return sum(member.price_usd for member in self.members.values())

    @property
    def share(self) -> float:
        """The share of the shots that have arrived, from 0 to 1."""
        return min(1.0, self.shots_done / self.shots) if self.shots else 1.0

    def __str__(self) -> str:
        """One line: how far, for how much, until when, and what each member does."""
        members = (
            f"{name}: {one}"
            for name, one in self.members.items()
            if one.circuits_done or one.circuits_running
        )
        return " | ".join([f"{self.share:.0%}", *self.facts(), *members])

    def facts(self) -> list[str]:
        """Circuits, money and time, each as a few words."""
        facts = [f"{number(self.circuits_done)} of {number(self.circuits)} circuits"]
        if self.price_usd:
            facts.append(usd(self.price_usd))
        facts.append(f"{span(self.seconds)} so far")
        if self.outlook is not None and self.share < 1:
            end = self.outlook
            least, most = span(end.least_seconds), span(end.most_seconds)
            facts.append(f"about {span(end.seconds)} more ({least} to {most})")
        if self.held_up_by:
            said = (f"{name}: {'; '.join(why)}" for name, why in self.held_up_by.items())
            facts.append(f"no member may take what waits ({', '.join(said)})")
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The counts of a run from which its progress is made.

    Attributes:
        seconds: How long it has gone on.
        queued: The shards of which a provider says that they wait in its queue.
        attempts: Its attempts.
        outlook: How long it is expected to take yet.
        held_up_by: Why nobody takes what waits, by member, while nothing is in flight.
    """

    seconds: float = 0.0
    queued: AbstractSet[int] = frozenset()
    attempts: Iterable[Attempt] = field(default_factory=tuple)
    outlook: Outlook | None = None
    held_up_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def sum_up_progress(
    tasks: Sequence[Task],
    members: Iterable[str],
    done: Mapping[str, Sequence[int]],
    in_flight: Mapping[int, tuple[Shard, str]],
    standing: Standing,
) -> Progress:
    """Sum up the progress of a run.

    Args:
        tasks: Its work.
        members: The names of its members.
        done: Circuits and shots that have arrived, by member.
        in_flight: Shards, and where they are, by number.
        standing: What else there is to say.
    """
    progress = {name: MemberProgress() for name in members}
    for name, (circuits, shots) in done.items():
        progress[name].circuits_done = circuits
        progress[name].shots_done = shots
    for number_, (shard, name) in in_flight.items():
        queued = number_ in standing.queued
        progress[name].circuits_running += shard.circuits
        progress[name].shots_running += shard.circuit_shots
        progress[name].circuits_queued += shard.circuits * queued
        progress[name].shots_queued += shard.circuit_shots * queued
    for attempt in standing.attempts:
        # A run that is taken up again may have been begun with other members.
        progress.setdefault(attempt.member, MemberProgress()).price_usd += attempt.price_usd
    circuits = sum(task.rows for task in tasks)
    shots = sum(task.rows * task.shots for task in tasks)
    arrived = sum(member.shots_done for member in progress.values())
    return Progress(
        circuits=circuits,
        circuits_done=round(circuits * arrived / shots, 3) if shots else 0,
        shots=shots,
        shots_done=arrived,
        members=progress,
        seconds=standing.seconds,
        outlook=standing.outlook,
        held_up_by=standing.held_up_by,
    )


def join_progress(parts: Sequence[Progress]) -> Progress:
    """Sum up runs that run side by side, each on members of its own.

    Args:
        parts: Their progress; at least one.
    """
    outlooks = [one.outlook for one in parts if one.share < 1]
    known = [one for one in outlooks if one is not None]
    return Progress(
        circuits=sum(one.circuits for one in parts),
        circuits_done=sum(one.circuits_done for one in parts),
        shots=sum(one.shots for one in parts),
        shots_done=sum(one.shots_done for one in parts),
        members={name: one for part in parts for name, one in part.members.items()},
        held_up_by={name: why for part in parts for name, why in part.held_up_by.items()},
        seconds=max(one.seconds for one in parts),
        # All are over when the last is.
        outlook=Outlook(
            seconds=max(one.seconds for one in known),
            least_seconds=max(one.least_seconds for one in known),
            most_seconds=max(one.most_seconds for one in known),
        )
        if known and len(known) == len(outlooks)
        else None,
    )
