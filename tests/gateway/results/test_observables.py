"""How observables become bases, and how shots of a basis become values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp

from qiskit_gateway.results.grouping import group_terms
from qiskit_gateway.results.observables import (
    Observables,
    Reading,
    bound_deviations,
    group_rows,
    parts_of,
)
from qiskit_gateway.results.pauli_words import write_pauli_label
from qiskit_gateway.results.shot_allocation import allocate_shots, shots_for

# The eigenvalue of each factor, by the bit that was measured.
EIGENVALUES = {
    "I": (1, 1),
    **dict.fromkeys("XYZ", (1, -1)),
    **dict.fromkeys("0+r", (1, 0)),
    **dict.fromkeys("1-l", (0, 1)),
}
LETTER = {**dict(zip("IXYZ", "IXYZ", strict=True)), **dict.fromkeys("01", "Z")}
LETTER |= dict.fromkeys("+-", "X") | dict.fromkeys("rl", "Y")


@st.composite
def observables(draw, qubits=4, alphabet="IIXYZ01+-rl", most=8):
    """Sums of products of Paulis and projectors."""
    labels = st.text(alphabet, min_size=qubits, max_size=qubits)
    weights = st.floats(0.1, 3) | st.floats(-3, -0.1)
    terms = draw(st.dictionaries(labels, weights, min_size=1, max_size=most))
    return SparseObservable.from_list(list(terms.items()))


def texts(factors):
    """Write factors as people do."""
    names = {int(bit): bit.label for bit in SparseObservable.BitTerm} | {0: "I"}
    return ["".join(names[factor] for factor in row[::-1]) for row in factors.tolist()]


# -- shots ---------------------------------------------------------------------------------------


def test_one_over_the_root_of_a_number_of_shots_asks_for_exactly_so_many():
    """Qiskit asks for one more in 29 769 of these cases."""
    assert all(shots_for(1 / math.sqrt(n)) == n for n in range(1, 100_001))
    assert all(shots_for(n**-0.5) == n for n in range(1, 100_001))
    assert all(shots_for(float(1 / np.sqrt(n))) == n for n in (10**9, 10**12, 2**39 + 1))


@given(st.floats(1e-4, 10))
def test_other_precisions_ask_for_the_next_whole_number(precision):
    """Never less than it takes, never a whole shot more."""
    shots = shots_for(precision)
    assert shots >= 1
    assert shots * (1 + 1e-14) >= precision**-2 > shots - 1 or shots == 1


@pytest.mark.parametrize("precision", [0, 0.0, -0.1, math.nan, math.inf, -math.inf, True, 1e-200])
def test_a_precision_that_cannot_be_met_is_an_error(precision):
    """Also if Qiskit would accept it and send something absurd."""
    with pytest.raises(ValueError, match="precision"):
        shots_for(precision)


@given(st.lists(observables(), min_size=1, max_size=3), st.floats(0.005, 0.5))
def test_allocated_shots_meet_the_precision_for_any_state(given_, precision):
    """The bound of every observable's standard error is at most the precision; and little less."""
    stated = Observables.of(ObservablesArray(given_))
    parts = parts_of(stated, range(len(given_)))
    shots, equal = allocate_shots(parts, len(given_), precision)
    weights = np.zeros((len(parts), len(given_)))
    for row, part in zip(weights, parts, strict=True):
        row[part.columns] = part.weights
    bounds = np.sqrt((weights**2 / np.reshape(shots, (-1, 1))).sum(axis=0))
    assert (bounds <= precision * (1 + 1e-9)).all()
    assert (np.sqrt((weights**2).sum(axis=0) / equal) <= precision * (1 + 1e-9)).all()
    if len(given_) == 1 and parts:
        needed = weights.sum() ** 2 / precision**2
        assert needed <= sum(shots) * (1 + 1e-9) <= (needed + len(parts)) * (1 + 1e-9)
        assert sum(shots) <= equal * len(parts) + len(parts)


