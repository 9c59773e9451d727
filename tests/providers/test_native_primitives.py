"""Native primitives of real packages: what they alone have, and fleets of them."""

from math import pi

import numpy as np
import pytest
from faulty_primitive import FaultySampler, loses_one
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BackendSamplerV2, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, PrimitiveMember
from qiskit_gateway.policies import RetryPolicy, fastest, round_robin

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]

NATIVE = ("ibm sampler ideal", "aer sampler", "braket sampler")


def turned(shots=None):
    """A PUB whose rows have sure outcomes: 1, 0 and 1."""
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("q"), 0)
    circuit.measure_all()
    return circuit, [[pi], [0.0], [pi]], shots


def coins(qubits=8):
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    circuit.measure_all()
    return circuit


@pytest.fixture
def aer():
    return pytest.importorskip("qiskit_aer.primitives").SamplerV2()


def test_all_rows_go_in_one_pub(aer):
    """One circuit and its numbers travel, not one circuit for each row."""
    sampler = FaultySampler(aer)
    rows = np.linspace(0, pi, 40)[:, np.newaxis]
    result = RouterSampler(sampler, policy=fastest()).run([(turned()[0], rows)]).result()
    assert result[0].data.meas.shape == (40,)
    assert all(len(pubs) == 1 for pubs, _ in sampler.jobs)
    sent = [pub[1].shape for pubs, _ in sampler.jobs for pub in pubs]
    assert sum(shape[0] for shape in sent) == 40


def test_rows_are_bound_first_where_they_would_be_wrong(aer):
    """Aer answers each row of a controlled rotation with that of the first."""
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.crx(Parameter("angle"), 0, 1)
    circuit.measure_all()
    sampler = FaultySampler(aer)
    (pub,) = RouterSampler(sampler).run([(circuit, [[pi], [0.0]])], shots=50).result()
    assert [pub.data.meas.get_counts(row) for row in range(2)] == [{"11": 50}, {"01": 50}]
    assert {len(pub) for pubs, _ in sampler.jobs for pub in pubs} == {1}


@pytest.mark.parametrize("name", [*NATIVE, "ibm sampler", "ibm sampler v2"])
def test_pubs_of_unlike_shots_go_in_jobs_of_their_own(provider_members, name):
    """IBM's Sampler and Braket's refuse to mix them in one job; nobody needs to know."""
    job = RouterSampler(provider_members(name)).run([turned(shots) for shots in (20, 31, 20)])
    for pub, shots in zip(job.result(), (20, 31, 20), strict=True):
        assert pub.data.meas.num_shots == shots
        likely = [max(c, key=c.get) for c in map(pub.data.meas.get_counts, range(3))]
        assert likely == ["1", "0", "1"]


@pytest.mark.parametrize("name", [*NATIVE, "ibm sampler v2", "statevector sampler"])
@pytest.mark.parametrize("seed", [None, 7])
def test_no_two_samples_are_the_same(provider_members, name, seed):
    """Equal PUBs of one job, shards of one PUB, and rows have samples of their own."""
    member = provider_members(name, limits=Limits(max_circuits=2, max_shots=60, num_qubits=8))
    if name == "ibm sampler v2":
        member = provider_members(name, limits=Limits(max_circuits=2, max_shots=60))
    qubits = min(member.limits.num_qubits, 8)
    options = {} if seed is None else {"seed_simulator": seed}
    result = RouterSampler(member, options=options).run([coins(qubits)] * 3, shots=120).result()
    parts = [half for pub in result for half in np.split(pub.data.meas.array, 2)]
    assert len({part.tobytes() for part in parts}) == len(parts)


@pytest.mark.parametrize("name", ["aer sampler", "statevector sampler"])
def test_a_seed_repeats_a_run(provider_members, name):
    """The seed of the run counts, whatever seed the primitive has."""

    def once():
        member = provider_members(name, limits=Limits(max_circuits=2))
        sampler = RouterSampler(member, options={"seed_simulator": 7})
        return [pub.data.meas.array for pub in sampler.run([coins()] * 3, shots=50).result()]

    assert all((one == other).all() for one, other in zip(once(), once(), strict=True))


