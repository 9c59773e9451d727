"""What other processes found of members is followed, and never more than one's own policy allows."""

from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.policies.breaker import BreakerPolicy, may_eject
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.scheduling.events import EjectedElsewhere, MemberEjected, RecoveredElsewhere
from qiskit_gateway.scheduling.members.health import Health
from qiskit_gateway.scheduling.members.state import FleetState

NAMES = ("a", "b", "c")
TRANSIENT = Failure(transient=True, submitted=True)
LOGIN = Failure(transient=False, authentication=True, fault="caller")


def health(fleet_state=None, **policy):
    return Health(NAMES, fleet_state or FleetState(), BreakerPolicy(**policy), 60.0)


def ejected(member="a", since=0.0, until=60.0):
    return EjectedElsewhere(member=member, since=since, until=until, reason="it is down")


def test_an_ejection_of_others_lasts_as_long_as_there():
    """Then one shard shows whether it is well, as after an ejection of one's own."""
    known = health()
    (told,) = known.follow(ejected(), 1.0)
    assert told == MemberEjected(member="a", until=60.0, reason="it is down", elsewhere=True)
    assert known.usable(59.9) == ("b", "c")
    assert known.usable(60.0) == NAMES
    assert known.admits("a", 60.0) == "one"
    (failed,) = known.note_failure("a", TRANSIENT, "it is still down", 61.0)
    assert failed.until == 61.0 + 120.0  # The second in a row, and so is theirs.


def test_a_recovery_of_others_lets_one_shard_in():
    """And changes nothing where the member is well, or credentials were refused here."""
    known = health()
    assert [*known.follow(RecoveredElsewhere(member="b"), 0.0)] == []
    assert known.admits("b", 0.0) == "all"
    assert [*known.follow(ejected(), 1.0)]
    assert [*known.follow(RecoveredElsewhere(member="a"), 2.0)] == []
    assert known.admits("a", 2.0) == "one"
    assert [*known.note_failure("c", LOGIN, "no", 3.0)]
    assert [*known.follow(RecoveredElsewhere(member="c"), 4.0)] == []
    assert known.admits("c", 4.0) == "none"


def test_what_is_known_better_stands():
    """What a member did here since, a probe that is out, a time that is over, an unknown name."""
    known = health()
    list(known.note_success("a", 5.0))
    assert not [*known.follow(ejected(since=4.0), 6.0)]
    assert not [*known.follow(ejected("b", until=6.0), 6.0)]
    assert not [*known.follow(ejected("nobody"), 6.0)]
    assert known.usable(6.0) == NAMES
    assert [*known.follow(ejected(since=5.5), 6.0)]
    known.usable(60.0)
    known.note_sent("a", 60.0)
    assert not [*known.follow(ejected(since=59.0, until=120.0), 61.0)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "well", "failed", "recovered"]),
        st.sampled_from(NAMES),
        st.floats(0, 100),
    ),
    max_size=40,
)


def lived(known, what, member, now):
    """Let something happen to a member; return what observers are told."""
    known.usable(now)
    if what == "sent":
        return known.note_sent(member, now) if known.admits(member, now) != "none" else None
    if what == "well":
        return known.note_success(member, now)
    if what == "failed":
        return known.note_failure(member, TRANSIENT, "it failed", now)
    return known.follow(RecoveredElsewhere(member=member), now)


@given(STEPS, st.sampled_from([0.0, 0.34, 0.5, 1.0]))
def test_two_processes_follow_each_other_without_an_echo(steps, share):
    """Whoever hears of an ejection ends it at the same time, within its own share of the fleet."""
    pair, now = [health(max_ejected_share=share) for _ in range(2)], 0.0
    for number, (what, member, seconds) in enumerate(steps):
        now += seconds
        one, other = pair[number % 2], pair[1 - number % 2]
        for change in lived(one, what, member, now) or ():
            if not isinstance(change, MemberEjected):
                continue
            other.usable(now)
            before = len(other.ejected)
            heard = ejected(change.member, now, change.until)
            echoes = [*other.follow(heard, now)]
            assert all(echo.until == change.until for echo in echoes)
            assert not [*one.follow(heard, now)]
            assert not [*other.follow(heard, now)]
            if echoes:
                assert may_eject(before, len(NAMES), BreakerPolicy(max_ejected_share=share))
