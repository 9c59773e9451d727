"""Limits are believed where they are told, and the user's own win."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway.backends.interface.limits import Limits, discover

NAMES = list(Limits.__dataclass_fields__)
known = st.none() | st.integers(1, 10**9)
limits = st.builds(
    Limits, **{name: known for name in NAMES if name != "min_shots"}, min_shots=st.none()
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_a_limit_is_a_positive_integer(name, value, error):
    """Anything else is named, with what to write instead."""
    with pytest.raises(error, match=f"{name} must be a positive integer"):
        Limits(**{name: value})


def test_integers_of_numpy_are_taken_as_integers():
    """Providers hand out numpy integers."""
    assert type(Limits(max_shots=np.int64(5)).max_shots) is int


def test_shots_must_leave_room():
    """A floor above the cap would let no job run."""
    with pytest.raises(ValueError, match="min_shots=100 is above max_shots=50"):
        Limits(min_shots=100, max_shots=50)
    with pytest.raises(ValueError, match="min_shots=100 is above max_executions=50"):
        Limits(min_shots=100, max_executions=50)


@given(limits, limits)
def test_explicit_limits_win(found, explicit):
    """What the user gives is kept, what they leave open is what was found."""
    merged = found.overridden_by(explicit)
    for name in NAMES:
        given_value = getattr(explicit, name)
        expected = getattr(found, name) if given_value is None else given_value
        assert getattr(merged, name) == expected
    assert found.overridden_by(None) == found


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"max_circuits": 50, "num_qubits": 20}, Limits(max_circuits=50, num_qubits=20)),
        ({"max_circuits": 0}, Limits()),
        ({"max_shots": 500}, Limits(max_shots=500)),
        ({"max_shots": lambda: 500}, Limits()),
        ({"max_shots": 1}, Limits()),
        ({"MAX_SHOTS": 2000}, Limits(max_shots=2000)),
        ({"_max_shots": 10_000}, Limits(max_shots=10_000)),
        ({"_max_shots": 1}, Limits()),
        ({"MAX_SHOTS": 2000, "max_shots": 100}, Limits(max_shots=100)),
        ({"max_circuits": "many", "num_qubits": 5.0}, Limits()),
        ({"target": SimpleNamespace(num_qubits=7)}, Limits(num_qubits=7)),
    ],
)
def test_every_spelling_is_read(attributes, expected):
    """Each way in which providers tell a limit, and each way in which they tell none."""
    assert discover(SimpleNamespace(**attributes)) == expected


@pytest.mark.parametrize(
    "largest", [2**31 - 1, 2**32 - 1, 2**53 - 1, sys.maxsize, 2**64 - 1, 10**400]
)
def test_a_largest_integer_is_no_limit(largest):
    """Wherever it is told; a limit beside it counts, and the next smaller integers are limits."""
    told = {"max_shots": largest, "max_circuits": largest, "num_qubits": largest}
    assert discover(SimpleNamespace(**told)) == Limits()
    assert discover(SimpleNamespace(**told, MAX_SHOTS=2000)) == Limits(max_shots=2000)
    legacy = SimpleNamespace(max_shots=largest, max_experiments=largest)
    assert discover(SimpleNamespace(configuration=lambda: legacy)) == Limits()
    service = SimpleNamespace(shotsRange=(1, largest))
    device = SimpleNamespace(properties=SimpleNamespace(service=service))
    assert discover(SimpleNamespace(_device=device)) == Limits(min_shots=1)
    assert discover(SimpleNamespace(max_shots=2**31 - 2)) == Limits(max_shots=2**31 - 2)


def test_legacy_configurations_are_read():
    """The old configuration object still tells circuits and shots."""
    told = SimpleNamespace(max_shots=100_000, max_experiments=300)
    backend = SimpleNamespace(max_circuits=None, configuration=lambda: told)
    assert discover(backend) == Limits(max_circuits=300, max_shots=100_000)


@pytest.mark.parametrize(
    ("shots", "expected"),
    [
        ((100, 5000), Limits(min_shots=100, max_shots=5000)),
        ([1, 10], Limits(min_shots=1, max_shots=10)),
        ((0, None), Limits()),
        ("1-10", Limits()),
        ((5,), Limits()),
    ],
)
def test_braket_devices_have_a_floor(shots, expected):
    """The range of shots of an AWS device has a lower end."""
    service = SimpleNamespace(shotsRange=shots)
    device = SimpleNamespace(properties=SimpleNamespace(service=service))
    assert discover(SimpleNamespace(_device=device)) == expected


def test_a_floor_above_another_cap_is_not_believed():
    """Contradicting answers never raise."""
    service = SimpleNamespace(shotsRange=(100, 5000))
    device = SimpleNamespace(properties=SimpleNamespace(service=service))
    assert discover(SimpleNamespace(_device=device, max_shots=50)) == Limits(max_shots=50)


class Hostile:
    """A backend on which nothing can be read."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_discovery_never_raises():
    """Whatever reading an attribute does, it tells at worst nothing."""
    assert discover(Hostile()) == Limits()
    assert discover(None) == Limits()
    assert discover(SimpleNamespace(configuration=Hostile())) == Limits()


