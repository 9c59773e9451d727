"""Processes that die while they write a run down, and run logs that cannot be written."""

import math
from dataclasses import dataclass

import anyio

from qiskit_gateway import JournalError
from qiskit_gateway.journal.sightings import read_sightings

# What is written of an attempt; a process may die after each.
_WRITES = frozenset({"record_intent", "record_acceptance", "record_outcomes", "record_end"})


@dataclass(kw_only=True)
class Outage:
    """When a run log cannot be written: for some seconds, or for some calls.

    Attributes:
        begins: After how many seconds of the loop's clock.
        seconds: For how long; ``inf`` if the file was deleted.
        calls: How many calls after that fail.
        late: Whether those fail after everything was written, so that nobody knows that it was.
        told: How many have failed.
    """

    begins: float
    seconds: float = 0.0
    calls: int = 0
    late: bool = False
    told: int = 0

    @property
    def is_on(self) -> bool:
        """The file cannot be written now."""
        return self.begins <= anyio.current_time() < self.begins + self.seconds

    def strike(self, *, late: bool) -> None:
        """Fail, if now is the time; after the writing, or before it."""
        begun = anyio.current_time() >= self.begins
        if (self.is_on and not late) or (begun and self.told < self.calls and self.late == late):
            self.told += 1
            raise JournalError("the journal cannot be written")

    @property
    def is_final(self) -> bool:
        """It never ends."""
        return math.isinf(self.seconds)


class Dying:
    """A run_log whose process dies after so many writes: from then on nothing is written.

    Args:
        run_log: The run_log.
        lives: After how many writes; ``None`` for never.
        outage: When it cannot be written.

    Attributes:
        scope: What to run in; it is cancelled when the process dies.
        writes: How many there were.
    """

    def __init__(self, run_log, lives, outage=None):
        self._run_log, self.lives, self.scope = run_log, lives, anyio.CancelScope()
        self.writes, self._outage = 0, outage or Outage(begins=math.inf)

    async def perform(self, writes):
        """Write in the event loop: a clock that jumps does not wait for threads."""
        self._outage.strike(late=False)
        errors = self._run_log._write(writes)
        self._outage.strike(late=True)
        return errors

    async def count_elsewhere(self):
        """Count in the event loop, too."""
        return self._run_log._claims.elsewhere(self._run_log.party)

    async def list_left_behind(self, members):
        """List in the event loop, too."""
        return self._run_log._claims.list_left_jobs(self._run_log.party, members)

    async def look(self):
        """Look in the event loop, too."""
        if self._outage.is_on:
            raise JournalError("the journal cannot be read")
        self._run_log._check()

    async def list_sightings(self):
        """List in the event loop, too."""
        return read_sightings(self._run_log._database, self._run_log.party)

    async def free(self, job):
        """Write in the event loop, too."""
        self._run_log._claims.free(job)

    def leave(self, writes):
        """Write nothing later: that is done in a thread."""

    def __getattr__(self, name):
        told = getattr(self._run_log, name)
        if name not in {*_WRITES, "beat", "close"}:
            return told

        def write(*arguments, **facts):
            if self.scope.cancel_called:
                return
            told(*arguments, **facts)
            if name in _WRITES:
                self.writes += 1
                if self.writes == self.lives:
                    self.scope.cancel()

        return write
