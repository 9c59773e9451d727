from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.policies.backoff import backoff_seconds


@given(
    st.floats(0, 1e3),
    st.floats(1, 10),
    st.integers(0, 10**6),
    st.floats(0, 1e5),
)
def test_backoff_is_monotone_and_capped(initial, multiplier, times, maximum):
    """A time never shrinks as it grows, never passes its cap, and overflows nowhere."""
    first = backoff_seconds(initial, multiplier=multiplier, times=times, maximum=maximum)
    second = backoff_seconds(initial, multiplier=multiplier, times=times + 1, maximum=maximum)
    assert min(initial, maximum) <= first <= second <= maximum


def test_nothing_grows_to_nothing():
    """A time of 0 stays 0."""
    assert backoff_seconds(0.0, multiplier=2, times=10**6, maximum=60.0) == 0.0
