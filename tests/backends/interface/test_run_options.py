"""Options are known, and their values taken, as a backend says."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import BaseModel, Field
from qiskit.providers import Options

from qiskit_gateway.backends.interface.limits import Limits, discover
from qiskit_gateway.backends.interface.run_options import known_options, objection


class Model(BaseModel, validate_assignment=True):
    """Options as AQT has them."""

    shots: int = Field(default=100, ge=1, le=200)
    memory: bool = False
    wait_seconds: float = Field(default=1.0, gt=0)


class Hostile(dict):
    """Options that cannot be read."""

    def __iter__(self):
        raise RuntimeError("not read")

    @property
    def validator(self):
        raise RuntimeError("not read")


def options(**validators):
    """Return Qiskit's options, with validators."""
    made = Options(shots=100, memory=False, seed_simulator=None, level=1)
    for name, allowed in validators.items():
        made.set_validator(name, allowed)
    return made


def backend(given, run=lambda circuits, **options: None):
    """Return something that has options and a run()."""
    return SimpleNamespace(options=given, run=run)


def takes_all(circuits, shots=1, *, memory=False, **more):
    raise NotImplementedError


def takes_three(circuits, shots=1, seed_simulator=None, *, tag=""):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("given", "run", "known"),
    [
        (Options(shots=1, level=2), lambda circuits, **more: None, {"shots", "level"}),
        (Options(shots=1, level=2), takes_all, {"shots", "level", "memory"}),
        (Options(shots=1, level=2), takes_three, {"shots", "seed_simulator", "tag"}),
        (Options(), takes_all, {"shots", "memory"}),
        (Options(), lambda *given, **more: None, set()),
        (Model(), takes_all, {"shots", "memory", "wait_seconds"}),
        (SimpleNamespace(shots=1), takes_all, {"shots", "memory"}),
        ({"level": 1}, takes_all, {"level", "shots", "memory"}),
        (Hostile(), takes_all, {"shots", "memory"}),
        (Options(level=1), partial(takes_all, shots=5), {"level", "shots", "memory"}),
        (Options(level=1), int, {"level"}),
        (None, None, set()),
    ],
)
def test_known_options(given, run, known):
    """What is listed, and the parameters of run(); those alone where it takes no other keyword."""
    assert known_options(backend(given, run)) == known


@pytest.mark.parametrize(
    ("given", "name", "value", "taken"),
    [
        (options(memory=[False]), "memory", False, True),
        (options(memory=[False]), "memory", True, False),
        (options(seed_simulator=[None]), "seed_simulator", 7, False),
        (options(seed_simulator=[None]), "seed_simulator", None, True),
        (options(seed_simulator=(0, 1000)), "seed_simulator", 1000, True),
        (options(seed_simulator=(0, 1000)), "seed_simulator", 2**30, False),
        (options(seed_simulator=(0, 1000)), "seed_simulator", None, False),
        (options(memory=bool), "memory", True, True),
        (options(memory=bool), "memory", "yes", False),
        (options(level=["low", "high"]), "level", "low", True),
        (options(level=["low", "high"]), "level", np.zeros(3), False),
        (options(), "level", "anything", True),
        (options(), "other", 5, True),
        (Model(), "memory", True, True),
        (Model(), "memory", "perhaps", False),
        (Model(), "wait_seconds", -1, False),
        (None, "memory", True, True),
        (SimpleNamespace(validator="none"), "memory", True, True),
        (Hostile(), "memory", True, True),
        ({"memory": False}, "memory", True, True),
    ],
)
def test_objections(given, name, value, taken):
    """Choices, ranges and types, as Qiskit checks them, and the fields of a model of pydantic's."""
    said = objection(backend(given), name, value)
    assert (not said) is taken
    assert taken or said.startswith(f"does not take {value!r} for the option {name!r}: ")


def test_an_objection_changes_nothing():
    """It is asked of a copy."""
    for given in (options(level=(1, 5)), Model()):
        before = dict(given)
        for name in before:
            objection(backend(given), name, 3)
        assert dict(given) == before


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        (options(shots=(1, 1024)), Limits(min_shots=1, max_shots=1024)),
        (options(shots=(100, 1e5)), Limits(min_shots=100, max_shots=100_000)),
        (options(shots=(0.5, 1024.5)), Limits(min_shots=1, max_shots=1024)),
        (options(shots=(np.int64(2), np.int64(9))), Limits(min_shots=2, max_shots=9)),
        (options(shots=(0, float("inf"))), Limits()),
        (options(shots=(1, 1)), Limits(min_shots=1, max_shots=1)),
        (options(shots=[1024]), Limits(min_shots=1024, max_shots=1024)),
        (options(shots=list(range(1, 51))), Limits(min_shots=1, max_shots=50)),
        (options(shots=[2000, 100, 1000]), Limits(min_shots=100, max_shots=100)),
        (options(shots=["few", "many"]), Limits()),
        (options(shots=("a", "b")), Limits()),
        (options(shots=int), Limits()),
        (options(), Limits()),
        (Hostile(), Limits()),
        ({"shots": 5}, Limits()),
        (Model(), Limits(min_shots=1, max_shots=200)),
    ],
)
def test_the_validator_of_shots_is_a_limit(given, limits):
    """A range is a range; of choices with gaps every number of shots is made of the smallest."""
    assert discover(backend(given)) == limits


def test_the_narrowest_limit_of_shots_counts():
    """A backend may tell it in two places; the user's wins over both."""
    told = SimpleNamespace(options=options(shots=(10, 1024)), max_shots=500)
    assert discover(told) == Limits(min_shots=10, max_shots=500)
    given = Limits(min_shots=1, max_shots=5000)
    assert discover(told).overridden_by(given) == given
