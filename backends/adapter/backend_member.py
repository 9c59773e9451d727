"""The one adapter over Qiskit's ``BackendV2``: from batches to ``backend.run`` and back.

Blocking calls are made in threads, and here alone. What a provider's objects do is not trusted:
one backend object is used by one thread at a time, only options that it knows are sent, shots are
plain integers, and every exception is translated into facts.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Never, Self

from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import PassManager

from qiskit_gateway.backends.adapter.bare_circuits import is_about_lists, one_at_a_time
from qiskit_gateway.backends.adapter.copies import once, pickled, require_copied
from qiskit_gateway.backends.adapter.discovery import told_by
from qiskit_gateway.backends.adapter.job_lookup import fetch, find, label_of
from qiskit_gateway.backends.adapter.jobs import (
    has_started,
    is_cancelled,
    job_id_of,
    note_sent,
    require_own,
    result_of,
    stage_of,
)
from qiskit_gateway.backends.adapter.payload import options_of, payload_of
from qiskit_gateway.backends.adapter.queues import probe_for
from qiskit_gateway.backends.adapter.serial import Errand, on_errand, turns_of
from qiskit_gateway.backends.adapter.threads import Call, call_in_thread, start_in_thread
from qiskit_gateway.backends.compilation.cache import Estimate, IsaCache, Prepared
from qiskit_gateway.backends.examination.examiner import Answer
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.translate import translated
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import Handle, JobStage
from qiskit_gateway.backends.interface.queue_reading import Probe
from qiskit_gateway.backends.interface.run_options import known_options, objection
from qiskit_gateway.backends.pricing.rates import FREE, Pricing, Tariff
from qiskit_gateway.backends.readout.outcomes import Outcome, joined, read

# How many submissions are remembered of which it is certain that nothing was sent.
_REMEMBERED = 1024


class Member:
    """A backend in a fleet.

    Subclassing:
        Override :meth:`options_for` for a provider that wants its options in another way, or any
        of the four verbs. They may be called from several tasks at once.

    Args:
        backend: The backend to run on.
        name: Its label; by default the backend's own name. A fleet makes it unique.
        limits: What a job may be; whatever is given wins over what the backend tells.
        pricing: A :class:`~qiskit_gateway.backends.pricing.rates.Pricing`, or any callable from a
            :class:`~qiskit_gateway.backends.pricing.rates.Usage` to USD. By default nothing is counted,
            but nothing is run twice either where ``Pricing()`` would say that this costs nothing.
        weight: Share of the work under policies that weigh; positive.
        fidelity: Expected fidelity of its circuits in [0, 1], where the user knows better than
            the backend's own figures.
        queue: A callable that returns how long a job waits behind those of others, in seconds.
        run_options: Options of ``backend.run`` for every job on this member. They are sent as
            they are, and win over those of a run.
        pass_manager: What to compile circuits with, in place of Qiskit's preset of level 1.
        tags: Free labels that filters may ask for.
        adaptation: How to talk to the backend so that its answers are right, as
            ``check_backend(backend).adaptation`` has found it; by default what is known of its
            provider.

    Raises:
        TypeError: If ``backend`` is not a ``BackendV2``, or an argument is unknown.
        ValueError: If a number is out of range.
    """

    def __init__(  # noqa: PLR0913  All that a user may say of a backend.
        self,
        backend: BackendV2,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        pricing: Tariff | None = None,
        weight: float = 1.0,
        fidelity: float | None = None,
        queue: Callable[[], float] | None = None,
        run_options: Mapping[str, Any] | None = None,
        pass_manager: PassManager | None = None,
        tags: Iterable[str] = (),
        adaptation: Adaptation | None = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise TypeError(_about_unknown(next(iter(unknown))))
        if not isinstance(backend, BackendV2):
            raise TypeError(
                f"a member needs a qiskit BackendV2, got {backend!r}; wrap other kinds of "
                "backends in a class with the four verbs of FleetMember"
            )
        if not weight > 0:
            raise ValueError(f"the weight of a member must be positive, got {weight!r}")
        if fidelity is not None and not 0 <= fidelity <= 1:
            raise ValueError(f"the fidelity of a member must be in [0, 1], got {fidelity!r}")
        self.backend = backend
        self.run_options = dict(run_options or {})
        told = told_by(backend, self.run_options)
        self.name = name or told.name
        self.limits = told.limits.overridden_by(limits)
        self.pricing: Tariff = FREE if pricing is None else pricing
        self.costs_nothing = isinstance(pricing, Pricing) and pricing == FREE
        self.weight = float(weight)
        self.fidelity = fidelity
        self.queue = queue
        self.tags = frozenset([tags] if isinstance(tags, str) else tags)
        self.overlaps = told.overlaps
        self.adaptation = told.adaptation if adaptation is None else adaptation
        self._isa = IsaCache(
            backend, pass_manager, without=self.adaptation.gates, limits=self.limits
        )
        self._turns = turns_of(backend)
        self._takes_lists = False
        self._unsent: deque[str] = deque(maxlen=_REMEMBERED)

    def __repr__(self) -> str:
        return f"Member({self.name!r})"

    # -- copies and pickles ------------------------------------------------------------------

    def __copy__(self) -> Self:
        """A member over the same backend object, which shares what was compiled for it."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A member over a copy of the backend.

        Raises:
            TypeError: If something that it was given cannot be copied.
        """
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        require_copied(self.name, self._given, partial(deepcopy, memo=memo))
        made.__dict__.update(deepcopy(self._lasting(), memo))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but what belongs to this process, which is made anew.

        Raises:
            TypeError: If something that it was given cannot be pickled.
        """
        with once(self) as first:
            if first:
                require_copied(self.name, self._given, pickled)
        return self._lasting()

    @property
    def _given(self) -> dict[str, object]:
        names = ("backend", "pricing", "queue", "run_options")
        given = {name: getattr(self, name) for name in names}
        return {**given, "pass_manager": self._isa.pass_manager}

    def _lasting(self) -> dict[str, Any]:
        # What was not sent is known of submissions of this process alone, and noted as they end.
        return {**self.__dict__, "_unsent": deque(maxlen=_REMEMBERED)}

    # -- what can be told at once ------------------------------------------------------------

    def refusal(self, program: Program, shots: int, options: Mapping[str, Any]) -> str:
        """Return why a program cannot run here, as far as can be told at once, or ``""``.

        Args:
            program: What to run.
            shots: Shots of each of its circuits.
            options: The options of the run.
        """
        width, needed = self.limits.num_qubits, program.circuit.num_qubits
        laid_out = program.circuit.layout is not None  # Then only the target can tell.
        if width is not None and needed > width and not laid_out:
            return f"needs {needed} qubits, has {width}"
        fewest = self.limits.min_shots
        if fewest is not None and shots < fewest:
            return f"needs at least {fewest} shots in a job, {shots} are asked for"
        known = self.known_options if options else frozenset()
        for name, value in options.items():
            if known and name not in known:
                return f"does not know the option {name!r}"
            if reason := objection(self.backend, name, value):
                return reason
        return self.adaptation.refusal

    @cached_property
    def queue_probe(self) -> Probe | None:
        """Return what to call to learn how long its queue is, or ``None``; it may block."""
        return probe_for(self.backend, self.queue)

    @property
    def known_options(self) -> frozenset[str]:
        """Return the options of ``backend.run`` that the backend says it knows."""
        return known_options(self.backend)

    async def estimate(self, program: Program) -> Estimate:
        """Return what a program is here: gates, fidelity and time, as compiled for the backend.

        It is compiled as for running, once for both; nothing is sent.

        Raises:
            Refused: If it cannot run here.
            BackendError: If the backend could not be asked what it can do.
        """
        known = self._isa.estimated(program, flatten=self.adaptation.flatten)
        if known is not None:
            return known
        return await call_in_thread(lambda: self._estimate(program))

    # -- the four verbs ----------------------------------------------------------------------

    async def read_target(self) -> None:
        """Ask the backend what it can do, once.

        Raises:
            BackendError: If it could not be asked.
        """
        if not self._isa.is_asked:
            await call_in_thread(self._read_target)

    async def prepare(self, batch: Batch) -> None:
        """Compile what of a batch is not compiled yet; the provider is not asked for anything.

        Raises:
            Refused: If some entries cannot run here.
            BackendError: If what the backend supports could not be found out.
        """
        adaptation = self.adaptation
        known = (
            self._isa.knows(entry.program, flatten=adaptation.flatten) for entry in batch.entries
        )
        if not all(known):
            await call_in_thread(lambda: self._prepared(batch, adaptation))

    async def submit(self, batch: Batch) -> Handle:
        """Hand a batch to ``backend.run`` as one job.

        Raises:
            Refused: If some entries cannot run here; then nothing was sent.
            BackendError: If the provider did not take the job.
        """
        errand = Errand()
        taking = Call(lambda: self._submit(batch, errand), late=lambda found: found.job.cancel())
        # In the same thread, which spares the way to the event loop and back.
        result = Call(lambda: self._collect(taking.value))
        start_in_thread(taking, result)
        try:
            return Awaited.of(await taking.outcome(), result)
        finally:
            if not errand.leave():
                self._unsent.append(batch.key)

    def was_sent(self, batch: Batch) -> bool:
        """Return whether a submission that was left unanswered may have reached the provider."""
        return batch.key not in self._unsent

    async def collect(self, handle: Handle) -> Sequence[Outcome]:
        """Wait for a job and return one outcome per circuit.

        Raises:
            BackendError: If the job failed.
        """
        if isinstance(handle, Awaited) and not handle.result.asked:
            return await handle.result.outcome()
        return await call_in_thread(lambda: self._collect(handle))

    async def cancel(self, handle: Handle) -> bool:
        """Ask the provider to cancel a job; return whether it confirmed that."""
        return await call_in_thread(lambda: is_cancelled(handle.job))

    async def started(self, handle: Handle) -> bool | None:
        """Return whether the provider runs a job already; ``None`` if it does not say."""
        return await call_in_thread(lambda: has_started(handle.job))

    async def stage(self, handle: Handle) -> JobStage:
        """Tell how far a job is.

        Raises:
            BackendError: If the provider could not be asked.
        """
        return await call_in_thread(lambda: stage_of(handle.job))

    async def reattach(self, job_id: str) -> Handle:
        """Find a job again by the provider's id.

        Raises:
            BackendError: If the provider cannot look up jobs, or does not know this one.
        """
        return await on_errand(lambda errand: self._reattach(job_id, errand))

    @property
    def finds(self) -> bool:
        """Return whether the provider lists jobs with a name of ours, to find them by."""
        return label_of(self.backend, self.known_options.union(self.run_options)) is not None

    async def find(self, key: str) -> Handle | None:
        """Find a job by the key of its batch; ``None`` if the provider has none.

        The key is sent along where the provider lists jobs with a name of ours, see
        :mod:`~qiskit_gateway.backends.adapter.job_lookup`.

        Raises:
            BackendError: If the provider cannot tell.
        """
        return await on_errand(lambda errand: self._find(key, errand))

    # -- in a thread -------------------------------------------------------------------------

    def answer(self, batch: Batch, *, flatten: bool) -> Answer:
        """Run a batch and return the provider's own result, whatever is known of its bits. Blocks.

        Args:
            batch: What to run.
            flatten: Whether to send single classical registers.

        Raises:
            Refused: If some entries cannot run here; then nothing was sent.
            BackendError: If the job failed.
        """
        prepared = self._prepared(batch, Adaptation(flatten=flatten))
        result = result_of(self._run(batch, prepared, Errand()))
        pairs = zip(batch.entries, prepared, strict=True)
        return Answer(
            joined(result), [ready.wiring for e, ready in pairs for _ in range(e.circuits)]
        )

    def _submit(self, batch: Batch, errand: Errand) -> Handle:
        job = self._run(batch, self._prepared(batch, self.adaptation), errand)
        return self._handle_of(job, batch)

    def _run(self, batch: Batch, prepared: Sequence[Prepared], errand: Errand) -> Any:
        pairs = list(zip(batch.entries, prepared, strict=True))
        circuits, binds = payload_of(pairs)
        if len(circuits) > 1:
            self._require_company(prepared)
        options = self.options_for(batch)
        if binds:
            options["parameter_binds"] = binds
        with self._turns.taken(errand), translated("submit"):
            errand.begin()
            return self._hand_over(circuits, options)

    def _hand_over(self, circuits: list[QuantumCircuit], options: Mapping[str, Any]) -> Any:
        """Call ``backend.run`` with a list, or with a bare circuit where it is found to take no list."""
        if self.adaptation.bare and len(circuits) == 1:
            return self.backend.run(circuits[0], **options)
        try:
            job = self.backend.run(circuits, **options)
        except Exception as error:
            if self._takes_lists or not is_about_lists(error, circuits):
                raise
            if len(circuits) > 1:
                raise one_at_a_time(self.name, error, circuits) from error
            return self._hand_over_bare(circuits[0], options, error)
        self._takes_lists = True
        return job

    def _hand_over_bare(
        self, circuit: QuantumCircuit, options: Mapping[str, Any], reason: Exception
    ) -> Any:
        try:
            job = self.backend.run(circuit, **options)
        except (TypeError, AttributeError):
            raise reason from None  # It was not about lists, or not alone.
        self.adaptation = replace(self.adaptation, bare=True)
        self.limits = replace(self.limits, max_circuits=1)
        return job

    def _require_company(self, prepared: Sequence[Prepared]) -> None:
        """Fail, so that the shard is halved, where a circuit must be the only one of its job."""
        for ready in prepared:
            if reason := self.adaptation.goes_alone(ready.circuit):
                raise BackendError(
                    f"{self.name} {reason}; Limits(max_circuits=1) spares the search for them",
                    transient=False,
                    fault="caller",
                    submitted=False,
                )

    def options_for(self, batch: Batch) -> dict[str, Any]:
        """Return the options of ``backend.run`` for a batch: shots and those that are known."""
        return options_of(
            batch,
            self.backend,
            known=self.known_options,
            always=self.adaptation.options,
            given=self.run_options,
        )

    def _read_target(self) -> None:
        with _before_sending():
            _ = self._isa.site

    def _prepared(self, batch: Batch, adaptation: Adaptation) -> list[Prepared]:
        """Prepare the programs for the backend, or say which of them it cannot run."""
        prepared: list[Prepared] = []
        reasons: dict[int, str] = {}
        for index, entry in enumerate(batch.entries):
            try:
                prepared.append(self._prepare(entry.program, adaptation))
            except Refused as refused:
                reasons[index] = refused.reasons[0]
        if reasons:
            raise Refused(reasons)
        return prepared

    def _prepare(self, program: Program, adaptation: Adaptation) -> Prepared:
        if adaptation.refusal:  # Before anything is compiled in vain.
            raise Refused({0: adaptation.refusal})
        with _before_sending():
            ready = self._isa.prepare(program, flatten=adaptation.flatten)
        reason = adaptation.reason(ready.circuit)
        if reason:
            raise Refused({0: reason})
        return ready

    def _estimate(self, program: Program) -> Estimate:
        adaptation = self.adaptation
        self._prepare(program, adaptation)
        with _before_sending():
            return self._isa.estimate(program, flatten=adaptation.flatten)

    def _collect(self, handle: Handle) -> Any:
        batch = handle.batch
        assert batch is not None, "a job found again needs its batch"  # noqa: S101
        result = result_of(handle.job)
        with translated("collect"):
            require_own(result, self.backend, handle.job_id)
        wirings = [
            wiring
            for entry in batch.entries
            for wiring in [
                self.adaptation.applied(self._prepare(entry.program, self.adaptation).wiring)
            ]
            for _ in range(entry.circuits)
        ]
        level = {**batch.options, **self.run_options}.get("meas_level", 2)
        with translated("collect"):  # A result may be read from the provider only when looked at.
            return read(result, wirings, batch.kept_shots, meas_level=int(level))

    def _find(self, key: str, errand: Errand) -> Handle | None:
        label = label_of(self.backend, self.known_options.union(self.run_options))
        if label is None:
            raise BackendError(
                f"{self.name} lists no jobs by a name of ours", transient=False, submitted=None
            )
        with self._turns.taken(errand), translated("reattach"):
            job = find(self.backend, label, key)
        return None if job is None else self._handle_of(job)

    def _reattach(self, job_id: str, errand: Errand) -> Handle:
        with self._turns.taken(errand), translated("reattach"):
            job = fetch(self.backend, job_id)
        if job is None:
            raise BackendError(
                f"{self.name} cannot look up jobs, so {job_id!r} is lost",
                transient=False,
                submitted=None,
            )
        note_sent(self.backend, job_id)
        return Handle(job_id=job_id, job=job)

    def _handle_of(self, job: Any, batch: Batch | None = None) -> Handle:
        handle = Handle(job_id=job_id_of(job), job=job, batch=batch)
        note_sent(self.backend, handle.job_id)
        return handle


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Awaited(Handle):
    """A job whose result the thread that has submitted it waits for already.

    Attributes:
        result: That call; the first who asks for the result gets what comes of it.
    """

    result: Call[Sequence[Outcome]]

    @classmethod
    def of(cls, handle: Handle, result: Call[Sequence[Outcome]]) -> "Awaited":
        """Return a handle of the same job."""
        return cls(job_id=handle.job_id, job=handle.job, batch=handle.batch, result=result)


@contextmanager
def _before_sending() -> Iterator[None]:
    """Translate what is raised while circuits are prepared, when nothing was sent."""
    try:
        with translated("submit"):
            yield
    except BackendError as error:
        error.submitted = False
        raise


def _about_unknown(name: str) -> str:
    """Say what to do about an argument of :class:`Member` that there is not."""
    if name == "check":
        return (
            "Member() takes no check any more: run check_backend(backend) once, and hand what it "
            "finds to the member, Member(backend, adaptation=check_backend(backend).adaptation)"
        )
    return f"Member() got an unexpected keyword argument {name!r}"
