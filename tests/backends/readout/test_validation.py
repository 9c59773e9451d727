"""Laws of what a member's collect returns: outcomes for each circuit that can be true, or errors."""

from dataclasses import replace

import numpy as np
import pytest

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.bit_mapping import Wiring
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes, read
from qiskit_gateway.backends.readout.validation import require_outcomes

WIDTHS = [2, 2, 9]
SHOTS = 20
COUNTS = np.array([15, 5])


def rows(*values, width=1):
    return np.array([list(value.to_bytes(width)) for value in values], np.uint8)


def full(width=2, **more):
    memory = np.ones((SHOTS, (width + 7) // 8), np.uint8)
    return replace(Outcome(shots=SHOTS, num_bits=width, memory=memory), **more)


def counted(**more):
    return replace(Outcome(shots=SHOTS, num_bits=2, patterns=rows(1, 2), counts=COUNTS), **more)


def taken(given, widths=WIDTHS, **more):
    return require_outcomes(given, widths, SHOTS, verb="mine.collect()", **more)


class Odd:
    """What raises however it is looked at."""

    def __getattribute__(self, name):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


def raising():
    yield full()
    raise RuntimeError("lost the file")


def endless():
    while True:
        yield full()


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda given: (one for one in given)])
def test_outcomes_of_each_circuit_are_taken(kind):
    """Whatever can be gone through, and holds one whole outcome for each circuit, is as it was."""
    given = [full(), counted(), full(9)]
    assert all(one is other for one, other in zip(taken(kind(given)), given, strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "0 outcomes for 3 circuits"),
        ([full()] * 2, "2 outcomes for 3"),
        ([full()] * 4, "more outcomes for 3"),
        (endless(), "more outcomes for 3"),
        (None, "None, not a sequence"),
        (7, "7, not a sequence"),
        (full(), "not a sequence"),
        ({"11": 20}, "not a sequence"),
        ("abc", "not a sequence"),
        (b"abc", "not a sequence"),
        (Odd, "not a sequence"),
        (raising(), "lost the file"),
    ],
)
def test_what_is_not_one_for_each_circuit_is_a_bad_result(given, said):
    """The error names the member, what was asked of it, and what came."""
    with pytest.raises(BackendError, match=said) as error:
        taken(Odd() if given is Odd else given)
    assert "mine.collect() returned" in str(error.value)
    assert error.value.bad_result
    assert error.value.submitted


def test_a_failure_that_a_generator_tells_is_told():
    """A member may find out about its job while its outcomes are gone through."""

    def late():
        yield full()
        raise BackendError("queue is gone", transient=True, submitted=True)

    with pytest.raises(BackendError, match="queue is gone") as error:
        taken(late())
    assert error.value.transient


