"""What ``RouterSampler`` promises to code that was written for Qiskit's ``BackendSamplerV2``."""

import copy
import pickle
import threading
import warnings
from dataclasses import dataclass, field
from math import pi, prod
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Delivered, MadeUp
from qiskit.circuit import (
    ClassicalRegister,
    Clbit,
    Measure,
    Parameter,
    QuantumCircuit,
    QuantumRegister,
    Qubit,
)
from qiskit.circuit.library import RXGate
from qiskit.primitives import (
    BackendSamplerV2,
    BasePrimitiveJob,
    BaseSamplerV2,
    BitArray,
    PrimitiveResult,
    SamplerPubResult,
    StatevectorSampler,
)
from qiskit.primitives.containers import DataBin
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.result import MeasReturnType
from qiskit.transpiler import Target
from small_circuits import bell

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import failover, fastest, least_busy, round_robin, weighted
from qiskit_gateway.primitives.sampler import SamplerOptions

# -- backends: real ones, in the form in which providers write theirs ------------------------------


class Local(MadeUp):
    """A backend with one gate, of any width, that computes what ``run`` returns."""

    defaults: ClassVar = {"shots": 1024, "memory": False, "seed_simulator": None}

    def __init__(self, name="local"):
        target = Target(num_qubits=None)
        target.add_instruction(RXGate(Parameter("angle")), name="rx")
        target.add_instruction(Measure(), name="measure")
        super().__init__(name, target)
        self.jobs = []

    def run(self, circuits, **options):
        self.jobs.append((list(circuits), options))
        shots = options["shots"]
        return Delivered(self, [self.data(c, **options) for c in circuits], shots)


class Flipper(Local):
    """Flips a qubit for each half turn that its circuit makes of it, without any chance."""

    def data(self, circuit, shots, **_):
        turns, bits = dict.fromkeys(range(circuit.num_qubits), 0.0), 0
        for gate in circuit.data:
            qubit = circuit.find_bit(gate.qubits[0]).index
            if gate.name == "rx":
                turns[qubit] += float(gate.params[0]) / pi
            else:
                bits |= (round(turns[qubit]) % 2) << circuit.find_bit(gate.clbits[0]).index
        return {"counts": {hex(bits): shots}, "memory": [hex(bits)] * shots}


class Kerneled(Local):
    """Returns a point for each bit: the number of the bit, and of the shot where not averaged."""

    defaults: ClassVar = {"shots": 1024, "memory": False, "meas_level": 2, "meas_return": "single"}

    def data(self, circuit, shots, meas_level=2, meas_return="single", **_):
        assert meas_level == 1
        slots = range(circuit.num_clbits)
        if meas_return in ("avg", "average"):
            return {"memory": [[slot, 0.5] for slot in slots]}
        return {"memory": [[[slot, shot] for slot in slots] for shot in range(shots)]}


class Recording(BasicSimulator):
    """Remembers how it was called."""

    def __init__(self):
        super().__init__()
        self.jobs = []

    def run(self, run_input, **options):
        self.jobs.append((list(run_input), options))
        return super().run(run_input, **options)

    @property
    def seeds(self):
        return [options.get("seed_simulator") for _, options in self.jobs]


class CountsOnly(BasicSimulator):
    """Has no memory, as most providers; its counts come sorted, as theirs do."""

    def run(self, run_input, **options):
        results = super().run(run_input, **options).result().results
        data = [{"counts": dict(sorted(result.data.counts.items()))} for result in results]
        return Delivered(self, data, options["shots"])


# -- circuits --------------------------------------------------------------------------------------


def coins(number=1):
    """Return a circuit of fair coins."""
    circuit = QuantumCircuit(number, number)
    circuit.h(range(number))
    circuit.measure(range(number), range(number))
    return circuit


def turned():
    """Return a circuit that measures the half turns of one parameter."""
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("angle"), 0)
    circuit.measure(0, 0)
    return circuit


BITS = 7


def numbered():
    """Return a circuit that writes a number into two registers, given its bits as angles."""
    circuit = QuantumCircuit(
        QuantumRegister(BITS), ClassicalRegister(3, "low"), ClassicalRegister(BITS - 3, "high")
    )
    for qubit in range(BITS):
        circuit.rx(Parameter(f"angle_{qubit}"), qubit)
    circuit.measure(range(BITS), range(BITS))
    return circuit


def angles(numbers):
    """Return the angles with which :func:`numbered` writes these numbers."""
    return pi * ((np.asarray(numbers)[..., None] >> np.arange(BITS)) & 1)


def two_registers():
    a, b = ClassicalRegister(1, "a"), ClassicalRegister(2, "b")
    circuit = QuantumCircuit(QuantumRegister(3), a, b)
    circuit.x(2)
    circuit.measure(range(3), [*a, *b])
    return circuit


def aliased():
    """Registers that share bits, one of them backwards and one with a gap."""
    bits = [Clbit() for _ in range(3)]
    circuit = QuantumCircuit([Qubit() for _ in range(3)], bits)
    for name, part in (("all", bits), ("back", bits[::-1]), ("gap", bits[::2])):
        circuit.add_register(ClassicalRegister(name=name, bits=part))
    circuit.x(0)
    circuit.measure(range(3), range(3))
    return circuit


def loose():
    """Bits before, between and after the registers that nobody reads."""
    bits = [Clbit() for _ in range(12)]
    circuit = QuantumCircuit(QuantumRegister(1), bits)
    circuit.add_register(ClassicalRegister(name="a", bits=bits[1:3]))
    circuit.add_register(ClassicalRegister(name="b", bits=bits[4:6]))
    circuit.x(0)
    circuit.measure([0] * 4, [0, 2, 4, 11])
    return circuit


def with_empty(position):
    """A register without bits, beside one of more than a byte."""
    registers = [ClassicalRegister(2, "a"), ClassicalRegister(9, "b")]
    registers.insert(position, ClassicalRegister(0, "none"))
    circuit = QuantumCircuit(QuantumRegister(1), *registers)
    circuit.x(0)
    circuit.measure([0, 0], [1, 10])
    return circuit


