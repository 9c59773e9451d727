"""What providers and members of one's own return, as a run meets it: who is charged, who goes on."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from made_up import MadeUp
from qiskit import QuantumCircuit
from qiskit.circuit import Measure
from qiskit.circuit.library import XGate
from qiskit.providers import JobStatus
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qiskit_gateway import GatewayError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import BackendError, Fleet, Handle, Limits, Member, Outcome, Pricing
from qiskit_gateway.policies import Policy, RetryPolicy, failover
from qiskit_gateway.scheduling.members.state import FleetState

SHOTS = 20
QUICK = RetryPolicy(wait_initial_seconds=0.0)


class Answering(MadeUp):
    """A backend that knows what its circuits answer, and says it in its own way.

    Args:
        answer: Makes a result from circuits, shots and the number of the job, from 0.
        width: Qubits.
    """

    defaults: ClassVar = {"shots": SHOTS}

    def __init__(self, answer=None, name="answering", width=4):
        target = Target(num_qubits=width)
        each = {(qubit,): None for qubit in range(width)}
        target.add_instruction(XGate(), dict(each))
        target.add_instruction(Measure(), dict(each))
        super().__init__(name, target)
        self.answer = answer or right
        self.sent = []

    def run(self, run_input, *, shots):
        number = len(self.sent)
        self.sent.append((len(run_input), shots))
        return SimpleNamespace(
            job_id=lambda: f"{self.name}-{number}",
            status=lambda: JobStatus.DONE,
            result=lambda: self.answer(run_input, shots, number),
            cancel=bool,
        )


def right(circuits, shots, number, **more):
    data = [{"counts": {bits(circuit): shots}} for circuit in circuits]
    return {"results": [{"success": True, "data": one} for one in data], "success": True, **more}


def bits(circuit):
    flipped = {circuit.find_bit(op.qubits[0]).index for op in circuit.data if op.name == "x"}
    written = [op for op in circuit.data if op.name == "measure"]
    ones = {
        circuit.find_bit(op.clbits[0]).index
        for op in written
        if circuit.find_bit(op.qubits[0]).index in flipped
    }
    return "".join(str(int(bit in ones)) for bit in reversed(range(circuit.num_clbits)))


def ones(width=2):
    circuit = QuantumCircuit(width)
    circuit.x(range(width))
    circuit.measure_all()
    return circuit


def counts(result):
    return [pub.data.meas.get_counts() for pub in result]


def run(members, circuits, shots=SHOTS, policy=None):
    """Return the job of a run that has ended, well or not."""
    sampler = RouterSampler(members, policy=policy or Policy(retry=QUICK, deadline_seconds=50))
    job = sampler.run(circuits, shots=shots)
    error_of(job)
    return job


def error_of(job):
    """Wait for the end of a run, and return its error, if it has one."""
    try:
        job.result(timeout=60)
    except GatewayError as error:
        return error
    return None


# -- a circuit that a provider cannot run ----------------------------------------------------------

WORDS = "ERROR: Failed to load circuits: no such bit"


def without_experiments(circuits, shots, number):
    if all(circuit.num_clbits < 3 for circuit in circuits):
        return right(circuits, shots, number)
    return {"success": False, "status": WORDS, "results": []}


def with_experiments(circuits, shots, number):
    told = right(circuits, shots, number)
    for circuit, experiment in zip(circuits, told["results"], strict=True):
        if circuit.num_clbits > 2:
            experiment.update(success=False, status=WORDS, data={})
            told["success"] = False
    return told


@pytest.mark.parametrize("answer", [without_experiments, with_experiments])
def test_a_circuit_that_cannot_be_run_is_charged_and_its_member_is_not(answer):
    """However often it is sent: it fails in the provider's words, and others run at once."""
    backend = Answering(answer)
    fleet = Fleet([Member(backend, limits=Limits(max_circuits=1))])
    for _ in range(4):
        assert WORDS in str(error_of(run(fleet, [ones(3)])))
    assert fleet.keep(FleetState).of("answering").breaker.phase == "closed"
    assert counts(run(fleet, [ones()]).result()) == [{"11": SHOTS}]


