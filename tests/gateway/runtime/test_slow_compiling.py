"""Compiling takes what it takes: it is no silence of the provider, and nobody's failure."""

import time

from made_up import bell
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.transpiler import PassManager
from qiskit.transpiler.basepasses import TransformationPass

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Member
from qiskit_gateway.policies import Policy
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
