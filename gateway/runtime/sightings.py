"""What other processes of a journal have found of members: which they ejected, how long queues are.

A fleet looks once for all its runs in this process, and takes in each finding once.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import anyio

from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.errors import JournalError
from qiskit_gateway.runtime.alarms import Alarms
from qiskit_gateway.runtime.queue_watch import Queues
from qiskit_gateway.scheduling.events import EjectedElsewhere, RecoveredElsewhere
from qiskit_gateway.work.record.run_log import RunLog, Sighting

Found = EjectedElsewhere | RecoveredElsewhere


@dataclass(slots=True)
class Seen:
    """The findings of others that a fleet knows.

    Attributes:
        next_looks: When to look next into each journal, in seconds of the loop's clock.
        marks: Of each kind and member, the last that was taken in.
    """

    next_looks: dict[str, float] = field(default_factory=dict)
    marks: dict[tuple[str, str], tuple[object, ...]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Sightings:
    """The other processes' findings, as a run takes them in.

    Attributes:
        fleet: The members.
        run_log: Holds them.
        queues: Told what others have read of queues; ``None`` where nothing that depends on the time
            is looked at.
        tell: Told of members that others have ejected, or found well.
    """

    fleet: Fleet
    run_log: RunLog
    queues: Queues | None
    tell: Callable[[Found], object]

    def watch(self, alarms: Alarms) -> None:
        """Look from time to time, as long as the run lasts."""
        if self.run_log.lasting:
            alarms.run_at(self._next_look, lambda: self._look_again(alarms))

    async def look(self) -> list[Found]:
        """Take in what is new, and return what it is of members' health.

        That is nothing, if the fleet has looked a moment ago.
        """
        now = anyio.current_time()
        if not self.run_log.lasting or now < self._next_look:
            return []
        try:
            found = await self.run_log.list_sightings()
        except JournalError:
            found = []  # The writing side reports it.
        # Only now: a run that begins meanwhile would plan without what is being read.
        self._seen.next_looks[self.run_log.place] = now + self.run_log.look_seconds
        return [*self._take_in(found)]

    async def _look_again(self, alarms: Alarms) -> None:
        for event in await self.look():
            self.tell(event)
        self.watch(alarms)

    @property
    def _next_look(self) -> float:
        return self._seen.next_looks.get(self.run_log.place, -math.inf)

    @property
    def _seen(self) -> Seen:
        return self.fleet.keep(Seen)

    def _take_in(self, sightings: list[Sighting]) -> Iterator[Found]:
        now, marks = anyio.current_time(), self._seen.marks
        for one in sightings:
            which = one.kind, one.member
            if one.member not in self.fleet or marks.get(which) == one.mark:
                continue
            if one.kind == "queue" and self.queues is None:
                continue  # Another run may want to hear of it.
            marks[which] = one.mark
            at, wait = now - one.age_seconds, one.facts.get("wait_seconds")
            if one.kind == "queue" and self.queues is not None:
                self.queues.hear(one.member, wait, one.facts.get("pending_jobs"), at)
            if one.kind == "health" and not one.facts.get("ejected"):
                yield RecoveredElsewhere(member=one.member)
            elif one.kind == "health" and wait is not None:
                reason = f"another process found: {one.facts.get('reason', '')}"
                yield EjectedElsewhere(member=one.member, since=at, until=at + wait, reason=reason)
