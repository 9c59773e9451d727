"""What is remembered of members."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.scheduling.members.estimator import Estimator, guess_speed
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import FleetState, MemberState
from qiskit_gateway.work.speed_evidence import SpeedEvidence
from qiskit_gateway.work.tasks import Load

seconds = st.floats(0.001, 10)


@given(seconds, seconds, st.floats(1e-6, 1e-2))
def test_a_speed_is_learned_from_unlike_jobs(overhead, circuit, shot):
    """After jobs of unlike sizes the time of another is foretold to a fifth."""
    speed = Speed()
    for circuits, shots in [(1, 100), (10, 100), (3, 5000), (30, 1000), (1, 9000), (20, 100)] * 5:
        total = circuits * shots
        speed.observe(circuits, total, overhead + circuits * circuit + total * shot)

    expected = overhead + 15 * circuit + 15 * 2000 * shot

    assert speed.seconds(15, 15 * 2000) == pytest.approx(expected, rel=0.2)


@given(st.integers(1, 300), st.integers(1, 10_000), seconds, st.integers(1, 5))
def test_one_size_of_job_is_read_as_cost_per_circuit(circuits, shots, total, jobs):
    """Where all jobs were alike, the next alike takes as long, and half of one half as long."""
    speed = Speed()
    for _ in range(jobs):
        speed.observe(circuits, circuits * shots, total)

    assert speed.seconds(circuits, circuits * shots) == pytest.approx(total, rel=0.05)
    assert speed.seconds(circuits / 2, circuits * shots / 2) == pytest.approx(total / 2, rel=0.1)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 999), st.floats(0, 9)), max_size=30))
def test_no_part_of_a_speed_is_negative(jobs):
    """Whatever was seen, no cost is below zero."""
    speed = Speed()
    for circuits, shots, total in jobs:
        speed.observe(circuits, circuits * shots, total)

    assert min(speed.overhead_seconds, speed.circuit_seconds, speed.shot_seconds) >= 0


terms = st.tuples(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(1e-5, 1e-2))


@given(terms, st.integers(1, 300), st.integers(1, 10_000))
def test_a_told_speed_is_known_before_any_job(told, circuits, shots):
    """Before the first job what is told is what is expected, and jobs of that time change nothing."""
    speed = Speed()
    speed.tell(told)
    expected = told[0] + circuits * told[1] + circuits * shots * told[2]

    assert (speed.jobs > 0, speed.source) == (True, "told")
    assert speed.seconds(circuits, circuits * shots) == pytest.approx(expected)
    for _ in range(100):
        speed.observe(circuits, circuits * shots, expected)

    assert speed.source == "seen"
    assert speed.overhead_seconds == pytest.approx(told[0], rel=0.01)
    assert speed.circuit_seconds == pytest.approx(told[1], rel=0.01)


@given(terms, st.floats(0.1, 10), st.integers(1, 300), st.integers(1, 10_000))
def test_a_told_speed_is_corrected_by_what_is_seen(told, times, circuits, shots):
    """However wrong it was, after five jobs the next alike is foretold to 0.4, after 40 to a tenth."""
    speed = Speed()
    speed.tell(told)
    taken = times * (told[0] + circuits * told[1] + circuits * shots * told[2])

    for number in range(1, 41):
        speed.observe(circuits, circuits * shots, taken)
        if number == 5:
            assert speed.seconds(circuits, circuits * shots) == pytest.approx(taken, rel=0.4)
    assert speed.seconds(circuits, circuits * shots) == pytest.approx(taken, rel=0.1)


jobs_seen = st.lists(
    st.tuples(st.integers(1, 99), st.integers(1, 999), st.floats(0.001, 9)), min_size=1, max_size=20
)


@given(jobs_seen, jobs_seen, st.none() | terms)
def test_what_another_process_has_seen_counts_as_if_seen_here(before, after, told):
    """Whoever reads what earlier jobs taught expects of the next job what those expect who saw them."""
    one, first, second = Speed(), Speed(), Speed()
    for speed in (one, first, second):
        if told is not None:
            speed.tell(told)
    for circuits, shots, total in before:
        one.observe(circuits, circuits * shots, total)
        first.observe(circuits, circuits * shots, total)
    second.recall(first.take_fresh())
    assert second.source == "journal"
    assert second.seconds(7, 700) == pytest.approx(one.seconds(7, 700))
    for circuits, shots, total in after:
        one.observe(circuits, circuits * shots, total)
        second.observe(circuits, circuits * shots, total)

    assert second.source == "seen"
    assert second.seconds(7, 700) == pytest.approx(one.seconds(7, 700))
    assert first.take_fresh().jobs == 0
    assert second.take_fresh().jobs == len(after)


@given(jobs_seen, st.floats(0.001, 0.99))
def test_what_is_old_counts_less_and_is_doubted_more(jobs, share):
    """By itself it says the same; beside a new job it weighs less than what is newer."""
    seen = SpeedEvidence()
    for circuits, shots, total in jobs:
        seen.add(circuits, circuits * shots, total)
    fresh, old = Speed(), Speed()
    fresh.recall(seen)
    old.recall(seen.fade(share))

    assert old.seconds(7, 700) == pytest.approx(fresh.seconds(7, 700), rel=1e-6)
    assert fresh.doubt <= old.doubt <= Speed().doubt
    new = 100 * fresh.seconds(7, 700)
    for speed in (fresh, old):
        speed.observe(7, 700, new)
    assert old.seconds(7, 700) >= fresh.seconds(7, 700) - 1e-9


def test_how_far_off_a_speed_may_be_is_learned():
    """It is most where nothing is known, less where it is told, and follows what was seen."""
    unseen, told, steady, fickle = Speed(), Speed(), Speed(), Speed()
    told.tell((1.0, 0.1, 0.0))
    for number in range(20):
        steady.observe(10, 100, 5.0)
        fickle.observe(10, 100, 5.0 if number % 2 else 15.0)

    off = [one.estimate.times_off for one in (steady, told, fickle, unseen)]
    assert off == sorted(off)
    assert off[0] == pytest.approx(1.0, abs=0.01)
    assert off[-1] == pytest.approx(4.0)


def test_a_slot_is_released_once():
    """A second release of one job changes nothing."""
    state = MemberState()
    state.take("x", Load(5, 50), now=0.0)
    state.take("y", Load(7, 70), now=0.0)

    state.release("x", now=4.0)
    state.release("x", now=9.0)

    assert list(state.in_flight) == ["y"]
    assert state.load == Load(7, 70)
    assert state.busy_since == 4.0


def test_a_member_never_seen_is_thought_to_be_like_the_others():
    """Its guess is that of the middle member; with nobody seen there is none."""
    known = [
        Speed(overhead_seconds=9 * value, circuit_seconds=value, jobs=1)
        for value in (1.0, 2.0, 9.0)
    ]
    states = {f"m{order}": MemberState(speed=speed) for order, speed in enumerate(known)}
    states |= {"new": MemberState(), "narrow": MemberState()}
    profiles = {name: MemberProfile(name=name) for name in states}
    profiles["narrow"] = MemberProfile(name="narrow", max_circuits=1)
    estimator = Estimator(profiles=profiles, states=states)

    estimator.refresh()

    assert guess_speed([Speed()]) is None
    assert estimator.guess == Speed(overhead_seconds=18.0, circuit_seconds=2.0)
    assert estimator.seconds("new", Load(3, 300)) == 18.0 + 6.0
    assert estimator.seconds("narrow", Load(3, 300)) == 3 * 18.0 + 6.0


@given(st.integers(1, 50), st.floats(0.1, 100), st.floats(0.01, 10))
def test_what_comes_later_in_a_job_adds_no_overhead(before, overhead, circuit):
    """Members that are offered work in parts are thought to take what they take for all of it."""
    state = MemberState(speed=Speed(overhead_seconds=overhead, circuit_seconds=circuit, jobs=1))
    estimator = Estimator(profiles={"a": MemberProfile(name="a")}, states={"a": state})
    offers = Offers(
        estimator=estimator,
        assigned={},
        waiting=Load(100, 100),
        uses=frozenset({"wait_seconds", "run_seconds"}),
        now=0.0,
    )

    first, later = offers("a", Load(1, 1)), offers("a", Load(1, 1), Load(before, before))

    assert first.finish_seconds == pytest.approx(overhead + circuit)
    assert later.run_seconds == pytest.approx(circuit)
    assert later.finish_seconds == pytest.approx(overhead + circuit * (before + 1))


def test_jobs_are_counted_by_every_limit():
    """A load above a member's circuits and shots is so many jobs there."""
    profile = MemberProfile(name="a", max_circuits=10, max_shots=100)

    assert profile.jobs(Load(1, 50)) == 1
    assert profile.jobs(Load(40, 40 * 250)) == 10
    # A part of the shots of one circuit is a circuit of so many.
    assert profile.jobs(Load(0.5, 500)) == 5
    assert profile.jobs(Load(0.01, 10)) == 1


