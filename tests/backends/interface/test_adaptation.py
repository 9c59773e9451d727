"""What is written down of a backend's bits, and read again."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.backends import Adaptation

TRAITS = st.frozensets(st.sampled_from(["mid-circuit", "overwritten", "repeated", "reset"]))
VALUES = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=5))
ADAPTATIONS = st.builds(
    Adaptation,
    flatten=st.booleans(),
    register_order=st.sampled_from(["qiskit", "reversed"]),
    bit_order=st.sampled_from(["qiskit", "reversed"]),
    numbers=st.sampled_from(["sent", "measured"]),
    unsound=TRAITS,
    unanswered=TRAITS,
    alone=TRAITS,
    bare=st.booleans(),
    gates=st.frozensets(st.sampled_from(["crx", "cz"])),
    options=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        st.one_of(VALUES, st.lists(VALUES, max_size=2)),
        max_size=2,
    ),
    refusal=st.text(max_size=10),
)


@given(ADAPTATIONS)
def test_what_is_printed_can_be_pasted(adaptation):
    """In Python and in a configuration file it is the same adaptation again."""
    assert eval(repr(adaptation), {"Adaptation": Adaptation}) == adaptation  # noqa: S307
    written = tomllib.loads(f"adaptation = {adaptation.to_toml()}")["adaptation"]
    assert Adaptation(**written) == adaptation


def test_only_what_differs_is_printed():
    """A backend that answers as Qiskit's do has nothing to be written down."""
    assert repr(Adaptation()) == "Adaptation()"
    found = Adaptation(bit_order="reversed", unsound={"reset", "repeated"})
    assert repr(found) == "Adaptation(bit_order='reversed', unsound=['repeated', 'reset'])"
    assert found.to_toml() == '{ bit_order = "reversed", unsound = ["repeated", "reset"] }'


@pytest.mark.parametrize(
    ("said", "error", "why"),
    [
        ({"bit_order": "upwards"}, ValueError, "bit_order must be 'qiskit' or 'reversed'"),
        ({"flatten": 1}, TypeError, "flatten must be a bool, got 1"),
        ({"unsound": "reset"}, TypeError, "unsound must be a list of texts, got 'reset'"),
        ({"unsound": ["rest"]}, ValueError, "unsound must hold .*'reset', got 'rest'"),
        ({"gates": [1]}, TypeError, "gates must be a list of texts"),
        ({"options": [1]}, TypeError, "options must be a Mapping"),
        ({"refusal": None}, TypeError, "refusal must be a str"),
    ],
)
def test_mistakes_are_told(said, error, why):
    """What cannot be meant is an error that says what may stand there."""
    with pytest.raises(error, match=why):
        Adaptation(**said)
