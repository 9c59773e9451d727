"""Write arriving results into the result arrays and the run log, with the run's state."""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.errors import JournalError
from qiskit_gateway.runtime.alarms import Alarm, Alarms
from qiskit_gateway.runtime.notifications.notify import Notifier
from qiskit_gateway.runtime.onlookers import Onlookers
from qiskit_gateway.scheduling.members.shared import JournalDown
from qiskit_gateway.work.receipt import Receipt
from qiskit_gateway.work.record import run_events as happened
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.run_log import DeniedError, RunLog, TakenOverError, Terms
from qiskit_gateway.work.record.run_status import RunStatus
from qiskit_gateway.work.speed_evidence import SpeedEvidence
from qiskit_gateway.work.tasks import Shard

T = TypeVar("T")

# Decoding fewer shots than this takes less time than asking a thread to do it.
_INLINE_SHOTS = 20_000
# How long a run that cannot continue without its journal waits for it: for a backup, or for somebody
# who clears the disk. What it has by then is better told than kept.
_PATIENCE_SECONDS = 30.0
_AGAIN_SECONDS = 0.5
# A user who cancelled a run, or gave it a deadline, is not kept waiting by its journal.
_GRACE_SECONDS = 1.0
# What nobody misses if the process ends is written with what comes so much later, which nobody who
# looks on would notice.
_GATHER_SECONDS = 0.05


class InThread(Protocol):
    """A way to do work that would hold up the event loop."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Call a function, and return what it returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The failure that ends a run.

    Attributes:
        reason: For people.
        taken: Whether another process has taken it over.
        cancelled: Whether somebody has asked for it, by way of the run log.
    """

    reason: str
    taken: bool = False
    cancelled: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class _Write:
    """Something to write into the run log.

    Attributes:
        perform: Does it.
        done: Set when it was written or denied, where somebody waits for that.
        denied: Why it was not, if there was no room for it.
        claims: The attempt that it claims something for, and that waits for that.
        seen: When that was seen which it is about, in seconds of the loop's clock, if its age is
            written down.
        patient: Whether it can wait for others.
    """

    perform: Callable[..., object]
    done: anyio.Event | None = None
    denied: DeniedError | None = None
    claims: Attempt | None = None
    seen: float | None = None
    patient: bool = False

    def bind(self, now: float) -> Callable[[], object]:
        """Bind the age that is written down, if any, to what performs it."""
        if self.seen is None:
            return self.perform
        return partial(self.perform, age_seconds=now - self.seen)


