"""Forked children: they run at once, whatever their parent was doing, and leave its runs to it."""

import os
import threading

import pytest
from forked import SECONDS, in_child
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import ones

from qiskit_gateway import GatewayError, PlanError, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.backends.forks import ProcessLock
from qiskit_gateway.policies import Budget, fastest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


class Gated(BasicSimulator):
    """A simulator whose first call waits at a gate, in the process that made it."""

    def __init__(self):
        super().__init__()
        self.gate, self.entered = threading.Event(), threading.Event()

    def run(self, run_input, **options):
        if not self.entered.is_set():
            self.entered.set()
            self.gate.wait(SECONDS)
        return super().run(run_input, **options)


def counts_of(job):
    return job.result(timeout=SECONDS)[0].data.meas.get_counts()


def test_a_child_runs_after_runs_of_its_parent():
    """Idle threads of the parent are not in the child, nor is the event loop."""
    sampler = RouterSampler(BasicSimulator())
    assert counts_of(sampler.run([ones()], shots=5)) == {"1": 5}

    assert in_child(lambda: counts_of(sampler.run([ones()], shots=5))) == {"1": 5}
    assert counts_of(sampler.run([ones()], shots=5)) == {"1": 5}


def test_a_grandchild_runs_too():
    """Each fork begins anew."""
    sampler = RouterSampler(BasicSimulator())
    counts_of(sampler.run([ones()], shots=5))

    def child():
        counts_of(sampler.run([ones()], shots=5))
        return in_child(lambda: counts_of(sampler.run([ones()], shots=7)))

    assert in_child(child) == {"1": 7}


@pytest.fixture
def flying():
    """A sampler whose only slot is taken by a job in flight, and that job."""
    backend = Gated()
    member = Member(backend, limits=Limits(max_in_flight=1))
    sampler = RouterSampler(Fleet([member]), policy=fastest())
    job = sampler.run([ones()], shots=5)
    assert backend.entered.wait(SECONDS)
    yield sampler, job
    backend.gate.set()
    assert counts_of(job) == {"1": 5}


def test_a_child_runs_while_its_parent_has_a_job_in_flight(flying):
    """The parent's call holds the backend and its slot in the parent alone."""
    sampler, _ = flying

    assert in_child(lambda: counts_of(sampler.run([ones()], shots=9))) == {"1": 9}


def test_a_job_of_the_parent_is_over_in_the_child(flying):
    """It says where the run goes on, at once, and cancels nothing."""
    _, job = flying

    def ask():
        with pytest.raises(GatewayError, match=f"goes on in the process .* {os.getppid()}"):
            job.result()
        return job.cancel(), job.done(), job.in_final_state()

    assert in_child(ask) == (False, False, True)
    assert not job.in_final_state()


def test_a_lock_that_a_thread_holds_is_free_in_the_child():
    """Whoever holds it is not there to release it."""
    lock, held, release = ProcessLock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait(SECONDS)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait(SECONDS)
    try:
        assert not lock.acquire(timeout=0)
        assert in_child(lambda: lock.acquire(timeout=0))
    finally:
        release.set()
        thread.join()


@pytest.mark.parametrize("on_exhausted", ["wait", "move", "stop"])
def test_money_of_the_parents_jobs_is_spent_in_the_child(on_exhausted):
    """Nobody there gives it back: the child neither waits for it nor spends it again."""
    backend = Gated()
    member = Member(backend, pricing=Pricing(per_job=1.0), name="dear")
    policy = fastest(budget=Budget(usd=2.0, on_exhausted=on_exhausted))
    sampler = RouterSampler(Fleet([member]), policy=policy)
    job = sampler.run([ones()], shots=5)
    assert backend.entered.wait(SECONDS)

    def child():
        assert counts_of(sampler.run([ones()], shots=5)) == {"1": 5}
        with pytest.raises(PlanError, match="spent"):
            sampler.run([ones()], shots=5).result(timeout=SECONDS)
        return True

    assert in_child(child)
    backend.gate.set()
    assert counts_of(job) == {"1": 5}
