"""Compiling takes what it takes: it is no silence of the provider, and nobody's failure."""

import threading

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
    """A pass that waits for an event, at most for some time."""

    def __init__(self, event, seconds):
        super().__init__()
        self.event, self.seconds = event, seconds

    def run(self, dag):
        self.event.wait(self.seconds)
        return dag


def slow_member(seconds):
    event = threading.Event()
    passes = PassManager([Slow(event, seconds)])
    return Member(BasicSimulator(), pass_manager=passes), event


def test_the_deadline_of_a_submission_begins_after_compiling():
    member, _ = slow_member(5 * SUBMIT_SECONDS)
    fleet = Fleet([member])
    policy = Policy(submit_seconds=SUBMIT_SECONDS, deadline_seconds=60)

    job = RouterSampler(fleet, policy=policy).run([bell()], shots=10)

    assert sum(job.result(60)[0].data.meas.get_counts().values()) == 10
    assert [one.outcome for one in job.report().attempts] == ["done"]
    assert fleet.keep(FleetState).of(member.name).breaker.failures == 0
