"""Published tariffs come out at the figures of their sources, and hide no rate of exchange."""

import datetime
import math
from dataclasses import FrozenInstanceError

import pytest

from qiskit_gateway.backends.pricing.published import (
    ARGUMENTS,
    PublishedTariff,
    tariff,
    tariff_names,
)
from qiskit_gateway.backends.pricing.rates import Usage

# What is not published, so that every tariff can be made.
NEEDED = {"usd_per_eur": 1.1, "usd_per_hqc": 10.0, "credits_per_second": 0.5}


def made(name):
    """Return a tariff, giving it what it asks for."""
    try:
        return tariff(name)
    except TypeError as error:
        needed = next(argument for argument in NEEDED if argument in str(error))
        return tariff(name, **{needed: NEEDED[needed]})


def shots(number, **more):
    return Usage(circuits=1, shots=number, **more)


@pytest.mark.parametrize(
    ("name", "overrides", "usage", "usd"),
    [
        ("braket:ionq_forte", {}, shots(1000), 80.30),
        ("braket:ionq_aria", {}, shots(1000), 30.30),
        ("braket:iqm_garnet", {}, shots(1000), 1.75),
        ("braket:quera_aquila", {}, shots(100), 1.30),
        ("braket:rigetti_ankaa", {}, shots(1000), 1.20),
        # Each circuit is a task, unless the device takes them as one set.
        ("braket:iqm_garnet", {}, Usage(circuits=10, shots=10_000), 17.50),
        ("braket:iqm_garnet", {"program_sets": True}, Usage(circuits=10, shots=10_000), 14.80),
        # 1000 shots on IBEX are 2380 credits of a cent.
        ("qbraid:aqt_ibex_q1", {}, shots(1000), 23.80),
        ("qbraid:aqt_ibex_q1", {"usd_per_credit": 0.02}, shots(1000), 47.60),
        ("azure:ionq_aria", {}, shots(10), 97.50),
        ("azure:ionq_aria", {"error_mitigation": False}, shots(10), 12.4166),
        ("azure:ionq_forte", {}, shots(10), 168.195),
        ("azure:ionq_forte", {"error_mitigation": False}, shots(10), 25.7899),
        (
            "azure:ionq_forte",
            {"error_mitigation": False},
            shots(1000, gate_1q_shots=100_000, gate_2q_shots=50_000),
            16.45 + 56.05,
        ),
        # 5 + 1000 (10 + 10 * 20 + 5 * 4) / 5000 = 51 credits.
        (
            "quantinuum:hqc",
            {"usd_per_hqc": 12.5},
            shots(1000, gate_1q_shots=10_000, gate_2q_shots=20_000, measure_shots=4000),
            51 * 12.5,
        ),
        ("azure:rigetti_cepheus_1_108q", {}, shots(100, seconds=0.011), 0.04),
        ("azure:rigetti_qvm", {}, shots(10**6, seconds=60), 0.0),
        ("azure:pasqal_qpu", {"usd_per_eur": 1.2}, shots(1, seconds=1800), 1800.0),
        ("azure:pasqal_emulator", {"usd_per_eur": 1.0}, shots(1, seconds=3600), 15.0),
        ("ibm:pay_as_you_go", {}, shots(1, seconds=10), 12 * 1.6),
        ("ibm:flex", {}, shots(1, seconds=58), 72.0),
        ("ibm:premium", {}, shots(1, seconds=58), 48.0),
        ("ibm:open", {}, shots(1, seconds=598), 0.0),
        ("ibm:open", {}, shots(1, seconds=599), math.inf),
        ("ibm:open", {"amount": 60}, shots(1, seconds=59), math.inf),
        ("iqm:starter", {"credits_per_second": 0.5}, shots(1, seconds=60), 0.0),
        ("iqm:starter", {"credits_per_second": 0.5}, shots(1, seconds=61), math.inf),
        ("iqm:starter", {"credits_per_second": 1, "per_second": 0.1}, shots(1, seconds=300), 0.0),
        ("azure:quantinuum_standard", {"hqc_per_circuit": 10_000}, shots(1), 0.0),
        (
            "azure:quantinuum_premium",
            {"usd_per_unit": 12.5},
            Usage(circuits=3401, shots=3401),
            62.5,
        ),
        ("alice_bob:qpu_free_hour", {}, shots(1, seconds=3636), 50.0),
        ("iqm:resonance", {}, shots(1, seconds=10), 3.0),
        ("scaleway:aqt_ibex_q1", {"usd_per_eur": 1.0}, shots(100), 2.40),
        ("alice_bob:qpu", {}, shots(1, seconds=36), 50.0),
        ("alice_bob:emulator", {}, shots(1, seconds=3600), 25.0),
    ],
)
def test_worked_numbers(name, overrides, usage, usd):
    """A published price list comes out to the cent."""
    assert tariff(name, **overrides)(usage) == pytest.approx(usd)


