"""What ``RouterEstimator`` promises to code that was written for Qiskit's ``BackendEstimatorV2``."""

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Delivered, MadeUp
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from qiskit.primitives import (
    BackendEstimatorV2,
    BaseEstimatorV2,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp, Statevector
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager

from qiskit_gateway import PlanError, RouterEstimator, RunError
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import failover, fastest, round_robin
from qiskit_gateway.primitives.estimator import EstimatorOptions

# -- backends --------------------------------------------------------------------------------------


class Exact(MadeUp):
    """A backend whose counts are the probabilities, rounded: as far from them as counts must be."""

    def __init__(self, qubits=4, name="exact"):
        super().__init__(name, BasicSimulator().target)
        self._qubits = qubits
        self.jobs = []
        self.hold = None

    def run(self, run_input, **options):
        if self.hold is not None:
            self.hold(len(self.jobs))
        self.jobs.append((len(run_input), options))
        shots = options["shots"]
        data = [{"counts": self._counts(circuit, shots)} for circuit in run_input]
        return Delivered(self, data, shots)

    def _counts(self, circuit, shots):
        measured = {
            circuit.find_bit(i.clbits[0]).index: circuit.find_bit(i.qubits[0]).index
            for i in circuit.data
            if i.name == "measure"
        }
        free = circuit.remove_final_measurements(inplace=False)
        places = [measured[bit] for bit in range(circuit.num_clbits)]
        chances = Statevector(free).probabilities(places)
        return {hex(i): c for i, c in enumerate(rounded(chances, shots)) if c}


def rounded(chances, shots):
    """Return the whole numbers nearest to the chances that add up to the shots."""
    counts = np.floor(chances * shots + 1e-9).astype(int)
    rest = shots - counts.sum()
    counts[np.argsort(counts - chances * shots)[:rest]] += 1
    return counts.tolist()


def exact(pub):
    """Return the exact expectation values of a PUB."""
    pub = EstimatorPub.coerce(pub, 0.1)
    bound = np.broadcast_to(pub.parameter_values.bind_all(pub.circuit), pub.shape)
    wanted = np.broadcast_to(pub.observables.sparse_observables_array(), pub.shape)
    values = np.zeros(pub.shape)
    for place in np.ndindex(pub.shape):
        operator = SparsePauliOp.from_sparse_observable(wanted[place])
        values[place] = Statevector(bound[place]).expectation_value(operator).real
    return values


def sizes(pub):
    """Return the sum of the magnitudes of each observable's coefficients, in the PUB's shape."""
    pub = EstimatorPub.coerce(pub, 0.1)
    wanted = np.broadcast_to(pub.observables.sparse_observables_array(), pub.shape)
    found = np.zeros(pub.shape)
    for place in np.ndindex(pub.shape):
        found[place] = np.abs(wanted[place].coeffs).sum()
    return found


def ansatz(qubits=3):
    return real_amplitudes(qubits, reps=1).decompose()


HAMILTONIAN = SparsePauliOp.from_list(
    [("ZZI", 0.5), ("IZZ", -0.3), ("IIX", 0.8), ("XXI", 0.2), ("YIY", -0.4), ("III", 1.5)]
)


# -- the form --------------------------------------------------------------------------------------


def test_the_form_is_qiskits():
    """Types, metadata, shapes and 0-d arrays, options and the properties that packages read."""
    backend = BasicSimulator()
    estimator = RouterEstimator(backend)
    assert isinstance(estimator, BaseEstimatorV2)
    assert estimator.default_precision == estimator.options.default_precision == 0.015625
    assert estimator.backend is estimator._backend is backend
    assert [member.name for member in estimator.fleet] == ["basic_simulator"]
    assert RouterEstimator(backend, policy=fastest()).policy == fastest()
    circuit = ansatz()
    circuit.metadata = {"mine": 1}
    pubs = [(circuit, HAMILTONIAN, np.ones(6)), (circuit, ["ZZZ", "XXX"], np.ones((5, 1, 6)), 0.1)]
    result = estimator.run(pubs).result()
    assert isinstance(result, PrimitiveResult)
    assert result.metadata == {"version": 2}
    stock = BackendEstimatorV2(backend=backend).run(pubs).result()
    for mine, theirs in zip(result, stock, strict=True):
        assert isinstance(mine, PubResult)
        assert mine.metadata == theirs.metadata
        assert mine.metadata["circuit_metadata"] is circuit.metadata
        assert list(mine.data) == list(theirs.data)
        assert mine.data.shape == theirs.data.shape
        for name in ("evs", "stds"):
            array = mine.data[name]
            assert isinstance(array, np.ndarray)
            assert array.dtype == np.float64
            assert array.shape == theirs.data[name].shape
    assert result[0].data.evs.item() == float(result[0].data.evs)


def test_options_are_checked_and_may_be_changed():
    """A dict, the dataclass, nothing; keys that are not known, choices that there are not."""
    backend = Exact()
    with pytest.raises(TypeError, match="shots"):
        RouterEstimator(backend, options={"shots": 1})
    estimator = RouterEstimator(backends=[backend], options=EstimatorOptions(default_precision=0.1))
    with pytest.raises(AttributeError, match="did you mean 'default_precision'"):
        estimator.options.default_precison = 0.2
    estimator.options.default_precision = 0.2
    assert estimator.run([(ansatz(), "ZZZ", np.ones(6))]).result()[0].metadata["shots"] == 25
    for name, value in [
        ("shot_allocation", "fair"),
        ("stds", 1),
        ("run_options", {"meas_level": 1}),
    ]:
        wrong = RouterEstimator(backend, options={name: value})
        with pytest.raises(ValueError, match=name if name != "run_options" else "meas_level"):
            wrong.run([])
    with pytest.raises(TypeError, match="shots"):
        RouterEstimator(backend, options={"run_options": {"shots": 3}}).run([])
    for name, value in [
        ("abelian_grouping", "no"),
        ("abelian_grouping", 1),
        ("run_options", "seed"),
        ("run_options", [("a", 1)]),
        ("run_options", {1: 2}),
    ]:
        with pytest.raises(TypeError, match=f"{name} must be"):
            RouterEstimator(backend, options={name: value}).run([])


@pytest.mark.parametrize("coefficient", [math.nan, math.inf, -math.inf])
def test_coefficients_are_finite_before_anything_is_sent(coefficient):
    """Also where another observable of the PUB is in order, and that of the identity."""
    backend = Exact(1)
    circuit = QuantumCircuit(1)
    for observable in ("Z", "I"):
        pub = (circuit, [{"Z": 1.0}, {"X": 1.0, observable: coefficient}])
        with pytest.raises(ValueError, match="coefficients of observables must be finite"):
            RouterEstimator(backend).run([pub])
    assert not backend.jobs


@pytest.mark.parametrize("journal", [5, b"runs", ["runs.db"]])
def test_a_journal_is_one_or_a_path(journal):
    with pytest.raises(TypeError, match="journal must be a Journal or the path of one, got"):
        RouterEstimator(Exact(), journal=journal)


@pytest.mark.parametrize("precision", [0, -0.1, math.nan, math.inf, True])
def test_wrong_precisions_are_told_at_once(precision):
    """Of the run, of a PUB, of the options; and nothing is sent."""
    backend = Exact()
    circuit = ansatz()
    with pytest.raises(ValueError, match="precision"):
        RouterEstimator(backend).run([(circuit, "ZZZ", np.ones(6))], precision=precision)
    with pytest.raises(ValueError, match="precision"):
        RouterEstimator(backend).run([(circuit, "ZZZ", np.ones(6), precision)])
    with pytest.raises(ValueError, match="precision"):
        RouterEstimator(backend, options={"default_precision": precision}).run(
            [(circuit, "ZZZ", np.ones(6))]
        )
    assert not backend.jobs


def test_wrong_pubs_are_told_at_once():
    """With the types that Qiskit raises."""
    estimator = RouterEstimator(Exact())
    for pub in [(ansatz(), "ZZ", np.ones(6)), (ansatz(), "ZZZ"), (ansatz(), "ZZZ", np.ones(5))]:
        with pytest.raises(ValueError, match=r"number of|Length of"):
            estimator.run([pub])
    with pytest.raises(ValueError, match="Non-Hermitian"):
        estimator.run([(ansatz(), SparsePauliOp("ZZZ", 1j), np.ones(6))])
    with pytest.raises(ValueError, match="finite"):
        estimator.run([(ansatz(), "ZZZ", np.full(6, np.nan))])


# -- what is measured ------------------------------------------------------------------------------


def test_identities_cost_nothing_and_bases_are_shared():
    """No circuit for what is known; one for all that can be measured together; or one per term."""
    backend, circuit = Exact(), ansatz()
    estimator = RouterEstimator(backend)
    known = estimator.run([(circuit, [["III"], [{"III": -2.0}]], np.ones((4, 6)), 0.5)])
    assert known.result()[0].data.evs.tolist() == [[1] * 4, [-2] * 4]
    assert not known.result()[0].data.stds.any()
    assert known.result()[0].metadata["shots"] == 4
    assert estimator.run([]).result().metadata == {"version": 2}
    assert not backend.jobs
    together = {"ZZI": 1, "IZZ": 1, "00I": 1, "IIZ": 1, "III": 2}
    estimator.run([(circuit, [together, "ZIZ", "+++"], np.ones(6), 0.5)]).result()
    assert backend.jobs.pop()[0] == 2
    estimator.options.abelian_grouping = False
    estimator.run([(circuit, [together, "ZIZ", "+++"], np.ones(6), 0.5)]).result()
    assert backend.jobs.pop()[0] == 5  # "00I" is measured as "ZZI" is.


def test_only_what_broadcasting_asks_for_is_measured():
    """Four rows with an observable each are four circuits, and not sixteen."""
    backend, circuit = Exact(), ansatz()
    values = np.linspace(0, 1, 24).reshape(4, 6)
    pub = (circuit, ["ZZZ", "XXX", "YYY", "XYZ"], values, 0.01)
    result = RouterEstimator(backend).run([pub]).result()[0]
    assert sum(circuits for circuits, _ in backend.jobs) == 4
    assert np.abs(result.data.evs - exact(pub)).max() < 8e-4
    outer = (circuit, ["ZZZ", "ZIZ"], values[:, np.newaxis], 0.01)
    result = RouterEstimator(backend).run([outer]).result()[0]
    assert result.data.shape == (4, 2)
    assert np.abs(result.data.evs - exact(outer)).max() < 8e-4


def test_rows_with_unlike_needs_share_a_task_where_their_basis_is_the_same():
    """Observables that differ row by row: the same numbers as one by one."""
    circuit = ansatz()
    values = np.linspace(0, 2, 36).reshape(6, 6)
    wanted = [HAMILTONIAN, "ZZI", "XXI", {"ZII": 1, "IIX": 2}, "IZZ", HAMILTONIAN]
    together = RouterEstimator(Exact()).run([(circuit, wanted, values, 0.05)]).result()[0].data
    for row, observable in enumerate(wanted):
        pub = (circuit, observable, values[row], 0.05)
        alone = RouterEstimator(Exact()).run([pub]).result()[0].data
        assert together.evs[row] == alone.evs
        assert together.stds[row] == alone.stds


def test_all_kinds_of_observables():
    """Whatever Qiskit takes; projectors, which its own estimators do not."""
    circuit = ansatz(2)
    wanted = [
        "ZX",
        Pauli("-YY"),
        SparsePauliOp.from_list([("XX", 0.3), ("ZI", -2)]),
        SparseObservable.from_list([("0+", 1.5), ("rl", 0.5), ("-1", 2), ("IZ", 0.25)]),
        {"ZZ": 1.0, "1I": -1.0, "II": 3.0},
        "00",
        {Pauli("XY"): 2.0},
    ]
    pub = (circuit, ObservablesArray(wanted), np.linspace(0.1, 1.2, 4), 0.005)
    data = RouterEstimator(Exact()).run([pub]).result()[0].data
    assert np.abs(data.evs - exact(pub)).max() < 5e-4


# -- random circuits, observables, shapes, fleets --------------------------------------------------


@st.composite
def circuits(draw, qubits=3):
    """Random circuits with up to three parameters."""
    circuit = QuantumCircuit(qubits)
    parameters = ParameterVector("t", draw(st.integers(0, 3)))
    for parameter in parameters:
        gate = draw(st.sampled_from([circuit.rx, circuit.ry, circuit.rz]))
        gate(parameter, draw(st.integers(0, qubits - 1)))
    for _ in range(draw(st.integers(0, 8))):
        pair = draw(st.permutations(range(qubits)))[:2]
        kind = draw(st.sampled_from(["h", "s", "cx", "ry", "cz"]))
        if kind == "ry":
            circuit.ry(draw(st.floats(-3, 3)), pair[0])
        else:
            getattr(circuit, kind)(*pair[: 2 if kind.startswith("c") else 1])
    return circuit


@st.composite
def pubs(draw, precisions=(0.02, 0.05, 0.1)):
    """PUBs of any shape that broadcasts."""
    circuit = draw(circuits())
    whole = draw(st.lists(st.integers(1, 3), max_size=2))
    shapes = []
    for _ in range(2):
        kept = whole[draw(st.integers(0, len(whole))) :]
        shapes.append(tuple(draw(st.sampled_from([size, 1])) for size in kept))
    labels = st.text("IIXYZ01+-rl", min_size=3, max_size=3)
    terms = st.dictionaries(labels, st.sampled_from([-1.5, 0.3, 1.0]), min_size=1, max_size=4)
    wanted = np.empty(shapes[0], dtype=object)
    for place in np.ndindex(shapes[0]):
        wanted[place] = SparseObservable.from_list(list(draw(terms).items()))
    size = math.prod(shapes[1]) * circuit.num_parameters
    values = draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size))
    rows = np.reshape(values, (*shapes[1], circuit.num_parameters))
    if not circuit.num_parameters:
        rows = None
    return circuit, ObservablesArray(wanted), rows, draw(st.sampled_from(precisions))


