"""Members over backends that are odd, and right all the same."""

from copy import copy
from dataclasses import dataclass
from typing import ClassVar

import pytest
from made_up import Delivered, MadeUp
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2, Options
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import Target
from small_circuits import ones

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import Adaptation, BackendError, Limits, Member, Pricing, check_backend
from qiskit_gateway.policies import RetryPolicy, fastest, round_robin

TARGET = GenericBackendV2(3, seed=1).target
# Whose jobs are, since the backends here may not tell their name.
HOST = BasicSimulator()


def counts(job):
    """Return what a job counted in each PUB."""
    return [pub.data.meas.get_counts() for pub in job.result(timeout=120)]


class Ones(MadeUp):
    """A backend that answers all ones to every circuit, and keeps its jobs."""

    def __init__(self, name="ones", target=TARGET):
        super().__init__(name, target)
        self.jobs = []

    def run(self, circuits, **options):
        circuits = circuits if isinstance(circuits, list) else [circuits]
        data = [{"counts": {hex(2**one.num_clbits - 1): options["shots"]}} for one in circuits]
        self.jobs.append(Delivered(HOST, data, options["shots"]))
        return self.jobs[-1]


@dataclass
class Equal(Ones):
    """Backends that are all equal, so that none has a hash."""

    label: str = "same"

    def __post_init__(self):
        Ones.__init__(self, self.label)


class Incomparable(Ones):
    """A backend that can neither be compared nor be asked whether it is true."""

    __hash__ = None

    def __eq__(self, _):
        raise RuntimeError("compared")

    def __bool__(self):
        raise RuntimeError("asked for its truth")

    def __len__(self):
        raise RuntimeError("asked for its length")


class Slotted:
    """A backend without a dictionary and without weak references, by registration."""

    __slots__ = ("jobs", "max_circuits", "name", "num_qubits", "options", "target")

    def __init__(self):
        self.name, self.target, self.jobs = "slotted", TARGET, []
        self.options, self.max_circuits, self.num_qubits = Options(shots=1024), None, 3

    run = Ones.run


BackendV2.register(Slotted)


@pytest.mark.parametrize("kind", [Equal, Incomparable, Slotted])
def test_a_backend_is_known_by_identity(kind):
    """It needs no hash, equality, truth or weak reference; equal ones are two all the same."""
    pair = [kind(), kind()]
    job = RouterSampler(pair, policy=round_robin()).run([ones()] * 4, shots=10)
    assert counts(job) == [{"1": 10}] * 4
    assert [len(backend.jobs) for backend in pair] == [2, 2]
    bare = ones().remove_final_measurements(inplace=False)
    assert RouterEstimator(pair[0]).run([(bare, "Z")]).result(timeout=120)[0].data.evs == -1


def test_members_over_one_backend_take_turns_on_it():
    """Turns are found by the backend object, and another object never inherits them."""
    backend = Equal()
    first, second, other = Member(backend), Member(backend), Member(Equal())
    assert first._turns is second._turns
    assert first._turns is not other._turns
    numbers = {id(Member(Equal())._turns) for _ in range(5)}
    assert id(first._turns) not in numbers


class Tariff:
    """A tariff that is false, and cannot be compared."""

    __hash__ = None

    def __call__(self, usage):
        return 1.0 * usage.circuits

    def __eq__(self, _):
        raise RuntimeError("compared")

    def __bool__(self):
        return False


def test_a_tariff_is_taken_as_it_is():
    """Whether it is true or equal to another one is no question to a user's object."""
    member = Member(Ones(), pricing=Tariff())
    assert not member.costs_nothing
    assert RouterSampler(member).quote([ones()], shots=10).price_usd == 1


# -- properties that raise -------------------------------------------------------------------------


def raising(error):
    """Return a property that raises an error."""

    def read(_):
        raise error

    return property(read)


