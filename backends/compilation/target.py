"""One backend as a place to compile for: what it supports, and the pass manager that gets there."""

from collections.abc import Container, Iterable, Sequence
from functools import cached_property
from math import perm, pi
from threading import RLock
from typing import Any, Literal

from qiskit.circuit import ControlFlowOp, Gate, Measure, ParameterExpression, QuantumCircuit, Store
from qiskit.circuit.library import (
    HGate,
    RGate,
    RXGate,
    RYGate,
    RZGate,
    SdgGate,
    SXGate,
    U2Gate,
    U3Gate,
    UGate,
)
from qiskit.transpiler import PassManager, StagedPassManager, Target, generate_preset_pass_manager

from qiskit_gateway.backends.circuits.definitions import expand_misnamed, list_operations
from qiskit_gateway.backends.circuits.estimates import estimate_fidelity, gate_counts
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.failures.translate import text_of, translate
from qiskit_gateway.backends.forks import ProcessLock
from qiskit_gateway.backends.interface.limits import Limits, discover, read_property
from qiskit_gateway.backends.interface.provider_profile import adaptation_for, bound_gates
from qiskit_gateway.backends.interface.queue_reading import amount_of
from qiskit_gateway.backends.registry import profiles_around

Letter = Literal["X", "Y"]

# What turns a measurement of Z into one of a letter, in the gates that targets have; the first that
# a target has is taken. A gate or two is known to be enough, so that nothing need be compiled.
_CHANGES: dict[Letter, tuple[tuple[Gate, ...], ...]] = {
    "X": (
        (HGate(),),
        (RYGate(-pi / 2),),
        (RZGate(pi / 2), SXGate()),
        (RZGate(pi / 2), RXGate(pi / 2)),
        (RGate(pi / 2, -pi / 2),),
        (UGate(pi / 2, 0, pi),),
        (U3Gate(pi / 2, 0, pi),),
        (U2Gate(0, pi),),
    ),
    "Y": (
        (SdgGate(), HGate()),
        (RXGate(pi / 2),),
        (SXGate(),),
        (RGate(pi / 2, 0),),
        (UGate(pi / 2, 0, pi / 2),),
        (U3Gate(pi / 2, 0, pi / 2),),
        (U2Gate(0, pi / 2),),
    ),
}