@pytest.mark.parametrize("answer", [without_experiments, with_experiments])
@pytest.mark.parametrize("place", [0, 3, 7])
def test_others_of_its_batch_do_not_wait_for_it(answer, place):
    """All others of the job have their answers, from as few jobs as it takes to find it."""
    circuits = [ones() for _ in range(8)]
    circuits[place] = ones(3)
    backend = Answering(answer)
    error = error_of(run(backend, circuits))
    assert WORDS in str(error)
    (given_up,) = error.failures
    assert given_up.pub == place
    found = counts(error.partial_result)
    assert found[:place] + found[place + 1 :] == [{"11": SHOTS}] * 7
    assert len(backend.sent) <= 12


def test_a_provider_that_fails_all_jobs_is_still_left_alone():
    """Where jobs of several circuits fail, it may be the member: it is not sent all that there is."""
    fails = Answering(lambda *_: {"success": False, "status": "ERROR: down", "results": []}, "down")
    members = [Member(fails, limits=Limits(max_circuits=4)), Answering(name="good")]
    job = run(members, [ones()] * 80, policy=failover("down", "good", retry=QUICK))
    assert counts(job.result()) == [{"11": SHOTS}] * 80
    assert len(fails.sent) < 40


# -- results of a kind that nobody can read --------------------------------------------------------