@pytest.mark.parametrize(
    "target",
    [
        property(lambda _: None),
        property(lambda _: Target()),
        property(lambda _: Target(num_qubits=3)),
        raising(NotImplementedError("no resource information")),
        raising(AttributeError("none")),
        raising(RuntimeError("no")),
        raising(KeyError("target")),
        raising(TypeError("none")),
        raising(SystemExit(3)),
        property(lambda _: "no target"),
    ],
    ids=[
        *("none", "empty", "qubits alone", "not implemented", "attribute", "run", "key", "type"),
        *("exit", "text"),
    ],
)
def test_a_target_that_tells_nothing_is_none(target):
    """Circuits are sent as they are, by both primitives, and also under a price of gates."""
    backend = type("Untold", (Ones,), {"target": target, "num_qubits": property(lambda _: 3)})()
    member = Member(backend, pricing=Pricing(per_1q_gate_shot=1.0))
    sampler = RouterSampler(member)
    assert sampler.quote([ones(3)], shots=10).price_usd == 30
    assert counts(sampler.run([ones(3)], shots=10)) == [{"111": 10}]
    bare = ones().remove_final_measurements(inplace=False)
    assert RouterEstimator(member).run([(bare, "X")]).result(timeout=120)[0].data.evs == -1
    with pytest.raises(PlanError, match="needs 4 qubits, has 3"):
        sampler.run([ones(4)], shots=10).result(timeout=120)


def test_a_target_that_cannot_be_read_just_now_is_not_taken_for_none():
    """What would be sent without it is the wrong circuit; it is read again at the next try."""
    answers = []

    class Distant(Ones):
        @property
        def target(self):
            if answers:
                raise answers.pop(0)
            return BasicSimulator().target

    member = Member(Distant())
    answers += [ConnectionResetError("gone"), TimeoutError("late")]
    circuit = QuantumCircuit(1)
    circuit.append(ones().remove_final_measurements(inplace=False).to_gate(), [0])
    circuit.measure_all()
    policy = fastest(retry=RetryPolicy(wait_initial_seconds=0.001))
    job = RouterSampler(member, policy=policy).run([circuit], shots=10)
    assert counts(job) == [{"1": 10}]
    assert not answers
    # Nothing was sent, so that nobody need ask whether it was.
    assert [attempt.outcome for attempt in job.report().attempts] == ["failed", "failed", "done"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), NotImplementedError(), KeyError("x"), SystemExit(3)]
)
@pytest.mark.parametrize(
    "name",
    [
        "name",
        "num_qubits",
        "coupling_map",
        "instruction_durations",
        "operation_names",
        "max_circuits",
        "options",
        "max_shots",
        "default_rep_delay",
    ],
)
def test_a_property_that_raises_tells_nothing(name, error):
    """A backend is used for what it does, whatever it cannot tell of itself."""
    made = Ones()
    made.__class__ = type("Silent", (Ones,), {name: raising(error)})
    member = Member(made, pricing=Pricing(per_second=1.0))
    assert member.name == ("Silent" if name == "name" else "ones")
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.h(0)
    circuit.append(ones().remove_final_measurements(inplace=False).to_gate(), [0])
    circuit.measure_all()
    assert counts(RouterSampler(member).run([circuit], shots=10)) == [{"1": 10}]


# -- options ---------------------------------------------------------------------------------------


class Strict(Ones):
    """A backend that checks its options as Qiskit does, and keeps what it was sent."""

    validators: ClassVar = {}
    defaults: ClassVar = {"shots": 100, "memory": False, "seed_simulator": None}

    def __init__(self, name="strict"):
        super().__init__(name)
        for option, allowed in self.validators.items():
            self.options.set_validator(option, allowed)
        self.sent = []

    def run(self, circuits, **options):
        copy(self.options).update_options(**options)
        self.sent.append(options)
        return super().run(circuits, **options)


def strict(**validators):
    """Return a strict backend with validators."""
    return type("Strict", (Strict,), {"validators": validators})()


@pytest.mark.parametrize(
    ("validators", "sent"),
    [
        ({}, {"shots", "memory", "seed_simulator"}),
        ({"memory": [False], "seed_simulator": [None]}, {"shots"}),
        ({"memory": bool, "seed_simulator": (0, 10)}, {"shots", "memory"}),
        ({"memory": [True], "seed_simulator": str}, {"shots", "memory"}),
    ],
)
def test_what_a_validator_forbids_is_not_sent(validators, sent):
    """As if the backend did not know the option; the run is as right."""
    backend = strict(**validators)
    sampler = RouterSampler(backend, options={"seed_simulator": 7})
    assert counts(sampler.run([ones()], shots=10)) == [{"1": 10}]
    assert backend.sent[0].keys() == sent


