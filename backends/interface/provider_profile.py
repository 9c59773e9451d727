"""The profile of one provider, in one value.

Implementing:
    A profile of ours is a module of :mod:`qiskit_gateway.backends.providers` with a ``PROFILE``;
    another package brings one by an entry point, see :mod:`qiskit_gateway.backends.registry`. It
    must not import the provider's package: backends are recognised by the names of their classes
    and modules. What it says of names of attributes goes for its own backends, and for those whose
    provider nobody knows. Everything but the name can be left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.failures.errors import BackendError, unknown_job
from qiskit_gateway.backends.failures.table import Kind
from qiskit_gateway.backends.interface.adaptation import FAITHFUL, Adaptation
from qiskit_gateway.backends.interface.native_primitive import NativePrimitive
from qiskit_gateway.backends.interface.queue_reading import QueueReading
from qiskit_gateway.backends.interface.run_options import NO_OPTIONS
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.published import Listing
from qiskit_gateway.backends.registry import profiles_of

LABEL = "qiskit_gateway"
"""The name of our label, where the labels of a provider have names."""

# Simulators that come with Qiskit itself.
_OF_QISKIT = ("qiskit.providers.basic_provider", "qiskit.providers.fake_provider")

MAX_PAGES = 200
"""A provider whose list is longer than this does not list jobs in an order that helps."""


Quoting = Callable[[Any, Sequence[QuantumCircuit], int], Charge | None]
"""Asks what circuits would cost: on a backend, as compiled for it, with this many shots of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The label of a provider's jobs, and the listing of jobs by their labels.

    Attributes:
        option: The option of ``backend.run`` that holds the label.
        labelled: Return that option with a key in it, from what it holds without.
        jobs: Yield all jobs of a backend that have a key, or their ids. Blocks, and raises whatever
            the provider does.
    """

    option: str
    labelled: Callable[[Any, str], Any]
    jobs: Callable[[Any, str], Iterable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The way to read the queue of a provider's backends.

    Attributes:
        names: What the class of a backend has that can be asked so.
        read: Ask a backend; what it raises means that nothing could be read. Blocks.
        exists: Whether a backend with these names has a queue at all. Asks nobody.
    """

    names: tuple[str, ...]
    read: Callable[[Any], QueueReading]
    exists: Callable[[Any], bool] = lambda _: True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProfile:
    """The profile of one provider.

    Attributes:
        name: The provider, unique.
        packages: The packages whose classes are its backends: ``"iqm"``, ``"azure.quantum"``.
        is_local: Tells of a backend that its jobs run in the process that calls it, or in processes of
            that: what it can take is no concern of other processes.
        jobs_overlap: Whether several jobs of one backend object are known to be safe: it is a remote
            service, or keeps the state of a run in the job. All others get one job at a time.
        adaptation: How to talk to a backend so that its answers are right, from the backend and the
            options that all its jobs get; ``None`` where there is nothing to say.
        label: How its jobs are labelled, to be found again.
        failed_job_errors: Names of exceptions that looking up a job raises in place of the job,
            because that has failed.
        queue: How queues are read.
        shots_range: Where a backend tells its fewest and most shots, as a path of attributes.
        num_qubits: Where else than as ``num_qubits`` a backend tells its qubits, likewise.
        any_width: Tells of a backend, with the options that all its jobs get, that the qubits which
            it tells are no limit of it.
        own_durations: Whether the durations in its targets are those of what runs its jobs. A simulator
            that was made from a device has those of the device.
        target: The attribute that holds what its circuits are compiled to, where it is not
            ``target``. The property may raise ``ValueError`` for backends that have none.
        own_stages: Methods by which a backend shows stages of its own. It may then refuse what its
            target supports, and compiled circuits may be good for nothing but what was compiled.
        machine: Tells of a backend, with the options that all its jobs get, on what its jobs run one at a
            time, if backends share that; ``""`` where each has its own.
        binds: Gates whose angles ``backend.run`` binds rightly by ``parameter_binds``; none where
            it does not take these.
        primitive: How its native samplers are talked to.
        estimator: How its native estimators are talked to.
        failures: Rows of the table of errors, as ``package: (kind, names of classes)``; a second
            word after the package only keeps the rows apart.
        error_codes: What the error codes in its answers mean, without a trailing "Exception".
        charge: Asks what was charged for a job that is done, from the backend and the job. Blocks.
        quote: Asks what circuits would cost, from the backend, the circuits as compiled, and their
            shots. Blocks, and sends nothing to run.
        tariffs: Its published tariffs by name.
    """

    name: str
    packages: tuple[str, ...] = ()
    is_local: Callable[[Any], bool] = lambda _: False
    jobs_overlap: bool = False
    adaptation: Callable[[Any, Mapping[str, Any]], Adaptation | None] | None = None
    label: Label | None = None
    failed_job_errors: frozenset[str] = frozenset()
    queue: Queue | None = None
    shots_range: tuple[str, ...] = ()
    num_qubits: tuple[str, ...] = ()
    any_width: Callable[[Any, Mapping[str, Any]], bool] = lambda *_: False
    own_durations: bool = True
    target: str = ""
    own_stages: tuple[str, ...] = ()
    machine: Callable[[Any, Mapping[str, Any]], str] = lambda *_: ""
    binds: frozenset[str] = frozenset()
    primitive: NativePrimitive | None = None
    estimator: NativePrimitive | None = None
    failures: Mapping[str, tuple[Kind, str]] = field(default_factory=dict, hash=False)
    error_codes: Mapping[str, Kind] = field(default_factory=dict, hash=False)
    charge: Callable[[Any, Any], Charge | None] | None = None
    quote: Quoting | None = None
    tariffs: Mapping[str, Listing] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise TypeError(f"a profile needs a name, got {self.name!r}")
        for words in ("packages", "shots_range", "num_qubits", "own_stages"):
            _require_texts(words, getattr(self, words))
        rows = {group: kind for group, (kind, _) in self.failures.items()}
        _require_kind("failures", rows, Kind)
        _require_kind("error_codes", self.error_codes, Kind)
        _require_kind("tariffs", self.tariffs, Listing)

    def has_module(self, module: str) -> bool:
        """Check whether a module belongs to the provider's packages."""
        return any(f"{module}.".startswith(f"{package}.") for package in self.packages)