limits = st.builds(
    Limits,
    max_circuits=st.none() | st.integers(1, 4),
    max_shots=st.none() | st.integers(30, 3000),
)
spreads = st.sampled_from([fastest(), fastest(spread="shots"), round_robin()])


@settings(max_examples=60, deadline=None)
@given(
    # The limits cut what these ask for into up to 14 pieces a circuit; finer ones only make more.
    pubs=st.lists(pubs(precisions=(0.05, 0.1)), min_size=1, max_size=2),
    limits=st.lists(limits, min_size=1, max_size=3),
    policy=spreads,
    options=st.fixed_dictionaries(
        {
            "abelian_grouping": st.booleans(),
            "shot_allocation": st.sampled_from(["per_basis", "by_weight"]),
            "stds": st.sampled_from(["standard_error", "upper_bound"]),
        }
    ),
)
def test_values_are_the_exact_ones_however_the_work_is_cut(pubs, limits, policy, options):
    """Over any fleet, the exact value as near as whole counts allow; and stds are consistent."""
    members = [Member(Exact(), name=f"m{i}", limits=limit) for i, limit in enumerate(limits)]
    job = RouterEstimator(Fleet(members), policy=policy, options=options).run(pubs)
    results = job.result()
    # How shots are spread depends on speeds, so that a piece may have few.
    least = min((attempt.shots for attempt in job.report().attempts), default=30)
    for pub, result in zip(pubs, results, strict=True):
        data, precision = result.data, pub[3]
        assert data.evs.shape == data.stds.shape == EstimatorPub.coerce(pub).shape
        # Each piece of a row has 8 counts that are off by less than 1.
        assert (np.abs(data.evs - exact(pub)) <= sizes(pub) * (8 / least) + 1e-9).all()
        assert set(result.metadata) == {"target_precision", "shots", "circuit_metadata"}
        assert (data.stds >= 0).all()
        if options["shot_allocation"] == "by_weight" and options["stds"] == "standard_error":
            assert (data.stds <= precision * (1 + 1e-6)).all()