@dataclass(slots=True, kw_only=True, eq=False)
class Recorder:
    """The writer of a run's results, log and state.

    The run log is written in order, by one task, which tries again what could not be written. Only
    an attempt that is about to be made waits for that, unless its job would end with the process. So
    a run whose log cannot be written gets what providers have of it, and then stops; and no
    more waits to be written than is in flight. What would be of no use without the process waits a
    moment for what else there is to write: a short run is written down when it is over.

    Attributes:
        run_log: Where the run is written down.
        merge: Write outcomes of a shard into the results, and let go of each.
        seconds: How long ago the run began.
        notifier: Tells observers what happens.
        in_thread: Does work that would hold up the event loop.
        in_flight: Counts the shards that are on their way, those that wait for the run log included.
        lose: Called where the run cannot continue, with the reason.
        goes_on: Whether there are members to which work can go that waits for the run log.
    """

    run_log: RunLog
    merge: Callable[[Shard, deque[Outcome]], Receipt]
    seconds: Callable[[], float]
    notifier: Notifier
    in_thread: InThread
    in_flight: Callable[[], int]
    lose: Callable[[Loss], None]
    goes_on: bool = False
    _writes: deque[_Write] = field(default_factory=deque)
    _onlookers: Onlookers | None = None
    _alarms: Alarms | None = None
    # What begins the task that writes, and when; a short run is over before there is any need of one.
    _begin: Alarm | None = None
    _begins_at: float = math.inf
    _added: anyio.Event | None = None
    # Set when there is something to write that cannot wait for more.
    _pressing: anyio.Event | None = None
    _is_writing: bool = False
    # The attempts under way whose jobs end with the process.
    _passing: set[tuple[int, int]] = field(default_factory=set)
    _waiting: int = 0
    _failing_since: float | None = None
    _is_taken: bool = False

    def start(self, group: Onlookers, alarms: Alarms) -> None:
        """Write down what there is to write, as long as the run lasts."""
        if self.run_log.lasting:
            self._onlookers, self._alarms = group, alarms
            self._beat_later(alarms)
            self._look_later(alarms)

    # -- what happened ---------------------------------------------------------------------------

    async def intend(self, attempt: Attempt, seed: int | None, terms: Callable[[], Terms]) -> None:
        """Write down that an attempt is about to be made; return when it may be.

        Args:
            attempt: The attempt.
            seed: What its provider is given as the seed.
            terms: Says what limits it, over all runs that are written down.

        Raises:
            DeniedError: If there is no room for it.
        """
        if not self.run_log.lasting:
            return
        asked = terms()
        if asked.claims_nothing and not attempt.price_usd:
            # No budget either: it is not waited for what would be said.
            await self._note_intent(attempt, seed, replace(asked, budget=None))
            return
        write = self._add(self.run_log.record_intent, attempt, seed, asked, done=anyio.Event())
        if write is None or write.done is None:
            return
        write.claims = attempt
        self._waiting += 1
        try:
            if self._is_down:
                self._withdraw(write)
            await write.done.wait()
        finally:
            self._waiting -= 1
        if write.denied is not None:
            raise write.denied

    async def _note_intent(self, attempt: Attempt, seed: int | None, terms: Terms) -> None:
        """Write down an attempt that takes nothing from anybody: it waits for no slow run log.

        Should the process end meanwhile, its job ends with it, and is done anew.
        """
        self._passing.add(_key(attempt))
        done = None if self._failing_since is not None else anyio.Event()
        write = self._add(self.run_log.record_intent, attempt, seed, terms, done=done)
        if write is not None and done is not None and self._is_writing:
            # Or more and more would wait to be written.
            write.patient = False
            with anyio.move_on_after(_GRACE_SECONDS):
                await done.wait()

    @property
    def _is_down(self) -> bool:
        """Work had better go to members that need no run log."""
        since = self._failing_since
        late = since is not None and anyio.current_time() - since >= _PATIENCE_SECONDS
        return self.goes_on and since is not None and not late

    def _withdraw(self, write: _Write) -> None:
        """Deny an attempt that cannot be written down now; it may have been, all the same."""
        assert write.claims is not None  # noqa: S101
        self._writes.remove(write)
        self._add(
            partial(self.run_log.record_end, taken=False),
            replace(write.claims, outcome=AttemptOutcome.REFUSED, price_usd=0.0, free_units=0.0),
        )
        reason = "the journal cannot be written now"
        write.denied = DeniedError(JournalDown(allowed=False, waits=True, reason=reason))
        if write.done is not None:
            write.done.set()

    def post(self, event: happened.RunEvent, context: Context) -> None:
        """Record a member's state if an event changes it, for processes that watch the run."""
        match event:
            case happened.MemberEjected():
                # Infinity is no JSON.
                wait = event.wait_seconds if event.wait_seconds < math.inf else None
                facts = {"ejected": True, "wait_seconds": wait, "reason": event.reason}
                self.stand("health", event.member, facts)
                # Credentials are of one process, and so is what it can read.
                if wait is not None and not event.elsewhere:
                    self._find("health", event.member, facts)
            case happened.MemberRecovered():
                self.stand("health", event.member, {"ejected": False})
                self._find("health", event.member, {"ejected": False})
            case happened.QueueRead():
                facts = {"wait_seconds": event.wait_seconds, "pending_jobs": event.pending_jobs}
                self.stand("queue", event.member, facts)
                self._find("queue", event.member, facts)

    def _find(self, kind: str, member: str, facts: Mapping[str, Any]) -> None:
        write = self._add(self.run_log.record_sighting, kind, member, facts, patient=True)
        if write is not None:
            write.seen = anyio.current_time()

    def stand(self, kind: str, member: str, facts: Mapping[str, Any]) -> None:
        """Record the present state of something."""
        self._add(self.run_log.record_standing, kind, member, self.seconds(), facts, patient=True)

    def learn(self, speeds: Mapping[str, SpeedEvidence]) -> None:
        """Write down what jobs taught of members' speeds."""
        if speeds:
            self._add(self.run_log.record_speeds, speeds)

    def accept(self, attempt: Attempt) -> None:
        """Write down that a provider has taken an attempt."""
        self._add(self.run_log.record_acceptance, attempt)

    def note_start(self, attempt: Attempt) -> None:
        """Write down when an attempt began to run."""
        self._add(self.run_log.record_start, attempt)

    def end(self, attempt: Attempt, *, taken: bool) -> None:
        """Write down how an attempt ended that brought nothing, and whether its provider took it."""
        self._add(partial(self.run_log.record_end, taken=taken), attempt)
        self._passing.discard(_key(attempt))

    async def receive(self, shard: Shard, attempt: Attempt, outcomes: deque[Outcome]) -> Receipt:
        """Write down what an attempt brought, and return what that was."""
        self._add(self.run_log.record_outcomes, attempt, tuple(outcomes), self.seconds())
        self._passing.discard(_key(attempt))
        if shard.circuit_shots <= _INLINE_SHOTS:
            return self.merge(shard, outcomes)
        receipt = Receipt()
        # Shielded: a write that has begun is finished, or the books would not match the arrays.
        with anyio.CancelScope(shield=True):
            receipt = await self.in_thread(lambda: self.merge(shard, outcomes))
        return receipt  # noqa: RET504  mypy knows that a scope may end early.

    async def close(self, status: RunStatus, *, seconds: float) -> None:
        """Record the final state of the run, and give up its lease.

        Args:
            status: The final one.
            seconds: How long there is to wait for a run log that cannot be written.
        """
        if not self.run_log.lasting:
            return
        self._add(self.run_log.close, status)
        now = anyio.current_time()
        since = now if self._failing_since is None else self._failing_since
        until = min(now + seconds, since + _PATIENCE_SECONDS)
        # Shielded, because a run that is torn down must still give up its lease.
        with anyio.CancelScope(shield=True, deadline=max(until, now + _GRACE_SECONDS)):
            while self._writes and not await self._write() and anyio.current_time() < until:  # noqa: ASYNC110  No event tells of a lock.
                await anyio.sleep(_AGAIN_SECONDS)
        if self._writes:
            # By the time that these are written, what was found of members is no news.
            self.run_log.leave([one.perform for one in self._writes if one.seen is None])
        self.run_log.abandon()

    def _add(
        self,
        write: Callable[..., object],
        *arguments: object,
        done: anyio.Event | None = None,
        patient: bool = False,
    ) -> _Write | None:
        if not self.run_log.lasting or self._is_taken:
            return None
        # An attempt is recorded as it is now.
        now = [replace(one) if isinstance(one, Attempt) else one for one in arguments]
        passing = any(isinstance(one, Attempt) and _key(one) in self._passing for one in arguments)
        added = _Write(perform=partial(write, *now), done=done, patient=patient or passing)
        self._writes.append(added)
        self._begin_later(_GATHER_SECONDS if added.patient else 0.0)
        if self._added is not None:
            self._added.set()
        if self._pressing is not None and not added.patient:
            self._pressing.set()
        return added

    # -- writing it ------------------------------------------------------------------------------

    def _begin_later(self, seconds: float) -> None:
        """Begin to write after a number of seconds, if that is sooner than was planned."""
        if self._alarms is None or self._alarms.now() + seconds >= self._begins_at:
            return
        if self._begin is not None:
            self._begin.cancel()
        self._begins_at = self._alarms.now() + seconds
        self._begin = self._alarms.call_at(self._begins_at, self._begin_writing)

    def _begin_writing(self) -> None:
        assert self._onlookers is not None  # noqa: S101
        self._begins_at = -math.inf
        self._onlookers.start_soon(self._keep)

    async def _keep(self) -> None:
        while True:
            # What is told at the same moment, up to the end of the run.
            await checkpoint()
            while self._writes and not await self._write():  # noqa: ASYNC110  No event tells of a lock.
                await anyio.sleep(_AGAIN_SECONDS)
            await self._gather()

    async def _gather(self) -> None:
        """Wait for something to write, and then for what is to be written with it."""
        self._added, self._pressing = anyio.Event(), anyio.Event()
        if not self._writes:
            await self._added.wait()
        if all(one.patient for one in self._writes):
            with anyio.move_on_after(_GATHER_SECONDS):
                await self._pressing.wait()

    def _beat_later(self, alarms: Alarms) -> None:
        alarms.call_at(alarms.now() + self.run_log.beat_seconds, lambda: self._beat(alarms))

    def _beat(self, alarms: Alarms) -> None:
        # One that could not be written yet says it too.
        if self._failing_since is None:
            self._add(self.run_log.beat)
        self._beat_later(alarms)

    def _look_later(self, alarms: Alarms) -> None:
        alarms.run_at(alarms.now() + self.run_log.look_seconds, lambda: self._look(alarms))

    async def _look(self, alarms: Alarms) -> None:
        try:
            await self.run_log.look()
        except TakenOverError:
            self._add(self.run_log.beat)  # Which finds that out, and ends the run.
        except JournalError:
            pass  # The writing side reports it.
        else:
            self._heed()
        self._look_later(alarms)

    def _heed(self) -> None:
        if self.run_log.cancel_asked:
            self.lose(Loss(reason="the job was cancelled", cancelled=True))

    async def _write(self) -> bool:
        """Write what there is; return whether that was possible."""
        writes, began = tuple(self._writes), anyio.current_time()
        self._is_writing = True
        try:
            errors = await self.run_log.perform([write.bind(began) for write in writes])
        except TakenOverError as error:
            self._is_taken = True
            self._writes.clear()
            self.notifier.tell(happened.JournalFailed, reason=str(error))
            self.lose(Loss(reason=str(error), taken=True))
            return True
        except JournalError as error:
            self._note_failure(str(error), began)
            return False
        finally:
            self._is_writing = False
        self._failing_since = None
        for write, why in zip(writes, errors, strict=True):
            self._writes.popleft()
            self._settle(write, why)
        self._heed()
        return True

    def _settle(self, write: _Write, error: JournalError | None) -> None:
        if isinstance(error, DeniedError) and write.done is not None:
            write.denied = error
            write.done.set()
        elif error is not None:
            self.notifier.tell(happened.JournalFailed, reason=str(error))
            if write.done is not None:
                self.lose(Loss(reason=str(error)))
        elif write.done is not None:
            write.done.set()

    def _note_failure(self, reason: str, began: float) -> None:
        """Keep the first of several failures, and abandon the run if it cannot continue."""
        if self._failing_since is None:
            self._failing_since = began
            self.notifier.tell(happened.JournalFailed, reason=reason)
        if self._is_down:
            for write in [one for one in self._writes if one.claims is not None]:
                self._withdraw(write)
        late = anyio.current_time() - self._failing_since >= _PATIENCE_SECONDS
        if late and self._waiting and self._waiting >= self.in_flight():
            self.lose(Loss(reason=reason))


def _key(attempt: Attempt) -> tuple[int, int]:
    return attempt.shard, attempt.number
