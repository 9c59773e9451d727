import math
from fractions import Fraction

import numpy as np
import pytest

from qiskit_gateway.arguments import (
    check_amount,
    check_choice,
    check_count,
    check_flag,
    check_mapping,
    check_names,
    check_number,
    check_positive,
)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_a_number_is_finite_and_not_negative(value):
    """A number out of range is a ValueError that says what it is, what was seen, what may be."""
    with pytest.raises(ValueError, match=r"wait must be a finite number, at least 0; got "):
        check_number("wait", value)


def test_a_number_stays_below_the_highest():
    """Where there is a highest value, the error names both ends."""
    with pytest.raises(ValueError, match=r"share must be .* from 0 to 1; got 1\.5"):
        check_number("share", 1.5, high=1.0)


@pytest.mark.parametrize("check", [check_amount, check_number])
@pytest.mark.parametrize("value", ["3", None, True, 1j])
def test_a_number_is_a_number(check, value):
    """What is no number is a TypeError; a truth value is none."""
    with pytest.raises(TypeError, match="wait must be a number"):
        check("wait", value)


@pytest.mark.parametrize("value", [2, 0.0, np.float64(1.5), np.int64(3), Fraction(1, 3)])
def test_numbers_of_any_kind_are_amounts(value):
    """Numbers of numpy and of the standard library are numbers, too."""
    check_amount("usd", value)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_an_amount_is_finite_and_not_negative(value):
    """An amount out of range is a ValueError that says what was seen."""
    with pytest.raises(ValueError, match=f"usd must be zero or more and finite, got {value}"):
        check_amount("usd", value)


def test_a_flag_is_true_or_false():
    """A number is no truth value; one of NumPy's is."""
    check_flag("mitigation", value=False)
    check_flag("mitigation", np.True_)
    with pytest.raises(TypeError, match="mitigation must be True or False, got 1"):
        check_flag("mitigation", 1)


def test_zero_is_not_positive():
    """A positive number is above 0."""
    check_positive("deadline", 1e-9)
    with pytest.raises(ValueError, match="deadline must be above 0, got 0"):
        check_positive("deadline", 0)


def test_a_count_is_whole_and_large_enough():
    """A count is a whole number of at least the least."""
    check_count("attempts", 1, low=1)
    with pytest.raises(TypeError, match=r"attempts must be a whole number, got 1\.5"):
        check_count("attempts", 1.5)
    with pytest.raises(ValueError, match="attempts must be at least 1, got 0"):
        check_count("attempts", 0, low=1)


def test_a_choice_is_one_of_those_there_are():
    """An unknown choice is an error that lists the known ones."""
    with pytest.raises(ValueError, match="spread must be one of 'rows', 'shots'; got 'cols'"):
        check_choice("spread", "cols", ("rows", "shots"))


def test_names_are_different_strings():
    """Names are one or more strings, each once, and not a list of strings in one."""
    check_names("Named", ("a", "b"))
    with pytest.raises(TypeError, match=r"Named takes strings, .* got \['a'\]"):
        check_names("Named", (["a"],))
    with pytest.raises(ValueError, match="Named needs at least one name"):
        check_names("Named", ())
    with pytest.raises(ValueError, match="Named takes each name once, got 'a', 'a'"):
        check_names("Named", ("a", "a"))


def test_a_mapping_has_strings_as_keys():
    """The error does not tell what a mapping holds, which may be a secret."""
    check_mapping("weights", {"a": 1.0})
    for wrong in (5, [("a", 1)], "a", None):
        with pytest.raises(TypeError, match=r"weights must be a mapping from strings.*of type"):
            check_mapping("weights", wrong)
    with pytest.raises(TypeError, match=r"weights must be .*; got the key 1"):
        check_mapping("weights", {1: "secret"})