@pytest.mark.parametrize(
    ("shots", "validator", "jobs"),
    [
        (3000, (1, 1024), 3),
        (1024, (1, 1024), 1),
        (300, [100, 1000], 3),
        (50, (10, 20), 3),
        (25, (10, 20), 2),
    ],
)
def test_jobs_have_the_shots_that_a_validator_allows(shots, validator, jobs):
    """In the quote, in the run and in its report."""
    backend = strict(shots=validator)
    sampler = RouterSampler(Member(backend, pricing=Tariff()))
    assert sampler.quote([ones()], shots=shots).price_usd == jobs
    job = sampler.run([ones()], shots=shots)
    assert counts(job) == [{"1": shots}]
    assert len(backend.sent) == len(job.report().attempts) == jobs


def test_fewer_shots_than_a_validator_allows_are_refused():
    """Before anything is sent, and with the number that it takes."""
    backend = strict(shots=(100, 1000))
    with pytest.raises(PlanError, match="needs at least 100 shots in a job, 10 are asked for"):
        RouterSampler(backend).run([ones()], shots=10).result(timeout=120)
    assert not backend.sent


def test_an_option_of_the_run_goes_where_its_value_is_taken():
    """Another member that knows the option and not the value gets no work; the reason is told."""
    narrow, wide = strict(memory=[False]), strict()
    narrow.defaults = wide.defaults = {**Strict.defaults, "level": 1}
    for backend, most in ((narrow, 1), (wide, 3)):
        backend.options.level = 1
        backend.options.set_validator("level", (0, most))
    options = {"run_options": {"level": 2}}
    job = RouterSampler([narrow, wide], options=options).run([ones()] * 4, shots=10)
    assert counts(job) == [{"1": 10}] * 4
    assert not narrow.sent
    assert all(sent["level"] == 2 for sent in wide.sent)
    options = {"run_options": {"level": 9}}
    with pytest.raises(PlanError, match="does not take 9 for the option 'level'"):
        RouterSampler([narrow, wide], options=options).run([ones()]).result(timeout=120)


class Lax(Ones):
    """A backend that takes more options than it lists, and keeps what it was sent."""

    sent: ClassVar = []

    def run(self, circuits, **options):
        self.sent.append(options)
        return super().run(circuits, **options)


class Listing(Lax):
    """One that lists them."""

    defaults: ClassVar = {"shots": 1024, "level": 1}


class Named(Lax):
    """One whose run() names them."""

    def run(self, circuits, shots=1024, *, level=1, memory=False):
        return super().run(circuits, shots=shots, level=level, memory=memory)


class Closed(Ones):
    """One that takes shots alone, though it lists more."""

    defaults: ClassVar = {"shots": 1024, "memory": False, "seed_simulator": 0}

    def run(self, circuits, shots=1024):
        return super().run(circuits, shots=shots)


@pytest.mark.parametrize(
    ("fleet", "used"),
    [
        ([Lax], {"lax"}),
        ([Lax, Lax], {"lax", "lax-2"}),
        ([Lax, Listing], {"listing"}),
        ([Lax, Named], {"named"}),
        ([Listing, Named, Closed], {"listing", "named"}),
        ([Lax, Closed], {"lax"}),
    ],
)
def test_options_that_nobody_lists_are_sent_to_all(fleet, used):
    """Many take more than they list; where somebody lists an option, it is for those who do."""
    backends = [kind(kind.__name__.lower()) for kind in fleet]
    Lax.sent.clear()
    sampler = RouterSampler(backends, policy=round_robin(), options={"run_options": {"level": 2}})
    job = sampler.run([ones()] * 8, shots=10)
    assert counts(job) == [{"1": 10}] * 8
    assert {one.member for one in job.report().attempts if one.outcome == "done"} == used
    assert all(sent["level"] == 2 for sent in Lax.sent)


