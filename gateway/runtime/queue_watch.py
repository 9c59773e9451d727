"""Watching during a run how long queues are, and whether jobs still wait in one."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from qiskit_gateway.backends.adapter.queues import QueueWatch, ask, can_be_read
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.protocol import FleetMember, ProbesQueue, TellsQueue, able
from qiskit_gateway.backends.interface.queue_reading import QueueReading
from qiskit_gateway.runtime.notifications.notify import Notifier
from qiskit_gateway.runtime.onlookers import Onlookers
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.record import run_events as happened

# How long a run whose policy looks at queues waits, before it plans, for readings in place of old ones.
# Providers answer within a second or two; one that does not must not hold a run up for long.
FIRST_READING_SECONDS = 5.0
# When a job that waits in a queue is first looked at, and how much longer it may wait unseen.
_FIRST_LOOK_SECONDS = 1.0
_LOOK_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queues of a fleet, read from time to time.

    Attributes:
        fleet: Whose.
        fleet_state: Where the readings are noted, for all runs over the fleet.
        interval_seconds: How old a reading may be.
        notifier: Tells observers of readings.
    """

    fleet: Fleet
    fleet_state: FleetState
    interval_seconds: float
    notifier: Notifier
    _asked: dict[str, anyio.Event] = field(default_factory=dict)
    _heard_at: dict[str, float] = field(default_factory=dict)

    def hear(
        self, member: str, wait_seconds: float | None, pending_jobs: float | None, read_at: float
    ) -> None:
        """Note what another process has read of a queue, unless it was read here since.

        Args:
            member: Whose it is.
            wait_seconds: How long a job waits; ``None`` if that was not told.
            pending_jobs: How many wait; ``None`` if that was not told.
            read_at: When it was read, in seconds of the loop's clock.
        """
        known = self.fleet_state.of(member)
        if read_at > known.read_at and anyio.current_time() < read_at + self.interval_seconds:
            known.note_queue(wait_seconds, pending_jobs, read_at)
            self._heard_at[member] = read_at

    def watch(self, group: Onlookers) -> None:
        """Keep the readings fresh, in the background."""
        for member in self.fleet:
            if not can_be_read(member):
                continue
            teller: object = member
            if able(teller, TellsQueue) and not able(member, ProbesQueue):
                self._read_here(member.name, teller.queue)
            elif self._is_due(self.fleet_state.of(member.name).asked_at):
                self._asked[member.name] = anyio.Event()
            group.start_soon(self._watch, member)

    @property
    def due(self) -> bool:
        """True if a queue is being asked whose reading was too old as the watch began."""
        return bool(self._asked)

    async def await_first_readings(self, until: float) -> None:
        """Wait until each queue whose reading was too old as the watch began has been asked.

        Args:
            until: When to wait no longer, in seconds of the loop's clock. Those who have not
                answered by then hold up no other run for as long as a reading would last.
        """
        with anyio.CancelScope(deadline=until):
            for asked in self._asked.values():
                await asked.wait()
        for name in self._asked:
            self.fleet_state.of(name).asked_at = anyio.current_time()

    def _is_due(self, since: float) -> bool:
        return anyio.current_time() >= since + self.interval_seconds

    def _read_here(self, member: str, queue: Callable[[], Any]) -> None:
        """Ask a member that answers in the event loop, so that the first decision knows of it."""
        if self._is_due(self.fleet_state.of(member).read_at):
            self._note(member, ask(queue))

    async def _watch(self, member: FleetMember) -> None:
        interval = self.interval_seconds
        await anyio.sleep_until(self.fleet_state.of(member.name).read_at + interval)
        await QueueWatch().watch(
            [member],
            self._note,
            interval_seconds=interval,
            fresh_until=lambda: self._heard_at.get(member.name, -math.inf) + interval,
        )

    def _note(self, member: str, reading: QueueReading) -> None:
        now = anyio.current_time()
        self.fleet_state.of(member).note_queue(reading.wait_seconds, reading.pending_jobs, now)
        if reading.wait_seconds is not None or reading.pending_jobs is not None:
            self.notifier.tell(
                happened.QueueRead,
                member=member,
                wait_seconds=reading.wait_seconds,
                pending_jobs=reading.pending_jobs,
            )
        if member in self._asked:
            self._asked[member].set()


def look_seconds(waited_seconds: float, most_seconds: float) -> float:
    """Seconds until the next look at a job.

    Most jobs are over before the first look; the longer one waits, the rarer the looks.
    """
    return min(max(_FIRST_LOOK_SECONDS, _LOOK_SHARE * waited_seconds), most_seconds)


async def watch_job(
    has_started: Callable[[], Awaitable[bool | None]],
    note: Callable[[bool], None],
    *,
    goes_on: Callable[[], bool],
    began: float,
    most_seconds: float,
) -> None:
    """Ask whether a provider has begun to run a job, until it says so or the job is over.

    Args:
        has_started: Ask the provider; ``None`` if it does not know.
        note: Called with each answer.
        goes_on: Whether the job is in flight still.
        began: Since when it is waited for, in seconds of the loop's clock.
        most_seconds: The longest time between two looks.
    """
    while goes_on():
        started = await has_started()
        if started is not None:
            note(started)
        if started:
            return
        await anyio.sleep(look_seconds(anyio.current_time() - began, most_seconds))
