"""Backends and jobs that tests make up, in the form in which providers write theirs."""

from typing import ClassVar

from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.result import Result


class MadeUp(BackendV2):
    """A backend without a limit of circuits; what it does is in ``run``.

    Attributes:
        defaults: The options that it knows.
    """

    defaults: ClassVar = {"shots": 1024}

    def __init__(self, name, target):
        super().__init__(name=name)
        self._target = target

    @property
    def target(self):
        return self._target

    @property
    def max_circuits(self):
        return None

    @classmethod
    def _default_options(cls):
        return Options(**cls.defaults)


class Delivered(JobV1):
    """A job that is over as soon as it is made.

    Args:
        backend: Where.
        data: What its result holds of each circuit.
        shots: Shots of each.
    """

    def __init__(self, backend, data, shots):
        super().__init__(backend, f"job-{id(self)}")
        self._facts = {
            "backend_name": backend.name,
            "backend_version": "1",
            "job_id": self.job_id(),
            "success": True,
            "results": [
                {"shots": shots, "success": True, "data": one, "header": {}} for one in data
            ],
        }

    def submit(self):
        raise NotImplementedError

    def result(self):
        return Result.from_dict(self._facts)

    def status(self):
        return JobStatus.DONE
