"""Work of several kinds and shots goes at the least price that there is, checked against enumeration."""

import itertools
import math
import random
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qiskit_gateway import RouterSampler, simulate
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import Budget, cheapest
from qiskit_gateway.scheduling.allocation.mixed_jobs import packed

rates = st.tuples(
    st.sampled_from([0, 0.3, 1]),
    st.sampled_from([0, 0.1, 0.5]),
    st.sampled_from([0, 0.001, 0.01]),
    st.sampled_from([0, 0.001, 0.004]),
    st.sampled_from([0, 2, 5]),
)
fleets = st.lists(st.tuples(rates, st.sampled_from([None, 1, 2, 3])), min_size=1, max_size=3)
works = st.dictionaries(
    st.tuples(st.sampled_from([10, 50]), st.sampled_from([0, 1, 5])),
    st.integers(1, 4),
    min_size=1,
    max_size=3,
)


def tariff(rates):
    fee, circuit, shot, gate, floor = rates
    return Pricing(
        per_job=fee,
        per_circuit=circuit,
        per_shot=shot,
        per_2q_gate_shot=gate,
        minimum_per_job=floor,
    )


def circuit(gates):
    made = QuantumCircuit(2)
    for _ in range(gates):
        made.cx(0, 1)
    made.measure_all()
    return made


def fleet_of(fleet):
    return Fleet(
        [
            SimulatedMember(
                f"m{index}",
                limits=Limits(max_circuits=most, max_shots=1000),
                pricing=tariff(rates),
            )
            for index, (rates, most) in enumerate(fleet)
        ]
    )


def pubs_of(work):
    return [(circuit(gates), [[]] * rows, shots) for (shots, gates), rows in work.items()]


def least_price(fleet, work):
    """Return the least price, looking at every way to put circuits of equal shots into jobs."""
    return sum(
        least_price_of(fleet, shots, {g: rows for (s, g), rows in work.items() if s == shots})
        for shots in {shots for shots, _ in work}
    )


def least_price_of(fleet, shots, rows_by_gates):
    def job_price(job):
        circuits = sum(job)
        gates = sum(n * g for n, g in zip(job, rows_by_gates, strict=True))
        return min(
            (
                max(fee + each * circuits + (shot * circuits + gate * gates) * shots, floor)
                for (fee, each, shot, gate, floor), most in fleet
                if most is None or circuits <= most
            ),
        )

    jobs = itertools.product(*(range(n + 1) for n in rows_by_gates.values()))
    takeable = [job for job in jobs if sum(job) and can_take(fleet, sum(job))]

    @cache
    def least(left):
        if not any(left):
            return 0.0
        return min(
            job_price(job) + least(tuple(a - b for a, b in zip(left, job, strict=True)))
            for job in takeable
            if all(b <= a for a, b in zip(left, job, strict=True))
        )

    return least(tuple(rows_by_gates.values()))


def can_take(fleet, circuits):
    return any(most is None or circuits <= most for _, most in fleet)


# Kinds that paid two fees or floors where one job could hold them, and kinds that were taken for
# what they are on average.
TWO_FLOORS = [((1, 0.5, 0, 0.004, 2), 3), ((0.3, 0.1, 0.01, 0, 5), None)]
ONE_DEARER = [((0, 0, 0, 0, 2), 1), ((0, 0, 0, 0, 2), 2), ((1, 0, 0, 0.001, 0), 1)]
TWO_SHOTS = [((1, 0, 0.01, 0, 2), 3), ((0.3, 0, 0.01, 0.001, 0), 3)]


@given(fleets, works)
@settings(max_examples=100, deadline=None)
@example(TWO_FLOORS, {(50, 0): 1, (50, 5): 2})
@example(TWO_SHOTS, {(10, 1): 3, (50, 5): 5})
@example(ONE_DEARER, {(50, 0): 1, (50, 1): 2})
def test_cheapest_is_exactly_the_cheapest(fleet, work):
    """Over kinds, shots, fees, floors, gates and limits, no assignment to jobs costs less."""
    found = simulate(fleet_of(fleet), pubs_of(work), policy=cheapest())

    assert sum(use.circuits for use in found.members.values()) == sum(work.values())
    assert found.cost_usd == pytest.approx(least_price(fleet, work), abs=1e-9)


def test_with_a_seed_jobs_hold_several_kinds_too():
    """Cuts that are settled beforehand are the cheapest as well, and the quote says so."""
    work = {(50, 0): 1, (50, 5): 2}
    sampler = RouterSampler(fleet_of(TWO_FLOORS), policy=cheapest(), options={"seed_simulator": 7})

    quote = sampler.quote(pubs_of(work))

    assert quote.price_usd == pytest.approx(least_price(TWO_FLOORS, work))
    assert quote.jobs == 1


def test_what_does_not_fit_a_budget_goes_back_to_its_kinds():
    """A job of several kinds that is too dear moves like any other, and all is told."""
    work = {(50, 0): 1, (50, 5): 2}
    policy = cheapest(budget=Budget(usd=3, on_exhausted="move"))

    found = simulate(fleet_of(TWO_FLOORS), pubs_of(work), policy=policy)

    assert found.cost_usd <= 3
    done = sum(use.circuits for use in found.members.values())
    assert done + sum(one.piece.rows for one in found.given_up) == 3


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_packing_is_never_dearer_than_each_kind_alone(counts, seed):
    """Whatever jobs cost, jobs of several kinds are only used where they save something."""
    draw = random.Random(seed)
    priced = {
        job: draw.choice([math.inf, draw.uniform(0, 5)])
        for job in itertools.product(*(range(count + 1) for count in counts))
    }
    for at in range(len(counts)):
        priced[tuple(int(at == k) for k in range(len(counts)))] = 3.0

    found = packed(tuple(counts), priced.__getitem__)

    assert [sum(kind) for kind in zip(*found.jobs, strict=True)] == counts
    assert found.usd == pytest.approx(sum(priced[job] for job in found.jobs))
    assert found.usd <= found.alone_usd * (1 + 1e-9)
    alone = [
        packed(
            (count,),
            lambda job, at=at: priced[tuple(job[0] * (at == k) for k in range(len(counts)))],
        )
        for at, count in enumerate(counts)
    ]
    assert found.alone_usd == pytest.approx(sum(one.usd for one in alone))
