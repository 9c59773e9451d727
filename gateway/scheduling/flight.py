"""A shard in flight."""

import math
from dataclasses import dataclass

from qiskit_gateway.scheduling.assignment import Group
from qiskit_gateway.scheduling.events import ShardFinished
from qiskit_gateway.scheduling.members.allowances import FREE, Price
from qiskit_gateway.work.tasks import Shard


@dataclass(slots=True, kw_only=True)
class Flight:
    """A shard in flight.

    Attributes:
        shard: The shard.
        member: Where.
        group: What it was made of.
        submitted: When, in seconds of the loop's clock.
        begins: When it is expected to begin to run, once that was foreseen.
        due: When it is expected to end.
        overdue: When it has taken so long that, if its member is ill, nobody waits for it any more.
        late: When it has taken so long that it is asked back from a member that seems well.
        recalled: Whether it is being cancelled, whatever its provider says.
        asked: Why it is being asked back: ``"overdue"``, ``"idle"`` or ``"tied"``; ``"no"`` where it
            was, and was not given.
        looks: How often it was late and stayed where it is.
        twin: The number of the other shard that carries the same pieces, while it is in flight.
        surplus: Whether its twin has brought the pieces: they are not its own any more.
        spare: Whether it was sent in case its twin fails.
        rest: How that twin finished, and the twin: what it did not bring waits until it is known
            what became of this one.
        alone: Whether its member had nothing else of ours when it was sent.
        queued_until: When its provider last said that it waits in the queue.
        started: When its provider first said that it does not.
        seconds: How long its member worked on it, once that is known.
        retried: Whether it took more than one try, so that its time tells nothing of a speed.
        probing: Whether it was sent to find out whether its member is well again.
        adopted: Whether an earlier process sent it.
        price: What its present try costs.
    """

    shard: Shard
    member: str
    group: Group
    submitted: float
    begins: float = math.inf
    due: float = math.inf
    overdue: float = math.inf
    late: float = math.inf
    recalled: bool = False
    asked: str = ""
    looks: int = 0
    twin: int | None = None
    surplus: bool = False
    spare: bool = False
    rest: "tuple[ShardFinished, Flight] | None" = None
    alone: bool = False
    queued_until: float | None = None
    started: float = math.inf
    seconds: float = 0.0
    retried: bool = False
    probing: bool = False
    adopted: bool = False
    price: Price = FREE

    def wait_seconds(self, now: float) -> tuple[float, float]:
        """Return how long it waited in the queue, at least and at most."""
        queued_until = self.submitted if self.queued_until is None else self.queued_until
        return queued_until - self.submitted, min(self.started, now) - self.submitted
