"""``SamplerV2`` over a fleet."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseSamplerV2
from qiskit.primitives.containers import SamplerPubLike
from qiskit.primitives.containers.data_bin import DataBin
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.circuits.normalize import writes_any
from qiskit_gateway.backends.interface.batch import Program
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
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.runtime.preview.quote import Quote
from qiskit_gateway.work.pubs import read_parameter_rows
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work


@dataclass
class SamplerOptions(PrimitiveOptions):
    """The options of :class:`RouterSampler`.

    Attributes:
        default_shots: Shots of PUBs that do not say, in a run that does not say.
        seed_simulator: Seed for simulators. With it the same input on the same fleet is cut in
            the same way, and gives the same result where the backends honour seeds.
        run_options: Further options of ``backend.run``, for every job.
    """

    default_shots: int = 1024
    seed_simulator: int | None = None
    run_options: dict[str, Any] | None = None


class RouterSampler(Routed[SamplerOptions], BaseSamplerV2):
    """A ``SamplerV2`` over a fleet of backends, used as if it were one.

    PUBs are cut by what each member can take, sent out side by side, tried again or moved when
    something fails, and put together as one :class:`~qiskit.primitives.PrimitiveResult`, equal in
    form to that of Qiskit's own ``BackendSamplerV2``.

    Args:
        backends: A :class:`~qiskit_gateway.backends.Fleet`, a ``BackendV2``, a member, or an
            iterable of these.
        backend: The same for one backend, by the name that Qiskit's own primitives give it.
        policy: Where work goes and what happens when it fails; by default the member that finishes
            soonest.
        options: :class:`SamplerOptions`, or a dict of them.
        journal: A :class:`~qiskit_gateway.Journal`, or the path of one, where runs are written
            down so that :meth:`resume` can take them up again; by default nowhere.

    Raises:
        TypeError: If an option is not known, or something is not a backend.
        JournalError: If the journal cannot be used.
    """

    _kind = "sampler"
    _options_kind = SamplerOptions

    @property
    def default_shots(self) -> int:
        """Shots of PUBs that give none, in a run that gives none."""
        return self._options.default_shots

    def run(
        self,
        pubs: Iterable[SamplerPubLike],
        *,
        shots: int | None = None,
        progress: bool = False,
    ) -> RouterJob:
        """Run PUBs and return at once.

        Args:
            pubs: The PUBs, as for every ``SamplerV2``.
            shots: Shots of PUBs that do not say.
            progress: Whether to show the progress until the run is over, as
                :meth:`RouterJob.watch` does, but in the background.

        Returns:
            The job; its result has one :class:`~qiskit.primitives.SamplerPubResult` per PUB.

        Raises:
            TypeError: If something is not a PUB, an option is not for ``run_options``, or the seed
                is no integer.
            ValueError: If a PUB's values, shape or shots cannot be.
            JournalError: If there is a journal, and it cannot hold the run.
            ImportError: If a bar on a terminal is wanted, and ``rich`` is not installed.
        """
        return self._start(*self._prepare(pubs, shots), progress=progress)

    def run_on_each(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None, progress: bool = False
    ) -> GroupJob:
        """Run the same PUBs on every member, each by itself, and return at once.

        It compares devices: every member does all of the work, in a run of its own under the policy
        of this sampler, and one that fails takes nothing from the others. A member gives what it
        would give as the only one of its fleet. A budget counts all runs; what it limits for each
        run it limits for each member.

        Args:
            pubs: The PUBs, as for :meth:`run`.
            shots: Shots of PUBs that do not say.
            progress: As for :meth:`run`.

        Returns:
            The runs; their result has one :class:`~qiskit.primitives.PrimitiveResult` per member.

        Raises:
            TypeError: As for :meth:`run`.
            ValueError: As for :meth:`run`.
            JournalError: If there is a journal, and it cannot hold the runs.
            ImportError: As for :meth:`run`.
        """
        return self._start_on_each(*self._prepare(pubs, shots), progress=progress)

    def quote(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None, exact: bool = False
    ) -> Quote:
        """Forecast what a run would send where, at what price and by when. Nothing is sent.

        The scheduler of a real run decides, over the members as they are now: their limits, tariffs,
        queues, learned speed, health, and what is left of the budget. Circuits are compiled, once
        for this and for running. It blocks until that is done.

        Args:
            pubs: The PUBs, as for :meth:`run`.
            shots: As for :meth:`run`.
            exact: Also ask the providers that can be asked what the jobs would cost, and go by that
                in place of their tariffs. No job is sent, and none is waited for longer than for a
                submission.

        Returns:
            The quote: per member and in all, printable, also in a notebook.

        Raises:
            TypeError: As for :meth:`run`.
            ValueError: As for :meth:`run`.
        """
        plan, _ = self._prepare(pubs, shots)
        return self._router.quote(plan()[0], exact=exact)

    @staticmethod
    def _plan_again(spec: RunSpec) -> RunPlan:
        pubs = [SamplerPub(pub.circuit, read_bindings(pub), int(pub.amount)) for pub in spec.pubs]
        return _plan(pubs, parse_options(SamplerOptions, spec.options))

    def _prepare(self, pubs: Iterable[SamplerPubLike], shots: int | None) -> Prepared:
        options = self._options
        if shots is None:
            shots = options.default_shots
        coerced = [SamplerPub.coerce(pub, shots) for pub in pubs]
        for index, pub in enumerate(coerced):
            _check(index, pub)
        return lambda: _plan(coerced, options), lambda: _spec_of(coerced, options)


def _plan(pubs: list[SamplerPub], options: SamplerOptions) -> RunPlan:
    work, stores = _state(pubs, options)
    return work, partial(make_result, stores)


def _spec_of(pubs: list[SamplerPub], options: SamplerOptions) -> RunSpec:
    stated = [record_pub(pub.circuit, pub.parameter_values, pub.shots or 0) for pub in pubs]
    return RunSpec(kind="sampler", pubs=tuple(stated), options=record_options(options))


def _check(index: int, pub: SamplerPub) -> None:
    if not pub.circuit.cregs:
        warnings.warn(
            f"The {index}-th pub's circuit has no output classical registers and so the result "
            "will be empty. Did you mean to add measurement instructions?",
            UserWarning,
            stacklevel=4,
        )
    try:
        fields: dict[str, Any] = dict.fromkeys(creg.name for creg in pub.circuit.cregs)
        DataBin(**fields)
    except (TypeError, ValueError):
        # Found out before anything is spent, not when the results are put together.
        names = [creg.name for creg in pub.circuit.cregs]
        raise ValueError(
            f"pub {index} has classical registers {names}, and a result cannot have a field of "
            "one of these names; rename the register"
        ) from None


def _state(pubs: list[SamplerPub], options: SamplerOptions) -> tuple[Work, list[SamplerStore]]:
    """State the work of PUBs, and where its results go."""
    run_options = parse_run_options(options.run_options)
    level = int(run_options.get("meas_level", 2))
    if level not in {1, 2}:
        raise ValueError(f"meas_level must be 1 or 2 for a sampler, got {level}")
    # A tuple, because Qiskit's own names for these are equal to them and hash otherwise.
    averaged = level == 1 and run_options.get("meas_return") in ("avg", "average")
    programs: dict[int, Program] = {}
    stores, tasks, rows = [], [], []
    for index, pub in enumerate(pubs):
        programs.setdefault(id(pub.circuit), Program(circuit=pub.circuit))
        computed = _is_known(pub.circuit, level)
        stores.append(SamplerStore(pub, meas_level=level, averaged=averaged, computed=computed))
        values = read_parameter_rows(pub.parameter_values, pub.circuit)
        rows.append(values)
        size = 0 if computed else len(values)
        tasks.append(Task(index=index, rows=size, shots=int(pub.shots or 0), group=index))
    work = Work(
        tasks=tuple(tasks),
        programs=tuple(programs[id(pub.circuit)] for pub in pubs),
        rows=tuple(rows),
        stores=tuple(stores),
        seed=parse_seed(options.seed_simulator),
        options=run_options,
    )
    return work, stores


def _is_known(circuit: QuantumCircuit, level: int) -> bool:
    """The result is known without running: no bit that is read is ever written."""
    read = {bit for register in circuit.cregs for bit in register}
    if level == 1:
        return not read  # What a device sees of a qubit that nobody measures is for it to say.
    return not (read and writes_any(circuit, read))
