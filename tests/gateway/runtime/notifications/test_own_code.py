"""Tariffs, filters and objectives of the user's own that take long are told by name."""

import pytest
from journals import small_work

from qiskit_gateway import run_events
from qiskit_gateway.backends import Allowance, Fleet, Pricing, SimulatedMember, tariff
from qiskit_gateway.policies import (
    ALLOWED,
    Filter,
    MaxPrice,
    Objective,
    Policy,
    Price,
    Tagged,
    Then,
    Wait,
    cheapest,
)
from qiskit_gateway.runtime.notifications.own_code import list_own_code
from qiskit_gateway.runtime.preview.virtual_clock import work_at_once
from qiskit_gateway.runtime.run import Environment, Run

pytestmark = pytest.mark.anyio


class Machine:
    """A machine on which time passes as somebody works."""

    def __init__(self, seconds):
        self.seconds, self.time = seconds, 0.0

    def work(self, answer):
        self.time += self.seconds
        return answer


class Mailbox:
    def __init__(self):
        self.events = []

    def post(self, event, context):
        self.events.append(event)


def slow_price(machine):
    def hourly(usage):
        return machine.work(0.01 * usage.circuits)

    return {"pricing": hourly}, cheapest()


def slow_filter(machine):
    class Ask(Filter):
        def __call__(self, offer):
            return machine.work(ALLOWED)

    return {}, cheapest(where=MaxPrice(5) & (Tagged("free") | Ask()))


def slow_objective(machine):
    class Rate(Objective):
        def __call__(self, offer):
            return machine.work(1.0)

    return {}, Policy(minimize=Then(Price() + 2 * Rate(), Wait()))


def none_of_ours(machine):
    """The machine is slow at everything, and nobody else's code is called."""

    def tell_the_time():
        return machine.work(machine.time)

    machine.tell_the_time = tell_the_time
    return {"pricing": Pricing(per_job=1)}, cheapest()


async def run_on(machine, make):
    facts, policy = make(machine)
    stopwatch = getattr(machine, "tell_the_time", lambda: machine.time)
    run = Run(
        "job",
        Fleet([SimulatedMember("a", job_seconds=1, **facts)]),
        policy,
        small_work(5),
        environment=Environment(in_thread=work_at_once, stopwatch=stopwatch),
    )
    mailbox = Mailbox()
    run.observe(mailbox)
    await run.execute()
    assert not run.ended.given_up
    return [one for one in mailbox.events if isinstance(one, run_events.RunsDelayed)]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (slow_price, "the tariff slow_price.<locals>.hourly of 'a'"),
        (slow_filter, "the filter Ask"),
        (slow_objective, "the objective Rate"),
    ],
)
async def test_code_that_takes_long_is_told_by_name_once(make, name):
    """All runs of the process stand still meanwhile: how long, and for whose code."""
    (delayed,) = await run_on(Machine(3.0), make)

    assert delayed.delay_seconds >= 3.0
    assert delayed.reason.startswith(f"deciding calls {name}, which must answer at once")


@pytest.mark.parametrize("make", [slow_price, slow_filter, slow_objective])
async def test_code_that_answers_at_once_is_not_told(make):
    assert await run_on(Machine(0.001), make) == []


async def test_nobody_is_blamed_for_a_slow_machine():
    """Where a decision calls no code of the user's, there is nothing that the user could change."""
    assert await run_on(Machine(3.0), none_of_ours) == []


def test_what_comes_with_the_package_is_not_the_users():
    """Published tariffs and their allowances neither, though they are callables too."""

    def meter(usage):
        return usage.seconds

    members = [
        SimulatedMember("free"),
        SimulatedMember("listed", pricing=tariff("iqm:starter", credits_per_second=1)),
        SimulatedMember("rated", pricing=Allowance(meter=Pricing(per_second=1), amount=600)),
        SimulatedMember("own", pricing=Allowance(meter=meter, amount=600)),
    ]
    (told,) = list_own_code(Fleet(members), cheapest(where=MaxPrice(5)))

    assert told.startswith("the tariff ")
    assert told.endswith(".meter of 'own'")
