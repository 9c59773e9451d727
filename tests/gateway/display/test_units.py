"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.display.units import ranges


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((), ""),
        ((4,), "4"),
        ((3, 3, 2), "2-3"),
        ((12, *range(8)), "0-7, 12"),
        (range(0, 16, 2), "0, 2, 4, 6, 8, 10, 12, 14"),
        (range(0, 100, 2), "0, 2, 4, 6, 8, 10, 12, 14 and 42 more"),
        ((*range(0, 16, 2), *range(20, 30)), "0, 2, 4, 6, 8, 10, 12, 14 and 10 more"),
        (range(1000), "0-999"),
    ],
)
def test_numbers_are_told_as_ranges(numbers, told):
    """What follows each other is one range; more than a line is counted."""
    assert ranges(numbers) == told


@given(st.sets(st.integers(0, 30)) | st.sets(st.integers(0, 10**7)))
def test_ranges_are_of_all_numbers(numbers):
    """Whoever counts them finds each once, in about a line."""
    text, _, more = ranges(numbers).removesuffix(" more").partition(" and ")
    found = []
    for part in filter(None, text.split(", ")):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    assert found == sorted(numbers)[: len(found)]
    assert len(found) + int(more or 0) == len(numbers)
    assert len(ranges(numbers)) < 170
