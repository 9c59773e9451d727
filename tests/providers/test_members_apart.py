"""What is peculiar to providers whose packages do not install beside all others."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from small_circuits import bell, rotated

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import EstimatorMember, Member, PrimitiveMember
from qiskit_gateway.backends.failures.translate import translate
from qiskit_gateway.policies import RetryPolicy, round_robin

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]


APART = ("alice bob", "menos", "mimiq", "qdd", "qdmi 4", "iqm adonis")


def test_one_fleet(provider_members):
    """All of them do a share of one run, each circuit exact in shots."""
    members = [provider_members(name) for name in APART]
    names = {member.name for member in members}
    job = RouterSampler(members, policy=round_robin()).run([(bell(), None, 60)] * 18)
    for pub in job.result():
        counts = pub.data.meas.get_counts()
        assert sum(counts.values()) == 60
        assert counts.get("00", 0) + counts.get("11", 0) > 45  # IQM's fake is noisy.
    assert set(job.report().members) == names


def test_the_limits_of_qdd_are_read(provider_members):
    """It spells them in a way of its own, and enforces them."""
    assert provider_members("qdd").limits.max_shots == 1_000_000


def test_menos_takes_one_circuit_a_job(provider_members):
    """Its own word for that is read, so that no job is tried in vain."""
    member = provider_members("menos")
    assert member.limits.max_circuits == 1
    job = RouterSampler(member).run([bell()] * 3, shots=20)
    job.result()
    assert [one.circuits for one in job.report().attempts] == [1, 1, 1]


def test_the_sampler_of_menos_sorts_its_shots(provider_members):
    """Which are not exchangeable, so that its backend is asked for in its place."""
    menos = pytest.importorskip("menos.qiskit")
    with pytest.raises(PlanError, match="sorted by outcome; give the fleet a MENOSBackend"):
        RouterSampler(PrimitiveMember(menos.MENOSSampler())).run([bell()]).result()
    (pub,) = RouterSampler(provider_members("menos")).run([bell()], shots=200).result()
    shots = pub.data.meas.array[:, 0]
    assert (np.diff(shots.astype(int)) != 0).sum() > 40


def test_the_estimator_of_menos_is_exact():
    """It is compiled for, bound first, and tells errors of 0 rightly."""
    menos = pytest.importorskip("menos.qiskit")
    angles = np.linspace(0, 3, 5)[:, np.newaxis]
    observables = [[SparsePauliOp("ZI")], [SparsePauliOp(["XX", "YY"], [1.0, 0.5])]]
    router = RouterEstimator(EstimatorMember(menos.MENOSEstimator()))
    (pub,) = router.run([(rotated(), observables, angles, 0.05)]).result()
    assert pub.data.evs[0] == pytest.approx(np.cos(angles[:, 0]))
    assert pub.data.evs[1] == pytest.approx(0.5 * np.sin(angles[:, 0]))
    assert not pub.data.stds.any()


def test_the_estimator_of_mimiq(provider_members):
    """One that nobody knows by name is a member all the same, over the backend that it tells."""
    mimiq = pytest.importorskip("mimiq_qiskit")
    member = EstimatorMember(mimiq.MimiqEstimatorV2(provider_members("mimiq").backend))
    angles = np.linspace(0, 3, 5)[:, np.newaxis]
    (pub,) = RouterEstimator(member).run([(rotated(), SparsePauliOp("XX"), angles, 0.05)]).result()
    assert np.abs(pub.data.evs - np.sin(angles[:, 0])).max() < 0.3


@pytest.mark.parametrize(
    ("module", "name", "transient"),
    [
        ("menos.exceptions", "UnsupportedFeatureError", False),
        ("menos.exceptions", "ResourceExceededError", False),
        ("menos.exceptions", "InternalError", None),
        ("mimiq_qiskit.converter", "UnsupportedGateError", False),
        ("mimiqcircuits.qasm.exceptions", "QASMError", False),
        ("mimiqlink.abstractconnection", "MimiqConnectionError", True),
        ("qiskit_alice_bob_provider.errors", "AliceBobTranspilationException", False),
        ("iqm.qiskit_iqm.qiskit_to_iqm", "InstructionNotSupportedError", False),
    ],
)
def test_errors_are_known(module, name, transient):
    """Each is the fault that it means, and not one that nobody has heard of."""
    kind = getattr(pytest.importorskip(module), name)
    assert translate(kind("no"), phase="submit").transient is transient


@pytest.mark.parametrize(
    ("status", "facts"),
    [
        (401, {"authentication": True, "transient": False}),
        (429, {"throttled": True, "transient": True}),
        (503, {"fault": "backend", "transient": True}),
    ],
)
def test_errors_of_alice_and_bobs_service(status, facts):
    """They bring the status of the answer, which says what to do."""
    client = pytest.importorskip("qiskit_alice_bob_provider.remote.api.client")
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code = status
    response._content = b"no"
    found = translate(client.AliceBobApiException(response), phase="submit")
    assert {name: getattr(found, name) for name in facts} == facts


def test_alice_and_bob_compile_by_stages_of_their_own(provider_members):
    """A gate that their emulator of physical cats does not have is refused there, and run elsewhere."""
    provider = pytest.importorskip("qiskit_alice_bob_provider").AliceBobLocalProvider()
    cats = Member(provider.get_backend("EMU:6Q:PHYSICAL_CATS"), name="cats")
    with pytest.raises(PlanError, match="cannot be compiled for EMU:6Q:PHYSICAL_CATS"):
        RouterSampler(cats).run([bell()], shots=20).result()
    policy = round_robin(retry=RetryPolicy(max_attempts=2))
    job = RouterSampler([cats, provider_members("basic")], policy=policy).run([bell()], shots=20)
    assert job.result()[0].data.meas.num_shots == 20
    flip = QuantumCircuit(2)
    flip.x(0)
    flip.measure_all()
    (pub,) = RouterSampler(cats).run([flip], shots=50).result()
    assert pub.data.meas.get_counts()["01"] > 40
