"""Of several compilations the best one is sent, and what is sent is compiled once."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap, PassManager

from qiskit_gateway import load_config
from qiskit_gateway.backends import ExecutorMember, Member, SimulatedMember
from qiskit_gateway.backends.circuits.estimates import estimate_fidelity
from qiskit_gateway.backends.compilation.cache import IsaCache
from qiskit_gateway.backends.interface.batch import Program

# A line on which chance decides how many swaps there are.
BACKEND = GenericBackendV2(8, coupling_map=CouplingMap.from_line(8), seed=3)


def tangled(seed, *, free=False):
    """Make a circuit of gates between any two qubits."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(6)
    for number in range(12):
        circuit.ry(Parameter(f"a{number}") if free else 0.1 * number, number % 6)
        circuit.cx(*map(int, rng.choice(6, 2, replace=False)))
    circuit.measure_all()
    return circuit


def fidelity(circuit, tries, **others):
    ready = IsaCache(BACKEND, tries=tries, **others).prepare(Program(circuit=circuit))
    return estimate_fidelity(ready.specimen, BACKEND.target)


@pytest.mark.parametrize("free", [False, True])
def test_more_tries_are_never_worse_and_mostly_better(free):
    """The first try is that of a single one, so the best of more cannot lose."""
    circuits = [tangled(seed, free=free) for seed in range(4)]
    once, often = ([fidelity(one, tries) for one in circuits] for tries in (1, 8))
    assert all(best >= first for best, first in zip(often, once, strict=True))
    assert sum(best > first for best, first in zip(often, once, strict=True)) >= 2


def test_without_errors_the_fewest_gates_win():
    """A target that tells no errors is judged by its two-qubit gates."""
    backend = GenericBackendV2(8, coupling_map=CouplingMap.from_line(8), noise_info=False)

    def gates(circuit, tries):
        return IsaCache(backend, tries=tries).prepare(Program(circuit=circuit)).gates.num_2q

    circuits = [tangled(seed) for seed in range(4)]
    once, often = ([gates(one, tries) for one in circuits] for tries in (1, 8))
    assert all(best <= first for best, first in zip(often, once, strict=True))
    assert sum(once) > sum(often)


def test_what_was_chosen_is_kept():
    """A circuit is compiled so many times once, and not again for the next job."""

    class Counted(PassManager):
        runs = 0

        def run(self, circuits, **named):
            Counted.runs += 1
            return super().run(circuits, **named)

    member = Member(GenericBackendV2(6, seed=1), pass_manager=Counted(), compile_tries=3)
    program = Program(circuit=tangled(1))
    for _ in range(2):
        member._isa.prepare(program)
    assert Counted.runs == 3


@pytest.mark.parametrize(
    ("tries", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_numbers_are_refused(tries, error):
    """By a clear error that says what was seen."""
    with pytest.raises(error, match=f"compile_tries must be .* got {tries}"):
        Member(BACKEND, compile_tries=tries)


def test_it_is_an_option_of_a_file(tmp_path):
    """And of members on workers; a simulated member compiles nothing."""
    path = tmp_path / "fleet.toml"
    basic = "qiskit.providers.basic_provider:BasicSimulator"
    path.write_text(f'[[members]]\nbackend = "{basic}"\ncompile_tries = 4\n')
    assert load_config(path).fleet["basic_simulator"]._isa._tries == 4
    with pytest.raises(TypeError):
        SimulatedMember("a", compile_tries=4)
    from concurrent.futures import ThreadPoolExecutor

    assert ExecutorMember(ThreadPoolExecutor, basic, compile_tries=5)._isa._tries == 5