UNREADABLE = {
    "a list of objects": lambda circuits, shots, number: [object() for _ in circuits],
    "an object": lambda circuits, shots, number: SimpleNamespace(outcomes=[1]),
    "None": lambda circuits, shots, number: None,
    "a text": lambda circuits, shots, number: "00110",
    "counts alone": lambda circuits, shots, number: {"11": shots},
    "quasi-distributions": lambda circuits, shots, number: {
        "results": [{"success": True, "data": {"quasi_dists": {"0x3": 1.0}}} for _ in circuits]
    },
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("max_circuits", [1, 3, 8])
def test_a_member_whose_results_nobody_can_read_is_given_up_soon(kind, max_circuits):
    """After two jobs the run ends, and says what came; nothing else is sent and paid."""
    backend = Answering(UNREADABLE[kind])
    priced = Pricing(per_job=1.0)
    member = Member(backend, pricing=priced, limits=Limits(max_circuits=max_circuits))
    error = error_of(run(member, [ones()] * 8))
    assert isinstance(error, RunError)
    assert "returned no result but" in str(error) or "neither counts nor memory" in str(error)
    assert len(backend.sent) == 2


@pytest.mark.parametrize("kind", UNREADABLE)
def test_its_work_goes_to_another_member(kind):
    """A member that can be read does all of it."""
    odd = Answering(UNREADABLE[kind], "odd")
    job = run([odd, Answering(name="good")], [ones()] * 8, policy=failover("odd", "good"))
    assert counts(job.result()) == [{"11": SHOTS}] * 8
    assert len(odd.sent) == 2


def test_who_was_read_before_is_not_given_up():
    """A member that has done work is tried again after results that cannot be read."""
    backend = Answering(lambda c, s, number: right(c, s, number) if number < 3 else None)
    fleet = Fleet([Member(backend, limits=Limits(max_circuits=1))])
    run(fleet, [ones()] * 5, policy=Policy(retry=QUICK, deadline_seconds=1))
    assert fleet.keep(FleetState).of("answering").breaker.until < np.inf


def test_a_later_run_gives_it_another_chance():
    """What was given up in one run is tried again in the next."""
    backend = Answering(UNREADABLE["None"])
    fleet = Fleet([backend])
    assert error_of(run(fleet, [ones()])) is not None
    backend.answer = right
    assert counts(run(fleet, [ones()]).result()) == [{"11": SHOTS}]


# -- a result that is of another job ---------------------------------------------------------------


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("others", [False, True])
def test_a_result_of_another_job_is_refused(listed, others):
    """It is a bad result, be the other job one of another backend; the work is done again."""
    name = f"mixed-{listed}-{others}"
    elsewhere = Answering(name=f"{name}-elsewhere")
    run(elsewhere, [ones()])
    another = f"{elsewhere.name}-0" if others else f"{name}-0"

    def answer(circuits, shots, number):
        # What that job brought, as it would be taken for this one's.
        if number == 1:
            told = right([QuantumCircuit(1, 2)] * len(circuits), shots, number, job_id=another)
        else:
            told = right(circuits, shots, number, job_id=f"{name}-{number}")
        return [told] if listed else told

    backend = Answering(answer, name)
    job = run(Member(backend, limits=Limits(max_circuits=1)), [ones()] * 3)
    assert counts(job.result()) == [{"11": SHOTS}] * 3
    assert len(backend.sent) == 4
    (failure,) = filter(None, (attempt.failure for attempt in job.report().attempts))
    assert f"is of job '{another}', another of ours" in failure


@pytest.mark.parametrize("job_id", ["", "job", "other-1", None, 7])
def test_any_other_id_is_taken(job_id):
    """Many providers write an id of their own into a result."""
    backend = Answering(lambda *job: right(*job, job_id=job_id), name=f"taken-{job_id}")
    assert counts(run(backend, [ones()]).result()) == [{"11": SHOTS}]
    assert len(backend.sent) == 1


# -- fewer shots than were asked for ---------------------------------------------------------------


def rounding(outcomes, rounded=round):
    """Return an answer that counts equal outcomes as rounded chances."""

    def answer(circuits, shots, number):
        each = rounded(shots / outcomes)
        told = {f"{value:06b}": each for value in range(outcomes) if each}
        return {"results": [{"success": True, "data": {"counts": told}} for _ in circuits]}

    return answer


@pytest.mark.parametrize("rounded", [round, int])
@pytest.mark.parametrize("outcomes", [3, 7, 8, 32, 40])
@pytest.mark.parametrize("shots", [100, 101, 1000])
def test_what_rounding_has_left_out_comes_with_one_more_job(outcomes, shots, rounded):
    """All shots that were asked for are there, from two jobs at most, of few shots if there are many."""
    backend = Answering(rounding(outcomes, rounded), width=6)
    (found,) = counts(run(backend, [ones(6)], shots).result())
    assert sum(found.values()) == shots
    assert len(backend.sent) <= 2
    assert all(asked <= shots for _, asked in backend.sent)


@pytest.mark.parametrize(("min_shots", "again"), [(None, 100), (500, 500)])
def test_nobody_is_asked_for_a_handful(min_shots, again):
    """A job that makes up for a few shots asks for a percent, or the least that the member takes."""
    lossy = Answering(lambda circuits, shots, number: right(circuits, shots - 3 * (not number), 0))
    limits = Limits(min_shots=min_shots)
    (found,) = counts(run(Member(lossy, limits=limits), [ones()], 10_000).result())
    assert found == {"11": 10_000}
    assert lossy.sent == [(1, 10_000), (1, again)]


def losing(share):
    return lambda circuits, shots, number: right(circuits, int(share * shots), number)


@pytest.mark.parametrize("share", [0.5, 0.6, 0.9, 0.97])
def test_a_share_that_is_lost_is_made_up_for(share):
    """Of a member that returns at least half, all that is missing comes with the second job."""
    backend = Answering(losing(share))
    assert counts(run(backend, [ones()] * 3, 100).result()) == [{"11": 100}] * 3
    assert len(backend.sent) <= 3


@pytest.mark.parametrize("share", [0.45, 0.3, 0.1, 0.02])
@pytest.mark.parametrize("circuits", [1, 3])
def test_a_member_that_returns_the_same_share_again_is_not_asked_a_third_time(share, circuits):
    """It is told so, and what has come is kept; another member does the rest."""
    backend = Answering(losing(share))
    error = error_of(run(backend, [ones()] * circuits, 100))
    assert "the same share as before" in str(error)
    assert len(backend.sent) == 2
    came = int(share * 100) + int(share * (100 - int(share * 100)))
    assert counts(error.partial_result) == [{"11": came}] * circuits

    backend, good = Answering(losing(share), "losing"), Answering(name="good")
    job = run([backend, good], [ones()] * circuits, 100, failover("losing", "good"))
    assert counts(job.result()) == [{"11": 100}] * circuits
    assert len(backend.sent) == 2


def test_a_member_that_returns_so_many_at_most_is_asked_until_all_are_there():
    """That it is the same number says nothing of the share."""
    backend = Answering(lambda circuits, shots, number: right(circuits, min(shots, 40), number))
    assert counts(run(backend, [ones()], 150).result()) == [{"11": 150}]
    assert len(backend.sent) == 4


def test_a_top_up_keeps_to_the_limit_of_a_job():
    """Nobody is asked for more shots than it takes at once."""
    backend = Answering(losing(0.5))
    run(Member(backend, limits=Limits(max_shots=50)), [ones()], 100)
    assert all(asked <= 50 for _, asked in backend.sent)


# -- members of one's own --------------------------------------------------------------------------


class Mine:
    """A member of one's own; what its jobs bring is asked of a function."""

    name, fidelity, overlaps, weight, tags = "mine", None, True, 1.0, frozenset()
    limits, pricing = Limits(), Pricing()

    def __init__(self, answer):
        self.answer = answer
        self.jobs = 0

    def refusal(self, program, shots, options):
        return ""

    async def submit(self, batch):
        self.jobs += 1
        return Handle(job_id=str(self.jobs), batch=batch)

    async def collect(self, handle):
        return self.answer(handle.batch.kept_shots)

    async def cancel(self, handle):
        return True

    async def reattach(self, job_id):
        raise BackendError("it keeps no jobs", transient=False, submitted=None)


def full(shots, width=2, value=3, rows=None):
    memory = np.full((shots if rows is None else rows, 1), value, np.uint8)
    return Outcome(shots=shots, num_bits=width, memory=memory)


ODD = {
    "none": lambda shots: [],
    "too few": lambda shots: [full(shots)] * 2,
    "too many": lambda shots: [full(shots)] * 4,
    "None": lambda shots: None,
    "counts": lambda shots: [{"11": shots}] * 3,
    "Nones": lambda shots: [None] * 3,
    "wide": lambda shots: [full(shots, width=3)] * 3,
    "short": lambda shots: [full(shots, rows=3)] * 3,
    "empty": lambda shots: [Outcome(shots=shots, num_bits=2)] * 3,
    "number": lambda shots: 7,
}


@pytest.mark.parametrize("kind", ODD)
def test_what_a_member_returns_wrongly_is_done_by_another(kind):
    """It is a bad result, told with the name of the member and of what it was asked."""
    mine = Mine(ODD[kind])
    job = run([mine, Answering(name="good")], [ones()] * 3, policy=failover("mine", "good"))
    assert counts(job.result()) == [{"11": SHOTS}] * 3
    failures = [attempt.failure for attempt in job.report().attempts if attempt.member == "mine"]
    assert failures
    assert all(failure.startswith("mine.collect() returned") for failure in failures)


@pytest.mark.parametrize("kind", ["None", "counts", "number", "Nones"])
def test_alone_it_ends_the_run_soon(kind):
    """What is of a kind that nobody can read ends it after two jobs."""
    mine = Mine(ODD[kind])
    assert "mine.collect() returned" in str(error_of(run([mine], [ones()] * 3)))
    assert mine.jobs == 2


def test_outcomes_that_come_one_by_one_are_taken():
    """A generator is gone through."""
    job = run([Mine(lambda shots: (full(shots) for _ in range(3)))], [ones()] * 3)
    assert counts(job.result()) == [{"11": SHOTS}] * 3


def test_one_wrong_outcome_spoils_no_other():
    """The circuits whose outcomes are right are not run again."""
    mine = Mine(lambda shots: [full(shots), full(shots, width=1), full(shots)])
    good = Answering(name="good")
    job = run([mine, good], [ones()] * 3, policy=failover("mine", "good"))
    assert counts(job.result()) == [{"11": SHOTS}] * 3
    assert good.sent == [(1, SHOTS)]


def test_an_estimator_makes_no_value_of_it():
    """What is wrong for a sampler is wrong for an estimator."""
    estimator = RouterEstimator(Mine(ODD["empty"]), policy=Policy(retry=QUICK, deadline_seconds=2))
    circuit = QuantumCircuit(2)
    circuit.x(0)
    with pytest.raises(RunError, match=r"mine.collect\(\) returned"):
        estimator.run([(circuit, SparsePauliOp("ZZ"))]).result(timeout=60)


@pytest.mark.parametrize("handle", [None, "job-1", 7])
def test_a_submission_must_return_a_handle(handle):
    """Else nobody knows what became of the job, and who was asked is told."""

    class Odd(Mine):
        async def submit(self, batch):
            self.jobs += 1
            return handle

    mine = Odd(None)
    job = run([mine, Answering(name="good")], [ones()], policy=failover("mine", "good"))
    assert counts(job.result()) == [{"11": SHOTS}]
    assert mine.jobs == 1
    assert "mine.submit() returned" in job.report().attempts[0].failure