@settings(max_examples=40, deadline=None)
@given(pub=pubs())
def test_uncut_values_are_within_the_standard_error(pub):
    """Counts that are as good as they can be are within what is stated, or a count of it."""
    data = RouterEstimator(Exact()).run([pub]).result()[0].data
    pub = EstimatorPub.coerce(pub)
    counts = 8 * sizes(pub) * pub.precision**2
    assert (np.abs(data.evs - exact(pub)) <= data.stds + counts + 1e-9).all()


# -- statistics ------------------------------------------------------------------------------------


def simulated(rows, options, precision, circuit=None, observable=HAMILTONIAN):
    """Return the exact value, and the data of many runs of the same."""
    circuit = circuit or ansatz().assign_parameters(np.linspace(0.3, 1.4, 6))
    angle = Parameter("idle")
    repeated = circuit.copy()
    repeated.rz(angle, 0)
    pub = (repeated, observable, np.zeros((rows, 1)), precision)
    estimator = RouterEstimator(BasicSimulator(), options={"seed_simulator": 5} | options)
    return exact((circuit, observable)).item(), estimator.run([pub]).result()[0].data


@pytest.mark.parametrize("allocation", ["per_basis", "by_weight"])
def test_stds_are_what_a_standard_error_promises(allocation):
    """Over many runs errors are as large as stated: no more and no less, covariances included."""
    rows = 400
    value, data = simulated(rows, {"shot_allocation": allocation}, 0.06)
    errors = (data.evs - value) / data.stds
    # Five standard deviations of each statistic.
    assert abs(errors.mean()) < 5 / rows**0.5
    assert abs((errors**2).mean() - 1) < 5 * (2 / rows) ** 0.5
    assert abs((np.abs(errors) < 1).mean() - 0.683) < 5 * (0.683 * 0.317 / rows) ** 0.5
    if allocation == "by_weight":
        assert data.evs.std() <= 0.06 * (1 + 5 / (2 * rows) ** 0.5)