def crossed():
    """Measurements in an order of their own, into three registers."""
    sizes = {"a": 2, "b": 1, "c": 2}
    registers = [ClassicalRegister(size, name) for name, size in sizes.items()]
    circuit = QuantumCircuit(QuantumRegister(5), *registers)
    circuit.x([0, 1, 4])
    circuit.measure([0, 2, 3, 1, 4], range(5))
    return circuit


def unmeasured():
    circuit = QuantumCircuit(
        QuantumRegister(1), ClassicalRegister(2, "low"), ClassicalRegister(9, "high")
    )
    circuit.x(0)
    circuit.measure(0, circuit.cregs[1][3])
    return circuit


def never_measured():
    circuit = QuantumCircuit(1, 3)
    circuit.x(0)
    return circuit


def wide():
    """More bits than a machine word, in registers that begin and end anywhere."""
    registers = [ClassicalRegister(size, name) for name, size in (("a", 3), ("b", 66), ("c", 5))]
    circuit = QuantumCircuit(QuantumRegister(2), *registers)
    circuit.x(0)
    circuit.measure([bit % 3 % 2 for bit in range(74)], range(74))
    return circuit


def reused():
    """One bit written twice: what counts is what was measured last."""
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(0, 1)
    circuit.x(0)
    circuit.measure(0, 1)
    return circuit


REGISTERS = {
    "two": two_registers,
    "aliased": aliased,
    "loose": loose,
    "empty first": lambda: with_empty(0),
    "empty last": lambda: with_empty(2),
    "crossed": crossed,
    "unmeasured": unmeasured,
    "never measured": never_measured,
    "wide": wide,
}


# -- what can be compared --------------------------------------------------------------------------


def parts(data):
    """Return a data bin as plain data."""
    return {
        name: (bits.array.tolist(), bits.array.shape, bits.array.dtype, bits.num_bits)
        for name, bits in data.items()
    }


def samples(result):
    return [parts(pub.data) for pub in result]


def quiet(function, *arguments, **options):
    """Call a function without hearing of circuits that have no registers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **options)


@pytest.fixture
def backend():
    return BasicSimulator()


@pytest.fixture
def sampler(backend):
    return RouterSampler(backend)


@pytest.fixture
def stock(backend):
    return BackendSamplerV2(backend=backend)


# -- type, options ---------------------------------------------------------------------------------


def test_it_is_a_sampler(sampler):
    """It is a SamplerV2, and what it returns is Qiskit's own."""
    assert isinstance(sampler, BaseSamplerV2)
    job = sampler.run([bell()])
    assert isinstance(job, BasePrimitiveJob)
    result = job.result()
    assert type(result) is PrimitiveResult
    assert type(result[0]) is SamplerPubResult
    assert type(result[0].data) is DataBin
    assert type(result[0].data.meas) is BitArray


@pytest.mark.parametrize(
    "given",
    [
        lambda one, two: one,
        lambda one, two: Member(one),
        lambda one, two: Fleet([one, two]),
        lambda one, two: [one, Member(two)],
        lambda one, two: iter([one, two]),
    ],
    ids=["backend", "member", "fleet", "list", "iterator"],
)
def test_backends(given):
    """A fleet may be given in any form, and by the keyword too."""
    sampler = RouterSampler(backends=given(BasicSimulator(), BasicSimulator()))
    assert sampler.run([bell()], shots=10).result()[0].data.meas.num_shots == 10


def test_one_backend():
    """A backend may be given by the keyword of stock, so that only the class changes."""
    sampler = RouterSampler(backend=BasicSimulator(), options={"default_shots": 7})
    assert sampler.run([bell()]).result()[0].data.meas.num_shots == 7
    with pytest.raises(TypeError):
        RouterSampler()
    with pytest.raises(TypeError):
        RouterSampler(BasicSimulator(), backend=BasicSimulator())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "give either backends, .* or backend, .* got neither"),
        ("aer", "got 'aer'"),
        ([], "at least one"),
        ([1], "got 1"),
        (7, "got 7"),
        (BasicSimulator, "got .*BasicSimulator'"),
    ],
    ids=repr,
)
def test_no_backends(given, said):
    """What is no backend is refused at once, by what it is."""
    with pytest.raises((TypeError, ValueError), match=said):
        RouterSampler(given)


def test_backend_for_packages(backend):
    """Packages that know one backend find it where stock has it."""
    sampler = RouterSampler([backend, BasicSimulator()])
    assert sampler.backend is backend
    assert sampler._backend is backend


def test_no_backend_for_packages():
    """A fleet without any Qiskit backend has none to show, and says so as Python does."""

    @dataclass(eq=False)
    class Plain:
        name: str = "plain"
        limits: Limits = field(default_factory=Limits)
        pricing: object = lambda usage: 0.0
        weight: float = 1.0
        tags: frozenset = frozenset()
        fidelity: float | None = None
        overlaps: bool = True

        def refusal(self, program, shots, options):
            return ""

        async def submit(self, batch): ...
        async def collect(self, handle): ...
        async def cancel(self, handle): ...
        async def reattach(self, job_id): ...

    assert not hasattr(RouterSampler(Plain()), "backend")


def test_options(backend):
    """Options are those of stock, with its defaults, from a dict or the dataclass."""
    assert vars(RouterSampler(backend).options) == vars(BackendSamplerV2(backend=backend).options)
    given = {"default_shots": 7, "seed_simulator": 5, "run_options": {"memory_slots": 1}}
    assert vars(RouterSampler(backend, options=given).options) == given
    options = SamplerOptions(default_shots=7)
    assert RouterSampler(backend, options=options).options is options