def test_a_run_without_keywords_is_sent_what_it_names():
    """Whatever its options list besides."""
    sampler = RouterSampler(Closed(), options={"seed_simulator": 5})
    assert counts(sampler.run([ones()] * 2, shots=10)) == [{"1": 10}] * 2


# -- circuits without a list, results in one -------------------------------------------------------


def lists_nothing(circuit):
    return len(circuit.clbits)


def checks_type(circuit):
    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(f"expected QuantumCircuit, got {type(circuit).__name__}")


def checks_value(circuit):
    if not isinstance(circuit, QuantumCircuit):
        raise ValueError("only a single circuit can be run")  # noqa: TRY004


def asserts(circuit):
    assert isinstance(circuit, QuantumCircuit)


def not_implemented(circuit):
    if isinstance(circuit, list):
        raise NotImplementedError("multi-experiment jobs are not supported")


def of_qiskit(circuit):
    if isinstance(circuit, list):
        raise QiskitError("the input must be a QuantumCircuit")


def wraps(circuit):
    try:
        return circuit.num_qubits
    except AttributeError as error:
        raise RuntimeError("the QuantumCircuit cannot be read") from error


def by_hand(circuit):
    if isinstance(circuit, list):
        raise AttributeError("'list' object has no attribute 'num_qubits'")  # noqa: TRY004


class Bare(Ones):
    """A backend whose run() takes one circuit; what it says of a list is in ``look``."""

    look = staticmethod(lists_nothing)

    def run(self, run_input, **options):
        self.look(run_input)
        assert isinstance(run_input, QuantumCircuit)
        return super().run(run_input, **options)


LOOKS = [
    lists_nothing,
    checks_type,
    checks_value,
    asserts,
    not_implemented,
    of_qiskit,
    wraps,
    by_hand,
]


def bare(look):
    """Return a backend that looks at circuits in some way."""
    return type("Bare", (Bare,), {"look": staticmethod(look)})()


@pytest.mark.parametrize("limits", [None, Limits(max_circuits=1)])
@pytest.mark.parametrize("look", LOOKS)
def test_circuits_are_sent_bare_where_lists_are_not_taken(look, limits):
    """What a list of one fails with is no end: it is tried bare, and what worked is remembered."""
    backend = bare(look)
    member = Member(backend, limits=limits)
    sampler = RouterSampler(member)
    assert counts(sampler.run([ones()] * 3, shots=10)) == [{"1": 10}] * 3
    assert len(backend.jobs) == 3
    assert member.adaptation.bare
    assert member.limits.max_circuits == 1
    backend.jobs.clear()
    job = sampler.run([ones(2)] * 40, shots=10)
    assert counts(job) == [{"11": 10}] * 40
    assert len(backend.jobs) == 40
    assert {attempt.outcome for attempt in job.report().attempts} == {"done"}


@pytest.mark.parametrize("look", [lists_nothing, checks_type, of_qiskit, wraps])
def test_many_circuits_are_each_sent_alone(look):
    """Where it is certain, that takes one failure; a search among a hundred has not the retries."""
    backend = bare(look)
    job = RouterSampler(backend).run([ones()] * 100, shots=10)
    assert counts(job) == [{"1": 10}] * 100
    outcomes = [attempt.outcome for attempt in job.report().attempts]
    assert outcomes.count("done") == len(backend.jobs) == 100
    assert len(outcomes) == 101


def test_one_circuit_that_is_refused_is_searched_for_in_halves():
    """It may only look as if lists were not taken; the others share a few jobs."""

    class Picky(Ones):
        def run(self, circuits, **options):
            if any(one.num_qubits == 2 for one in circuits):
                raise ValueError("the circuit is too wide")
            return super().run(circuits, **options)

    backend = Picky()
    policy = fastest(on_failure="partial")
    circuits = [ones(1 + (number == 50)) for number in range(100)]
    result = RouterSampler(backend, policy=policy).run(circuits, shots=10).result(timeout=120)
    assert sum(pub.data.meas.num_shots == 10 for pub in result) >= 99
    assert len(backend.jobs) < 12


