"""What a user says of a member is checked as the member is made, whatever its kind."""

import math
from functools import partial

import numpy as np
import pytest
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.transpiler import PassManager

from qiskit_gateway.backends import (
    Adaptation,
    Fleet,
    Limits,
    Member,
    Pricing,
    SimulatedMember,
    Speed,
)
from qiskit_gateway.backends.primitive.estimator_member import EstimatorMember
from qiskit_gateway.backends.primitive.primitive_member import PrimitiveMember

COMPILING = [
    partial(Member, BasicSimulator()),
    partial(PrimitiveMember, StatevectorSampler()),
    partial(EstimatorMember, StatevectorEstimator()),
]
ALL = [*COMPILING, lambda **said: SimulatedMember(**{"name": "qpu", **said})]
OF_ALL = [
    ({"limits": 5}, TypeError, r"limits of a member .* Limits\(max_shots=1000\), got 5"),
    ({"limits": {"max_shots": 5}}, TypeError, "limits of a member .*, got {'max_shots': 5}"),
    ({"pricing": 5}, TypeError, "pricing of a member must be a Pricing.*, got 5"),
    ({"pricing": "free"}, TypeError, "pricing of a member .*, got 'free'"),
    ({"pricing": {"per_shot": 1}}, TypeError, "pricing of a member .*, got {'per_shot': 1}"),
    ({"weight": "1"}, TypeError, "weight of a member must be a number, got '1'"),
    ({"weight": True}, TypeError, "weight of a member must be a number, got True"),
    ({"weight": -1}, ValueError, "weight of a member must be positive and finite, got -1"),
    ({"weight": math.inf}, ValueError, "weight of a member must be positive and finite, got inf"),
    ({"weight": math.nan}, ValueError, "weight of a member must be positive and finite, got nan"),
    ({"fidelity": "0.9"}, TypeError, "fidelity of a member must be a number, got '0.9'"),
    ({"fidelity": math.nan}, ValueError, r"fidelity of a member must be in \[0, 1\], got nan"),
    ({"tags": 5}, TypeError, "tags of a member must be texts.*, got 5"),
    ({"tags": ["a", 5]}, TypeError, r"tags of a member must be texts.*, got \['a', 5\]"),
    ({"name": 5}, TypeError, "name of a member must be a text, got 5"),
    ({"name": ""}, ValueError, "name of a member must be .* not empty .*, got ''"),
    ({"name": "a\nb"}, ValueError, r"name of a member .* control characters, got 'a\\nb'"),
    ({"name": "a\tb"}, ValueError, r"name of a member .* control characters, got 'a\\tb'"),
    ({"name": "a\x1b[2J"}, ValueError, r"name of a member .* control characters, got 'a\\x1b"),
]
OF_COMPILING = [
    *(
        ({"queue": queue}, TypeError, f"queue of a member must be a callable .*, got {queue!r}")
        for queue in ("5", math.nan, -5, 5)
    ),
    ({"adaptation": 5}, TypeError, "adaptation of a member must be an Adaptation, .*, got 5"),
    ({"pass_manager": 5}, TypeError, "pass_manager of a member must be a PassManager, .*, got 5"),
    ({"speed": 5}, TypeError, "speed of a member must be a Speed, .*, got 5"),
]


@pytest.mark.parametrize(("said", "error", "told"), OF_ALL, ids=str)
def test_what_every_member_refuses(said, error, told):
    """Each kind of member says what was seen, and what is wanted."""
    for make in ALL:
        with pytest.raises(error, match=told):
            make(**said)


@pytest.mark.parametrize(("said", "error", "told"), OF_COMPILING, ids=str)
def test_what_members_that_compile_refuse(said, error, told):
    """So does each kind that compiles of what is theirs."""
    for make in COMPILING:
        with pytest.raises(error, match=told):
            make(**said)


@pytest.mark.parametrize("given", ["x", "", [("a", 1)], {1: 2}], ids=repr)
def test_run_options_are_a_mapping_from_texts(given):
    """Anything else never reaches a backend."""
    with pytest.raises(TypeError, match="run_options must be a dictionary from names to values"):
        Member(BasicSimulator(), run_options=given)


@pytest.mark.parametrize(
    ("name", "error"), [(5, TypeError), ("", ValueError), ("a\nb", ValueError)], ids=repr
)
def test_a_fleet_checks_the_names_of_all(name, error):
    """A member that somebody else made, or named later, is no exception."""
    member = SimulatedMember("qpu")
    member.name = name
    with pytest.raises(error, match="name of a member must be a text"):
        Fleet([member])


def test_what_is_right_is_kept():
    """Every kind of number, callable and label that is meant to be given."""
    shared = {
        "name": "größte QPU",
        "limits": Limits(max_shots=10),
        "weight": np.float32(2),
        "fidelity": 1,
        "tags": iter(["a", "b"]),
    }
    own = {"queue": lambda: 5.0, "speed": Speed(job_seconds=1), "pass_manager": PassManager()}
    member = Member(
        BasicSimulator(), **shared, **own, pricing=Pricing(per_job=1), adaptation=Adaptation()
    )
    assert (member.name, member.weight, member.fidelity) == ("größte QPU", 2.0, 1)
    assert (member.limits.max_shots, member.tags) == (10, {"a", "b"})
    assert member.queue is own["queue"]
    for make in ALL:
        assert make(name="it", tags="ab", pricing=lambda usage: usage.shots).tags == {"ab"}
