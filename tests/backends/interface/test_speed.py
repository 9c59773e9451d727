"""What is told of how long jobs run."""

import copy

import numpy as np
import pytest
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import Member, SimulatedMember, Speed
from qiskit_gateway.backends.interface.protocol import TellsSpeed, able


@pytest.mark.parametrize(
    ("times", "error", "said"),
    [
        ({"job_seconds": 10**400}, ValueError, "job_seconds must be zero or more and finite"),
        ({"job_seconds": -1}, ValueError, "job_seconds must be zero or more and finite"),
        ({"circuit_seconds": float("nan")}, ValueError, "got nan"),
        ({"shot_seconds": float("inf")}, ValueError, "shot_seconds"),
        ({"job_seconds": "2"}, TypeError, "must be a number of seconds, got '2'"),
        ({"job_seconds": True}, TypeError, "got True"),
        ({"job_seconds": None}, TypeError, "got None"),
        ({}, ValueError, "leave the speed out"),
        ({"job_seconds": 0}, ValueError, "a time above zero"),
    ],
)
def test_what_is_no_speed_is_refused(times, error, said):
    """Each time is a finite number of seconds, and some time is above zero."""
    with pytest.raises(error, match=said):
        Speed(**times)


def test_a_speed_is_plain_numbers():
    """Numbers of numpy are as good as any."""
    assert Speed(job_seconds=np.float32(2), shot_seconds=1) == Speed(
        job_seconds=2.0, shot_seconds=1.0
    )


@pytest.mark.parametrize("given", [2.0, {"job_seconds": 2.0}, "fast"])
def test_a_member_takes_a_speed_and_nothing_else(given):
    """A bare number might be seconds of anything."""
    with pytest.raises(TypeError, match="must be a Speed, such as"):
        Member(BasicSimulator(), speed=given)


def test_members_tell_their_speed_and_so_do_their_copies():
    """What was said of a member goes where it goes."""
    speed = Speed(job_seconds=2.0, circuit_seconds=0.5)
    member = Member(BasicSimulator(), speed=speed)

    for one in (member, copy.copy(member), copy.deepcopy(member)):
        assert able(one, TellsSpeed)
        assert one.speed == speed
    assert Member(BasicSimulator()).speed is None


def test_a_simulated_member_tells_its_times_if_asked_to():
    """Of times that are drawn it tells the mean; of none at all, nothing."""
    drawn = SimulatedMember(
        "a",
        job_seconds=lambda _, rng: rng.uniform(1, 3),
        circuit_seconds=0.5,
        queue_seconds=99,
        told=True,
    )

    assert drawn.speed.job_seconds == pytest.approx(2.0, rel=0.1)
    assert drawn.speed.circuit_seconds == 0.5
    assert copy.deepcopy(SimulatedMember("b", job_seconds=1, told=True)).speed
    assert SimulatedMember("a", job_seconds=2.0).speed is None
    assert SimulatedMember("a", told=True).speed is None
