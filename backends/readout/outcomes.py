"""Provider results, turned into checked shots.

``read`` does all the checking: what it lets through as an :class:`Outcome` can be believed, and
what it cannot believe is an error, never zeros. ``decoding`` then only moves bits.

Which of counts and memory is believed, :mod:`~qiskit_gateway.backends.readout.formats` says.

Invariant: experiments are matched to circuits by position, never by a name or a header.
"""

import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.backends.failures.errors import BackendError, Fault, bad_result
from qiskit_gateway.backends.readout.bit_mapping import UNREAD, Codec, Wiring, codec_of
from qiskit_gateway.backends.readout.formats import (
    Content,
    ContradictionError,
    Counted,
    Raw,
    read_hex,
    read_names,
)
from qiskit_gateway.backends.readout.packed_bits import Rows, num_bytes

_T = TypeVar("_T")

# Bytes of outcomes handled together, over several circuits: hides numpy's cost per call, and stays in
# the processor's cache.
_BLOCK = 400_000
# How deep kerneled data may be nested: shots, slots, pairs.
_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The checked shots of one circuit, over the bits of the user's circuit.

    Attributes:
        shots: How many shots can be used: what was asked for, or fewer; 0 where there is an error.
        num_bits: How many bits a row has.
        error: Why there are none.
        memory: One row for each shot in the order in which they were taken, where that is known.
        patterns: Otherwise distinct outcomes as rows,
        counts: and how often each was seen, which may add up to more than ``shots``.
        iq: For ``meas_level=1``: complex, shape ``(shots, bits)``, or ``(bits,)`` if averaged.
        evs: In place of shots, expectation values of the observables that the circuit is measured
            for, as precise as ``shots`` would make them,
        stds: and their standard errors.
    """

    shots: int
    num_bits: int = 0
    error: BackendError | None = None
    memory: Rows | None = None
    patterns: Rows | None = None
    counts: NDArray[np.int64] | None = None
    iq: NDArray[np.complex128] | None = None
    evs: NDArray[np.float64] | None = None
    stds: NDArray[np.float64] | None = None

    @property
    def ordered(self) -> bool:
        """Whether the order in which the shots were taken is known."""
        return self.memory is not None


class ReadOutcomes(tuple[Outcome, ...]):
    """The outcomes of a job as :func:`read` has checked them."""

    __slots__ = ()


def read(
    result: object,
    wirings: Sequence[Wiring],
    shots: int,
    *,
    asked: int | None = None,
    meas_level: int = 2,
) -> ReadOutcomes:
    """Read a provider's result, circuit by circuit; its content never makes this raise.

    Args:
        result: What ``job.result()`` returned: a Qiskit ``Result``, something shaped like it, a list
            of these, or anything else.
        wirings: How the bits of each circuit that was sent map to the user's, in order sent.
        shots: Shots that are wanted of each circuit.
        asked: Shots that the job was asked for, where these are more.
        meas_level: 2 for bits, 1 for kerneled data.
    """
    asked = shots if asked is None else asked
    experiments = _experiments(join_results(result), len(wirings))
    if isinstance(experiments, BackendError):
        return ReadOutcomes(_fail(experiments) for _ in wirings)
    if meas_level == 1:
        return ReadOutcomes(
            _guard(_read_kerneled, experiment, wiring, shots)
            for experiment, wiring in zip(experiments, wirings, strict=True)
        )
    outcomes: list[Outcome] = []
    for block in _blocks(_look_at_all(experiments, wirings, shots)):
        outcomes.extend([block] if isinstance(block, Outcome) else _read_block(block, shots, asked))
    return ReadOutcomes(outcomes)


# What a result says about itself.


def join_results(result: object) -> object:
    """Make one result of a list of results, which some providers return; all else is left as it is."""
    if not isinstance(result, list | tuple) or not result:
        return result
    try:
        parts = [_field(part, "results") for part in result]
        if not all(isinstance(part, list | tuple) for part in parts):
            return result
        failed = [part for part in result if _field(part, "success") is False]
        told = failed[0] if failed else result[0]
        return {
            "results": [experiment for part in parts for experiment in part],
            **{name: _field(told, name) for name in ("success", "status", "job_id")},
        }
    except Exception:  # noqa: BLE001  Reading an attribute of a foreign object runs foreign code.
        return result


def _experiments(result: object, expected: int) -> Sequence[object] | BackendError:
    # Reading an attribute of a foreign object runs foreign code.
    try:
        # A copy: what is asked again may answer otherwise.
        parts = tuple(islice(result, expected + 1)) if isinstance(result, list | tuple) else ()
        parts = parts or (result,)
        lists = [_field(part, "results") for part in parts]
        if not all(isinstance(given, list | tuple) for given in lists):
            said = f"The provider returned no result but {reprlib.repr(result)}."
            return bad_result(said, unreadable=True)
        experiments = tuple(islice(chain.from_iterable(lists), expected + 1))
        length = sum(map(len, lists))
        whole = length == len(experiments) == expected
        reasons = [_reason(part, whole=whole) for part in parts]
        if whole and not any(reasons):
            return experiments
        if whole and any(_field(e, "success") is False for e in experiments):
            return experiments
        for reason in filter(None, reasons):
            # It may be any of several circuits; if the only one cannot be run, it is that.
            fault: Fault = "backend" if whole or expected > 1 else "caller"
            said = f"The provider says that the job failed: {reason}"
            return BackendError(said, submitted=True, fault=fault)
        return bad_result(
            f"The result has {length} experiments for {expected} circuits, so which belongs to "
            "which cannot be known."
        )
    except Exception as error:  # noqa: BLE001
        return bad_result(f"The result cannot be read: {_read_text(error)}")


def _reason(result: object, *, whole: bool) -> str:
    success, status = _field(result, "success"), _field(result, "status")
    # The status of a result that is whole may speak of anything.
    failed = not whole and _tells_failure(status)
    if (success is None or success) and not failed:
        return ""
    return "it gives no reason" if status is None else _read_text(status)


def _tells_failure(status: object) -> bool:
    name = getattr(status, "name", status)
    return isinstance(name, str) and name.upper().startswith(("ERROR", "FAIL", "CANCEL"))


def _look_at_all(
    experiments: Sequence[object], wirings: Sequence[Wiring], shots: int
) -> Iterator[Raw | Outcome]:
    last = None
    for experiment, wiring in zip(experiments, wirings, strict=True):
        if wiring is not last:
            last, codec = wiring, codec_of(wiring)
        yield _guard(_look, experiment, codec, shots)


def _look(experiment: object, codec: Codec, shots: int) -> Raw | Outcome:
    _require_success(experiment)
    if not codec.reads:
        # Nothing can have written a bit that is read, so whatever the outcome is called, it is 0.
        zeros = np.zeros((1, num_bytes(codec.wiring.num_user)), np.uint8)
        return Outcome(
            shots=shots,
            num_bits=codec.wiring.num_user,
            memory=np.broadcast_to(zeros, (shots, zeros.shape[1])),
        )
    data = _field(experiment, "data")
    counted, remembered = _field(data, "counts"), _field(data, "memory")
    counts, total = _counts(counted, shots)
    memory = _memory(remembered, shots)
    if not counts:
        reported = _field(experiment, "shots")
        if not memory:
            raise bad_result(
                f"The result has neither counts nor memory; it reports {_read_text(reported)} shots.",
                unreadable=not _is_read(counted) and not _is_read(remembered),
            )
        if len(memory) not in (shots, reported):
            raise bad_result(
                f"Memory has {len(memory)} shots where {shots} were asked for, and no counts."
            )
    return Raw(codec, counts, total, memory)


def _counts(counts: Any, shots: int) -> tuple[dict[Any, int], int]:
    if counts is None:
        return {}, 0
    if type(counts) is not dict:
        if not isinstance(counts, Mapping):
            raise bad_result(f"Counts are no mapping but {reprlib.repr(counts)}.")
        counts = dict(islice(counts.items(), most_shots(shots) + 1))
    if not counts:
        return {}, 0
    distinct = set(counts.values())
    if set(map(type, distinct)) != {int} or min(distinct) < 0:
        counts = {name: _whole(value) for name, value in counts.items()}
    total = sum(counts.values())
    if total != shots and not 0 < total <= most_shots(shots):
        raise bad_result(f"Counts add up to {total} where {shots} shots were asked for.")
    return counts, total


def _memory(memory: Any, shots: int) -> list[Any]:
    if type(memory) is list:  # Not copied: it may be long.
        return memory
    if isinstance(memory, np.ndarray):
        # The first shots are enough of it, and an array may say that it is of any length.
        memory = memory[: most_shots(shots) + 1].tolist() if memory.ndim == 1 else []
    return list(islice(memory, most_shots(shots) + 1)) if isinstance(memory, list | tuple) else []


def _is_read(data: object) -> bool:
    """Tell whether data are of a kind that is read, empty as they may be."""
    array = isinstance(data, np.ndarray) and data.ndim == 1
    return array or isinstance(data, Mapping | list | tuple)


def most_shots(shots: int) -> int:
    """Number of shots to believe where some number was asked for.

    Some backends run their own default number, which is fine; one that numpy could not draw from
    is not.
    """
    return max(shots, min(1000 * shots + 100_000, 999_999_999))


def _require_success(experiment: object) -> None:
    success, status = _field(experiment, "success"), _field(experiment, "status")
    if _tells_failure(status) or not (success is None or success):
        raise BackendError(
            f"The provider says that the circuit failed: {_read_text(status)}",
            submitted=True,
            fault="caller",
        )


def _whole(value: object) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0:
        return int(value)
    if isinstance(value, float | np.floating) and value >= 0 and math.isfinite(value):
        whole = int(value)
        if whole == value:
            return whole
    raise bad_result(
        f"A count is {reprlib.repr(value)}, not a number of shots.",
        unreadable=isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating),
    )


# What the data says.


def _blocks(looked: Iterable[Raw | Outcome]) -> Iterator[list[Raw] | Outcome]:
    """Group neighbours of one wiring, as many as are worth reading together."""
    block: list[Raw] = []
    size = 0
    for raw in looked:
        more = 0
        if not isinstance(raw, Outcome):
            more = (len(raw.counts) + len(raw.memory)) * num_bytes(raw.codec.wiring.num_sent)
        if block and (
            isinstance(raw, Outcome) or raw.codec is not block[0].codec or size + more > _BLOCK
        ):
            yield block
            block, size = [], 0
        if isinstance(raw, Outcome):
            yield raw
        else:
            block.append(raw)
            size += more
    if block:
        yield block


def _read_block(block: Sequence[Raw], shots: int, asked: int) -> list[Outcome]:
    size = block[0].codec.wiring.num_user
    try:
        contents = read_hex(block)
    except Exception:  # noqa: BLE001
        # Something in it is not written as Aer does: take them one by one, name by name.
        return [_guard(_read_one, raw, shots, asked) for raw in block]
    return [_outcome(content, size, shots) for content in contents]


def _read_one(raw: Raw, shots: int, asked: int) -> Outcome:
    try:
        content = read_names(raw, asked)
    except ContradictionError as error:
        raise bad_result(f"{error}.") from error
    return _outcome(content, raw.codec.wiring.num_user, shots)


def _outcome(content: Content, num_bits: int, shots: int) -> Outcome:
    if isinstance(content, Counted):
        patterns, counts, total = content
        usable = min(total, shots)
        found = Outcome(shots=usable, num_bits=num_bits, patterns=patterns, counts=counts)
    else:
        usable = min(len(content), shots)
        found = Outcome(shots=usable, num_bits=num_bits, memory=content[:shots])
    if usable:
        return found
    return _fail(BackendError("Every shot was lost.", transient=True, submitted=True))


# Kerneled data.


def _read_kerneled(experiment: object, wiring: Wiring, shots: int) -> Outcome:
    _require_success(experiment)
    most = 2 * max(1, wiring.num_sent) * most_shots(shots)
    raw = _array(_field(_field(experiment, "data"), "memory"), most)
    if raw.dtype.kind in "iuf" and raw.ndim and raw.shape[-1] == 2:
        raw = raw[..., 0] + 1j * raw[..., 1]
    if raw.dtype.kind != "c" or raw.ndim not in (1, 2) or not np.isfinite(raw).all():
        raise bad_result(
            "Memory is no kerneled data: pairs of finite numbers for each shot and bit."
        )
    for kept in (range(wiring.num_sent), wiring.measured):
        if raw.shape[-1] == len(kept):
            break
    else:
        raise bad_result(f"Memory has {raw.shape[-1]} slots, the circuit {wiring.num_sent} bits.")
    if raw.ndim == 2 and not len(raw):
        raise bad_result("Memory has no shots.")
    raw = raw[:shots] if raw.ndim == 2 else raw
    iq = np.zeros((*raw.shape[:-1], wiring.num_user), np.complex128)
    for place, sent in enumerate(kept):
        if (bit := wiring.to_user[sent]) != UNREAD:
            iq[..., bit] = raw[..., place]
    usable = len(iq) if iq.ndim == 2 else shots
    return Outcome(shots=usable, num_bits=wiring.num_user, iq=iq)


def _array(memory: Any, most: int) -> NDArray[Any]:
    """Return nested lists as an array of at most this many numbers.

    Lists may hold one list many times, or themselves: they are measured before they are copied.
    """
    size = memory.size if isinstance(memory, np.ndarray) else 1
    level: dict[int, Any] = {0: memory} if isinstance(memory, list | tuple) else {}
    for _ in range(_DEPTH):
        lengths = set(map(len, level.values()))
        size *= max(lengths, default=1)
        if size > most or not {*map(type, level.values())} <= {list, tuple, np.ndarray}:
            break
        level = {
            id(part): part
            for whole in level.values()
            for part in whole
            if isinstance(part, list | tuple | np.ndarray)
        }
    if level or size > most:
        raise bad_result("Memory is no kerneled data: it is nested too deep, or too large.")
    return np.asarray(memory)


# Errors.


def _guard(function: Callable[..., _T], *arguments: object) -> _T | Outcome:
    """Call the function; where it raises, make an outcome that says why."""
    try:
        return function(*arguments)
    except BackendError as error:
        return _fail(error)
    except Exception as error:  # noqa: BLE001
        # Content of a foreign object: whatever goes wrong over it is wrong with it. What is of the wrong
        # type is so the next time.
        said = f"The result cannot be read: {_read_text(error)}"
        return _fail(bad_result(said, unreadable=isinstance(error, TypeError)))


def _fail(error: BackendError) -> Outcome:
    return Outcome(shots=0, error=error)


def _read_text(thing: object) -> str:
    try:
        return str(thing)[:200]
    except Exception:  # noqa: BLE001
        return f"<{type(thing).__name__}>"


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