def test_a_seed_of_the_primitive_is_not_that_of_all_jobs():
    """Or all shards would bring the same samples."""
    samplers = [StatevectorSampler(seed=3)]
    samplers.append(pytest.importorskip("qiskit_aer.primitives").SamplerV2(seed=3))
    for sampler in samplers:
        member = PrimitiveMember(sampler, limits=Limits(max_circuits=1))
        one, other = RouterSampler(member).run([coins()] * 2, shots=50).result()
        assert (one.data.meas.array != other.data.meas.array).any()


@pytest.mark.parametrize("policy", [fastest, round_robin])
def test_two_of_five_fail_on_the_way(provider_members, aer, policy):
    """IBM's, Aer's and Braket's samplers and DDSIM in one run, two of which fail: all is right."""
    made = [provider_members(name) for name in ("ibm sampler ideal", "braket sampler", "ddsim")]
    dies, lies = FaultySampler(aer, dies_after=2), FaultySampler(aer, spoil=loses_one)
    made += [
        PrimitiveMember(dies, name="dies", limits=Limits(max_circuits=10)),
        PrimitiveMember(lies, name="lies", limits=Limits(max_circuits=10)),
    ]
    router = RouterSampler(Fleet(made), policy=policy(retry=RetryPolicy(wait_initial_seconds=0.01)))
    shots = [20 + number % 3 for number in range(60)]
    job = router.run([turned(number) for number in shots])
    for pub, number in zip(job.result(), shots, strict=True):
        counts = [pub.data.meas.get_counts(row) for row in range(3)]
        assert counts == [{"1": number}, {"0": number}, {"1": number}]
    done = job.report().members
    assert set(done) == {"ibm sampler ideal", "braket sampler", "ddsim", "dies", "lies"}
    assert done["dies"]["failures"] > 0
    assert done["lies"]["failures"] > 0
    assert sum(member["shots"] for member in done.values()) == 3 * sum(shots)
    assert not job.report().given_up


def test_the_estimator_over_native_primitives(provider_members, aer):
    """Bases go to any of them; the values are those of the state, also when one dies."""
    theta = Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    wanted = [SparsePauliOp("ZI"), SparsePauliOp("XX"), SparsePauliOp(["YY", "II"], [1, 0.5])]
    dies = PrimitiveMember(
        FaultySampler(aer, dies_after=1), name="dies", limits=Limits(max_circuits=1)
    )
    members = [provider_members(name, limits=Limits(max_circuits=2)) for name in NATIVE]
    router = RouterEstimator([*members, dies], policy=round_robin(spread="shots"))
    angles = np.array([[0.4], [1.9], [-1.1]])
    job = router.run([(circuit, [[one] for one in wanted], angles, 0.02)] * 4)
    exact = [np.cos(angles[:, 0]), np.sin(angles[:, 0]), 0.5 - np.sin(angles[:, 0])]
    for pub in job.result():
        assert (np.abs(pub.data.evs - np.array(exact)) < 6 * np.maximum(pub.data.stds, 0.005)).all()
    assert set(job.report().members) == {*NATIVE, "dies"}


# -- the way into a fleet --------------------------------------------------------------------------


def test_a_bare_primitive_becomes_a_member(aer, provider_members):
    """A router, an estimator and a fleet take primitives as they take backends."""
    ibm = provider_members("ibm sampler").sampler
    for router in (RouterSampler(aer), RouterSampler([aer, ibm, BasicSimulator()])):
        (pub,) = router.run([turned()], shots=30).result()
        assert max(pub.data.meas.get_counts(0)) == "1"
    fleet = RouterEstimator([aer, ibm]).fleet
    assert fleet.names == ("aer_simulator", "fake_manila")
    assert all(isinstance(member, PrimitiveMember) for member in fleet)


def test_a_backend_sampler_is_its_backend():
    """BackendSamplerV2 reads zeros where there is no memory; its backend does not."""
    ddsim = pytest.importorskip("mqt.ddsim").DDSIMProvider().get_backend("qasm_simulator")
    given = BackendSamplerV2(backend=ddsim)
    (member,) = Fleet(given)
    assert type(member) is Member
    assert member.backend is ddsim
    (pub,) = RouterSampler(given).run([turned()], shots=30).result()
    assert pub.data.meas.get_counts(0) == {"1": 30}
    with pytest.raises(
        TypeError, match=r"give its backend to the fleet, Member\(sampler.backend\)"
    ):
        PrimitiveMember(given)


