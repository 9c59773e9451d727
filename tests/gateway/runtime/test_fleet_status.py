"""``fleet.status()`` and ``budget_status()`` say what runs have learned and spent."""

import json
import math
import pickle

import anyio
import pytest
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import ones

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import (
    Allowance,
    Fleet,
    FleetStatus,
    Limits,
    Member,
    Pricing,
    ScriptedBackend,
    Speed,
)
from qiskit_gateway.backends.scripted import Fails
from qiskit_gateway.backends.scripted.steps import ProviderHTTPError
from qiskit_gateway.policies import BreakerPolicy, Budget, Policy, RetryPolicy, failover
from qiskit_gateway.policies.breaker import BreakerState
from qiskit_gateway.runtime.event_loop import ENGINE
from qiskit_gateway.runtime.fleet_status import _read_fleet
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.tasks import Load

ONE = Limits(max_circuits=1, max_in_flight=1)


def read_at(fleet, now, monkeypatch):
    """Read the status of a fleet as if the loop's clock showed ``now``."""
    monkeypatch.setattr(anyio, "current_time", lambda: now)
    return _read_fleet(fleet)


def test_a_fleet_without_a_router_is_not_used_yet():
    """Before anybody routes over it there is nothing to say but names."""
    fleet = Fleet([Member(BasicSimulator(), name="a"), Member(BasicSimulator(), name="b")])

    status = fleet.status()

    assert list(status.members) == ["a", "b"]
    assert {one.health for one in status.members.values()} == {"not used yet"}
    assert status["a"].speed is None
    assert status["a"].queue_seconds is None
    RouterSampler(fleet)
    assert fleet.status()["b"].health == "not used yet"
    assert fleet.status()["b"].speed.source == "guess"


def test_a_run_teaches_speed_and_costs_money():
    """Money is counted with and without a budget; speed is told with its source."""
    fleet = Fleet(
        [
            Member(BasicSimulator(), name="a", pricing=Pricing(per_job=0.5), limits=ONE),
            Member(BasicSimulator(), name="idle"),
        ]
    )
    RouterSampler(fleet, policy=failover("a", "idle")).run([ones()] * 3, shots=10).result(60)

    one = fleet.status()["a"]
    assert one.health == "well"
    assert one.why == ""
    assert one.spent_usd == pytest.approx(1.5)
    assert one.left_usd is None
    assert (one.speed.source, one.speed.jobs) == ("seen", 3)
    assert one.speed.seconds(1, 10) > 0
    assert one.jobs_in_flight == 0
    idle = fleet.status()["idle"]
    assert idle.spent_usd == 0
    assert idle.speed.source == "guess"
    # What nobody has seen is thought to be as fast as what somebody has.
    assert idle.speed.circuit_seconds == one.speed.circuit_seconds


def test_an_ejected_member_is_told_with_why_and_until_when(monkeypatch):
    """Health is the breaker's: ejected for so long, then on trial, and why it came to that."""
    policy = Policy(
        breaker=BreakerPolicy(submit_errors=1, eject_seconds=60.0),
        retry=RetryPolicy(max_attempts=1),
    )
    ill = ScriptedBackend(BasicSimulator(), [Fails(RuntimeError("the <b>cryostat</b> is warm"))])
    fleet = Fleet([Member(ill, name="ill"), Member(BasicSimulator(), name="well")])
    RouterSampler(fleet, policy=policy).run([ones()] * 2, shots=10).result(60)

    one = fleet.status()["ill"]
    assert one.health == "ejected"
    assert "cryostat" in one.why
    assert 0 < one.until_seconds <= 60
    assert one.failure_rate > 0
    until = fleet.keep(FleetState).members["ill"].breaker.until
    later = ENGINE.call(lambda: read_at(fleet, until + 1, monkeypatch))
    assert (later["ill"].health, later["ill"].until_seconds) == ("on trial", None)
    assert "cryostat" in str(fleet.status())
    html = fleet.status()._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;cryostat" in html


