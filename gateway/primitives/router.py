"""The common base of both primitives: a fleet, a policy, and the start of a run."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import PurePath
from typing import Any

from qiskit.primitives import PrimitiveResult
from qiskit.providers import BackendV2

from qiskit_gateway.backends.fleet import Backends, Fleet
from qiskit_gateway.backends.status import BudgetStatus
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.journal.replay import replay
from qiskit_gateway.journal.run_spec import RunSpec
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.primitives.group import GroupJob
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.results.estimator_store import EstimatorStore
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.fleet_status import Teller, ledger_of, sum_up_budget
from qiskit_gateway.runtime.preview.quote import Quote, quote_run
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.runtime.survey import allotment_of
from qiskit_gateway.scheduling.members.allowances import count_use
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.preparation import prepare
from qiskit_gateway.work.record.run_log import NO_RUN_LOG, RunLog
from qiskit_gateway.work.record.run_status import RunStatus
from qiskit_gateway.work.snapshots import Snapshots
from qiskit_gateway.work.workload import Work

# The work of a run, and what makes the result of it.
RunPlan = tuple[Work, Callable[[], PrimitiveResult[Any]]]
# What makes that, and what makes the record of it.
Prepared = tuple[Callable[[], RunPlan], Callable[[], RunSpec]]


def make_result(stores: Sequence[SamplerStore | EstimatorStore]) -> PrimitiveResult[Any]:
    """Make the result of a run from those of its PUBs."""
    return PrimitiveResult([store.make_result() for store in stores], metadata={"version": 2})


class _RunsBegun(set[str]):
    """The runs that were begun on a fleet in this process."""


class _Party:
    """The name by which a journal tells the jobs of a fleet in this process from those of others."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex

    def renew_in_child(self) -> None:
        """Be another party than the parent."""
        self.name = uuid.uuid4().hex


