"""Compiling takes what it takes: it is no silence of the provider, and nobody's failure."""

import threading
import time

import pytest
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import PassManager
from qiskit.transpiler.basepasses import TransformationPass
from small_circuits import bell

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Member, Pricing
from qiskit_gateway.policies import Policy, most_faithful
from qiskit_gateway.scheduling.members.state import FleetState

SUBMIT_SECONDS = 0.2


class Slow(TransformationPass):
    """A pass that takes far longer than a provider may take to accept a job."""

    def run(self, dag):
        time.sleep(5 * SUBMIT_SECONDS)
        return dag


def test_the_deadline_of_a_submission_begins_after_compiling():
    fleet = Fleet([Member(BasicSimulator(), pass_manager=PassManager([Slow()]))])
    policy = Policy(submit_seconds=SUBMIT_SECONDS, deadline_seconds=60)

    job = RouterSampler(fleet, policy=policy).run([bell()], shots=10)

    assert sum(job.result(60)[0].data.meas.get_counts().values()) == 10
    assert [one.outcome for one in job.report().attempts] == ["done"]
    (name,) = fleet.names
    assert fleet.keep(FleetState).of(name).breaker.failures == 0


def machine_time():
    return Pricing(per_second=0.01)


@pytest.mark.parametrize(
    ("policy", "facts"),
    [
        (most_faithful(submit_seconds=SUBMIT_SECONDS), {}),
        (Policy(submit_seconds=SUBMIT_SECONDS), {"pricing": machine_time()}),
    ],
    ids=["the policy reads the fidelity", "the tariff is by machine time"],
)
def test_an_estimate_takes_what_its_compiling_takes(policy, facts):
    """Only what the provider itself is asked counts as its silence, before a run and in quotes."""
    member = Member(BasicSimulator(), pass_manager=PassManager([Slow()]), **facts)
    sampler = RouterSampler(member, policy=policy)

    quote = sampler.quote([bell()], shots=10)
    job = sampler.run([bell()], shots=10)

    assert sum(job.result(60)[0].data.meas.get_counts().values()) == 10
    assert quote.not_done == ()
    assert [one.outcome for one in job.report().attempts] == ["done"]


class Hung(GenericBackendV2):
    """A backend that hangs where it is asked for its target."""

    gate = threading.Event()

    @property
    def target(self):
        self.gate.wait()
        return super().target


@pytest.fixture
def hung():
    """Return a member whose backend says nothing from now on, until the test is over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hung, "gate", threading.Event())
        Hung.gate.set()
        made = Member(Hung(2, seed=1), name="hung")
        Hung.gate.clear()
        yield made
        Hung.gate.set()


@pytest.mark.parametrize("preset", [Policy, most_faithful])
def test_a_provider_that_does_not_say_what_it_can_do_is_silent(hung, preset):
    """Its work goes elsewhere when the deadline of a submission is over, and nobody else waits."""
    fleet = Fleet([hung, Member(BasicSimulator(), name="well")])
    policy = preset(submit_seconds=5 * SUBMIT_SECONDS)

    job = RouterSampler(fleet, policy=policy).run([bell()] * 4, shots=10)

    assert len(job.result(60)) == 4
    ends = {(one.member, one.outcome) for one in job.report().attempts}
    assert ("well", "done") in ends
    assert not any(one.job_id for one in job.report().attempts if one.member == "hung")
