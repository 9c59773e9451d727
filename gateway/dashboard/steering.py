"""Actions on runs that the dashboard offers: cancel and resume."""

from collections.abc import Callable
from dataclasses import dataclass, field

from qiskit_gateway.config_file.loader import Config
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.journal.records import RunRecord
from qiskit_gateway.primitives.estimator import RouterEstimator
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.primitives.sampler import RouterSampler
from qiskit_gateway.work.record.run_status import RunStatus


class SteeringError(Exception):
    """The action is impossible; the text gives the reason, for people."""


@dataclass(slots=True, kw_only=True)
class Steering:
    """Cancels and resumes runs of a journal.

    Attributes:
        journal: The journal.
        config: Where runs are resumed, and by which policy; without it none can be.
        jobs: Those that were resumed here, by id.
    """

    journal: Journal
    config: Config | None = None
    jobs: dict[str, RouterJob] = field(default_factory=dict)

    def cancel(self, job_id: str) -> str:
        """Cancel a run; blocks until that is on its way, and returns what to tell.

        Raises:
            SteeringError: If it is over, or nobody here can reach its providers.
        """
        record = self._record(job_id)
        if record.state is not RunStatus.RUNNING:
            raise SteeringError(f"the run is over already: it is {record.state}")
        if record.held:
            self._do(lambda: self.journal.ask_to_cancel(job_id))
            return "the process that works on the run was asked to cancel it"
        job = self._take_up(record)
        job.cancel()
        return "the run is cancelled, and its providers are asked to cancel their jobs"

    def resume(self, job_id: str) -> str:
        """Go on with a run in this process; may block for a minute, and returns what to tell.

        Raises:
            SteeringError: If that cannot be done.
        """
        record = self._record(job_id)
        if record.state is RunStatus.DONE:
            raise SteeringError("the run is done already")
        if record.held:
            raise SteeringError("a process works on the run: cancel it, or wait until it has ended")
        self._take_up(record)
        return "the run goes on in the process of this dashboard"

    def _record(self, job_id: str) -> RunRecord:
        record = self.journal.find_run(job_id)
        if record is not None:
            return record
        raise SteeringError("there is no such run in the journal")

    def _take_up(self, record: RunRecord) -> RouterJob:
        config = self.config
        if config is None:
            raise SteeringError(
                "nobody works on the run, and the dashboard knows no members to reach its jobs: "
                "start it with --config FILE"
            )
        kind = RouterEstimator if record.kind == "estimator" else RouterSampler
        primitive = kind(config.fleet, policy=config.policy, journal=self.journal)
        try:
            job = primitive.resume(record.job_id)
        except JournalError as error:
            raise SteeringError(str(error)) from error
        self.jobs[record.job_id] = job
        return job

    @staticmethod
    def _do(action: Callable[[], None]) -> None:
        try:
            action()
        except JournalError as error:
            raise SteeringError(str(error)) from error
