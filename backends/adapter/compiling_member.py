"""The common base of members that compile: caches, threads, checks and copies.

A ``BackendV2`` and a native primitive are two ways to send circuits and to read what comes back.
Around that, all is the same. Blocking calls are made in threads, and here alone. What a provider's
objects do is not trusted: one object is used by one thread at a time, and every exception is
translated into facts.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Self, TypedDict

from qiskit.transpiler import PassManager

from qiskit_gateway.arguments import check_count, make_plain
from qiskit_gateway.backends.adapter.copies import dump, once, require_copied
from qiskit_gateway.backends.adapter.discovery import Told
from qiskit_gateway.backends.adapter.jobs import (
    has_started,
    is_cancelled,
    job_id_of,
    note_sent,
    require_own,
    result_of,
    stage_of,
)
from qiskit_gateway.backends.adapter.payload import Pairs
from qiskit_gateway.backends.adapter.queues import probe_for
from qiskit_gateway.backends.adapter.serial import Errand, on_errand, turns_of
from qiskit_gateway.backends.adapter.threads import Call, call_in_thread, soon_here, start_in_thread
from qiskit_gateway.backends.compilation.cache import Estimate, IsaCache, Prepared
from qiskit_gateway.backends.failures.errors import (
    BackendError,
    Refused,
    amend,
    make_each,
    unknown_job,
)
from qiskit_gateway.backends.failures.translate import translated
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.member_terms import MemberTerms, check_instance
from qiskit_gateway.backends.interface.protocol import Handle, JobStage
from qiskit_gateway.backends.interface.provider_profile import (
    Quoting,
    charge_of,
    is_local,
    quote_of,
    tells_durations,
)
from qiskit_gateway.backends.interface.queue_reading import Probe
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.member_facts import member_html
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.rates import FREE, Pricing, Tariff
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes
from qiskit_gateway.backends.registry import profiles_of

# How many submissions are remembered of which it is certain that nothing was sent.
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(MemberTerms):
    """The settings of a member that its user gave, checked.

    Attributes:
        queue: Returns how long a job waits behind those of others, in seconds.
        speed: How long its jobs run.
        pass_manager: What to compile circuits with.
        compile_tries: How often to compile each circuit, to send the best.
        adaptation: How to talk to the backend.

    Raises:
        TypeError: If a value is of the wrong kind.
        ValueError: If a number is out of range, or the name is empty or has control characters.
    """

    queue: Callable[[], float] | None = None
    speed: Speed | None = None
    pass_manager: PassManager | None = None
    compile_tries: int = 1
    adaptation: Adaptation | None = None

    def __post_init__(self) -> None:
        MemberTerms.__post_init__(self)  # A class with slots is made anew, so super() is not it.
        if self.queue is not None and not callable(self.queue):
            raise TypeError(
                "the queue of a member must be a callable that returns a wait in seconds, such as "
                f"lambda: 60.0, got {self.queue!r}"
            )
        check_instance("speed", self.speed, Speed, "a Speed, such as Speed(job_seconds=2.0)")
        # Another compiler with that method serves as well.
        if self.pass_manager is not None and not callable(getattr(self.pass_manager, "run", None)):
            raise TypeError(
                "the pass_manager of a member must be a PassManager, such as "
                f"generate_preset_pass_manager(2, backend), got {self.pass_manager!r}"
            )
        check_instance(
            "adaptation",
            self.adaptation,
            Adaptation,
            "an Adaptation, such as check_backend(backend).adaptation",
        )
        check_count("compile_tries", self.compile_tries, low=1)
        make_plain(self)


class MemberSettings(TypedDict, total=False):
    """The keywords by which a user says a :class:`Said`."""

    name: str | None
    limits: Limits | None
    pricing: Tariff | None
    weight: float
    fidelity: float | None
    queue: Callable[[], float] | None
    speed: Speed | None
    pass_manager: PassManager | None
    compile_tries: int
    tags: Iterable[str]
    adaptation: Adaptation | None


def check_settings(kind: type, settings: MemberSettings) -> Said:
    """Check the keywords of a kind of member.

    Raises:
        TypeError: If one is unknown, or a value is of the wrong kind.
        ValueError: If a number is out of range.
    """
    for name in settings:
        if name not in MemberSettings.__annotations__:
            raise TypeError(f"{kind.__name__}() got an unexpected keyword argument {name!r}")
    return Said(**settings)


class CompilingMember(ABC):
    """A member that compiles circuits for a target and sends them by blocking calls.

    Subclassing:
        Say what sends a batch, what reads its result, and how jobs are found again, by the methods
        at the end. They are called in threads.

    Args:
        backend: What circuits are compiled for.
        told: What is told of it.
        said: What the user says.
        binds: As for :class:`~qiskit_gateway.backends.compilation.target.Site`.
    """

    _copied: ClassVar[tuple[str, ...]] = ("backend", "pricing", "queue")
    # Whether the basis of a program is measured by what is sent.
    _measures: ClassVar[bool] = True

    def __init__(
        self, backend: Any, told: Told, said: Said, *, binds: Container[str] | None = None
    ) -> None:
        self.backend = backend
        self.name = said.name or told.name
        self.limits = told.limits.overridden_by(said.limits)
        self.pricing: Tariff = FREE if said.pricing is None else said.pricing
        self.costs_nothing = isinstance(said.pricing, Pricing) and said.pricing == FREE
        self.weight = float(said.weight)
        self.fidelity = said.fidelity
        self.queue = said.queue
        self.speed = said.speed
        self.tags = frozenset(said.tags)
        self.overlaps = told.overlaps
        self.adaptation = told.adaptation if said.adaptation is None else said.adaptation
        self._isa = IsaCache(
            backend,
            said.pass_manager,
            without=self.adaptation.gates,
            limits=self.limits,
            binds=binds,
            tries=said.compile_tries,
        )
        self._turns = turns_of(backend)
        self._unsent: deque[str] = deque(maxlen=_REMEMBERED)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _repr_html_(self) -> str:
        return member_html(self)

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
        made.__dict__.update(deepcopy(self._collect_state(), memo))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """The state to pickle: all but what belongs to this process, which is made anew.

        Raises:
            TypeError: If something that it was given cannot be pickled.
        """
        with once(self) as first:
            if first:
                require_copied(self.name, self._given, dump)
        return self._collect_state()

    @property
    def _given(self) -> dict[str, object]:
        given = {name: getattr(self, name) for name in self._copied}
        return {**given, "pass_manager": self._isa.pass_manager}

    def _collect_state(self) -> dict[str, Any]:
        # What was not sent is known of submissions of this process alone, and noted as they end.
        return {**self.__dict__, "_unsent": deque(maxlen=_REMEMBERED)}

    # -- what can be told at once ------------------------------------------------------------

    def refusal(self, program: Program, shots: int, options: Mapping[str, Any]) -> str:
        """Give the reason why a program cannot run here, as far as can be told at once, or ``""``.

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
        return self._objection(options) or self.adaptation.refusal

    @cached_property
    def provider(self) -> str:
        """The provider of its backend, ``""`` where nobody knows; what runs in this process is apart."""
        names = [profile.name for profile in profiles_of(self.backend)]
        where = ", local" if is_local(self.backend) else ""
        return names[0] + where if names else ""

    @cached_property
    def queue_probe(self) -> Probe | None:
        """Find the function that reads its queue, which may block; ``None`` where there is none."""
        return probe_for(self.backend, self.queue)

    async def estimate(self, program: Program) -> Estimate:
        """Estimate a program as compiled for the backend: gates, fidelity and time.

        It is compiled as for running, once for both; nothing is sent.

        Raises:
            Refused: If it cannot run here.
            BackendError: If the backend could not be asked what it can do.
        """
        known = self.look_up_estimate(program)
        return await call_in_thread(lambda: self._estimate(program)) if known is None else known

    def look_up_estimate(self, program: Program) -> Estimate | None:
        """Look up an estimate that was made before, or ``None``."""
        known = self._isa.look_up_estimate(program, flatten=self.adaptation.flatten)
        return known and self._drop_untold_seconds(known)

    @property
    def _tells_durations(self) -> bool:
        """Whether durations in the target are those of what runs its jobs."""
        return tells_durations(self.backend)

    def _drop_untold_seconds(self, estimate: Estimate) -> Estimate:
        return estimate if self._tells_durations else replace(estimate, shot_seconds=None)

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
            self._isa.knows(entry.program, flatten=adaptation.flatten, measured=self._measures)
            for entry in batch.entries
        )
        if not all(known):
            await call_in_thread(lambda: self._prepare_all(batch, adaptation))

    async def submit(self, batch: Batch) -> Handle:
        """Hand a batch to the provider as one job.

        Raises:
            Refused: If some entries cannot run here; then nothing was sent.
            BackendError: If the provider did not take the job.
        """
        errand = Errand()
        soon = soon_here()
        taking = Call(
            lambda: self._submit(batch, errand), late=lambda found: found.job.cancel(), soon=soon
        )
        # In the same thread, which spares the way to the event loop and back.
        result = Call(lambda: self._collect(taking.value), soon=soon)
        start_in_thread(taking, result)
        try:
            return Awaited.of(await taking.outcome(), result)
        finally:
            if not errand.leave():
                self._unsent.append(batch.key)

    def was_sent(self, batch: Batch) -> bool:
        """Check whether a submission that was left unanswered may have reached the provider."""
        return batch.key not in self._unsent

    async def collect(self, handle: Handle) -> Sequence[Outcome]:
        """Wait for a job and return one outcome per circuit.

        Raises:
            BackendError: If the job failed.
        """
        if isinstance(handle, Awaited) and not handle.result.asked:
            outcomes = await handle.result.outcome()
            handle.result.value = None  # The handle lives longer than the caller holds them.
            return outcomes
        return await call_in_thread(lambda: self._collect(handle))

    async def charge(self, handle: Handle) -> Charge | None:
        """Ask the provider what it charged for a job that is done; ``None`` if it does not say.

        Raises:
            BackendError: If it could not be asked.
        """
        if self.pricing == FREE or handle.job is None:
            return None  # It makes no difference.
        return await call_in_thread(lambda: self._charge(handle.job))

    async def quote(self, batch: Batch) -> Charge | None:
        """Ask the provider what a batch would cost; ``None`` if it cannot be asked. Nothing is sent.

        Raises:
            Refused: If some entries cannot run here.
            BackendError: If it could not be asked.
        """
        ask = quote_of(self.backend)
        return None if ask is None else await call_in_thread(lambda: self._quote(batch, ask))

    async def cancel(self, handle: Handle) -> bool:
        """Ask the provider to cancel a job; return whether it confirmed that."""
        return await call_in_thread(lambda: is_cancelled(handle.job))

    async def started(self, handle: Handle) -> bool | None:
        """Ask whether the provider runs a job already; ``None`` if it does not say."""
        return await call_in_thread(lambda: has_started(handle.job))

    async def stage(self, handle: Handle) -> JobStage:
        """Return the stage of a job.

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

    async def find(self, key: str) -> Handle | None:
        """Find a job by the key of its batch; ``None`` if the provider has none.

        The key is sent along where the provider lists jobs with a name of ours.

        Raises:
            BackendError: If the provider cannot tell.
        """
        return await on_errand(lambda errand: self._find(key, errand))

    # -- in a thread -------------------------------------------------------------------------

    def _submit(self, batch: Batch, errand: Errand) -> Handle:
        job = self._run(batch, self._prepare_all(batch, self.adaptation), errand)
        return self._handle_of(job, batch)

    def _run(self, batch: Batch, prepared: Sequence[Prepared], errand: Errand) -> Any:
        send = self._pack(batch, list(zip(batch.entries, prepared, strict=True)))
        with self._turns.hold(errand), translated("submit"):
            errand.begin()
            return send()

    def _read_target(self) -> None:
        with translated("submit", unsent=True):
            _ = self._isa.site

    def _prepare_all(self, batch: Batch, adaptation: Adaptation) -> list[Prepared]:
        return make_each(batch.entries, lambda entry: self._prepare(entry.program, adaptation))

    def _prepare(self, program: Program, adaptation: Adaptation) -> Prepared:
        if adaptation.refusal:  # Before anything is compiled in vain.
            raise Refused({0: adaptation.refusal})
        with translated("submit", unsent=True):
            ready = self._isa.prepare(program, flatten=adaptation.flatten, measured=self._measures)
        reason = adaptation.reason(ready.circuit)
        if reason:
            raise Refused({0: reason})
        return ready

    def _estimate(self, program: Program) -> Estimate:
        adaptation = self.adaptation
        self._prepare(program, adaptation)
        with translated("submit", unsent=True):
            return self._drop_untold_seconds(
                self._isa.estimate(program, flatten=adaptation.flatten)
            )

    def _collect(self, handle: Handle) -> Sequence[Outcome]:
        batch = handle.batch
        assert batch is not None, "a job found again needs its batch"  # noqa: S101
        prepared = [self._prepare_to_read(entry.program) for entry in batch.entries]
        return self._read_result(handle, batch, prepared)

    def _prepare_to_read(self, program: Program) -> Prepared:
        """Prepare a program that was sent: the device has taken it, whatever it takes by now."""
        try:
            with translated("submit", unsent=True):
                return self._isa.prepare_to_read(
                    program, flatten=self.adaptation.flatten, measured=self._measures
                )
        except BackendError as error:
            said = f"its circuits cannot be prepared to read the result: {error}"
            refused = isinstance(error, Refused)
            plain = BackendError(said, transient=False) if refused else error
            raise amend(plain, submitted=True) from error

    def _read_result(
        self, handle: Handle, batch: Batch, prepared: Sequence[Prepared]
    ) -> Sequence[Outcome]:
        result = result_of(handle.job)
        with translated("collect"):
            require_own(result, self.backend, handle.job_id)
        with translated("collect"):  # A result may be read from the provider only when looked at.
            return self._read(result, batch, list(zip(batch.entries, prepared, strict=True)))

    def _charge(self, job: Any) -> Charge | None:
        with translated("cancel"):
            return charge_of(self.backend, job)

    def _quote(self, batch: Batch, ask: Quoting) -> Charge | None:
        prepared = self._prepare_all(batch, self.adaptation)
        pairs = zip(batch.entries, prepared, strict=True)
        circuits = [ready.specimen for entry, ready in pairs for _ in range(entry.circuits)]
        with translated("cancel"):
            return ask(self.backend, circuits, int(batch.shots))

    def _find(self, key: str, errand: Errand) -> Handle | None:
        if not self.finds:
            raise unknown_job(f"{self.name} cannot look up jobs by our label")
        with self._turns.hold(errand), translated("reattach"):
            job = self._look_up(key)
        return None if job is None else self._handle_of(job)

    def _reattach(self, job_id: str, errand: Errand) -> Handle:
        with self._turns.hold(errand), translated("reattach"):
            job = self._fetch(job_id)
        if job is None:
            raise unknown_job(f"{self.name} cannot look up jobs, so {job_id!r} is lost")
        note_sent(self.backend, job_id)
        return Handle(job_id=job_id, job=job)

    def _handle_of(self, job: Any, batch: Batch | None = None) -> Handle:
        handle = Handle(job_id=job_id_of(job), job=job, batch=batch)
        note_sent(self.backend, handle.job_id)
        return handle

    # -- what each kind says -----------------------------------------------------------------

    @property
    @abstractmethod
    def finds(self) -> bool:
        """True if the provider lists jobs with a name of ours, to find them by."""

    @abstractmethod
    def _objection(self, options: Mapping[str, Any]) -> str:
        """Name an option of a run that this member does not take, or return ``""``."""

    @abstractmethod
    def _pack(self, batch: Batch, pairs: Pairs) -> Callable[[], Any]:
        """Make ready what is sent; return what sends it, and returns the provider's job.

        Raises:
            Refused: If some entries cannot run here.
        """

    @abstractmethod
    def _read(self, result: Any, batch: Batch, pairs: Pairs) -> ReadOutcomes:
        """Read what came back."""

    @abstractmethod
    def _fetch(self, job_id: str) -> Any:
        """Fetch a job by the provider's id; ``None`` where that cannot be done."""

    @abstractmethod
    def _look_up(self, key: str) -> Any:
        """Find the job that has a key; ``None`` if there is none. Only where it ``finds``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Awaited(Handle):
    """A job whose result the thread that has submitted it waits for already.

    Attributes:
        result: That call; the first caller that asks for the result gets its outcome.
    """

    result: Call[Sequence[Outcome]]

    @classmethod
    def of(cls, handle: Handle, result: Call[Sequence[Outcome]]) -> "Awaited":
        """Return a handle of the same job."""
        return cls(job_id=handle.job_id, job=handle.job, batch=handle.batch, result=result)
