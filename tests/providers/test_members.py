"""Real provider packages, through the adapter."""

from dataclasses import dataclass, field, replace
from functools import partial
from math import pi

import anyio
import numpy as np
import pytest
from qiskit.circuit import (
    ClassicalRegister,
    Clbit,
    Parameter,
    QuantumCircuit,
    QuantumRegister,
    Qubit,
    library,
)

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends.conformance import check_backend
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.adaptation import FAITHFUL
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.backends.interface.provider_profile import bound_gates
from qiskit_gateway.backends.readout.decode import decode

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

SHOTS = 101  # Odd: some simulators like powers of two, some give half of them away.
NO_VALUES = np.empty((1, 0))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One circuit, and for each parameter row the outcomes that it may have, equally likely."""

    circuit: QuantumCircuit
    expected: list[set[str]]
    rows: np.ndarray = field(default_factory=lambda: NO_VALUES)


def bell():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return [Run(circuit=circuit, expected=[{"00", "11"}])]


def registers():
    """Two registers of unlike width: the second holds 10, the first 0."""
    circuit = QuantumCircuit(
        QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(2, "b")
    )
    circuit.x(2)
    circuit.measure(range(3), range(3))
    return [Run(circuit=circuit, expected=[{"100"}])]


def asymmetric():
    """Registers of 2, 1 and 2 bits and crossed measurements: every other order reads otherwise."""
    sizes = zip("abc", (2, 1, 2), strict=True)
    circuit = QuantumCircuit(QuantumRegister(5), *(ClassicalRegister(n, name) for name, n in sizes))
    circuit.x([0, 1, 4])
    circuit.measure([0, 2, 3, 1, 4], range(5))
    return [Run(circuit=circuit, expected=[{"11001"}])]


def repeated():
    """One qubit, measured into two bits with nothing in between."""
    circuit = QuantumCircuit(2, 3)
    circuit.x(0)
    circuit.measure([0, 1, 0], range(3))
    return [Run(circuit=circuit, expected=[{"101"}])]


def sparse():
    circuit = QuantumCircuit(1, 3)
    circuit.x(0)
    circuit.measure(0, 2)
    return [Run(circuit=circuit, expected=[{"100"}])]


def unmeasured(register):
    def make():
        circuit = QuantumCircuit(
            QuantumRegister(2), ClassicalRegister(2, "lo"), ClassicalRegister(2, "hi")
        )
        circuit.x(0)
        lo, hi = circuit.cregs
        circuit.measure(range(2), hi if register == "lo" else lo)
        return [Run(circuit=circuit, expected=[{"0100" if register == "lo" else "0001"}])]

    return make


def parameters():
    b, a = Parameter("b"), Parameter("a")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(b, 0)
    circuit.ry(a, 1)
    circuit.measure([0, 1], [0, 1])
    # In the order of circuit.parameters: a, b.
    rows = np.array([[pi, 0], [0, pi], [0, 0]])
    return [Run(circuit=circuit, rows=rows, expected=[{"10"}, {"01"}, {"00"}])]


def mid_circuit():
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    return [Run(circuit=circuit, expected=[{"01"}])]


def overwritten():
    """A bit that is measured twice holds what was measured last."""
    circuit = QuantumCircuit(3, 2)
    circuit.x([0, 2])
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    circuit.measure(2, 1)
    return [Run(circuit=circuit, expected=[{"10"}])]


def overwritten_by_another():
    """Qubits in falling order, and what was measured last was never flipped."""
    circuit = QuantumCircuit(3, 2)
    circuit.x([0, 2])
    circuit.measure([1, 0, 2, 1], [0, 0, 1, 1])
    return [Run(circuit=circuit, expected=[{"01"}])]


def overwritten_later():
    """A measurement that must be made, because a gate follows, and is not read."""
    circuit = QuantumCircuit(3, 2)
    circuit.h(1)
    circuit.measure(1, 0)
    circuit.h(1)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return [Run(circuit=circuit, expected=[{"01", "11"}])]


def in_a_sub_circuit():
    """Bits that are measured twice inside of a sub-circuit, which is called like a gate."""
    inner = QuantumCircuit(2, 2, name="h")
    inner.x(0)
    inner.measure([1, 0, 1], [0, 0, 1])
    circuit = QuantumCircuit(3, 2)
    circuit.append(inner.to_instruction(), [2, 0], [1, 0])
    return [Run(circuit=circuit, expected=[{"10"}])]


def reset():
    circuit = QuantumCircuit(2, 2)
    circuit.x([0, 1])
    circuit.reset(0)
    circuit.measure([0, 1], [0, 1])
    return [Run(circuit=circuit, expected=[{"10"}])]


def nothing_measured():
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    return [Run(circuit=circuit, expected=[{"00"}])]


def aliased():
    """Two registers over the same bits, in opposite order."""
    bits = [Clbit(), Clbit()]
    circuit = QuantumCircuit(QuantumRegister(2))
    circuit.add_bits(bits)
    circuit.add_register(ClassicalRegister(bits=bits, name="there"))
    circuit.add_register(ClassicalRegister(bits=bits[::-1], name="back"))
    circuit.x(1)
    circuit.measure(circuit.qubits, bits)
    return [Run(circuit=circuit, expected=[{"10"}])]


def reversed_register():
    bits = [Clbit(), Clbit(), Clbit()]
    circuit = QuantumCircuit(QuantumRegister(3))
    circuit.add_bits(bits)
    circuit.add_register(ClassicalRegister(bits=bits[::-1], name="back"))
    circuit.x(0)
    circuit.measure(circuit.qubits, bits)
    return [Run(circuit=circuit, expected=[{"001"}])]


def scattered_register():
    """A register of bits 0 and 2, and one of bit 1."""
    bits = [Clbit(), Clbit(), Clbit()]
    circuit = QuantumCircuit(QuantumRegister(3))
    circuit.add_bits(bits)
    circuit.add_register(ClassicalRegister(bits=bits[::2], name="even"))
    circuit.add_register(ClassicalRegister(bits=bits[1:2], name="odd"))
    circuit.x(2)
    circuit.measure(circuit.qubits, bits)
    return [Run(circuit=circuit, expected=[{"100"}])]


def wide():
    """Seventy bits, one of them written: no 64-bit word holds them."""
    circuit = QuantumCircuit(1, 70)
    circuit.x(0)
    circuit.measure(0, 69)
    return [Run(circuit=circuit, expected=[{"1" + 69 * "0"}])]


def wide_written():
    """Seventy bits, all of them written, from few qubits."""
    circuit = QuantumCircuit(2, 70)
    circuit.x(0)
    for bit in range(70):
        circuit.measure(0 if bit in (3, 69) else 1, bit)
    return [Run(circuit=circuit, expected=[{"1" + 65 * "0" + "1000"}])]


def loose():
    circuit = QuantumCircuit([Qubit(), Qubit()], [Clbit(), Clbit()])
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    return [Run(circuit=circuit, expected=[{"10"}])]


def empty_register():
    circuit = QuantumCircuit(
        QuantumRegister(1), ClassicalRegister(0, "none"), ClassicalRegister(1, "one")
    )
    circuit.x(0)
    circuit.measure(0, 0)
    return [Run(circuit=circuit, expected=[{"1"}])]


def every_gate():
    """Parametrized gates of two qubits, in several rows: not all simulators bind all of them."""
    angle = Parameter("b")
    runs = []
    for gate in ("crx", "cry", "cp", "rxx"):
        circuit = QuantumCircuit(2, 2)
        circuit.x(0)
        getattr(circuit, gate)(angle, 0, 1)
        circuit.measure([0, 1], [0, 1])
        turned = {"crx": "11", "cry": "11", "cp": "01", "rxx": "10"}[gate]
        rows = np.array([[pi], [0], [pi]])
        runs.append(Run(circuit=circuit, rows=rows, expected=[{turned}, {"01"}, {turned}]))
    return runs


def several():
    return [*registers(), *sparse(), *parameters(), *bell(), *unmeasured("hi")(), *loose()]


CASES = {
    "bell": bell,
    "registers": registers,
    "asymmetric": asymmetric,
    "sparse": sparse,
    "unmeasured hi": unmeasured("hi"),
    "unmeasured lo": unmeasured("lo"),
    "parameters": parameters,
    "mid-circuit": mid_circuit,
    "repeated": repeated,
    "overwritten": overwritten,
    "overwritten by another": overwritten_by_another,
    "overwritten later": overwritten_later,
    "in a sub-circuit": in_a_sub_circuit,
    "reset": reset,
    "nothing measured": nothing_measured,
    "aliased": aliased,
    "reversed": reversed_register,
    "scattered": scattered_register,
    "wide": wide,
    "wide written": wide_written,
    "loose": loose,
    "empty register": empty_register,
    "several": several,
    "every gate": every_gate,
}


async def answers(member, runs):
    """Return the shots of each circuit, over all bits of the user."""
    entries = [Entry(program=Program(circuit=run.circuit), rows=run.rows) for run in runs]
    if member.limits.max_circuits == 1:
        jobs = [(replace(entry, rows=row[np.newaxis]),) for entry in entries for row in entry.rows]
    else:
        jobs = [tuple(entries)]
    outcomes = []
    for job in jobs:
        batch = Batch(entries=job, shots=SHOTS, kept_shots=SHOTS, seed=7)
        outcomes += await member.collect(await member.submit(batch))
    found = []
    for run in runs:
        for outcome in [outcomes.pop(0) for _ in run.expected]:
            if outcome.error:
                raise outcome.error
            assert outcome.shots == SHOTS
            found.append(bits_of(outcome, run.circuit.num_clbits))
    assert not outcomes
    return found


def bits_of(outcome, num_bits):
    """Return the shots of an outcome, one row of bits each, the user's bit 0 first."""
    out = np.zeros((1, outcome.shots, -(-num_bits // 8)), np.uint8)
    decode([outcome], [range(num_bits)], [out], partial(np.random.default_rng, 0))
    return np.unpackbits(out[0], axis=1)[:, ::-1][:, :num_bits]


def is_right(bits, expected):
    """Tell whether what was expected is what was mostly seen: some members have noise.

    One outcome alone is voted on bit by bit, since seventy noisy bits are never all right.
    """
    if len(expected) == 1:
        (text,) = expected
        return (np.median(bits, axis=0) == [int(digit) for digit in reversed(text)]).all()
    texts = ["".join(map(str, row[::-1])) for row in bits]
    seen = [texts.count(text) / len(texts) for text in expected]
    return sum(seen) > 0.6 and min(seen) > 0.3 * max(seen)


# What is refused, and how. All else has to be right.
QUBITS = "reports qubits where classical bits were asked for"
UNSOUND = "gets repeated measurements wrong without telling"
OVERWRITTEN = "gets bits that are measured twice wrong without telling"
NO_RESET = "cannot be compiled for .*reset"
NO_OUTPUT = "must have output registers"
BRAKET = {
    "mid-circuit": "Cannot apply operation x to measured qubits",
    "overwritten later": OVERWRITTEN,
    "repeated": "Cannot measure previously measured qubit",
    "reset": NO_RESET,
    "wide written": "Cannot measure previously measured qubit",
}
IQM = {"overwritten later": "non-unique measurement key", "reset": NO_RESET}
LAST = "has no result for circuits with {} measurements".format
REFUSED = {
    "statevector sampler": {
        "mid-circuit": LAST("mid-circuit"),
        "overwritten later": LAST("mid-circuit"),
        "repeated": LAST("repeated"),
        "wide written": LAST("repeated"),
        "reset": "gets resets wrong without telling",
    },
    "braket sampler": BRAKET,
    "ddsim": {"repeated": UNSOUND, "wide written": UNSOUND},
    "ddsim hybrid": dict.fromkeys(CASES, QUBITS),
    "ddsim path": dict.fromkeys(CASES, QUBITS),
    "menos": {
        "mid-circuit": LAST("mid-circuit"),
        "overwritten later": LAST("mid-circuit"),
        "reset": NO_RESET,
        "nothing measured": "has no Measure operation",
    },
    "qdd": {"nothing measured": "has no measurement gates"},
    "qdmi 4": {"nothing measured": "expected 0 binary digits"},
    "qdmi": {
        "repeated": UNSOUND,
        "wide written": UNSOUND,
        "nothing measured": "expected 0 binary digits",
    },
    "braket": BRAKET,
    "braket dm": BRAKET,
    "qsharp": {"nothing measured": NO_OUTPUT},
    "neutral atom": {"nothing measured": NO_OUTPUT, "wide written": "invalid qubit id"},
    "iqm adonis": IQM,
    "iqm deneb": IQM,
    "iqm apollo": IQM,
    "ionq": {
        "mid-circuit": "no result for circuits with mid-circuit measurements",
        "overwritten later": "no result for circuits with mid-circuit measurements",
        "reset": "no result for circuits with resets",
    },
}


@pytest.mark.parametrize("case", CASES)
async def test_right_or_refused(provider_member, case):
    """Every answer is right, or there is none and it is said why."""
    runs = CASES[case]()
    refusal = REFUSED.get(provider_member.name, {}).get(case)
    if refusal is not None:
        with pytest.raises(BackendError, match=refusal):
            await answers(provider_member, runs)
        return
    found = await answers(provider_member, runs)
    expected = [outcome for run in runs for outcome in run.expected]
    assert [is_right(*pair) for pair in zip(found, expected, strict=True)] == [True] * len(found)


async def test_overlapping_jobs(provider_member):
    """Jobs of backends that are said to be safe do not get into each other's way."""
    if not provider_member.overlaps:
        pytest.skip("one job at a time")
    run = registers()[0]
    found = []

    async def one():
        (bits,) = await answers(provider_member, [run])
        found.append(is_right(bits, run.expected[0]))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(one)
    assert found == [True] * 4


def test_parameter_binds_are_for_aer_alone(provider_member):
    """Whoever runs circuits on Aer inside does not pass its options on."""
    on_aer = provider_member.name in {"aer", "aer sampler", "ibm sampler ideal"}
    assert bool(bound_gates(provider_member.backend)) is on_aer


CHECKED = ["aer", "ddsim", "ddsim hybrid", "ddsim path", "qdmi", "qdmi 4", "braket", "tket"]
CHECKED += ["alice bob", "mimiq", "qdd"]


@pytest.mark.providers
@pytest.mark.parametrize("provider_member", CHECKED, indirect=True)
def test_the_check_finds_what_is_known(provider_member):
    """Without what is known of a backend, the check finds it out; it looks for no single gates."""
    known, provider_member.adaptation = provider_member.adaptation, FAITHFUL
    found = check_backend(provider_member)
    assert replace(found.adaptation, refusal="") == replace(known, refusal="", gates=frozenset())
    assert bool(found.refusal) is bool(known.refusal)


@pytest.mark.providers
@pytest.mark.parametrize("pair", [(1, 3), (2, 0), (0, 2), (0, 3), (1, 2)])
def test_gates_with_a_control_are_right_on_braket(provider_members, pair):
    """Each is undone by what it is defined to be, wherever its qubits are."""
    angles = np.random.default_rng(3).uniform(0.3, 2, (4, 3))
    kinds = [library.CHGate(), library.CSGate(), library.CSdgGate(), library.CSXGate()]
    kinds += [kind(0.7) for kind in (library.CRXGate, library.CRYGate, library.CRZGate)]
    circuits = []
    for gate in kinds:
        turn = QuantumCircuit(4)
        for qubit, three in enumerate(angles):
            turn.u(*three, qubit)
        circuit = turn.copy()
        circuit.append(gate, pair)
        circuit.barrier()
        circuit.compose(gate.definition.inverse().decompose(reps=3), pair, inplace=True)
        circuit.compose(turn.inverse(), inplace=True)
        circuit.measure_all()
        circuits.append(circuit)
    results = RouterSampler(provider_members("braket")).run(circuits, shots=200).result()
    assert [one.data.meas.get_counts() for one in results] == [{"0000": 200}] * len(kinds)
