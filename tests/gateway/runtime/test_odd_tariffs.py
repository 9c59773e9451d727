"""Tariffs that are no price lists: their members are left out by name, and nothing else happens."""

import asyncio
import math
from decimal import Decimal

import pytest
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import bell

from qiskit_gateway import PlanError, RouterSampler, simulate
from qiskit_gateway.backends import Allowance, Member, SimulatedMember
from qiskit_gateway.policies import balanced, cheapest, fastest, round_robin


class UnreadableError(Exception):
    def __str__(self):
        raise SystemExit(1)


def raising(error):
    def tariff(usage):
        raise error

    return tariff


NO_PRICES = {
    "NaN": lambda usage: math.nan,
    "infinite": lambda usage: math.inf,
    "negative": lambda usage: -5.0,
    "None": lambda usage: None,
    "text": lambda usage: "1 USD",
    "list": lambda usage: [1.0],
    "complex": lambda usage: 1j,
    "raises": lambda usage: 1 / 0,
    "exits": raising(SystemExit("no price list")),
    "unreadable": raising(UnreadableError()),
    "cancels": raising(asyncio.CancelledError()),
    "closes": raising(GeneratorExit()),
    "too large": lambda usage: 10**400,
    "decimal": lambda usage: Decimal("0.5"),
    "coroutine": lambda usage: (each for each in ()),
    "by attribute": lambda usage: usage.hours * 3,
}
POLICIES = {
    "round_robin": round_robin(),
    "cheapest": cheapest(),
    "fastest": fastest(),
    "balanced": balanced(usd_per_hour=100),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("odd", NO_PRICES)
def test_a_healthy_member_beside_does_all(odd, policy):
    members = [
        SimulatedMember("odd", pricing=NO_PRICES[odd], job_seconds=1),
        SimulatedMember("good", pricing=lambda usage: 0.5 * usage.circuits, job_seconds=1),
    ]

    found = simulate(members, [(bell(), [[]] * 5, 10)], policy=POLICIES[policy])

    assert found.given_up == ()
    assert found.members["good"].circuits == 5
    assert found.cost_usd == pytest.approx(2.5)


@pytest.mark.parametrize("odd", NO_PRICES)
@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: Allowance(meter=t, amount=10.0)])
def test_alone_the_error_names_member_and_tariff(odd, wrap):
    """The run ends with an error of ours; the runs of the process go on."""
    member = Member(BasicSimulator(), name="oddly-priced", pricing=wrap(NO_PRICES[odd]))
    sampler = RouterSampler(member)

    with pytest.raises(PlanError, match=r"oddly-priced.*its tariff"):
        sampler.run([bell()], shots=10).result(timeout=60)
    assert sampler.quote([bell()], shots=10).price_usd == 0
    job = RouterSampler(BasicSimulator()).run([bell()], shots=10)
    assert sum(job.result(timeout=60)[0].data.meas.get_counts().values()) == 10


def test_jobs_that_a_tariff_prices_are_sent():
    """One that has no price for large jobs gets small ones, or none; nothing is lost."""

    def tariff(usage):
        if usage.circuits > 2:
            raise ValueError("call us for a quote")
        return 0.1

    members = [SimulatedMember("small", pricing=tariff, job_seconds=1)]
    found = simulate(members, [(bell(), [[]] * 6, 10)], policy=round_robin())

    assert found.given_up == ()
    assert found.members["small"].circuits == 6
