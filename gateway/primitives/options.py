"""Options of both primitives, and the base class that holds them beside a router."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from qiskit.providers import BackendV2

from qiskit_gateway.arguments import as_plain, check_mapping
from qiskit_gateway.backends.fleet import Backends, Fleet
from qiskit_gateway.backends.member_facts import members_html
from qiskit_gateway.backends.status import BudgetStatus
from qiskit_gateway.display.cards import Fold, list_few, render_card
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.journal.run_spec import RunSpec
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.primitives.group import GroupJob
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.primitives.router import Router, RunPlan
from qiskit_gateway.reporting.watch import find_screen

Options = TypeVar("Options", bound="PrimitiveOptions")

_SEEDS = 1 << 64


# What the router itself sends, and a user must say elsewhere.
_OWN_OPTIONS = {
    "shots": "give shots to run() or in the pubs",
    "memory": "the router asks for it wherever a backend knows it",
    "seed_simulator": "set options.seed_simulator",
    "parameter_binds": "the router binds parameters itself",
}


# Keywords and options of IBM's primitives, which people bring along.
_MODE = (
    "mode= is a keyword of IBM's primitives: give backends=, a backend or a fleet of them; a "
    "session or a batch is opened where the backend is made"
)
_IN_CIRCUITS = (
    "put it into the circuits, which are sent as they are where they fit a member's target; or give "
    "a member a pass_manager of its own: Member(backend, pass_manager=...)"
)
_IN_RUN_OPTIONS = (
    "options of backend.run go into options.run_options, or for one member into "
    "Member(backend, run_options={...})"
)
_AFTERWARDS = "values are not mitigated here; do so with what this primitive returns"
# What takes the place of IBM's options.
_IBM_OPTIONS = {
    "dynamical_decoupling": _IN_CIRCUITS,
    "environment": (
        "tags go into options.run_options where a backend knows them, and the level of the log is "
        'that of logging.getLogger("qiskit_gateway")'
    ),
    "execution": _IN_RUN_OPTIONS,
    "experimental": _IN_RUN_OPTIONS,
    "max_execution_time": "set a limit in the policy: Policy(run_seconds=...) or deadline_seconds",
    "optimization_level": _IN_CIRCUITS,
    "resilience": _AFTERWARDS,
    "resilience_level": _AFTERWARDS,
    "seed_estimator": "set options.seed_simulator",
    "simulator": (
        "set options.seed_simulator, and give a backend that has the noise model, such as "
        "AerSimulator.from_backend(...)"
    ),
    "transpilation": _IN_CIRCUITS,
    "twirling": _IN_CIRCUITS,
    "update": "set each option by its name: options.seed_simulator = 5",
}


class PrimitiveOptions:
    """Base class of the options: an unknown name is an error, and ``None`` means the default.

    Subclassing:
        A dataclass whose fields all have a default.
    """

    if not TYPE_CHECKING:  # Type checkers refuse such names themselves.

        def __getattr__(self, name: str) -> Any:
            """Refuse a name that is no option: ``options.execution.init_qubits = 1`` reads one."""
            known = [field.name for field in fields(self)]
            told = name if name.startswith("_") else _explain_unknown(name, known)
            raise AttributeError(told, name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        defaults = {field.name: field.default for field in fields(self)}  # type: ignore[arg-type]
        if name not in defaults:
            raise AttributeError(_explain_unknown(name, list(defaults)))
        object.__setattr__(self, name, defaults[name] if value is None else as_plain(value))


class Routed(Generic[Options]):
    """Base class of both primitives: a router, and options that may change between runs.

    Args:
        backends: A fleet, or anything that makes one.
        backend: The same for one backend, by the name that Qiskit's own primitives give it.
        policy: The rules; the default finishes soonest.
        journal: Where runs are written down, or the path of it; by default nowhere.
        options: The options, or a dict of them.

    Raises:
        TypeError: If something is not a backend, or is given twice, or an option is not known.
        JournalError: If the journal cannot be used.
    """

    _kind: ClassVar[str]
    _options_kind: type[Options]

    @staticmethod
    def _plan_again(spec: RunSpec) -> RunPlan:
        """Make work and result anew of what a run of the journal is to do."""
        raise NotImplementedError

    def __new__(cls, *_: Any, **keywords: Any) -> Self:
        """Refuse a keyword of IBM's primitives by name; Python would only call it unexpected."""
        if "mode" in keywords:
            raise TypeError(_MODE)
        return super().__new__(cls)

    def __init__(
        self,
        backends: Backends | None = None,
        *,
        backend: BackendV2 | None = None,
        policy: Policy | None = None,
        options: Options | Mapping[str, Any] | None = None,
        journal: Journal | str | PathLike[str] | None = None,
    ) -> None:
        self._options = parse_options(self._options_kind, options)
        self._router = Router(_choose_backends(backends, backend), policy, journal)

    def _start(
        self, plan: Callable[[], RunPlan], spec: Callable[[], RunSpec], *, progress: bool
    ) -> RouterJob:
        screen = find_screen() if progress else None
        job = self._router.start(plan(), spec)
        if screen is not None:
            job.show_progress(screen)
        return job

    def _start_on_each(
        self, plan: Callable[[], RunPlan], spec: Callable[[], RunSpec], *, progress: bool
    ) -> GroupJob:
        screen = find_screen() if progress else None
        group = self._router.start_on_each(plan, spec)
        if screen is not None:
            group.show_progress(screen)
        return group

    def _repr_html_(self) -> str:
        """Its fleet, policy and options, for a notebook.

        Of options for providers only the names are shown: their values may be secrets.
        """
        router, policy = self._router, self._router.policy
        facts = [
            ("members", list_few(router.fleet.names)),
            ("policy", str(policy)),
            ("budget", "" if policy.budget is None else str(policy.budget)),
            ("journal", "" if router.journal is None else router.journal.name),
            *_list_options(self._options),
        ]
        folds = [
            Fold(f"{len(router.fleet)} members", members_html(router.fleet)),
            Fold("how they stand", router.fleet.status()._repr_html_()),
        ]
        return render_card(type(self).__name__, facts, folds)

    @property
    def options(self) -> Options:
        """The options; they may be changed at any time, for later runs."""
        return self._options

    @property
    def fleet(self) -> Fleet:
        """The fleet."""
        return self._router.fleet

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self._router.policy

    def budget_status(self) -> BudgetStatus | None:
        """Return the spent and remaining parts of the policy's budget; ``None`` without a budget.

        With a journal, it is that of all runs in the journal, as the budget counts it.

        Raises:
            JournalError: If the journal cannot be read.
        """
        return self._router.budget_status()

    def resume(self, job_id: str) -> RouterJob:
        """Go on with a run whose process ended, and return its handle.

        What has arrived is read from the journal, jobs that were submitted are fetched again where
        their providers can do that, and the rest is run, under the policy and on the fleet of this
        primitive, and with the options that the run began with. A run that was done sends nothing.

        Args:
            job_id: The run's; ``Journal.runs()`` lists them.

        Raises:
            JournalError: If there is no journal, no such run in it, another process works on it,
                or it cannot be read.
        """
        return self._router.resume(job_id, self._kind, self._plan_again)

    def resume_on_each(self, group_id: str) -> GroupJob:
        """Go on with the runs of a group whose process ended, and return their handle.

        Each continues as by :meth:`resume`, on its own member. All are taken up, or none.

        Args:
            group_id: The group's, ``job_id()`` of the :class:`GroupJob`; ``Journal.runs()`` has it
                with each of its runs.

        Raises:
            JournalError: As for :meth:`resume`, or if a run is for a member that is not in the
                fleet.
        """
        return self._router.resume_on_each(group_id, self._kind, self._plan_again)

    @property
    def backend(self) -> BackendV2:
        """The backend of the first member, for packages written for one backend."""
        return self._router.backend

    @property
    def _backend(self) -> BackendV2:
        # qiskit-experiments reads this name.
        return self._router.backend


