"""Build the arguments of ``backend.run``: bound circuits, or free ones with values, and options."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.job_lookup import label_of
from qiskit_gateway.backends.compilation.cache import Prepared, bind, parameter_binds
from qiskit_gateway.backends.failures.errors import make_each
from qiskit_gateway.backends.interface.batch import Batch, Entry
from qiskit_gateway.backends.interface.limits import read_property
from qiskit_gateway.backends.interface.run_options import objection

Pairs = Sequence[tuple[Entry, Prepared]]


def payload_of(
    pairs: Pairs,
) -> tuple[list[QuantumCircuit], list[dict[Any, list[float]]] | None]:
    """Return the circuits to send, and the values of parameters that stay free.

    Raises:
        Refused: If some entries cannot be bound.
    """
    free = [(entry, ready) for entry, ready in pairs if ready.columns]
    # Of a single row a backend makes more work than it is to bind it here.
    repeated = any(entry.circuits > 1 for entry, _ in free)
    if repeated and all(ready.binds for _, ready in free):
        return _unbound(pairs)
    bound = make_each(pairs, lambda pair: bind(pair[1], pair[0].rows))
    return list(chain.from_iterable(bound)), None


def _unbound(pairs: Pairs) -> tuple[list[QuantumCircuit], list[dict[Any, list[float]]]]:
    circuits: list[QuantumCircuit] = []
    binds: list[dict[Any, list[float]]] = []
    for entry, ready in pairs:
        if ready.columns:
            circuits.append(ready.circuit)
            binds.append(parameter_binds(ready, entry.rows))
        else:
            circuits += [ready.circuit] * entry.circuits
            binds += [{}] * entry.circuits
    return circuits, binds


def options_of(
    batch: Batch,
    backend: BackendV2,
    *,
    known: frozenset[str],
    always: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Choose the options of ``backend.run`` for a batch: shots, and the options it knows and takes.

    Args:
        batch: What is to be sent.
        backend: To which backend.
        known: The options that it knows.
        always: Those that it must always be told.
        given: Those that the user gave for it.
    """
    wanted: dict[str, Any] = {}
    if any(entry.program.basis is None for entry in batch.entries):
        wanted["memory"] = True  # In sums over a basis the order of shots does not matter.
    if batch.seed is not None:
        wanted["seed_simulator"] = batch.seed
    sent = {
        key: value
        for key, value in wanted.items()
        if key in known and not objection(backend, key, value)
    }
    options = {**sent, **always, **batch.options, **given}
    options["shots"] = int(batch.shots)
    label = label_of(backend, known.union(given))
    if label is not None and batch.key:
        held = options.get(label.option, read_property(backend, "options", label.option))
        options[label.option] = label.labelled(held, batch.key)
    return options