BAD = {
    "None": None,
    "counts": {"11": SHOTS},
    "odd": Odd(),
    "no data": Outcome(shots=SHOTS, num_bits=2),
    "no shots": full(shots=0),
    "negative shots": full(shots=-1),
    "half a shot": full(shots=0.5),
    "true shots": full(shots=True),
    "too many shots": full(shots=SHOTS + 1),
    "few bits": full(num_bits=1),
    "many bits": full(9),
    "bits unknown": full(num_bits=None),
    "few rows": full(memory=rows(1, 1)),
    "many rows": full(memory=np.ones((SHOTS + 1, 1), np.uint8)),
    "wide rows": full(memory=np.ones((SHOTS, 2), np.uint8)),
    "narrow rows": full(memory=np.ones((SHOTS, 0), np.uint8)),
    "flat rows": full(memory=np.ones(SHOTS, np.uint8)),
    "other type": full(memory=np.ones((SHOTS, 1), np.int64)),
    "a list": full(memory=[[1]] * SHOTS),
    "texts": full(memory=["01"] * SHOTS),
    "bits beyond": full(memory=np.full((SHOTS, 1), 4, np.uint8)),
    "no counts": counted(counts=None),
    "no patterns": counted(patterns=None),
    "counts short": counted(counts=np.array([10, 5])),
    "count negative": counted(counts=np.array([21, -1])),
    "count huge": counted(counts=np.array([2**62, 2**62])),
    "counts of fractions": counted(counts=np.array([15.0, 5.0])),
    "a count too many": counted(counts=np.array([10, 5, 5])),
    "counts in a list": counted(counts=[15, 5]),
    "patterns beyond": counted(patterns=rows(1, 8)),
    "nothing counted": counted(patterns=rows(width=1).reshape(0, 1), counts=COUNTS[:0]),
    "contradiction": full(patterns=rows(2), counts=np.array([SHOTS])),
    "error is a text": Outcome(shots=0, error="failed"),
    "error of another kind": Outcome(shots=0, error=ValueError("failed")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_true_is_the_error_of_its_circuit(name):
    """The others are taken, and no zeros are made up."""
    first, second, third = taken([full(), BAD[name], full(9)])
    assert first.error is third.error is None
    assert (second.shots, second.memory, second.patterns) == (0, None, None)
    assert second.error.bad_result
    assert second.error.submitted
    assert str(second.error).startswith("mine.collect() returned, as outcome 1 of 3, ")
    assert len(str(second.error)) < 400


def test_more_counts_than_shots_are_taken():
    """As many as are wanted are drawn from them; memory may stand beside them."""
    more = counted(counts=np.array([150, 50]))
    both = full(patterns=rows(1), counts=np.array([SHOTS]))
    assert taken([more, both], [2, 2]) == (more, both)


def test_an_error_is_told_and_its_data_are_not():
    """An outcome that failed has no shots, whatever else it holds."""
    error = BackendError("one atom too few", submitted=True)
    (outcome,) = taken([full(error=error)], [2])
    assert (outcome.error, outcome.shots, outcome.memory) == (error, 0, None)


@pytest.mark.parametrize(
    ("iq", "right"),
    [
        (np.ones((SHOTS, 2), complex), True),
        (np.ones(2, complex), True),
        (np.ones((SHOTS, 2)), False),
        (np.ones((SHOTS, 3), complex), False),
        (np.full((SHOTS, 2), np.nan + 0j), False),
        (None, False),
    ],
)
def test_kerneled_data_are_looked_at_where_they_were_asked_for(iq, right):
    """Bits are no kerneled data, and the other way round."""
    given = full(memory=None, iq=iq)
    (outcome,) = taken([given], [2], meas_level=1)
    assert (outcome.error is None) == right
    assert taken([given], [2])[0].error is not None


def test_what_was_read_from_a_result_must_be_of_this_job():
    """A member that hands on the outcomes of another job is found out."""
    wiring = Wiring(num_sent=2, measured=(0, 1), to_user=(0, 1), num_user=2)
    result = {"results": [{"data": {"counts": {"0x1": SHOTS}}}]}
    outcomes = read(result, [wiring], SHOTS)
    assert taken(outcomes, [2]) == tuple(outcomes)
    assert taken(outcomes, [3])[0].error is not None
    with pytest.raises(BackendError, match="1 outcomes for 3"):
        taken(outcomes)


# -- expectation values in place of bits -----------------------------------------------------------


def estimate(evs=(0.5, -1.0), stds=(0.1, 0.0), **more):
    values = {"evs": np.array(evs, float), "stds": np.array(stds, float)}
    return replace(Outcome(shots=SHOTS, num_bits=2), **values | more)


def test_estimates_are_taken_where_they_are_wanted():
    """A member may bring bits all the same."""
    given = [estimate(), full(), estimate(evs=[0.0], stds=[1.0])]
    found = taken(given, [2, 2, 2], observables=[2, 2, 1])
    assert all(one is other for one, other in zip(found, given, strict=True))


@pytest.mark.parametrize("kind", [list, ReadOutcomes])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (estimate(evs=[0.5]), "evs of shape (1,) for 2 observables"),
        (estimate(stds=[0.5]), "stds of shape (1,) for 2 observables"),
        (estimate(stds=None), "stds that are no array of numbers: array(nan)"),
        (replace(estimate(), stds=None), "stds that are no array of numbers: None"),
        (replace(estimate(), evs=[0.5, 1.0]), "evs that are no array of numbers"),
        (estimate(evs=[0.5, np.nan]), "evs that are not finite"),
        (estimate(stds=[0.5, np.inf]), "stds that are not finite"),
        (estimate(stds=[0.5, -0.1]), "a standard error that cannot be"),
        (estimate(shots=SHOTS + 1), "21 shots where 20 are wanted"),
        (estimate(num_bits=3), "3 bits where the circuit has 2"),
    ],
)
def test_estimates_that_cannot_be_are_errors(kind, given, said):
    """Also where they were read from a provider's result: they may be those of another job."""
    (found,) = taken(kind([given]), [2], observables=[2])
    assert found.error is not None
    assert found.error.bad_result
    if "array(nan)" not in said:
        assert said in str(found.error)


def test_estimates_are_no_bits():
    """A sampler's work is not done by them."""
    (found,) = taken([estimate()], [2])
    assert "expectation values where bits are wanted" in str(found.error)