class Site:
    """The place where circuits are to run.

    Safe for threads: pass managers keep state while they run, so one circuit is compiled at a
    time.

    Args:
        backend: Any Qiskit backend.
        pass_manager: What to compile with, in place of Qiskit's preset of level 1.
        without: Gates that the backend gets wrong; by default those that are known of its provider.
        tries: How many times to compile; the result with the best expected fidelity is taken.
        limits: What a job may be; by default what the backend tells. Its qubits win over those of the
            target, where that has the same gates on all qubits.
        binds: Gates whose angles it binds rightly by itself; by default those that are known of its
            ``backend.run``.
    """

    def __init__(  # noqa: PLR0913  What is known of the backend, and what is wanted.
        self,
        backend: Any,
        pass_manager: PassManager | None = None,
        *,
        without: frozenset[str] | None = None,
        limits: Limits | None = None,
        binds: Container[str] | None = None,
        tries: int = 1,
    ) -> None:
        self.name = str(read_property(backend, "name") or type(backend).__name__)
        allowed = (limits or discover(backend)).num_qubits
        self.target = complete_target(
            backend, adaptation_for(backend).gates if without is None else without, allowed
        )
        self.width: int | None = getattr(self.target, "num_qubits", None) or allowed
        # With stages of its own a backend may refuse what its target supports, and compiled
        # circuits may be good for nothing but what was compiled.
        self.target_is_enough = not any(
            read_property(backend, stage) is not None
            for profile in profiles_around(backend)
            for stage in profile.own_stages
        )
        self.bound_gates = bound_gates(backend) if binds is None else binds
        # Between two shots a machine waits for its qubits to relax.
        self.pause_seconds = amount_of(read_property(backend, "default_rep_delay")) or 0.0
        self._backend = backend
        self._given = pass_manager
        self._tries = tries
        self._made: dict[int, StagedPassManager] = {}
        self._lock = ProcessLock(RLock)
        self._changes: dict[tuple[Letter, int], tuple[Any, ...]] = {}

    def expand(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Replace operations so that every name stands for its own definition here."""
        return expand_misnamed(circuit, self._names)

    @cached_property
    def _names(self) -> dict[str, type]:
        return list_operations(self.target)

    def misfit(self, circuit: QuantumCircuit) -> str | None:
        """Give the reason why a circuit cannot run unchanged, or ``None`` if it can."""
        if self.width is not None and circuit.num_qubits > self.width:
            return f"needs {circuit.num_qubits} qubits, {self.name} has {self.width}"
        reason = misfit(circuit, self.target)
        return reason and f"{self.name} has no {reason}"

    def compile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return a circuit made fit for the backend.

        Raises:
            Refused: If it cannot be compiled.
        """
        if self.target is None and self._given is None:
            return circuit
        try:
            with self._lock:
                tried = [self._compiler(seed).run(circuit) for seed in range(self._tries)]
        except Exception as error:  # a provider's own stage may raise anything
            said = text_of(error)[:300]
            raise Refused({0: f"cannot be compiled for {self.name}: {said}"}) from error
        # Of those that are equally good the first, so that more tries never choose otherwise for nothing.
        compiled: QuantumCircuit = min(tried, key=self._loss) if len(tried) > 1 else tried[0]
        if self.target is not None and "store" in compiled.count_ops() and not _stores(self.target):
            # No pass of the compiler looks at it.
            raise Refused({0: f"{self.name} has no store for classical values"})
        if isinstance(compiled.global_phase, ParameterExpression):
            # Nobody can measure it, and Aer cannot bind it.
            compiled.global_phase = 0
        return compiled

    def _loss(self, circuit: QuantumCircuit) -> tuple[float, int, int]:
        """Rate a compiled circuit: what is expected to go wrong, or by gates where nobody tells errors."""
        fidelity = estimate_fidelity(circuit, self.target)
        gates = gate_counts(circuit)
        return 0.0 if fidelity is None else -fidelity, gates.num_2q, gates.num_1q

    def translate(self, circuit: QuantumCircuit, purpose: str) -> QuantumCircuit:
        """Return a circuit in gates of the backend, its qubits being where they are.

        Args:
            circuit: The circuit.
            purpose: What for, as in "cannot ...".

        Raises:
            Refused: If the backend has no gates for it.
        """
        try:
            with self._lock:
                stages = self._presets(0)
                translated = stages.translation.run(circuit)
                return stages.optimization.run(translated) if stages.optimization else translated
        except Exception as error:  # as in compile()
            raise Refused({0: f"{self.name} cannot {purpose}: {error}"}) from error

    def basis_change(self, letter: Letter, qubits: Sequence[int]) -> list[tuple[Any, int]]:
        """Return the instructions that turn a measurement of Z into one of X or Y.

        Args:
            letter: What to measure.
            qubits: The backend's qubits to do it on.

        Returns:
            Pairs of an operation and the qubit that it acts on.

        Raises:
            Refused: If the backend has no gates for it.
        """
        with self._lock:
            known = self._changes
            for qubit in qubits:
                if (letter, qubit) not in known and (gates := self._textbook(letter, qubit)):
                    known[letter, qubit] = gates
            missing = [qubit for qubit in qubits if (letter, qubit) not in known]
            if missing:
                self._learn_change(letter, missing)
        return [(gate, qubit) for qubit in qubits for gate in self._changes[letter, qubit]]

    def _textbook(self, letter: Letter, qubit: int) -> tuple[Gate, ...] | None:
        """Find gates for a change of basis that a qubit of the target has natively."""
        if self.target is None or not self.target_is_enough:
            return None
        changes = _CHANGES[letter]
        return next((gates for gates in changes if _has_all(self.target, gates, qubit)), None)

    def _learn_change(self, letter: Letter, qubits: Sequence[int]) -> None:
        """Compile a basis change for some qubits: in place, without layout or routing."""
        circuit = QuantumCircuit(max(qubits) + 1)
        for gate, qubit in plain_change(letter, qubits):
            circuit.append(gate, [qubit])
        if self.target is not None:
            circuit = self.translate(circuit, f"measure {letter}")
        found: dict[int, list[Any]] = {qubit: [] for qubit in qubits}
        for instruction in circuit.data:
            found[circuit.find_bit(instruction.qubits[0]).index].append(instruction.operation)
        self._changes |= {(letter, qubit): tuple(found[qubit]) for qubit in qubits}

    def _compiler(self, seed: int) -> PassManager:
        # A pass manager without passes is false.
        return self._presets(seed) if self._given is None else self._given

    def _presets(self, seed: int) -> StagedPassManager:
        if seed not in self._made:
            # The backend is not named beside the target: of it Qiskit takes whatever the target leaves
            # open, as a coupling map, which is not that of a target made wider. Its own stages count.
            self._made[seed] = generate_preset_pass_manager(
                optimization_level=1,
                target=self.target,
                seed_transpiler=seed,
                translation_method=self._own_stage("translation"),
                scheduling_method=self._own_stage("scheduling"),
            )
        return self._made[seed]

    def _own_stage(self, stage: str) -> str | None:
        """Name of the backend's own plugin for a stage of compiling, if it has one."""
        plugin = read_property(self._backend, f"get_{stage}_stage_plugin")
        return plugin() if callable(plugin) else None


def _has_all(target: Target, gates: Iterable[Gate], qubit: int) -> bool:
    """Check whether a target has gates on a qubit, and means by their names what Qiskit does."""
    return all(
        gate.name in target.operation_names
        and isinstance(target.operation_from_name(gate.name), gate.base_class)
        and target.instruction_supported(gate.name, (qubit,), parameters=gate.params)
        for gate in gates
    )


def plain_change(letter: Letter, qubits: Sequence[int]) -> list[tuple[Any, int]]:
    """List the gates of :meth:`Site.basis_change` as textbooks have them."""
    gates = [SdgGate(), HGate()] if letter == "Y" else [HGate()]
    return [(gate, qubit) for qubit in qubits for gate in gates]


def complete_target(backend: Any, without: frozenset[str], width: int | None) -> Target | None:
    """Complete the target of a backend: with measurements, if it forgot them, and in its width.

    Args:
        backend: Any Qiskit backend.
        without: Gates to leave out.
        width: How many qubits a circuit may have, ``None`` for any number. Where that is more than
            the target tells, and its gates are the same on all qubits, it holds for any number.

    Returns:
        The backend's own target where that is complete, else a copy; ``None`` where it has none, or
        one without any operation, or cannot tell: then circuits are sent as they are.

    Raises:
        BackendError: If its provider could not be asked just now.
    """
    target = _own_target(backend)
    if target is None:
        return None
    told = target.num_qubits
    if told is not None and (width is None or width > told) and _is_uniform(target):
        return _mend(target, without, uniform=True)
    if "measure" in target.operation_names and without.isdisjoint(target.operation_names):
        return target
    return _mend(target, without)


def _is_uniform(target: Target) -> bool:
    """Check whether every operation of a target is on all its qubits, in any order."""
    return all(
        isinstance(target.operation_from_name(name), type)
        or target[name].keys() == {None}
        or len(target[name]) == perm(target.num_qubits, len(next(iter(target[name]))))
        for name in target.operation_names
    )


def _own_target(backend: Any) -> Target | None:
    names = [profile.target for profile in profiles_around(backend) if profile.target]
    told = (_read_target(backend, name) for name in [*names, "target"])
    return next((target for target in told if target is not None), None)


def _read_target(backend: Any, name: str) -> Target | None:
    try:
        found: Target | None = getattr(backend, name)
        says_something = found is not None and found.operation_names
    except (Exception, SystemExit) as error:
        failure = translate(error, phase="submit")
        if failure.transient or failure.authentication:
            # It has a target, and what is compiled without would be the wrong thing.
            if failure is error:
                raise
            raise failure from error
        return None
    return found if says_something else None


def _mend(target: Target, wrong: frozenset[str], *, uniform: bool = False) -> Target:
    """Return a target with measurements, without some gates, and for any width if ``uniform``."""
    whole = Target(
        description=target.description,
        num_qubits=None if uniform else target.num_qubits,
        dt=target.dt,
        qubit_properties=None if uniform else target.qubit_properties,
    )
    # In the target's own order, on which what is compiled may depend.
    for name in (name for name in target.operation_names if name not in wrong):
        operation = target.operation_from_name(name)
        # Control flow is there as a class, and has no properties.
        properties = None if uniform or isinstance(operation, type) else target[name]
        whole.add_instruction(operation, properties, name=name)
    if "measure" in target.operation_names:
        return whole
    places = None if whole.num_qubits is None else range(whole.num_qubits)
    whole.add_instruction(Measure(), places and {(qubit,): None for qubit in places})
    return whole


def fits(circuit: QuantumCircuit, target: Target | None) -> bool:
    """Check whether a target supports every instruction of a circuit on its qubits."""
    return misfit(circuit, target) is None


def misfit(circuit: QuantumCircuit, target: Target | None) -> str | None:
    """Name what a target lacks that a circuit needs; ``None`` if it lacks nothing.

    Bodies of control flow are looked into. Free parameters fit wherever the gate takes any.

    Args:
        circuit: A circuit, whose qubits are taken to be the target's.
        target: What to run on; ``None`` supports anything.

    Returns:
        A phrase such as ``"cx on qubits (0, 4)"``.
    """
    if target is None:
        return None
    if target.num_qubits is not None and circuit.num_qubits > target.num_qubits:
        return f"{circuit.num_qubits} qubits, only {target.num_qubits}"
    return _find_unsupported(circuit, target, range(circuit.num_qubits))


def _stores(target: Target) -> bool:
    """Check whether classical values can be stored: where there is control flow, unless it is said."""
    kinds = map(target.operation_from_name, target.operation_names)
    return any(isinstance(kind, type) and issubclass(kind, ControlFlowOp | Store) for kind in kinds)


def _find_unsupported(circuit: QuantumCircuit, target: Target, places: Iterable[int]) -> str | None:
    place_of = dict(zip(circuit.qubits, places, strict=True))
    for instruction in circuit.data:
        qubits = tuple(place_of[qubit] for qubit in instruction.qubits)
        name, flows = instruction.name, instruction.is_control_flow()
        if name == "barrier" or (name == "store" and _stores(target)):
            continue
        parameters = None if flows else list(instruction.params) or None
        if not target.instruction_supported(name, qubits, parameters=parameters):
            return f"{name} on qubits {qubits}"
        for block in instruction.operation.blocks if flows else ():
            reason = _find_unsupported(block, target, qubits)
            if reason is not None:
                return reason
    return None
