"""Native estimators of real packages as members: alone, in fleets, failing, resumed."""

import numpy as np
import pytest
from faulty_primitive import FaultyEstimator
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.quantum_info import SparseObservable, SparsePauliOp, Statevector

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import EstimatorMember, Fleet, Limits
from qiskit_gateway.policies import RetryPolicy, round_robin

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]

IDEAL = (
    "statevector estimator",
    "aer estimator",
    "braket estimator",
    "ibm estimator ideal",
    "ibm estimator v2",
)
ANGLES = np.array([[0.4, 1.1], [1.9, -0.3], [-1.1, 0.7], [2.8, 2.0]])
# Each a column that is asked of every row.
OBSERVABLES = [
    SparsePauliOp("IZI"),
    SparsePauliOp.from_list([("XXI", 0.5), ("YYI", -0.25), ("IIZ", 2.0), ("III", 1.5)]),
    SparseObservable.from_list([("0+I", 1.0), ("IrZ", -0.5)]),
    SparsePauliOp.from_list([("ZZZ", 0.01), ("XIZ", 0.02)]),
]


def turned():
    """A circuit that is not symmetric in its qubits, whose parameters are not in order of use."""
    circuit = QuantumCircuit(3)
    first, second = Parameter("q"), Parameter("b")
    circuit.ry(first, 0)
    circuit.cx(0, 1)
    circuit.rx(second, 2)
    circuit.cz(1, 2)
    circuit.rz(first, 1)
    return circuit


def pub(precision=0.03, rows=ANGLES):
    return turned(), [[one] for one in OBSERVABLES], rows, precision


def paulis(observable):
    if isinstance(observable, SparsePauliOp):
        return observable
    return SparsePauliOp.from_sparse_observable(observable.as_paulis())


def exact(circuit, observable, row):
    state = Statevector(circuit.assign_parameters(row))
    return state.expectation_value(paulis(observable)).real


def spread(circuit, observable, row):
    """Return the most that one shot of each term can scatter, whatever they have in common."""
    state, terms = Statevector(circuit.assign_parameters(row)), paulis(observable)
    values = np.array([state.expectation_value(one).real for one in terms.paulis])
    return float(np.abs(terms.coeffs) @ np.sqrt(np.clip(1 - values**2, 0, None)))


def check(found, rows=ANGLES, precision=0.03):
    """Each value is within five standard errors of the exact one: its own, or the true one.

    Near the ends of the range few shots differ, and what these say of the scatter may be too little.
    """
    cases = [[(turned(), one, row) for row in rows] for one in OBSERVABLES]
    wanted = np.array([[exact(*case) for case in line] for line in cases])
    true = precision * np.array([[spread(*case) for case in line] for line in cases])
    off = np.abs(found.data.evs - wanted)
    assert found.data.evs.shape == found.data.stds.shape == wanted.shape
    stds = np.maximum(found.data.stds, true)
    assert (off <= 5 * stds + 1e-9).all(), off / stds


@pytest.mark.parametrize("name", IDEAL)
def test_each_alone(provider_members, name):
    """Values and standard errors are right, in the shape that broadcasting gives."""
    job = RouterEstimator(provider_members(name)).run([pub(), pub(0.05, ANGLES[:2])])
    one, other = job.result()
    check(one)
    check(other, ANGLES[:2], 0.05)
    assert 0 < one.data.stds.max() < 0.2
    assert set(job.report().members) == {name}


def test_a_noisy_device(provider_members):
    """IBM's estimator mitigates as its options say; its values are near those of the state."""
    job = RouterEstimator(provider_members("ibm estimator")).run([pub(0.05)])
    (found,) = job.result()
    wanted = [[exact(turned(), one, row) for row in ANGLES] for one in OBSERVABLES]
    assert np.abs(found.data.evs - np.array(wanted)).max() < 0.5


@pytest.mark.parametrize("policy", [round_robin(), round_robin(spread="shots")])
def test_a_mixed_fleet(provider_members, policy):
    """Bits and estimates are pooled, also those of one row."""
    names = (*IDEAL, "aer", "braket sampler", "basic")
    few = Limits(max_circuits=3, max_shots=400)
    members = [provider_members(name, limits=few) for name in names]
    job = RouterEstimator(Fleet(members), policy=policy).run([pub() for _ in range(4)])
    for found in job.result():
        check(found)
        assert "received_shots" not in found.metadata
    assert set(job.report().members) == set(names)