def test_a_speed_that_is_told_is_known_before_any_run():
    """With its source; the member is not thereby used, and the guess of others stays one."""
    told = Member(BasicSimulator(), name="told", speed=Speed(job_seconds=2.0, shot_seconds=0.001))
    fleet = Fleet([told, Member(BasicSimulator(), name="other")])
    RouterSampler(fleet)

    one = fleet.status()["told"]
    assert (one.health, one.speed.source) == ("not used yet", "told")
    assert one.speed.seconds(1, 1000) == pytest.approx(3.0)
    assert fleet.status()["other"].speed.source == "guess"
    assert fleet.status()["other"].speed.times_off > one.speed.times_off > 1
    assert "3.0 s (told)" in str(fleet.status())


def test_a_member_of_which_nothing_is_known_is_as_fast_as_others_of_its_provider():
    """The status says whose speed it is, before any run."""
    kind = type("Device", (BasicSimulator,), {"__module__": "iqm.devices"})
    fleet = Fleet(
        [Member(kind(), name="told", speed=Speed(job_seconds=2.0)), Member(kind(), name="new")]
    )
    RouterSampler(fleet)

    assert fleet.status()["new"].speed.source == "peers"
    assert fleet.status()["new"].speed.seconds(1, 1000) == pytest.approx(2.0)
    assert "2.0 s (peers)" in str(fleet.status())


def test_a_speed_of_earlier_processes_is_from_the_journal(tmp_path):
    """What another fleet learned is read when a run begins, and told apart from what this one saw."""

    def run():
        fleet = Fleet([Member(BasicSimulator(), name="a"), Member(BasicSimulator(), name="b")])
        policy = failover("a", "b")
        sampler = RouterSampler(fleet, policy=policy, journal=tmp_path / "j")
        sampler.run([ones()], shots=10).result(60)
        return fleet.status()["a"].speed

    assert run().source == "seen"
    again = run()
    assert again.source == "seen"
    assert again.jobs == 2


def test_a_success_ends_the_trouble():
    """What went wrong is told until a job of the member ended well."""
    policy = Policy(retry=RetryPolicy(wait_initial_seconds=0.001))
    shaky = ScriptedBackend(BasicSimulator(), [Fails()])
    fleet = Fleet([Member(shaky, name="a")])
    RouterSampler(fleet, policy=policy).run([ones()], shots=10).result(60)

    assert fleet.status()["a"].health == "well"
    assert fleet.status()["a"].why == ""


def test_an_endless_ejection_is_for_the_rest_of_the_run():
    """Refused credentials do not heal by waiting; JSON has no infinity."""
    policy = Policy(patience_seconds=0.05)
    fleet = Fleet(
        [
            Member(
                ScriptedBackend(
                    BasicSimulator(), [Fails(ProviderHTTPError(401, "Unauthorized"))] * 9
                )
            )
        ]
    )
    with pytest.raises(PlanError):
        RouterSampler(fleet, policy=policy).run([ones()], shots=10).result(60)
    (one,) = fleet.status().members.values()
    assert one.health == "ejected"
    assert one.until_seconds == math.inf
    assert "for the rest of the run" in str(one)
    facts = json.loads(json.dumps(fleet.status().to_dict(), allow_nan=False))
    assert facts["members"][one.name]["until_seconds"] is None


def test_what_flies_and_queues_are_told_with_their_age(monkeypatch):
    """Jobs in flight and the last reading of a queue, by the loop's clock."""
    fleet = Fleet([Member(BasicSimulator(), name="a")])
    RouterSampler(fleet)
    state = fleet.keep(FleetState).of("a")
    state.take("job", Load(5, 50), now=100.0)
    state.note_queue(30.0, 4, now=110.0)
    state.breaker = BreakerState(proven=True)

    one = ENGINE.call(lambda: read_at(fleet, 130.0, monkeypatch))["a"]

    assert (one.jobs_in_flight, one.circuits_in_flight) == (1, 5)
    assert (one.queue_seconds, one.queue_jobs, one.queue_age_seconds) == (30.0, 4, 20.0)
    assert "30.0 s, 4 jobs (20.0 s ago)" in str(FleetStatus(members={"a": one}))
    state.release("job", 131.0)