@pytest.mark.parametrize(
    "options", [{"foo": 1}, {"default_shots": 5, "shots": 1}, 5, [("a", 1)], {3: 4}]
)
def test_unknown_options(backend, options):
    """Unknown options are refused, with the exception of stock."""
    with pytest.raises(TypeError):
        BackendSamplerV2(backend=backend, options=options)
    with pytest.raises(TypeError):
        RouterSampler(backend, options=options)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("default_shot", "did you mean 'default_shots'"),
        ("seed", "default_shots, seed_simulator, run_options"),
        ("dynamical_decoupling", "IBM's primitives.*put it into the circuits"),
        ("twirling", "IBM's primitives.*pass_manager"),
        ("execution", "IBM's primitives.*run_options"),
        ("environment", "IBM's primitives.*run_options"),
        ("max_execution_time", r"IBM's primitives.*Policy\(run_seconds"),
        ("resilience_level", "IBM's primitives.*not mitigated"),
        ("simulator", "IBM's primitives.*options.seed_simulator"),
    ],
)
def test_an_unknown_option_is_refused_wherever_it_is_set(backend, name, told):
    """A name that is no option is not taken in silence, when made or later; what to do is said."""
    with pytest.raises(TypeError, match=told):
        RouterSampler(backend, options={name: 5})
    with pytest.raises(AttributeError, match=told):
        setattr(RouterSampler(backend).options, name, 5)


@pytest.mark.parametrize("primitive", [RouterSampler, RouterEstimator])
def test_a_group_of_options_of_ibm_is_refused_where_it_is_read(backend, primitive):
    """``options.execution.init_qubits = True`` reads ``options.execution`` first."""
    options = primitive(backend).options
    with pytest.raises(AttributeError, match="run_options"):
        options.execution.init_qubits = True
    with pytest.raises(AttributeError, match=r"logging\.getLogger"):
        options.environment.log_level = "DEBUG"
    with pytest.raises(AttributeError, match="pass_manager"):
        options.dynamical_decoupling.enable = True
    with pytest.raises(AttributeError, match="not mitigated"):
        options.resilience.zne_mitigation = True
    with pytest.raises(AttributeError, match="each option by its name"):
        options.update(default_shots=5)
    with pytest.raises(AttributeError, match="did you mean 'run_options'"):
        _ = options.run_option
    assert not hasattr(options, "execution")
    assert copy.deepcopy(options) == pickle.loads(pickle.dumps(options)) == options  # noqa: S301


def test_an_option_of_none_is_the_default(backend):
    """``None`` stands for the default, given at once, set later, or in place of all options."""
    sampler = RouterSampler(backend, options={"default_shots": None})
    assert sampler.default_shots == 1024
    sampler.options.default_shots = 7
    sampler.options.default_shots = None
    assert sampler.run([bell()]).result()[0].metadata["shots"] == 1024


def test_a_keyword_of_ibm_is_told(backend):
    """Whoever comes from IBM's primitives reads what takes the place of ``mode``."""
    for primitive in (RouterSampler, RouterEstimator):
        with pytest.raises(TypeError, match="give backends="):
            primitive(mode=backend)
        with pytest.raises(TypeError, match="give backends="):
            primitive(mode=None)


def test_options_are_read_when_run_is_called():
    """Options may be changed at any time, and count for the runs that follow."""
    backend = Recording()
    sampler = RouterSampler(backend)
    sampler.options.default_shots = 11
    assert sampler.default_shots == 11
    first = sampler.run([bell()])
    sampler.options.default_shots = 12
    sampler.options.seed_simulator = 5
    assert first.result()[0].metadata["shots"] == 11
    assert sampler.run([bell()]).result()[0].metadata["shots"] == 12
    assert backend.seeds[0] is None
    assert backend.seeds[1] is not None


def test_shots_take_precedence(sampler):
    """The shots of a PUB beat those of the run, which beat the default."""
    sampler.options.default_shots = 5
    pubs = [bell(), (bell(), None, 9), SamplerPub(bell()), SamplerPub(bell(), shots=3)]
    shots = [pub.metadata["shots"] for pub in sampler.run(pubs).result()]
    assert shots == [5, 9, 5, 3]
    shots = [pub.data.meas.num_shots for pub in sampler.run(pubs, shots=7).result()]
    assert shots == [7, 9, 7, 3]


# -- what comes in ---------------------------------------------------------------------------------


BAD_RUNS = {
    "circuit alone": lambda run: run(bell()),
    "pub alone": lambda run: run((turned(), [1.0])),
    "nothing": lambda run: run(None),
    "number": lambda run: run([5]),
    "text": lambda run: run(["circuit"]),
    "no circuit": lambda run: run([(5, [1.0])]),
    "pub of none": lambda run: run([()]),
    "pub of four": lambda run: run([(turned(), [1.0], 10, 5)]),
    "values missing": lambda run: run([turned()]),
    "values too many": lambda run: run([(turned(), {"angle": 1, "b": 2})]),
    "values for none": lambda run: run([(bell(), [1.0])]),
    "values ragged": lambda run: run([(numbered(), [[1.0], [1.0, 2.0]])]),
    "values that are text": lambda run: run([(turned(), ["a"])]),
    "values that are complex": lambda run: run([(turned(), [1j])]),
    "shots 0": lambda run: run([bell()], shots=0),
    "shots below 0": lambda run: run([bell()], shots=-1),
    "shots as float": lambda run: run([bell()], shots=10.0),
    "shots as text": lambda run: run([bell()], shots="10"),
    "shots as bool": lambda run: run([bell()], shots=True),
    "shots of pub 0": lambda run: run([(bell(), None, 0)]),
    "shots of pub as float": lambda run: run([(bell(), None, 10.0)]),
    "shots of pub as bool": lambda run: run([(bell(), None, True)]),
    "second pub": lambda run: run([bell(), (bell(), None, -1)]),
}


def error_of(sampler, misuse):
    try:
        job = misuse(sampler.run)
    except Exception as error:  # noqa: BLE001  Whatever it is, the other must have the same.
        return type(error)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        job.result()
    return caught.type


@pytest.mark.parametrize("misuse", BAD_RUNS.values(), ids=BAD_RUNS)
def test_bad_input(backend, misuse):
    """What stock refuses is refused from run(), with an exception of the same type."""
    expected = error_of(BackendSamplerV2(backend=backend), misuse)
    with pytest.raises(expected) as caught:
        misuse(RouterSampler(Recording()).run)
    assert caught.type is expected


def test_bad_input_costs_nothing():
    """Nothing is sent where one PUB of a run is bad."""
    backend = Recording()
    with pytest.raises(ValueError, match="shots"):
        RouterSampler(backend).run([bell(), (bell(), None, 0)])
    assert not backend.jobs


