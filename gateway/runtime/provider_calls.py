"""The calls that a run makes to a member, each under its deadline, each failure told as facts."""

import reprlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import anyio

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.failures.translate import (
    Phase,
    cancels_itself,
    is_interrupt,
    translate,
)
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import (
    AnnouncesStart,
    CanFind,
    CanPrepare,
    FleetMember,
    Handle,
    JobStage,
    KnowsUnsent,
    ReadsTarget,
    TellsCharge,
    TellsIfItFinds,
    TellsStage,
    TellsStarted,
    able,
)
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.rates import FREE
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.runtime.alarms import Alarm, Alarms
from qiskit_gateway.runtime.queue_watch import look_seconds, watch_job
from qiskit_gateway.runtime.retries import repeat
from qiskit_gateway.scheduling.events import Unless

# The share of the deadline of a submission that is kept for looking whether it arrived.
_SEEKING_SHARE = 0.25

# How long the result of a job may take that its provider says is over, by how it ended. Errors come
# with the next request of a client that polls once in some seconds; results are downloaded.
_GRACE_SECONDS = {"failed": 10.0, "cancelled": 10.0, "done": 300.0}
_SURE_LOOKS = 4


class OverdueError(BackendError):
    """Our own deadline for a job has passed: enough time was lost on that member."""


