"""The handle that ``run`` returns."""

import contextlib
import os
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from typing import Any, TextIO

import anyio
from qiskit.primitives import BasePrimitiveJob, PrimitiveResult
from qiskit.providers import JobStatus

from qiskit_gateway.arguments import as_plain, check_real
from qiskit_gateway.backends.adapter.threads import soon_here
from qiskit_gateway.backends.forks import renew_in_children
from qiskit_gateway.backends.interface.observer import Mailbox
from qiskit_gateway.display.cards import Fold, render_card, render_folds
from qiskit_gateway.display.units import ranges
from qiskit_gateway.errors import GatewayError, PlanError, RunError
from qiskit_gateway.reporting.progress import Progress
from qiskit_gateway.reporting.report import Report
from qiskit_gateway.reporting.usage import RunUsage, sum_up_usage
from qiskit_gateway.reporting.watch import (
    WATCH_ENDS,
    Screen,
    Watch,
    find_screen,
    render_progress,
)
from qiskit_gateway.runtime.event_loop import ENGINE, contain
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.scheduling.events import Done
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.remaining import GivenUp

# How long a watcher waits for the end of the run to be drawn.
SHOWN_SECONDS = 5.0
# On some systems no thread can wait for more than 49 days.
_LONGEST_SECONDS = 4e6
FINAL = frozenset({JobStatus.DONE, JobStatus.CANCELLED, JobStatus.ERROR})


class StatusChecks(ABC):
    """The questions about a job that its status answers."""

    @abstractmethod
    def status(self) -> JobStatus:
        """Return the state of the job."""

    def done(self) -> bool:
        """All of it ended without loss."""
        return self.status() == JobStatus.DONE

    def running(self) -> bool:
        """A provider has taken some of the work, and not all of it is over."""
        return self.status() == JobStatus.RUNNING

    def cancelled(self) -> bool:
        """It is over, and was cancelled."""
        return self.status() == JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """It is over: done, failed or cancelled."""
        return self.status() in FINAL