def test_values_of_another_circuit(sampler):
    """Values for a parameter that the circuit does not have are refused before anything runs."""
    with pytest.raises(ValueError, match="other"):
        sampler.run([(turned(), {"other": 1.0})])


@pytest.mark.parametrize("value", [np.nan, np.inf, None])
def test_values_that_are_no_angles(sampler, value):
    """A value that no gate can turn by is refused before anything runs."""
    with pytest.raises(ValueError, match="finite"):
        sampler.run([(turned(), [value])])


@pytest.mark.parametrize(
    "values",
    [
        [[pi], [0]],
        np.array([[pi], [0.0]], dtype=np.float32),
        {"angle": [pi, 0]},
        {("angle",): [[pi], [0]]},
        BindingsArray({"angle": [pi, 0]}),
    ],
    ids=["list", "float32", "by name", "by names", "bindings"],
)
def test_forms_of_values(sampler, values):
    """Values may be given in every form that Qiskit takes."""
    data = sampler.run([(turned(), values, 5)]).result()[0].data
    assert data.c.get_counts(0) == {"1": 5}
    assert data.c.get_counts(1) == {"0": 5}


def test_order_of_parameters(sampler):
    """A plain array of values is in the order of ``circuit.parameters``, not of first use."""
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("b"), 0)
    circuit.rx(Parameter("a"), 1)
    circuit.measure_all()
    data = sampler.run([(circuit, [pi, 0]), (circuit, {"b": pi, "a": 0})], shots=5).result()
    assert [pub.data.meas.get_counts() for pub in data] == [{"10": 5}, {"01": 5}]


def test_pubs_are_any_iterable(sampler):
    """PUBs are consumed once, from whatever they come."""
    result = sampler.run(iter([bell(), (bell(),), (bell(), None, 5)]), shots=3).result()
    assert [pub.metadata["shots"] for pub in result] == [3, 3, 5]


def test_no_pubs(sampler, stock):
    """A run of nothing has a result of nothing."""
    result = sampler.run([]).result()
    assert len(result) == len(stock.run([]).result()) == 0
    assert result.metadata == {"version": 2}


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_rows(sampler, shape):
    """A PUB without rows has a result without rows, and nothing is run for it."""
    values = BindingsArray({"angle": np.zeros(shape)})
    data = sampler.run([(turned(), values), bell()], shots=4).result()[0].data
    assert data.shape == shape
    assert data.c.array.shape == (*shape, 4, 1)


def test_circuits_are_not_touched(sampler):
    """Neither the circuit nor the values of a PUB are changed, and its metadata are its own."""
    circuit, values = numbered(), angles([[1, 2], [3, 4]])
    circuit.metadata = {"mine": 1}
    circuit_before, values_before = circuit.copy(), values.copy()
    sampler.run([(circuit, values), (circuit, values)], shots=3).result()
    assert circuit == circuit_before
    assert circuit.metadata == {"mine": 1}
    assert np.array_equal(values, values_before)


def test_circuits_with_calibrated_names_and_phase(sampler):
    """A global phase and odd names of registers and circuit do not matter."""
    circuit = QuantumCircuit(
        QuantumRegister(1, "ψ"),
        ClassicalRegister(1, "größe"),
        name="a circuit; -- ",
        global_phase=1,
    )
    circuit.rx(Parameter("θ[0]"), 0)
    circuit.measure(0, 0)
    data = sampler.run([(circuit, [pi])], shots=3).result()[0].data
    assert data["größe"].get_counts() == {"1": 3}


@pytest.mark.parametrize(
    "name", ["shape", "size", "ndim", "keys", "values", "items", "self", "_data"]
)
def test_names_that_a_result_cannot_have(name):
    """A register that no result can hold is refused before anything runs."""
    backend = Recording()
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(1, name))
    circuit.measure(0, 0)
    with pytest.raises(ValueError, match="rename"):
        RouterSampler(backend).run([bell(), circuit])
    assert not backend.jobs


@pytest.mark.parametrize("option", ["shots", "memory", "seed_simulator", "parameter_binds"])
def test_run_options_of_the_router(backend, option):
    """What the router says to a backend itself is no option of the user's."""
    sampler = RouterSampler(backend, options={"run_options": {option: 1}})
    with pytest.raises(TypeError, match=option):
        sampler.run([bell()])


def test_run_options_reach_the_backend():
    """The user's options of ``backend.run`` are sent along, and no others but what it knows."""
    backend = Recording()
    options = {"initial_statevector": np.array([0, 1])}
    RouterSampler(backend, options={"run_options": options}).run(
        [turned().assign_parameters([0])], shots=3
    ).result()
    (_, sent), *_ = backend.jobs
    assert sent.keys() == {"shots", "memory", "initial_statevector"}
    assert type(sent["shots"]) is int


@pytest.mark.parametrize("seed", [2.5, "a", [1]])
def test_seeds_that_are_none(backend, seed):
    """A seed that no random generator takes is refused at once."""
    sampler = RouterSampler(backend, options={"seed_simulator": seed})
    with pytest.raises(TypeError, match="seed_simulator"):
        sampler.run([bell()])


@pytest.mark.parametrize("seed", [0, -1, True, 2**40, np.int64(5)])
def test_seeds(backend, seed):
    """Any integer is a seed, whatever its type and sign."""
    sampler = RouterSampler(backend, options={"seed_simulator": seed})
    assert sampler.run([bell()], shots=5).result()[0].data.meas.num_shots == 5


# -- what comes out --------------------------------------------------------------------------------


def test_metadata(sampler, stock):
    """Metadata equal those of stock, with nothing added; the circuit's are the very same object."""
    circuit = bell()
    circuit.metadata = {"mine": {"deep": [1]}}
    pubs = [(circuit, None, 10), (turned(), [[0], [1]])]
    result, expected = sampler.run(pubs).result(), stock.run(pubs).result()
    assert result.metadata == expected.metadata == {"version": 2}
    assert [pub.metadata for pub in result] == [pub.metadata for pub in expected]
    assert result[0].metadata["circuit_metadata"] is circuit.metadata