@pytest.mark.parametrize("size", [1e160, 1e200])
def test_shots_do_not_depend_on_the_unit_of_an_observable(size):
    """Coefficients and precision in another unit ask for the same shots."""
    for factor in (1.0, size):
        terms = [("ZZ", 0.5 * factor), ("XX", 2 * factor), ("ZI", factor)]
        stated = Observables.of(ObservablesArray([SparsePauliOp.from_list(terms)]))
        shots, equal = allocate_shots(parts_of(stated, range(1)), 1, 0.1 * factor)
        assert (sorted(shots), equal) == ([525, 700], 625), factor


def test_shots_beyond_all_numbers_are_an_error():
    """Whatever overflows on the way."""
    observables_ = [SparsePauliOp("ZZ", 1e300), SparsePauliOp("XX", 1.0)]
    stated = Observables.of(ObservablesArray(observables_))
    with pytest.raises(ValueError, match="a precision of 1e-20 would take"):
        allocate_shots(parts_of(stated, range(2)), 2, 1e-20)


# -- terms ---------------------------------------------------------------------------------------


def test_observables_are_told_apart_by_their_terms():
    """Equal terms are one term, identities are constants, all of Qiskit's types are taken."""
    array = ObservablesArray(
        [
            SparsePauliOp.from_list([("II", 0.5), ("ZX", 2), ("XI", 3)]),
            Pauli("-ZX"),
            "0+",
            {"II": 4.0},
            SparseObservable.from_list([("r1", 1.5), ("ZX", 1)]),
        ]
    )
    stated = Observables.of(array)
    names = texts(stated.factors)
    assert sorted(names) == sorted(["ZX", "XI", "0+", "r1"])
    assert stated.constants.tolist() == [0.5, 0, 0, 4, 0]
    found = [
        {names[term]: weight for term, weight in zip(terms, weights, strict=True)}
        for terms, weights in zip(stated.terms, stated.coefficients, strict=True)
    ]
    assert found == [{"ZX": 2, "XI": 3}, {"ZX": -1}, {"0+": 1}, {}, {"r1": 1.5, "ZX": 1}]


@given(st.lists(observables(), min_size=1, max_size=4), st.booleans(), st.data())
def test_parts_add_up_to_the_observables(given_, abelian, data):
    """Every term of every observable wanted is measured once, in a basis that it can be read in."""
    stated = Observables.of(ObservablesArray(given_))
    wanted = data.draw(st.permutations(range(len(given_))))[: data.draw(st.integers(1, 4))]
    parts = parts_of(stated, wanted, abelian=abelian)
    found = [{} for _ in wanted]
    for part in parts:
        names, ends = texts(part.factors), [*part.starts[1:], len(part.terms)]
        assert list(part.columns) == sorted(set(part.columns))
        for column, start, end in zip(part.columns, part.starts, ends, strict=True):
            for term, weight in zip(
                part.terms[start:end], part.coefficients[start:end], strict=True
            ):
                assert names[term] not in found[column]
                found[column][names[term]] = weight
        for name in names:
            pairs = zip(name, part.basis, strict=True)
            assert all(LETTER[factor] in ("I", letter) for factor, letter in pairs)
    names = texts(stated.factors)
    assert found == [
        dict(
            zip(
                (names[term] for term in stated.terms[number]),
                stated.coefficients[number],
                strict=True,
            )
        )
        for number in wanted
    ]
    if not abelian:
        assert len({part.basis for part in parts}) == len(parts)
        assert all(
            (part.factors > 0).sum(axis=1).max() == len(part.basis.replace("I", ""))
            for part in parts
        )


@given(
    st.sets(st.text("IXYZ", min_size=5, max_size=5), min_size=1, max_size=40).map(
        lambda names: sorted(names - {"IIIII"}) or ["IIIIZ"]
    )
)
def test_groups_hold_every_term_once_and_only_terms_that_get_along(labels):
    """Also the same groups come again, and no two could be joined as they stand."""
    letters = np.array([["IZXY".index(letter) for letter in name] for name in labels], np.uint8)
    groups = group_terms(letters)
    assert sorted(itertools.chain(*groups)) == list(range(len(labels)))
    assert groups == group_terms(letters)
    for group in groups:
        for qubit in range(5):
            assert len(set(letters[group, qubit].tolist()) - {0}) <= 1
    for one, other in itertools.combinations(groups, 2):
        merged = letters[[*one, *other]]
        assert any(len(set(column.tolist()) - {0}) > 1 for column in merged.T)


