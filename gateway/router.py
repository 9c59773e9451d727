"""What both primitives share: a fleet, a policy, and how a run begins."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from io import BytesIO
from math import prod
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import PrimitiveResult
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.providers import BackendV2
from qiskit.qpy import dump

from qiskit_gateway.allowances import count_use
from qiskit_gateway.backends.batch import Program
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.member import FleetMember
from qiskit_gateway.dispatch import Run
from qiskit_gateway.engine import ENGINE
from qiskit_gateway.errors import JournalError
from qiskit_gateway.job import RouterJob
from qiskit_gateway.journal import Journal
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.record import NO_DIARY, Diary
from qiskit_gateway.resume import replay
from qiskit_gateway.snapshots import Snapshots
from qiskit_gateway.standing import FleetStanding
from qiskit_gateway.statement import StatedPub, Statement
from qiskit_gateway.survey import allotment_of
from qiskit_gateway.work import Work

Backends = Fleet | BackendV2 | FleetMember | Iterable[BackendV2 | FleetMember]
Options = TypeVar("Options")

_SEEDS = 1 << 64

# What the router itself sends, and a user must say elsewhere.
_OWN_OPTIONS = {
    "shots": "give shots to run() or in the pubs",
    "memory": "the router asks for it wherever a backend knows it",
    "seed_simulator": "set options.seed_simulator",
    "parameter_binds": "the router binds parameters itself",
}


# The work of a run, and what makes the result of it.
Plan = tuple[Work, Callable[[], PrimitiveResult[Any]]]


class _Begun(set[str]):
    """The runs that were begun on a fleet in this process."""


class _Counted(set[Path]):
    """The journals whose runs' use of allowances is counted for a fleet."""


