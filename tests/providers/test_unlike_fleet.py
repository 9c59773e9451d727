"""One run over members of every kind: native samplers, workers of a cluster, ``backend.run``, a service."""

import os
import signal
from contextlib import ExitStack

import numpy as np
import pytest
from dask_cluster import start_cluster
from faulty_primitive import FaultySampler
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from questions import all_shots, ask, check

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import ExecutorMember, Fleet, Limits, Member, PrimitiveMember
from qiskit_gateway.backends.executors.pool import connect_dask
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import RetryPolicy, round_robin

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]

KINDS = ("ibm", "braket", "aer", "cluster", "ddsim", "ionq")
PUBS = 200
FEW = Limits(max_circuits=8)
POLICY = round_robin(retry=RetryPolicy(wait_initial_seconds=0.01))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of Dask's, of a scheduler and two workers in processes of their own."""
    pytest.importorskip("distributed", reason="needs the extra dask")
    with ExitStack() as stack:
        address, workers = stack.enter_context(start_cluster(tmp_path_factory.mktemp("dask")))
        made = stack.enter_context(connect_dask(address))
        made.workers = workers
        yield made


@pytest.fixture
def members(provider_members, client):
    """Return one member of each kind, by name."""

    def native(name, place):
        return PrimitiveMember(provider_members(place).sampler, name=name, limits=FEW)

    def of_backend(name, place):
        return Member(provider_members(place).backend, name=name, limits=FEW)

    return {
        "ibm": native("ibm", "ibm sampler ideal"),
        "braket": native("braket", "braket sampler"),
        "aer": native("aer", "aer sampler"),
        "cluster": ExecutorMember(
            client,
            "qiskit_aer:AerSimulator",
            {"max_parallel_threads": 1},
            name="cluster",
            limits=FEW,
        ),
        "ddsim": of_backend("ddsim", "ddsim"),
        "ionq": of_backend("ionq", "ionq qpu"),
    }


def dies_after(member, jobs):
    """Return the same member, which takes so many jobs and is out of reach from then on."""
    if isinstance(member, PrimitiveMember):
        dying = FaultySampler(member.sampler, dies_after=jobs)
        return PrimitiveMember(dying, backend=member.backend, name=member.name, limits=FEW)
    dying = ScriptedBackend(member.backend, [()] * jobs, then=Fails())
    return Member(dying, name=member.name, limits=FEW)


@pytest.fixture
def failing(request, members):
    """Return the names of two members that die on the way, after two jobs each."""
    for name in request.param:
        members[name] = dies_after(members[name], 2)
    return request.param


def check_end(job, members, failing, shots):
    """Check that all took part, that two of them failed, and that no shot is too many or too few."""
    used = job.report().members
    assert used.keys() == set(KINDS)
    assert all(one["shots"] > 0 for one in used.values())
    assert {name for name, one in used.items() if one["failures"]} == {*failing}
    assert sum(one["shots"] for one in used.values()) == shots == job.progress().shots_done
    assert not job.report().given_up


@pytest.mark.parametrize(
    "failing", [("braket", "ddsim"), ("aer", "ionq")], ids="-".join, indirect=True
)
def test_the_sampler(members, failing):
    """200 unlike PUBs are right in every row and exact in shots, while two of six members die."""
    questions = ask(PUBS)
    sampler = RouterSampler(Fleet(members.values()), policy=POLICY)
    job = sampler.run([question.pub for question in questions])
    check(job.result(timeout=240), questions)
    check_end(job, members, failing, all_shots(questions))


def asked_values(rng):
    """Return an estimator's PUB of random shape, observables and precision, and the exact values."""
    qubits = int(rng.integers(1, 4))
    circuit = QuantumCircuit(qubits)
    for number, angle in enumerate(ParameterVector("b", int(rng.integers(1, 4)))):
        qubit = int(rng.integers(qubits))
        (circuit.rx, circuit.ry)[number % 2](angle, qubit)
        if qubits > 1:
            circuit.cx(qubit, (qubit + 1) % qubits)
    shape = [(), (2,), (3, 1)][rng.integers(3)]
    values = rng.uniform(0, 2 * np.pi, (*shape, circuit.num_parameters))
    labels = ["".join(rng.choice([*"IXYZ"], qubits)) for _ in range(2)]
    wanted = [SparsePauliOp(labels[0]), SparsePauliOp(labels, [0.5, -0.25])]
    precision = float(rng.choice([0.05, 0.08, 0.1]))
    exact = np.array(
        [
            [Statevector(bound).expectation_value(one).real for one in wanted]
            for bound in map(circuit.assign_parameters, values.reshape(-1, circuit.num_parameters))
        ]
    )
    # Rows of parameters along the first axes, observables along a last one of their own.
    pub = (circuit, wanted, values[..., np.newaxis, :], precision)
    return pub, exact.reshape(*shape, len(wanted))


@pytest.mark.parametrize("failing", [("ibm", "ionq")], ids="-".join, indirect=True)
def test_the_estimator(members, failing):
    """Values of 200 unlike PUBs scatter about the exact ones as their standard errors say."""
    rng = np.random.default_rng(21)
    asked = [asked_values(rng) for _ in range(PUBS)]
    estimator = RouterEstimator(Fleet(members.values()), policy=POLICY)
    job = estimator.run([pub for pub, _ in asked])
    scores = []
    for result, (pub, exact) in zip(job.result(timeout=240), asked, strict=True):
        precision, data = pub[3], result.data
        shots = int(np.ceil(1 / precision**2))
        assert result.metadata["target_precision"] == precision
        assert abs(result.metadata["shots"] - shots) <= 1
        assert data.evs.shape == data.stds.shape == exact.shape
        assert (data.stds <= precision + 1e-9).all()
        # Of one Pauli the exact value tells how far estimates of it scatter.
        far, spread = (
            (data.evs - exact)[..., 0],
            np.sqrt(np.maximum(1 - exact[..., 0] ** 2, 0) / shots),
        )
        sure = spread < 1e-6
        assert np.allclose(far[sure], 0, atol=1e-9)
        scores += (far[~sure] / spread[~sure]).tolist()
        # Of few shots nearly all may agree by chance; then what they say of their scatter is too little.
        assert (np.abs(data.evs - exact) <= 7 * np.maximum(data.stds, precision / 2)).all()
    assert len(scores) > PUBS
    assert np.max(np.abs(scores)) < 6.5
    # The mean of so many squares is 1 within five of its own standard errors.
    assert abs(np.mean(np.square(scores)) - 1) < 5 * np.sqrt(2 / len(scores))
    assert abs(np.mean(scores)) < 5 / np.sqrt(len(scores))
    check_end(job, members, failing, job.progress().shots)


def test_a_worker_that_is_killed_loses_nothing(members, client):
    """The last worker but one dies in the middle; the run goes on, right and exact."""
    questions = ask(60, seed=22)
    sampler = RouterSampler(Fleet(members.values()), policy=POLICY)
    job = sampler.run([question.pub for question in questions])
    os.kill(client.workers[0].pid, signal.SIGKILL)
    check(job.result(timeout=240), questions)
    used = job.report().members
    assert sum(one["shots"] for one in used.values()) == all_shots(questions)