def test_qiskits_bound_is_an_option_and_larger():
    """For one and the same shots; and for lone Paulis there is no difference."""
    _, ours = simulated(5, {}, 0.05)
    _, bound = simulated(5, {"stds": "upper_bound"}, 0.05)
    assert np.array_equal(ours.evs, bound.evs)
    assert (ours.stds < 0.9 * bound.stds).all()
    _, ours = simulated(5, {}, 0.05, observable="ZZZ")
    _, bound = simulated(5, {"stds": "upper_bound"}, 0.05, observable="ZZZ")
    assert np.allclose(ours.stds, bound.stds, rtol=1e-12)
    assert np.allclose(ours.stds, np.sqrt(1 - ours.evs**2) * 0.05)


def test_terms_that_cancel_have_no_spread():
    """Z0 - Z1 of a Bell pair is always 0, which the sum over terms does not see."""
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    observable = {"ZI": 0.1, "IZ": -0.1}
    estimator = RouterEstimator(BasicSimulator(), options={"seed_simulator": 1})
    data = estimator.run([(bell, observable)]).result()[0].data
    assert data.evs == data.stds == 0
    estimator.options.stds = "upper_bound"
    assert estimator.run([(bell, observable)]).result()[0].data.stds == pytest.approx(
        0.2 / 64, rel=0.01
    )


