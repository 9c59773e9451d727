"""The data between a process and its workers: circuits as QPY, parameter values, packed bits.

Nothing of Qiskit is pickled on the way, so that both ends need no more in common than that their
versions of Qiskit read the same QPY.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import qpy
from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.circuits.circuit_bytes import write_qpy
from qiskit_gateway.backends.circuits.estimates import GateCounts
from qiskit_gateway.backends.compilation.cache import Prepared, bind
from qiskit_gateway.backends.failures.errors import BackendError, Refused, bad_result, make_each
from qiskit_gateway.backends.failures.translate import translated
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.backends.readout.bit_mapping import Wiring
from qiskit_gateway.backends.readout.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """The recipe by which a worker builds its backend; workers keep one backend for each recipe.

    Attributes:
        path: Import path of what is called for it, such as ``"qiskit_aer:AerSimulator"``.
        arguments: What it is called with, pickled.
        run_options: Options of ``backend.run`` for every job there, pickled.
        adaptation: How to talk to it.
    """

    path: str
    arguments: bytes
    run_options: bytes
    adaptation: Adaptation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One circuit of a job, with the rows to run it with.

    Attributes:
        rows: Parameter values, columns in the order of the parameters of the circuit as written.
        columns: For each parameter of the circuit as sent, its column in the rows.
        binds: As in :class:`~qiskit_gateway.backends.compilation.prepare.Prepared`.
        basis: As in :class:`~qiskit_gateway.backends.interface.batch.Program`.
        wiring: How the bits that come back map to those that are read.
    """

    rows: NDArray[np.float64]
    columns: tuple[int, ...]
    binds: bool
    basis: str | None
    wiring: Wiring


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkOrder:
    """One job for a worker.

    Attributes:
        token: A name that no other job has: some executors run equal calls only once.
        backend: Where it runs.
        circuits: The circuits of the parts, in order, as QPY.
        parts: What to do with each of them.
        shots: As in :class:`~qiskit_gateway.backends.interface.batch.Batch`, like the next three.
        kept_shots: Those of them that are wanted.
        seed: For simulators.
        options: Of this job.
        as_told: Whether the backend's own result is wanted, and not what was read of it.
    """

    token: str
    backend: BackendSpec
    circuits: bytes
    parts: tuple[Part, ...]
    shots: int
    kept_shots: int
    seed: int | None
    options: Mapping[str, Any]
    as_told: bool = False


Answer = dict[str, Any]
"""What comes back: outcomes or an error, as texts, numbers and arrays."""


# -- to the worker -----------------------------------------------------------------------------


def pack_work(
    batch: Batch, prepared: Sequence[Prepared], backend: BackendSpec, token: str
) -> WorkOrder:
    """Pack a batch of prepared programs for a worker.

    Args:
        batch: What to run.
        prepared: Its programs as the backend gets them, entry by entry.
        backend: Where.
        token: A name that no other job has.

    Raises:
        Refused: If some entries cannot be bound, or written down.
    """
    split = make_each(zip(batch.entries, prepared, strict=True), lambda pair: _split(*pair))
    return WorkOrder(
        token=token,
        backend=backend,
        circuits=_write([[circuit for circuit, _ in parts] for parts in split]),
        parts=tuple(part for parts in split for _, part in parts),
        shots=batch.shots,
        kept_shots=batch.kept_shots,
        seed=batch.seed,
        options=dict(batch.options),
    )


def _split(entry: Entry, ready: Prepared) -> list[tuple[QuantumCircuit, Part]]:
    part = Part(
        rows=entry.rows,
        columns=ready.columns,
        binds=ready.binds,
        basis=entry.program.basis,
        wiring=ready.wiring,
    )
    if ready.finish is None:
        return [(ready.circuit, part)]
    # Its gates take no free parameters: what was compiled for one row is no good for another.
    bound = replace(part, rows=np.empty((1, 0)), columns=())
    return [(circuit, bound) for circuit in bind(ready, entry.rows)]


def _write(circuits: list[list[QuantumCircuit]]) -> bytes:
    """Write the circuits of each entry."""
    try:
        return write_qpy(*chain.from_iterable(circuits))
    except Exception:  # Whatever that does which the user's gates are made of.
        make_each(circuits, _require_written)
        raise


