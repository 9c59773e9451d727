"""Members over backends that are odd, and right all the same."""

from dataclasses import dataclass

import pytest
from made_up import Delivered, MadeUp
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import Member
from qiskit_gateway.policies import round_robin

TARGET = GenericBackendV2(3, seed=1).target


def ones(width=1):
    """Return a circuit whose answer is all ones."""
    circuit = QuantumCircuit(width)
    circuit.x(range(width))
    circuit.measure_all()
    return circuit


def counts(job):
    """Return what a job counted in each PUB."""
    return [pub.data.meas.get_counts() for pub in job.result(timeout=30)]


class Ones(MadeUp):
    """A backend that answers all ones to every circuit, and keeps its jobs."""

    def __init__(self, name="ones", target=TARGET):
        super().__init__(name, target)
        self.jobs = []

    def run(self, circuits, **options):
        circuits = circuits if isinstance(circuits, list) else [circuits]
        data = [{"counts": {hex(2**one.num_clbits - 1): options["shots"]}} for one in circuits]
        self.jobs.append(Delivered(self, data, options["shots"]))
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
    assert RouterEstimator(pair[0]).run([(bare, "Z")]).result(timeout=30)[0].data.evs == -1


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
