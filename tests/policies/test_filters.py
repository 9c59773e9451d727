from dataclasses import replace

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from qiskit_gateway.policies import (
    ALLOWED,
    Anything,
    Deadline,
    Every,
    Filter,
    MaxDataAge,
    MaxFailureRate,
    MaxPrice,
    MaxWait,
    MinFidelity,
    Named,
    NotTagged,
    Offer,
    Some,
    Tagged,
    Verdict,
    refuse,
)
from qiskit_gateway.policies.filters import FILTERS
from qiskit_gateway.policies.offer import OFFER_FIELDS

OFFER = Offer(
    member="ada",
    circuits=2,
    shots=10,
    price_usd=3.0,
    wait_seconds=60.0,
    run_seconds=5.0,
    fidelity=0.9,
    failure_rate=0.25,
    tags=frozenset({"eu", "qpu"}),
    data_age_seconds=300.0,
)
offers = st.from_type(Offer)
filters = st.from_type(Filter)


@pytest.mark.parametrize(
    ("allows", "refuses", "reason", "waits"),
    [
        (MinFidelity(0.9), MinFidelity(0.95), "fidelity 0.9 is below 0.95", False),
        (MaxPrice(3), MaxPrice(2.5), "price 3 USD is above 2.5 USD", False),
        (MaxWait(60), MaxWait(59), "wait of 60 s is above 59 s", True),
        (Deadline(65), Deadline(64), "finish in 65 s is after 64 s", True),
        (Deadline(65), Deadline(4), "finish in 65 s is after 4 s", False),
        (MaxFailureRate(0.25), MaxFailureRate(0.2), "failure rate 0.25 is above 0.2", False),
        (MaxDataAge(300), MaxDataAge(60), "queue was read 300 s ago, above 60 s", True),
        (Tagged("us", "eu"), Tagged("us"), "tags 'eu', 'qpu' hold none of 'us'", False),
        (NotTagged("us"), NotTagged("us", "qpu"), "tags hold 'qpu'", False),
        (Named("ada", "bea"), Named("bea"), "only 'bea' may be used", False),
    ],
)
def test_each_filter_allows_up_to_its_bound(allows, refuses, reason, waits):
    """A bound itself is allowed; a refusal has its reason, and waits only if waiting helps."""
    assert allows(OFFER) == ALLOWED
    assert refuses(OFFER) == refuse(reason, waits=waits)


def test_unknown_quality_is_refused():
    """A member of unknown fidelity, or without tags, has not what is asked for."""
    bare = replace(OFFER, fidelity=None, tags=frozenset())
    assert MinFidelity(0.5)(bare) == refuse("fidelity is unknown, at least 0.5 is asked")
    assert Tagged("eu")(bare) == refuse("tags (none) hold none of 'eu'")


def test_a_verdict_is_true_when_allowed():
    """A verdict stands for itself in a condition."""
    assert ALLOWED
    assert not refuse("no")
    assert refuse("no", waits=True) == Verdict(allowed=False, reason="no", waits=True)


@pytest.mark.parametrize("kind", FILTERS.values())
def test_the_laws_are_tried_on_every_filter(kind):
    """What a file may name is among what is drawn here."""
    quick = settings(phases=[Phase.generate])
    assert find(filters, lambda drawn: isinstance(drawn, kind), settings=quick)


@given(offers, st.lists(filters, min_size=1))
def test_every_is_and(offer, parts):
    """``Every`` allows what all allow; else all reasons are told, and it waits if all refusals do."""
    verdict = Every(*parts)(offer)
    refusals = [answer for part in parts if not (answer := part(offer))]
    assert bool(verdict) == (not refusals)
    assert all(refusal.reason in verdict.reason for refusal in refusals)
    assert verdict.waits == (bool(refusals) and all(refusal.waits for refusal in refusals))


@given(offers, st.lists(filters, min_size=1))
def test_some_is_or(offer, parts):
    """``Some`` allows what any allows; else all reasons are told, and it waits if any refusal does."""
    verdict = Some(*parts)(offer)
    answers = [part(offer) for part in parts]
    assert bool(verdict) == any(answers)
    if not verdict:
        assert all(answer.reason in verdict.reason for answer in answers)
        assert verdict.waits == any(answer.waits for answer in answers)


@given(filters, filters, filters)
def test_combinations_flatten(a, b, c):
    """``&`` and ``|`` are associative, and mean ``Every`` and ``Some``."""
    assert (a & b) & c == a & (b & c) == Every(a, b, c)
    assert (a | b) | c == a | (b | c) == Some(a, b, c)
    assert a & (b | c) == Every(a, Some(b, c))


@given(offers, filters, filters)
def test_order_does_not_matter_and_anything_is_neutral(offer, a, b):
    """Order does not matter, and ``Anything`` is neutral for ``&`` and absorbs ``|``."""
    assert bool((a & b)(offer)) == bool((b & a)(offer))
    assert bool((a | b)(offer)) == bool((b | a)(offer))
    assert (a & Anything())(offer) == a(offer)
    assert (a | Anything())(offer)


@given(offers, offers, filters, filters)
def test_only_fields_in_uses_are_read(offer, other, a, b):
    """An answer depends on no field that ``uses`` does not name."""
    for filter_ in (a, a & b, a | b):
        changed = {name: getattr(other, name) for name in OFFER_FIELDS - filter_.uses}
        assert filter_(replace(offer, **changed)) == filter_(offer)


def test_a_new_filter_reads_all_fields_unless_it_says_otherwise():
    """A subclass that names no fields is given all of them."""

    class Even(Filter):
        def __call__(self, offer):
            return ALLOWED if offer.circuits % 2 == 0 else refuse("circuits are odd")

    assert Even().uses == OFFER_FIELDS
    assert (Even() & MaxPrice(5))(OFFER)


@pytest.mark.parametrize(
    "build",
    [
        lambda: MinFidelity(1.1),
        lambda: MaxPrice(-1),
        lambda: MaxWait(float("nan")),
        lambda: Deadline(-1),
        lambda: MaxFailureRate(2),
        lambda: MaxDataAge(-1),
        Tagged,
        NotTagged,
        Named,
        Every,
        Some,
    ],
)
def test_bad_arguments_are_refused(build):
    """A filter that could not mean anything cannot be built."""
    with pytest.raises(ValueError, match="got"):
        build()


def test_only_filters_combine():
    """A combination with anything but a filter is a TypeError."""
    with pytest.raises(TypeError, match=r"Every takes filters such as MaxPrice\(5\), got 5"):
        Every(5)
    with pytest.raises(TypeError, match="unsupported operand"):
        MaxPrice(5) & 5
    with pytest.raises(TypeError, match="unsupported operand"):
        MaxPrice(5) | 5