class RouterJob(StatusChecks, BasePrimitiveJob[PrimitiveResult[Any], JobStatus]):
    """A run over a fleet, in the background.

    ``job.result()`` blocks until it is over; ``await job`` does not block, on asyncio and on
    trio. Once the run is over the job can be pickled.
    """

    def __init__(
        self,
        run: Run,
        result: Callable[[], PrimitiveResult[Any]],
        *,
        on_failure: str = "raise",
    ) -> None:
        super().__init__(run.job_id)
        self.metadata: dict[str, Any] = {}
        self._run: Run | None = run
        self._make_result = result
        self._on_failure = on_failure
        self._future: Future[PrimitiveResult[Any]] = Future()
        self._cancelled = False
        self._kept: dict[str, Any] = {}
        self._watchers: list[Mailbox] = []

    @staticmethod
    def new_id() -> str:
        """Make a job id that no other job has."""
        return str(uuid.uuid4())

    # -- running -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. The router calls this once."""
        renew_in_children(self)
        ENGINE.start(self._main)

    def renew_in_child(self) -> None:
        """End for a forked child, which cannot wait for a run of its parent."""
        if self._future.done():
            return
        self._future, self._cancelled = Future(), False
        message = (
            f"job {self.job_id()} goes on in the process that began it, {os.getppid()}, which has "
            "its result; with a journal, resume() takes up a run whose process has ended"
        )
        self._settle(GatewayError(message))

    async def _main(self) -> None:
        assert self._run is not None  # noqa: S101
        try:
            done = await contain(self._run.execute)
            self._cancelled |= self._run.cancelled
            outcome: PrimitiveResult[Any] | BaseException = self._make_outcome(done)
        except Exception as error:  # noqa: BLE001  Raised when the result is asked for.
            outcome = _unwrap_error(error)
        except BaseException:
            self._cancelled = True
            message = "the process is ending; with a journal, resume() goes on with the run"
            self._settle(self._make_failure(message, ()))
            raise
        self._settle(outcome)

    def _make_outcome(self, done: Done) -> "PrimitiveResult[Any] | GatewayError":
        if not done.given_up and not self._cancelled:
            return self._make_result()
        if self._cancelled:
            return self._make_failure("the job was cancelled", done.given_up)
        if not done.sent:
            return _make_plan_error(done.given_up)
        if self._on_failure == "partial":
            return self._make_result()
        first = f". The first: {done.given_up[0]}. What was done is in the error's partial_result"
        return self._make_failure(_describe_lost(done.given_up), done.given_up, first)

    def _make_failure(
        self, message: str, given_up: tuple[GivenUp, ...], rest: str = ""
    ) -> RunError:
        attempts = _copy_attempts(self._run.record) if self._run else ()
        return RunError(
            message + _describe_jobs(attempts) + rest,
            partial_result=self._make_result(),
            failures=given_up,
            attempts=attempts,
        )

    def _settle(self, outcome: "PrimitiveResult[Any] | BaseException") -> None:
        if isinstance(outcome, BaseException):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)

    # -- asking ------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> PrimitiveResult[Any]:
        """Return the result, waiting for it.

        Args:
            timeout: How long to wait, in seconds; ``None`` for as long as it takes. The run goes
                on when the time is over.

        Raises:
            PlanError: If nothing was sent, because no member could take some of the work.
            RunError: If something was sent and not everything came back; it carries what did.
            TimeoutError: If the result was not there in time.
        """
        seconds = cap_timeout(timeout)
        try:
            return self._future.result(seconds)
        except FutureTimeoutError:
            if self._future.done():
                raise
            raise TimeoutError(
                f"job {self.job_id()} has no result after {seconds:g} s; it goes on: "
                "call result() again, or cancel()"
            ) from None

    def wait_for_final_state(self, timeout: float | None = None) -> None:
        """Wait until the run is over, however it ends; ``status()`` tells how.

        Args:
            timeout: How long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            TimeoutError: If it was not over in time; it continues.
        """
        seconds = cap_timeout(timeout)
        try:
            self._future.exception(seconds)
        except FutureTimeoutError:
            raise TimeoutError(
                f"job {self.job_id()} is not over after {seconds:g} s; it goes on: "
                "wait again, or cancel()"
            ) from None

    def __await__(self) -> Generator[Any, Any, PrimitiveResult[Any]]:
        return self._wait().__await__()

    async def _wait(self) -> PrimitiveResult[Any]:
        # The engine must never wait for the caller's loop, which may be blocked in the result() of
        # another job.
        over, soon = anyio.Event(), soon_here()

        def tell(_: Future[PrimitiveResult[Any]]) -> None:
            with contextlib.suppress(RuntimeError):  # The caller's loop has ended: nobody waits.
                soon(over.set)

        if not self._future.done():
            self._future.add_done_callback(tell)
            await over.wait()
        return self._future.result()

    def status(self) -> JobStatus:
        """Return the state of the run."""
        if not self._future.done():
            run = self._run
            active = run is not None and any(a.accepted_seconds is not None for a in run.record)
            return JobStatus.RUNNING if active else JobStatus.QUEUED
        if self._cancelled:
            return JobStatus.CANCELLED
        return JobStatus.ERROR if self._future.exception() else JobStatus.DONE

    def error_message(self) -> str | None:
        """The reason why the run failed; ``None`` if it did not, or is not over."""
        error = self._future.exception() if self._future.done() else None
        return None if error is None else str(error)

    def cancel(self) -> bool:
        """Cancel the run: nothing more is sent, and providers are asked to cancel their jobs.

        Returns:
            Whether there was anything left to cancel.
        """
        run = self._run
        if run is None or self._future.done():
            return False
        return ENGINE.call(self._cancel)

    def _cancel(self) -> bool:
        if self._future.done() or self._run is None:
            return False
        self._cancelled = True
        self._run.stop("the job was cancelled")
        return True

    def progress(self) -> Progress:
        """Count circuits and shots: done, running, waiting."""
        run = self._run
        return self._kept["progress"] if run is None else ENGINE.call(run.progress)

    def watch(self, *, file: TextIO | None = None) -> None:
        """Show the progress until the run is over.

        On a terminal that is a bar with a line for each member, on ``sys.stderr``; in a notebook a
        bar below the cell. Where nobody looks, in a log or a pipe, nothing is shown, unless
        ``file`` says where to: there it is a line now and then. An interrupt ends the
        watching, and not the run.

        Args:
            file: Where to write; a terminal gets a bar, anything else lines.

        Raises:
            ImportError: If a bar on a terminal is wanted, and ``rich`` is not installed.
        """
        watch = self.show_progress(find_screen(file))
        try:
            self._future.exception()
            for mailbox in self._watchers:
                mailbox.flush(SHOWN_SECONDS)
        finally:
            watch.close()

    def show_progress(self, screen: Screen) -> Watch:
        """Show the progress in the background, from now until the run is over."""
        watch = Watch(self.progress, screen)
        run = self._run
        if run is None or self._future.done():
            watch.close()
            return watch
        mailbox = Mailbox(watch)
        self._watchers.append(mailbox)
        # Here, since what a notebook is shown in another thread may find its cell gone.
        watch.begin()
        self.follow(mailbox, lambda: mailbox.post(WATCH_ENDS))
        return watch

    def follow(self, mailbox: Mailbox, at_end: Callable[[], object]) -> None:
        """Have an observer told of all events from now on, and something called at the end.

        Args:
            mailbox: The observer's.
            at_end: Called once the run is over, in any thread; at once if it is.
        """
        run = self._run
        if run is not None and not self._future.done():
            ENGINE.call(lambda: run.observe(mailbox))
        self._future.add_done_callback(lambda _: at_end())

    def partial_result(self) -> PrimitiveResult[Any]:
        """Return the part that has arrived so far, in the form of the result.

        PUBs that are not complete say so in their metadata, under ``received_shots``: how many
        of the shots of each row are real.
        """
        if self._run is None or self.done():
            return self._kept["partial"] if self._run is None else self._future.result()
        return ENGINE.call(self._make_result)

    def report(self) -> Report:
        """List every attempt so far: member, times, price, outcome."""
        run = self._run
        return self._kept["report"] if run is None else ENGINE.call(lambda: _make_report(run))

    def _repr_html_(self) -> str:
        error = self.error_message() or ""
        facts = [("id", self.job_id()), ("status", self.status().name), ("error", error)]
        report = Fold("report", self.report()._repr_html_())
        return (
            render_card(type(self).__name__, facts)
            + render_progress(self.progress())
            + render_folds([report])
        )

    def usage(self) -> RunUsage:
        """Sum up what the run has used so far: jobs, shots, machine time, money."""
        return sum_up_usage(self.report())

    # -- pickling ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Wait for the end, as Qiskit's own jobs do, and keep result, report and progress."""
        self._future.exception()
        return {
            "job_id": self.job_id(),
            "cancelled": self._cancelled,
            "result": None if self._future.exception() else self._future.result(),
            "error": self._future.exception(),
            "kept": {
                "progress": self.progress(),
                "partial": self.partial_result(),
                "report": self.report(),
            },
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__init__(state["job_id"])
        self.metadata = {}
        self._run = None
        self._cancelled = state["cancelled"]
        self._kept = state["kept"]
        self._watchers = []
        self._future = Future()
        self._settle(state["error"] if state["error"] is not None else state["result"])


def _unwrap_error(error: Exception) -> Exception:
    """Take the first error out of a group: groups do not leave ``result()``."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _make_report(run: Run) -> Report:
    view = run.view
    return Report(
        job_id=run.job_id,
        seconds=run.seconds,
        attempts=_copy_attempts(run.record),
        given_up=run.ended.given_up if run.ended else (),
        settled=run.work.seed is not None,
        notes=run.work.notes,
        speeds=run.speeds,
        plan=view.plan,
        reasons=view.reasons_against,
    )


def _copy_attempts(record: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Copy attempts, since they change while they run."""
    # What an attempt is noted to have come to, should it be cancelled, is no failure while it runs.
    return tuple(
        replace(
            attempt, failure="" if attempt.outcome is AttemptOutcome.RUNNING else attempt.failure
        )
        for attempt in record
    )


def _make_plan_error(given_up: tuple[GivenUp, ...]) -> PlanError:
    first = next((one for one in given_up if set(one.reasons) - {""}), given_up[0])
    reasons = {name: why for name, why in first.reasons.items() if name}
    why = first.reasons.get("", "")
    return PlanError(
        f"nothing was sent: no member can run pub {first.pub}" + (f" ({why})" if why else ""),
        reasons,
    )


def _describe_jobs(attempts: Iterable[Attempt]) -> str:
    """Describe the jobs that providers took and that brought nothing, and the cost of all."""
    taken = [one for one in attempts if one.accepted_seconds is not None]
    fates = Counter(_describe_fate(one) for one in taken if not one.outcome.delivered)
    jobs = ", ".join(f"{count} {fate}" for fate, count in fates.items())
    usd = sum(one.price_usd for one in attempts)
    told = f"; of the jobs that providers took: {jobs}" if jobs else ""
    return f"{told}; {usd:.4f} USD were spent" if usd else told


def _describe_fate(attempt: Attempt) -> str:
    if attempt.taken_back or attempt.outcome is AttemptOutcome.FAILED:
        return attempt.outcome.value
    return "may still run"


def _describe_lost(given_up: tuple[GivenUp, ...]) -> str:
    shots = sum(one.piece.circuit_shots for one in given_up)
    pubs = {one.pub for one in given_up}
    return f"{shots} shots were not done, of pub{'s' * (len(pubs) > 1)} {ranges(pubs)}"


def cap_timeout(timeout: float | None) -> float | None:
    """Wait as long as it takes where no thread can wait as long as asked."""
    if timeout is None:
        return None
    check_real("timeout", timeout)
    seconds: float = as_plain(timeout)
    return None if seconds > _LONGEST_SECONDS else seconds
