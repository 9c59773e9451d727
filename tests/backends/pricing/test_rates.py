"""Prices are those of whole jobs: fees, floors and increments included."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.backends.pricing.rates import (
    FREE,
    Hqc,
    Pricing,
    Usage,
    needs_gates,
    needs_seconds,
)

rates = st.floats(0, 100)
pricings = st.builds(Pricing, **dict.fromkeys(Pricing.__dataclass_fields__, rates))
usages = st.builds(
    Usage,
    circuits=st.integers(0, 100),
    shots=st.integers(0, 10**6),
    seconds=st.none() | st.floats(0, 1e4),
    gate_1q_shots=st.integers(0, 10**9),
    gate_2q_shots=st.integers(0, 10**9),
    measure_shots=st.integers(0, 10**9),
)


@pytest.mark.parametrize(
    ("pricing", "usage", "usd"),
    [
        # Braket on IonQ Forte: a task and 1000 shots, once and as ten tasks of 100.
        (Pricing(per_job=0.30, per_shot=0.08), Usage(circuits=1, shots=1000), 80.30),
        (Pricing(per_job=0.30, per_shot=0.08), Usage(circuits=1, shots=100), 8.30),
        # AQT: per circuit and shot.
        (Pricing(per_circuit=0.30, per_shot=0.021), Usage(circuits=2, shots=200), 4.80),
        # Rigetti on Azure: 2 cents for each 10 ms begun.
        (
            Pricing(per_second=2.0, second_increment=0.01),
            Usage(circuits=1, shots=10, seconds=0.0301),
            0.08,
        ),
        (
            Pricing(per_second=2.0, second_increment=0.01),
            Usage(circuits=1, shots=10, seconds=0.03),
            0.06,
        ),
        # IonQ on Azure: gate-shots, with a floor.
        (
            Pricing(per_1q_gate_shot=2.2e-4, per_2q_gate_shot=9.75e-4, minimum_per_job=12.4166),
            Usage(circuits=1, shots=100, gate_1q_shots=200, gate_2q_shots=100),
            12.4166,
        ),
        (
            Pricing(per_1q_gate_shot=2.2e-4, per_2q_gate_shot=9.75e-4, minimum_per_job=12.4166),
            Usage(circuits=1, shots=10**4, gate_1q_shots=20_000, gate_2q_shots=10_000),
            14.15,
        ),
        (FREE, Usage(circuits=9, shots=9, seconds=9.0), 0.0),
        # Quantinuum: 5 + 1000 (10 + 10 * 20 + 5 * 4) / 5000 = 51 credits.
        (
            Hqc(usd_per_hqc=10),
            Usage(
                circuits=1,
                shots=1000,
                gate_1q_shots=10_000,
                gate_2q_shots=20_000,
                measure_shots=4000,
            ),
            510.0,
        ),
    ],
)
def test_price_lists(pricing, usage, usd):
    """Published price lists come out to the cent."""
    assert pricing(usage) == pytest.approx(usd)


@given(pricings, usages)
def test_a_price_is_finite_and_never_below_the_floor(pricing, usage):
    """Whatever is used, there is a price, and at least the floor and the fee."""
    price = pricing(usage)
    assert math.isfinite(price)
    assert price >= max(pricing.minimum_per_job, pricing.per_job)


@given(pricings, usages, st.integers(0, 1000))
def test_more_is_never_cheaper(pricing, usage, more):
    """Adding shots does not lower the price of a job."""
    wider = Usage(
        circuits=usage.circuits,
        shots=usage.shots + more,
        seconds=usage.seconds,
        gate_1q_shots=usage.gate_1q_shots,
        gate_2q_shots=usage.gate_2q_shots,
    )
    assert pricing(wider) >= pricing(usage) - 1e-9 * pricing(usage)


@pytest.mark.parametrize(
    ("tariff", "gates", "seconds"),
    [
        (FREE, False, False),
        (Pricing(per_job=1, per_shot=1), False, False),
        (Pricing(per_1q_gate_shot=1), True, False),
        (Pricing(per_2q_gate_shot=1), True, False),
        (Pricing(per_second=1), False, True),
        (Hqc(usd_per_hqc=1), True, False),
        (lambda usage: 0.01 * usage.shots, False, False),
        (lambda usage: 0.01 * usage.measure_shots, True, False),
        (lambda usage: usage.seconds or 0.0, False, True),
        (lambda usage: usage.gate_2q_shots if usage.shots > 10**6 else 0.0, True, False),
    ],
)
def test_what_a_tariff_depends_on_is_known(tariff, gates, seconds):
    """Lists of rates say it; any other callable is watched for what it reads."""
    assert (needs_gates(tariff), needs_seconds(tariff)) == (gates, seconds)


def test_a_tariff_may_say_itself_what_it_depends_on():
    """What is declared is believed."""

    class Rare:
        needs_gates = True
        needs_seconds = True

        def __call__(self, usage):
            return 0.0

    assert needs_gates(Rare())
    assert needs_seconds(Rare())


def test_unknown_seconds_give_a_lower_bound():
    """A tariff by the second says that it needs them."""
    pricing = Pricing(per_job=1.0, per_second=2.0)
    assert pricing.needs_seconds
    assert not FREE.needs_seconds
    assert pricing(Usage(circuits=1, shots=1)) == 1.0


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (math.inf, ValueError),
        (math.nan, ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda value: Pricing(per_shot=value),
        lambda value: Hqc(usd_per_hqc=value),
        lambda value: Usage(circuits=value, shots=1),
        lambda value: Usage(circuits=1, shots=1, seconds=value),
    ],
)
def test_amounts_are_numbers_from_zero(make, value, error):
    """Nonsense is refused where it is written down."""
    with pytest.raises(error, match="must be"):
        make(value)
