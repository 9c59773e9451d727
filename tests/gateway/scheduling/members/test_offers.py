"""Offers: queues that are told in jobs, in seconds, or not at all, by one rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.tasks import Load

WORK = Load(20, 2000)
USES = frozenset({"pending_jobs", "wait_seconds", "run_seconds"})


def state(*, seconds=None, jobs=None, told=None, took=()):
    """Return what is known of a member whose queue was read once."""
    made = MemberState()
    made.note_queue(seconds, jobs, now=0.0)
    if told is not None:
        made.speed.tell(told)
    for each in took:
        made.speed.observe(10, 1000, each)
    return made


def offers_of(**states):
    """Return the offer of each member to take a circuit."""
    profiles = {name: MemberProfile(name=name, max_circuits=10) for name in states}
    estimator = Estimator(profiles=profiles, states=states)
    estimator.refresh()
    offers = Offers(estimator=estimator, assigned={}, waiting=WORK, uses=USES, now=0.0)
    return {name: offers(name, Load(1, 100)) for name in states}


@given(st.floats(0, 1e4), st.lists(st.floats(0.1, 100), min_size=1, max_size=5))
def test_seconds_are_as_many_jobs_as_ours_would_take(seconds, took):
    """A queue in seconds is compared by the mean time of the jobs that were seen there."""
    known = state(seconds=seconds, took=took)

    offer = offers_of(a=known)["a"]

    assert offer.pending_jobs * known.speed.mean_seconds == pytest.approx(seconds)
    assert min(took) - 1e-9 <= known.speed.mean_seconds <= max(took) + 1e-9
    assert offer.wait_seconds == seconds


def test_where_no_job_was_seen_the_time_is_that_of_one_that_waits():
    """By what is told, else guessed, of a job as large as the member takes."""
    told = offers_of(a=state(seconds=120.0, told=(2.0, 1.0, 0.0)))["a"]
    guessed = offers_of(a=state(seconds=120.0), b=state(seconds=0.0, told=(2.0, 1.0, 0.0)))["a"]

    assert told.pending_jobs == guessed.pending_jobs == pytest.approx(120 / (2 + 10))


def test_a_number_of_jobs_is_a_wait_where_no_seconds_are_told():
    """Each of them is thought to take as long as ours; seconds that are told or learned win."""
    jobs = state(jobs=7, took=[3.0])
    both = state(jobs=7, seconds=5.0, took=[3.0])
    learned = state(jobs=7, took=[3.0])
    learned.learn_wait(40.0, 40.0, now=1.0)

    found = offers_of(jobs=jobs, both=both, learned=learned)

    assert [one.pending_jobs for one in found.values()] == [7, 7, 7]
    assert [one.wait_seconds for one in found.values()] == pytest.approx([21.0, 5.0, 40.0])


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=7))
def test_a_queue_that_nobody_tells_is_neither_the_best_nor_the_worst(jobs):
    """It is thought to be as long as the middle one of the others; among none, empty."""
    told = {f"m{number}": state(jobs=one) for number, one in enumerate(jobs)}

    found = offers_of(silent=MemberState(), **told)

    assert min(jobs) <= found["silent"].pending_jobs <= max(jobs)
    assert offers_of(silent=MemberState())["silent"].pending_jobs == 0.0


@pytest.mark.parametrize("told", [None, 3])
def test_jobs_of_ours_are_ahead_of_what_is_only_tried_out(told):
    """In a copy they are those of others, whether the queue is told or not, until it is read anew."""
    known = MemberState() if told is None else state(jobs=told)
    for number in range(4):
        known.take(number, Load(1, 10), now=0.0)

    copied = known.alone()

    assert offers_of(a=copied)["a"].pending_jobs == (told or 0) + 4
    copied.note_queue(None, 9, now=1.0)
    assert offers_of(a=copied)["a"].pending_jobs == 9
