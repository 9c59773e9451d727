"""One shard on one member: submit, collect, write down, and try again where that makes sense.

Deadlines, retries and the record of what was tried are layers round the two verbs; the order in
which they are wrapped is written once, in :meth:`Attempts.run`.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

import anyio

from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.redaction import redact_name
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import FleetMember, Handle
from qiskit_gateway.backends.readout.validation import require_outcomes
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.runtime.alarms import Alarms
from qiskit_gateway.runtime.job_terms import JobTerms
from qiskit_gateway.runtime.job_wait import Out, TakenBackError, Waiting, describe_stray_job
from qiskit_gateway.runtime.notifications.notify import Notifier
from qiskit_gateway.runtime.provider_calls import Calls, OverdueError, describe_failure
from qiskit_gateway.runtime.recorder import Recorder
from qiskit_gateway.runtime.retries import repeat
from qiskit_gateway.runtime.survey import units_of
from qiskit_gateway.scheduling.events import (
    Accept,
    Command,
    Discard,
    Event,
    RecallFailed,
    ResultArrived,
    Retry,
    ShardCancelled,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardLost,
    ShardRefused,
    TryFailed,
    Unless,
)
from qiskit_gateway.work.price import Price
from qiskit_gateway.work.receipt import Receipt, count_ran_shots
from qiskit_gateway.work.record import run_events as happened
from qiskit_gateway.work.record.attempt import SURPLUS, Attempt, AttemptOutcome
from qiskit_gateway.work.record.run_log import DeniedError
from qiskit_gateway.work.tasks import Shard

T = TypeVar("T")


class _SurplusError(Exception):
    """Another job has already brought this job's result."""


class RunDoor(Protocol):
    """The run, as attempts see it."""

    def tell(self, event: Event) -> Sequence[Command]:
        """Report an event to the scheduler, carry out its commands, and return them."""

    def make_batch(self, shard: Shard, number: int) -> Batch:
        """Make the batch of a shard, for one of its tries on a member."""

    def leaves(self, shard: int) -> bool:
        """Decide whether the job of a cancelled shard is left for another process to fetch."""


