"""Adaptations to backends whose answers differ from Qiskit's own."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.circuits.normalize import is_dynamic
from qiskit_gateway.backends.readout.bit_mapping import Wiring

Trait = Literal["mid-circuit", "overwritten", "repeated", "reset"]
Direction = Literal["qiskit", "reversed"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Adaptation:
    """An adaptation to a backend whose bits do not come back as Qiskit's do.

    ``check_backend`` finds one, and ``Member(backend, adaptation=...)`` goes by it. Printed, it is
    what one would write in Python; :meth:`to_toml` gives what one writes in a configuration file.

    Attributes:
        flatten: Send a single classical register, because the order of several gets lost.
        register_order: ``"reversed"`` where bit strings end with the last register; Qiskit's end
            with the first.
        bit_order: ``"reversed"`` where the last bit of a register's text is its last; in Qiskit's it
            is the first.
        numbers: ``"measured"`` where hexadecimal texts and integers have places for measured bits
            alone; Qiskit's have one for every bit that was sent.
        unsound: Traits of circuits that come back wrong without an error: ``"mid-circuit"``, a
            gate after a measurement of the same qubit; ``"overwritten"``, a bit that more than one
            measurement writes; ``"repeated"``, a qubit measured again with nothing in between;
            ``"reset"``. Circuits that have them are not sent.
        unanswered: Traits of circuits that are taken, and have no result in the end.
        alone: Traits of circuits that must be the only one of a job.
        bare: Send a circuit that is alone as it is, and not in a list.
        gates: Gates that its target has and its machine gets wrong; circuits are compiled without.
        options: What ``backend.run`` must always be told.
        refusal: Why no circuit can be trusted to this backend; empty where they can.
    """

    flatten: bool = False
    register_order: Direction = "qiskit"
    bit_order: Direction = "qiskit"
    numbers: Literal["sent", "measured"] = "sent"
    unsound: frozenset[Trait] = frozenset()
    unanswered: frozenset[Trait] = frozenset()
    alone: frozenset[Trait] = frozenset()
    bare: bool = False
    gates: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    refusal: str = ""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be {_one_of(allowed)}, got {getattr(self, name)!r}")
        for name, kind in _KINDS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be a {kind.__name__}, got {getattr(self, name)!r}")
        for name in _SETS:
            object.__setattr__(self, name, _set_of(name, getattr(self, name)))
        object.__setattr__(self, "options", dict(self.options))

    def __repr__(self) -> str:
        changes = ", ".join(f"{name}={value!r}" for name, value in self.changes.items())
        return f"Adaptation({changes})"

    @property
    def changes(self) -> dict[str, Any]:
        """Everything that is not as with a backend that answers as Qiskit's own do, by name."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        changed = {name: value for name, value in given.items() if value != _PLAIN[name]}
        return {name: sorted(value) if name in _SETS else value for name, value in changed.items()}

    def to_toml(self) -> str:
        """Write the value of a member's key ``adaptation`` in a configuration file."""
        return _toml(self.changes)

    def reason(self, circuit: QuantumCircuit) -> str:
        """Give the reason why the answer to a circuit, as it is sent, is not to be trusted, or ``""``."""
        if self.refusal or not self.unsound | self.unanswered:
            return self.refusal
        found = traits(circuit)
        for trait in sorted(self.unsound & found):
            return f"gets {_CALLED[trait]} wrong without telling"
        for trait in sorted(self.unanswered & found):
            return f"has no result for circuits with {_CALLED[trait]}"
        return ""

    def goes_alone(self, circuit: QuantumCircuit) -> str:
        """Give the reason why a circuit, as it is sent, must be the only one of its job, or ``""``."""
        for trait in sorted(self.alone & traits(circuit)) if self.alone else ():
            return f"takes circuits with {_CALLED[trait]} only one in a job"
        return ""

    def adapt_wiring(self, wiring: Wiring) -> Wiring:
        """Adapt a wiring to the order of registers and bits of this backend."""
        if (self.register_order, self.bit_order, self.numbers) == ("qiskit", "qiskit", "sent"):
            return wiring
        return replace(
            wiring,
            register_order=self.register_order,
            bit_order=self.bit_order,
            numbers=self.numbers,
        )


_CALLED: dict[Trait, str] = {
    "mid-circuit": "mid-circuit measurements",
    "overwritten": "bits that are measured twice",
    "repeated": "repeated measurements",
    "reset": "resets",
}

_SETS_OF_TRAITS = ("unsound", "unanswered", "alone")
_SETS = (*_SETS_OF_TRAITS, "gates")
_CHOICES: dict[str, tuple[str, ...]] = {
    "register_order": get_args(Direction),
    "bit_order": get_args(Direction),
    "numbers": ("sent", "measured"),
}
_KINDS = {"flatten": bool, "bare": bool, "refusal": str, "options": Mapping}


def _set_of(name: str, given: Iterable[str]) -> frozenset[str]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise TypeError(f"{name} must be a list of texts, got {given!r}")
    for one in given if name in _SETS_OF_TRAITS else ():
        if one not in get_args(Trait):
            raise ValueError(f"{name} must hold {_one_of(get_args(Trait))}, got {one!r}")
    return frozenset(given)


def _one_of(words: Iterable[str]) -> str:
    return " or ".join(map(repr, words))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {_toml(part)}" for key, part in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # A text, a number or a truth value is written in TOML as in JSON, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


FAITHFUL = Adaptation()
"""For backends that answer as Qiskit's own do."""

_PLAIN = {one.name: getattr(FAITHFUL, one.name) for one in fields(Adaptation)}


def traits(circuit: QuantumCircuit) -> frozenset[Trait]:
    """List what a circuit has that some backends get wrong; control flow may have anything."""
    if is_dynamic(circuit):
        return frozenset(get_args(Trait))
    found: set[Trait] = set()
    measured: set[Any] = set()
    written: set[Any] = set()
    for instruction in circuit.data:
        if instruction.name == "barrier":
            continue
        if instruction.name == "reset":
            found.add("reset")
        if not measured.isdisjoint(instruction.qubits):
            found.add("repeated" if instruction.name == "measure" else "mid-circuit")
        if instruction.name == "measure":
            if not written.isdisjoint(instruction.clbits):
                found.add("overwritten")
            written.update(instruction.clbits)
            measured.update(instruction.qubits)
        else:
            measured.difference_update(instruction.qubits)
    return frozenset(found)