def _require_texts(name: str, given: Iterable[str]) -> None:
    # A text alone is a sequence of texts too, and "iqm" would mean packages i, q and m.
    if isinstance(given, str) or not all(isinstance(one, str) and one for one in given):
        raise TypeError(f"{name} must be a tuple of texts, got {given!r}")


def _require_kind(name: str, given: Mapping[str, object], kind: type) -> None:
    for key, value in given.items():
        if not isinstance(value, kind):
            raise TypeError(f"{name}[{key!r}] must be a {kind.__name__}, got {value!r}")


# -- for authors of profiles -----------------------------------------------------------------


def by_class(
    known: Mapping[str, Adaptation],
) -> Callable[[Any, Mapping[str, Any]], Adaptation | None]:
    """Make the ``adaptation`` of a profile from full names of classes; subclasses are as these."""

    def adapt(backend: Any, _: Mapping[str, Any]) -> Adaptation | None:
        names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(backend).__mro__)
        return next((known[name] for name in names if name in known), None)

    return adapt


def with_field(fields: Mapping[str, str] | None, key: str) -> dict[str, str]:
    """Add our label to the fields of a job's metadata."""
    return {**(fields or {}), LABEL: key}


def too_many_pages(pages: int) -> BackendError:
    """Make the error of a list of jobs that does not end."""
    return unknown_job(f"the provider lists more than {pages} pages of jobs")


# -- what profiles say of a backend ----------------------------------------------------------


def adaptation_for(backend: Any, options: Mapping[str, Any] = NO_OPTIONS) -> Adaptation:
    """Find what is known of how to talk to a backend, or :data:`FAITHFUL`.

    Args:
        backend: The backend.
        options: The options of ``backend.run`` that all its jobs get.
    """
    for profile in profiles_of(backend):
        found: Adaptation | None = profile.adaptation and profile.adaptation(backend, options)
        if found is not None:
            return found
    return FAITHFUL


def is_local(backend: Any) -> bool:
    """Check whether the jobs of a backend are known to run in the process that calls it."""
    if any(profile.is_local(backend) for profile in profiles_of(backend)):
        return True
    return any(kind.__module__.startswith(_OF_QISKIT) for kind in type(backend).__mro__)


def tells_durations(backend: Any) -> bool:
    """Check whether the durations in a backend's target, if any, are of what runs its jobs."""
    return all(profile.own_durations for profile in profiles_of(backend))


def jobs_overlap(backend: Any) -> bool:
    """Check whether several jobs of one backend object are known to be safe."""
    return any(profile.jobs_overlap for profile in profiles_of(backend))


def machine_of(backend: Any, options: Mapping[str, Any] = NO_OPTIONS) -> str:
    """Find on what the jobs of a backend run one at a time, if it shares that with others; else ``""``."""
    found = (profile.machine(backend, options) for profile in profiles_of(backend))
    return next(filter(None, found), "")


def bound_gates(backend: Any) -> frozenset[str]:
    """Find the gates whose angles ``backend.run`` binds rightly by ``parameter_binds``."""
    # Wrappers and subclasses of a simulator with a run of their own seldom pass these on.
    module = str(getattr(getattr(type(backend), "run", None), "__module__", ""))
    found = (profile.binds for profile in profiles_of(backend) if profile.has_module(module))
    return next(found, frozenset())


def charge_of(backend: Any, job: Any) -> Charge | None:
    """Ask what was charged for a job that is done. Blocks.

    Its provider's profile says how. Of others a method ``usage()`` of the job is understood, as
    IBM's, which tells machine time in seconds.
    """
    for profile in profiles_of(backend):
        if profile.charge is not None:
            charged: Charge | None = profile.charge(backend, job)
            return charged
    usage = getattr(job, "usage", None)
    seconds = usage() if callable(usage) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    # IBM tells 0 of a job that is not over yet.
    return Charge(seconds=float(seconds)) if seconds > 0 else None


def quote_of(backend: Any) -> Quoting | None:
    """Find how a provider is asked what circuits would cost, if it can be."""
    return next((one.quote for one in profiles_of(backend) if one.quote is not None), None)
