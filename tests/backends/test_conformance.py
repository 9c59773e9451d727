"""The conformance check, on backends that lie in one way each."""

from collections import Counter

import numpy as np
import pytest
from qiskit.circuit import Measure, QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.result.models import ExperimentResultData
from qiskit.transpiler import Target, TranspilerError

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.conformance import check_backend, check_member
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.interface.adaptation import FAITHFUL, Adaptation, traits
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.backends.interface.limits import Limits


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Run on real clocks: a member calls its backend in threads, whose work no virtual one sees."""
    return request.param


class Lying(BackendV2):
    """A simulator whose results go through a function first."""

    def __init__(self, lie=lambda circuits, result: result):
        super().__init__(name="lying")
        self.real = BasicSimulator()
        self.lie = lie
        self.runs = []

    @property
    def target(self):
        return self.real.target

    @property
    def max_circuits(self):
        return None

    @classmethod
    def _default_options(cls):
        return Options(shots=1024, memory=True, seed_simulator=None)

    def run(self, circuits, **options):
        self.runs.append(len(circuits))
        return Done(self.lie(circuits, self.real.run(circuits, **options).result()))


class Done:
    def __init__(self, result):
        self._result = result

    def job_id(self):
        return "done"

    def result(self):
        return self._result


def renamed(rename):
    """Return a lie that gives outcomes another name, made from the texts of the registers."""

    def lie(circuits, result):
        for circuit, experiment in zip(circuits, result.results, strict=True):
            counts = Counter()
            for name, count in experiment.data.counts.items():
                bits = f"{int(name, 16):0{circuit.num_clbits}b}"[::-1]
                counts[rename(circuit, bits)] += count
            experiment.data = ExperimentResultData(counts=dict(counts))
        return result

    return lie


def texts(registers, bits, circuit):
    """Return the bits of each register, its first bit first."""
    return ["".join(bits[circuit.find_bit(bit).index] for bit in r) for r in registers]


def registers_reversed(circuit, bits):
    return " ".join(text[::-1] for text in texts(circuit.cregs, bits, circuit))


def bits_reversed(circuit, bits):
    return " ".join(texts(circuit.cregs, bits, circuit)[::-1])


def both_reversed(circuit, bits):
    return " ".join(texts(circuit.cregs, bits, circuit))


def sorted_by_name(circuit, bits):
    registers = sorted(circuit.cregs, key=lambda register: register.name)
    return " ".join(text[::-1] for text in texts(registers, bits, circuit)[::-1])


def without_spaces(circuit, bits):
    return bits[::-1]


def qubits_reported(circuits, _result):
    bare = [circuit.remove_final_measurements(inplace=False) for circuit in circuits]
    for circuit in bare:
        circuit.measure_all()
    return BasicSimulator().run(bare, shots=100).result()


def wrong_for(trait):
    def lie(circuits, result):
        for circuit, experiment in zip(circuits, result.results, strict=True):
            if trait in traits(circuit):
                experiment.data = ExperimentResultData(counts={"0x2": 100})
        return result

    return lie


def first_of_two_counts(circuits, _result):
    """A bit that is measured twice keeps what was measured first."""
    return run_in_order(circuits, lambda measured: measured[::-1])


def ordered_by_qubit(*, falling=False):
    """Measurements that write the same bit are made in the order of their qubits."""

    def lie(circuits, _result):
        def order(measured):
            return sorted(measured, key=lambda i: i.qubits[0]._index, reverse=falling)

        return run_in_order(circuits, order)

    return lie


def run_in_order(circuits, order):
    """Run circuits, those that measure one bit twice with their measurements in another order."""
    changed = []
    for circuit in circuits:
        measured = [i for i in circuit.data if i.name == "measure"]
        if len({i.clbits for i in measured}) < len(measured):
            ordered = iter(order(measured))
            changed.append(circuit.copy_empty_like())
            for instruction in circuit.data:
                changed[-1].append(next(ordered) if instruction in measured else instruction)
        else:
            changed.append(circuit)
    return BasicSimulator().run(changed, shots=100).result()


@pytest.mark.parametrize(
    ("lie", "adaptation"),
    [
        (renamed(without_spaces), FAITHFUL),
        (renamed(registers_reversed), Adaptation(register_order="reversed")),
        (renamed(bits_reversed), Adaptation(bit_order="reversed")),
        (renamed(both_reversed), Adaptation(register_order="reversed", bit_order="reversed")),
        (renamed(sorted_by_name), Adaptation(flatten=True)),
        (wrong_for("repeated"), Adaptation(unsound=frozenset({"repeated"}))),
        (wrong_for("mid-circuit"), Adaptation(unsound=frozenset({"mid-circuit"}))),
        (first_of_two_counts, Adaptation(unsound=frozenset({"overwritten"}))),
        (ordered_by_qubit(), Adaptation(unsound=frozenset({"overwritten"}))),
        (ordered_by_qubit(falling=True), Adaptation(unsound=frozenset({"overwritten"}))),
    ],
)
def test_a_lie_that_can_be_read_is_adapted_to(lie, adaptation):
    """Exactly the adaptation that undoes a lie is found."""
    found = check_backend(Lying(lie))
    assert found.adaptation == adaptation
    assert found.ok


def swapped(_circuits, result):
    result.results.reverse()
    return result


def only_first(_circuits, result):
    del result.results[1:]
    return result


def nothing(_circuits, result):
    for experiment in result.results:
        experiment.data = ExperimentResultData()
    return result


@pytest.mark.parametrize("lie", [qubits_reported, swapped, only_first, nothing])
def test_a_lie_that_cannot_be_read_is_refused(lie):
    """Where no reading makes everything right the backend is refused, and it is said what was seen."""
    found = check_backend(Lying(lie))
    assert not found.ok
    assert "wrong in every reading" in found.refusal
    assert "refused" in str(found)
    assert "WRONG" in str(found)


@pytest.mark.parametrize("several", [True, False])
def test_a_job_of_one_circuit_that_differs_is_refused(several):
    """What holds for a job of several circuits must hold for a job of one."""

    def lie(circuits, result):
        turned = (len(circuits) > 1) == several
        return renamed(both_reversed if turned else without_spaces)(circuits, result)

    found = check_backend(Lying(lie))
    assert "a job of one circuit in another way" in found.refusal
    # A member whose jobs are all of one kind is read as that kind is written.
    member = Member(Lying(lie), limits=Limits(max_circuits=1))
    both = Adaptation(register_order="reversed", bit_order="reversed")
    assert check_backend(member).adaptation == (FAITHFUL if several else both)


def test_an_honest_backend_passes_and_is_described():
    """All is right, and its habits are told."""
    backend = Lying()
    found = check_backend(backend, shots=60)
    assert found.adaptation == FAITHFUL
    assert {finding.ok for finding in found.findings} <= {True, None}
    seen = {finding.name: finding.seen for finding in found.findings}
    assert seen["shots"] == "60 of 60"
    assert seen["seed"] == "honoured"
    assert seen["format"] == "counts hexadecimal, memory hexadecimal, believed"
    assert str(found).startswith("lying: ok\n")
    assert len(backend.runs) == 5
    assert 1 in backend.runs


def test_habits_are_told():
    """Short results, odd formats and seeds that are not kept are reported, and are no reason to refuse."""

    def lie(circuits, result):
        for experiment in result.results:
            counts = {int(name, 16): n for name, n in experiment.data.counts.items()}
            if len(counts) > 2:
                counts[max(counts, key=counts.get)] -= 1 + len(runs)
                runs.append(counts)
            experiment.data = ExperimentResultData(counts=counts)
        return result

    runs = []
    found = check_backend(Lying(lie))
    seen = {finding.name: finding for finding in found.findings}
    assert found.ok
    assert seen["shots"].ok is False
    assert seen["shots"].seen == "99 of 100"
    assert seen["format"].seen == "counts of int, memory none"
    assert seen["seed"].seen == "ignored"


def test_noise_does_not_disturb():
    """The right outcome has to be the most frequent, and to be seen in half of the shots."""

    def noisy(share):
        def lie(circuits, result):
            for experiment in result.results:
                wrong = int(share * 100)
                counts = Counter({name: n - wrong for name, n in experiment.data.counts.items()})
                counts[hex(int(*experiment.data.counts, 16) ^ 1)] += wrong
                experiment.data = ExperimentResultData(counts=dict(counts))
            return result

        return lambda circuits, result: (
            lie(circuits, result) if len(result.results[0].data.counts) == 1 else result
        )

    assert check_backend(Lying(noisy(0.4))).adaptation == FAITHFUL
    assert not check_backend(Lying(noisy(0.6))).ok


class OneCircuit(Lying):
    def run(self, circuits, **options):
        if len(circuits) > 1:
            raise ValueError("one at a time")
        return super().run(circuits, **options)


class Unable(Lying):
    """Refuses, loudly, what it cannot do."""

    def run(self, circuits, **options):
        if any(traits(circuit) for circuit in circuits):
            raise ValueError("cannot measure twice")
        return super().run(circuits, **options)


def test_errors_are_not_lies():
    """What a backend refuses to do is told and not held against it; the rest is asked alone."""
    found = check_backend(OneCircuit())
    assert found.adaptation == FAITHFUL
    seen = {finding.name: finding for finding in found.findings}
    assert seen["circuits in a job"].ok is None
    assert "one at a time" in seen["parameters"].seen
    found = check_backend(Unable())
    assert found.adaptation == FAITHFUL
    seen = {finding.name: finding for finding in found.findings}
    assert seen["mid-circuit"].ok is None
    assert "cannot measure twice" in seen["mid-circuit"].seen


class Picky(Lying):
    """Takes two registers of one and two bits, and nothing else."""

    def run(self, circuits, **options):
        if any([register.size for register in circuit.cregs] != [1, 2] for circuit in circuits):
            raise ValueError("not these")
        return super().run(circuits, **options)


def test_nothing_is_guessed():
    """Where too little is answered to tell two readings apart neither is taken."""

    def unspaced(circuit, bits):
        return registers_reversed(circuit, bits).replace(" ", "")

    found = check_backend(Picky(renamed(unspaced)))
    assert "several ways" in found.refusal


class NoSuperposition(Lying):
    def run(self, circuits, **options):
        if any("h" in circuit.count_ops() for circuit in circuits):
            raise ValueError("no h")
        return super().run(circuits, **options)


def test_habits_that_cannot_be_seen():
    """A backend without Hadamard gates is as good as any for what it can do."""
    found = check_backend(NoSuperposition())
    assert found.ok
    assert found.findings[-1].seen == "not answered: ValueError: no h"


def test_memory_that_disagrees_is_told():
    """Memory is looked at beside the counts; a backend without seeds is not blamed for that."""

    def lie(circuits, result):
        for experiment in result.results:
            memory = written * experiment.shots
            experiment.data = ExperimentResultData(counts=experiment.data.counts, memory=memory)
        return result

    written = ["?"]
    found = check_backend(Seedless(lie))
    seen = {finding.name: finding.seen for finding in found.findings}
    assert seen["format"].endswith("memory like '?', not believed: it disagrees with the counts")
    written = ["0x0"]
    assert "contradict" in check_backend(Seedless(lie)).refusal
    assert seen["seed"] == "not taken"


class Seedless(Lying):
    @classmethod
    def _default_options(cls):
        return Options(shots=1024)


def test_limits_are_kept():
    """No job holds more circuits than one may, and shots are within their limits."""
    backend = Lying()
    limits = Limits(max_circuits=4, min_shots=200, num_qubits=5)
    found = check_backend(Member(backend, limits=limits))
    assert found.ok
    assert max(backend.runs) <= 4
    assert "of 200 shots" in found.findings[0].seen


def test_a_narrow_backend_is_asked_what_fits():
    """Circuits that a member has no room for are left out."""
    member = Member(Narrow())
    found = check_backend(member)
    assert found.ok
    seen = {finding.name: finding for finding in found.findings}
    assert seen["bit order"].ok is None
    assert seen["loose bits"].ok is True


class Narrow(Lying):
    target = None
    num_qubits = 2


class Down(Lying):
    def run(self, circuits, **options):
        self.runs.append(len(circuits))
        if len(self.runs) <= 1:
            raise ConnectionError("down")
        return super().run(circuits, **options)


class Incapable(Lying):
    def run(self, circuits, **options):
        raise ValueError("no")


class MeasuresOnly(Lying):
    target = Target(num_qubits=3)


class NoCompiler:
    def run(self, circuit):
        raise TranspilerError("there is no x")


MeasuresOnly.target.add_instruction(Measure(), {(qubit,): None for qubit in range(3)})


def test_what_cannot_be_asked_is_an_error():
    """An outage, or a backend that takes nothing, says nothing about its bits."""
    with pytest.raises(BackendError, match="down"):
        check_backend(Down())
    with pytest.raises(BackendError, match="no"):
        check_backend(Incapable())


# What a member goes by.


def batch(circuit):
    entry = Entry(program=Program(circuit=circuit), rows=np.empty((1, 0)))
    return Batch(entries=(entry,), shots=10, kept_shots=10)


def flipped():
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.anyio
async def test_a_member_reads_its_backend_as_the_check_found():
    """What a check finds and a member is given makes answers right; the member checks nothing."""
    backend = Lying(renamed(bits_reversed))
    member = Member(backend, adaptation=check_backend(backend).adaptation)
    asked = len(backend.runs)

    (outcome,) = await member.collect(await member.submit(batch(flipped())))

    assert outcome.patterns.tolist() == [[1]]
    assert len(backend.runs) == asked + 1


@pytest.mark.anyio
async def test_a_member_can_be_checked_where_it_stands():
    """It goes by what was found from then on; after an outage, by what it went by before."""
    backend = Lying(renamed(bits_reversed))
    member = Member(backend)

    found = await check_member(member)

    assert found.ok
    assert member.adaptation == found.adaptation == Adaptation(bit_order="reversed")
    (outcome,) = await member.collect(await member.submit(batch(flipped())))
    assert outcome.patterns.tolist() == [[1]]

    member = Member(Down())
    with pytest.raises(BackendError, match="down"):
        await check_member(member)
    assert member.adaptation == FAITHFUL


@pytest.mark.anyio
async def test_a_refused_member_refuses_everything():
    """Nothing is sent to a backend of which a check says that it cannot be read."""
    backend = Lying(swapped)
    found = check_backend(backend)
    assert len(backend.runs) == 1 + 1  # Flattened, too.
    member = Member(backend, adaptation=found.adaptation)
    for _ in range(2):
        with pytest.raises(Refused, match="wrong in every reading"):
            await member.submit(batch(flipped()))
    assert len(backend.runs) == 2
    assert "wrong" in member.refusal(Program(circuit=flipped()), 10, {})


@pytest.mark.anyio
async def test_unsound_circuits_are_refused():
    """A circuit with a trait that the backend gets wrong is not sent; others are."""
    backend = Lying(wrong_for("mid-circuit"))
    member = Member(backend, adaptation=check_backend(backend).adaptation)
    circuit = flipped()
    circuit.x(0)
    circuit.measure(0, 1)
    with pytest.raises(Refused, match="mid-circuit"):
        await member.submit(batch(circuit))
    assert (await member.collect(await member.submit(batch(flipped()))))[0].error is None


def test_an_outage_during_a_check_is_not_a_verdict():
    """It is an error, and the next check may succeed."""
    backend = Down()
    with pytest.raises(BackendError, match="down"):
        check_backend(backend)
    assert check_backend(backend).adaptation == FAITHFUL


def test_a_member_that_can_run_nothing_is_refused():
    """Where none of the circuits can be compiled, neither can anything be told about the rest."""
    found = check_backend(Member(MeasuresOnly(), pass_manager=NoCompiler()))
    assert "none of the circuits" in found.refusal


def test_members_that_are_to_check_say_what_to_do_now():
    """The keyword is gone: the error names the function and the argument that take its place."""
    with pytest.raises(TypeError, match=r"check_backend\(backend\).*adaptation="):
        Member(Lying(), check=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'chekc'"):
        Member(Lying(), chekc=True)


def test_traits():
    """Barriers are nothing; control flow may be anything."""
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    circuit.x(1)
    assert traits(circuit) == frozenset()
    circuit.barrier()
    circuit.measure(0, 1)
    assert traits(circuit) == {"repeated"}
    circuit.x(0)
    assert traits(circuit) == {"repeated", "mid-circuit"}
    circuit.measure(1, 0)
    assert traits(circuit) == {"repeated", "mid-circuit", "overwritten"}
    dynamic = QuantumCircuit(1, 1)
    with dynamic.if_test((0, True)):
        dynamic.x(0)
    assert traits(dynamic) == {"repeated", "mid-circuit", "overwritten", "reset"}