@pytest.mark.parametrize("factor", [2.0**665, 2.0**1000])
def test_observables_may_have_values_whose_squares_no_float_holds(factor):
    """Over several bases: values and standard errors are those of the plain ones, times the factor."""
    labels = {"IIZ": 1.0, "IXX": -0.5, "IYY": 0.25, "ZZI": 0.75}
    both = [labels, {label: value * factor for label, value in labels.items()}]
    data = RouterEstimator(Exact()).run([(ansatz(), both, np.ones(6))]).result()[0].data
    assert 0 < data.stds[0] < 0.1
    assert data.evs[1] / factor == pytest.approx(data.evs[0], rel=1e-15)
    assert data.stds[1] / factor == pytest.approx(data.stds[0], rel=1e-15)


def test_shots_by_weight_are_fewer_and_the_report_says_so():
    """In proportion to the coefficients of each basis; other estimators have nothing to say."""
    backend = Exact()
    estimator = RouterEstimator(backend, options={"shot_allocation": "by_weight"})
    observable = {"ZZZ": 3.0, "XXX": 1.0, "III": 7.0}
    job = estimator.run([(ansatz(), observable, np.ones((2, 6)))], precision=0.1)
    assert job.result()[0].metadata["shots"] == 1200
    assert sorted((circuits, sent["shots"]) for circuits, sent in backend.jobs) == [
        (2, 400),
        (2, 1200),
    ]
    (note,) = job.report().notes
    assert "pub 0: 3200 shots over 4 circuits" in note
    assert "4000" in note
    assert "20%" in note
    assert note in str(job.report())
    assert job.report().to_dict()["notes"] == [note]
    plain = RouterEstimator(backend).run([(ansatz(), observable, np.ones(6))])
    plain.result()
    assert plain.report().notes == ()


