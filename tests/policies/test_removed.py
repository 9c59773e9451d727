from dataclasses import replace

import pytest

from qiskit_gateway.policies import BreakerPolicy, Policy, RecallPolicy, RetryPolicy
from qiskit_gateway.policies.removed import removed_keywords

REMOVED = [
    (kind, name, advice)
    for kind in (Policy, RetryPolicy, BreakerPolicy, RecallPolicy)
    for name, advice in removed_keywords(kind).items()
]


def test_the_removed_keywords_are_known():
    """What was taken away is listed here, so that no error is lost unseen."""
    assert {(kind, name) for kind, name, _ in REMOVED} == {
        (Policy, "first_reading_seconds"),
        (RetryPolicy, "budget_ratio"),
        (RetryPolicy, "jitter"),
        (RetryPolicy, "wait_max_seconds"),
        (RetryPolicy, "wait_multiplier"),
        (BreakerPolicy, "bad_results"),
        (BreakerPolicy, "eject_max_seconds"),
        (BreakerPolicy, "eject_multiplier"),
        (BreakerPolicy, "forgive_after"),
        (RecallPolicy, "gain_seconds"),
        (RecallPolicy, "gain_times"),
        (RecallPolicy, "overdue_seconds"),
        (RecallPolicy, "overdue_times"),
        (RecallPolicy, "tied"),
        (RecallPolicy, "unseen_seconds"),
    }


@pytest.mark.parametrize(("kind", "name", "advice"), REMOVED)
def test_a_removed_keyword_says_what_to_do_instead(kind, name, advice):
    """The error names the class, the keyword and the way out; the rest works as before."""
    with pytest.raises(TypeError) as caught:
        kind(**{name: 1.0})
    assert str(caught.value) == f"{kind.__name__} no longer takes {name}: {advice}."
    with pytest.raises(TypeError, match="unexpected keyword argument 'unheard_of'"):
        kind(unheard_of=1)
    assert replace(kind()) == kind()
