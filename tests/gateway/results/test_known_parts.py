"""Observables are known by what they are: the same ones again cost nothing, others are others."""

import copy
import pickle

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp

from qiskit_gateway import RouterEstimator
from qiskit_gateway.results.known_parts import KnownParts
from qiskit_gateway.results.observables import Observables, group_rows, parts_of

LABELS = ["ZZI", "XXI", "IYY", "ZIZ"]


def observables(*sums):
    return Observables.of(ObservablesArray.coerce(list(sums)))


def same(found, expected):
    """Tell whether parts say the same."""
    names = ("factors", "columns", "starts", "terms", "coefficients")
    return [one.basis for one in found] == [one.basis for one in expected] and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(found, expected, strict=True)
        for name in names
    )


def test_equal_observables_have_the_very_same_parts():
    """Also where they are objects of their own, which those of a loop are."""
    known, wanted = KnownParts(), np.arange(1)
    first, again = (
        known.parts(observables(SparsePauliOp(LABELS, [1, 2, 3, 4])), wanted, abelian=True)
        for _ in range(2)
    )
    assert first is again
    assert known.quantities(first[0], 100, covariances=True) is known.quantities(
        again[0], 100, covariances=True
    )


@pytest.mark.parametrize(
    "other",
    [
        [SparsePauliOp(LABELS, [1, 2, 3, 5])],
        [SparsePauliOp(["ZZI", "XXI", "IYY", "ZZZ"], [1, 2, 3, 4])],
        [SparsePauliOp(["IZZI", "IXXI", "IIYY", "IZIZ"], [1, 2, 3, 4])],
        [SparsePauliOp(LABELS[:2], [1, 2]), SparsePauliOp(LABELS[2:], [3, 4])],
        ["ZZI"],
        ["III"],
    ],
)
@pytest.mark.parametrize("abelian", [True, False])
def test_what_differs_in_anything_is_found_anew(other, abelian):
    """Coefficients, letters, width, number, grouping: the answer is that for what was asked."""
    known = KnownParts()
    known.parts(observables(SparsePauliOp(LABELS, [1, 2, 3, 4])), np.arange(1), abelian=True)
    asked = observables(*other)
    for wanted in (np.arange(len(other)), np.arange(1)):
        found = known.parts(asked, wanted, abelian=abelian)
        assert same(found, parts_of(asked, wanted, abelian=abelian))


def test_large_ones_are_not_kept():
    """A sweep of a million rows does not stay in memory."""
    known = KnownParts()
    shapes = (1, 1 << 15), (1 << 15,)
    found = known.groups(*shapes)
    assert found is not known.groups(*shapes)
    assert len(found) == len(group_rows(*shapes))
    wide = observables(*[f"{'Z' * 64}"] * (1 << 15))
    wanted = np.arange(1 << 15)
    assert known.parts(wide, wanted, abelian=True) is not known.parts(wide, wanted, abelian=True)


def test_copies_know_nothing_and_find_the_same():
    """So they can be pickled whatever they have seen."""
    known = KnownParts()
    known.groups((), ())
    for copied in (copy.deepcopy(known), pickle.loads(pickle.dumps(known))):  # noqa: S301
        assert len(copied.groups((), ())) == 1


def test_a_loop_sees_what_is_changed_between_its_calls():
    """An observable changed in place, a circuit that was added to, another precision."""
    angle = Parameter("angle")
    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    observable = SparsePauliOp(["ZZ", "XX", "ZI"], [1.0, 0.5, 0.25])
    estimator = RouterEstimator(BasicSimulator(), options={"seed_simulator": 3})

    def check(precision=0.02):
        pub = (circuit, observable, [0.4])
        found = estimator.run([pub], precision=precision).result()[0]
        exact = StatevectorEstimator().run([pub]).result()[0].data.evs
        assert abs(float(found.data.evs) - float(exact)) < 6 * float(found.data.stds) + 1e-9
        return found.metadata["shots"]

    assert check() == check() == 2500
    observable.coeffs[0] = -2.0
    check()
    circuit.x(1)
    check()
    observable.paulis.z[1] = [True, True]
    check()
    assert check(0.1) == 100
