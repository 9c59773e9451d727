"""What real devices' models say of a circuit, against a product over their own figures."""

from concurrent.futures import ThreadPoolExecutor
from math import exp, prod

import anyio
import pytest
from qiskit import transpile
from qiskit.circuit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import ExecutorMember, Fleet, Member
from qiskit_gateway.backends.circuits.estimates import gate_counts
from qiskit_gateway.backends.interface.batch import Program

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = pytest.mark.filterwarnings("ignore")


def ghz(size):
    circuit = QuantumCircuit(size)
    circuit.h(0)
    for qubit in range(size - 1):
        circuit.cx(0, qubit + 1)
    circuit.measure_all()
    return circuit


def figures(circuit, backend):
    """Return the error of every operation, and how long each qubit waits, by the textbook."""
    errors, free, waits = [], {}, {}
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if instruction.name == "barrier":
            properties = None
        else:
            properties = backend.target[instruction.name][qubits]
            errors.append(properties.error)
        start = max(free.get(qubit, 0.0) for qubit in qubits)
        for qubit in qubits:
            if qubit in waits:
                waits[qubit] += start - free[qubit]
            elif properties is not None:
                waits[qubit] = 0.0
            free[qubit] = start + (properties.duration if properties else 0.0)
    return errors, waits


def fake(name):
    return getattr(pytest.importorskip("qiskit_ibm_runtime.fake_provider"), name)()


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: GenericBackendV2(5, coupling_map=[[0, 1], [1, 2], [2, 3], [3, 4]], seed=3), 5),
        pytest.param(lambda: fake("FakeManilaV2"), 5, marks=pytest.mark.providers),
        pytest.param(lambda: fake("FakeSherbrooke"), 12, marks=pytest.mark.providers),
        pytest.param(lambda: fake("FakeTorino"), 12, marks=pytest.mark.providers),
    ],
    ids=["generic", "manila", "sherbrooke", "torino"],
)
def test_fidelity_is_that_of_the_figures_of_the_device(make, size):
    """One minus each error, times what each qubit keeps while it waits, over what Qiskit compiles."""
    backend = make()
    circuit = ghz(size)

    estimate = anyio.run(Member(backend).estimate, Program(circuit=circuit))

    sent = transpile(circuit, backend, optimization_level=1, seed_transpiler=0)
    errors, waits = figures(sent, backend)
    product = prod(1 - error for error in errors)
    for qubit, seconds in waits.items():
        known = backend.target.qubit_properties[qubit]
        product *= 1 / 2 + exp(-seconds / known.t1) / 6 + exp(-seconds / known.t2) / 3
    assert estimate.gates == gate_counts(sent)
    assert 0.05 < product < 1
    assert estimate.fidelity == pytest.approx(product, rel=1e-9)
    pause = getattr(backend, "default_rep_delay", 0.0)
    assert estimate.shot_seconds == pytest.approx(
        sent.estimate_duration(backend.target, unit="s") + pause
    )


@pytest.mark.providers
def test_a_simulator_made_from_a_device_does_not_take_the_time_of_the_device():
    """Durations that Aer takes over from a device are not those of Aer, on whatever workers it runs."""
    aer = pytest.importorskip("qiskit_aer").AerSimulator.from_backend(fake("FakeManilaV2"))
    with ThreadPoolExecutor() as pool:
        workers = ExecutorMember(pool, "qiskit_aer:AerSimulator", target=fake("FakeManilaV2"))
        for member in (Member(aer), workers):
            estimate = anyio.run(member.estimate, Program(circuit=ghz(4)))

            assert estimate.fidelity
            assert estimate.shot_seconds is None
            assert member.look_up_estimate(Program(circuit=ghz(4))) is None


@pytest.mark.providers
def test_a_plan_goes_by_the_durations_of_what_was_compiled_before_it():
    """What a quote has compiled, the run plans by: gates, readout, and IBM's pause between shots."""
    ibm, generic = fake("FakeManilaV2"), GenericBackendV2(5, seed=3)
    fleet = Fleet([Member(ibm, name="ibm"), Member(generic, name="generic")])
    sampler = RouterSampler(fleet, options={"default_shots": 50})
    circuit = ghz(4)
    sent = transpile(circuit, ibm, optimization_level=1, seed_transpiler=0)
    shot = sent.estimate_duration(ibm.target, unit="s") + ibm.default_rep_delay

    quote = sampler.quote([circuit] * 40)
    job = sampler.run([circuit] * 40)
    job.result()

    ibms, why = quote["ibm"], job.report().why()
    assert [one.speed for one in quote.members] == ["durations", "durations"]
    assert (ibms.estimate.source, ibms.estimate.rest) == ("durations", "guess")
    assert ibms.estimate.shot_seconds == pytest.approx(shot, rel=1e-9)
    assert 0.00025 < shot < 0.0003
    assert "a shot takes what the durations of the circuits say: ibm, generic" in str(quote)
    assert [why[name].source for name in ("ibm", "generic")] == ["durations", "durations"]
    assert 0 < 4 * why["ibm"].given.circuits < why["generic"].given.circuits
    assert job.report().speeds["generic"].source == "seen"


@pytest.mark.providers
@pytest.mark.parametrize("name", ["IQMFakeAdonis", "IQMFakeDeneb", "IQMFakeApollo"])
def test_a_device_without_figures_has_gates_and_no_fidelity(name):
    """IQM's models keep their errors out of their targets: the gates are known, the rest is not."""
    fakes = pytest.importorskip("iqm.qiskit_iqm.fake_backends")
    backend = getattr(fakes, name)()

    estimate = anyio.run(Member(backend).estimate, Program(circuit=ghz(4)))

    assert estimate.gates.num_2q >= 3
    assert estimate.gates.num_measure == 4
    assert (estimate.fidelity, estimate.shot_seconds) == (None, None)