def test_budgets_and_allowances_say_what_is_left():
    """Every limit of a budget: spent, and left; so does a member by name, and its allowance."""
    budget = Budget(usd=10, shots=1000, per_day_usd=5, per_member_usd={"a": 2, "b": 3})
    fleet = Fleet(
        [
            Member(BasicSimulator(), name="a", pricing=Pricing(per_job=0.5), limits=ONE),
            Member(
                BasicSimulator(),
                name="b",
                pricing=Allowance(amount=7, unit="jobs", meter=Pricing(per_job=1)),
            ),
        ]
    )
    sampler = RouterSampler(fleet, policy=failover("a", "b", budget=budget))
    assert sampler.budget_status()["USD"].left == 10
    sampler.run([ones()] * 3, shots=10).result(60)

    status = sampler.budget_status()
    assert {one.name: (one.spent, one.left) for one in status.limits} == {
        "USD": (1.5, 8.5),
        "USD today (UTC)": (1.5, 3.5),
        "shots": (30, 970),
        "USD at a": (1.5, 0.5),
        "USD at b": (0, 3),
    }
    assert fleet.status().budgets == (status,)
    assert fleet.status()["a"].left_usd == 0.5
    b = fleet.status()["b"]
    assert (b.left_units, b.unit) == (7, "jobs")
    assert "8.5000 USD left" in str(fleet.status())
    assert json.loads(json.dumps(status.to_dict()))["limits"][0]["left"] == 8.5
    with pytest.raises(KeyError, match="no limit 'usd'; there are USD, "):
        status["usd"]


def test_without_a_budget_there_is_no_status_of_one():
    """``None`` says that nothing is limited."""
    assert RouterEstimator(BasicSimulator()).budget_status() is None


def test_with_a_journal_the_budget_is_that_of_all_runs(tmp_path):
    """Money that another fleet's runs spent counts, as it does when money is granted."""
    budget = Budget(usd=2, per_member_usd={"a": 1.5})

    def sampler():
        member = Member(BasicSimulator(), name="a", pricing=Pricing(per_job=0.5))
        return RouterSampler([member], policy=Policy(budget=budget), journal=tmp_path / "j")

    sampler().run([ones()], shots=10).result(60)
    second = sampler()
    assert second.fleet.status()["a"].spent_usd == 0
    status = second.budget_status()
    assert (status["USD"].spent, status["USD"].left) == (0.5, 1.5)
    assert status["USD at a"].left == 1.0
    assert "all runs of j" in status.scope


def test_a_copy_of_a_fleet_has_no_status_of_the_first():
    """What was learned stays with the fleet that learned it."""
    fleet = Fleet([Member(BasicSimulator(), name="a")])
    RouterSampler(fleet).run([ones()], shots=10).result(60)

    copied = pickle.loads(pickle.dumps(fleet))  # noqa: S301  Our own.

    assert fleet.status()["a"].health == "well"
    assert copied.status()["a"].health == "not used yet"


def test_what_a_failed_run_spent_is_counted():
    """A job that was taken and failed was paid for; one that was not taken was not."""
    policy = Policy(retry=RetryPolicy(max_attempts=1), on_failure="raise")
    taken = ScriptedBackend(BasicSimulator(), [Fails(at="result")] * 9)
    fleet = Fleet([Member(taken, name="a", pricing=Pricing(per_job=2))])
    with pytest.raises(RunError) as caught:
        RouterSampler(fleet, policy=policy).run([ones()], shots=10).result(60)
    paid = sum(one.price_usd for one in caught.value.attempts)
    assert paid > 0
    assert fleet.status()["a"].spent_usd == pytest.approx(paid)