def test_cutting_a_job_costs_what_the_fees_and_floors_say():
    """1000 shots on Forte in ten jobs cost 83.00 USD on Braket, not 80.30, and ten floors on Azure."""
    braket = tariff("braket:ionq_forte")
    assert braket(shots(1000)) == pytest.approx(80.30)
    assert 10 * braket(shots(100)) == pytest.approx(83.00)
    azure = tariff("azure:ionq_forte", error_mitigation=False)
    assert round(10 * azure(shots(100, gate_1q_shots=200, gate_2q_shots=100)), 2) == 257.90


@pytest.mark.parametrize("name", tariff_names())
def test_every_tariff_has_a_source_and_a_date(name):
    """Whoever sees a price can find out where it is from, and how old it is."""
    found = made(name)
    assert found.name == name
    assert found.source
    assert found.as_of
    if found.as_of[:4].isdigit() and len(found.as_of) == 10:
        assert datetime.date.fromisoformat(found.as_of).year >= 2025
    price = found(Usage(circuits=3, shots=300, seconds=2.0))
    assert math.isfinite(price)
    assert price >= 0
    with pytest.raises(FrozenInstanceError):
        found.as_of = "today"


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("azure:pasqal_qpu", "usd_per_eur"),
        ("scaleway:aqt_ibex_q1", "usd_per_eur"),
        ("quantinuum:hqc", "usd_per_hqc"),
    ],
)
def test_no_rate_of_exchange_is_assumed(name, argument):
    """A price in euros or in credits without a price asks for the rate, and says what it is."""
    with pytest.raises(TypeError, match=f"needs {argument}: what you pay"):
        tariff(name)
    assert argument in ARGUMENTS


def test_rates_of_ones_own_win():
    """A rate that is given replaces the published one; the rest stays."""
    mine = tariff("braket:iqm_garnet", per_shot=0.002)
    assert mine(shots(1000)) == pytest.approx(2.30)
    assert tariff("quantinuum:hqc", usd_per_hqc=1, hqc_per_circuit=0)(shots(1)) == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("braket:ionq_fort", "did you mean 'braket:ionq_forte'"),
        ("braket:garnet", "braket:iqm_garnet"),
        ("???", "see tariff_names()"),
    ],
)
def test_an_unknown_name_is_answered_with_close_ones(name, hint):
    """A misspelt tariff is an error that helps."""
    with pytest.raises(ValueError, match="no published tariff") as caught:
        tariff(name)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "overrides", "error", "said"),
    [
        ("braket:iqm_garnet", {"per_shots": 1}, TypeError, "takes program_sets, per_job"),
        ("braket:iqm_garnet", {"usd_per_eur": 1.0}, TypeError, "got 'usd_per_eur'"),
        ("braket:iqm_garnet", {"program_sets": 1}, TypeError, "must be True or False, got 1"),
        ("azure:pasqal_qpu", {"usd_per_eur": 0}, ValueError, "must be above 0"),
        ("azure:pasqal_qpu", {"usd_per_eur": math.nan}, ValueError, "must be above 0"),
        ("azure:pasqal_qpu", {"usd_per_eur": "1"}, TypeError, "must be a number, got '1'"),
        ("azure:pasqal_qpu", {"usd_per_eur": True}, TypeError, "must be a number, got True"),
        ("braket:iqm_garnet", {"per_shot": -1}, ValueError, "per_shot must be zero or more"),
        ("braket:iqm_garnet", {"per_shot": 10**400}, ValueError, "per_shot must be zero or more"),
        ("azure:pasqal_qpu", {"usd_per_eur": 10**400}, ValueError, "usd_per_eur must be above 0"),
        ("quantinuum:hqc", {"usd_per_hqc": 10**400}, ValueError, "usd_per_hqc must be above 0"),
    ],
)
def test_arguments_are_checked(name, overrides, error, said):
    """What a tariff does not know or cannot use is refused, with what it knows."""
    with pytest.raises(error, match=said):
        tariff(name, **overrides)


def test_a_tariff_by_the_second_says_that_it_needs_them():
    """Whoever prices ahead knows to estimate the time first."""
    assert tariff("ibm:flex").needs_seconds
    assert not tariff("braket:iqm_garnet").needs_seconds
    assert not made("quantinuum:hqc").needs_seconds
    flat = PublishedTariff(
        name="mine", pricing=lambda usage: 1.0, currency="USD", source="me", as_of="today"
    )
    assert not flat.needs_seconds
    assert flat(shots(1)) == 1.0
