"""Backends whose ``run()`` takes a circuit, and no list: told by what they raise over one."""

import re
from collections.abc import Sequence

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.failures.translate import text_of, translate

# What an error says that is raised over a list, where its class tells that nothing was sent. To take
# a list for a dictionary is what is done to an answer.
_ABOUT_CIRCUITS = re.compile(r"\blists?\b(?! indices)|circuit|experiment|sequence", re.IGNORECASE)
# The same where the class tells nothing.
_WANTS_ONE = re.compile(
    r"QuantumCircuit|\b(?:lists? of|one|single|1|multiple) (?:quantum )?circuit",
    re.IGNORECASE,
)
_LACKS = re.compile(r"'(?:list|tuple)' object has no attribute '(\w+)'")


def is_about_lists(error: Exception, circuits: Sequence[QuantumCircuit]) -> bool:
    """Check whether an error of ``backend.run`` may mean that it wants no list, with nothing sent."""
    if isinstance(error, BackendError):
        return False
    if isinstance(error, AttributeError) and error.obj is not None:
        # An attribute of what a provider answered may be missing too, after it took the job.
        return _lacks_attribute(error, circuits)
    if isinstance(error, AttributeError) and (lacks := _LACKS.search(text_of(error))):
        # Said by hand, or by another process. What a circuit has was looked for in circuits.
        return hasattr(QuantumCircuit, lacks[1])
    if isinstance(error, AssertionError) and not error.args:
        return True
    facts = translate(error, phase="submit")
    if facts.transient or facts.throttled or facts.authentication:
        return False
    words = _ABOUT_CIRCUITS if facts.submitted is False else _WANTS_ONE
    return words.search(text_of(error)) is not None


def _lacks_attribute(error: Exception, circuits: Sequence[QuantumCircuit]) -> bool:
    given = getattr(error, "obj", None)
    return isinstance(given, list | tuple) and bool(given) and given[0] is circuits[0]


def one_at_a_time(name: str, error: Exception, circuits: Sequence[QuantumCircuit]) -> BackendError:
    """Make the failure of a job of several circuits on a backend that may take only one."""
    return BackendError(
        f"{name} may not take a list of circuits: {text_of(error)}; if so, "
        "Limits(max_circuits=1) sends each circuit alone from the start",
        transient=False,
        fault="caller",
        submitted=False,
        # Where it may be about one of the circuits, that is searched for in fewer jobs.
        alone=_lacks_attribute(error, circuits) or bool(_WANTS_ONE.search(text_of(error))),
    )