class Router:
    """A fleet and a policy, and runs over them.

    Args:
        backends: A fleet, or anything that makes one.
        policy: The rules; the default finishes soonest.
        journal: Where runs are written down, or the path of it; by default nowhere.
    """

    def __init__(
        self,
        backends: Backends,
        policy: Policy | None,
        journal: Journal | str | PathLike[str] | None = None,
    ) -> None:
        if policy is not None and not isinstance(policy, Policy):
            raise TypeError(f"policy must be a Policy such as fastest(), got {policy!r}")
        self.fleet = Fleet.coerce(backends)
        self.policy = policy or Policy()
        if isinstance(journal, str | PathLike):
            journal = Journal(journal)
        self.journal = journal
        self._snapshots = Snapshots()

    @property
    def backend(self) -> BackendV2:
        """Return the backend of the first member; packages written for one backend ask for it.

        Raises:
            AttributeError: If no member is a Qiskit backend.
        """
        for member in self.fleet:
            if isinstance(backend := getattr(member, "backend", None), BackendV2):
                return backend
        raise AttributeError("no member of the fleet is a qiskit BackendV2")

    def start(self, plan: Plan, statement: Callable[[], Statement]) -> RouterJob:
        """Begin a run and return its handle at once.

        Args:
            plan: The work, and what makes the result of it.
            statement: Says what the run is to do, for the journal, if there is one.

        Raises:
            JournalError: If the run cannot be written down; nothing was sent.
        """
        self.count_use()
        work, result = plan
        work, job_id = self.stated(work), RouterJob.new_id()
        diary: Diary = NO_DIARY
        if self.journal is not None:
            shots = sum(task.rows * task.shots for task in work.tasks)
            diary = self.journal.begin(job_id, statement(), shots)
            self.fleet.keep(_Begun).add(job_id)
        return self._launched(job_id, work, result, diary)

    def resume(self, job_id: str, kind: str, plan: Callable[[Statement], Plan]) -> RouterJob:
        """Go on with a run of the journal and return its handle; see :meth:`taken_up`."""
        (work, result), diary = self.taken_up(job_id, kind, plan)
        return self._launched(job_id, work, result, diary)

    def taken_up(
        self, job_id: str, kind: str, plan: Callable[[Statement], Plan]
    ) -> tuple[Plan, Diary]:
        """Take a run of the journal, and put what has arrived of it into its place.

        Args:
            job_id: The run.
            kind: Of what kind it must be.
            plan: Makes work and result anew of what the run is to do.

        Raises:
            JournalError: If there is no journal, no such run in it, or a process works on it; or
                if it cannot be read.
        """
        if self.journal is None:
            raise JournalError("there is no journal to resume from: give one, journal=path")
        self.count_use()
        diary = self.journal.take(job_id, kind)
        try:
            work, result = plan(self.journal.statement(job_id))
            diary.past = replay(
                self.journal.entries(job_id),
                work,
                self.fleet.names,
                seconds=self.journal.age_seconds(job_id),
            )
        except BaseException as error:
            diary.closed("running")
            if isinstance(error, TypeError | ValueError | MemoryError):
                raise JournalError(f"run {job_id} cannot be stated anew: {error}") from error
            raise
        begun = self.fleet.keep(_Begun)
        if job_id in begun and diary.past.unfinished is not None:
            # What it spent before is in the fleet's books already.
            unfinished = replace(diary.past.unfinished, spent=())
            diary.past = replace(diary.past, unfinished=unfinished)
        begun.add(job_id)
        return (self.stated(work), result), diary

    def _launched(
        self, job_id: str, work: Work, result: Callable[[], PrimitiveResult[Any]], diary: Diary
    ) -> RouterJob:
        run = Run(job_id, self.fleet, self.policy, work, diary=diary)
        job = RouterJob(run, result, on_failure=self.policy.on_failure)
        job.start()
        return job

    def count_use(self) -> None:
        """Count what runs of other processes have used of members' allowances, once for a fleet.

        The journal tells, if there is one.

        Raises:
            JournalError: If it cannot be read.
        """
        allotments = {
            member.name: allotment for member in self.fleet if (allotment := allotment_of(member))
        }
        counted = self.fleet.keep(_Counted)
        if self.journal is None or not allotments or self.journal.path in counted:
            return
        counted.add(self.journal.path)
        used = self.journal.free_units(besides=self.fleet.keep(_Begun))
        pots = self.fleet.keep(FleetStanding).pots
        # In the loop in which all runs live, which is where pots are changed.
        ENGINE.call(lambda: count_use(allotments, pots, used))

    def stated(self, work: Work) -> Work:
        """Return work with what is known of each task before anything runs.

        Its circuits are copies from here on.
        """
        work = replace(work, programs=self._snapshots.of(work.programs))
        # Where there is no other member to go to, the backend itself is the judge of options.
        judged = work.options if len(self.fleet) > 1 else {}
        weighs = any(member.limits.max_payload_bytes for member in self.fleet)
        known: dict[tuple[int, int], tuple[dict[str, str], int]] = {}
        tasks = []
        for task, program in zip(work.tasks, work.programs, strict=True):
            key = (id(program), task.shots)
            if key not in known:
                payload = _payload_bytes(program.circuit) if weighs else 0
                known[key] = (self._refusals(program, task.shots, judged), payload)
            refusals, payload = known[key]
            tasks.append(replace(task, refusals=refusals, payload_bytes=payload))
        return replace(work, tasks=tuple(tasks))

    def _refusals(self, program: Program, shots: int, options: Mapping[str, Any]) -> dict[str, str]:
        return {
            member.name: reason
            for member in self.fleet
            if (reason := member.refusal(program, shots, options))
        }


