"""Failures are values: what one says does not change with another."""

import copyreg
import pickle
from concurrent.futures import Executor, Future
from copy import copy, deepcopy

import pytest
from qiskit.circuit import Gate
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import GatewayError, RouterSampler
from qiskit_gateway.backends import ExecutorMember, Member
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.policies import Policy, RetryPolicy


class ForeignError(BackendError):
    """A member's own kind of failure, with a constructor of its own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error {code}", transient=True, submitted=True)
        self.code = code


def pickled(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301


@pytest.mark.parametrize("copied", [copy, deepcopy, pickled])
@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        BackendError("401", authentication=True, submitted=True),
        Refused({0: "too wide"}),
        ForeignError(7),
    ],
)
def test_a_copy_has_facts_of_its_own(error, workers, copied, monkeypatch):
    """Changing it leaves the original alone, also where Dask has installed how exceptions are copied."""
    if workers:
        tblib = pytest.importorskip("tblib.pickling_support")
        monkeypatch.setitem(copyreg.dispatch_table, type(error), tblib.pickle_exception)
    facts = dict(vars(error))
    other = copied(error)

    assert type(other) is type(error)
    assert (vars(other), other.args, str(other)) == (facts, error.args, str(error))

    other.submitted = None
    other.message = "changed"
    assert vars(error) == facts


class SharedError(BasicSimulator):
    """A simulator that raises one and the same failure each time, at a place of one's choice."""

    def __init__(self, error, place):
        super().__init__()
        self.error, self.place = error, place

    def _fail(self, place):
        if self.place == place:
            raise self.error

    @property
    def target(self):
        self._fail("target")
        return super().target

    def run(self, run_input, **options):
        self._fail("run")
        job = super().run(run_input, **options)
        if self.place == "result":
            job.result = lambda: self._fail("result")
        return job


class Failing:
    """A compiler that raises one and the same failure each time."""

    def __init__(self, error):
        self.error = error

    def run(self, *_arguments, **_options):
        raise self.error


def in_workers(error, place):
    return ExecutorMember(
        InHere(error, place), backend="qiskit.providers.basic_provider:BasicSimulator"
    )


class InHere(Executor):
    """An executor whose jobs are not taken, or come to nothing, always by the same failure."""

    def __init__(self, error, place):
        self.error, self.place = error, place

    def submit(self, *_arguments, **_options):
        if self.place == "run":
            raise self.error
        future = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("member", "place"),
    [
        (lambda error, place: Member(SharedError(error, place)), "target"),
        (lambda error, place: Member(SharedError(error, place)), "run"),
        (lambda error, place: Member(SharedError(error, place)), "result"),
        (lambda error, _: Member(BasicSimulator(), pass_manager=Failing(error)), "compiling"),
        (in_workers, "run"),
        (in_workers, "result"),
    ],
)
@pytest.mark.parametrize("submitted", [None, True, False])
def test_what_is_raised_is_not_changed(member, place, submitted):
    """Whoever raises one object again and again finds it as it was, whatever is made of it."""
    error = BackendError("busy", submitted=submitted, transient=False, authentication=True)
    facts = dict(vars(error))
    policy = Policy(retry=RetryPolicy(max_attempts=2, wait_initial_seconds=0.01))
    circuit = bell()
    if place == "compiling":
        circuit.append(Gate("unknown_there", 2, []), [0, 1])
    job = RouterSampler(member(error, place), policy=policy).run([circuit], shots=5)
    with pytest.raises(GatewayError, match="busy"):
        job.result(timeout=60)
    assert (vars(error), error.__cause__) == (facts, None)
