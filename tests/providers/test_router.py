"""Real provider packages through the router: each alone, and six of them as one fleet."""

from math import pi

import pytest
from faulty_primitive import FaultySampler, loses_one
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit.quantum_info import Statevector
from questions import all_shots, ask, check, rows_of

from qiskit_gateway import PlanError, RouterSampler, RunError
from qiskit_gateway.backends import Fleet, Limits, Member, PrimitiveMember
from qiskit_gateway.backends.scripted import (
    Errors,
    Fails,
    Malforms,
    Runs,
    ScriptedBackend,
    Short,
)
from qiskit_gateway.policies import RetryPolicy, fastest, round_robin

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = pytest.mark.filterwarnings("ignore")

SHOTS = 300

# -- each alone ------------------------------------------------------------------------------------


def bell():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return [(circuit, None)], [{"00", "11"}]


def registers():
    """Two registers of unlike width: the second holds 10, the first 0."""
    circuit = QuantumCircuit(
        QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(2, "b")
    )
    circuit.x(2)
    circuit.measure(range(3), range(3))
    return [(circuit, None)], [{"100"}]


def sparse():
    circuit = QuantumCircuit(1, 3)
    circuit.x(0)
    circuit.measure(0, 2)
    return [(circuit, None)], [{"100"}]


def parameters():
    b, a = Parameter("b"), Parameter("a")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(b, 0)
    circuit.ry(a, 1)
    circuit.measure([0, 1], [0, 1])
    # In the order of circuit.parameters: a, b.
    return [(circuit, [[pi, 0], [0, pi], [0, 0]])], [{"10"}, {"01"}, {"00"}]


def mixed():
    """All of these in one run, in PUBs of unlike shots."""
    pubs, expected = [], []
    for case in (registers, parameters, sparse, bell, registers):
        more_pubs, more_expected = case()
        pubs += [(*pub, SHOTS + len(pubs) % 2) for pub in more_pubs]
        expected += more_expected
    return pubs, expected


CASES = {
    "bell": bell,
    "registers": registers,
    "sparse": sparse,
    "parameters": parameters,
    "mixed": mixed,
}
# The others have to be right.
REFUSING = {"ddsim hybrid", "ddsim path"}
OUTCOMES = ("00", "01", "10", "11")


def is_right(texts, expected):
    """Tell whether what was expected is what was mostly seen: some members have noise."""
    seen = [texts.count(text) / len(texts) for text in expected]
    return sum(seen) > 0.6 and min(seen) > 0.3 * max(seen)


@pytest.mark.parametrize("case", CASES)
def test_alone(provider_member, case):
    """Through the router, every provider is right, or refuses with a reason."""
    pubs, expected = CASES[case]()
    job = RouterSampler(provider_member).run(pubs, shots=SHOTS)
    if provider_member.name in REFUSING:
        with pytest.raises((PlanError, RunError), match="qubits where classical bits"):
            job.result()
        return
    found = [is_right(*row) for row in zip(rows_of(job.result()), expected, strict=True)]
    assert found == [True] * len(expected)
    assert job.report().members.keys() == {provider_member.name}


def test_alone_with_a_seed(provider_member):
    """With a seed every provider is right too, whether it knows seeds or not."""
    if provider_member.name in REFUSING:
        pytest.skip("it refuses all work")
    pubs, expected = mixed()
    sampler = RouterSampler(provider_member, options={"seed_simulator": 11})
    rows = rows_of(sampler.run(pubs, shots=SHOTS).result())
    assert all(is_right(*row) for row in zip(rows, expected, strict=True))


def rotated():
    """A block of rotations and CNOTs, which compilers like to write in other gates."""
    circuit = QuantumCircuit(2)
    circuit.rx(1.3, 1)
    circuit.cx(1, 0)
    circuit.ry(4.25, 1)
    circuit.cx(1, 0)
    circuit.rx(2.6, 0)
    circuit.cx(0, 1)
    return circuit


def controlled(gate):
    """A controlled rotation by a negative angle, seen in the phase of its control."""
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    getattr(circuit, gate)(-1.0, 0, 1)
    circuit.rx(0.7, 0)
    circuit.ry(0.4, 1)
    return circuit


def test_two_qubit_gates(provider_member, request):
    """Entangling gates are right, in whatever gates a provider has them compiled."""
    if provider_member.name in REFUSING:
        pytest.skip("it refuses all work")
    # Which gates a provider chooses may change from job to job, so each is asked many times.
    bodies = [rotated()] * 30 + [controlled(gate) for gate in ("crx", "cry", "crz")]
    pubs = [(body.copy(), None) for body in bodies]
    for circuit, _ in pubs:
        circuit.measure_all()
    result = RouterSampler(provider_member).run(pubs, shots=SHOTS).result()
    far = []
    for texts, body in zip(rows_of(result), bodies, strict=True):
        expected = Statevector(body).probabilities_dict()
        far.append(sum(abs(texts.count(x) / SHOTS - expected.get(x, 0)) for x in OUTCOMES) / 2)
    # Noise and chance stay below; a sign that is lost is well above.
    assert max(far) < 0.25, far


# -- six as one ------------------------------------------------------------------------------------

SIX = ("basic", "aer", "ddsim", "qdmi", "braket", "qsharp")


@pytest.fixture(scope="module")
def questions():
    return ask(200)


