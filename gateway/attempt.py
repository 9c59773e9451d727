"""One shard on one member: submit, collect, write down, and try again where that makes sense.

Deadlines, retries and the record of what was tried are layers round the two verbs; the order in
which they are wrapped is written once, in :meth:`Attempts.run`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from qiskit_gateway import logs
from qiskit_gateway.backends.batch import Batch
from qiskit_gateway.backends.errors import BackendError, Refused
from qiskit_gateway.backends.faults import Phase, translate
from qiskit_gateway.backends.member import FleetMember, Handle
from qiskit_gateway.backends.outcomes import Outcome
from qiskit_gateway.events import ShardFailed, ShardFinished, ShardRefused
from qiskit_gateway.merge import Receipt
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.policies.retry import Retry
from qiskit_gateway.workload import Piece, Shard


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try to run one shard on one member, as it is reported.

    Attributes:
        shard: Number of the shard in the run.
        member: Where.
        number: Which try of the shard there, from 1.
        pieces: What it covered.
        circuits: Circuits of the job.
        shots: Shots of each circuit, as asked for.
        job_id: The provider's id, where the provider took the job and gave one.
        submitted_seconds: When it was handed over, in seconds from the start of the run.
        accepted_seconds: When the provider had taken it; ``None`` if it did not.
        finished_seconds: When its end was known; ``None`` while it runs.
        price_usd: What it is expected to cost; 0 where the provider is known not to have taken it.
        outcome: ``"running"``, ``"done"``, ``"short"`` (something is missing), ``"failed"``,
            ``"refused"`` (a verdict, nothing was sent), ``"unknown"`` (nobody knows whether the
            provider took it), or ``"cancelled"``.
        failure: What went wrong, for people.
    """

    shard: int
    member: str
    number: int
    pieces: tuple[Piece, ...]
    circuits: int
    shots: int
    job_id: str = ""
    submitted_seconds: float = 0.0
    accepted_seconds: float | None = None
    finished_seconds: float | None = None
    price_usd: float = 0.0
    outcome: str = "running"
    failure: str = ""


class _OverdueError(BackendError):
    """Our own deadline for a result has passed: enough time was lost on that member."""


Write = Callable[[Shard, Sequence[Outcome]], Awaitable[Receipt]]


@dataclass(slots=True, kw_only=True)
class Attempts:
    """Run shards on members, for one run.

    Attributes:
        policy: The rules.
        batch_of: Make the batch of a shard.
        price_of: Return the expected price of a shard on a member, in USD.
        write: Write outcomes into the results and say what is missing.
        may_retry: Whether the run has a retry left for a shard.
        draw: Where the jitter of waits comes from: numbers in [0, 1).
        tried: Told of each try that failed and is repeated: shard, facts, reason.
        log: A bound logger.
        record: Every attempt, in order.
        began: When the run began, in seconds of the loop's clock.
    """

    policy: Policy
    batch_of: Callable[[Shard], Batch]
    price_of: Callable[[Shard, str], float]
    write: Write
    may_retry: Callable[[int], bool]
    draw: Callable[[], float]
    tried: Callable[[int, Failure, str], None]
    log: Any
    began: float
    record: list[Attempt] = field(default_factory=list)
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

    def _may_try_again(self, shard: Shard, state: RetryCallState) -> bool:
        error = _error_of(state)
        if not isinstance(error, BackendError) or isinstance(error, Refused | _OverdueError):
            return False
        decision = self.policy.retry.decide(facts(error), state.attempt_number, 0.0)
        return isinstance(decision, Retry) and self.may_retry(shard.index)

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
        try:
            finished = await self._submit_and_collect(shard, member, attempt)
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
        whole = not finished.missing and not finished.failed
        reason = finished.failed[0][2] if finished.failed else ""
        self._end(attempt, "done" if whole else "short", reason, price_usd=attempt.price_usd)
        return finished

    async def _submit_and_collect(
        self, shard: Shard, member: FleetMember, attempt: Attempt
    ) -> ShardFinished:
        attempt.failure = "cancelled while the provider was being asked to take it"
        handle = await self._submit(shard, member)
        attempt.failure = ""
        attempt.job_id = handle.job_id
        attempt.accepted_seconds = self._now()
        self.log.debug(
            logs.SHARD_SUBMITTED,
            shard=shard.index,
            backend=member.name,
            circuits=shard.circuits,
            shots=shard.shots,
            provider_job_id=handle.job_id,
        )
        try:
            outcomes = await self._collect(member, handle)
        except BackendError as error:
            # Whoever gives a job up must not let it run on at somebody's cost.
            if error.transient is not False and error.fault == "network":
                await self._cancel(member, handle, attempt)
            raise
        except anyio.get_cancelled_exc_class():
            await self._cancel(member, handle, attempt)
            raise
        return self._checked(shard, await self.write(shard, outcomes))

    async def _submit(self, shard: Shard, member: FleetMember) -> Handle:
        seconds = self.policy.submit_seconds
        with anyio.move_on_after(seconds), _Facts("submit"):
            return await member.submit(self.batch_of(shard))
        raise BackendError(
            f"{member.name} did not say within {seconds:g} s whether it took the job",
            transient=True,
            fault="network",
            submitted=None,
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
            price_usd=self.price_of(shard, member),
        )
        self.record.append(attempt)
        return attempt

    def _end(self, attempt: Attempt, outcome: str, failure: str, *, price_usd: float) -> None:
        attempt.outcome = outcome
        attempt.failure = failure
        attempt.price_usd = price_usd
        attempt.finished_seconds = self._now()

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