def _require_written(circuits: list[QuantumCircuit]) -> None:
    for circuit in circuits:
        try:
            write_qpy(circuit)
        except Exception as error:  # noqa: BLE001  As above.
            said = f"cannot be sent to a worker, as QPY does not hold it: {error}"
            raise Refused({0: said}) from None


# -- on the worker -----------------------------------------------------------------------------


def unpack_work(work: WorkOrder) -> tuple[Batch, list[Prepared]]:
    """Make of some work the batch, and its programs as the backend gets them."""
    circuits: list[QuantumCircuit] = qpy.load(BytesIO(work.circuits))
    prepared = [_prepare(*pair) for pair in zip(circuits, work.parts, strict=True)]
    batch = Batch(
        entries=tuple(
            Entry(program=Program(circuit=circuit, basis=part.basis), rows=part.rows)
            for circuit, part in zip(circuits, work.parts, strict=True)
        ),
        shots=work.shots,
        kept_shots=work.kept_shots,
        seed=work.seed,
        options=work.options,
        key=work.token,
    )
    return batch, prepared


def _prepare(circuit: QuantumCircuit, part: Part) -> Prepared:
    return Prepared(
        circuit=circuit,
        wiring=part.wiring,
        bind_first=False,
        binds=part.binds,
        specimen=circuit,
        gates=GateCounts(num_1q=0, num_2q=0, num_measure=0),  # Nobody asks a worker for a price.
        columns=part.columns,
    )


def answer_of(outcomes: Sequence[Outcome]) -> Answer:
    """Write outcomes down as plain data."""
    return {"outcomes": [_write_outcome(outcome) for outcome in outcomes]}


def write_told(result: Any) -> Answer:
    """Write down as plain data what a backend itself says, as far as anybody reads it."""
    with translated("collect"):
        told = _read_parts(result, ("success", "status", "job_id"))
        told["results"] = [
            _read_parts(one, ("success", "status", "shots"))
            | {"data": _read_parts(_field(one, "data"), ("counts", "memory"))}
            for one in _field(result, "results")
        ]
    return {"told": told}


def _read_parts(thing: Any, names: Sequence[str]) -> Answer:
    found = {name: _field(thing, name) for name in names}
    return {name: _write_plain(value) for name, value in found.items() if value is not None}


def _write_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_write_plain(key): _write_plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_write_plain(part) for part in value]
    known = isinstance(value, bool | int | float | str | np.ndarray | np.generic)
    return value if known else getattr(value, "name", str(value))


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def write_failure(error: BackendError) -> Answer:
    """Write a failure down as plain data."""
    return {"error": _write_facts(error)}


_ARRAYS = ("memory", "patterns", "counts", "iq")
_FACTS = tuple(BackendError.__annotations__)


def _write_outcome(outcome: Outcome) -> Answer:
    arrays = {name: getattr(outcome, name) for name in _ARRAYS}
    told = {name: array for name, array in arrays.items() if array is not None}
    if outcome.error is not None:
        told["error"] = _write_facts(outcome.error)
    return {"shots": outcome.shots, "num_bits": outcome.num_bits, **told}


def _write_facts(error: BackendError) -> Answer:
    facts = {name: getattr(error, name) for name in _FACTS}
    return {**facts, "reasons": error.reasons} if isinstance(error, Refused) else facts


# -- back here ---------------------------------------------------------------------------------


def read_outcomes(answer: Answer) -> tuple[Outcome, ...]:
    """Read what a worker answered.

    Raises:
        BackendError: If that is a failure of the whole job, or no answer of ours.
    """
    return tuple(_read_outcome(told) for told in _read_content(answer, "outcomes"))


def read_told(answer: Answer) -> Any:
    """Read what a worker's backend itself said, or raise as :func:`read_outcomes` does."""
    return _read_content(answer, "told")


def _read_content(answer: Answer, name: str) -> Any:
    try:
        error = answer.get("error")
        if error is not None:
            raise _read_error(error)
        return answer[name]
    except (AttributeError, KeyError, TypeError) as error:
        raise bad_result(
            f"the worker's answer cannot be read ({error}): workers need the same version of "
            "qiskit-gateway",
            unreadable=True,
        ) from error


def _read_outcome(told: Answer) -> Outcome:
    error = told.get("error")
    return Outcome(**{**told, "error": None if error is None else _read_error(error)})


def _read_error(facts: Answer) -> BackendError:
    if "reasons" in facts:
        return Refused(facts["reasons"])
    return BackendError(**facts)
