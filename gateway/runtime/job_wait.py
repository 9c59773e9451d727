"""Wait for a submitted job; cancel it if nobody waits any longer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from qiskit_gateway.backends.failures.errors import BackendError, amend
from qiskit_gateway.backends.interface.protocol import FleetMember, Handle
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.runtime.provider_calls import Calls, Patience, Reply, is_lost_connection
from qiskit_gateway.work.record.attempt import Attempt

# Credentials expire while a job runs, and are renewed: nothing is wrong with the job.
_LEFT_ALONE = (
    "it is left alone. Renew the credentials, then resume the run from its journal; without a "
    "journal, fetch the job from the provider by its id"
)


class TakenBackError(Exception):
    """The provider confirmed that it cancelled a job which was asked back."""


@dataclass(slots=True, kw_only=True)
class Out:
    """A job that a provider has and that is waited for.

    Attributes:
        member: Where.
        handle: The job.
        patience: What ends the wait early.
        answered: Set when the provider has answered, or not, to being asked for it back; ``None``
            while it was not asked.
        reply: What it answered last.
        queued: Whether its provider says that it waits in its queue.
    """

    member: FleetMember
    handle: Handle
    patience: Patience = field(default_factory=Patience)
    answered: anyio.Event | None = None
    reply: Reply = field(default_factory=Reply)
    queued: bool = False

    @property
    def silent(self) -> bool:
        """True if the provider did not answer: then it is not asked again."""
        return self.reply.failure is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The rules for waiting for a job.

    Attributes:
        calls: The calls to members.
        leaves: Whether the job of a cancelled shard is left with its provider, for another process
            to fetch.
    """

    calls: Calls
    leaves: Callable[[int], bool]

    async def wait_for(
        self, out: Out, attempt: Attempt, note_stage: Callable[[int, bool], None]
    ) -> Sequence[Outcome]:
        """Wait for a job; cancel it if nobody waits any longer.

        Args:
            out: The job.
            attempt: Its attempt.
            note_stage: Told whether a shard has begun to run, each time that its provider says so.

        Raises:
            TakenBackError: If it was asked back, and its provider confirmed that.
            BackendError: If it failed.
        """
        try:
            return await self.calls.collect(
                out.member, out.handle, partial(note_stage, attempt.shard), out.patience
            )
        except BackendError as error:
            if await self._was_taken_back(out):
                raise TakenBackError from error
            if error.authentication:
                attempt.failure = describe_stray_job(attempt, _LEFT_ALONE)
            elif is_lost_connection(error):
                # A job that is given up must not run on at somebody's cost.
                await self._cancel(out, attempt)
            # An attempt that was accepted has no other failure than that it may still run.
            raise _amend_taken(error, attempt.failure) from error
        except anyio.get_cancelled_exc_class():
            if self.leaves(attempt.shard):
                attempt.failure = describe_stray_job(
                    attempt, "it is left for another process to fetch"
                )
            else:
                await self._cancel(out, attempt)
            raise

    async def _cancel(self, out: Out, attempt: Attempt) -> None:
        """Ask the provider to cancel a job that nobody will wait for."""
        reply = out.reply
        if not out.silent:
            # Shielded, because the run that is being cancelled must still reach the provider.
            with anyio.CancelScope(shield=True):
                reply = await self.calls.cancel(out.member, out.handle)
        if not reply.confirmed:
            attempt.failure = f"job {attempt.job_id!r} may still run: {reply.reason}"

    async def _was_taken_back(self, out: Out) -> bool:
        """Find out whether a job failed because it was asked back: an answer may come late."""
        if out.answered is None:
            return False
        # Shielded: a caller cancelled meanwhile must still know whether the job is off.
        with anyio.CancelScope(shield=True):
            await out.answered.wait()
            if not out.reply.confirmed and not out.silent:
                out.reply = await self.calls.cancel(out.member, out.handle)
        return out.reply.confirmed


def describe_stray_job(attempt: Attempt, reason: str) -> str:
    """Describe the job of an attempt that may still run, and say why."""
    job = f"job {attempt.job_id!r}" if attempt.job_id else "a job that the provider perhaps took"
    return f"{job} may still run: {reason}"


def _amend_taken(error: BackendError, left: str) -> BackendError:
    """Amend a failure of a job that was taken, and that may still run if something is left.

    Whatever a member says: that the job was taken is known. What becomes of one that may still run
    is not, as with a submission that nobody answered.
    """
    message = f"{error}; {left}" if left else str(error)
    return amend(error, submitted=None if left else True, message=message)
