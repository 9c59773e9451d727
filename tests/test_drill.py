"""The drill judges rightly: what is wrong, lost or paid twice is told, and what is right is not."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit

ROOT = Path(__file__).parents[1]


@pytest.fixture
def drill(monkeypatch):
    """Return a module of the drill by its name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.drill.{name}")


def drawn(chances, shots, rng):
    keys = [*chances]
    counts = rng.multinomial(shots, [chances[key] for key in keys])
    return {key: int(count) for key, count in zip(keys, counts, strict=True) if count}


@pytest.mark.parametrize("outcomes", [1, 2, 16, 256])
def test_right_answers_are_not_called_wrong(drill, outcomes):
    """Of a thousand right answers of each kind none is called wrong."""
    is_wrong, rng = drill("judging").is_wrong, np.random.default_rng(outcomes)
    for _ in range(1000):
        chances = rng.dirichlet(np.ones(outcomes))
        exact = {f"{number:08b}": float(one) for number, one in enumerate(chances)}
        assert not is_wrong(drawn(exact, 250, rng), exact)


def test_wrong_answers_are_called_wrong(drill):
    """Zeros throughout, bits in reverse, and one outcome that cannot be, are found."""
    is_wrong = drill("judging").is_wrong
    even = {f"{number:04b}": 1 / 16 for number in range(16)}
    assert is_wrong({"0000": 250}, even)
    assert is_wrong({"0001": 250}, {"1000": 1.0})
    assert is_wrong({"00": 124, "11": 125, "01": 1}, {"00": 0.5, "11": 0.5})
    assert is_wrong({"00": 250}, {"00": 0.5, "11": 0.5})


def test_exact_distributions_have_bits_where_counts_have_them(drill):
    """The last bit of the text is the first classical bit, whatever qubit it is of."""
    circuit = QuantumCircuit(3, 2)
    circuit.x(0)
    circuit.h(2)
    circuit.barrier()
    circuit.measure([0, 2], [1, 0])
    assert drill("work").exact_distribution(circuit) == pytest.approx({"10": 0.5, "11": 0.5})


def test_a_job_that_does_what_another_was_paid_for_is_paid_twice(drill):
    """Only jobs that cost money count, and each once; what was free may be done again."""
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("scipy")
    count = drill("command")._count_paid_twice
    books = [
        {"at": "ionq", "circuits": ["a", "b"], "shots": 10, "usd": 3.0},
        {"at": "aer", "circuits": ["b", "c"], "shots": 10, "usd": 0.0},
        {"at": "aer", "circuits": ["c"], "shots": 10, "usd": 0.0},
        {"at": "ionq", "circuits": ["d"], "shots": 10, "usd": 3.0},
        {"at": "ionq", "circuits": ["e"], "shots": 5, "usd": 3.0},
        {"at": "ionq", "circuits": ["e"], "shots": 5, "usd": 3.0},
    ]
    assert count(books, 10) == 0
    assert count([*books, books[3]], 10) == 2
    assert count([*books, books[0], books[4]], 10) == 5


def test_copies_of_a_circuit_are_booked_as_that(drill, tmp_path):
    """The number that binding parameters adds to a name is no part of it."""
    pytest.importorskip("qiskit_aer")
    providers = drill("providers")
    providers.note(tmp_path, at="aer", circuits=["c12-345", "c3"], shots=10, usd=0.0)
    assert providers.read_books(tmp_path)[0]["circuits"] == ["c12", "c3"]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell")
def test_what_others_take_of_the_machine_is_told_apart(drill):
    """Processor time of a session counts as that of others unless it is named as ours."""
    load = drill("machine_load")
    burn = "import time, sys\nwhile time.process_time() < 0.6: pass\nprint(); sys.stdout.flush(); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", burn], start_new_session=True, **pipes) as child:  # noqa: S603
        ours, without = load.MachineLoad([os.getpid()]), load.MachineLoad([os.getpid()])
        ours.add(child.pid)
        child.stdout.readline()
        assert load.processor_seconds(child.pid) >= 0.5
        assert 0 <= ours.share_of_others < without.share_of_others <= 1
        child.communicate(b"\n")


def test_no_time_is_less_than_that_of_all_processors(drill):
    """The bound has each provider's rate, its share of the work, the budget, and the processors."""
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("scipy")
    command, work = drill("command"), drill("work").Work(0, 100)
    ten = command._least_seconds(work, [1.0, 1.0, 1.0, 1.0], [20.3, 0, 0, 0], 100)
    assert ten >= 100 / min(5, os.cpu_count()) - 1e-9
    assert command._least_seconds(work, [1.0, 1e3, 1e3, 1e3], [1e9, 0, 0, 0], 100) > 1e4


def test_trouble_is_that_of_its_seed(drill):
    """The same seed is the same trouble; an outage ends before the work does."""
    pytest.importorskip("qiskit_aer")
    trouble = drill("command").Trouble
    assert trouble.draw(7) == trouble.draw(7) != trouble.draw(8)
    for seed in range(50):
        assert 0 < trouble.draw(seed).down < trouble.draw(seed).down + 0.4 < 1
        assert 0 < trouble.draw(seed).killed < 1


@pytest.mark.drill
@pytest.mark.filterwarnings("ignore")
def test_the_router_comes_through_a_small_drill(drill, tmp_path):
    """An outage, a kill, a poison circuit and a budget: no answer is wrong or lost, no job paid twice."""
    for package in ("mqt.bench", "qiskit_experiments", "qiskit_aer", "qiskit_ionq", "scipy"):
        pytest.importorskip(package)
    command, work = drill("command"), drill("work").Work(6, 30)
    exact = {one.name: drill("work").exact_distribution(one) for one in work.circuits}
    work.save(tmp_path / "circuits.qpy")
    trouble, folder = command.Trouble.draw(6), tmp_path / "qiskit-gateway"
    seconds, _ = command.run_contender("qiskit-gateway", work, trouble, folder)
    outcome = command.judge("qiskit-gateway", work, folder, exact, seconds)
    assert outcome.spotless, outcome
    assert len({line["at"] for line in drill("providers").read_books(folder)}) > 1
