"""``EstimatorV2`` over a fleet."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.primitives.containers import EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray

from qiskit_gateway.arguments import check_choice
from qiskit_gateway.backends.interface.batch import Program, Wanted
from qiskit_gateway.journal.run_spec import RunSpec, read_bindings, record_pub
from qiskit_gateway.primitives.group import GroupJob
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.primitives.options import (
    PrimitiveOptions,
    Routed,
    parse_options,
    parse_run_options,
    parse_seed,
    record_options,
)
from qiskit_gateway.primitives.router import Prepared, RunPlan, make_result
from qiskit_gateway.results.coverage import Coverage
from qiskit_gateway.results.estimator_store import BasisShare, BasisStore, EstimatorStore, Section
from qiskit_gateway.results.known_parts import KnownParts
from qiskit_gateway.results.observables import Observables, Part
from qiskit_gateway.results.pauli_sums import BlockSums
from qiskit_gateway.results.shot_allocation import allocate_shots, shots_for
from qiskit_gateway.runtime.preview.quote import Quote
from qiskit_gateway.work.pubs import read_parameter_rows
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work

ShotAllocation = Literal["per_basis", "by_weight"]
StdsKind = Literal["standard_error", "upper_bound"]


@dataclass
class EstimatorOptions(PrimitiveOptions):
    """The options of :class:`RouterEstimator`.

    Attributes:
        default_precision: Precision of PUBs that do not say, in a run that does not say.
        abelian_grouping: Whether terms that commute qubit by qubit are measured together.
            Otherwise every Pauli label has a circuit of its own.
        seed_simulator: Seed for simulators. With it the same input on the same fleet is cut in
            the same way, and gives the same result where the backends honour seeds.
        run_options: Further options of ``backend.run``, for every job.
        shot_allocation: ``"per_basis"`` runs ``1 / precision**2`` shots of every circuit, as
            Qiskit does: each Pauli is as precise as asked, whatever its coefficient. With
            ``"by_weight"`` it is the standard error of the observable that meets the precision,
            whatever the state, and bases have shots in proportion to the coefficients that are
            measured in them, which takes the fewest. The report says what that saved. ``shots`` in
            the metadata is then that of the basis that has most.
        stds: ``"standard_error"`` is the standard error of each value, with the covariances
            of terms that were measured together. ``"upper_bound"`` is what Qiskit reports: the sum
            over terms, as if all varied together.
    """

    default_precision: float = 0.015625
    abelian_grouping: bool = True
    seed_simulator: int | None = None
    run_options: dict[str, Any] | None = None
    shot_allocation: ShotAllocation = "per_basis"
    stds: StdsKind = "standard_error"


class RouterEstimator(Routed[EstimatorOptions], BaseEstimatorV2):
    """An ``EstimatorV2`` over a fleet of backends, used as if it were one.

    Observables are grouped into bases, the measurements of a basis are added once to the
    circuit as compiled for each member, and the work is cut, sent out, tried again or moved as
    that of a :class:`~qiskit_gateway.RouterSampler`. The result is equal in form to that of
    Qiskit's own ``BackendEstimatorV2``.

    ``evs`` and ``stds`` are of the shots that arrived. ``stds`` is estimated from the spread among
    them, dividing by their number ``n`` and not by ``n - 1``, so that it is 0 where all shots
    agree; a single shot shows no spread, and the largest possible one is reported.

    Args:
        backends: A :class:`~qiskit_gateway.backends.Fleet`, a ``BackendV2``, a member, or an
            iterable of these.
        backend: The same for one backend, by the name that Qiskit's own primitives give it.
        policy: Where work goes and what happens when it fails; by default the member that finishes
            soonest.
        options: :class:`EstimatorOptions`, or a dict of them.
        journal: A :class:`~qiskit_gateway.Journal`, or the path of one, where runs are written
            down so that :meth:`resume` can take them up again; by default nowhere.

    Raises:
        TypeError: If an option is not known, or something is not a backend.
        JournalError: If the journal cannot be used.
    """

    _kind = "estimator"
    _options_kind = EstimatorOptions

    @cached_property
    def _known(self) -> KnownParts:
        return KnownParts()

    @property
    def default_precision(self) -> float:
        """The precision of PUBs that do not say, in a run that does not say."""
        return self._options.default_precision

    def run(
        self,
        pubs: Iterable[EstimatorPubLike],
        *,
        precision: float | None = None,
        progress: bool = False,
    ) -> RouterJob:
        """Run PUBs and return at once.

        Args:
            pubs: The PUBs, as for every ``EstimatorV2``.
            precision: Precision of PUBs that do not say: the standard error of a single Pauli, or
                with ``shot_allocation="by_weight"`` of every observable.
            progress: Whether to show the progress until the run is over, as
                :meth:`RouterJob.watch` does, but in the background.

        Returns:
            The job; its result has one :class:`~qiskit.primitives.PubResult` per PUB.

        Raises:
            TypeError: If something is not a PUB, or an option is not for ``run_options``.
            ValueError: If a PUB's values, shape or precision cannot be.
            JournalError: If there is a journal, and it cannot hold the run.
            ImportError: If a bar on a terminal is wanted, and ``rich`` is not installed.
        """
        return self._start(*self._prepare(pubs, precision), progress=progress)

    def run_on_each(
        self,
        pubs: Iterable[EstimatorPubLike],
        *,
        precision: float | None = None,
        progress: bool = False,
    ) -> GroupJob:
        """Run the same PUBs on every member, each by itself, and return at once.

        It compares devices: every member does all of the work, in a run of its own under the policy
        of this estimator, and one that fails takes nothing from the others. A member gives what it
        would give as the only one of its fleet. A budget counts all runs; what it limits for each
        run it limits for each member.

        Args:
            pubs: The PUBs, as for :meth:`run`.
            precision: Precision of PUBs that do not say.
            progress: As for :meth:`run`.

        Returns:
            The runs; their result has one :class:`~qiskit.primitives.PrimitiveResult` per member.

        Raises:
            TypeError: As for :meth:`run`.
            ValueError: As for :meth:`run`.
            JournalError: If there is a journal, and it cannot hold the runs.
            ImportError: As for :meth:`run`.
        """
        return self._start_on_each(*self._prepare(pubs, precision), progress=progress)

    def quote(
        self,
        pubs: Iterable[EstimatorPubLike],
        *,
        precision: float | None = None,
        exact: bool = False,
    ) -> Quote:
        """Forecast what a run would send where, at what price and by when. Nothing is sent.

        The scheduler of a real run decides, over the members as they are now: their limits, tariffs,
        queues, learned speed, health, and what is left of the budget. Circuits are compiled, once
        for this and for running. It blocks until that is done.

        Args:
            pubs: The PUBs, as for :meth:`run`.
            precision: As for :meth:`run`.
            exact: Also ask the providers that can be asked what the jobs would cost, and go by that
                in place of their tariffs. No job is sent, and none is waited for longer than for a
                submission.

        Returns:
            The quote: per member and in all, printable, also in a notebook.

        Raises:
            TypeError: As for :meth:`run`.
            ValueError: As for :meth:`run`.
        """
        plan, _ = self._prepare(pubs, precision)
        return self._router.quote(plan()[0], exact=exact)

    @staticmethod
    def _plan_again(spec: RunSpec) -> RunPlan:
        pubs = [
            EstimatorPub(
                pub.circuit,
                ObservablesArray(pub.observables),
                read_bindings(pub),
                float(pub.amount),
            )
            for pub in spec.pubs
        ]
        return _plan(pubs, parse_options(EstimatorOptions, spec.options), KnownParts())

    def _prepare(self, pubs: Iterable[EstimatorPubLike], precision: float | None) -> Prepared:
        options, known = self._options, self._known
        if precision is None:
            precision = options.default_precision
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        return lambda: _plan(coerced, options, known), lambda: _spec_of(coerced, options)


def _plan(pubs: list[EstimatorPub], options: EstimatorOptions, known: KnownParts) -> RunPlan:
    plan = _Plan(options, known)
    stores = [plan.add(index, pub) for index, pub in enumerate(pubs)]
    return plan.make_work(), partial(make_result, stores)


def _spec_of(pubs: list[EstimatorPub], options: EstimatorOptions) -> RunSpec:
    stated = [
        record_pub(pub.circuit, pub.parameter_values, _precision_of(pub), pub.observables.tolist())
        for pub in pubs
    ]
    return RunSpec(kind="estimator", pubs=tuple(stated), options=record_options(options))


class _Plan:
    """The work of PUBs, and where its results go.

    Args:
        options: The options of the run.
        known: What was found of the observables of earlier runs.

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option is none of those that there are.
    """

    def __init__(self, options: EstimatorOptions, known: KnownParts) -> None:
        self._known_parts = known
        check_choice("shot_allocation", options.shot_allocation, get_args(ShotAllocation))
        check_choice("stds", options.stds, get_args(StdsKind))
        if not isinstance(options.abelian_grouping, bool | np.bool_):
            raise TypeError(
                f"abelian_grouping must be True or False, got {options.abelian_grouping!r}"
            )
        self._abelian = bool(options.abelian_grouping)
        self._by_weight = options.shot_allocation == "by_weight"
        self._upper_bound = options.stds == "upper_bound"
        self._seed = parse_seed(options.seed_simulator)
        self._options = parse_run_options(options.run_options)
        if self._options.get("meas_level", 2) != 2:
            raise ValueError("an estimator needs bits: run_options must not ask for meas_level 1")
        self._tasks: list[Task] = []
        self._programs: list[Program] = []
        self._rows: list[NDArray[np.float64]] = []
        self._stores: list[BasisStore] = []
        self._notes: list[str] = []
        self._wanted: list[tuple[Wanted, ...]] = []
        self._known: dict[tuple[int, str], Program] = {}

    def make_work(self) -> Work:
        """Put the work of all PUBs together."""
        return Work(
            tasks=tuple(self._tasks),
            programs=tuple(self._programs),
            rows=tuple(self._rows),
            stores=tuple(self._stores),
            seed=self._seed,
            options=self._options,
            notes=tuple(self._notes),
            wanted=tuple(self._wanted),
        )

    def add(self, index: int, pub: EstimatorPub) -> EstimatorStore:
        """State the tasks of a PUB, and return where its results go."""
        shots = shots_for(_precision_of(pub))
        observables = Observables.of(pub.observables)
        groups = self._known_parts.groups(pub.observables.shape, pub.parameter_values.shape)
        users: dict[tuple[str, int], list[tuple[int, Part]]] = {}
        saving = _Saving()
        for number, group in enumerate(groups):
            parts = self._known_parts.parts(observables, group.observables, abelian=self._abelian)
            each = [shots] * len(parts)
            if self._by_weight and parts:
                each, equal = allocate_shots(parts, len(group.observables), _precision_of(pub))
                saving.add(len(group.rows), each, equal)
            for part, needed in zip(parts, each, strict=True):
                users.setdefault((part.basis, needed), []).append((number, part))
        if saving.bases:
            shots = max(needed for _, needed in users)
            self._notes.append(f"pub {index}: {saving}")
        store = EstimatorStore(
            pub=pub, shots=shots, constants=observables.constants, upper_bound=self._upper_bound
        )
        store.groups += [(group, []) for group in groups]
        values = read_parameter_rows(pub.parameter_values, pub.circuit)
        for (basis, needed), parts_used in users.items():
            task = Task(
                index=len(self._tasks),
                rows=sum(len(groups[number].rows) for number, _ in parts_used),
                shots=needed,
                group=index,
            )
            rows = self._add_task(store, task, parts_used)
            self._tasks.append(task)
            self._programs.append(self._share_program(pub.circuit, basis))
            self._rows.append(values[rows])
        return store

    def _add_task(
        self, store: EstimatorStore, task: Task, users: list[tuple[int, Part]]
    ) -> NDArray[np.intp]:
        """Make the store of a task and return its rows: those of every group, one after another."""
        sections, rows = [], 0
        for number, part in users:
            size = len(store.groups[number][0].rows)
            quantities = self._known_parts.quantities(
                part, task.shots, covariances=not self._upper_bound
            )
            sums = BlockSums(quantities, size)
            sections.append(Section(start=rows, stop=rows + size, sums=sums))
            rows += size
        basis_store = BasisStore(
            coverage=Coverage(task.rows, task.shots), sections=tuple(sections), lock=store.lock
        )
        self._stores.append(basis_store)
        self._wanted.append(
            tuple(
                Wanted(
                    rows=section.stop - section.start,
                    size=len(part.columns),
                    make=part.scale_observables,
                    group=task.group,
                )
                for section, (_, part) in zip(sections, users, strict=True)
            )
        )
        for (number, _), section in zip(users, sections, strict=True):
            store.groups[number][1].append(BasisShare(basis_store, section))
        return np.concatenate([store.groups[number][0].rows for number, _ in users])

    def _share_program(self, circuit: QuantumCircuit, basis: str) -> Program:
        # PUBs over one circuit share what members make of it.
        key = (id(circuit), basis)
        if key not in self._known:
            self._known[key] = Program(circuit=circuit, basis=basis)
        return self._known[key]


@dataclass(slots=True)
class _Saving:
    """The saving from allocating a PUB's shots by weight.

    Attributes:
        bases: How many circuits it runs.
        shots: Shots in all.
        equal: Shots that it would take if every basis had equally many.
    """

    bases: int = 0
    shots: int = 0
    equal: int = 0

    def add(self, rows: int, shots: list[int], equal: int) -> None:
        """Add some rows, and the shots of each of their bases."""
        self.bases += rows * len(shots)
        self.shots += rows * sum(shots)
        self.equal += rows * len(shots) * equal

    def __str__(self) -> str:
        share = 1 - self.shots / self.equal
        return (
            f"{self.shots} shots over {self.bases} circuits, allocated by weight; equal shots for "
            f"every basis would take {self.equal} for the same precision, so {share:.0%} are saved"
        )


def _precision_of(pub: EstimatorPub) -> float:
    precision = pub.precision
    assert precision is not None, "coerced with a precision"  # noqa: S101
    return precision