def loses_one(result):
    return PrimitiveResult(list(result)[:-1])


def has_no_number(result):
    spoilt = []
    for one in result:
        evs = np.full(one.data.evs.shape, np.nan)
        spoilt.append(PubResult(DataBin(evs=evs, stds=evs, shape=evs.shape)))
    return PrimitiveResult(spoilt)


def is_of_another_shape(result):
    evs = np.zeros((7, 7))
    return PrimitiveResult([PubResult(DataBin(evs=evs, stds=evs)) for _ in result])


@pytest.mark.parametrize("spoil", [loses_one, has_no_number, is_of_another_shape])
def test_some_fail_on_the_way(provider_members, spoil):
    """What is not believed is measured elsewhere, and nothing counts twice."""
    inner = provider_members("aer estimator").estimator
    few = Limits(max_circuits=4)
    made = [provider_members(name, limits=few) for name in ("statevector estimator", "aer")]
    made += [
        EstimatorMember(FaultyEstimator(inner, dies_after=1), name="dies", limits=few),
        EstimatorMember(FaultyEstimator(inner, spoil=spoil), name="lies", limits=few),
    ]
    policy = round_robin(retry=RetryPolicy(wait_initial_seconds=0.01))
    job = RouterEstimator(Fleet(made), policy=policy).run([pub() for _ in range(4)])
    for found in job.result():
        check(found)
    done = job.report().members
    assert done["dies"]["failures"] > 0
    assert done["lies"]["failures"] > 0
    assert done["lies"]["shots"] == 0
    assert not job.report().given_up


def test_a_pub_goes_as_it_came(provider_members):
    """One circuit, all rows and all observables: not one PUB for each basis and row."""
    estimator = FaultyEstimator(provider_members("aer estimator").estimator)
    member = EstimatorMember(estimator)
    RouterEstimator(member).run([pub(0.02)]).result()
    ((pubs, precision),) = estimator.jobs
    ((_, observables, values),) = pubs
    assert values.shape == (len(ANGLES),)
    assert len(observables) > len(OBSERVABLES)  # Each basis of an observable has a part of it.
    assert precision == pytest.approx(0.02)


def test_shots_and_precision(provider_members):
    """A basis with fewer shots is estimated less precisely, in a job of its own; the promise holds."""
    estimator = FaultyEstimator(provider_members("aer estimator").estimator)
    options = {"shot_allocation": "by_weight"}
    router = RouterEstimator(EstimatorMember(estimator), options=options)
    (found,) = router.run([pub(0.02)]).result()
    check(found, precision=0.02)
    assert found.data.stds.max() <= 0.02 + 1e-9
    asked = {precision for _, precision in estimator.jobs}
    assert len(asked) > 1


def test_rows_with_observables_of_their_own(provider_members):
    """Each row is estimated for what broadcasting pairs with it, and for nothing else."""
    estimator = FaultyEstimator(provider_members("aer estimator").estimator)
    rows = ANGLES[: len(OBSERVABLES)]
    job = RouterEstimator(EstimatorMember(estimator)).run([(turned(), OBSERVABLES, rows, 0.02)])
    (found,) = job.result()
    for value, std, one, row in zip(
        found.data.evs, found.data.stds, OBSERVABLES, rows, strict=True
    ):
        assert abs(value - exact(turned(), one, row)) <= 5 * std
    assert sum(len(asked[1]) for pubs, _ in estimator.jobs for asked in pubs) <= 12


def test_a_sampler_is_told_why_it_gets_nothing(provider_members):
    """An estimator brings no bits; beside others its work goes to these."""
    member = provider_members("statevector estimator")
    circuit = turned().assign_parameters(ANGLES[0])
    circuit.measure_all()
    with pytest.raises(PlanError, match=r"gives expectation values and no bits.*SamplerV2"):
        RouterSampler(member).run([circuit]).result()
    job = RouterSampler([member, provider_members("basic")]).run([circuit], shots=30)
    assert job.result()[0].data.meas.num_shots == 30
    assert set(job.report().members) == {"basic"}