@dataclass(slots=True, kw_only=True)
class Attempts:
    """Run shards on members, for one run.

    Attributes:
        policy: The rules.
        door: The way to their run.
        recorder: Where attempts, and what they bring, are written down.
        terms: The limits of jobs on members.
        draw: Where the jitter of waits comes from: numbers in [0, 1).
        notifier: Tells observers what happens.
        record: Every attempt, in order.
        alarms: Looks after jobs from time to time.
        began: When the run began, in seconds of the loop's clock.
        calls: Calls to providers, by the policy.
    """

    policy: Policy
    door: RunDoor
    recorder: Recorder
    terms: JobTerms
    draw: Callable[[], float]
    notifier: Notifier
    alarms: Alarms
    began: float
    record: list[Attempt] = field(default_factory=list)
    _prices: dict[int, Price] = field(default_factory=dict)
    _tries: dict[int, int] = field(default_factory=dict)
    _out: dict[int, Out] = field(default_factory=dict)
    calls: Calls = field(init=False)
    _waiting: Waiting = field(init=False)

    def __post_init__(self) -> None:
        self.calls = Calls(policy=self.policy, draw=self.draw, alarms=self.alarms)
        self._waiting = Waiting(calls=self.calls, leaves=self.door.leaves)

    @property
    def queued(self) -> frozenset[int]:
        """The shards of which a provider says that they wait in its queue."""
        return frozenset(shard for shard, out in self._out.items() if out.queued)

    async def run(
        self, shard: Shard, member: FleetMember, price: Price
    ) -> ShardFinished | ShardFailed | ShardRefused | ShardCancelled | ShardDenied:
        """Run a shard on a member, whatever it takes by the rules, and tell how it ended."""
        self._prices[shard.index] = price
        try:
            return await repeat(
                lambda: self._try(shard, member), partial(self._wait_to_retry, shard, member.name)
            )
        except Refused as verdict:
            return ShardRefused(shard=shard.index, reasons=verdict.reasons)
        except DeniedError as denied:
            return ShardDenied(shard=shard.index, verdict=denied.verdict)
        except BackendError as error:
            return ShardFailed(
                shard=shard.index, failure=describe_failure(error), reason=str(error)
            )
        except TakenBackError:
            return ShardCancelled(shard=shard.index, confirmed=True, accepted=True)
        except _SurplusError:
            return ShardCancelled(shard=shard.index, accepted=True)

    async def fetch(
        self, shard: Shard, member: FleetMember
    ) -> ShardFinished | ShardFailed | ShardLost | ShardCancelled:
        """Collect a shard that an earlier process submitted, or was about to, and tell how it ended."""
        # A shard may have been sent again after a try of unknown fate: one of them is asked for.
        tries = (one for one in reversed(self.record) if one.shard == shard.index)
        attempt = next(one for one in tries if one.outcome is AttemptOutcome.RUNNING)
        attempt.failure = describe_stray_job(attempt, "it was not found again yet")
        batch = self.door.make_batch(shard, attempt.number)
        try:
            found = self._find_again(member, batch, attempt)
            handle = await self._record(attempt, found)
        except BackendError as error:
            return ShardLost(shard=shard.index, reason=attempt.failure or str(error))
        if handle is None:
            self._end(attempt, AttemptOutcome.CANCELLED, "", paid=False)
            return ShardCancelled(shard=shard.index, confirmed=True)
        try:
            got = self._receive(shard, member, handle, attempt, batch)
            return await self._record(attempt, got)
        except BackendError as error:
            return ShardFailed(
                shard=shard.index, failure=describe_failure(error), reason=str(error)
            )
        except TakenBackError:
            return ShardCancelled(shard=shard.index, confirmed=True, accepted=True)

    async def recall(self, shard: int, unless: Unless) -> RecallFailed | None:
        """Ask a shard back while it is waited for; return why not, if it continues."""
        out = self._out.get(shard)
        if out is None:
            reason = "no provider has it at present"
            return RecallFailed(shard=shard, reason=reason, has_job=False)
        out.answered = anyio.Event()
        try:
            out.reply = await self.calls.cancel(out.member, out.handle, unless=unless)
        finally:
            out.answered.set()
        if out.reply.confirmed:
            # What has come until now counts; only the waiting for it ends here.
            out.patience.stop(TakenBackError())
            self.notifier.tell(happened.ShardRecalled, shard=shard, member=out.member.name)
            return None
        return RecallFailed(shard=shard, reason=out.reply.reason, failure=out.reply.failure)

    async def has_started(self, shard: int) -> bool | None:
        """Ask whether a provider runs a shard; ``None`` if it does not say, or has none yet."""
        out = self._out.get(shard)
        return None if out is None else await self.calls.ask_started(out.member, out.handle)

    def note_stage(self, shard: int, started: bool) -> None:  # noqa: FBT001  It is an answer.
        """Note whether a shard has begun to run, as its provider says; only the first time counts."""
        out = self._out.get(shard)
        if out is None or (attempt := self._last_of(shard)).started_seconds is not None:
            return
        out.queued = not started
        if started:
            attempt.started_seconds = self._now()
            self.recorder.note_start(attempt)
            self.notifier.tell(happened.ShardStarted, shard=shard, member=attempt.member)

    def _wait_to_retry(
        self, shard: Shard, member: str, error: BackendError, number: int
    ) -> float | None:
        """Ask the scheduler whether a shard is tried again; decide how long to wait before that."""
        if isinstance(error, Refused | OverdueError):
            return None
        failed = TryFailed(
            shard=shard.index,
            failure=describe_failure(error),
            reason=str(error),
            attempt=number,
            accepted=self._last_of(shard.index).accepted_seconds is not None,
        )
        for command in self.door.tell(failed):
            if isinstance(command, Retry):
                self._prices[shard.index] = command.price
                seconds = self.calls.draw_wait_seconds(error, number)
                self.notifier.tell(
                    happened.ShardRetried,
                    shard=shard.index,
                    member=member,
                    attempt=number,
                    wait_seconds=seconds,
                    reason=str(error),
                )
                return seconds
        return None

    async def _try(self, shard: Shard, member: FleetMember) -> ShardFinished:
        attempt = self._begin(shard, member.name)
        return await self._record(attempt, self._submit_and_collect(shard, member, attempt))

    async def _record(self, attempt: Attempt, doing: Awaitable[T]) -> T:
        """Wait for something, and record how it failed if it did."""
        try:
            return await doing
        except DeniedError:
            raise  # Nothing was announced.
        except Refused as verdict:
            self._end(attempt, AttemptOutcome.REFUSED, str(verdict), paid=False)
            raise
        except BackendError as error:
            lost = error.submitted is None
            outcome = AttemptOutcome.UNKNOWN if lost else AttemptOutcome.FAILED
            paid = error.submitted is not False and not error.unbilled
            self._end(attempt, outcome, str(error), paid=paid)
            raise
        except TakenBackError:
            self._end(attempt, AttemptOutcome.CANCELLED, "", paid=False)
            raise
        except _SurplusError:
            self._end(attempt, AttemptOutcome.CANCELLED, SURPLUS)
            raise
        except BaseException:
            # Without a failure it is certain that it does not run, and its price is given back.
            paid, noted = bool(attempt.failure), not self.door.leaves(attempt.shard)
            self._end(attempt, AttemptOutcome.CANCELLED, attempt.failure, paid=paid, noted=noted)
            raise

    async def _submit_and_collect(
        self, shard: Shard, member: FleetMember, attempt: Attempt
    ) -> ShardFinished:
        batch = self.door.make_batch(shard, attempt.number)
        await self._make_ready(batch, member, attempt)
        handed_over = self.alarms.now()
        handle = await self._hand_over(batch, member, attempt)
        finished = await self._receive(shard, member, handle, attempt, batch)
        return replace(finished, handed_over=handed_over)

    async def _make_ready(self, batch: Batch, member: FleetMember, attempt: Attempt) -> None:
        try:
            await self.calls.prepare(batch, member)
            await self.recorder.intend(attempt, batch.seed, lambda: self.terms.of(member))
        except DeniedError:
            self.record.remove(attempt)
            self._tries[attempt.shard] -= 1
            raise
        except BaseException:
            self._announce(attempt)
            raise
        self._announce(attempt)

    async def _hand_over(self, batch: Batch, member: FleetMember, attempt: Attempt) -> Handle:
        attempt.failure = "cancelled while the provider was being asked to take it"
        handle = await self.calls.submit(batch, member)
        # Nothing is awaited between the provider's answer and its being written down.
        self._accept(attempt, handle)
        return handle

    def _accept(self, attempt: Attempt, handle: Handle) -> None:
        attempt.failure = ""
        attempt.job_id = redact_name(str(handle.job_id))
        attempt.accepted_seconds = self._now()
        self.recorder.accept(attempt)
        self.notifier.tell(
            happened.ShardAccepted,
            shard=attempt.shard,
            member=attempt.member,
            circuits=attempt.circuits,
            shots=attempt.shots,
            provider_job_id=attempt.job_id,
        )

    async def _receive(
        self, shard: Shard, member: FleetMember, handle: Handle, attempt: Attempt, batch: Batch
    ) -> ShardFinished:
        out = self._out[shard.index] = Out(member=member, handle=handle)
        try:
            given = await self._waiting.wait_for(out, attempt, self.note_stage)
        except Refused as verdict:
            # Its provider has it: that it would be refused now does not make it unsent.
            raise BackendError(str(verdict), transient=False, submitted=True) from verdict
        finally:
            del self._out[shard.index]
        outcomes = deque(
            require_outcomes(
                given,
                batch.widths,
                batch.kept_shots,
                verb=f"{member.name}.collect()",
                meas_level=batch.options.get("meas_level", 2),
                observables=batch.observables,
            )
        )
        del given  # Each outcome goes once it is written.
        ran_shots = count_ran_shots(outcomes, shard.shots, batch.kept_shots)
        charged = await self._ask_charge(member, handle, attempt)
        self._book(attempt, ran_shots, charged)
        finished = self._judge_receipt(shard, await self.recorder.receive(shard, attempt, outcomes))
        whole = not finished.missing and not finished.failed
        reason = finished.failed[0][2] if finished.failed else ""
        self._end(attempt, AttemptOutcome.DONE if whole else AttemptOutcome.SHORT, reason)
        return finished

    async def _ask_charge(
        self, member: FleetMember, handle: Handle, attempt: Attempt
    ) -> float | None:
        """Ask what a job took by its provider's word."""
        charge = await self.calls.ask_charge(member, handle)
        if charge is None:
            return None
        return units_of(charge, member, circuits=attempt.circuits, shots=attempt.shots)

    def _book(self, attempt: Attempt, ran_shots: int, charged_units: float | None) -> None:
        """Ask whether what came counts, and book what it has cost."""
        asked = attempt.circuits * attempt.shots
        attempt.ran_shots = ran_shots if ran_shots < asked else None
        attempt.charged = charged_units is not None
        arrived = ResultArrived(
            shard=attempt.shard, ran_shots=attempt.ran_shots, charged_units=charged_units
        )
        for answer in self.door.tell(arrived):
            if isinstance(answer, Accept | Discard):
                attempt.price_usd, attempt.free_units = answer.price.usd, answer.price.free_units
            if isinstance(answer, Discard):
                raise _SurplusError

    async def _find_again(
        self, member: FleetMember, batch: Batch, attempt: Attempt
    ) -> Handle | None:
        """Find the job of an earlier process; ``None`` if it is certain that there is none."""
        try:
            handle = await self.calls.find_again(member, batch, attempt.job_id)
        except BackendError as error:
            # Whatever the reason, its fate is unknown.
            raise BackendError(describe_stray_job(attempt, str(error)), submitted=None) from error
        if handle is not None and not attempt.job_id:
            self._accept(attempt, handle)
        attempt.failure = ""
        return handle

    @staticmethod
    def _judge_receipt(shard: Shard, receipt: Receipt) -> ShardFinished:
        """Distinguish a job that failed as a whole from one that failed in parts."""
        failed = sum(piece.rows for piece, _ in receipt.failed)
        if failed == shard.circuits:
            raise receipt.failed[0][1]
        return ShardFinished(
            shard=shard.index,
            missing=receipt.missing,
            top_up_shots=receipt.top_up_shots,
            failed=tuple(
                (piece, describe_failure(error), str(error)) for piece, error in receipt.failed
            ),
        )

    def _begin(self, shard: Shard, member: str) -> Attempt:
        self._tries[shard.index] = number = self._tries.get(shard.index, 0) + 1
        price = self._prices[shard.index]
        attempt = Attempt(
            shard=shard.index,
            member=member,
            number=number,
            pieces=shard.pieces,
            circuits=shard.circuits,
            shots=shard.shots,
            submitted_seconds=self._now(),
            price_usd=price.usd,
            free_units=price.free_units,
        )
        self.record.append(attempt)
        return attempt

    def _announce(self, attempt: Attempt) -> None:
        """Report that an attempt is made; a denied one never was."""
        place = {"shard": attempt.shard, "member": attempt.member}
        self.notifier.tell(
            happened.MoneyReserved, **place, usd=attempt.price_usd, free_units=attempt.free_units
        )
        self.notifier.tell(
            happened.ShardSubmitted,
            **place,
            attempt=attempt.number,
            circuits=attempt.circuits,
            shots=attempt.shots,
            pieces=attempt.pieces,
        )

    def _end(
        self,
        attempt: Attempt,
        outcome: AttemptOutcome,
        failure: str,
        *,
        paid: bool = True,
        noted: bool = True,
    ) -> None:
        attempt.outcome = outcome
        attempt.failure = failure
        if not paid:
            attempt.price_usd = attempt.free_units = 0.0
        attempt.finished_seconds = self._now()
        self.notifier.tell(
            happened.MoneySettled,
            shard=attempt.shard,
            member=attempt.member,
            usd=attempt.price_usd,
            free_units=attempt.free_units,
            outcome=outcome,
            reason=failure,
        )
        if noted and not outcome.delivered:
            self.recorder.end(attempt, taken=paid)

    def _last_of(self, shard: int) -> Attempt:
        return next(one for one in reversed(self.record) if one.shard == shard)

    def report_cancelled(self, shard: int) -> ShardCancelled:
        """Report a shard whose task was cancelled."""
        last = next((one for one in reversed(self.record) if one.shard == shard), None)
        if last is None:
            return ShardCancelled(shard=shard, confirmed=True)
        return ShardCancelled(
            shard=shard,
            confirmed=not (last.outcome is AttemptOutcome.CANCELLED and last.failure),
            accepted=last.accepted_seconds is not None,
        )

    def _now(self) -> float:
        return self.alarms.now() - self.began
