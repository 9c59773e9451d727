"""The drill judges rightly: what is wrong, lost or paid twice is told, and what is right is not."""

import importlib
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


def test_a_job_that_does_what_was_done_is_paid_twice(drill):
    """Only jobs that cost money count, and each once."""
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
    assert count(books, 10) == 1
    assert count([*books, books[3]], 10) == 3


def test_trouble_is_that_of_its_seed(drill):
    """The same seed is the same trouble; an outage ends before the work does."""
    pytest.importorskip("qiskit_aer")
    trouble = drill("command").Trouble
    assert trouble.draw(7) == trouble.draw(7) != trouble.draw(8)
    for seed in range(50):
        assert 0 < trouble.draw(seed).down < trouble.draw(seed).down + 0.4 < 1
        assert 0 < trouble.draw(seed).killed < 1
