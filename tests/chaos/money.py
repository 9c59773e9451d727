"""What must hold of money: nothing beyond a budget is spent, and nothing free is used twice."""

import math
from collections import defaultdict

from chaos.records import key_of

from qiskit_gateway.backends.pricing.allowance import allowance_of
from qiskit_gateway.backends.pricing.rates import Usage
from qiskit_gateway.policies import Budget


def assert_money(world):
    """Assert it of all runs together: they share members, budgets and allowances."""
    paid = {
        provider.name: [job for job in provider.jobs.values() if not job.cancelled]
        for provider in world.scenario.providers
    }
    _assert_priced(world)
    _assert_ran(world)
    _assert_allowances(world, paid)
    _assert_budget(world, paid)


def meter_of(tariff):
    """Return what counts the units of jobs: free ones, or USD."""
    allowance = allowance_of(tariff)
    return tariff if allowance is None else allowance.meter


def is_too_dear(world, provider, record):
    """Return whether there may have been no money left for the smallest job that a provider takes.

    Args:
        world: What there was in the end.
        provider: Who.
        record: All attempts: what they were to cost was set aside, whatever they did cost.
    """
    shots = provider.limits.min_shots or 1
    if getattr(provider.pricing, "most_circuits", 1) < 1:
        return True  # No job has a price there.
    pricing = {each.name: each.pricing for each in world.scenario.providers}
    asked = [Usage(circuits=one.circuits, shots=one.circuits * one.shots) for one in record]
    bills = [
        (one.member, meter_of(pricing[one.member])(usage))
        for one, usage in zip(record, asked, strict=True)
    ]
    bill = meter_of(provider.pricing)(Usage(circuits=1, shots=shots))
    allowance = allowance_of(provider.pricing)
    if allowance is not None and allowance.usd_per_unit == math.inf:
        (pot,) = ({one.name for one in pot} for pot in _pots(world) if provider in pot)
        if bill + sum(units for name, units in bills if name in pot) > _free(allowance):
            return True
    budget = world.scenario.policy.budget or Budget()
    own = sum(usd for name, usd in bills if name == provider.name)
    return (
        len(record) + 1 > (budget.attempts or math.inf)
        or sum(usage.shots for usage in asked) + shots > (budget.shots or math.inf)
        or sum(usd for _, usd in bills) + bill > (math.inf if budget.usd is None else budget.usd)
        or own + bill > (budget.per_member_usd or {}).get(provider.name, math.inf)
    )


def _assert_priced(world):
    """What attempts take that is not free is priced; nothing is only what no provider has done."""
    pricing = {provider.name: provider.pricing for provider in world.scenario.providers}
    done = {
        job.batch.key
        for provider in world.scenario.providers
        for job in provider.jobs.values()
        if not job.cancelled
    }
    for key, one in _attempts(world):
        if key not in done and one.price_usd == one.free_units == 0:
            continue
        tariff, usage = (
            pricing[one.member],
            Usage(circuits=one.circuits, shots=one.circuit_shots),
        )
        beyond = meter_of(tariff)(usage) - one.free_units
        allowance = allowance_of(tariff)
        usd_per_unit = 1.0 if allowance is None else allowance.usd_per_unit
        usd = beyond * usd_per_unit if beyond > 1e-9 else 0.0
        assert math.isclose(one.price_usd, usd, abs_tol=1e-9), (one, usd)


def _assert_ran(world):
    """A job is booked by the shots that it ran, as far as its result shows them."""
    jobs = {job.job_id: job for one in world.scenario.providers for job in one.jobs.values()}
    for _, one in _attempts(world):
        if one.outcome in {"done", "short"}:
            job = jobs[one.job_id]
            # Of more shots than are kept nobody can tell how many there were.
            exact = job.batch.kept_shots == job.batch.shots
            assert one.circuit_shots == job.ran if exact else one.circuit_shots >= job.ran


def _assert_allowances(world, paid):
    """Free units are used once, and where no more are sold, no more are used."""
    reported = defaultdict(float)
    for _, one in _attempts(world):
        reported[one.member] += one.free_units
    for members in _pots(world):
        allowance = allowance_of(members[0].pricing)
        if allowance is not None:
            free = _free(allowance)
            assert sum(reported[one.name] for one in members) <= free + 1e-9
            if allowance.usd_per_unit == math.inf:
                assert _units(members, paid) <= free + 1e-9


def _assert_budget(world, paid):
    """What providers were asked to do, and did not cancel, costs no more than the budget."""
    budget = world.scenario.policy.budget
    if budget is None:
        return
    jobs = [job for each in paid.values() for job in each]
    charged = [(members, _charged_usd(members, paid)) for members in _pots(world)]
    most = math.inf if budget.usd is None else budget.usd
    assert sum(usd for _, usd in charged) <= most + 1e-9
    assert sum(job.shots for job in jobs) <= (budget.shots or math.inf)
    assert len(jobs) <= (math.inf if budget.attempts is None else budget.attempts)
    for members, usd in charged:
        # Which of those that share an allowance was beyond it is told in no one way.
        limits = [(budget.per_member_usd or {}).get(one.name, math.inf) for one in members]
        assert usd <= sum(limits) + 1e-9


def _attempts(world):
    """Return the attempts that are reported, each with our name for its job."""
    return [
        (key_of(number, one), one)
        for number, lives in enumerate(world.lives)
        for one in lives[-1].run.record
    ]


def _pots(world):
    """Return the providers, those together that share an allowance."""
    pots = defaultdict(list)
    for provider in world.scenario.providers:
        allowance = allowance_of(provider.pricing)
        shared = allowance is not None and allowance.name
        pots[shared or (provider.name,)].append(provider)
    return list(pots.values())


def _units(members, paid):
    return sum(job.units for one in members for job in paid[one.name])


def _free(allowance):
    return max(0.0, allowance.amount - allowance.used)


def _charged_usd(members, paid):
    """Return what providers charge for the jobs that they have done: free units come first."""
    allowance, units = allowance_of(members[0].pricing), _units(members, paid)
    if allowance is None:
        return units
    beyond = units - _free(allowance)
    return beyond * allowance.usd_per_unit if beyond > 1e-9 else 0.0