@pytest.mark.parametrize(
    ("profile", "queue", "jobs", "free"),
    [
        (MemberProfile(name="a", max_in_flight=3), 0.0, 2, 1),
        (MemberProfile(name="a", overlaps=False), 600.0, 0, 1),
        (MemberProfile(name="a", overlaps=False), 600.0, 1, 0),
        (MemberProfile(name="a"), 0.0, 1, 1),
        (MemberProfile(name="a"), 0.0, 2, 0),
        (MemberProfile(name="a"), 30.0, 9, 1),
        (MemberProfile(name="a"), 30.0, 30, 0),
    ],
)
def test_jobs_in_flight_bridge_the_queue_where_nobody_says_how_many(profile, queue, jobs, free):
    """Enough jobs are in flight to keep a member busy while others wait in its queue."""
    state = FleetState().of("a")
    state.queue_seconds = queue
    state.speed = Speed(circuit_seconds=2.0, jobs=2)
    for number in range(jobs):
        state.take(number, Load(1, 10), now=0.0)
    estimator = Estimator(profiles={"a": profile}, states={"a": state})

    assert estimator.free_slots("a", now=0.0) == free


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_idle_member_may_have_a_job(queue_seconds, job_seconds):
    """Also one that was never seen at work, whatever the others take: its plan would never be met."""
    profiles = {name: MemberProfile(name=name, order=0) for name in ("seen", "unseen")}
    states = {"seen": MemberState(), "unseen": MemberState(queue_seconds=queue_seconds)}
    states["seen"].speed.observe(1, 10, job_seconds)
    estimator = Estimator(profiles=profiles, states=states)
    estimator.refresh()

    assert all(estimator.free_slots(name, now=0.0) > 0 for name in profiles)


