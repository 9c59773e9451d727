import pickle
from typing import get_args

import pytest

import qiskit_gateway.policies
from qiskit_gateway.policies import (
    Budget,
    Finish,
    MaxPrice,
    Policy,
    Price,
    Tagged,
    Then,
    WorkShare,
    balanced,
    weighted,
)
from qiskit_gateway.policies.spread import Spread

SPREADS = ", ".join(map(repr, get_args(Spread)))


def test_the_default_finishes_first_and_shares():
    """Without a word, work goes where it is done first, and equals share it."""
    assert Policy().minimize == Then(Finish(), WorkShare())
    assert Policy() == Policy()


def test_a_policy_uses_what_its_parts_use():
    """The fields to compute are those of the filters and the objective together."""
    policy = Policy(where=MaxPrice(5) & Tagged("eu"), minimize=Finish())
    assert policy.uses == {"price_usd", "tags", "wait_seconds", "run_seconds"}


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        balanced(where=MaxPrice(5) | Tagged("eu")),
        weighted({"ada": 3}, budget=Budget(usd=20, per_member_usd={"ada": 5})),
    ],
)
def test_a_policy_is_a_value(policy):
    """A policy is hashable and survives pickling."""
    copy = pickle.loads(pickle.dumps(policy))  # noqa: S301
    assert copy == policy
    assert hash(copy) == hash(policy)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"where": lambda offer: True},
            r"where must be of type Filter, such as MaxPrice\(5\), got",
        ),
        (
            {"minimize": Price},
            r"minimize must be of type Objective, .* got .*: call it to make one\.",
        ),
        ({"retry": 3}, "retry must be of type RetryPolicy"),
        ({"breaker": None}, "breaker must be of type BreakerPolicy"),
        ({"budget": 20}, r"budget must be of type Budget, such as Budget\(usd=20\), got 20"),
        ({"deadline_seconds": "1h"}, "deadline_seconds must be a number, got '1h'"),
    ],
)
def test_parts_of_the_wrong_kind_are_refused(wrong, message):
    """What is no such part is a TypeError that shows one that is."""
    with pytest.raises(TypeError, match=message):
        Policy(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"spread": "cols"}, f"spread must be one of {SPREADS}; got 'cols'"),
        ({"on_failure": "ignore"}, "on_failure must be one of 'raise', 'partial'"),
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0"),
        ({"submit_seconds": -1}, "submit_seconds must be a finite number"),
        ({"collect_seconds": 0}, "collect_seconds must be above 0"),
        ({"start_seconds": 0}, "start_seconds must be above 0"),
        ({"run_seconds": 0}, "run_seconds must be above 0"),
        ({"cancel_seconds": 0}, "cancel_seconds must be above 0"),
        ({"probe_seconds": 0}, "probe_seconds must be above 0"),
        ({"patience_seconds": 0}, "patience_seconds must be above 0"),
    ],
)
def test_values_out_of_range_are_refused(wrong, message):
    """A value that could not mean anything is a ValueError that says what may be."""
    with pytest.raises(ValueError, match=message):
        Policy(**wrong)


def test_all_public_names_exist():
    """Whatever the room promises can be imported from it."""
    names = qiskit_gateway.policies.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(qiskit_gateway.policies, name) for name in names)
