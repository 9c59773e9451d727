"""Turns at a member: by weight and priority, nobody starves, and no slot stays empty."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.policies import Share
from qiskit_gateway.scheduling.members.fair_queue import FairQueue, Flow, Listener


class Waiting:
    """A run that always has work, or none."""

    def __init__(self, queue, *, seconds=1.0, useful=True, **share):
        self.queue, self.seconds, self.useful = queue, seconds, useful
        self.flow = Flow(Share(**share))
        self.jobs, self.asked = 0, 0
        self.listen()

    def listen(self):
        self.queue.wait(Listener(self.flow, self.offer))

    def offer(self, member):
        self.asked += 1
        before = self.jobs
        while self.useful and self.queue.free and not self.queue.steps_back(self.flow, member):
            self.queue.free -= 1
            self.jobs += 1
            self.queue.dispatch(self.flow, member, self.seconds)
        self.listen()
        if self.useful and self.queue.free:
            self.queue.offer(member)  # As whoever has stepped back must.
        return self.jobs > before

    @property
    def had(self):
        return self.jobs * self.seconds


class Slots(FairQueue):
    """A queue at a member of which the test frees slots."""

    free = 0

    def release(self, slots=1):
        self.free += slots
        self.offer("m")


users = st.lists(
    st.tuples(
        st.floats(0.25, 8), st.lists(st.sampled_from([0.5, 1.0, 7.0]), min_size=1, max_size=3)
    ),
    min_size=2,
    max_size=5,
)


@given(users=users, slots=st.integers(1, 4), rounds=st.integers(1, 150))
def test_two_users_are_apart_by_no_more_than_a_few_jobs(users, slots, rounds):
    """What each had over its weight differs by at most a job of each: the bound of the paper."""
    queue = Slots()
    of_user = [
        [Waiting(queue, user=f"{number}", weight=weight, seconds=one) for one in seconds]
        for number, (weight, seconds) in enumerate(users)
    ]
    for _ in range(rounds):
        queue.release(slots)
        assert queue.free == 0
    had = [
        sum(run.had for run in runs) / weight
        for (weight, _), runs in zip(users, of_user, strict=True)
    ]
    largest = [max(seconds) / weight for weight, seconds in users]
    for one, other in ((a, b) for a in range(len(users)) for b in range(len(users))):
        assert had[one] - had[other] <= largest[one] + largest[other] + 1e-9


@given(priorities=st.lists(st.integers(0, 4), min_size=2, max_size=5), rounds=st.integers(1, 200))
def test_runs_of_a_user_are_apart_by_no_more_than_a_few_jobs(priorities, rounds):
    """The same holds inside a user, by powers of two; the least is never left out for good."""
    queue = Slots()
    runs = [Waiting(queue, priority=priority) for priority in priorities]
    for _ in range(rounds):
        queue.release()
    had = [run.had / 2**priority for run, priority in zip(runs, priorities, strict=True)]
    assert max(had) - min(had) <= 2
    if rounds >= sum(2**priority for priority in priorities) * 3:
        assert all(run.jobs for run in runs)


@given(
    useful=st.lists(st.booleans(), min_size=1, max_size=8),
    weights=st.lists(st.floats(0.01, 100), min_size=8, max_size=8),
    slots=st.integers(1, 3),
)
def test_a_slot_is_taken_if_anybody_has_use_for_it(useful, weights, slots):
    """Whose turn it is, and who cannot use it, keeps nobody else from it."""
    queue = Slots()
    for number, one in enumerate(useful):
        Waiting(queue, useful=one, user=f"{number}", weight=weights[number])
    for _ in range(30):
        queue.free = 0
        queue.release(slots)
        assert queue.free == (0 if any(useful) else slots)
    assert len(queue.listeners) == len(useful)


def test_a_crowd_is_not_asked_for_each_slot():
    """One takes it, and one more asks in vain; nobody loses its place by that."""
    queue = Slots()
    runs = [Waiting(queue) for _ in range(200)]
    for _ in range(100):
        queue.release()
    assert sum(run.asked for run in runs) <= 200
    assert [run.jobs for run in runs] == [1] * 100 + [0] * 100


def test_whoever_comes_late_begins_with_the_others():
    """A newcomer has no credit of the time before, and an old one no debt that starves it."""
    queue = Slots()
    old = Waiting(queue, user="old")
    for _ in range(1000):
        queue.release()
    new = Waiting(queue, user="new")
    for _ in range(100):
        queue.release()
    assert new.jobs == pytest.approx(50, abs=2)
    assert old.jobs == pytest.approx(1050, abs=2)


def test_jobs_that_take_no_time_are_shared_all_the_same():
    """Where nothing is known of a member, a job counts as a job."""
    queue = Slots()
    runs = [Waiting(queue, seconds=0.0, user=user) for user in "ab"]
    for _ in range(100):
        queue.release()
    assert [run.jobs for run in runs] == [50, 50]


def test_a_run_that_is_over_is_forgotten_and_its_user_is_not():
    """Somebody who cuts work into many short runs gets no more by that."""
    queue = Slots()
    steady = Waiting(queue, user="steady")
    for _ in range(60):
        short = Waiting(queue, user="short")
        queue.release(2)
        queue.leave(short.flow)
        queue.forget(short.flow)
    assert steady.jobs == pytest.approx(60, abs=3)
    held = [clock.finish for clock in queue._runs.values()]
    assert sum(len(finish) for finish in held) <= 1
    assert all(math.isfinite(tag) for finish in held for tag in finish.values())