def test_the_same_seed_gives_the_same_values():
    """To the last bit; another one gives others, and no two PUBs are alike."""
    pub = (ansatz(), HAMILTONIAN, np.linspace(0, 1, 6), 0.05)

    def run(seed):
        estimator = RouterEstimator(
            [
                Member(BasicSimulator(), name="a", limits=Limits(max_shots=170)),
                Member(BasicSimulator(), name="b"),
            ],
            policy=round_robin(),
            options={"seed_simulator": seed},
        )
        return [float(one.data.evs) for one in estimator.run([pub, pub]).result()]

    first = run(3)
    assert first == run(3)
    assert first != run(4)
    assert first[0] != first[1]


# -- fleets ----------------------------------------------------------------------------------------


# Aer says so of a backend without noise.
NO_NOISE = pytest.mark.filterwarnings("ignore:.*has no QubitProperties")


def unlike():
    """Return backends that a circuit has to be compiled for in different ways."""
    line, star = CouplingMap.from_line(5), CouplingMap([(0, q) for q in range(1, 6)])
    return [
        BasicSimulator(),
        GenericBackendV2(5, coupling_map=line, noise_info=False, seed=1),
        GenericBackendV2(
            6,
            basis_gates=["rz", "sx", "x", "ecr", "id"],
            coupling_map=star,
            noise_info=False,
            seed=2,
        ),
    ]


@NO_NOISE
def test_members_with_unlike_layouts_measure_the_same():
    """Line, star and all-to-all in one run, one of them failing half way."""
    first, second, third = unlike()
    failing = ScriptedBackend(second, [()], then=Fails(transient=False))
    fleet = Fleet(
        [
            Member(first, name="all", limits=Limits(max_circuits=3, max_in_flight=1)),
            Member(failing, name="line", limits=Limits(max_circuits=2, max_in_flight=1)),
            Member(third, name="star", limits=Limits(max_circuits=2, max_in_flight=1)),
        ]
    )
    circuit = QuantumCircuit(4)
    angles = ParameterVector("t", 4)
    for qubit in range(4):
        circuit.ry(angles[qubit], qubit)
    circuit.cx(0, 3)
    circuit.cx(3, 1)
    circuit.cx(2, 0)
    values = np.random.default_rng(0).uniform(-3, 3, (12, 1, 4))
    wanted = ["ZIII", "IXIZ", "YYII", {"ZZZZ": 1, "IIIZ": 0.5, "IIXX": 1}, "0+1-"]
    options = {"seed_simulator": 11, "default_precision": 0.02}
    estimator = RouterEstimator(fleet, policy=round_robin(), options=options)
    pub = (circuit, wanted, values)
    job = estimator.run([pub])
    data = job.result()[0].data
    assert (np.abs(data.evs - exact(pub)) <= 5 * data.stds + 2e-3).all()
    members = job.report().members
    assert all(members[name]["circuits"] for name in ("all", "star", "line"))
    assert members["line"]["failures"]


@NO_NOISE
def test_a_circuit_laid_out_for_a_target_works_as_with_qiskit():
    """With the observable mapped to its layout."""
    backend = unlike()[2]
    circuit = ansatz().assign_parameters(np.linspace(0.2, 1.3, 6))
    manager = generate_preset_pass_manager(
        2, backend=backend, initial_layout=[4, 0, 2], seed_transpiler=1
    )
    laid_out = manager.run(circuit)
    observable = HAMILTONIAN.apply_layout(laid_out.layout)
    estimator = RouterEstimator(backend, options={"seed_simulator": 1})
    data = estimator.run([(laid_out, observable)]).result()[0].data
    assert abs(data.evs - exact((circuit, HAMILTONIAN))) < 5 * data.stds


