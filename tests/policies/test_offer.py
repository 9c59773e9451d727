import copy
import inspect
import pickle
from dataclasses import MISSING, FrozenInstanceError, asdict, fields, replace

import pytest

from qiskit_gateway.policies import Offer
from qiskit_gateway.policies.offer import OFFER_FIELDS, behind

OFFER = Offer(
    member="ada",
    circuits=2,
    shots=3,
    price_usd=4.0,
    wait_seconds=5.0,
    run_seconds=6.0,
    fidelity=0.7,
    in_flight=8.0,
    pending_jobs=9.0,
    work_assigned=10.0,
    weight=11.0,
    order=12,
    failure_rate=0.13,
    tags=frozenset({"free"}),
    data_age_seconds=15.0,
)


def test_an_offer_finishes_when_waited_and_run():
    """The finish is the wait plus the run, in seconds from now."""
    offer = Offer(member="ada", circuits=1, shots=1, wait_seconds=60.0, run_seconds=5.0)
    assert offer.finish_seconds == 65.0


def test_an_offer_is_a_value():
    """It cannot be changed, and its fields are known by name."""
    offer = Offer(member="ada", circuits=1, shots=1)
    with pytest.raises(FrozenInstanceError):
        offer.price_usd = 0.0
    with pytest.raises(FrozenInstanceError):
        del offer.price_usd
    with pytest.raises(FrozenInstanceError):
        offer.colour = "red"
    assert {"member", "price_usd", "data_age_seconds"} < OFFER_FIELDS


def test_an_offer_is_made_by_its_fields():
    """Each field is an argument by keyword, in their order and with their defaults, and is kept."""
    arguments = inspect.signature(Offer).parameters.values()
    assert [(one.name, one.annotation, one.kind) for one in arguments] == [
        (one.name, one.type, inspect.Parameter.KEYWORD_ONLY) for one in fields(Offer)
    ]
    for argument, one in zip(arguments, fields(Offer), strict=True):
        missing = one.default is MISSING
        assert argument.default == (inspect.Parameter.empty if missing else one.default)
    values = [*asdict(OFFER).values()]
    assert values == [
        "ada",
        2,
        3,
        4.0,
        5.0,
        6.0,
        0.7,
        8.0,
        9.0,
        10.0,
        11.0,
        12,
        0.13,
        {"free"},
        15.0,
    ]
    with pytest.raises(TypeError, match="circuits"):
        Offer(member="ada", shots=1)
    with pytest.raises(TypeError):
        Offer("ada", 1, 1)


@pytest.mark.parametrize("name", sorted(OFFER_FIELDS))
def test_a_changed_offer_is_another_value(name):
    """One with a field replaced differs from it in that field alone, and says so."""
    changed = replace(OFFER, **{name: "other"})
    assert asdict(changed) == {**asdict(OFFER), name: "other"}
    assert changed != OFFER
    assert f"{name}='other'" in repr(changed)


def test_equal_offers_are_one_value():
    """A copy is the same value, also as a key."""
    pickled = pickle.loads(pickle.dumps(OFFER))  # noqa: S301  Our own.
    for again in (replace(OFFER), copy.deepcopy(OFFER), pickled):
        assert again == OFFER
        assert hash(again) == hash(OFFER)
        assert repr(again) == repr(OFFER)


def test_behind_more_work_an_offer_is_as_if_replaced():
    """The terms that are given change, and no others; the offer itself stays as it was."""
    terms = {"wait_seconds": 1.0, "run_seconds": 2.0, "in_flight": 3.0, "work_assigned": 4.0}
    before = copy.copy(OFFER)
    assert behind(OFFER, **terms) == replace(OFFER, **terms) != before == OFFER
