"""How long members are thought to work, and by which source."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.scheduling.members.estimator import (
    Estimator,
    count_rounds,
    round_wait_seconds,
)
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.speed_evidence import SpeedEvidence
from qiskit_gateway.work.tasks import Compiled, Load

SIZES = [(1, 100), (10, 100), (3, 5000), (30, 1000), (1, 9000), (20, 100)]

amounts = st.floats(0.01, 100)
terms = st.tuples(amounts, amounts, st.floats(1e-5, 1e-2))
# Of some members only one of the three times is said.
some_terms = st.tuples(*[st.one_of(st.just(0.0), amounts)] * 3).filter(any)
providers = st.sampled_from(["", "acme", "other"])


def took(truth, circuits, shots):
    """Say what a job takes."""
    return truth[0] + circuits * truth[1] + circuits * shots * truth[2]


def seen(truth, rounds=1):
    """A speed that was learned from jobs."""
    speed = Speed()
    for circuits, shots in SIZES * rounds:
        speed.observe(circuits, circuits * shots, took(truth, circuits, shots))
    return speed


def told(truth):
    """A speed that was told."""
    speed = Speed()
    speed.tell(truth)
    return speed


def recorded(truth):
    """A speed that a journal recorded."""
    evidence = SpeedEvidence()
    for circuits, shots in SIZES:
        evidence.add(circuits, circuits * shots, took(truth, circuits, shots))
    speed = Speed()
    speed.recall(evidence)
    return speed


known = st.builds(lambda make, truth: make(truth), st.sampled_from([seen, told, recorded]), terms)
fleets = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(providers, st.one_of(known, st.builds(Speed)))
)
durations = st.floats(1e-6, 1e-2)


def estimator_of(fleet, timed=None):
    """Make an estimator for members, each with a provider and a speed, and some with durations."""
    timed = timed or {}
    profiles = {
        name: MemberProfile(name=name, provider=whose, shot_seconds=timed.get(name))
        for name, (whose, _) in fleet.items()
    }
    states = {name: MemberState(speed=speed) for name, (_, speed) in fleet.items()}
    estimator = Estimator(profiles=profiles, states=states)
    estimator.refresh()
    return estimator


@given(fleets, terms, providers, durations)
def test_what_is_told_of_a_member_beats_all_other_sources(fleet, truth, whose, shot):
    """Before its first job, a member whose speed is told takes exactly that."""
    estimator = estimator_of(fleet | {"mine": (whose, told(truth))}, {"mine": shot})

    found = estimator.speed_of("mine")

    assert (found.job_seconds, found.circuit_seconds, found.shot_seconds) == truth
    assert found.source == estimator.source("mine") == "told"


@given(fleets, known, providers, known, providers)
def test_one_more_member_changes_nothing_for_a_member_that_is_known(
    fleet, speed, whose, more, whose_more
):
    """Whatever is known of a member itself, what others take is no concern of it."""
    before = estimator_of(fleet | {"mine": (whose, speed)})
    after = estimator_of(fleet | {"mine": (whose, speed), "more": (whose_more, more)})

    assert after.speed_of("mine") == before.speed_of("mine")
    assert after.source("mine") == before.source("mine")


@given(
    st.lists(st.tuples(providers, some_terms), max_size=6),
    providers,
    st.one_of(st.none(), st.just(0.0), durations),
)
def test_nobody_is_thought_to_take_no_time(others, whose, shot):
    """Whoever takes some time, by a job or a circuit or a shot, lends a speed that takes some."""
    fleet = {f"m{index}": (of, told(truth)) for index, (of, truth) in enumerate(others)}
    estimator = estimator_of(fleet | {"new": (whose, Speed())}, {"new": shot})

    assert estimator.seconds("new", Load(3, 300)) > 0


def test_no_member_of_a_fleet_that_takes_no_time_is_known_to_take_none():
    """Jobs that took nothing, as on a clock that stands, teach nothing of other members."""
    estimator = estimator_of({"a": ("acme", seen((0.0, 0.0, 0.0))), "new": ("acme", Speed())})

    assert estimator.seconds("new", Load(3, 300)) > 0
    assert estimator.source("new") == "nothing"


@given(fleets, st.lists(known, min_size=1, max_size=5))
def test_a_member_of_whom_nothing_is_known_is_like_others_of_its_provider(fleet, speeds):
    """What members of other providers take is of no matter, while one of its own is known."""
    peers = {f"m{index}": ("mine", speed) for index, speed in enumerate(speeds)}
    alone = estimator_of(peers | {"new": ("mine", Speed())})

    estimator = estimator_of(fleet | peers | {"new": ("mine", Speed())})

    found = estimator.speed_of("new")
    assert found == alone.speed_of("new")
    assert found.source == estimator.source("new") == "peers"
    middle = sorted(speed.circuit_seconds for speed in speeds)
    assert middle[0] <= found.circuit_seconds <= middle[-1]


@given(fleets, providers, durations, durations)
def test_durations_tell_what_a_shot_takes_and_no_more(fleet, whose, shot, kind):
    """What a job and a circuit take, and how uncertain that is, comes from peers or all, as without.

    What is known of the circuits of some work comes before the mean of the run.
    """
    fleet |= {"new": (whose, Speed())}
    without, estimator = estimator_of(fleet), estimator_of(fleet, {"new": shot})
    compiled = Compiled(shot_seconds=kind)

    plain, found = without.speed_of("new"), estimator.speed_of("new")

    assert found.source == estimator.source("new") == "durations"
    assert (found.shot_seconds, found.rest) == (shot, plain.source)
    assert (found.job_seconds, found.times_off) == (plain.job_seconds, plain.times_off)
    assert found.circuit_seconds == plain.circuit_seconds or without.source("new") == "nothing"
    for one in (without, estimator):
        work = one.seconds("new", Load(3, 300), compiled) - one.seconds("new", Load(3, 0), compiled)
        assert math.isclose(work, 300 * kind, rel_tol=1e-6)
        assert one.source("new", compiled) == "durations"


def test_durations_of_some_give_them_no_advantage_over_those_that_tell_none():
    """Where nothing else is known, the others are thought to take what a middle one of them does."""
    fleet = {name: ("", Speed()) for name in "abcd"}
    estimator = estimator_of(fleet, {"a": 1e-5, "b": 3e-4, "c": 5e-3})

    took = {name: estimator.seconds(name, Load(1, 1000)) for name in "abcd"}

    assert took["a"] < took["b"] == took["d"] < took["c"]
    assert estimator.source("d") == "nothing"


@given(st.lists(known, min_size=1, max_size=5))
def test_a_speed_of_others_is_less_certain_than_theirs(speeds):
    """By twice what a typical one of them is off, and never by more than where nothing is known."""
    peers = {f"m{index}": ("mine", speed) for index, speed in enumerate(speeds)}
    estimator = estimator_of(peers | {"new": ("mine", Speed()), "stranger": ("", Speed())})

    least = min(math.exp(speed.doubt) for speed in speeds)
    found, guess = estimator.speed_of("new"), estimator.speed_of("stranger")

    assert guess.source == "guess"
    assert least < found.times_off or least >= guess.times_off * (1 - 1e-9)
    assert found.times_off <= guess.times_off * (1 + 1e-9)


@given(st.sampled_from([told, recorded, Speed]), terms, terms, terms)
def test_what_was_seen_wins_as_it_becomes_more(source, said, lent, truth):
    """After many jobs the next one is foretold: of what was said or lent before a trace is left."""
    speed = Speed() if source is Speed else source(said)
    estimator = estimator_of({"mine": ("acme", speed), "peer": ("acme", told(lent))})

    for _ in range(20):
        for circuits, shots in SIZES:
            speed.observe(circuits, circuits * shots, took(truth, circuits, shots))
    estimator.refresh()

    real, foretold = took(truth, 15, 2000), estimator.seconds("mine", Load(15, 15 * 2000))
    before = max(abs(took(one, 15, 2000) - real) for one in (said, lent))
    assert estimator.source("mine") == "seen"
    assert abs(foretold - real) <= 0.2 * real + 0.02 * before


@given(
    circuits=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    each=st.floats(0.1, 10.0),
    queue=st.floats(0.0, 100.0),
    now=st.floats(0.0, 50.0),
)
def test_jobs_are_foreseen_one_after_the_other_and_each_after_its_queue(circuits, each, queue, now):
    state = MemberState(speed=told((0.0, each, 0.0)), queue_seconds=queue)
    estimator = Estimator(profiles={"a": MemberProfile(name="a")}, states={"a": state})
    for key, count in enumerate(circuits):
        state.take(key, Load(count, 100 * count), float(key))
    ended = 0.0
    for key, begins, end, may_wait in estimator.foresee("a", now):
        assert begins == max(ended, key + queue)
        expected = begins + each * circuits[key]
        # One that is late may take as long again as it is late by now.
        late = now + (now - expected) if begins <= now else -math.inf
        assert math.isclose(end, max(expected, late), rel_tol=1e-6)
        # What is late may not have begun, with all that comes after it.
        assert may_wait == (begins > now + 1e-6 or now - queue - each * circuits[0] > 1e-6)
        ended = end
    assert key == len(circuits) - 1


def beside_a_known(state):
    """An estimator of a member, ``a``, and of one that takes a second a circuit."""
    profiles = {name: MemberProfile(name=name) for name in "ab"}
    known = MemberState(speed=told((0.0, 1.0, 0.0)))
    estimator = Estimator(profiles=profiles, states={"a": state, "b": known})
    estimator.refresh()
    return estimator


def test_a_member_never_seen_is_foreseen_to_be_fast_until_it_is_late():
    state = MemberState(queue_seconds=10.0)
    estimator = beside_a_known(state)
    state.take("first", Load(20, 20), 0.0)
    state.take("second", Load(20, 20), 0.0)

    def ends(now):
        return [round(one.end, 6) for one in estimator.foresee("a", now)]

    assert ends(0.0) == [15.0, 20.0]
    # After 15 s at the first it cannot take less than 15 s for each.
    assert ends(25.0) == [25.0, 40.0]
    # After 30 s, which are 10 more than was thought, it may take ten more.
    assert ends(40.0) == [50.0, 80.0]


def test_a_member_late_over_its_first_job_is_thought_to_be_as_slow_with_others():
    """Until that is done, which tells how slow it is."""
    state = MemberState()
    estimator = beside_a_known(state)
    state.take("first", Load(20, 20), 0.0)
    state.take("second", Load(10, 10), 0.0)

    def seconds(now):
        estimator.note_lateness(now)
        return estimator.seconds("a", Load(10, 10)), estimator.busy_seconds("a", now)

    assert seconds(15.0) == (10.0, 15.0)
    assert seconds(20.0) == (10.0, 10.0)
    # By 40 s it has taken twice as long as was thought, and may take as long again as it is late.
    assert seconds(40.0) == (20.0, 20.0 + 20.0)
    assert [one.end for one in estimator.foresee("a", 40.0)] == [60.0, 80.0]
    assert estimator.seconds("b", Load(10, 10)) == 10.0

    state.speed.observe(20, 20, 50.0)
    state.release("first", 50.0)
    assert seconds(50.0)[0] == estimator.jobs_seconds("a", Load(10, 10), 1) > 20.0


def test_members_of_one_machine_wait_for_each_other():
    """What one of them has in flight is the wait of all, and of nobody else."""
    machines = {"a": "one", "b": "one", "c": "", "d": "another"}
    profiles = {name: MemberProfile(name=name, machine=one) for name, one in machines.items()}
    states = {name: MemberState(speed=told((0.0, 1.0, 0.0))) for name in machines}
    for name, circuits in (("a", 3), ("b", 4), ("d", 5)):
        states[name].take(name, Load(circuits, circuits), 0.0)
    estimator = Estimator(profiles=profiles, states=states)

    waits = {name: estimator.wait_seconds(name, 0.0) for name in machines}
    assert waits == {"a": 7.0, "b": 7.0, "c": 0.0, "d": 5.0}
    assert estimator.sort_by_machine("cbad") == [["c"], ["b", "a"], ["d"]]
    assert [estimator.is_one_machine(one) for one in ("a", "ab", "abc", "cd")] == [
        True,
        True,
        False,
        False,
    ]


@given(st.integers(1, 30), st.integers(1, 5), st.floats(0.1, 100), st.floats(0, 500))
def test_jobs_beyond_the_slots_queue_anew(jobs, slots, job_seconds, queue_seconds):
    """The estimate is what comes out where each job is sent, queues and runs one after the other."""
    idle, ends = 0.0, []
    for number in range(jobs):
        sent = ends[number - slots] if number >= slots else 0.0
        idle = max(idle, sent + queue_seconds) + job_seconds
        ends.append(idle)

    again = count_rounds(jobs, slots) * round_wait_seconds(queue_seconds, job_seconds, slots)

    assert ends[-1] == pytest.approx(queue_seconds + jobs * job_seconds + again)
