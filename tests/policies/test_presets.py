from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.policies import (
    Budget,
    Infidelity,
    MaxPrice,
    Offer,
    Policy,
    RetryPolicy,
    balanced,
    cheapest,
    failover,
    fastest,
    least_busy,
    most_faithful,
    round_robin,
    weighted,
)
from qiskit_gateway.policies.presets import PolicyOptions

PRESETS = [
    cheapest,
    fastest,
    least_busy,
    most_faithful,
    round_robin,
    weighted,
    failover,
    balanced,
]
offers = st.from_type(Offer)


def best(policy, offers):
    allowed = [offer for offer in offers if policy.where(offer)]
    return min(allowed, key=policy.minimize.key, default=None)


def assign(policy, members, pieces):
    """Give out equal pieces one by one, and return who got how many."""
    work = dict.fromkeys(members, 0)
    for _ in range(pieces):
        chosen = best(
            policy, [replace(o, work_assigned=work[o.member] * 10.0) for o in members.values()]
        )
        work[chosen.member] += 1
    return work


@pytest.mark.parametrize(
    ("policy", "worse"),
    [
        (cheapest(), {"price_usd": 1.0}),
        (fastest(), {"wait_seconds": 1.0}),
        (fastest(), {"run_seconds": 1.0}),
        (least_busy(), {"pending_jobs": 1.0}),
        (least_busy(), {"in_flight": 1}),
        (round_robin(), {"work_assigned": 1.0}),
        (weighted(), {"work_assigned": 1.0}),
        (failover(), {"order": 1}),
    ],
)
@given(offer=offers, other=offers, more=st.floats(1, 1e6))
def test_what_is_worse_in_what_matters_never_wins(policy, worse, offer, other, more):
    """An offer worse in the preset's own measure loses, whatever it is in all others."""
    other = replace(other, circuits=1, shots=1, weight=1.0)
    offer = replace(offer, circuits=1, shots=1, weight=1.0)
    same = {"wait_seconds", "run_seconds", "pending_jobs", "in_flight"} & policy.minimize.uses
    base = {name: getattr(other, name) for name in same}
    steps = {name: getattr(other, name) + step * int(more) for name, step in worse.items()}
    worse_offer = replace(offer, **(base | steps))
    assert best(policy, [worse_offer, other]) is other


@given(st.lists(offers, min_size=1, max_size=6))
def test_a_dearer_offer_never_wins_under_cheapest(some):
    """Nothing allowed is cheaper than what ``cheapest`` takes."""
    assert best(cheapest(), some).price_usd == min(offer.price_usd for offer in some)


@given(st.lists(offers, min_size=1, max_size=6))
def test_the_extremes_win(some):
    """Each preset takes the least of what it is named for."""
    assert best(fastest(), some).finish_seconds == min(o.finish_seconds for o in some)
    assert Infidelity()(best(most_faithful(), some)) == min(map(Infidelity(), some))
    assert best(failover(), some).order == min(o.order for o in some)


@given(st.lists(offers, min_size=1, max_size=6), offers)
def test_an_offer_not_taken_changes_nothing(some, extra):
    """Removing an offer that does not win leaves the winner as it is."""
    for preset in PRESETS:
        policy = preset()
        winner = best(policy, [*some, extra])
        if winner is not extra:
            assert best(policy, some) is winner


def test_round_robin_ignores_weights_and_weighted_respects_them():
    """Equal pieces go round in fleet order, or by weight: own, or as given."""
    members = {
        name: Offer(member=name, circuits=1, shots=10, order=order, weight=weight)
        for order, (name, weight) in enumerate({"ada": 1.0, "bea": 3.0}.items())
    }
    assert assign(round_robin(), members, 40) == {"ada": 20, "bea": 20}
    assert assign(weighted(), members, 40) == {"ada": 10, "bea": 30}
    assert assign(weighted({"ada": 9}), members, 40) == {"ada": 30, "bea": 10}
    assert assign(weighted({"ada": 0}), members, 40) == {"ada": 0, "bea": 40}


def test_failover_takes_only_the_named_in_their_order():
    """The names given are the members used, in that order, and other filters still hold."""
    ada, bea, cyd = (
        Offer(member=name, circuits=1, shots=1, order=order, price_usd=order)
        for order, name in enumerate(["ada", "bea", "cyd"])
    )
    assert best(failover("cyd", "bea"), [ada, bea, cyd]) is cyd
    assert best(failover("cyd", "bea"), [ada, bea]) is bea
    assert best(failover("cyd", "bea"), [ada]) is None
    assert best(failover("cyd", "bea", where=MaxPrice(1)), [ada, bea, cyd]) is bea


@pytest.mark.parametrize(
    ("usd_per_hour", "usd_per_infidelity", "winner"),
    [(1, 0, "slow"), (40, 0, "fast"), (40, 1000, "true")],
)
def test_balanced_trades_in_money(usd_per_hour, usd_per_infidelity, winner):
    """Dearer time buys speed, dearer errors buy quality."""
    some = [
        Offer(member="slow", circuits=1, shots=1, price_usd=0, run_seconds=7200, fidelity=0.9),
        Offer(member="fast", circuits=1, shots=1, price_usd=5, run_seconds=60, fidelity=0.9),
        Offer(member="true", circuits=1, shots=1, price_usd=50, run_seconds=3600, fidelity=0.99),
        Offer(member="who?", circuits=1, shots=1, price_usd=6, run_seconds=60),
    ]
    policy = balanced(usd_per_hour=usd_per_hour, usd_per_infidelity=usd_per_infidelity)
    assert best(policy, some).member == winner


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_takes_what_a_policy_holds(preset):
    """Keywords reach the policy; an unknown one, or another objective, is a TypeError."""
    policy = preset(spread="shots", budget=Budget(usd=20), retry=RetryPolicy(max_attempts=1))
    assert (policy.spread, policy.budget, policy.retry.max_attempts) == ("shots", Budget(usd=20), 1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        preset(colour="red")
    with pytest.raises(TypeError, match="multiple values for keyword argument 'minimize'"):
        preset(minimize=None)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: balanced(usd_per_hour="40"), "usd_per_hour must be a number"),
        (lambda: balanced(usd_per_infidelity=None), "usd_per_infidelity must be a number"),
        (lambda: weighted(weights=[1, 2]), "weights must be a mapping"),
        (lambda: fastest(budget=Budget(per_member_usd=5)), "per_member_usd must be a mapping"),
        (lambda: fastest(budget=Budget(per_user_usd={5: 1.0})), "per_user_usd must be a mapping"),
    ],
)
def test_an_argument_of_another_type_is_told_by_its_name(make, name):
    with pytest.raises(TypeError, match=name):
        make()


def test_the_options_of_presets_are_those_of_a_policy():
    """The types of the keywords are kept in step with the policy."""
    assert {*PolicyOptions.__annotations__, "minimize"} == {field.name for field in fields(Policy)}


@pytest.mark.parametrize("wrong", [{"usd_per_hour": -1}, {"usd_per_infidelity": -1}])
def test_prices_are_not_negative(wrong):
    """A price below 0 would prefer what is worse."""
    with pytest.raises(ValueError, match="must be a finite number, at least 0; got -1"):
        balanced(**wrong)
