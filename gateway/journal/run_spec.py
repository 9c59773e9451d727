"""The work of a run as the journal keeps it: circuits, parameter values, options."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray

from qiskit_gateway.backends.failures.redaction import names_secret, redact
from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.errors import JournalError
from qiskit_gateway.journal.storage.codec import (
    pack,
    read_circuit,
    read_plain,
    unpack,
    write_circuit,
    write_plain,
)
from qiskit_gateway.work.pubs import read_parameter_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PubSpec:
    """A PUB as the journal keeps it.

    Attributes:
        circuit: Its circuit.
        rows: Its parameter values, one row of the circuit's parameters for each of its points.
        shape: The shape of its points.
        amount: Its shots or its precision.
        observables: Its observables, as plain data; ``None`` for a sampler.
    """

    circuit: QuantumCircuit
    rows: NDArray[np.float64]
    shape: tuple[int, ...]
    amount: float
    observables: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSpec:
    """The work of a run: enough to plan it again from nothing else.

    Attributes:
        kind: Whose run it is: ``"sampler"`` or ``"estimator"``.
        pubs: Its PUBs.
        options: The options of the primitive, when the run began.
    """

    kind: str
    pubs: tuple[PubSpec, ...]
    options: Mapping[str, Any]


def write_pubs(pubs: Sequence[PubSpec]) -> tuple[dict[str, bytes], list[tuple[Any, ...]]]:
    """Encode PUBs: the distinct circuits by their hash, and a row for each PUB.

    A row is the position, hash, metadata, shape, values, amount and observables.

    Raises:
        JournalError: If one cannot be written.
    """
    hashes: dict[int, str] = {}
    circuits: dict[str, bytes] = {}
    rows: list[tuple[Any, ...]] = []
    for position, pub in enumerate(pubs):
        key = id(pub.circuit)
        try:
            if key not in hashes:
                content = write_circuit(pub.circuit)
                hashes[key] = sha256(content).hexdigest()
                circuits[hashes[key]] = content
            metadata = write_plain(pub.circuit.metadata)
            observables = write_plain(pub.observables)
        except Exception as error:
            # Metadata may be objects of anybody, which raise anything, or hold themselves.
            why = error if isinstance(error, TypeError | ValueError) else text_of(error)
            raise JournalError(
                f"pub {position} cannot be written into the journal, and nothing was sent: {why}"
            ) from error
        shape, values = json.dumps(pub.shape), pack({"rows": pub.rows})
        rows.append((position, hashes[key], metadata, shape, values, pub.amount, observables))
    return circuits, rows


def read_pubs(rows: Sequence[Sequence[Any]]) -> tuple[PubSpec, ...]:
    """Decode PUBs from rows of QPY, hash, metadata, shape, values, amount, observables.

    Raises:
        ValueError: If the rows were changed.
    """
    known: dict[tuple[str, str], QuantumCircuit] = {}
    pubs = []
    for qpy, name, metadata, shape, values, amount, observables in rows:
        if (name, metadata) not in known:
            if sha256(qpy).hexdigest() != name:
                raise ValueError("a circuit is not what was written")
            circuit = known[name, metadata] = read_circuit(qpy)
            circuit.metadata = read_plain(metadata)
        pubs.append(
            PubSpec(
                circuit=known[name, metadata],
                rows=unpack(values)["rows"],
                shape=tuple(json.loads(shape)),
                amount=amount,
                observables=read_plain(observables),
            )
        )
    return tuple(pubs)


def write_options(options: Mapping[str, Any]) -> str:
    """Encode options as text.

    Raises:
        JournalError: If they hold a secret, or something that cannot be written.
    """
    for name, value in (options.get("run_options") or {}).items():
        if _holds_secret({name: value}):
            raise JournalError(
                f"run_options hold a secret, {name!r}, which must not be written to a journal: "
                "give it to the backend, or to run_options of its member"
            )
    try:
        return write_plain(dict(options))
    except TypeError as error:
        raise JournalError(
            f"options cannot be written into the journal, and nothing was sent: {error}; give "
            "such run_options to the member"
        ) from error


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        named = any(isinstance(name, str) and names_secret(name) for name in value)
        return named or any(map(_holds_secret, (*value, *value.values())))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_secret, value))
    return isinstance(value, str) and redact(value) != value


def record_pub(
    circuit: QuantumCircuit, values: BindingsArray, amount: float, observables: Any = None
) -> PubSpec:
    """Make the record of a PUB."""
    return PubSpec(
        circuit=circuit,
        rows=read_parameter_rows(values, circuit),
        shape=values.shape,
        amount=amount,
        observables=observables,
    )


def read_bindings(stated: PubSpec) -> BindingsArray:
    """Rebuild the parameter values of a recorded PUB."""
    parameters = tuple(stated.circuit.parameters)
    values = stated.rows.reshape(*stated.shape, len(parameters))
    return BindingsArray({parameters: values} if parameters else {}, shape=stated.shape)
