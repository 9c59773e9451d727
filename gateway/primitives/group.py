"""The same work on every member: a run for each of them, under one name."""

import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, TextIO

from qiskit.primitives import PrimitiveResult
from qiskit.providers import JobStatus

from qiskit_gateway.backends.interface.observer import Mailbox
from qiskit_gateway.display.cards import Fold, list_few, render_card, render_folds
from qiskit_gateway.primitives.job import FINAL, SHOWN_SECONDS, RouterJob, StatusChecks, cap_timeout
from qiskit_gateway.reporting.progress import Progress, join_progress
from qiskit_gateway.reporting.report import Report, join_reports
from qiskit_gateway.reporting.usage import RunUsage, sum_up_usage
from qiskit_gateway.reporting.watch import (
    WATCH_ENDS,
    Screen,
    Watch,
    find_screen,
    render_progress,
)


class GroupResult(Mapping[str, PrimitiveResult[Any]]):
    """Results by member, those of the members that did all of the work.

    Args:
        results: By name of the member.
        errors: What became of the others.

    Attributes:
        errors: By name of the member: a :class:`~qiskit_gateway.PlanError` where nothing was sent,
            a :class:`~qiskit_gateway.RunError` where something was, with what arrived.
    """

    def __init__(
        self, results: Mapping[str, PrimitiveResult[Any]], errors: Mapping[str, BaseException]
    ) -> None:
        self._results = dict(results)
        self.errors = dict(errors)

    def __getitem__(self, member: str) -> PrimitiveResult[Any]:
        if member in self.errors:
            raise KeyError(f"{member!r} has no result: {self.errors[member]}") from self.errors[
                member
            ]
        return self._results[member]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"GroupResult(results of {list(self)}, errors of {list(self.errors)})"


class GroupJob(StatusChecks):
    """The runs of the same work on every member, in the background.

    ``job.result()`` blocks until all are over; ``await job`` does not block. Once they are over the
    job can be pickled.

    Args:
        group_id: Its name.
        jobs: The runs, by name of the member.

    Attributes:
        jobs: The runs, by name of the member, each a :class:`RouterJob` to ask for more.
    """

    def __init__(self, group_id: str, jobs: Mapping[str, RouterJob]) -> None:
        self._group_id = group_id
        self.jobs = dict(jobs)

    def job_id(self) -> str:
        """Return its name, for ``resume_on_each``."""
        return self._group_id

    def __repr__(self) -> str:
        return f"GroupJob({self._group_id!r}, on {', '.join(self.jobs)})"

    # -- waiting -----------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> GroupResult:
        """Return the results by member, waiting for all of them.

        A member that fails takes nothing from the others: its error is among ``errors``.

        Args:
            timeout: How long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            TimeoutError: If not all were over in time; they continue.
        """
        self.wait_for_final_state(timeout)
        return self._result()

    def wait_for_final_state(self, timeout: float | None = None) -> None:
        """Wait until all runs are over, however they end.

        Args:
            timeout: How long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            TimeoutError: If not all were over in time; they continue.
        """
        seconds = cap_timeout(timeout)
        until = None if seconds is None else time.monotonic() + seconds
        for job in self.jobs.values():
            job.wait_for_final_state(None if until is None else max(0.0, until - time.monotonic()))

    def __await__(self) -> Generator[Any, Any, GroupResult]:
        return self._wait().__await__()

    async def _wait(self) -> GroupResult:
        for job in self.jobs.values():
            try:
                await job
            except Exception:  # noqa: BLE001, S112  It is among the errors of the result.
                continue
        return self._result()

    def _result(self) -> GroupResult:
        ended = {name: _end_of(job) for name, job in self.jobs.items()}
        return GroupResult(
            {name: end for name, end in ended.items() if not isinstance(end, BaseException)},
            {name: end for name, end in ended.items() if isinstance(end, BaseException)},
        )

    # -- asking ------------------------------------------------------------------------------

    def status(self) -> JobStatus:
        """Return the state of all together: running until all are over, and failed where one is."""
        found = {job.status() for job in self.jobs.values()}
        if found <= FINAL:
            worst = (JobStatus.CANCELLED, JobStatus.ERROR, JobStatus.DONE)
            return next(one for one in worst if one in found)
        return JobStatus.QUEUED if found == {JobStatus.QUEUED} else JobStatus.RUNNING

    def cancel(self) -> bool:
        """Cancel all runs.

        Returns:
            Whether there was anything left to cancel.
        """
        cancelled = [job.cancel() for job in self.jobs.values()]
        return any(cancelled)

    def progress(self) -> Progress:
        """Count circuits and shots of all members: done, running, waiting."""
        return join_progress([job.progress() for job in self.jobs.values()])

    def partial_result(self) -> dict[str, PrimitiveResult[Any]]:
        """Return the results that have arrived so far by member, failed ones included.

        See :meth:`RouterJob.partial_result`.
        """
        return {name: job.partial_result() for name, job in self.jobs.items()}

    def report(self) -> Report:
        """List every attempt on every member so far; why a member has no result is in the notes."""
        reports = {name: job.report() for name, job in self.jobs.items()}
        errors = {name: job.error_message() for name, job in self.jobs.items()}
        return join_reports(
            self.job_id(),
            reports.values(),
            notes=[f"{name}: {error}" for name, error in errors.items() if error],
        )

    def usage(self) -> RunUsage:
        """Sum up what the runs have used so far: jobs, shots, machine time, money."""
        return sum_up_usage(self.report())

    def _repr_html_(self) -> str:
        ends = (f"{name} {job.status().name}" for name, job in self.jobs.items())
        facts = [("id", self._group_id), ("runs", list_few(ends))]
        report = Fold("report", self.report()._repr_html_())
        return (
            render_card(type(self).__name__, facts)
            + render_progress(self.progress())
            + render_folds([report])
        )

    def watch(self, *, file: TextIO | None = None) -> None:
        """Show the progress of all members until the last is over; see :meth:`RouterJob.watch`.

        Args:
            file: Where to write; a terminal gets a bar, anything else lines.

        Raises:
            ImportError: If a bar on a terminal is wanted, and ``rich`` is not installed.
        """
        watch, mailbox = self._show(find_screen(file))
        try:
            self.wait_for_final_state()
            mailbox.flush(SHOWN_SECONDS)
        finally:
            watch.close()

    def show_progress(self, screen: Screen) -> Watch:
        """Show the progress in the background, from now until all runs are over."""
        watch, _ = self._show(screen)
        return watch

    def _show(self, screen: Screen) -> tuple[Watch, Mailbox]:
        watch = Watch(self.progress, screen)
        mailbox = Mailbox(watch)
        watch.begin()

        def tell_end() -> None:
            if self.in_final_state():
                mailbox.post(WATCH_ENDS)

        for job in self.jobs.values():
            job.follow(mailbox, tell_end)
        return watch, mailbox


def _end_of(job: RouterJob) -> PrimitiveResult[Any] | BaseException:
    try:
        return job.result()
    except Exception as error:  # noqa: BLE001  Raised where that member is asked for.
        return error
