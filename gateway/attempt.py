"""One shard on one member: submit, collect, write down, and try again where that makes sense.

Deadlines, retries and the record of what was tried are layers round the two verbs; the order in
which they are wrapped is written once, in :meth:`Attempts.run`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeVar

import anyio
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
)

from qiskit_gateway import logs
from qiskit_gateway.backends.batch import Batch
from qiskit_gateway.backends.errors import BackendError, Refused
from qiskit_gateway.backends.faults import Phase, translate
from qiskit_gateway.backends.member import FleetMember, Handle
from qiskit_gateway.backends.outcomes import Outcome
from qiskit_gateway.errors import JournalError
from qiskit_gateway.events import (
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
)
from qiskit_gateway.merge import Receipt
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.retry import Retry
from qiskit_gateway.record import NO_DIARY, Attempt, Diary
from qiskit_gateway.workload import Shard

T = TypeVar("T")


class _OverdueError(BackendError):
    """Our own deadline for a result has passed: enough time was lost on that member."""


Write = Callable[[Shard, Attempt, Sequence[Outcome]], Awaitable[Receipt]]


@dataclass(slots=True, kw_only=True)
class Attempts:
    """Run shards on members, for one run.

    Attributes:
        policy: The rules.
        batch_of: Make the batch of a shard, for one of its tries there.
        price_of: Return the expected price of a shard, in USD.
        write: Write the outcomes of an attempt down and into the results, and say what is missing.
        may_retry: Whether the run has a retry left for a shard, after such a failure.
        draw: Where the jitter of waits comes from: numbers in [0, 1).
        tried: Told of each try that failed and is repeated: shard, facts, reason.
        log: A bound logger.
        record: Every attempt, in order.
        diary: Where attempts are written down.
        leaves: Whether the job of a cancelled shard is left with its provider, for another process
            to fetch.
        began: When the run began, in seconds of the loop's clock.
    """

    policy: Policy
    batch_of: Callable[[Shard, int], Batch]
    price_of: Callable[[Shard], float]
    write: Write
    may_retry: Callable[[int, Failure], bool]
    draw: Callable[[], float]
    tried: Callable[[int, Failure, str], None]
    log: Any
    began: float
    record: list[Attempt] = field(default_factory=list)
    diary: Diary = NO_DIARY
    leaves: Callable[[int], bool] = lambda _: False
    _tries: dict[int, int] = field(default_factory=dict)

    async def run(
        self, shard: Shard, member: FleetMember
    ) -> ShardFinished | ShardFailed | ShardRefused:
        """Run a shard on a member, whatever it takes by the rules, and tell how it ended."""
        retrying = AsyncRetrying(
            retry=lambda state: self._may_try_again(shard, state),
            wait=self._backoff_seconds,
            before_sleep=lambda state: self._note_retry(shard, member, state),
            sleep=anyio.sleep,
        )
        try:
            return await retrying(self._try, shard, member)
        except Refused as verdict:
            return ShardRefused(shard=shard.index, reasons=verdict.reasons)
        except BackendError as error:
            return ShardFailed(shard=shard.index, failure=facts(error), reason=str(error))

    async def fetch(
        self, shard: Shard, member: FleetMember
    ) -> ShardFinished | ShardFailed | ShardLost | ShardCancelled:
        """Collect a shard that an earlier process submitted, or was about to, and tell how it ended."""
        attempt = next(one for one in reversed(self.record) if one.shard == shard.index)
        attempt.failure = _may_run(attempt, "it was not found again yet")
        batch = self.batch_of(shard, attempt.number)
        try:
            handle = await self._recorded(attempt, self._found_again(member, batch, attempt))
        except BackendError as error:
            return ShardLost(shard=shard.index, reason=attempt.failure or str(error))
        if handle is None:
            self._end(attempt, "cancelled", "", price_usd=0.0)
            return ShardCancelled(shard=shard.index, confirmed=True)
        try:
            return await self._recorded(attempt, self._receive(shard, member, handle, attempt))
        except BackendError as error:
            return ShardFailed(shard=shard.index, failure=facts(error), reason=str(error))

    def _may_try_again(self, shard: Shard, state: RetryCallState) -> bool:
        error = _error_of(state)
        if not isinstance(error, BackendError) or isinstance(error, Refused | _OverdueError):
            return False
        failure = facts(error)
        decision = self.policy.retry.decide(failure, state.attempt_number, 0.0)
        return isinstance(decision, Retry) and self.may_retry(shard.index, failure)

    def _backoff_seconds(self, state: RetryCallState) -> float:
        error = _error_of(state)
        assert isinstance(error, BackendError)  # noqa: S101  Nothing else is tried again.
        return self.policy.retry.backoff_seconds(
            state.attempt_number, self.draw(), error.retry_after_seconds
        )

    def _note_retry(self, shard: Shard, member: FleetMember, state: RetryCallState) -> None:
        error = _error_of(state)
        assert isinstance(error, BackendError)  # noqa: S101  Nothing else is tried again.
        self.tried(shard.index, facts(error), str(error))
        self.log.debug(
            logs.SHARD_RETRIED,
            shard=shard.index,
            backend=member.name,
            attempt=state.attempt_number,
            wait_seconds=round(state.upcoming_sleep, 3),
            error=str(error),
        )

    async def _try(self, shard: Shard, member: FleetMember) -> ShardFinished:
        """Try once, and record it."""
        attempt = self._begin(shard, member.name)
        return await self._recorded(attempt, self._submit_and_collect(shard, member, attempt))

    async def _recorded(self, attempt: Attempt, doing: Awaitable[T]) -> T:
        """Wait for something, and record how it failed if it did."""
        try:
            return await doing
        except Refused as verdict:
            self._end(attempt, "refused", str(verdict), price_usd=0.0)
            raise
        except BackendError as error:
            taken = {True: "failed", False: "failed", None: "unknown"}[error.submitted]
            price = 0.0 if error.submitted is False else attempt.price_usd
            self._end(attempt, taken, str(error), price_usd=price)
            raise
        except BaseException:
            self._end(attempt, "cancelled", attempt.failure, price_usd=attempt.price_usd)
            raise

    async def _submit_and_collect(
        self, shard: Shard, member: FleetMember, attempt: Attempt
    ) -> ShardFinished:
        batch = self.batch_of(shard, attempt.number)
        self.diary.intended(attempt, batch.seed)
        attempt.failure = "cancelled while the provider was being asked to take it"
        handle = await self._submit(batch, member)
        # Nothing is awaited between the provider's answer and its being written down.
        self._accept(attempt, handle)
        return await self._receive(shard, member, handle, attempt)

    def _accept(self, attempt: Attempt, handle: Handle) -> None:
        attempt.failure = ""
        attempt.job_id = handle.job_id
        attempt.accepted_seconds = self._now()
        self._note_down(self.diary.accepted, attempt)
        self.log.debug(
            logs.SHARD_SUBMITTED,
            shard=attempt.shard,
            backend=attempt.member,
            circuits=attempt.circuits,
            shots=attempt.shots,
            provider_job_id=handle.job_id,
        )

    async def _receive(
        self, shard: Shard, member: FleetMember, handle: Handle, attempt: Attempt
    ) -> ShardFinished:
        try:
            outcomes = await self._collect(member, handle)
        except BackendError as error:
            # Whoever gives a job up must not let it run on at somebody's cost.
            if error.transient is not False and error.fault == "network":
                await self._cancel(member, handle, attempt)
            raise
        except anyio.get_cancelled_exc_class():
            if self.leaves(shard.index):
                attempt.failure = _may_run(attempt, "it is left for another process to fetch")
            else:
                await self._cancel(member, handle, attempt)
            raise
        finished = self._checked(shard, await self.write(shard, attempt, outcomes))
        whole = not finished.missing and not finished.failed
        reason = finished.failed[0][2] if finished.failed else ""
        self._end(attempt, "done" if whole else "short", reason, price_usd=attempt.price_usd)
        return finished

    async def _submit(self, batch: Batch, member: FleetMember) -> Handle:
        try:
            return await self._hand_over(batch, member)
        except BackendError as error:
            if error.submitted is not None:
                raise
            handle = await self._sought(batch, member)
            if handle is None:
                raise
            return handle

    async def _hand_over(self, batch: Batch, member: FleetMember) -> Handle:
        seconds = self.policy.submit_seconds
        with anyio.move_on_after(seconds), _Facts("submit"):
            return await member.submit(batch)
        raise BackendError(
            f"{member.name} did not say within {seconds:g} s whether it took the job",
            transient=True,
            fault="network",
            submitted=None,
        )

    async def _sought(self, batch: Batch, member: FleetMember) -> Handle | None:
        """Look for a job that was perhaps taken, and return it if it was found."""
        # Not to find it proves nothing: the submission may still be on its way.
        patient = self.policy.retry.on_unknown == "wait"
        with anyio.move_on_after(self.policy.submit_seconds if patient else None):
            for tries in count(1):
                handle: Handle | None = None
                try:
                    handle = await self._looked_up(batch, member, "")
                except BackendError as error:
                    if not (patient and _lost_connection(error)):
                        return None
                if handle is not None or not patient:
                    return handle
                await anyio.sleep(self.policy.retry.backoff_seconds(tries, self.draw()))
        return None

    async def _found_again(
        self, member: FleetMember, batch: Batch, attempt: Attempt
    ) -> Handle | None:
        """Return the job of an earlier process; ``None`` if it is certain that there is none."""
        patient = self.policy.retry.on_unknown == "wait"
        asking = AsyncRetrying(
            retry=retry_if_exception(_lost_connection),
            wait=self._backoff_seconds,
            stop=stop_never if patient else stop_after_attempt(self.policy.retry.max_attempts),
            sleep=anyio.sleep,
            reraise=True,
        )
        try:
            handle: Handle | None = await asking(self._looked_up, batch, member, attempt.job_id)
        except BackendError as error:
            # Whatever the reason, what became of it is not known.
            raise BackendError(_may_run(attempt, str(error)), submitted=None) from error
        if handle is not None and not attempt.job_id:
            self._accept(attempt, handle)
        attempt.failure = ""
        return handle

    async def _looked_up(self, batch: Batch, member: FleetMember, job_id: str) -> Handle | None:
        """Ask a provider for a job, by its id or else by our own name for it."""
        seconds = self.policy.submit_seconds
        with anyio.move_on_after(seconds), _Facts("reattach"):
            if job_id:
                return replace(await member.reattach(job_id), batch=batch)
            find = getattr(member, "find", None)
            if find is None:
                raise BackendError(f"{member.name} cannot look for jobs", transient=False)
            found: Handle | None = await find(batch.key)
            return None if found is None else replace(found, batch=batch)
        raise BackendError(
            f"{member.name} did not say within {seconds:g} s whether it has the job",
            transient=True,
            fault="network",
        )

    async def _collect(self, member: FleetMember, handle: Handle) -> Sequence[Outcome]:
        """Wait for a job; a lost connection loses the wait, not the job, so wait again."""
        seconds = self.policy.collect_seconds
        asking = AsyncRetrying(
            retry=retry_if_exception(_lost_connection),
            wait=self._backoff_seconds,
            stop=stop_after_attempt(self.policy.retry.max_attempts),
            sleep=anyio.sleep,
            reraise=True,
        )
        with anyio.move_on_after(seconds), _Facts("collect"):
            return await asking(member.collect, handle)
        raise _OverdueError(
            f"{member.name} delivered no result of job {handle.job_id!r} within {seconds:g} s",
            transient=True,
            fault="network",
            submitted=True,
        )

    async def _cancel(self, member: FleetMember, handle: Handle, attempt: Attempt) -> None:
        """Ask the provider to cancel a job that nobody will wait for."""
        confirmed = False
        reason = "the provider did not answer"
        # Shielded, because the run that is being cancelled must still reach the provider.
        with anyio.CancelScope(shield=True), anyio.move_on_after(self.policy.cancel_seconds):
            try:
                with _Facts("cancel"):
                    confirmed = await member.cancel(handle)
                reason = "the provider did not confirm"
            except BackendError as error:
                reason = str(error)
        if not confirmed:
            attempt.failure = f"job {handle.job_id!r} may still run: {reason}"

    @staticmethod
    def _checked(shard: Shard, receipt: Receipt) -> ShardFinished:
        """Tell a job that failed as a whole from one that failed in parts."""
        failed = sum(piece.rows for piece, _ in receipt.failed)
        if failed == shard.circuits:
            raise receipt.failed[0][1]
        return ShardFinished(
            shard=shard.index,
            missing=receipt.missing,
            failed=tuple((piece, facts(error), str(error)) for piece, error in receipt.failed),
        )

    def _begin(self, shard: Shard, member: str) -> Attempt:
        self._tries[shard.index] = number = self._tries.get(shard.index, 0) + 1
        attempt = Attempt(
            shard=shard.index,
            member=member,
            number=number,
            pieces=shard.pieces,
            circuits=shard.circuits,
            shots=shard.shots,
            submitted_seconds=self._now(),
            price_usd=self.price_of(shard),
        )
        self.record.append(attempt)
        return attempt

    def _end(self, attempt: Attempt, outcome: str, failure: str, *, price_usd: float) -> None:
        attempt.outcome = outcome
        attempt.failure = failure
        attempt.price_usd = price_usd
        attempt.finished_seconds = self._now()
        left = outcome == "cancelled" and self.leaves(attempt.shard)
        if outcome not in {"done", "short"} and not left:
            self._note_down(self.diary.ended, attempt)

    def _note_down(self, write: Callable[[Attempt], None], attempt: Attempt) -> None:
        """Write something down that has happened already, and that the run does not depend on."""
        try:
            write(attempt)
        except JournalError as error:
            self.log.warning(logs.JOURNAL_FAILED, error=str(error))

    def is_off(self, shard: int) -> bool:
        """Return whether it is certain that a cancelled shard does not run."""
        last = next((one for one in reversed(self.record) if one.shard == shard), None)
        return last is None or not (last.outcome == "cancelled" and last.failure)

    def _now(self) -> float:
        return anyio.current_time() - self.began


class _Facts:
    """Turn what a member raises against the rules of its protocol into a failure there."""

    def __init__(self, phase: Phase) -> None:
        self._phase: Phase = phase

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, BackendError):
            raise translate(error, phase=self._phase) from error


def _may_run(attempt: Attempt, reason: str) -> str:
    job = f"job {attempt.job_id!r}" if attempt.job_id else "a job that the provider perhaps took"
    return f"{job} may still run: {reason}"


def facts(error: BackendError) -> Failure:
    """Translate a backend's failure into what policies read."""
    return Failure(
        transient=error.transient,
        throttled=error.throttled,
        retry_after_seconds=error.retry_after_seconds,
        fault=error.fault,
        submitted=error.submitted,
        authentication=error.authentication,
        bad_result=error.bad_result,
    )


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _lost_connection(error: BaseException) -> bool:
    return isinstance(error, BackendError) and error.fault == "network" and bool(error.transient)