class Patience:
    """How long a job is waited for, and what is raised when that is over.

    Attributes:
        scope: That in which it is waited for.
        failure: What was found out, while waiting, to be wrong with the job.
        stopped_by: What to raise, whatever came, where somebody else has ended the wait.
    """

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.failure: BackendError | None = None
        self.stopped_by: Exception | None = None
        self._said: tuple[str, float] = "", 0.0

    def limit(self, until: float, seconds: float, job: str) -> None:
        """Wait no longer than until a time of the loop's clock, given in seconds from now."""
        if until < self.scope.deadline:
            self.scope.deadline = until
            self._said = job, seconds

    def end(self, failure: BackendError) -> None:
        """Wait no longer, because of a failure."""
        self.failure = failure
        self.scope.cancel()

    def stop(self, error: Exception) -> None:
        """Wait no longer, whatever comes; have the waiting call raise an error."""
        self.stopped_by = error
        self.scope.cancel()

    def make_error(self) -> Exception:
        """Make the error to raise once the wait is over."""
        job, seconds = self._said
        return (
            self.stopped_by
            or self.failure
            or OverdueError(
                f"{job} within {seconds:g} s", transient=True, fault="network", submitted=True
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A provider's answer to a request to cancel a job.

    Attributes:
        confirmed: Whether it said that the job is cancelled.
        reason: Why not, for people.
        failure: What went wrong with asking; ``None`` where it did answer.
    """

    confirmed: bool = False
    reason: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls of one run.

    Attributes:
        policy: The rules, deadlines among them.
        draw: Where the jitter of waits comes from: numbers in [0, 1).
        alarms: Looks after jobs from time to time.
    """

    policy: Policy
    draw: Callable[[], float]
    alarms: Alarms

    async def prepare(self, batch: Batch, member: FleetMember) -> None:
        """Have a member do what it has to do before its provider is asked for a job.

        Only what it asks its provider for is under a deadline.
        """
        await read_target(member, self.policy.submit_seconds)
        if able(member, CanPrepare):
            with _Facts("submit"):
                await member.prepare(batch)

    async def submit(self, batch: Batch, member: FleetMember) -> Handle:
        """Hand a batch over; where no answer comes, look whether the provider took it.

        Both together are under the deadline of a submission: where a member can be asked, the last
        part of it is kept for that.
        """
        seconds = self.policy.submit_seconds
        deadline = self.alarms.now() + seconds
        if finder_of(member) is not None:
            seconds *= 1 - _SEEKING_SHARE
        try:
            return await self._hand_over(batch, member, seconds)
        except BackendError as error:
            if error.submitted is not None:
                raise
            handle = await self._look_for(batch, member, deadline)
            if handle is None:
                raise
            return handle

    async def find_again(self, member: FleetMember, batch: Batch, job_id: str) -> Handle | None:
        """Look for a job of an earlier process; ``None`` if it is certain that there is none.

        Args:
            member: Where.
            batch: What was submitted.
            job_id: The provider's id, or ``""``.
        """
        patient = self.policy.retry.waits_for_unknown

        def wait_seconds(error: BackendError, tries: int) -> float | None:
            # A member that hangs is left at the first hang, unless there is all the time.
            if not patient and isinstance(error, OverdueError):
                return None
            return self._wait_to_ask(error, tries, without_end=patient)

        return await repeat(lambda: self._look_up(batch, member, job_id), wait_seconds)

    async def collect(
        self,
        member: FleetMember,
        handle: Handle,
        hear: Callable[[bool], None] = lambda _: None,
        patience: Patience | None = None,
    ) -> Sequence[Outcome]:
        """Wait for a job; a lost connection loses the wait, not the job, so wait again.

        Args:
            member: Where.
            handle: The job.
            hear: Told whether it has begun to run, each time that its provider says so.
            patience: Ends the wait early.
        """
        patience = patience or Patience()
        job = f"{member.name} delivered no result of job {handle.job_id!r}"
        if (seconds := self.policy.collect_seconds) is not None:
            patience.limit(self.alarms.now() + seconds, seconds, job)

        def note_stage(started: bool) -> None:  # noqa: FBT001  It is an answer.
            hear(started)
            if started and (seconds := self.policy.run_seconds) is not None:
                begun = f"{job}, once it had begun it,"
                patience.limit(self.alarms.now() + seconds, seconds, begun)

        teller: object = member
        if able(teller, AnnouncesStart):
            hear(False)  # noqa: FBT003  It is an answer.
            teller.announce_start(handle, lambda: hear(True))  # noqa: FBT003
        watches = list(self._start_watches(member, handle, note_stage, hear, patience))
        try:
            with patience.scope:
                return await self._ask_for(member, handle)
        finally:
            for watch in watches:
                watch.cancel()
        raise patience.make_error()

    def _start_watches(
        self,
        member: FleetMember,
        handle: Handle,
        note_stage: Callable[[bool], None],
        hear: Callable[[bool], None],
        patience: Patience,
    ) -> Iterator[Alarm]:
        """Look, while a job is waited for, how far it is: its result may never come."""
        began = self.alarms.now()
        first = began + look_seconds(0.0, self.policy.probe_seconds)
        if self.policy.run_seconds is not None:
            yield self.alarms.run_at(
                first,
                lambda: watch_job(
                    lambda: self.ask_started(member, handle),
                    note_stage,
                    goes_on=lambda: True,
                    began=began,
                    most_seconds=self.policy.probe_seconds,
                ),
            )
        teller: object = member
        if able(teller, TellsStage):

            async def look_for_its_end() -> None:
                patience.end(await self._watch_until_over(teller, member.name, handle, began, hear))

            yield self.alarms.run_at(first, look_for_its_end)

    async def _ask_for(self, member: FleetMember, handle: Handle) -> Sequence[Outcome]:
        began, lost = self.alarms.now(), count(1)

        def wait_seconds(error: BackendError, _: int) -> float | None:
            if error.unfinished:  # The provider's own wait is over, and the job is not.
                waited = self.alarms.now() - began
                return look_seconds(waited, self.policy.probe_seconds)
            return self._wait_to_ask(error, next(lost))

        return await repeat(lambda: self._collect_once(member, handle), wait_seconds)

    @staticmethod
    async def _collect_once(member: FleetMember, handle: Handle) -> Sequence[Outcome]:
        with _Facts("collect"):
            return await member.collect(handle)

    async def _watch_until_over(
        self,
        teller: TellsStage,
        name: str,
        handle: Handle,
        began: float,
        hear: Callable[[bool], None],
    ) -> BackendError:
        """Watch a job until it is over and for some time has brought no result; return that failure."""
        unfinished, over_at, over = False, began, ""
        while True:
            stage = await _ask_stage(teller, handle)
            if stage.name in {"queued", "running"}:
                unfinished = True
                hear(stage.name == "running")
            # Some simulators say "done" of what result() is about to work out.
            ended = stage.name or "" if stage.name != "done" or unfinished else ""
            ended = ended if ended in _GRACE_SECONDS else ""
            if ended != over:
                over_at, over = self.alarms.now(), ended
            elif over and self.alarms.now() >= over_at + _GRACE_SECONDS[over]:
                return BackendError(
                    f"{name} says {stage.said!r} of job {handle.job_id!r}, and brought no result of "
                    f"it for {_GRACE_SECONDS[over]:g} s",
                    transient=None,
                    submitted=True,
                )
            now = self.alarms.now()
            look = look_seconds(now - began, self.policy.probe_seconds)
            if over:  # Some take it back: it must be so at every look.
                rest = over_at + _GRACE_SECONDS[over] - now
                look = min(look, rest, _GRACE_SECONDS[over] / _SURE_LOOKS)
            await anyio.sleep(look)

    async def cancel(
        self, member: FleetMember, handle: Handle, *, unless: Unless = "never"
    ) -> Reply:
        """Ask a provider to cancel a job, unless that is running already.

        Args:
            member: Where.
            handle: The job.
            unless: When not to ask; see :class:`~qiskit_gateway.scheduling.events.Recall`.
        """
        seconds = self.policy.cancel_seconds
        with anyio.move_on_after(seconds):
            try:
                with _Facts("cancel"):
                    if await _is_running(member, handle, unless):
                        return Reply(reason="the provider runs it already")
                    confirmed = await member.cancel(handle)
            except BackendError as error:
                return Reply(reason=str(error), failure=describe_failure(error))
            return Reply(confirmed=confirmed, reason="the provider did not confirm")
        silent = Failure(transient=True, fault="network", submitted=True)
        return Reply(reason=f"the provider did not answer within {seconds:g} s", failure=silent)

    async def ask_charge(self, member: FleetMember, handle: Handle) -> Charge | None:
        """Ask what was charged for a job that is done; ``None`` if that is not said, or not in time."""
        # By default nothing is counted.
        if member.pricing is FREE or not able(member, TellsCharge):
            return None
        # Shielded: what has arrived by then is not to be lost over what it costs.
        with anyio.move_on_after(self.policy.cancel_seconds, shield=True):
            try:
                with _Facts("cancel"):
                    told = await member.charge(handle)
            except BackendError:
                return None  # The estimate holds.
            return told if isinstance(told, Charge) else None
        return None

    async def ask_started(self, member: FleetMember, handle: Handle) -> bool | None:
        """Ask whether a provider runs a job already; ``None`` if it does not say."""
        with anyio.move_on_after(self.policy.cancel_seconds):
            try:
                with _Facts("cancel"):
                    return await _ask_started(member, handle)
            except BackendError:
                return None  # It cannot tell now; it is asked again.
        return None

    async def is_over(self, member: FleetMember, key: str, job_id: str) -> bool | None:
        """Ask whether a job of a process that died runs no more, as far as that can be told at all.

        Args:
            member: Where.
            key: Our own name for it.
            job_id: The provider's id, or ``""``.

        Returns:
            True also where the provider knows no such job, or cannot be asked for one: nobody will
            find out more. ``None`` if it does not say now.
        """
        with anyio.move_on_after(self.policy.submit_seconds):
            try:
                with _Facts("reattach"):
                    find = finder_of(member)
                    if not job_id and find is None:
                        return True
                    handle = await (member.reattach(job_id) if job_id or not find else find(key))
                    if handle is None:
                        return True
                    stage = await member.stage(handle) if able(member, TellsStage) else None
            except BackendError as error:
                gone = error.transient is False and not error.authentication
                return True if gone else None
            if stage is not None and stage.name is not None:
                return stage.name not in {"queued", "running"}
        return None

    def draw_wait_seconds(self, error: BackendError, tries: int) -> float:
        """Draw the wait after a number of tries, of which the last failed."""
        return self.policy.retry.backoff_seconds(tries, self.draw(), error.retry_after_seconds)

    def _wait_to_ask(
        self, error: BackendError, tries: int, *, without_end: bool = False
    ) -> float | None:
        """Decide how long to wait before asking about a job again; ``None`` to ask no more.

        Asking repeats no work, so it takes nothing of what a run has for retries.
        """
        last = not without_end and tries >= self.policy.retry.max_attempts
        return (
            None if last or not is_lost_connection(error) else self.draw_wait_seconds(error, tries)
        )

    async def _hand_over(self, batch: Batch, member: FleetMember, seconds: float) -> Handle:
        with anyio.CancelScope(deadline=self.alarms.now() + seconds), _Facts("submit"):
            handle: object = await member.submit(batch)
            if isinstance(handle, Handle):
                return handle
            raise BackendError(
                f"{member.name}.submit() returned {reprlib.repr(handle)}, not the Handle of a job",
                transient=False,
                submitted=None,
            )
        unsent = able(member, KnowsUnsent) and not member.was_sent(batch)
        silent = "whether it took the job"
        raise _make_overdue(member, seconds, silent, submitted=False if unsent else None)

    async def _look_for(self, batch: Batch, member: FleetMember, deadline: float) -> Handle | None:
        """Look for a job that was perhaps taken, and return it if it was found by the deadline."""
        patient = self.policy.retry.waits_for_unknown

        async def look() -> Handle:
            handle = await self._look_up(batch, member, "")
            if handle is None:
                # That proves nothing: the submission may still be on its way.
                raise BackendError("not found yet", transient=True, fault="network")
            return handle

        def wait_seconds(error: BackendError, tries: int) -> float | None:
            return self._wait_to_ask(error, tries, without_end=True) if patient else None

        with anyio.CancelScope(deadline=deadline), suppress(BackendError):
            return await repeat(look, wait_seconds)
        return None

    async def _look_up(self, batch: Batch, member: FleetMember, job_id: str) -> Handle | None:
        """Ask a provider for a job, by its id or else by our own name for it."""
        seconds = self.policy.submit_seconds
        with anyio.move_on_after(seconds), _Facts("reattach"):
            if job_id:
                return replace(await member.reattach(job_id), batch=batch)
            find = finder_of(member)
            if find is None:
                raise BackendError(f"{member.name} cannot look for jobs", transient=False)
            found: Handle | None = await find(batch.key)
            return None if found is None else replace(found, batch=batch)
        raise _make_overdue(member, seconds, "whether it has the job")


async def read_target(member: FleetMember, seconds: float) -> None:
    """Have a member ask its provider what it can do, where it does so once.

    Raises:
        BackendError: If the provider did not say so in time, or could not be asked.
    """
    teller: object = member
    if not able(teller, ReadsTarget):
        return None
    with anyio.move_on_after(seconds), _Facts("submit"):
        return await teller.read_target()
    raise _make_overdue(member, seconds, "what it can do")


def _make_overdue(
    member: FleetMember, seconds: float, silent: str, *, submitted: bool | None = False
) -> OverdueError:
    return OverdueError(
        f"{member.name} did not say within {seconds:g} s {silent}",
        transient=True,
        fault="network",
        submitted=submitted,
    )


async def _is_running(member: FleetMember, handle: Handle, unless: Unless) -> bool:
    """Ask whether a job runs already, or, where that is enough, may run."""
    if unless == "never":
        return False
    started = await _ask_started(member, handle)
    return started is not False if unless == "perhaps running" else started is True


async def _ask_started(member: FleetMember, handle: Handle) -> bool | None:
    return await member.started(handle) if able(member, TellsStarted) else None


async def _ask_stage(member: TellsStage, handle: Handle) -> JobStage:
    """Ask how far a job is; a member that cannot be asked now is asked again later."""
    try:
        with _Facts("cancel"):
            stage = await member.stage(handle)
    except BackendError:
        return JobStage()
    return stage if isinstance(stage, JobStage) else JobStage()


class _Facts:
    """Turn what a member raises against the rules of its protocol into a failure there."""

    def __init__(self, phase: Phase) -> None:
        self._phase: Phase = phase

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, BackendError) or error is None or is_interrupt(error):
            return
        # A SystemExit would end the event loop with all runs in it; what cancels must get through.
        if isinstance(error, Exception | SystemExit | KeyboardInterrupt) or cancels_itself(error):
            raise translate(error, phase=self._phase) from error


def describe_failure(error: BackendError) -> Failure:
    """Translate a backend's failure into what policies read."""
    return Failure(
        transient=error.transient,
        throttled=error.throttled,
        retry_after_seconds=error.retry_after_seconds,
        fault=error.fault,
        submitted=error.submitted,
        authentication=error.authentication,
        bad_result=error.bad_result,
        alone=error.alone,
        unreadable=error.unreadable,
        takes_nothing=error.takes_nothing,
        unbilled=error.unbilled,
        hung=isinstance(error, OverdueError),
    )


def finder_of(member: FleetMember) -> Callable[[str], Awaitable[Handle | None]] | None:
    """Find the method by which a member looks for a job of ours; ``None`` where it cannot look."""
    if able(member, TellsIfItFinds) and not member.finds:
        return None
    return member.find if able(member, CanFind) else None


def is_lost_connection(error: BaseException) -> bool:
    """Check whether a failure is of the network, and says nothing of the job that was asked about."""
    return isinstance(error, BackendError) and error.fault == "network" and bool(error.transient)