def test_a_run_that_names_one_circuit_gets_one():
    """The name and the type of its first parameter tell it before anything is sent."""

    class Named(Bare):
        def run(self, circuit, **options):
            return super().run(circuit, **options)

    class Typed(Bare):
        def run(self, program: QuantumCircuit, **options):
            return super().run(program, **options)

    class Quoted(Bare):
        def run(self, circuit: "QuantumCircuit | list[QuantumCircuit]", **options):
            return Ones.run(self, circuit, **options)

    for backend, jobs in ((Named(), 40), (Typed(), 40), (Quoted(), 1)):
        job = RouterSampler(backend).run([ones()] * 40, shots=10)
        assert counts(job) == [{"1": 10}] * 40
        assert len(backend.jobs) == jobs


def test_a_member_can_be_told():
    """Then no list is sent at all."""

    def refuse(circuit):
        assert isinstance(circuit, QuantumCircuit), "a list was sent"

    member = Member(bare(refuse), adaptation=Adaptation(bare=True), limits=Limits(max_circuits=1))
    assert counts(RouterSampler(member).run([ones()] * 3, shots=10)) == [{"1": 10}] * 3


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("the list of jobs was lost"),
        TypeError("list indices must be integers or slices, not str"),
        AttributeError("status"),
        AttributeError("'list' object has no attribute 'job_id'"),
        QiskitError("the list is full"),
        BackendError("takes one circuit", transient=False, fault="caller", submitted=False),
    ],
)
def test_what_may_have_been_sent_is_not_sent_again(error):
    """An error that may come of an answer is not about the list that was given."""
    seen = []

    class Answered(Ones):
        def run(self, circuits, **options):
            seen.append(circuits)
            raise error

    policy = fastest(retry=RetryPolicy(max_attempts=1, budget_floor=0))
    with pytest.raises((RunError, PlanError)):
        RouterSampler(Answered(), policy=policy).run([ones()], shots=10).result(timeout=120)
    assert all(isinstance(one, list) for one in seen)


def test_an_attribute_that_an_answer_lacks_is_not_that_of_the_list():
    """Though the answer is a list as well."""
    seen = []

    class Answered(Ones):
        def run(self, circuits, **options):
            seen.append(circuits)
            return ["an answer"].job_id

    with pytest.raises(RunError, match="job_id"):
        RouterSampler(Answered()).run([ones()], shots=10).result(timeout=120)
    assert all(isinstance(one, list) for one in seen)


def test_the_first_error_is_told_where_lists_are_taken():
    """That a circuit is no list either is nothing that a user could do about."""

    class Picky(Ones):
        def run(self, circuits, **options):
            if len(circuits[0].data) > 1:
                raise ValueError("the circuit is too deep")

    with pytest.raises((RunError, PlanError), match="the circuit is too deep"):
        RouterSampler(Picky()).run([ones()], shots=10).result(timeout=120)


def test_the_check_finds_that_circuits_are_sent_bare():
    """It is part of the adaptation that is printed and handed over."""
    real = BasicSimulator()

    class Exact(MadeUp):
        def run(self, run_input, **options):
            len(run_input.clbits)
            return real.run(run_input, **options)

    found = check_backend(Exact("exact", real.target))
    assert found.ok
    assert found.adaptation == Adaptation(bare=True)


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("most", [None, 1])
def test_results_may_come_in_a_list(kind, most):
    """One result for each circuit, or one for all in a list, is as one result."""

    class Several(Ones):
        def run(self, circuits, **options):
            job = super().run(circuits, **options)
            whole = job.result()
            parts = [copy(whole) for _ in whole.results]
            for part, one in zip(parts, whole.results, strict=True):
                part.results = [one]
            job.result = lambda: kind(parts)
            return job

    member = Member(Several(), limits=Limits(max_circuits=most))
    circuits = [ones(1), ones(2), ones(3)]
    found = counts(RouterSampler(member).run(circuits, shots=10))
    assert found == [{"1": 10}, {"11": 10}, {"111": 10}]


def test_whether_a_member_is_local_is_asked_anew():
    """What could not be read at first, or was not there yet, does not stay the answer."""
    backend = BasicSimulator()
    member = Member(backend)
    assert member.is_local
    backend._provider = object()  # Where its jobs can be looked up, once somebody has logged in.
    assert not member.is_local
    backend._provider = None
    assert member.is_local
