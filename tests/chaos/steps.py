"""Steps of providers without threads that no scripted backend has."""

from copy import copy
from dataclasses import dataclass

from qiskit.providers import JobError

from qiskit_gateway.backends.scripted.steps import Step


@dataclass(frozen=True, slots=True)
class Refuses(Step):
    """Answer that the first program cannot run there."""


@dataclass(frozen=True, slots=True)
class AcceptsThenHangs(Step):
    """Take the job, and never say so."""


@dataclass(frozen=True, slots=True)
class PoisonRow(Step):
    """Fail every job that holds a row, and blame nobody."""

    row: int

    def before(self, moment, call):
        if moment == "result" and self.row in call.options["codes"]:
            raise JobError("the job failed: internal error 9999")


@dataclass(frozen=True, slots=True)
class Disowns(Step):
    """Say that circuits, or the whole job, failed, and hand out what looks like a result.

    Attributes:
        how: Who says so: the ``"flag"`` or the ``"status"`` of circuits, or the ``"job"``.
        indices: Which circuits; those that the job does not have are no matter.
    """

    how: str
    indices: tuple[int, ...] = ()

    def edit(self, result, call):
        result = copy(result)
        if self.how == "job":
            result.success, result.status = False, "FAILED"
            return result
        said = {"success": False} if self.how == "flag" else {"status": "ERROR: lost control"}
        result.results = [
            _saying(one, **said) if number in self.indices else one
            for number, one in enumerate(result.results)
        ]
        return result


def _saying(experiment, **said):
    """Return an experiment that says something else of itself."""
    other = copy(experiment)
    for name, value in said.items():
        setattr(other, name, value)
    return other
