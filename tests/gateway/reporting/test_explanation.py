"""A quote and a report explain what the plan gave each member, by the numbers that decided."""

import json
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import balanced, cheapest, fastest, round_robin
from qiskit_gateway.reporting.explanation import Explanation
from qiskit_gateway.work.record.plan_record import Considered, PlanRecord
from qiskit_gateway.work.tasks import Load


def pubs(rows=12):
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    return [(circuit, np.zeros((rows, 0)))]


def garnet_and_forte(queue_seconds=7200.0):
    """A cheap member with a long queue, a dear one with a short one, and one that is too small."""
    garnet = SimulatedMember(
        "garnet",
        queue_seconds=queue_seconds,
        job_seconds=30,
        pricing=Pricing(per_job=0.30, per_shot=0.00145),
        limits=Limits(max_circuits=100),
    )
    forte = SimulatedMember(
        "forte", queue_seconds=600, job_seconds=90, pricing=Pricing(per_job=0.30, per_shot=0.08)
    )
    return Fleet([garnet, forte, SimulatedMember("small", num_qubits=1)])


def why(policy):
    """Quote twelve circuits of 100 shots, and ask why."""
    return RouterSampler(garnet_and_forte(), policy=policy).quote(pubs(), shots=100).why()


def test_of_the_cheapest_it_is_told_what_the_others_would_cost():
    """Garnet got 12 circuits and forte none, since 1200 shots cost 2.04 USD there and 96.30 here."""
    found = why(cheapest())

    assert (found["garnet"].given, found["forte"].given) == (Load(12, 1200), Load(0, 0))
    assert found["garnet"].price_usd == pytest.approx(0.30 + 1200 * 0.00145)
    assert found["forte"].alone_usd == pytest.approx(0.30 + 1200 * 0.08)
    assert found["forte"].wait_seconds == 600
    assert found.plan.usd_per_hour == 0
    assert found.because("garnet") == "nobody asks less for it: 2.0400 USD"
    assert (
        found.because("forte") == "all of it would cost 96.30 USD there, and 2.0400 USD as planned"
    )
    assert found.because("small") == "needs 2 qubits, has 1"


def test_of_the_fastest_it_is_told_who_could_only_begin_when_others_are_done():
    """Garnet's queue is longer than forte's whole run."""
    found = why(fastest())

    assert found.plan.usd_per_hour == math.inf
    assert found["garnet"].given.circuits == 0 < found["forte"].given.circuits
    assert found.because("garnet").startswith("it could begin in 2.0 h, when the others are done")


@pytest.mark.parametrize(("usd_per_hour", "winner"), [(40.0, "garnet"), (70.0, "forte")])
def test_of_a_trade_both_sides_are_told_in_money(usd_per_hour, winner):
    """96.30 USD in ten minutes against 2.04 USD in two hours: an hour is worth one or the other."""
    found = why(balanced(usd_per_hour=usd_per_hour))

    loser = {"garnet": "forte", "forte": "garnet"}[winner]
    assert found[winner].given.circuits == 12
    assert found.plan.usd_per_hour == pytest.approx(usd_per_hour)
    money = {
        name: found[name].alone_usd + usd_per_hour * found[name].alone_seconds / 3600
        for name in ("garnet", "forte")
    }
    assert money[winner] < money[loser]
    assert f"{money[loser]:.2f} USD" in found.because(loser)
    assert f"{money[winner]:.2f} USD" in found.because(loser)


def test_where_neither_time_nor_price_counts_it_says_so():
    """A round robin has no numbers that decide."""
    found = why(round_robin())

    assert found.plan.usd_per_hour is None
    assert "other things" in found.because("forte")


def test_it_is_printed_shown_in_notebooks_and_given_as_data():
    """All three have the same members and sentences."""
    found = why(cheapest())

    data = json.loads(json.dumps(found.to_dict()))
    for one in data["members"]:
        assert f"{one['member']}: {one['because']}" in str(found)
        assert one["because"] in found._repr_html_()
    assert data["members"][0]["given"] == {"circuits": 12, "shots": 1200}
    assert data["members"][0]["done"] == 12
    with pytest.raises(KeyError, match="garnet, forte, small"):
        found["gar"]


def test_a_report_tells_it_of_a_run_and_what_each_did_in_the_end():
    """What was known as the run began is kept, though more is known by now."""
    fleet = Fleet([SimulatedMember(n, circuit_seconds=s) for n, s in (("a", 0.001), ("b", 0.004))])
    sampler = RouterSampler(fleet, policy=fastest())

    job = sampler.run(pubs(40), shots=10)
    job.result()
    first = job.report().why()
    again = sampler.run(pubs(40), shots=10)
    again.result()

    assert sum(first.done.values()) == 40
    assert sum(one.given.circuits for one in first.plan.members) == pytest.approx(40)
    assert {one.source for one in first.plan.members} == {"nothing"}
    assert "seen" in {one.source for one in again.report().why().plan.members}


def test_lots_that_are_planned_apart_are_added_up():
    """A member waits once, and works on the one after the other."""
    one = Considered(
        member="a",
        given=Load(2, 20),
        wait_seconds=5.0,
        run_seconds=2.0,
        price_usd=1.0,
        alone_seconds=9.0,
        alone_usd=3.0,
        reason="no",
    )

    both = one.plus(one)

    assert both.given == Load(4, 40)
    assert (both.wait_seconds, both.run_seconds, both.alone_seconds) == (5.0, 4.0, 13.0)
    assert (both.price_usd, both.alone_usd, both.reason) == (2.0, 6.0, "no")


def test_where_nothing_was_planned_there_is_nothing_to_explain():
    """It says so, as a job does that was given up before it began."""
    found = Explanation(plan=PlanRecord())

    assert "nothing was planned" in str(found)
    with pytest.raises(KeyError, match="nothing was planned"):
        found["a"]