def test_the_deprecated_sampler_over_a_backend_without_memory_is_refused():
    """In local mode it is BackendSamplerV2, whose answer would be zeros."""
    ddsim = pytest.importorskip("mqt.ddsim").DDSIMProvider().get_backend("qasm_simulator")
    sampler = pytest.importorskip("qiskit_ibm_runtime.sampler").SamplerV2(mode=ddsim)
    with pytest.raises(Exception, match="give the backend itself to the fleet"):
        RouterSampler(sampler).run([turned()], shots=30).result()
    (pub,) = RouterSampler(sampler.backend()).run([turned()], shots=30).result()
    assert pub.data.meas.get_counts(0) == {"1": 30}


# -- execution modes -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["batch", "session"])
@pytest.mark.parametrize("name", ["ibm sampler", "ibm sampler v2"])
def test_a_mode_is_opened_late_and_closed_when_idle(provider_members, monkeypatch, mode, name):
    """Nothing is open before the first job, nor once all are over; a later job opens it anew."""
    runtime = pytest.importorskip("qiskit_ibm_runtime")
    opened = []
    kind = getattr(runtime, mode.capitalize())

    class Watched(kind):
        def __init__(self, **given):
            super().__init__(**given)
            opened.append(self)

    monkeypatch.setattr(runtime, mode.capitalize(), Watched)
    member = provider_members(name, mode=mode, mode_seconds=600, idle_seconds=0)
    router = RouterSampler(member)
    assert opened == []
    (pub,) = router.run([turned()], shots=30).result()
    assert max(pub.data.meas.get_counts(0)) == "1"
    assert opened
    assert not any(one._active for one in opened)
    before = len(opened)
    router.run([turned()], shots=30).result()
    assert len(opened) > before
    assert {one._max_time for one in opened} == {600}


def test_a_mode_stays_open_between_jobs_and_ends_with_close(provider_members):
    """One session holds all jobs that follow each other closely."""
    member = provider_members("ibm sampler", mode="session", idle_seconds=600)
    router = RouterSampler(member)
    router.run([turned(20), turned(21)]).result()
    first = member._keeper._held.mode
    router.run([turned()], shots=30).result()
    assert member._keeper._held.mode is first
    assert first._active
    member.close()
    assert not first._active
    member.close()
    router.run([turned()], shots=30).result()
    assert member._keeper._held.mode is not first
    member.close()


def test_a_mode_that_was_closed_elsewhere_is_opened_anew(provider_members):
    """The deprecated sampler asks its session before anything is sent."""
    member = provider_members("ibm sampler v2", mode="session", idle_seconds=600)
    router = RouterSampler(member)
    router.run([turned()], shots=30).result()
    first = member._keeper._held.mode
    first.close()  # As its longest time does.
    (pub,) = router.run([turned()], shots=30).result()
    assert max(pub.data.meas.get_counts(0)) == "1"
    assert member._keeper._held.mode is not first
    member.close()


def test_a_closed_session_of_the_users_is_told():
    """Whoever owns it is told that it is closed, and what to do; nothing was sent."""
    runtime = pytest.importorskip("qiskit_ibm_runtime")
    backend = pytest.importorskip("qiskit_ibm_runtime.fake_provider").FakeManilaV2()
    session = runtime.Session(backend=backend)
    sampler = runtime.SamplerV2(mode=session)
    with pytest.raises(ValueError, match="is in a Session already"):
        PrimitiveMember(sampler, mode="batch")
    member = PrimitiveMember(sampler)
    RouterSampler(member).run([turned()], shots=30).result()
    session.close()
    with pytest.raises(PlanError, match=r"session of fake_manila is closed.*mode='session'"):
        RouterSampler(member).run([turned()], shots=30).result(timeout=60)


def test_modes_are_ibms_alone(aer):
    """Others are told, before anything runs."""
    with pytest.raises(ValueError, match="SamplerV2 has no mode 'session'"):
        PrimitiveMember(aer, mode="session")
