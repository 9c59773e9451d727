"""Discover a backend's limits and options when it joins a fleet; this may call its provider."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.threads import call_within
from qiskit_gateway.backends.failures.errors import network_fault
from qiskit_gateway.backends.failures.redaction import redact_name
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.limits import Limits, discover, read_property
from qiskit_gateway.backends.interface.provider_profile import adaptation_for, jobs_overlap

# How long it may take.
_PROPERTY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """The discovered facts about a backend.

    Attributes:
        name: Its name, or that of its class.
        limits: What it says a job may be.
        overlaps: Whether its jobs may overlap.
        adaptation: How to talk to it.
    """

    name: str
    limits: Limits
    overlaps: bool
    adaptation: Adaptation


def read_properties(backend: BackendV2, run_options: Mapping[str, Any]) -> Told:
    """Read a backend's properties.

    Args:
        backend: The backend.
        run_options: What its member sends with every job.

    Raises:
        BackendError: If it does not answer.
    """

    def read() -> Told:
        return Told(
            redact_name(str(read_property(backend, "name") or type(backend).__name__)),
            discover(backend, run_options),
            jobs_overlap(backend),
            adaptation_for(backend, run_options),
        )

    return read_in_time(read, type(backend).__name__)


def read_in_time(read: Callable[[], Told], whose: str) -> Told:
    """Read properties, but not for ever.

    Raises:
        BackendError: If there is no answer.
    """
    try:
        return call_within(read, _PROPERTY_SECONDS)
    except TimeoutError as error:
        raise network_fault(
            f"{whose} did not return its properties within {_PROPERTY_SECONDS:g} s; ask its "
            "provider, or leave it out of the fleet"
        ) from error