class Routed(Generic[Options]):
    """What both primitives are made of: a router, and options that may be changed at any time.

    Args:
        backends: A fleet, or anything that makes one.
        backend: The same for one backend, by the name that Qiskit's own primitives give it.
        policy: The rules; the default finishes soonest.
        journal: Where runs are written down, or the path of it; by default nowhere.
        options: The options.

    Raises:
        TypeError: If something is not a backend, or is given twice.
        JournalError: If the journal cannot be used.
    """

    def __init__(
        self,
        backends: Backends | None,
        backend: BackendV2 | None,
        *,
        policy: Policy | None,
        journal: Journal | str | PathLike[str] | None,
        options: Options,
    ) -> None:
        self._router = Router(_one_of(backends, backend), policy, journal)
        self._options = options

    @property
    def options(self) -> Options:
        """Return the options; they may be changed at any time, for later runs."""
        return self._options

    @property
    def fleet(self) -> Fleet:
        """Return the fleet."""
        return self._router.fleet

    @property
    def policy(self) -> Policy:
        """Return the policy."""
        return self._router.policy

    @property
    def backend(self) -> BackendV2:
        """Return the backend of the first member, for packages written for one backend."""
        return self._router.backend

    @property
    def _backend(self) -> BackendV2:
        # qiskit-experiments reads this name.
        return self._router.backend


def _one_of(backends: Backends | None, backend: BackendV2 | None) -> Backends:
    """Return what to run on, by either of its names.

    Raises:
        TypeError: If both or none are given.
    """
    given = [one for one in (backends, backend) if one is not None]
    if len(given) != 1:
        raise TypeError(
            "give what to run on once: backends, a fleet or an iterable of backends, or backend, "
            "as Qiskit's own primitives call it"
        )
    return given[0]


def made_options(kind: type[Options], given: "Options | Mapping[str, Any] | None") -> Options:
    """Return options of a kind from an instance of it, a mapping, or nothing.

    Raises:
        TypeError: If a key is not known, or ``given`` is neither.
    """
    if given is None:
        return kind()
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"options must be a dict or {kind.__name__}, got {given!r}")
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}; there are {', '.join(known)}")
    return kind(**given)


def checked_run_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the user's options of ``backend.run``.

    Raises:
        TypeError: If one of them is the router's own business.
    """
    for name, instead in _OWN_OPTIONS.items():
        if name in (given or {}):
            raise TypeError(f"run_options must not hold {name!r}: {instead}")
    # To Qiskit, a level of None is that of bits, as if it were not given.
    return {
        name: value
        for name, value in (given or {}).items()
        if name != "meas_level" or value is not None
    }


def checked_seed(given: int | None) -> int | None:
    """Return the user's seed as one that numpy takes; any integer will do.

    Raises:
        TypeError: If it is no integer.
    """
    if given is None:
        return None
    try:
        return index(given) % _SEEDS
    except TypeError:
        raise TypeError(f"seed_simulator must be an integer or None, got {given!r}") from None


def stated_pub(
    circuit: QuantumCircuit, values: BindingsArray, amount: float, observables: Any = None
) -> StatedPub:
    """Return a PUB as it is written down."""
    return StatedPub(
        circuit=circuit,
        rows=parameter_rows(values, circuit),
        shape=values.shape,
        amount=amount,
        observables=observables,
    )


def stated_options(options: Any) -> dict[str, Any]:
    """Return options as they are written down."""
    return {field.name: getattr(options, field.name) for field in fields(options)}


def bindings_of(stated: StatedPub) -> BindingsArray:
    """Return the parameter values of a PUB that was written down."""
    parameters = tuple(stated.circuit.parameters)
    values = stated.rows.reshape(*stated.shape, len(parameters))
    return BindingsArray({parameters: values} if parameters else {}, shape=stated.shape)


def parameter_rows(values: BindingsArray, circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Return parameter values as ``(rows, parameters)``, in the circuit's order of parameters.

    Raises:
        ValueError: If one is not finite.
    """
    shape = (prod(values.shape), circuit.num_parameters)
    if 0 in shape:
        return np.zeros(shape)
    rows = np.asarray(values.as_array(circuit.parameters), dtype=float).reshape(shape)
    if not np.isfinite(rows).all():
        raise ValueError("parameter values must be finite numbers, and some are not")
    return rows


def _payload_bytes(circuit: QuantumCircuit) -> int:
    """Estimate what one circuit weighs as a provider is sent it: its size as QPY."""
    buffer = BytesIO()
    dump(circuit, buffer)
    return buffer.tell()
