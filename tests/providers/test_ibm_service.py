"""IBM's own client through the router, against a server that speaks what it needs."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qiskit_gateway import Journal, PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import EstimatorMember, Fleet, Handle, PrimitiveMember
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.policies import RetryPolicy, fastest

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

HERE = Path(__file__).parent
pytest.importorskip("qiskit_ibm_runtime")
RUN = runpy.run_path(str(HERE / "ibm_run.py"))
pub = RUN["pub"]
observed = RUN["observed"]
SOON = fastest(retry=RetryPolicy(wait_initial_seconds=0.01))


@pytest.fixture(scope="module")
def module():
    return runpy.run_path(str(HERE / "ibm_server.py"))


@pytest.fixture
def server(module, monkeypatch):
    # As they were, whatever the run of a member sets.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return module["IBMServer"]()


@pytest.fixture
def member(server, module):
    """Return what makes a member of a service of its own."""
    return lambda **options: RUN["member_of"](server.root, module["INSTANCE"], **options)


@pytest.fixture
def estimator(server, module):
    """The same over the client-side Estimator."""
    return lambda **options: RUN["estimator_of"](server.root, module["INSTANCE"], **options)


def is_estimated(pub):
    """The values of ``observed()``, of rows that are turned, not, and turned."""
    wanted = [[-1, 1, -1], [1, 1, 1], [-1, 1, -1]]
    return pub.data.evs.shape == (3, 3) and abs(pub.data.evs - wanted).max() < 0.6


def is_right(pub, shots=20):
    counts = [pub.data.meas.get_counts(row) for row in range(3)]
    return counts == [{"1": shots}, {"0": shots}, {"1": shots}]


def test_what_is_known_of_the_service(member):
    """Its limits, that jobs are found again, that they overlap, and the queue."""
    made = member()
    assert (made.limits.max_executions, made.limits.max_in_flight) == (10_000_000, 5)
    assert (made.limits.num_qubits, made.limits.max_circuits) == (5, None)
    assert made.overlaps
    assert made.finds
    assert made.queue_probe().pending_jobs == 3


@pytest.mark.parametrize("deprecated", [False, True])
@pytest.mark.parametrize("mode", ["job", "batch", "session"])
def test_both_samplers_in_each_mode(server, member, mode, deprecated):
    """Results are right, each job has its tag, and what was opened is closed."""
    made = member(mode=mode, mode_seconds=900, idle_seconds=0)
    if deprecated:
        import qiskit_ibm_runtime

        sampler = qiskit_ibm_runtime.SamplerV2(mode=made.backend)
        made = PrimitiveMember(sampler, mode=mode, mode_seconds=900, idle_seconds=0)
    assert server.sessions == {}
    result = RouterSampler(made).run([pub(20), pub(30)]).result(timeout=120)
    assert is_right(result[0], 20)
    assert is_right(result[1], 30)
    assert len({job["tags"][0] for job in server.jobs.values()}) == len(server.jobs) == 2
    assert all(session["state"] == "closed" for session in server.sessions.values())
    assert all(session["max_ttl"] == 900 for session in server.sessions.values())
    modes = {session["mode"] for session in server.sessions.values()}
    assert modes == {"job": set(), "batch": {"batch"}, "session": {"dedicated"}}[mode]
    assert all((job["session_id"] is None) is (mode == "job") for job in server.jobs.values())


def test_the_estimator(member):
    """Expectation values come from bits of basis circuits."""
    from qiskit.circuit import QuantumCircuit

    circuit = QuantumCircuit(2)
    circuit.x(0)
    (found,) = RouterEstimator(member()).run([(circuit, ["IZ", "ZI", "ZZ"])]).result(timeout=120)
    assert found.data.evs.tolist() == [-1, 1, -1]


@pytest.mark.parametrize("mode", ["job", "session"])
def test_a_job_whose_answer_was_lost_is_found_by_its_tag(server, member, mode):
    """A line that is closed is no closed session: the job was taken, and is not sent again."""
    server.troubles = ["vanish"]
    job = RouterSampler(member(mode=mode, idle_seconds=600), policy=SOON).run([pub(20)])
    assert is_right(job.result(timeout=120)[0])
    assert len(server.jobs) == 1
    assert len(server.sessions) == (mode == "session")


def test_a_session_that_lasted_too_long_is_opened_anew(server, member):
    """The service says so at the next job; nothing was sent, and no attempt is lost."""
    made = member(mode="session", idle_seconds=600)
    sampler = RouterSampler(made, policy=SOON)
    sampler.run([pub(20)]).result(timeout=120)
    server.sessions["session-0"] |= {"accepting_jobs": False, "state": "closed"}
    job = sampler.run([pub(20)])
    assert is_right(job.result(timeout=120)[0])
    assert [attempt.outcome for attempt in job.report().attempts] == ["done"]
    assert len(server.sessions) == 2
    made.close()
    assert server.sessions["session-1"]["state"] == "closed"


def test_a_closed_session_of_ones_own_is_told(server, member):
    """There is nothing to open anew: it is its owner's."""
    import qiskit_ibm_runtime
    from qiskit_ibm_runtime.executor_sampler import Sampler

    session = qiskit_ibm_runtime.Session(backend=member().backend)
    made = PrimitiveMember(Sampler(mode=session))
    assert is_right(RouterSampler(made).run([pub(20)]).result(timeout=120)[0])
    server.sessions["session-0"] |= {"accepting_jobs": False, "state": "closed"}
    with pytest.raises(PlanError, match=r"session of ibm_manila is closed.*mode='session'"):
        RouterSampler(made).run([pub(20)]).result(timeout=120)
    assert len(server.jobs) == 1


