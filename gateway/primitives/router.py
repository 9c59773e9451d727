"""The common base of both primitives: a fleet, a policy, and the start of a run."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from qiskit.primitives import PrimitiveResult
from qiskit.providers import BackendV2

from qiskit_gateway.backends.fleet import Backends, Fleet
from qiskit_gateway.errors import JournalError
from qiskit_gateway.forecast.quote import Quote, quote_run
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.journal.replay import replay
from qiskit_gateway.journal.run_log import NO_RUN_LOG, RunLog
from qiskit_gateway.journal.run_spec import RunSpec
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.runtime.survey import allotment_of
from qiskit_gateway.scheduling.members.allowances import count_use
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.preparation import prepare
from qiskit_gateway.work.snapshots import Snapshots
from qiskit_gateway.work.workload import Work

# The work of a run, and what makes the result of it.
Plan = tuple[Work, Callable[[], PrimitiveResult[Any]]]


class _Begun(set[str]):
    """The runs that were begun on a fleet in this process."""


class _Party:
    """The name by which a journal tells the jobs of a fleet in this process from those of others."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex

    def renew_in_child(self) -> None:
        """Be another party than the parent."""
        self.name = uuid.uuid4().hex


class _Counted(set[Path]):
    """The journals whose runs' use of allowances is counted for a fleet."""


class Router:
    """A fleet and a policy, and runs over them.

    Args:
        backends: A fleet, or anything that makes one.
        policy: The rules; the default finishes soonest.
        journal: Where runs are written down, or the path of it; by default nowhere.
    """

    def __init__(
        self,
        backends: Backends,
        policy: Policy | None,
        journal: Journal | str | PathLike[str] | None = None,
    ) -> None:
        self.fleet = Fleet.coerce(backends)
        self.policy = Policy.coerce(policy)
        self.policy.check_names(self.fleet.names)
        if isinstance(journal, str | PathLike):
            journal = Journal(journal)
        self.journal = journal
        self._snapshots = Snapshots()

    @property
    def backend(self) -> BackendV2:
        """The backend of the first member; packages written for one backend ask for it.

        Raises:
            AttributeError: If no member is a Qiskit backend.
        """
        for member in self.fleet:
            if isinstance(backend := getattr(member, "backend", None), BackendV2):
                return backend
        raise AttributeError("no member of the fleet is a qiskit BackendV2")

    def start(self, plan: Plan, spec: Callable[[], RunSpec]) -> RouterJob:
        """Begin a run and return its handle at once.

        Args:
            plan: The work, and what makes the result of it.
            spec: Says what the run is to do, for the journal, if there is one.

        Raises:
            JournalError: If the run cannot be written down; nothing was sent.
        """
        self.count_use()
        work, result = plan
        work, job_id = self.prepare(work), RouterJob.new_id()
        run_log: RunLog = NO_RUN_LOG
        if self.journal is not None:
            shots = sum(task.rows * task.shots for task in work.tasks)
            run_log = self.journal.begin(job_id, spec(), shots, party=self._party)
            self.fleet.keep(_Begun).add(job_id)
        return self._launch(job_id, work, result, run_log)

    def resume(self, job_id: str, kind: str, plan: Callable[[RunSpec], Plan]) -> RouterJob:
        """Continue a run of the journal and return its handle; see :meth:`claim_run`."""
        (work, result), run_log = self.claim_run(job_id, kind, plan)
        return self._launch(job_id, work, result, run_log)

    def claim_run(
        self, job_id: str, kind: str, plan: Callable[[RunSpec], Plan]
    ) -> tuple[Plan, RunLog]:
        """Take a run of the journal, and put what has arrived of it into its place.

        Args:
            job_id: The run.
            kind: Of what kind it must be.
            plan: Makes work and result anew of what the run is to do.

        Raises:
            JournalError: If there is no journal, no such run in it, or a process works on it; or
                if it cannot be read.
        """
        if self.journal is None:
            raise JournalError("there is no journal to resume from: give one, journal=path")
        self.count_use()
        run_log = self.journal.take(job_id, kind, party=self._party)
        try:
            work, result = plan(self.journal.spec(job_id))
            run_log.past = replay(
                self.journal.entries(job_id),
                work,
                self.fleet.names,
                seconds=self.journal.age_seconds(job_id),
            )
            flights = run_log.past.unfinished.flights if run_log.past.unfinished else ()
            run_log.keep_only([(one.shard.index, one.number) for one in flights])
        except BaseException as error:
            run_log.closed("running")
            if isinstance(error, TypeError | ValueError | MemoryError):
                raise JournalError(f"run {job_id} cannot be stated anew: {error}") from error
            raise
        begun = self.fleet.keep(_Begun)
        if job_id in begun and run_log.past.unfinished is not None:
            # What it spent before is in the fleet's books already.
            unfinished = replace(run_log.past.unfinished, spent=())
            run_log.past = replace(run_log.past, unfinished=unfinished)
        begun.add(job_id)
        return (self.prepare(work), result), run_log

    @property
    def _party(self) -> str:
        return self.fleet.keep(_Party).name

    def _launch(
        self, job_id: str, work: Work, result: Callable[[], PrimitiveResult[Any]], run_log: RunLog
    ) -> RouterJob:
        run = Run(job_id, self.fleet, self.policy, work, run_log=run_log)
        job = RouterJob(run, result, on_failure=self.policy.on_failure)
        job.start()
        return job

    def count_use(self) -> None:
        """Count what runs of other processes have used of members' allowances, once for a fleet.

        The journal tells, if there is one.

        Raises:
            JournalError: If it cannot be read.
        """
        allotments = {
            member.name: allotment for member in self.fleet if (allotment := allotment_of(member))
        }
        counted = self.fleet.keep(_Counted)
        if self.journal is None or not allotments or self.journal.path in counted:
            return
        counted.add(self.journal.path)
        used = self.journal.free_units(besides=self.fleet.keep(_Begun))
        pots = self.fleet.keep(FleetState).pots
        # In the loop in which all runs live, which is where pots are changed.
        ENGINE.call(lambda: count_use(allotments, pots, used))

    def quote(self, work: Work, *, exact: bool = False) -> Quote:
        """Forecast a run; blocks until that is done, and sends nothing."""
        self.count_use()
        return quote_run(self.fleet, self.policy, self.prepare(work), exact=exact)

    def prepare(self, work: Work) -> Work:
        """Return work with what is known of each task before anything runs."""
        return prepare(work, self.fleet, self._snapshots)