def test_measurements_of_the_circuit_itself_do_not_mix_in():
    """A circuit that measures already, into registers of its own."""
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [1, 0])
    data = RouterEstimator(BasicSimulator()).run([(circuit, ["IZ", "ZI"])]).result()[0].data
    assert data.evs.tolist() == [-1, 1]


def test_too_wide_for_all_is_told_before_anything_is_sent():
    """With every member's reason."""
    backend = GenericBackendV2(3, noise_info=False)
    with pytest.raises(PlanError, match="qubits"):
        RouterEstimator(backend).run([(QuantumCircuit(4), "ZZZZ")]).result()


# -- what has arrived ------------------------------------------------------------------------------


def test_a_partial_result_has_what_arrived_and_says_what_did_not():
    """nan where some basis has nothing yet, and the shots of what there is."""
    backend, gate = Exact(), threading.Event()
    reached = threading.Event()

    def hold(number):
        if number == 2:
            reached.set()
            gate.wait(20)

    backend.hold = hold
    member = Member(backend, limits=Limits(max_circuits=1, max_in_flight=1))
    circuit = ansatz()
    job = RouterEstimator(member).run(
        [(circuit, ["ZZZ", "XXX", "III", {"ZZZ": 1, "XXX": 1}], np.ones((2, 1, 6)), 0.1)]
    )
    assert reached.wait(20)
    part = job.partial_result()[0]
    received = part.metadata["received_shots"]
    assert received.shape == part.data.shape == (2, 4)
    assert np.array_equal(np.isnan(part.data.evs), received == 0)
    assert np.array_equal(np.isnan(part.data.stds), received == 0)
    assert (part.data.evs[:, 2] == 1).all()
    assert sorted(received[:, :2].ravel().tolist()) == [0, 0, 100, 100]
    gate.set()
    whole = job.result()[0]
    assert "received_shots" not in whole.metadata
    there = received > 0
    assert np.array_equal(part.data.evs[there], whole.data.evs[there])


def test_what_arrived_before_a_failure_is_kept():
    """In the error; or, where the policy says so, as the result."""

    def dying():
        script = ScriptedBackend(Exact(), [()], then=Fails(transient=False))
        return Member(script, limits=Limits(max_shots=60, max_in_flight=1))

    pub = (ansatz(), "ZZZ", np.ones(6), 0.1)
    with pytest.raises(RunError) as caught:
        RouterEstimator(dying()).run([pub]).result()
    result = RouterEstimator(dying(), policy=fastest(on_failure="partial")).run([pub]).result()
    for found in (caught.value.partial_result[0], result[0]):
        assert found.metadata["received_shots"].shape == ()
        assert 0 < found.metadata["received_shots"] < 100
        assert np.isfinite(found.data.evs)
        expected = math.sqrt((1 - found.data.evs**2) / found.metadata["received_shots"])
        assert found.data.stds == pytest.approx(expected)


def test_failover_keeps_what_was_done():
    """A member that dies half way: the rest is done elsewhere, nothing twice."""
    dying = ScriptedBackend(Exact(), [(), ()], then=Fails(transient=False))
    fleet = Fleet(
        [
            Member(dying, name="first", limits=Limits(max_circuits=2, max_in_flight=1)),
            Member(Exact(), name="second"),
        ]
    )
    pub = (ansatz(), HAMILTONIAN, np.linspace(0, 3, 30).reshape(5, 6), 0.02)
    job = RouterEstimator(fleet, policy=failover("first", "second")).run([pub])
    data = job.result()[0].data
    alone = RouterEstimator(Exact()).run([pub]).result()[0].data
    assert np.array_equal(data.evs, alone.evs)
    assert np.array_equal(data.stds, alone.stds)
    assert job.report().members["first"]["circuits"] == 4
