"""What arrives of a run is written into its results, and into its run log; how the run stands, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.run_log import RunLog
from qiskit_gateway.runtime.notify import Notifier
from qiskit_gateway.work import run_events as happened
from qiskit_gateway.work.attempt import Attempt
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.tasks import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Where a run writes down what it gets.

    A run log that fails costs a warning, not the run: what arrived is in the results all the same.

    Attributes:
        run_log: Where the run is written down.
        merge: Write outcomes of a shard into the results.
        seconds: How long ago the run began.
        notifier: Tells observers what happens.
        inline_shots: Shards of so many shots are written in the event loop, larger ones in a thread.
    """

    run_log: RunLog
    merge: Callable[[Shard, Sequence[Outcome]], Receipt]
    seconds: Callable[[], float]
    notifier: Notifier
    inline_shots: float

    async def write(self, shard: Shard, attempt: Attempt, outcomes: Sequence[Outcome]) -> Receipt:
        """Write down what an attempt brought, and return what that was."""
        seconds = self.seconds()
        if shard.circuit_shots <= self.inline_shots and not self.run_log.wants_tidying:
            return self._written(shard, attempt, outcomes, seconds)
        receipt = Receipt()
        # Shielded: a write that has begun is finished, or the books would not match the arrays.
        with anyio.CancelScope(shield=True):
            receipt = await call_in_thread(lambda: self._written(shard, attempt, outcomes, seconds))
        return receipt  # noqa: RET504  mypy knows that a scope may end early.

    def _written(
        self, shard: Shard, attempt: Attempt, outcomes: Sequence[Outcome], seconds: float
    ) -> Receipt:
        """Write outcomes down and into the results; in a thread where that takes time."""
        try:
            self.run_log.arrived(attempt, outcomes, seconds)
            if self.run_log.wants_tidying:
                self.run_log.tidy()
        except JournalError as error:
            self.notifier.tell(happened.JournalFailed, reason=str(error))
        return self.merge(shard, outcomes)

    async def beat(self) -> None:
        """Say from time to time that the run goes on."""
        while True:
            await anyio.sleep(self.run_log.beat_seconds)
            self.run_log.beat()

    def close(self, state: str) -> None:
        """Write down how the run stands, and let go of it."""
        try:
            self.run_log.closed(state)
        except JournalError as error:
            self.notifier.tell(happened.JournalFailed, reason=str(error))