@pytest.mark.parametrize("shots", [np.int64(10), np.uint8(10), np.int32(10)], ids=repr)
def test_shots_of_numpy(sampler, shots):
    """Integers of numpy are shots, in the run and in a PUB."""
    for result in (sampler.run([bell()], shots=shots), sampler.run([(bell(), None, shots)])):
        assert result.result()[0].data.meas.num_shots == 10
        assert result.result()[0].metadata["shots"] == 10


def test_shots_differ_in_one_run(sampler):
    """PUBs of unlike shots get each their own, in their own order."""
    shots = [10, 20, 10, 1, 1000, 20]
    result = sampler.run([(bell(), None, number) for number in shots]).result()
    assert [pub.data.meas.num_shots for pub in result] == shots
    assert [sum(pub.data.meas.get_counts().values()) for pub in result] == shots


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (1, 2, 1, 2)])
def test_shapes(sampler, shape):
    """A result has the shape of its PUB, and every value is where its parameters are."""
    numbers = np.arange(prod(shape)).reshape(shape) + 3
    pub = sampler.run([(numbered(), angles(numbers))], shots=5).result()[0]
    assert pub.data.shape == pub.data.low.shape == shape
    assert pub.data.low.array.shape == (*shape, 5, 1)
    assert pub.data.low.array.dtype == np.uint8
    found = pub.data.low.array + 8 * pub.data.high.array
    assert np.array_equal(found[..., 0], np.repeat(numbers[..., None], 5, axis=-1))


def test_shape_without_parameters(sampler):
    """A PUB may have a shape though its circuit has no parameters."""
    bindings = BindingsArray(shape=(2, 3))
    data = sampler.run([SamplerPub(bell(), bindings, shots=64)]).result()[0].data
    assert data.meas.shape == (2, 3)
    assert len({row.tobytes() for row in data.meas.array.reshape(6, -1)}) == 6


