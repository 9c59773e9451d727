from dataclasses import replace
from math import inf, isclose

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from qiskit_gateway.policies import (
    FailureRate,
    Finish,
    Hours,
    Infidelity,
    InFlight,
    Objective,
    Offer,
    Order,
    OrderOf,
    Pending,
    Price,
    Run,
    RunHours,
    Then,
    Wait,
    Work,
    WorkShare,
)
from qiskit_gateway.policies.objectives import OBJECTIVES, Sum
from qiskit_gateway.policies.offer import OFFER_FIELDS

OFFER = Offer(
    member="ada",
    circuits=2,
    shots=10,
    price_usd=3.0,
    wait_seconds=3600.0,
    run_seconds=1800.0,
    fidelity=0.75,
    in_flight=3,
    pending_jobs=4.0,
    work_assigned=80.0,
    weight=2.0,
    order=1,
    failure_rate=0.25,
)
offers = st.from_type(Offer)
scalars = st.from_type(Objective)
factors = st.floats(0, 1e3)


@pytest.mark.parametrize(
    ("objective", "value", "grows"),
    [
        (Price(), 3.0, False),
        (Wait(), 3600.0, True),
        (Run(), 1800.0, False),
        (Finish(), 5400.0, True),
        (Hours(), 1.5, True),
        (RunHours(), 1.5, True),
        (Infidelity(), 0.25, False),
        (FailureRate(), 0.25, False),
        (Work(), 100.0, True),
        (WorkShare(), 50.0, True),
        (WorkShare({"ada": 4}), 25.0, True),
        (WorkShare({"bea": 4}), 50.0, True),
        (WorkShare({"ada": 0}), inf, True),
        (InFlight(), 1.5, True),
        (Pending(), 7.0, True),
        (Order(), 1.0, False),
        (OrderOf("bea", "ada"), 1.0, False),
        (OrderOf("bea", "cyd"), 2.0, False),
        (Price() + 40 * Hours(), 63.0, True),
        (Price() + Infidelity() * 4, 4.0, False),
    ],
)
def test_each_objective_has_its_unit(objective, value, grows):
    """Each value is in its unit, the key holds it alone, and ``grows`` says if our work raises it."""
    assert objective(OFFER) == value
    assert objective.key(OFFER) == (value,)
    assert objective.grows == grows


def test_the_unknown_is_the_worst():
    """A member of unknown fidelity, or of weight 0, comes after every other."""
    assert Infidelity()(replace(OFFER, fidelity=None)) == 1.0
    assert InFlight()(replace(OFFER, weight=0.0)) == inf


@pytest.mark.parametrize("kind", OBJECTIVES.values())
def test_the_laws_are_tried_on_every_objective(kind):
    """What a file may name is among what is drawn here."""
    quick = settings(phases=[Phase.generate])
    assert find(scalars, lambda drawn: isinstance(drawn, kind), settings=quick)


@given(offers, scalars, scalars, factors)
def test_algebra_is_that_of_numbers(offer, a, b, factor):
    """``+`` adds and ``*`` multiplies, on either side; 0 times anything is 0."""
    assert isclose((a + b)(offer), a(offer) + b(offer), rel_tol=1e-12)
    assert (factor * a)(offer) == (a * factor)(offer)
    assert (factor * a)(offer) == (factor * a(offer) if factor else 0.0)


@given(offers, offers, scalars, scalars, factors)
def test_algebra_is_monotone(offer, other, a, b, factor):
    """What is no worse in every part is no worse in a sum or a multiple."""
    if a(offer) <= a(other):
        assert (factor * a)(offer) <= (factor * a)(other)
        if b(offer) <= b(other):
            assert (a + b)(offer) <= (a + b)(other)


@given(offers, offers, scalars, scalars, scalars)
def test_then_is_lexicographic(offer, other, a, b, c):
    """A later objective matters only where all before it tie; nesting changes nothing."""
    both = Then(a, b)
    if a(offer) != a(other):
        assert (both.key(offer) < both.key(other)) == (a(offer) < a(other))
    else:
        assert (both.key(offer) < both.key(other)) == (b(offer) < b(other))
    assert Then(Then(a, b), c) == Then(a, Then(b, c)) == Then(a, b, c)
    assert both.grows == (a.grows or b.grows)


@given(scalars, scalars, scalars)
def test_sums_flatten(a, b, c):
    """``+`` is associative."""
    assert (a + b) + c == a + (b + c) == Sum(a, b, c)


@given(offers, offers, scalars, scalars)
def test_only_fields_in_uses_are_read(offer, other, a, b):
    """A value depends on no field that ``uses`` does not name."""
    for objective in (a, a + b, 2 * a, Then(a, b)):
        changed = {name: getattr(other, name) for name in OFFER_FIELDS - objective.uses}
        assert objective.key(replace(offer, **changed)) == objective.key(offer)


@given(offers, scalars, st.integers(0, 100), st.floats(0, 1e6), st.floats(0, 1e6))
def test_only_what_grows_rises_with_work(offer, objective, jobs, work, seconds):
    """More work on a member never lowers a value, and changes only what ``grows``."""
    loaded = replace(
        offer,
        in_flight=offer.in_flight + jobs,
        work_assigned=offer.work_assigned + work,
        wait_seconds=offer.wait_seconds + seconds,
    )
    assert objective(loaded) >= objective(offer)
    assert objective.grows or objective(loaded) == objective(offer)


@pytest.mark.parametrize(
    "combine",
    [
        lambda then: then + Price(),
        lambda then: Price() + then,
        lambda then: 2 * then,
        lambda then: then * 2,
    ],
)
def test_then_has_no_arithmetic(combine):
    """What has several values cannot be added or multiplied, and the error shows the way."""
    with pytest.raises(TypeError, match=r"cannot be added or multiplied.*combine first"):
        combine(Then(Price(), Finish()))


def test_then_has_no_single_value():
    """Calling it is a TypeError that names what to compare instead."""
    with pytest.raises(TypeError, match="compare its key"):
        Then(Price(), Finish())(OFFER)


@pytest.mark.parametrize("factor", [-1, inf, float("nan")])
def test_factors_are_prices(factor):
    """A factor is finite and not negative: less would turn better into worse."""
    with pytest.raises(ValueError, match="factor of an objective must be a finite number"):
        factor * Price()


def test_bad_arguments_are_refused():
    """What could not mean anything cannot be built."""
    with pytest.raises(ValueError, match="Then needs at least one objective"):
        Then()
    with pytest.raises(TypeError, match=r"such as Price\(\) is needed here, got <class"):
        Then(Price)
    with pytest.raises(TypeError, match="unsupported operand"):
        Price() + 5
    with pytest.raises(TypeError, match="can't multiply"):
        Price() * "5"
    with pytest.raises(ValueError, match="weight of 'ada' must be"):
        WorkShare({"ada": -1})
    with pytest.raises(ValueError, match="OrderOf takes each name once"):
        OrderOf("ada", "ada")


def test_a_new_objective_reads_all_fields_unless_it_says_otherwise():
    """A subclass that names no fields is given all of them, and may grow."""

    class Shots(Objective):
        def __call__(self, offer):
            return float(offer.shots)

    assert Shots().uses == OFFER_FIELDS
    assert Shots().grows
    assert (Shots() + Price()).key(OFFER) == (13.0,)
