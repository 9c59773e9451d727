"""Filters and objectives of anybody's own: nonsense ends no run, and is told with a name."""

import asyncio
import math
import re

import numpy as np
import pytest
from small_circuits import bell

from qiskit_gateway import RouterSampler, simulate
from qiskit_gateway.backends import SimulatedMember
from qiskit_gateway.policies import (
    ALLOWED,
    Budget,
    Filter,
    Named,
    Objective,
    Offer,
    OrderOf,
    Policy,
    Price,
    Tagged,
    Then,
    Wait,
    failover,
    fastest,
    weighted,
)
from qiskit_gateway.policies.answers import PolicyError, value_of, verdict_of

OFFER = Offer(member="a", circuits=1, shots=1)


class UnreadableError(Exception):
    def __str__(self):
        raise SystemExit(1)


def answering(kind, answer):
    """Make a filter or objective that answers so, or raises that."""

    class Odd(kind):
        def __call__(self, offer):
            if isinstance(answer, BaseException):
                raise answer
            return answer(offer) if callable(answer) else answer

    return Odd()


def used(policy):
    """Simulate eight circuits on two members; return which members did some, and what was lost."""
    members = [SimulatedMember("a", job_seconds=1), SimulatedMember("b", job_seconds=1)]
    found = simulate(members, [(bell(), [[]] * 8, 10)], policy=policy)
    return {name for name, use in found.members.items() if use.circuits}, found.given_up


@pytest.mark.parametrize("yes", [True, np.True_, ALLOWED])
def test_a_bool_is_a_verdict(yes):
    assert verdict_of(answering(Filter, yes), OFFER)
    refused = verdict_of(answering(Filter, not yes), OFFER)
    assert not refused
    assert "Odd" in refused.reason or yes is ALLOWED


@pytest.mark.parametrize(
    "where",
    [
        answering(Filter, lambda offer: offer.member == "b"),
        answering(Filter, lambda offer: offer.member == "b") & Named("a", "b"),
        answering(Filter, lambda offer: offer.member == "b") | Tagged("nobody's"),
    ],
)
def test_filters_that_answer_bools_combine(where):
    assert used(Policy(where=where)) == ({"b"}, ())


def repr_of(one):
    return type(one).__name__


ENDS = [SystemExit(2), GeneratorExit(), asyncio.CancelledError(), UnreadableError()]
NONSENSE = [None, "no", 1.0, 1 / 3, [], ZeroDivisionError("oh"), *ENDS]


@pytest.mark.parametrize("answer", NONSENSE, ids=repr_of)
def test_a_filter_that_answers_nonsense_refuses_and_is_named(answer):
    everywhere, lost = used(Policy(where=answering(Filter, answer)))

    assert everywhere == set()
    assert all("Odd" in reason for one in lost for reason in one.reasons.values())


VALUES = [None, "1", math.nan, [], AttributeError("price"), 10**400, *ENDS]


@pytest.mark.parametrize("answer", VALUES, ids=repr_of)
@pytest.mark.parametrize(
    "combine", [lambda o: o, lambda o: Then(Price(), o), lambda o: o + 2 * Wait()]
)
def test_an_objective_that_answers_nonsense_is_named(answer, combine):
    objective = combine(answering(Objective, answer))
    with pytest.raises(PolicyError, match="Odd"):
        objective.key(OFFER)

    everywhere, lost = used(Policy(minimize=objective))

    assert everywhere == set()
    assert all("Odd" in reason for one in lost for reason in one.reasons.values())


def test_a_member_of_which_an_objective_says_nothing_is_left_out():
    objective = answering(Objective, lambda offer: 1.0 if offer.member == "b" else math.nan)

    assert used(Policy(minimize=objective)) == ({"b"}, ())


@pytest.mark.parametrize("value", [1, 1.5, True, np.float32(2.5), math.inf])
def test_numbers_of_any_kind_are_values(value):
    assert value_of(answering(Objective, value), OFFER) == float(value)


@pytest.mark.parametrize(
    "policy",
    [
        weighted({"garnett": 3}),
        failover("garnett"),
        failover("garnet", "garnett"),
        Policy(where=Tagged("free") | (Named("garnett") & Tagged("fast"))),
        Policy(minimize=Then(Price() + 2 * OrderOf("garnett"), Wait())),
        fastest(budget=Budget(per_member_usd={"garnet": 5, "garnett": 1})),
    ],
)
def test_a_member_that_is_not_there_is_told_before_anything_is_sent(policy):
    """A rule for a misspelt name would else be ignored in silence."""
    members = [SimulatedMember("garnet"), SimulatedMember("other")]
    told = re.escape(
        "names 'garnett', and no member of the fleet is called that; there are garnet, other. "
        "Did you mean 'garnet'?"
    )

    with pytest.raises(ValueError, match=told):
        RouterSampler(members, policy=policy)
    with pytest.raises(ValueError, match="there are garnet, other"):
        simulate(members, [bell()], policy=policy)


def test_all_names_that_are_not_there_are_told_at_once():
    """The user need not mend one after the other; what nothing is like has no proposal."""
    with pytest.raises(ValueError, match=r"names 'aspen', 'forte', and .* there are garnet$"):
        RouterSampler([SimulatedMember("garnet")], policy=failover("forte", "aspen"))
