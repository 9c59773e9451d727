"""A batch or session is opened late, closed surely, and told of where it cannot be closed."""

import gc
import os
import pickle
import threading

import pytest

from qiskit_gateway.backends.primitive.execution_mode import ModeKeeper


class Mode:
    """What is open; it may fail to be closed."""

    def __init__(self, failures=0):
        self.open = True
        self.failures = failures
        self.closed = threading.Event()

    def close(self):
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route")
        self.open = False
        self.closed.set()


class Opens:
    """Opens modes and remembers them."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.modes = []

    def __call__(self):
        self.modes.append(Mode(self.failures.pop(0) if self.failures else 0))
        return self.modes[-1]


def send(keeper):
    job = object()
    mode = keeper.enter()
    keeper.leave(job)
    return mode, job


def test_opened_for_the_first_job_and_closed_with_the_last():
    """While one job is in flight it stays open, whichever ends first."""
    opens = Opens()
    keeper = ModeKeeper(opens, 0)
    assert opens.modes == []
    mode, one = send(keeper)
    again, two = send(keeper)
    assert mode is again
    keeper.note_over(one)
    keeper.note_over(one)
    keeper.note_over(object())
    assert mode.open
    keeper.note_over(two)
    assert not mode.open
    assert send(keeper)[0] is not mode


def test_a_job_that_was_not_taken_leaves_nothing_open():
    """Nor does one that could not even open it."""
    opens = Opens()
    keeper = ModeKeeper(opens, 0)
    mode = keeper.enter()
    keeper.leave()
    assert not mode.open

    def fails():
        raise ConnectionError("no route")

    keeper = ModeKeeper(fails, 0)
    with pytest.raises(ConnectionError):
        keeper.enter()
    keeper._begin = opens
    _, job = send(keeper)
    keeper.note_over(job)
    assert not any(one.open for one in opens.modes)


def test_it_is_closed_when_it_has_idled():
    """After its time, in a thread; a job in between keeps it open."""
    opens = Opens()
    keeper = ModeKeeper(opens, 0.001)
    mode, job = send(keeper)
    keeper.note_over(job)
    assert mode.closed.wait(10)

    keeper = ModeKeeper(opens, 3600)
    mode, job = send(keeper)
    keeper.note_over(job)
    timer = keeper._timer
    _, job = send(keeper)
    assert timer.finished.is_set()
    keeper._close_idle()  # A timer that was about to fire.
    assert mode.open
    keeper.note_over(job)
    keeper.close()
    assert not mode.open
    assert keeper._timer is None


def test_what_the_provider_closed_is_forgotten():
    """The next job opens one anew; one that is forgotten late takes no newer one along."""
    keeper = ModeKeeper(Opens(), 3600)
    first, _ = send(keeper)
    keeper.forget(first)
    second, _ = send(keeper)
    assert second is not first
    keeper.forget(first)
    assert send(keeper)[0] is second
    keeper.close()


def test_it_is_closed_when_its_keeper_goes():
    """Members that are dropped leave nothing behind that is billed."""
    opens = Opens()
    keeper = ModeKeeper(opens, 3600)
    mode, _ = send(keeper)
    del keeper
    gc.collect()
    assert not mode.open


def test_closing_is_tried_again_and_told_in_the_end():
    """A session that stays open costs money, so somebody must be told."""
    opens = Opens(2, 3, 3)
    keeper = ModeKeeper(opens, 0)
    mode, job = send(keeper)
    keeper.note_over(job)
    assert not mode.open
    _, job = send(keeper)
    with pytest.warns(RuntimeWarning, match="Mode could not be closed.*close it at the provider"):
        keeper.note_over(job)
    send(keeper)
    with pytest.raises(ConnectionError):
        keeper.close()


def test_copies_and_children_have_their_own():
    """What is open belongs to the process and the member that opened it."""
    keeper = ModeKeeper(Opens(), 3600)
    mode, _ = send(keeper)
    assert pickle.loads(pickle.dumps(ModeKeeper(dict, 5)))._held.mode is None  # noqa: S301
    child = os.fork()
    if not child:
        os._exit(0 if keeper._held.mode is None and mode.open else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert keeper._held.mode is mode
    keeper.close()
