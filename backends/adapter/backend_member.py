"""The one adapter over Qiskit's ``BackendV2``: from batches to ``backend.run`` and back.

Only options that a backend knows are sent, and shots are plain integers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Never

from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import PassManager

from qiskit_gateway.backends.adapter.bare_circuits import is_about_lists, one_at_a_time
from qiskit_gateway.backends.adapter.compiling_member import CompilingMember, Said
from qiskit_gateway.backends.adapter.discovery import read_properties
from qiskit_gateway.backends.adapter.job_lookup import can_fetch, fetch, find, label_of, labels_of
from qiskit_gateway.backends.adapter.jobs import result_of
from qiskit_gateway.backends.adapter.payload import Pairs, options_of, payload_of
from qiskit_gateway.backends.adapter.serial import Errand
from qiskit_gateway.backends.compilation.cache import Prepared
from qiskit_gateway.backends.examination.examiner import Answer
from qiskit_gateway.backends.failures.errors import caller_fault
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.provider_profile import Label, is_local, machine_of
from qiskit_gateway.backends.interface.run_options import known_options, objection
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.pricing.rates import Tariff
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes, join_results, read


class Member(CompilingMember):
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
        speed: How long its jobs run, as a :class:`~qiskit_gateway.backends.interface.speed.Speed`; by
            default that is learned.
        run_options: Options of ``backend.run`` for every job on this member. They are sent as
            they are, and win over those of a run.
        pass_manager: What to compile circuits with, in place of Qiskit's preset of level 1.
        compile_tries: How often to compile each circuit, to send what the target's errors let expect
            the best fidelity of; once for each circuit, as it is kept.
        tags: Free labels that filters may ask for.
        adaptation: How to talk to the backend so that its answers are right, as
            ``check_backend(backend).adaptation`` has found it; by default what is known of its
            provider.

    Raises:
        TypeError: If ``backend`` is not a ``BackendV2``, or an argument is unknown or of the wrong
            kind.
        ValueError: If a number is out of range, or the name is empty or has control characters.
    """

    _copied = (*CompilingMember._copied, "run_options")  # noqa: SLF001  Its own base.

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
        speed: Speed | None = None,
        run_options: Mapping[str, Any] | None = None,
        pass_manager: PassManager | None = None,
        compile_tries: int = 1,
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
        self.run_options = _read_options(run_options)
        said = Said(
            name=name,
            limits=limits,
            pricing=pricing,
            weight=weight,
            fidelity=fidelity,
            queue=queue,
            speed=speed,
            pass_manager=pass_manager,
            tags=tags,
            adaptation=adaptation,
            compile_tries=compile_tries,
        )
        super().__init__(backend, read_properties(backend, self.run_options), said)
        self._takes_lists = False

    # -- what can be told at once ------------------------------------------------------------

    @property
    def known_options(self) -> frozenset[str]:
        """The options of ``backend.run`` that the backend says it knows."""
        return known_options(self.backend)

    @property
    def finds(self) -> bool:
        """True if the provider lists jobs with a name of ours, to find them by."""
        return self._label is not None

    @property
    def is_local(self) -> bool:
        """True if jobs of the backend are known to run in this process, and to end with it."""
        return is_local(self.backend) and not can_fetch(self.backend) and not self.finds

    @property
    def machine(self) -> str:
        """On what the jobs of the backend run one at a time, if it shares that with others; else ``""``."""
        return machine_of(self.backend, self.run_options)

    @property
    def _label(self) -> Label | None:
        if not labels_of(self.backend):
            return None  # Whatever options it knows, which takes longer to find out.
        return label_of(self.backend, self.known_options.union(self.run_options))

    def _objection(self, options: Mapping[str, Any]) -> str:
        known = self.known_options if options else frozenset()
        for name, value in options.items():
            if known and name not in known:
                return f"does not know the option {name!r}"
            if reason := objection(self.backend, name, value):
                return reason
        return ""

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
        prepared = self._prepare_all(batch, Adaptation(flatten=flatten))
        pairs = zip(batch.entries, prepared, strict=True)
        return Answer(
            self.result_of_prepared(batch, prepared),
            [ready.wiring for e, ready in pairs for _ in range(e.circuits)],
        )

    def result_of_prepared(self, batch: Batch, prepared: Sequence[Prepared]) -> Any:
        """Run a batch as :meth:`run_prepared` does, and return the provider's own result. Blocks."""
        return join_results(result_of(self._run(batch, prepared, Errand())))

    def run_prepared(self, batch: Batch, prepared: Sequence[Prepared]) -> Sequence[Outcome]:
        """Run a batch whose programs were prepared elsewhere, and read the result. Blocks.

        Args:
            batch: What to run.
            prepared: Its programs as the backend gets them, entry by entry.

        Raises:
            Refused: If some entries cannot run here; then nothing was sent.
            BackendError: If the job failed.
        """
        handle = self._handle_of(self._run(batch, prepared, Errand()), batch)
        found: Sequence[Outcome] = self._read_result(handle, batch, prepared)
        return found

    def _pack(self, batch: Batch, pairs: Pairs) -> Callable[[], Any]:
        circuits, binds = payload_of(pairs)
        if len(circuits) > 1:
            self._require_company([ready for _, ready in pairs])
        options = self.options_for(batch)
        if binds:
            options["parameter_binds"] = binds
        return partial(self._hand_over, circuits, options)

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
                raise caller_fault(
                    f"{self.name} {reason}; Limits(max_circuits=1) sends each circuit alone from the start"
                )

    def options_for(self, batch: Batch) -> dict[str, Any]:
        """Choose the options of ``backend.run`` for a batch: shots, and the options it knows."""
        return options_of(
            batch,
            self.backend,
            known=self.known_options,
            always=self.adaptation.options,
            given=self.run_options,
        )

    def _read(self, result: Any, batch: Batch, pairs: Pairs) -> ReadOutcomes:
        wirings = [
            wiring
            for entry, ready in pairs
            for wiring in [self.adaptation.adapt_wiring(ready.wiring)]
            for _ in range(entry.circuits)
        ]
        level = {**batch.options, **self.run_options}.get("meas_level", 2)
        return read(result, wirings, batch.kept_shots, asked=batch.shots, meas_level=int(level))

    def _fetch(self, job_id: str) -> Any:
        return fetch(self.backend, job_id)

    def _look_up(self, key: str) -> Any:
        label = self._label
        return label and find(self.backend, label, key)


def _read_options(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise TypeError(
            "run_options must be a dictionary from names to values, such as {'memory': True}, got "
            f"{given!r}"
        )
    return dict(given)


def _about_unknown(name: str) -> str:
    """Advise on an argument that :class:`Member` does not have."""
    if name == "check":
        return (
            "Member() takes no check any more: run check_backend(backend) once, and hand what it "
            "finds to the member, Member(backend, adaptation=check_backend(backend).adaptation)"
        )
    return f"Member() got an unexpected keyword argument {name!r}"
