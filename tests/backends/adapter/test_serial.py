"""Turns on one backend object: one at a time, and nobody waits behind a call that was left hanging."""

import threading

import pytest
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import BackendError
from qiskit_gateway.backends.adapter.serial import Errand, Turns
from qiskit_gateway.backends.adapter.threads import call_within


@pytest.fixture
def held():
    """Return turns that a thread holds, its errand, and what ends it."""
    turns, errand = Turns(BasicSimulator()), Errand()
    has_it, end = threading.Event(), threading.Event()

    def hold():
        with turns.hold(errand):
            errand.begin()
            has_it.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait()
    yield turns, errand, end
    end.set()
    thread.join()


def take(turns, errand):
    with turns.hold(errand):
        return "taken"


def test_who_waits_behind_a_call_that_was_left_is_told_that_nothing_was_sent(held):
    """Such a call may hang for ever."""
    turns, errand, _ = held
    errand.leave()

    with pytest.raises(BackendError, match="an earlier call of the backend hangs") as caught:
        call_within(lambda: take(turns, Errand()), 5)

    assert caught.value.submitted is False


def test_who_waits_behind_a_call_that_is_waited_for_gets_its_turn(held):
    """However long that takes."""
    turns, _, end = held
    threading.Timer(0.3, end.set).start()

    assert call_within(lambda: take(turns, Errand()), 5) == "taken"


def test_a_thread_whose_caller_has_left_stops_waiting(held):
    """A thread does not wait for a turn that nobody needs any more."""
    turns, _, _ = held
    gone = Errand()
    threading.Timer(0.2, gone.leave).start()

    with pytest.raises(BackendError, match="nobody waits for this job"):
        call_within(lambda: take(turns, gone), 5)


def test_an_errand_is_begun_or_left_but_never_both_unknown():
    """Whoever leaves knows whether the provider was asked; after that it is not."""
    asked, unasked = Errand(), Errand()
    asked.begin()

    assert asked.leave()
    assert not unasked.leave()
    with pytest.raises(BackendError, match="nobody waits"):
        unasked.begin()


def test_a_question_is_waited_for_no_longer_than_said():
    """Whatever hangs is left behind; what is raised is raised to the caller."""
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        call_within(gate.wait, 0.05)
    gate.set()
    with pytest.raises(ZeroDivisionError):
        call_within(lambda: 1 // 0, 5)