def test_circuits_that_measure_on_the_way_are_refused(provider_members):
    """Estimators take none of these; a backend beside them does."""
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.h(0)
    asked = [(circuit, SparsePauliOp("IX"), None, 0.1)]
    estimator = provider_members("statevector estimator")
    with pytest.raises(PlanError, match="has measurements of its own"):
        RouterEstimator(estimator).run(asked).result()
    job = RouterEstimator([estimator, provider_members("basic")]).run(asked)
    assert abs(job.result()[0].data.evs) < 0.6
    done = {name: one["shots"] for name, one in job.report().members.items()}
    assert done.pop("basic") == 100
    assert not any(done.values())


def test_equal_circuits_of_several_pubs_stay_apart(provider_members):
    """A process that resumes a run knows equal circuits by one object; both must sort alike."""
    estimator = FaultyEstimator(provider_members("aer estimator").estimator)
    one = pub(0.05)
    RouterEstimator(EstimatorMember(estimator)).run([one, one, pub(0.05)]).result()
    assert [len(pubs) for pubs, _ in estimator.jobs] == [3]


@pytest.mark.parametrize("name", ["aer estimator", "ibm estimator v2"])
def test_a_run_is_resumed(provider_members, tmp_path, name):
    """What was estimated before counts, and is not asked for again."""
    inner, few = provider_members(name).estimator, Limits(max_circuits=6)
    dies, lives = FaultyEstimator(inner, dies_after=2), FaultyEstimator(inner)
    policy = round_robin(retry=RetryPolicy(max_attempts=1))
    router = RouterEstimator(
        EstimatorMember(dies, name=name, limits=few),
        policy=policy,
        journal=tmp_path / "runs.db",
    )
    job = router.run([pub(0.05)] * 2)
    with pytest.raises(RunError):
        job.result()
    again = RouterEstimator(
        EstimatorMember(lives, name=name, limits=few),
        policy=policy,
        journal=tmp_path / "runs.db",
    ).resume(job.job_id())
    for found in again.result():
        check(found, precision=0.05)
    done = sum(one.outcome.delivered for one in again.report().attempts)
    assert done == 2 + len(lives.jobs)


def test_the_noise_of_a_device_is_in_the_standard_error():
    """Aer's estimator averages over runs of a noise model, and tells nothing of their spread."""
    aer = pytest.importorskip("qiskit_aer")
    from qiskit_aer.noise import NoiseModel, depolarizing_error
    from qiskit_aer.primitives import EstimatorV2

    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["x"])
    estimator = EstimatorV2.from_backend(aer.AerSimulator(noise_model=noise))
    circuit = QuantumCircuit(1)
    circuit.x(0)
    pubs = [(circuit, SparsePauliOp("Z"), None, 0.05)] * 60
    results = RouterEstimator(EstimatorMember(estimator)).run(pubs).result()
    evs = np.array([float(one.data.evs) for one in results])
    stds = np.array([float(one.data.stds) for one in results])
    assert stds == pytest.approx(0.05 * np.sqrt(2))
    assert 0.5 < ((evs + 0.8) / stds).std() < 1.3
    assert abs(evs.mean() + 0.8) < 5 * stds[0] / np.sqrt(60)


def test_a_seed_repeats_a_run(provider_members):
    """Where the estimator takes one."""

    def once():
        member = provider_members("statevector estimator", limits=Limits(max_circuits=5))
        router = RouterEstimator(member, options={"seed_simulator": 7})
        return router.run([pub()] * 2).result()

    for one, other in zip(once(), once(), strict=True):
        assert (one.data.evs == other.data.evs).all()


def test_equal_pubs_have_noise_of_their_own(provider_members):
    """Whatever seed the estimator was made with, and whatever that of the run is."""
    for name in IDEAL:
        for seed in (None, 7):
            member = provider_members(name, limits=Limits(max_circuits=20))
            router = RouterEstimator(member, options={"seed_simulator": seed})
            one, other = router.run([pub(0.05)] * 2).result()
            assert (one.data.evs != other.data.evs).any(), name
