"""Telling observers what happens in a run: the log first, then those of the fleet."""

from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from qiskit_gateway.runtime.notifications.logs import Log, is_written, write_event
from qiskit_gateway.work.record.run_events import RunEvent


class Posting(Protocol):
    """A queue of events for observers; putting one there takes no time."""

    def post(self, event: RunEvent, context: Context) -> None:
        """Put one in, with the context in which the run was begun."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """Tells the observers of one run.

    Attributes:
        job_id: The run.
        seconds: Tells how long ago it began.
        log: Where events are written.
        mailboxes: Those of the fleet's observers, and of observers of this run alone.
        context: That of the caller that began the run; observers are called in it.
    """

    job_id: str
    seconds: Callable[[], float]
    log: Log
    mailboxes: list[Posting] = field(default_factory=list)
    context: Context = field(default_factory=copy_context)

    def tell(self, kind: type[RunEvent], **facts: Any) -> None:
        """Report an event.

        Args:
            kind: What.
            facts: The attributes of such an event, but for those that all events have.
        """
        if not self.mailboxes and not is_written(self.log, kind):
            return
        event = kind(job_id=self.job_id, seconds=self.seconds(), **facts)
        write_event(self.log, event)
        for mailbox in self.mailboxes:
            mailbox.post(event, self.context)
