"""What may be said of how runs share a member."""

import pytest

from qiskit_gateway.policies import Policy, Share


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"weight": 0}, ValueError, "weight"),
        ({"weight": -1.0}, ValueError, "weight"),
        ({"weight": float("inf")}, ValueError, "finite"),
        ({"weight": float("nan")}, ValueError, "weight"),
        ({"weight": "2"}, TypeError, "weight"),
        ({"priority": -1}, ValueError, "priority"),
        ({"priority": 21}, ValueError, "at most 20"),
        ({"priority": 1.5}, TypeError, "priority"),
        ({"user": None}, TypeError, "a name such as 'ana'"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, error, said):
    """The error names what is wrong, before anything runs."""
    with pytest.raises(error, match=said):
        Share(**wrong)


def test_a_policy_takes_a_share_and_nothing_else():
    """A name alone is refused with an example."""
    assert Policy(share=Share(user="ana")).share.weight == 1
    with pytest.raises(TypeError, match="Share\\(user='ana', weight=2\\)"):
        Policy(share="ana")