def test_a_spin_model_takes_three_bases_and_labels_read_as_in_qiskit():
    """XX, YY and ZZ on all neighbours; qubit 0 is rightmost."""
    terms = [(letter * 2, [q, q + 1], 1.0) for q in range(69) for letter in "XYZ"]
    operator = SparsePauliOp.from_sparse_list([*terms, ("Z", [3], 1.0)], num_qubits=70)
    parts = parts_of(Observables.of(ObservablesArray(operator)), [0])
    assert sorted(part.basis for part in parts) == ["X" * 70, "Y" * 70, "Z" * 70]
    assert write_pauli_label(np.array([2, 0, 3, 1], np.uint8)) == "ZYIX"


# -- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("qubits", [3, 31, 33, 64, 70, 130])
def test_values_are_products_of_eigenvalues(qubits):
    """Of any width: the same as factor by factor, shot by shot."""
    rng = np.random.default_rng(qubits)
    basis = "".join(rng.choice(list("IXYZ"), qubits, p=[0.1, 0.3, 0.3, 0.3]))
    variants = {"I": "I", "X": "IX+-", "Y": "IYrl", "Z": "IZ01"}
    names = ["".join(rng.choice(list(variants[letter])) for letter in basis) for _ in range(12)]
    names += ["".join(rng.choice(["I", letter]) for letter in basis) for _ in range(12)]
    stated = Observables.of(ObservablesArray(sorted({*names} - {"I" * qubits})))
    reading = Reading(basis, stated.factors)
    measured = [q for q in range(qubits) if basis[::-1][q] != "I"]
    shots = rng.integers(0, 2, (20, len(measured)))
    words = np.zeros((max(1, -(-len(measured) // 64)), 20), np.uint64)
    for bit, column in enumerate(shots.T):
        words[bit // 64] |= column.astype(np.uint64) << np.uint64(bit % 64)
    expected = [
        [
            math.prod(
                EIGENVALUES[name[::-1][qubit]][bit]
                for qubit, bit in zip(measured, shot, strict=True)
            )
            for shot in shots.tolist()
        ]
        for name in texts(stated.factors)
    ]
    assert reading.num_bits == len(measured)
    assert reading.values(words).tolist() == expected
    spreads = bound_deviations(stated.factors)
    for name, spread in zip(texts(stated.factors), spreads, strict=True):
        assert spread == (1 if set(name) & set("XYZ") else 0.5)


# -- rows ----------------------------------------------------------------------------------------


@st.composite
def broadcastable(draw):
    """Two shapes that broadcast."""
    whole = draw(st.lists(st.integers(0, 3), max_size=3))
    shapes = []
    for _ in range(2):
        kept = whole[draw(st.integers(0, len(whole))) :]
        shapes.append(tuple(draw(st.sampled_from([size, 1])) for size in kept))
    return tuple(shapes)


@settings(max_examples=200)
@given(broadcastable())
def test_rows_are_asked_for_what_broadcasting_says_and_no_more(shapes):
    """Each place of the result is in one group, with its row and its observable."""
    observable_shape, parameter_shape = shapes
    shape = np.broadcast_shapes(*shapes)
    observable = np.broadcast_to(np.arange(math.prod(shapes[0])).reshape(shapes[0]), shape)
    row = np.broadcast_to(np.arange(math.prod(shapes[1])).reshape(shapes[1]), shape)
    expected = list(zip(row.ravel().tolist(), observable.ravel().tolist(), strict=True))
    found = {}
    groups = group_rows(observable_shape, parameter_shape)
    for group in groups:
        for number, places in zip(group.rows.tolist(), group.places.tolist(), strict=True):
            for wanted, place in zip(group.observables.tolist(), places, strict=True):
                assert place not in found
                found[place] = (number, wanted)
    assert [found[place] for place in range(len(expected))] == expected
    assert len(found) == len(expected)
    assert len({group.observables.tobytes() for group in groups}) == len(groups)


def test_the_usual_case_is_one_group():
    """Every row needs everything."""
    (group,) = group_rows((7,), (1000, 1))
    assert group.rows.tolist() == list(range(1000))
    assert group.observables.tolist() == list(range(7))
