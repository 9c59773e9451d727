"""Blocking calls in threads: one after the other in one thread, and nobody waits in vain."""

import gc
import threading
import weakref
from contextlib import suppress
from functools import partial

import anyio
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.providers import JobStatus, JobV1
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import BackendError, Member
from qiskit_gateway.backends.adapter.threads import (
    Call,
    call_in_thread,
    soon_here,
    start_in_thread,
)
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Run on real clocks: what threads do no virtual one sees."""
    return request.param


class Wire(JobV1):
    """A job that notes the threads that ask for its result, and loses the connection at first."""

    def __init__(self, backend, inner, losses):
        super().__init__(backend, "wire")
        self.threads = []
        self._inner = inner
        self._losses = losses

    def submit(self):
        """Do nothing."""

    def status(self):
        return JobStatus.DONE

    def result(self):
        self.threads.append(threading.get_ident())
        if len(self.threads) <= self._losses:
            raise ConnectionResetError
        return self._inner.result()


class Wired(BasicSimulator):
    """A simulator that notes the thread that submits."""

    def __init__(self, losses=0):
        super().__init__()
        self.threads = []
        self._losses = losses

    def run(self, *given, **options):
        self.threads.append(threading.get_ident())
        return Wire(self, super().run(*given, **options), self._losses)


def batch():
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    entry = Entry(program=Program(circuit=circuit), rows=np.zeros((1, 0)))
    return Batch(entries=(entry,), shots=10, kept_shots=10)


async def test_calls_one_after_the_other_are_made_in_one_thread():
    """A thread is free for the next call before the caller is told of the last one."""
    threads = {await call_in_thread(threading.get_ident) for _ in range(50)}
    assert len(threads) == 1


async def test_a_chain_ends_with_the_first_call_that_fails():
    """What was to follow a call that raised is not made."""
    made = []
    first, second = Call(lambda: 1 // 0), Call(lambda: made.append("second"))
    start_in_thread(first, second)
    with pytest.raises(ZeroDivisionError):
        await first.outcome()
    await call_in_thread(lambda: made.append("another"))
    assert made == ["another"]


async def test_a_chain_ends_where_its_caller_has_left():
    """What nobody waited for is told to ``late``, and nothing follows it."""
    gate, told, made = threading.Event(), threading.Event(), []
    first = Call(lambda: gate.wait(30), late=lambda _: told.set())
    start_in_thread(first, Call(lambda: made.append("second")))
    with anyio.move_on_after(0.01):
        await first.outcome()
    gate.set()
    assert told.wait(30)
    await call_in_thread(lambda: made.append("another"))
    assert made == ["another"]


async def test_a_thread_whose_caller_has_left_gets_no_call_before_it_is_done():
    """What is told late may block; nobody else waits for that."""
    left, begun, gate = threading.Event(), threading.Event(), threading.Event()

    def late(_):
        begun.set()
        gate.wait(30)

    call = Call(lambda: left.wait(30), late=late)
    start_in_thread(call)
    with anyio.move_on_after(0.01):
        await call.outcome()
    left.set()
    assert begun.wait(30)
    with anyio.fail_after(10):
        assert await call_in_thread(lambda: "made") == "made"
    gate.set()


class Large:
    """Something that one would not keep."""


async def test_a_call_lets_go_of_what_it_was_made_of():
    """A value that is kept does not keep alive what made it."""
    large = Large()
    seen = weakref.ref(large)
    call = Call(lambda large=large: 1 if large else 2)
    del large
    start_in_thread(call)
    assert await call.outcome() == 1
    gc.collect()
    assert seen() is None
    assert call.value == 1


async def test_a_call_that_failed_lets_go_of_its_frames():
    """Once the caller has the error, neither the call nor its thread holds what it was given."""
    large, told = Large(), threading.Event()
    seen, soon = weakref.ref(large), soon_here()

    def fail(large):
        raise ValueError(str(large))

    def tell(function):
        soon(function)
        assert told.wait(30)

    call = Call(partial(fail, large), soon=tell)
    del large
    start_in_thread(call)
    with suppress(ValueError):
        await call.outcome()
    gc.collect()
    held = seen()
    told.set()
    assert held is None


async def test_the_thread_that_submits_a_job_waits_for_its_result():
    """The result of a job that is there at once costs no second way to a thread and back."""
    backend = Wired()
    member = Member(backend)
    handle = await member.submit(batch())
    outcomes = await member.collect(handle)
    assert len(outcomes) == 1
    assert handle.job.threads == backend.threads


async def test_a_result_is_asked_for_again_where_the_connection_was_lost():
    """The first who collects gets what the thread got; whoever does it again asks the provider."""
    member = Member(Wired(losses=1))
    handle = await member.submit(batch())
    with pytest.raises(BackendError) as caught:
        await member.collect(handle)
    assert caught.value.fault == "network"
    assert len(await member.collect(handle)) == 1
    assert len(handle.job.threads) == 2
