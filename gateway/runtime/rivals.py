"""What other processes of a journal have in flight, watched while work waits for it.

No event tells what another process does. One that died leaves its jobs, which may still run: they
are asked after, and hold their slots until they are over.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.errors import JournalError
from qiskit_gateway.runtime.event_loop import contain
from qiskit_gateway.runtime.onlookers import Onlookers
from qiskit_gateway.runtime.provider_calls import Calls
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.record.run_log import SILENT_BEATS, LeftJob, RunLog

# How soon a slot is noticed that another process gave back, at best and at worst.
_LOOK_SECONDS = 0.02
_MOST_LOOK_SECONDS = 0.16
# How often it is asked whether those that hold slots live, and what became of their jobs.
_INQUIRY_SECONDS = 5.0


@dataclass(slots=True)
class Heard:
    """When others were last looked at, by the runs of a fleet in one process.

    Attributes:
        next_look: When to look next, in seconds of the loop's clock: one run looks for all.
        seconds: How long after that to look again.
        next_inquiry: When to ask next whether they live, in seconds of the loop's clock.
        silent: By run, what was last heard of the process that works on it, and when.
    """

    next_look: float = -math.inf
    seconds: float = _LOOK_SECONDS
    next_inquiry: float = 0.0
    silent: dict[str, tuple[tuple[object, ...], float]] = field(default_factory=dict)

    def is_dead(self, job: LeftJob, now: float, patience_seconds: float) -> bool:
        """Tell whether nobody works on the run of a job any more."""
        if job.lives is not None:
            return not job.lives
        run = job.key[0]
        heard, since = self.silent.setdefault(run, (job.heard, now))
        if job.heard != heard:
            self.silent[run] = job.heard, now
            return False
        return now - since >= patience_seconds


@dataclass(slots=True, kw_only=True)
class Rivals:
    """The other processes, as a run sees them whose work waits for what they have.

    Attributes:
        fleet: The members.
        fleet_state: What is known of them.
        shared: Names of the members whose slots are those of all processes.
        run_log: Holds what others have in flight.
        calls: Calls to providers.
        waits: Tells whether work waits.
        was_denied: Tells whether it was denied something, which may be other than a slot.
        offer: Told of a member at which others have fewer jobs than before.
    """

    fleet: Fleet
    fleet_state: FleetState
    shared: tuple[str, ...]
    run_log: RunLog
    calls: Calls
    waits: Callable[[], bool]
    was_denied: Callable[[], bool]
    offer: Callable[[str], object]
    _watches: bool = False

    def watch(self, group: Onlookers) -> None:
        """Look after them, as long as work waits and they have what it waits for."""
        if not self._watches and self._is_needed:
            self._watches = True
            group.start_soon(contain, self._watch)

    @property
    def _is_needed(self) -> bool:
        slots = any(self.fleet_state.of(one).elsewhere for one in self.shared)
        return self.waits() and (slots or self.was_denied())

    async def _watch(self) -> None:
        try:
            await self._watch_while_needed()
        finally:
            self._watches = False

    async def _watch_while_needed(self) -> None:
        heard = self.fleet.keep(Heard)
        now = anyio.current_time()
        heard.next_inquiry = max(heard.next_inquiry, now + _LOOK_SECONDS)
        if now > heard.next_look:  # Nobody looks.
            heard.seconds = _LOOK_SECONDS
        while self._is_needed:
            await anyio.sleep(heard.seconds)
            if anyio.current_time() < heard.next_look:
                continue
            # The less often, the longer nothing changes.
            heard.seconds = min(2 * heard.seconds, _MOST_LOOK_SECONDS)
            heard.next_look = anyio.current_time() + heard.seconds
            try:
                if self._note(await self.run_log.count_elsewhere()):
                    heard.seconds, heard.next_look = _LOOK_SECONDS, -math.inf
                if anyio.current_time() >= heard.next_inquiry:
                    heard.next_inquiry = anyio.current_time() + _INQUIRY_SECONDS
                    await self._inquire(heard)
            except JournalError:
                continue  # The writing side reports it.

    def _note(self, counts: dict[str, int]) -> bool:
        """Note how many jobs others have; return whether they have fewer than before."""
        freed = []
        for name in self.shared:
            known, now = self.fleet_state.of(name), counts.get(name, 0)
            if now < known.elsewhere:
                freed.append(name)
            known.elsewhere = now
        for name in freed:
            self.offer(name)
        return bool(freed)

    async def _inquire(self, heard: Heard) -> None:
        for job in await self.run_log.list_left_behind(self.fleet.names):
            patience_seconds = SILENT_BEATS * self.run_log.beat_seconds
            if not heard.is_dead(job, anyio.current_time(), patience_seconds):
                continue
            key = "-".join(map(str, job.key))
            if await self.calls.is_over(self.fleet[job.member], key, job.provider_job_id):
                await self.run_log.free(job)
