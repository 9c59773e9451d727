"""How many shots a provider ran, as far as what it brought shows that."""

import numpy as np
import pytest

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.work.receipt import count_ran_shots


def remembered(shots):
    return Outcome(shots=shots, num_bits=1, memory=np.zeros((shots, 1), np.uint8))


def counted(*counts, kept):
    rows = np.arange(len(counts), dtype=np.uint8)[:, None]
    return Outcome(
        shots=min(sum(counts), kept), num_bits=1, patterns=rows, counts=np.array(counts, np.int64)
    )


FAILED = Outcome(shots=0, num_bits=0, error=BackendError("it failed"))


@pytest.mark.parametrize(
    ("outcome", "asked", "kept", "ran"),
    [
        (remembered(10), 10, 10, 10),
        (remembered(7), 10, 10, 7),
        (remembered(3), 10, 3, 10),  # More than are kept may have run.
        (remembered(2), 10, 3, 2),
        (counted(4, 3, kept=10), 10, 10, 7),
        (counted(4, 3, kept=3), 10, 3, 7),
        (counted(8, 4, kept=10), 10, 10, 10),  # Nobody bills more than was asked for.
        (FAILED, 10, 10, 10),
        (remembered(0), 10, 10, 10),  # That it ran nothing is not likely.
    ],
)
def test_what_ran_is_what_the_outcomes_show(outcome, asked, kept, ran):
    """A circuit that failed has run, and what nobody can see is taken to have."""
    assert count_ran_shots([outcome], asked, kept) == ran
    assert count_ran_shots([outcome, remembered(kept)], asked, kept) == ran + asked