def _list_options(options: Any) -> Iterator[tuple[str, str]]:
    for one in fields(options):
        value = getattr(options, one.name)
        if isinstance(value, Mapping):
            yield one.name, ", ".join(map(str, value))
        elif value is not None:
            yield one.name, str(value)


def _choose_backends(backends: Backends | None, backend: BackendV2 | None) -> Backends:
    """Take the backends from whichever of the two arguments holds them.

    Raises:
        TypeError: If both or none are given.
    """
    given = [one for one in (backends, backend) if one is not None]
    if len(given) != 1:
        raise TypeError(
            "give either backends, a fleet or an iterable of backends, or backend, as Qiskit's own "
            f"primitives call it; got {'both' if given else 'neither'}"
        )
    return given[0]


def parse_options(kind: type[Options], given: "Options | Mapping[str, Any] | None") -> Options:
    """Make options from an instance, a mapping, or nothing.

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
    for name in sorted(map(str, set(given) - set(known))):
        raise TypeError(_explain_unknown(name, known))
    return kind(**given)


def _explain_unknown(name: str, known: list[str]) -> str:
    if name in _IBM_OPTIONS:
        return f"{name!r} is of IBM's primitives, and this one has no such option: {_IBM_OPTIONS[name]}"
    close = get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]!r}?" if close else "; there are " + ", ".join(known)
    return f"unknown option {name!r}{hint}"


def parse_run_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check the user's options of ``backend.run``.

    Raises:
        TypeError: If they are no mapping from strings, or one of them is the router's own business.
    """
    options = {} if given is None else given
    check_mapping("run_options", options)
    for name, instead in _OWN_OPTIONS.items():
        if name in options:
            raise TypeError(f"run_options must not hold {name!r}: {instead}")
    # To Qiskit, a level of None is that of bits, as if it were not given.
    return {
        name: value for name, value in options.items() if name != "meas_level" or value is not None
    }


def parse_seed(given: int | None) -> int | None:
    """Reduce any integer seed to one that numpy takes.

    Raises:
        TypeError: If it is not an integer.
    """
    if given is None:
        return None
    try:
        return index(given) % _SEEDS
    except TypeError:
        raise TypeError(f"seed_simulator must be an integer or None, got {given!r}") from None


def record_options(options: PrimitiveOptions) -> dict[str, Any]:
    """Make options into the mapping that a journal keeps."""
    names = [field.name for field in fields(options)]  # type: ignore[arg-type]
    return {name: getattr(options, name) for name in names}