@given(st.floats(0, 1e6), st.integers(1, 5))
def test_a_slot_of_the_minute_is_free_when_it_was_said_to_be(now, per_minute):
    """At the time for which the alarm is set there is room, however the sum was rounded."""
    state = MemberState()
    for key in range(per_minute):
        state.take(key, Load(1, 1), now)

    assert state.submissions_left(per_minute, now) == 0
    assert state.submissions_left(per_minute, state.submissions[0] + 60) > 0


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 100)), min_size=1))
def test_a_learned_wait_is_between_the_waits_that_were_seen(waits):
    """No wait is thought to be shorter than all that were seen, or longer; the newest counts half."""
    state = MemberState()
    for number, (least, more) in enumerate(waits):
        before = state.queue_seconds
        state.learn_wait(least, least + more, float(number))
        seen = min(max(before, least), least + more)
        newest = seen if number == 0 else (before + seen) / 2
        assert state.queue_seconds == pytest.approx(newest)

    lowest, highest = min(least for least, _ in waits), max(sum(wait) for wait in waits)
    assert lowest - 1e-6 <= state.queue_seconds <= highest + 1e-6


def test_a_wait_that_can_be_read_is_not_learned():
    """What a provider tells of its queue stands, whatever our own jobs met."""
    state = MemberState()
    state.note_queue(30.0, None, 0.0)
    state.learn_wait(500.0, 600.0, 1.0)

    assert state.queue_seconds == 30.0
