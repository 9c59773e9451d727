"""Failures are values: what one says does not change with another."""

import copyreg
import pickle
from copy import copy, deepcopy

import pytest

from qiskit_gateway.backends.failures.errors import BackendError, Refused


class ForeignError(BackendError):
    """A member's own kind of failure, with a constructor of its own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error {code}", transient=True, submitted=True)
        self.code = code


def pickled(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301


@pytest.mark.parametrize("copied", [copy, deepcopy, pickled])
@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        BackendError("401", authentication=True, submitted=True),
        Refused({0: "too wide"}),
        ForeignError(7),
    ],
)
def test_a_copy_has_facts_of_its_own(error, workers, copied, monkeypatch):
    """Changing it leaves the original alone, also where Dask has installed how exceptions are copied."""
    if workers:
        tblib = pytest.importorskip("tblib.pickling_support")
        monkeypatch.setitem(copyreg.dispatch_table, type(error), tblib.pickle_exception)
    facts = dict(vars(error))
    other = copied(error)

    assert type(other) is type(error)
    assert (vars(other), other.args, str(other)) == (facts, error.args, str(error))

    other.submitted = None
    other.message = "changed"
    assert vars(error) == facts