class _JournalsRead(set[str]):
    """The journals of which a fleet knows what was used of allowances, and learned of speeds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Begun:
    """A run that is about to begin or continue.

    Attributes:
        job_id: Its name.
        fleet: The members that it may use.
        work: The work.
        result: Makes the result of it.
        run_log: Where it is written down.
    """

    job_id: str
    fleet: Fleet
    work: Work
    result: Callable[[], PrimitiveResult[Any]]
    run_log: RunLog = NO_RUN_LOG

    @property
    def shots(self) -> int:
        """Shots to deliver, summed over circuits."""
        return sum(task.rows * task.shots for task in self.work.tasks)


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
        self.fleet.keep(Teller)
        self.policy = Policy.coerce(policy)
        self.policy.check_names(self.fleet.names)
        if isinstance(journal, str | PathLike):
            journal = Journal(journal)
        if not isinstance(journal, Journal | None):
            raise TypeError(f"journal must be a Journal or the path of one, got {journal!r}")
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

    def start(self, plan: RunPlan, spec: Callable[[], RunSpec]) -> RouterJob:
        """Begin a run and return its handle at once; ``spec`` is asked for if there is a journal.

        Raises:
            JournalError: If the run cannot be written down; nothing was sent.
        """
        self.read_journal()
        begun = self.begin(RouterJob.new_id(), self.fleet, plan)
        if self.journal is not None:
            run_log = self.journal.begin(begun.job_id, spec(), begun.shots, party=self._party)
            begun = replace(begun, run_log=run_log)
            self.fleet.keep(_RunsBegun).add(begun.job_id)
        return self._launch(begun)

    def start_on_each(self, plan: Callable[[], RunPlan], spec: Callable[[], RunSpec]) -> GroupJob:
        """Begin a run for each member, which may use that member alone, and return at once.

        Raises:
            JournalError: If the runs cannot be written down; nothing was sent.
        """
        self.read_journal()
        group_id = RouterJob.new_id()
        begun = {
            name: self.begin(RouterJob.new_id(), self.fleet.part([name]), plan())
            for name in self.fleet.names
        }
        if self.journal is not None:
            members = {one.job_id: name for name, one in begun.items()}
            shots = max(one.shots for one in begun.values())
            run_logs = self.journal.begin_group(group_id, members, spec(), shots, party=self._party)
            self.fleet.keep(_RunsBegun).update(members)
            for name, run_log in zip(begun, run_logs, strict=True):
                begun[name] = replace(begun[name], run_log=run_log)
        return GroupJob(group_id, {name: self._launch(one) for name, one in begun.items()})

    def resume(self, job_id: str, kind: str, plan: Callable[[RunSpec], RunPlan]) -> RouterJob:
        """Continue a run of the journal, which must be of a kind; see :meth:`.Routed.resume`."""
        return self._launch(self.claim(job_id, kind, plan))

    def resume_on_each(
        self, group_id: str, kind: str, plan: Callable[[RunSpec], RunPlan]
    ) -> GroupJob:
        """Continue the runs of a group: all, or none; see :meth:`.Routed.resume_on_each`."""
        runs = {
            str(run.member): run for run in self._open_journal().runs() if run.group_id == group_id
        }
        if not runs:
            raise JournalError(
                f"there is no group {group_id!r}; runs() tells the group_id of each run"
            )
        # In the order of the fleet, as they began, and then those that have left it.
        names = [*(name for name in self.fleet.names if name in runs), *runs]
        claimed: dict[str, Begun] = {}
        try:
            for name in dict.fromkeys(names):
                claimed[name] = self.claim(runs[name].job_id, kind, plan)
        except BaseException:
            for one in claimed.values():
                one.run_log.close(RunStatus.RUNNING)
            raise
        return GroupJob(group_id, {name: self._launch(one) for name, one in claimed.items()})

    def _open_journal(self) -> Journal:
        if self.journal is None:
            raise JournalError("there is no journal to resume from: give one, journal=path")
        self.read_journal()
        return self.journal

    def begin(self, job_id: str, fleet: Fleet, plan: RunPlan) -> Begun:
        """Prepare a run: find out what can be known of its tasks beforehand."""
        work, result = plan
        return Begun(
            job_id=job_id,
            fleet=fleet,
            work=self.prepare(work, fleet),
            result=result,
        )

    def claim(self, job_id: str, kind: str, plan: Callable[[RunSpec], RunPlan]) -> Begun:
        """Take a run of the journal, and put what has arrived of it into its place; see :meth:`resume`."""
        journal = self._open_journal()
        run_log = journal.take(job_id, kind, party=self._party)
        try:
            fleet = self._fleet_of(journal, job_id)
            begun = self.begin(job_id, fleet, plan(journal.spec(job_id)))
            run_log.past = replay(
                journal.entries(job_id),
                begun.work,
                fleet.names,
                seconds=journal.age_seconds(job_id),
            )
            flights = run_log.past.unfinished.flights if run_log.past.unfinished else ()
            run_log.keep_only([(one.shard.index, one.number) for one in flights])
        except BaseException as error:
            run_log.close(RunStatus.RUNNING)
            if isinstance(error, TypeError | ValueError | MemoryError):
                raise JournalError(f"run {job_id} cannot be prepared again: {error}") from error
            raise
        known = self.fleet.keep(_RunsBegun)
        if job_id in known and run_log.past.unfinished is not None:
            # What it spent before is in the fleet's books already.
            unfinished = replace(run_log.past.unfinished, spent=())
            run_log.past = replace(run_log.past, unfinished=unfinished)
        known.add(job_id)
        return replace(begun, run_log=run_log)

    @property
    def _party(self) -> str:
        return self.fleet.keep(_Party).name

    def _fleet_of(self, journal: Journal, job_id: str) -> Fleet:
        name = journal.member_of(job_id)
        if name is None:
            return self.fleet
        if name not in self.fleet:
            raise JournalError(
                f"run {job_id} is for the member {name!r} alone, which is not in the fleet; there "
                f"are {', '.join(self.fleet.names)}"
            )
        return self.fleet.part([name])

    def _launch(self, begun: Begun) -> RouterJob:
        run = Run(begun.job_id, begun.fleet, self.policy, begun.work, run_log=begun.run_log)
        job = RouterJob(run, begun.result, on_failure=self.policy.on_failure)
        job.start()
        return job

    def read_journal(self) -> None:
        """Take in what runs of other processes have used and learned, once for a fleet.

        The journal tells, if there is one.

        Raises:
            JournalError: If it cannot be read.
        """
        read = self.fleet.keep(_JournalsRead)
        if self.journal is None or self.journal.name in read:
            return
        read.add(self.journal.name)
        allotments = {
            member.name: allotment for member in self.fleet if (allotment := allotment_of(member))
        }
        used = self.journal.free_units(besides=self.fleet.keep(_RunsBegun)) if allotments else []
        speeds, known = self.journal.speeds(), self.fleet.keep(FleetState)

        def take_in() -> None:
            count_use(allotments, known.pots, used)
            for name in self.fleet.names:
                if name in speeds:
                    known.of(name).speed.recall(speeds[name])

        # In the loop in which all runs live, which is where these are changed.
        ENGINE.call(take_in)

    def budget_status(self) -> BudgetStatus | None:
        """Return what the policy's budget has left; see :meth:`.Routed.budget_status`."""
        budget = self.policy.budget
        if budget is None:
            return None
        ledger = ledger_of(self.fleet, budget)
        if self.journal is None:
            return sum_up_budget(budget, ledger)
        told = self.journal.ledger()
        held, spent = {**ledger.held, **told.held}, {**ledger.spent, **told.spent}
        scope = f"all runs of {PurePath(self.journal.name).name}"
        return sum_up_budget(budget, replace(ledger, held=held, spent=spent), scope)

    def quote(self, work: Work, *, exact: bool = False) -> Quote:
        """Forecast a run; blocks until that is done, and sends nothing."""
        self.read_journal()
        return quote_run(self.fleet, self.policy, self.prepare(work, self.fleet), exact=exact)

    def prepare(self, work: Work, fleet: Fleet) -> Work:
        """Add to work what is known of each task before anything runs."""
        return prepare(work, fleet, self._snapshots)