@pytest.mark.providers
@pytest.mark.parametrize("options", [{}, {"seed_simulator": 5}], ids=["free", "seeded"])
def test_two_hundred_pubs_over_six_providers(provider_members, questions, options):
    """One run of 200 unlike PUBs over six providers is right in every row, and all took part."""
    limits = dict.fromkeys(SIX, Limits()) | {
        "basic": Limits(max_circuits=7),
        "ddsim": Limits(max_shots=250),
        "qsharp": Limits(max_circuits=5),
    }
    fleet = Fleet([provider_members(name, limits=limits[name]) for name in SIX])
    sampler = RouterSampler(fleet, policy=round_robin(), options=options)
    job = sampler.run([question.pub for question in questions])
    check(job.result(), questions)

    done = job.report().members
    assert done.keys() == set(SIX)
    assert all(member["shots"] > 0 for member in done.values())
    assert sum(member["shots"] for member in done.values()) == all_shots(questions)
    assert sum(member["failures"] for member in done.values()) == 0
    assert job.progress().shots_done == all_shots(questions)


@pytest.mark.providers
def test_by_default_every_provider_is_used(provider_members, questions):
    """The policy that is the default finds work for all of six idle providers."""
    fleet = Fleet([provider_members(name) for name in SIX])
    job = RouterSampler(fleet).run([question.pub for question in questions])
    check(job.result(), questions)
    assert job.report().members.keys() == set(SIX)


def failing(backend, *script, then):
    return ScriptedBackend(backend, script, then=then)


@pytest.mark.providers
@pytest.mark.parametrize("policy", [fastest, round_robin])
def test_two_of_six_providers_fail_on_the_way(provider_members, questions, policy):
    """The same run, of whose members one dies and one delivers rubbish, is as right and complete."""
    made = {name: provider_members(name) for name in SIX}
    dies = failing(made["aer"].backend, Runs(), Runs(), then=Fails())
    lies = failing(
        made["basic"].backend,
        Runs(),
        Short(0.5),
        Malforms("bin_memory_lies"),
        Errors(),
        then=Malforms("no_data"),
    )
    made["aer"] = Member(dies, name="aer", limits=Limits(max_circuits=10))
    made["basic"] = Member(lies, name="basic", limits=Limits(max_circuits=10))
    retry = RetryPolicy(wait_initial_seconds=0.01)
    sampler = RouterSampler(Fleet(made.values()), policy=policy(retry=retry))
    job = sampler.run([question.pub for question in questions])
    check(job.result(), questions)

    done = job.report().members
    assert done.keys() == set(SIX)
    assert done["aer"]["jobs"] >= 2
    assert done["aer"]["failures"] > 0
    assert done["basic"]["failures"] > 0
    assert job.progress().shots_done == all_shots(questions)
    assert not job.report().given_up


# -- native primitives as one ----------------------------------------------------------------------

NATIVE = ("ibm sampler ideal", "aer sampler", "braket sampler", "statevector sampler")


@pytest.mark.providers
@pytest.mark.parametrize("options", [{}, {"seed_simulator": 5}], ids=["free", "seeded"])
def test_two_hundred_pubs_over_native_primitives(provider_members, questions, options):
    """The same run over samplers of four packages, DDSIM and IonQ, with cuts of every kind."""
    limits = dict.fromkeys(NATIVE, Limits()) | {
        "ibm sampler ideal": Limits(max_executions=900),
        "aer sampler": Limits(max_circuits=7),
        "braket sampler": Limits(max_shots=250),
        "ddsim": Limits(),
        "ionq qpu": Limits(max_circuits=5),
    }
    fleet = Fleet([provider_members(name, limits=limit) for name, limit in limits.items()])
    sampler = RouterSampler(fleet, policy=round_robin(), options=options)
    job = sampler.run([question.pub for question in questions])
    check(job.result(), questions)
    done = job.report().members
    assert done.keys() == set(limits)
    assert sum(member["shots"] for member in done.values()) == all_shots(questions)
    assert sum(member["failures"] for member in done.values()) == 0
    for attempt in job.report().attempts:
        if attempt.member == "ibm sampler ideal":
            assert attempt.circuits * attempt.shots <= 900


@pytest.mark.providers
@pytest.mark.parametrize("policy", [fastest, round_robin])
def test_two_native_primitives_fail_on_the_way(provider_members, questions, policy):
    """One dies and one loses a PUB of each job; all others do the work, and it is exact."""
    members = [provider_members(name) for name in (*NATIVE, "ddsim", "ionq qpu")]
    dies = FaultySampler(provider_members("aer sampler").sampler, dies_after=2)
    lies = FaultySampler(provider_members("aer sampler").sampler, spoil=loses_one)
    few = Limits(max_circuits=10)
    members += [
        PrimitiveMember(dies, name="dies", limits=few),
        PrimitiveMember(lies, name="lies", limits=few),
    ]
    retry = RetryPolicy(wait_initial_seconds=0.01)
    sampler = RouterSampler(Fleet(members), policy=policy(retry=retry))
    job = sampler.run([question.pub for question in questions])
    check(job.result(), questions)
    done = job.report().members
    assert done["dies"]["failures"] > 0
    assert done["lies"]["failures"] > 0
    assert job.progress().shots_done == all_shots(questions)
    assert not job.report().given_up