@pytest.mark.parametrize("make", REGISTERS.values(), ids=REGISTERS)
def test_registers(sampler, make):
    """Registers are those of the circuit, in its order, each with its own bits.

    Stock is wrong about most of these; Qiskit's reference is right.
    """
    circuit = make()
    result = sampler.run([circuit], shots=3).result()[0]
    if circuit.num_clbits < 64:
        expected = StatevectorSampler().run([circuit], shots=3).result()[0]
        assert parts(result.data) == parts(expected.data)
    assert list(result.data) == [register.name for register in circuit.cregs]
    for register in circuit.cregs:
        bits = result.data[register.name]
        assert bits.num_bits == register.size
        assert bits.array.shape == (3, -(-register.size // 8))


def test_more_bits_than_a_word(sampler):
    """Registers of more than 64 bits, across the borders of bytes, lose none."""
    data = sampler.run([wide()], shots=3).result()[0].data
    written = "".join("10"[bit % 3 % 2] for bit in range(74))
    assert data.a.get_bitstrings() == [written[:3][::-1]] * 3
    assert data.b.get_bitstrings() == [written[3:69][::-1]] * 3
    assert data.c.get_bitstrings() == [written[69:][::-1]] * 3


def test_measured_in_the_middle(sampler):
    """A bit holds what was measured into it last."""
    data = sampler.run([reused()], shots=5).result()[0].data
    assert data.c.get_counts() == {"01": 5}


def test_measured_in_the_middle_by_chance(sampler):
    """What is measured in the middle of a circuit agrees, shot by shot, with what follows."""
    circuit = QuantumCircuit(
        QuantumRegister(1), ClassicalRegister(1, "first"), ClassicalRegister(1, "then")
    )
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    data = sampler.run([circuit], shots=200).result()[0].data
    assert np.array_equal(data.first.array, 1 - data.then.array)
    assert 0 < data.first.array.sum() < 200


@pytest.mark.parametrize("kind", [BasicSimulator, CountsOnly])
def test_registers_keep_their_shots_together(kind):
    """One shot is one row in every register, whatever the provider returns."""
    circuit = QuantumCircuit(
        QuantumRegister(2), ClassicalRegister(1, "a"), ClassicalRegister(1, "b")
    )
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    fleet = Fleet([Member(kind(), limits=Limits(max_shots=30)) for _ in range(2)])
    result = RouterSampler(fleet).run([circuit], shots=500).result()[0]
    assert np.array_equal(result.data.a.array, result.data.b.array)
    assert result.join_data().get_counts().keys() == {"00", "11"}


def test_join_data(sampler):
    """Registers are joined with the first at the least significant end."""
    joined = sampler.run([crossed()], shots=3).result()[0].join_data()
    assert joined.get_counts() == {"11001": 3}
    assert joined.num_bits == 5


def test_no_registers(sampler, stock):
    """A circuit without registers is warned of as by stock, and its result is empty."""
    circuit = QuantumCircuit(1)
    with pytest.warns(UserWarning, match="no output classical registers") as expected:
        stock.run([bell(), circuit]).result()
    with pytest.warns(UserWarning, match="no output classical registers") as heard:
        result = sampler.run([bell(), circuit]).result()
    assert [str(one.message) for one in heard] == [str(one.message) for one in expected]
    assert heard[0].filename == __file__
    assert len(result[1].data) == 0
    assert result[1].metadata["shots"] == 1024


def test_no_registers_but_bits(sampler):
    """Loose bits alone make an empty result too."""
    circuit = QuantumCircuit([Qubit()], [Clbit()])
    circuit.measure(0, 0)
    result = quiet(sampler.run, [circuit], shots=3).result()
    assert len(result[0].data) == 0


def test_what_is_known_costs_nothing(backend):
    """Where no bit that is read is ever written the result is zeros, and nothing is sent for it."""
    unread = QuantumCircuit([Qubit()], [Clbit()])
    unread.measure(0, 0)
    unread.add_register(ClassicalRegister(2, "c"))
    script = ScriptedBackend(backend, then=Fails(transient=False))
    circuits = [never_measured(), unread, with_empty(0).copy_empty_like(), QuantumCircuit(1)]
    job = quiet(RouterSampler(script).run, circuits, shots=3)
    for pub, circuit in zip(job.result(), circuits, strict=True):
        assert list(pub.data) == [register.name for register in circuit.cregs]
        assert not any(bits.array.any() for bits in pub.data.values())
        assert all(bits.num_shots == 3 for bits in pub.data.values())
    assert not job.report().attempts


def test_as_stock(sampler, stock):
    """Where stock is right the results are equal in every part."""
    pubs = [
        (two_registers(), None, 3),
        (numbered(), angles([[5, 6, 7], [8, 9, 10]]), 4),
        (crossed(), None, 3),
        (turned(), {"angle": [0, pi]}, 2),
    ]
    result, expected = sampler.run(pubs).result(), stock.run(pubs).result()
    assert samples(result) == samples(expected)
    assert [pub.metadata for pub in result] == [pub.metadata for pub in expected]


def test_results_are_separate(sampler):
    """Writing into one result changes no other, of this run or of the same job asked again."""
    job = sampler.run([never_measured(), never_measured()], shots=3)
    job.result()[0].data.c.array[:] = 7
    assert not job.result()[1].data.c.array.any()
    assert not sampler.run([never_measured()], shots=3).result()[0].data.c.array.any()


@pytest.mark.filterwarnings("ignore:.*(no QubitProperties|no noise|BasicSimulator)")
def test_generic_backend():
    """A device with a coupling map runs abstract circuits and those laid out for it."""
    from qiskit import transpile

    backend = GenericBackendV2(5, coupling_map=[[0, 1], [1, 2], [2, 3], [3, 4]], noise_info=False)
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.measure_all()
    laid_out = transpile(circuit, backend, initial_layout=[4, 2, 0], seed_transpiler=0)
    for pub in RouterSampler(backend).run([circuit, laid_out], shots=100).result():
        assert pub.data.meas.get_counts().keys() == {"000", "111"}


# -- kerneled data ---------------------------------------------------------------------------------


def kerneled(**options):
    return RouterSampler(Kerneled(), options={"run_options": {"meas_level": 1, **options}})


@pytest.mark.parametrize("returned", [{}, {"meas_return": "single"}])
def test_kerneled_shots(returned):
    """Level 1 gives complex numbers of shape ``shape + (shots, slots)``."""
    pub = kerneled(**returned).run([(numbered(), angles([[1, 2, 3]]))], shots=5).result()[0]
    expected = np.arange(BITS) + 1j * np.arange(5)[:, None]
    assert pub.data.low.shape == (1, 3, 5, 3)
    assert pub.data.low.dtype == np.complex128
    assert np.array_equal(pub.data.low[0, 1], expected[:, :3])
    assert np.array_equal(pub.data.high[0, 2], expected[:, 3:])


@pytest.mark.parametrize("returned", ["avg", MeasReturnType.AVERAGE])
def test_kerneled_averages(returned):
    """Averaged, level 1 gives complex numbers of shape ``shape + (slots,)``."""
    sampler = kerneled(meas_return=returned)
    pub = sampler.run([(numbered(), angles([1, 2]))], shots=5).result()[0]
    assert pub.data.high.shape == (2, BITS - 3)
    assert np.allclose(pub.data.high[1], np.arange(3, BITS) + 0.5j)
    assert pub.metadata["shots"] == 5


@pytest.mark.parametrize("returned", ["single", "avg"])
def test_kerneled_as_stock(returned):
    """With one register, level 1 is what stock gives."""
    options = {"run_options": {"meas_level": 1, "meas_return": returned}}
    circuit = QuantumCircuit(2, 2)
    circuit.rx(Parameter("angle"), 0)
    circuit.measure([0, 1], [0, 1])
    pubs = [(circuit, [[1], [2]]), (circuit, [3])]
    results = [
        sampler.run(pubs, shots=4).result()
        for sampler in (
            RouterSampler(Kerneled(), options=options),
            BackendSamplerV2(backend=Kerneled(), options=options),
        )
    ]
    for ours, expected in zip(*results, strict=True):
        assert ours.data.c.dtype == expected.data.c.dtype
        assert np.allclose(ours.data.c, expected.data.c, rtol=0, atol=1e-12)
        assert ours.metadata == expected.metadata


def test_kerneled_averages_of_cut_shots():
    """Averages of jobs of unlike sizes count by their shots."""

    class Sized(Kerneled):
        def data(self, circuit, shots, **_):
            return {"memory": [[shots, 0]] * circuit.num_clbits}

    options = {"run_options": {"meas_level": 1, "meas_return": "avg"}}
    member = Member(Sized(), limits=Limits(max_shots=4))
    result = RouterSampler(member, options=options).run([turned().assign_parameters([1])], shots=10)
    jobs = [job[1]["shots"] for job in member.backend.jobs] if result.result() else []
    assert sum(jobs) == 10
    assert np.allclose(result.result()[0].data.c, sum(shots**2 for shots in jobs) / 10)


def test_no_such_level(backend):
    """A level that no sampler has is refused before anything runs; None is that of bits."""
    with pytest.raises(ValueError, match="meas_level"):
        RouterSampler(backend, options={"run_options": {"meas_level": 0}}).run([bell()])
    sampler = RouterSampler(backend, options={"run_options": {"meas_level": None}})
    assert sampler.run([bell()], shots=5).result()[0].data.meas.num_shots == 5


# -- chance ----------------------------------------------------------------------------------------


def test_the_same_circuit_gives_independent_samples(sampler):
    """The same circuit in several PUBs and rows is run for each of them anew."""
    circuit = coins(6)
    result = sampler.run([circuit, circuit, (circuit, None, 64)], shots=64).result()
    assert len({pub.data.c.array.tobytes() for pub in result}) == 3


def fleet_of(kind, *limits):
    return Fleet([Member(kind(), name=f"m{i}", limits=limit) for i, limit in enumerate(limits)])


SEEDED_PUBS = [(coins(6), None, 40), (coins(3), None, 25), (coins(6), None, 40)]


@pytest.mark.parametrize("kind", [BasicSimulator, CountsOnly])
@pytest.mark.parametrize("limits", [[Limits()], [Limits(max_shots=15), Limits(max_circuits=1)]])
def test_seeds_repeat(kind, limits):
    """With a seed, the same input gives the same result on one fleet and on an equal one."""
    circuit = turned()
    pubs = [*SEEDED_PUBS, (circuit, np.linspace(0, pi, 9)[:, None], 30)]
    seeded = {"seed_simulator": 11}
    fleet = fleet_of(kind, *limits)
    one, two = (RouterSampler(fleet, options=seeded) for _ in range(2))
    other = RouterSampler(fleet_of(kind, *limits), options=seeded)
    first = samples(one.run(pubs).result())
    assert samples(one.run(pubs).result()) == first
    assert samples(two.run(pubs).result()) == first
    assert samples(other.run(pubs).result()) == first
    assert samples(RouterSampler(fleet, options={"seed_simulator": 12}).run(pubs).result()) != first


def test_seeds_repeat_under_load():
    """With a seed, it makes no difference what else runs on the fleet."""
    fleet = fleet_of(BasicSimulator, Limits(max_shots=15), Limits(max_circuits=1), Limits())
    pubs = [(turned(), np.linspace(0, pi, 20)[:, None], 30), *SEEDED_PUBS]
    jobs = [RouterSampler(fleet, options={"seed_simulator": 3}).run(pubs) for _ in range(6)]
    jobs += [RouterSampler(fleet).run(pubs) for _ in range(3)]
    first, *others = (samples(job.result()) for job in jobs[:6])
    assert all(other == first for other in others)
    assert all(job.report().reproducible for job in jobs[:6])
    assert not jobs[6].report().reproducible


def test_shards_have_seeds_of_their_own():
    """No two jobs of a run get the same seed, so that no two parts of it are alike."""
    backend = Recording()
    member = Member(backend, limits=Limits(max_circuits=2, max_shots=100))
    sampler = RouterSampler(member, options={"seed_simulator": 7})
    result = sampler.run([(coins(6), None, 200)] * 6).result()
    assert len(backend.jobs) == 6
    assert len(set(backend.seeds)) == 6
    halves = [half.tobytes() for pub in result for half in np.split(pub.data.c.array, 2)]
    assert len(set(halves)) == 12


def test_seeds_are_numbers_for_simulators():
    """Seeds are plain integers of 31 bits, however large the user's is."""
    backend = Recording()
    RouterSampler(backend, options={"seed_simulator": 2**70 + 5}).run([bell()]).result()
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in backend.seeds)


def test_no_seed():
    """Without a seed none is sent, and two runs differ."""
    backend = Recording()
    sampler = RouterSampler(backend)
    first, second = (sampler.run([coins(6)], shots=100).result() for _ in range(2))
    assert samples(first) != samples(second)
    assert backend.seeds == [None, None]


@pytest.mark.parametrize("max_shots", [None, 500])
def test_counts_become_exchangeable_shots(max_shots):
    """Where only counts are known the shots are shuffled: no part of them differs from another.

    The seed is fixed, so this passes always or never.
    """
    member = Member(CountsOnly(), limits=Limits(max_shots=max_shots))
    sampler = RouterSampler(member, options={"seed_simulator": 2})
    bits = sampler.run([coins(1)], shots=4000).result()[0].data.c.array[:, 0].astype(float)
    sigma = 0.5 / np.sqrt(500)
    assert abs(bits.reshape(8, 500).mean(axis=1) - 0.5).max() < 4 * sigma
    for lag in (1, 2, 7):
        correlation = np.corrcoef(bits[:-lag], bits[lag:])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(4000)


def test_memory_keeps_its_order():
    """Where the provider knows the order of the shots it is kept."""
    backend = BasicSimulator()
    options = {"seed_simulator": 4}
    bits = RouterSampler(backend, options=options).run([coins(3)], shots=50).result()[0].data.c
    recorder = Recording()
    RouterSampler(recorder, options=options).run([coins(3)], shots=50).result()
    (_, sent), *_ = recorder.jobs
    memory = backend.run([coins(3)], **sent).result().get_memory(0)
    assert bits.get_bitstrings() == memory


# -- cuts ------------------------------------------------------------------------------------------


def test_cuts_by_max_circuits():
    """No job has more circuits than its backend takes, as that tells itself."""

    class Small(Recording):
        @property
        def max_circuits(self):
            return 4

    backend = Small()
    numbers = np.arange(11)
    data = RouterSampler(backend).run([(numbered(), angles(numbers))], shots=3).result()[0].data
    assert [len(circuits) for circuits, _ in backend.jobs] == [4, 4, 3]
    assert np.array_equal((data.low.array + 8 * data.high.array)[:, 0, 0], numbers)


def test_shots_below_what_a_member_takes():
    """Work that is too small for a member goes to another, or is refused with the reason."""
    coarse = Member(Recording(), name="coarse", limits=Limits(min_shots=100))
    fine = Member(Recording(), name="fine")
    result = RouterSampler([coarse, fine], policy=round_robin()).run([(bell(), None, 10)] * 4)
    assert all(pub.data.meas.num_shots == 10 for pub in result.result())
    assert not coarse.backend.jobs
    with pytest.raises(PlanError, match="at least 100 shots"):
        RouterSampler(coarse).run([bell()], shots=10).result()


@dataclass(frozen=True)
class Case:
    """A run to be cut: shape and shots of each PUB, limits of each member, policy and seed."""

    pubs: list
    limits: list
    policy: object
    seed: int | None


@st.composite
def limits(draw, fewest):
    most = draw(st.none() | st.integers(1, 12))
    least = draw(st.none() | st.integers(1, min(fewest, most or fewest)))
    circuits = draw(st.none() | st.integers(1, 5))
    flying = draw(st.none() | st.integers(1, 3))
    return Limits(max_circuits=circuits, max_shots=most, min_shots=least, max_in_flight=flying)


@st.composite
def cases(draw):
    shapes = st.lists(st.integers(0, 4), max_size=2).map(tuple)
    pubs = draw(st.lists(st.tuples(shapes, st.integers(1, 30)), min_size=1, max_size=4))
    fewest = min(shots for _, shots in pubs)
    preset = draw(st.sampled_from([fastest, round_robin, weighted, least_busy, failover]))
    return Case(
        pubs=pubs,
        limits=draw(st.lists(limits(fewest), min_size=1, max_size=3)),
        policy=preset(spread=draw(st.sampled_from(["rows", "shots", "pubs"]))),
        seed=draw(st.none() | st.integers(0, 100)),
    )


@settings(max_examples=120, deadline=None)
@given(cases())
def test_cuts_do_not_show(case):
    """However the work is cut, every row has exactly its shots, and they are its own."""
    circuit = numbered()
    starts = np.cumsum([0, *(prod(shape) for shape, _ in case.pubs)])
    numbers = [
        np.arange(start, start + prod(shape)).reshape(shape)
        for start, (shape, _) in zip(starts, case.pubs, strict=False)
    ]
    fleet = fleet_of(Flipper, *case.limits)
    sampler = RouterSampler(fleet, policy=case.policy, options={"seed_simulator": case.seed})
    job = sampler.run(
        [
            (circuit, angles(number), shots)
            for number, (_, shots) in zip(numbers, case.pubs, strict=True)
        ]
    )
    for pub, number, (shape, shots) in zip(job.result(), numbers, case.pubs, strict=True):
        found = pub.data.low.array + 8 * pub.data.high.array
        assert found.shape == (*shape, shots, 1)
        assert np.array_equal(found[..., 0], np.repeat(number[..., None], shots, axis=-1))
        assert pub.metadata == {"shots": shots, "circuit_metadata": {}}
    for member in fleet:
        for circuits, options in member.backend.jobs:
            assert 1 <= len(circuits) <= (member.limits.max_circuits or len(circuits))
            assert (member.limits.min_shots or 1) <= options["shots"]
            assert options["shots"] <= (member.limits.max_shots or options["shots"])


def test_progress_counts_what_was_cut():
    """The report accounts for exactly the shots of the run, whoever did them."""
    fleet = fleet_of(Flipper, Limits(max_shots=7), Limits(max_circuits=2), Limits())
    job = RouterSampler(fleet, policy=round_robin()).run([(numbered(), angles(range(30)), 20)] * 2)
    job.result()
    done = job.report().members
    assert sum(member["shots"] for member in done.values()) == 2 * 30 * 20
    assert done.keys() == set(fleet.names)
    progress = job.progress()
    assert progress.shots_done == progress.shots == 2 * 30 * 20
    assert progress.circuits_done == progress.circuits == 60


def test_many_threads():
    """Several threads may use one sampler at once."""
    sampler = RouterSampler(fleet_of(Flipper, Limits(max_circuits=3), Limits()))
    wrong = []

    def use(number):
        for _ in range(5):
            data = sampler.run([(numbered(), angles([number, 127 - number]))], shots=3).result()[0]
            found = (data.data.low.array + 8 * data.data.high.array)[:, 0, 0].tolist()
            if found != [number, 127 - number]:
                wrong.append((number, found))

    threads = [threading.Thread(target=use, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- over Aer --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aer():
    return pytest.importorskip("qiskit_aer").AerSimulator(max_parallel_threads=1)


@pytest.mark.providers
def test_aer_seeds(aer):
    """On a simulator that honours seeds, cut or not, a run repeats; its rows are independent."""
    fleets = [[aer], fleet_of(lambda: aer, *[Limits(max_circuits=2, max_shots=50)] * 2)]
    pubs = [(turned(), [[pi / 2]] * 6, 64), (coins(6), None, 64), (coins(6), None, 64)]
    for fleet in fleets:
        sampler = RouterSampler(fleet, options={"seed_simulator": 5})
        first = sampler.run(pubs).result()
        assert samples(sampler.run(pubs).result()) == samples(first)
        assert len({row.tobytes() for row in first[0].data.c.array}) == 6
        assert not np.array_equal(first[1].data.c.array, first[2].data.c.array)


@pytest.mark.providers
def test_aer_with_stock(aer):
    """Deterministic circuits give what stock gives, parameters, control flow and all."""
    dynamic = QuantumCircuit(2, 2)
    dynamic.x(0)
    dynamic.measure(0, 0)
    with dynamic.if_test((dynamic.clbits[0], 1)):
        dynamic.x(1)
    dynamic.measure(1, 1)
    controlled = QuantumCircuit(2, 2)
    controlled.x(0)
    controlled.crx(Parameter("angle"), 0, 1)
    controlled.measure([0, 1], [0, 1])
    pubs = [
        (dynamic, None, 5),
        (controlled, [[0], [pi], [2 * pi]], 5),
        (numbered(), angles([[1, 2], [3, 4]]), 5),
        (two_registers(), None, 3),
    ]
    ours = RouterSampler(aer).run(pubs).result()
    expected = BackendSamplerV2(backend=aer).run(pubs).result()
    assert samples(ours) == samples(expected)


@pytest.mark.providers
def test_aer_options(aer):
    """Options of the simulator reach it."""
    options = {"run_options": {"method": "stabilizer"}}
    circuit = QuantumCircuit(2)
    circuit.t(0)
    circuit.measure_all()
    # Aer refuses the gate for that method, and so shows that it was told.
    with pytest.raises(Exception, match=r"(?i)stabilizer|method|nothing was sent|not done"):
        RouterSampler(aer, options=options).run([circuit], shots=3).result()
    assert RouterSampler(aer).run([circuit], shots=3).result()[0].data.meas.num_shots == 3


@pytest.mark.providers
def test_aer_wide(aer):
    """A stabilizer state of 100 qubits comes back whole, in all its registers."""
    registers = [ClassicalRegister(size, name) for name, size in (("a", 30), ("b", 65), ("c", 5))]
    circuit = QuantumCircuit(QuantumRegister(100), *registers)
    circuit.h(0)
    for qubit in range(99):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(100), range(100))
    sampler = RouterSampler(type(aer)(method="stabilizer"))
    joined = sampler.run([circuit], shots=50).result()[0].join_data()
    assert joined.get_counts().keys() == {"0" * 100, "1" * 100}
