"""Whatever a provider's job returns or raises is the failure of that attempt: never zeros, never a crash."""

import asyncio
import concurrent.futures
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import MadeUp
from qiskit import QuantumCircuit
from qiskit.circuit import Measure
from qiskit.circuit.library import XGate
from qiskit.providers import JobStatus
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qiskit_gateway import RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import Member
from qiskit_gateway.policies import Policy, RetryPolicy, failover

SHOTS = 4
ONCE = Policy(retry=RetryPolicy(max_attempts=1, max_failures_per_run=0))


class Answering(MadeUp):
    """A backend whose jobs answer with whatever it is told to."""

    defaults: ClassVar = {"shots": SHOTS, "memory": False}

    def __init__(self, answer):
        target = Target(num_qubits=2)
        target.add_instruction(XGate(), {(0,): None, (1,): None})
        target.add_instruction(Measure(), {(0,): None, (1,): None})
        super().__init__("hostile", target)
        self.answer = answer

    def run(self, run_input, **options):
        return SimpleNamespace(
            job_id=lambda: "job", status=lambda: JobStatus.DONE, result=self.answer, cancel=bool
        )


def ones():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    return circuit


def measured(circuit):
    circuit.measure_all()
    return circuit


def outcome_of(answer):
    """Return the shots that a sampler gets from a backend, or the error."""
    sampler = RouterSampler(Answering(answer), policy=ONCE)
    try:
        result = sampler.run([measured(ones())], shots=SHOTS).result(timeout=60)
    except RunError as error:
        return error
    return result[0].data.meas.array.ravel().tolist()


words = st.one_of(
    st.sampled_from(["0x1", "0x0", "1", "0", "01", "x1", "0x", "0x" + "f" * 3000, "1" * 5000]),
    st.text("01x ", max_size=4), st.integers(-(2**70), 2**70), st.none(), st.booleans(),
    st.binary(max_size=3), st.floats(),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-1, 5), st.sampled_from([4, 10**5000, -(10**5000), "4", b"4", 1e300, "nan"]),
    st.floats(), st.none(), st.booleans(), st.lists(st.integers(), max_size=2),
)  # fmt: skip
data = st.fixed_dictionaries(
    {},
    optional={
        "counts": st.one_of(st.dictionaries(words, numbers, max_size=3), words, numbers),
        "memory": st.one_of(st.lists(words, max_size=5), words, st.just(np.ones((4, 2)))),
    },
)
experiments = st.fixed_dictionaries(
    {"data": st.one_of(data, words)},
    optional={"success": st.one_of(words, numbers), "shots": numbers, "status": words},
)
results = st.one_of(
    words,
    st.builds(SimpleNamespace),
    st.fixed_dictionaries(
        {"results": st.one_of(st.lists(experiments, max_size=2), words)},
        optional={"success": words, "status": words},
    ),
)


@given(results)
@settings(max_examples=60)
def test_whatever_a_job_returns_is_its_outcome_or_an_error(result):
    """Shots come from what the data says; all else is an error of the run, with the attempt in it."""
    found = outcome_of(lambda: result)
    if isinstance(found, RunError):
        assert [attempt.outcome for attempt in found.attempts] in (["failed"], ["short"])
        assert found.failures
        return
    (one,) = result["results"]
    said = one["data"].get("counts") or one["data"]["memory"]
    says = {1: ("0x1", "1", "01", 1, True), 0: ("0x0", "0", "00", 0, False)}
    assert len(found) == SHOTS
    assert all(
        any(name in says[shot] or int(str(name), 0) == shot for name in said) for shot in found
    )


def raising(error):
    def answer():
        raise error

    return answer


class Raises:
    """An object that raises at every touch."""

    def __init__(self, error):
        self.__dict__["error"] = error

    def __getattr__(self, name):
        raise self.error

    def __str__(self):
        raise self.error

    __repr__ = __len__ = __iter__ = __bool__ = __str__


ERRORS = [
    RuntimeError("no"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
    StopIteration(),
    RecursionError("deep"),
    MemoryError("full"),
    BaseExceptionGroup("both", [SystemExit(1), ValueError("x")]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("touched", [False, True])
def test_nothing_that_a_job_raises_escapes(error, touched):
    """Neither ``result()`` nor the object that it returns can end a run or the process by raising."""
    answer = (lambda: Raises(error)) if touched else raising(error)
    found = outcome_of(answer)
    assert isinstance(found, RunError)
    assert [attempt.outcome for attempt in found.attempts] == ["failed"]
    assert isinstance(outcome_of(lambda: {"results": [{"data": {"counts": {"0x1": 4}}}]}), list)


def unreadable(**looks):
    """An exception that raises when it is looked at."""
    return type("UnreadableError", (Exception,), looks)("boom")


def recurse(self, name):
    return getattr(self.inner, name)


def leave(self, *_):
    raise SystemExit(3)


UNREADABLE = {
    "response": lambda: unreadable(response=property(leave)),
    "all": lambda: unreadable(__getattr__=recurse),
    "text": lambda: unreadable(__str__=leave),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("verb", ["run", "result"])
def test_an_exception_that_raises_ends_its_attempt_alone(make, verb):
    """The work goes to the member beside it, and the report names the class."""

    class Odd(Answering):
        def run(self, run_input, **options):
            if verb == "run":
                raise make()
            return super().run(run_input, **options)

    def answer():
        raise make()

    good = Answering(lambda: {"results": [{"data": {"counts": {"0x1": SHOTS}}}]})
    fleet = [Member(Odd(answer), name="odd"), Member(good, name="good")]
    sampler = RouterSampler(fleet, policy=failover("odd", "good"))
    job = sampler.run([measured(ones())], shots=SHOTS)
    assert job.result(timeout=60)[0].data.meas.get_counts() == {"1": SHOTS}
    first, *_, last = job.report().attempts
    assert (first.member, last.member) == ("odd", "good")
    assert "UnreadableError" in first.failure


def test_an_estimator_makes_no_value_of_it():
    """No expectation value is made of a result that cannot be believed."""
    for counts in ({"0x1": True}, {"0x1": -4}, {"0x1": float("nan")}, {"0x9": 4}, {}):
        result = {"results": [{"data": {"counts": counts}}]}
        estimator = RouterEstimator(Answering(lambda result=result: result), policy=ONCE)
        job = estimator.run([(ones(), SparsePauliOp("Z"))], precision=0.5)
        with pytest.raises(RunError):
            job.result(timeout=60)


@pytest.mark.parametrize("verb", ["submit", "collect"])
@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt()])
def test_a_member_that_cancels_itself_ends_its_attempt_alone(verb, error):
    """Nobody has cancelled it: what an async member raises is its failure, whatever its class."""

    async def fail(self, *arguments):
        raise error

    odd = type("Odd", (Member,), {verb: fail})
    answer = {"results": [{"data": {"counts": {"0x1": SHOTS}}}]}
    fleet = [
        odd(Answering(lambda: answer), name="odd"),
        Member(Answering(lambda: answer), name="good"),
    ]
    sampler = RouterSampler(fleet, policy=failover("odd", "good"))
    job = sampler.run([measured(ones())], shots=SHOTS)
    assert job.result(timeout=60)[0].data.meas.get_counts() == {"1": SHOTS}
    assert job.report().members["odd"]["failures"]