def test_qiskits_own_backends():
    """The basic simulator does not tell its width, which is 24."""
    assert discover(BasicSimulator()) == Limits(num_qubits=24)
    assert discover(GenericBackendV2(3, seed=1)) == Limits(num_qubits=3)


@pytest.mark.providers
def test_aer():
    """Aer tells a million shots, though it does not enforce that."""
    aer = pytest.importorskip("qiskit_aer")
    assert discover(aer.AerSimulator()).max_shots == 1_000_000


@pytest.mark.providers
def test_ibm_fakes():
    """IBM's fakes tell circuits and shots in their configuration."""
    fakes = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    expected = Limits(max_circuits=300, max_shots=100_000, num_qubits=5)
    assert discover(fakes.FakeManilaV2()) == expected


@pytest.mark.providers
def test_ionqs_simulator_has_no_cap_of_one_shot():
    """The one shot that IonQ's simulator tells is not meant."""
    pytest.importorskip("qiskit_ionq")
    from qiskit_ionq.ionq_backend import IonQSimulatorBackend

    told = IonQSimulatorBackend.__new__(IonQSimulatorBackend)
    told._max_shots = 1
    assert discover(told).max_shots is None


@pytest.mark.providers
def test_silent_providers_tell_a_width_or_nothing():
    """Most local simulators tell no more than how wide they are."""
    qdk = pytest.importorskip("qdk.qiskit")
    ddsim = pytest.importorskip("mqt.ddsim").DDSIMProvider().get_backend("qasm_simulator")
    assert discover(qdk.QSharpBackend()) == Limits()
    assert discover(ddsim) == Limits(num_qubits=128)


@pytest.mark.providers
@pytest.mark.parametrize(
    ("method", "limited"),
    [
        ("automatic", False),
        ("matrix_product_state", False),
        ("stabilizer", False),
        ("statevector", True),
        ("density_matrix", True),
        ("extended_stabilizer", True),
        ("unitary", True),
    ],
)
def test_aer_limits_qubits_where_its_memory_does(method, limited):
    """What it tells of others is no limit; the method is that of the backend, or of its options."""
    aer = pytest.importorskip("qiskit_aer")
    backend = aer.AerSimulator(method=method)
    assert discover(backend).num_qubits == (backend.num_qubits if limited else None)
    other = aer.AerSimulator(method="unitary")
    told = discover(other, {"method": method}).num_qubits
    assert told == (other.num_qubits if limited else None)


@pytest.mark.providers
def test_aer_as_a_machine_has_its_qubits():
    """With a coupling map the number of qubits is a fact, whatever the method."""
    aer = pytest.importorskip("qiskit_aer")
    machine = GenericBackendV2(5, coupling_map=[[0, 1], [1, 2], [2, 3], [3, 4]], seed=1)
    assert discover(aer.AerSimulator.from_backend(machine)).num_qubits == 5
