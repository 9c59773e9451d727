"""What an application reads of runs that has configured no logging."""

import contextlib
import logging

import pytest
from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import PlanError, RouterSampler, RunError
from qiskit_gateway.backends import Limits, Member, Pricing
from qiskit_gateway.backends.scripted import Delays, Fails, Hangs, ScriptedBackend
from qiskit_gateway.policies import BreakerPolicy, Budget, Policy, RetryPolicy

SECONDS = 60.0
QUICK = RetryPolicy(wait_initial_seconds=0.01, max_attempts=1)
RULES = {"retry": QUICK, "patience_seconds": 0.5, "deadline_seconds": 2.0, "probe_seconds": 0.1}


def member(name, *steps, **facts):
    backend = ScriptedBackend(BasicSimulator(), then=steps)
    return Member(backend, name=name, limits=Limits(max_circuits=1, max_in_flight=4), **facts)


def lines_of(caplog):
    return [one for one in caplog.records if one.name.startswith("qiskit_gateway")]


def run_to_its_end(members, caplog, **rules):
    with caplog.at_level(logging.WARNING, logger="qiskit_gateway"):
        job = RouterSampler(members, policy=Policy(**RULES | rules)).run([bell()] * 12, shots=10)
        with contextlib.suppress(PlanError, RunError):
            job.result(SECONDS)
    return job


FAILING = {
    "all refuse": lambda: [member(name, Fails()) for name in "abc"],
    "all fail for good": lambda: [member(name, Fails(transient=False)) for name in "ab"],
    "jobs fail": lambda: [member(name, Fails(at="result")) for name in "ab"],
    "nobody answers": lambda: [member("a", Delays(30.0))],
}


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize("on_failure", ["raise", "partial"])
def test_a_run_that_fails_prints_one_line(caplog, how, on_failure):
    """Not one for each shard or member; it says which run, how much is lost, and why."""
    members = FAILING[how]()
    job = run_to_its_end(members, caplog, on_failure=on_failure)

    (line,) = lines_of(caplog)
    assert line.levelno == logging.WARNING
    text = line.getMessage()
    assert "\n" not in text
    assert text.startswith("event='gateway.job_finished'")
    dropped = sum(one.piece.circuit_shots for one in job.report().given_up)
    assert f"shots_dropped={dropped}" in text
    assert job.job_id() in text
    assert "error=''" not in text
    for one in members:
        one.backend.release()


def test_a_budget_that_ends_a_run_is_one_line(caplog):
    """With the reason."""
    members = [member("a", pricing=Pricing(per_job=1.0))]
    run_to_its_end(members, caplog, budget=Budget(usd=3))
    (line,) = lines_of(caplog)
    assert "the budget of 3 usd" in line.getMessage()


def test_several_reasons_are_one_line(caplog):
    """The first is told, and how many others there are."""
    wide = QuantumCircuit(40, 1)
    wide.x(range(40))
    wide.measure(39, 0)
    failing = member("a", Fails(transient=False))
    with caplog.at_level(logging.WARNING, logger="qiskit_gateway"):
        job = RouterSampler(failing, policy=Policy(**RULES)).run([bell(), wide], shots=10)
        with pytest.raises((PlanError, RunError)):
            job.result(SECONDS)
    (line,) = lines_of(caplog)
    assert "(and 1 other reasons)" in line.getMessage()


def test_what_ends_well_or_is_cancelled_prints_nothing(caplog):
    """A member that fails beside a healthy one is nobody's incident; whoever cancels knows."""
    members = [member("broken", Fails()), Member(BasicSimulator(), name="well")]
    run_to_its_end(members, caplog, breaker=BreakerPolicy(submit_errors=1))
    held = member("held", Hangs("result"))
    with caplog.at_level(logging.WARNING, logger="qiskit_gateway"):
        job = RouterSampler(held).run([bell()] * 5, shots=10)
        job.cancel()
        with pytest.raises(RunError, match="the job was cancelled"):
            job.result(SECONDS)
    held.backend.release()
    assert lines_of(caplog) == []