def test_a_job_that_fails_goes_elsewhere(server, member):
    """And is told as the service told it."""
    server.troubles = ["fail"]
    job = RouterSampler(member(), policy=SOON).run([pub(20)])
    assert is_right(job.result(timeout=120)[0])
    assert [attempt.outcome for attempt in job.report().attempts] == ["failed", "done"]


def test_cancelling_reaches_the_service(server, member):
    """A job that waits there is cancelled there."""
    server.troubles = ["hold"]
    job = RouterSampler(member()).run([pub(20)])
    server.wait_for(lambda: sum(server.asked.values()) > 0)
    job.cancel()
    with pytest.raises(Exception, match="cancel"):
        job.result(timeout=120)
    server.wait_for(lambda: {one["status"] for one in server.jobs.values()} == {"Cancelled"})


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_job_that_is_over_is_not_cancelled(server, member):
    """The service answers 409, which is an answer: no."""
    made = member()
    RouterSampler(made).run([pub(20)]).result(timeout=120)
    (job_id,) = server.jobs
    handle = await made.reattach(job_id)
    assert await made.cancel(handle) is False
    with pytest.raises(BackendError):
        await made.reattach("no-such-job")
    tag = server.jobs[job_id]["tags"][0]
    found = await made.find(tag)
    assert isinstance(found, Handle)
    assert found.job_id == job_id
    assert await made.find("no-such-tag") is None


@pytest.mark.parametrize("trouble", ["hold", "hang"])
def test_a_killed_run_fetches_its_jobs_again(server, module, member, tmp_path, trouble):
    """After kill -9 by the job's id, or by its tag where the id had not arrived; none is sent twice."""
    server.troubles = [trouble]
    journal = tmp_path / "journal.db"
    command = [sys.executable, HERE / "ibm_run.py", server.root, module["INSTANCE"], journal]
    child = subprocess.Popen(command, env=os.environ.copy())  # noqa: S603
    enough = {"hold": 4, "hang": 0}[trouble]
    server.wait_for(lambda: server.jobs and sum(server.asked.values()) >= enough)
    child.send_signal(signal.SIGKILL)
    child.wait()
    server.released.set()
    server.finish()

    (run,) = Journal(journal).runs()
    job = RouterSampler(member(), journal=journal).resume(run.job_id)
    assert is_right(job.result(timeout=120)[0])
    assert len(server.jobs) == 1
    assert {attempt.job_id for attempt in job.report().attempts} == set(server.jobs)


def test_a_bare_backend_of_ibms_is_run_by_its_sampler(member):
    """It has no backend.run any more; who gives the backend gets its primitive."""
    backend = member().backend
    (made,) = Fleet(backend)
    assert isinstance(made, PrimitiveMember)
    assert is_right(RouterSampler(backend).run([pub(20)]).result(timeout=120)[0])


def test_a_member_by_backend_run_says_what_to_give(member):
    """Before anything is sent."""
    from qiskit_gateway.backends import Member

    with pytest.raises((PlanError, RunError), match=r"PrimitiveMember\(Sampler\(mode=backend\)\)"):
        RouterSampler(Member(member().backend)).run([pub(20)]).result(timeout=120)


# -- native estimators ---------------------------------------------------------------------------


@pytest.mark.parametrize("deprecated", [False, True])
@pytest.mark.parametrize("mode", ["job", "batch", "session"])
def test_both_estimators_in_each_mode(server, estimator, mode, deprecated):
    """Values are right, each job has its tag, and what was opened is closed."""
    made = estimator(mode=mode, idle_seconds=0)
    assert (made.limits.max_executions, made.limits.max_in_flight) == (10_000_000, 5)
    if deprecated:
        import qiskit_ibm_runtime

        given = qiskit_ibm_runtime.EstimatorV2(mode=made.backend)
        made = EstimatorMember(given, mode=mode, idle_seconds=0)
    (found,) = RouterEstimator(made).run([observed()]).result(timeout=120)
    assert is_estimated(found)
    assert len({job["tags"][0] for job in server.jobs.values()}) == len(server.jobs) == 1
    assert all(session["state"] == "closed" for session in server.sessions.values())
    assert len(server.sessions) == (mode != "job")


def test_an_estimate_whose_answer_was_lost_is_found_by_its_tag(server, estimator):
    """As any other job; it is not sent again."""
    server.troubles = ["vanish"]
    job = RouterEstimator(estimator(), policy=SOON).run([observed()])
    assert is_estimated(job.result(timeout=120)[0])
    assert len(server.jobs) == 1


@pytest.mark.parametrize("trouble", ["hold", "hang"])
def test_a_killed_run_of_estimates_is_resumed(server, module, estimator, tmp_path, trouble):
    """After kill -9, from another process, which knows no more of the job than its id or tag."""
    server.troubles = [trouble]
    journal = tmp_path / "journal.db"
    command = [sys.executable, HERE / "ibm_run.py", server.root, module["INSTANCE"], journal]
    child = subprocess.Popen([*command, "estimator"], env=os.environ.copy())  # noqa: S603
    enough = {"hold": 4, "hang": 0}[trouble]
    server.wait_for(lambda: server.jobs and sum(server.asked.values()) >= enough)
    child.send_signal(signal.SIGKILL)
    child.wait()
    server.released.set()
    server.finish()

    (run,) = Journal(journal).runs()
    job = RouterEstimator(estimator(), journal=journal).resume(run.job_id)
    assert is_estimated(job.result(timeout=120)[0])
    assert len(server.jobs) == 1
    assert {attempt.job_id for attempt in job.report().attempts} == set(server.jobs)
