from dataclasses import FrozenInstanceError

import pytest

from qiskit_gateway.policies import Offer
from qiskit_gateway.policies.offer import OFFER_FIELDS


def test_an_offer_finishes_when_waited_and_run():
    """The finish is the wait plus the run, in seconds from now."""
    offer = Offer(member="ada", circuits=1, shots=1, wait_seconds=60.0, run_seconds=5.0)
    assert offer.finish_seconds == 65.0


def test_an_offer_is_a_value():
    """It cannot be changed, and its fields are known by name."""
    offer = Offer(member="ada", circuits=1, shots=1)
    with pytest.raises(FrozenInstanceError):
        offer.price_usd = 0.0
    assert {"member", "price_usd", "data_age_seconds"} < OFFER_FIELDS
