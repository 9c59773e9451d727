"""Steps of providers without threads that no scripted backend has."""

from copy import copy
from dataclasses import dataclass

from qiskit.providers import JobError
from qiskit.result.models import ExperimentResultData

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


@dataclass(frozen=True, slots=True)
class Contradicts(Step):
    """Return counts and memory of which one cannot be true, where there are both.

    Attributes:
        how: ``"rounded"`` counts do not add up, beside a memory that is whole; ``"other"`` counts
            add up, and are not those of the memory.
    """

    how: str

    def edit(self, result, call):
        result = copy(result)
        result.results = [self._contradicting(one) for one in result.results]
        return result

    def _contradicting(self, experiment):
        counts, memory = experiment.data.counts, getattr(experiment.data, "memory", None)
        if memory is None or len(memory) < 2:
            return experiment
        if self.how == "rounded":
            first = next(iter(counts))
            less = {name: count for name, count in counts.items() if name != first} or counts
        else:
            absent = next((name for name in ("0x0", "0x1") if name not in counts), None)
            less = counts if absent is None else {absent: len(memory)}
            # Of few shots nobody can tell that they are of something else.
            less = less if are_unlike(less, memory) else counts
        data = ExperimentResultData(counts=less, memory=memory)
        return _saying(experiment, data=data)


def are_unlike(counts, memory):
    """Tell whether counts and memory have nothing in common, and are enough to tell."""
    counted = {int(name, 16) for name in counts}
    seen = {int(name, 16 if name.startswith("0x") else 2) for name in memory}
    return not counted & seen and 2 * len(counted | seen) <= min(sum(counts.values()), len(memory))


@dataclass(frozen=True, slots=True)
class EndsSilently(Step):
    """Let a job be over, as its status says, and never bring a result.

    Attributes:
        stage: How it ended.
    """

    stage: str


@dataclass(frozen=True, slots=True)
class StopsWaiting(Step):
    """Let the provider's own wait for a job end while that goes on.

    Attributes:
        seconds: After how many.
    """

    seconds: float


def _saying(experiment, **said):
    """Return an experiment that says something else of itself."""
    other = copy(experiment)
    for name, value in said.items():
        setattr(other, name, value)
    return other
