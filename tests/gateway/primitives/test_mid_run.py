"""What a report says of a run that goes on."""

import itertools
from threading import Event

import pytest
from made_up import Delivered, MadeUp
from qiskit.providers.fake_provider import GenericBackendV2
from small_circuits import bell

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet

SECONDS = 60.0


class Held(MadeUp):
    """A backend that takes jobs, or answers with a result, only when it is let.

    Attributes:
        asked: Set when it holds a call.
        let: Set to let it go on.
    """

    def __init__(self, name, *, holds):
        super().__init__(name, GenericBackendV2(2, seed=1).target)
        self.holds, self.asked, self.let = holds, Event(), Event()

    def hold(self, verb):
        if verb == self.holds:
            self.asked.set()
            assert self.let.wait(SECONDS)

    def run(self, run_input, *, shots):
        self.hold("run")
        return HeldJob(self, [{"counts": {"0x0": shots}} for _ in run_input], shots)


class HeldJob(Delivered):
    def result(self):
        self.backend().hold("result")
        return super().result()


@pytest.mark.parametrize("holds", ["run", "result"])
@pytest.mark.parametrize("members", [1, 2])
def test_a_report_in_mid_run_says_that_it_runs(holds, members):
    """Nothing has failed, and the seconds grow; when it is over they stand still."""
    backends = [Held(f"m{number}", holds=holds) for number in range(members)]
    job = RouterSampler(Fleet(backends)).run([bell()] * 4, shots=10)
    assert any(backend.asked.wait(SECONDS / members) for backend in backends)
    seen = [job.report() for _ in range(3)]
    for backend in backends:
        backend.let.set()
    job.result(SECONDS)

    for report in seen:
        assert {one.outcome for one in report.attempts} == {"running"}
        assert not any(one.failure for one in report.attempts)
        assert "running for" in str(report)
        assert "cancel" not in str(report)
    over = job.report()
    assert all(first.seconds < then.seconds for first, then in itertools.pairwise([*seen, over]))
    assert over.seconds == job.report().seconds
    assert "running" not in str(over)


def test_a_run_that_has_not_begun_has_taken_no_time():
    """A report may be asked for at once."""
    backend = Held("m", holds="run")
    backend.let.set()
    job = RouterSampler(backend).run([bell()], shots=10)
    reports = [job.report() for _ in range(5)]
    job.result(SECONDS)
    assert all(0.0 <= report.seconds < SECONDS for report in reports)
