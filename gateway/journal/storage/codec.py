"""Encode circuits, arrays, outcomes and plain data as bytes and texts, and decode them.

Reading never runs code: circuits are QPY, arrays are raw numbers with type and shape, the rest is
JSON. Content that was not written by this module is a ``ValueError``.
"""

import base64
import json
import struct
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import qpy
from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.circuits.circuit_bytes import write_qpy
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.readout.outcomes import Outcome

# Older versions of the format hold expressions in forms that other packages must make sense of.
_OLDEST_QPY = 13
_SYMENGINE = b"e"
_QPY_HEAD = struct.Struct("!6s4BQc")

_KINDS = frozenset("biufc")
_MAX_HEAD = 1 << 24

# How a shot came: the field of the outcome that holds it.
_NOTHING, _MEMORY, _COUNTED, _IQ, _VALUES = range(5)
_MAY_LACK = (
    *("shots", "num_bits", "heights", "widths", "rows", "counts"),
    *("iq_heights", "iq_widths", "iq", "errors"),
    *("sizes", "evs", "stds"),
)
_NONE: NDArray[Any] = np.empty(0, np.uint8)
_FACTS = (
    "transient",
    "throttled",
    "retry_after_seconds",
    "fault",
    "submitted",
    "authentication",
    "bad_result",
    "unreadable",
    "takes_nothing",
    "unbilled",
)


# -- circuits --------------------------------------------------------------------------------------


def write_circuit(circuit: QuantumCircuit) -> bytes:
    """Encode a circuit as QPY, without its metadata.

    Raises:
        ValueError: If QPY cannot hold it.
    """
    try:
        return write_qpy(circuit)
    except Exception as error:  # Raised by whatever the user's gates are made of.
        raise ValueError(
            f"circuit {circuit.name!r} cannot be written as QPY: {type(error).__name__}: {error}"
        ) from error


def read_circuit(content: bytes) -> QuantumCircuit:
    """Decode one circuit from QPY.

    Raises:
        ValueError: If it is not QPY, not of exactly one circuit, or of a version that is not read.
    """
    if len(content) < _QPY_HEAD.size:
        raise ValueError("a circuit is cut off")
    name, version, *_, count, encoding = _QPY_HEAD.unpack_from(content)
    if name != b"QISKIT" or version < _OLDEST_QPY or encoding == _SYMENGINE or count != 1:
        raise ValueError(f"a circuit is no QPY of version {_OLDEST_QPY} or later")
    try:
        with warnings.catch_warnings():
            # Another version of Qiskit may have written it; QPY reads older ones.
            warnings.simplefilter("ignore")
            (circuit,) = qpy.load(BytesIO(content))
    except Exception as error:  # A parser fails in any way over what is no circuit.
        raise ValueError(f"a circuit cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(circuit, QuantumCircuit):
        raise ValueError(  # noqa: TRY004  It is the content that is wrong.
            f"what should be a circuit is a {type(circuit).__name__}"
        )
    return circuit


# -- arrays ----------------------------------------------------------------------------------------


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode named arrays of numbers as bytes."""
    head, parts = [], []
    for name, array in arrays.items():
        assert array.dtype.kind in _KINDS, array.dtype  # noqa: S101
        kind = array.dtype.str
        if kind[0] == ">":
            array = array.astype(array.dtype.newbyteorder("<"))  # noqa: PLW2901
            kind = array.dtype.str
        head.append((name, kind, array.shape))
        parts.append(array.tobytes())
    text = json.dumps(head).encode()
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(content: bytes) -> dict[str, NDArray[Any]]:
    """Decode the arrays of :func:`pack`; they are read-only.

    Raises:
        ValueError: If the content is something else.
    """
    try:
        (size,) = struct.unpack_from("<I", content)
        head = json.loads(content[4 : 4 + min(size, _MAX_HEAD)])
        arrays, start = {}, 4 + size
        for name, kind, shape in head:
            array = arrays[name] = _read_array(content, start, np.dtype(kind), shape)
            start += array.nbytes
    except (struct.error, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"arrays cannot be read: {error}") from error
    if start != len(content):
        raise ValueError("arrays cannot be read: there is more than they say")
    return arrays


def _read_array(
    content: bytes, start: int, dtype: np.dtype[Any], shape: Sequence[object]
) -> NDArray[Any]:
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    if dtype.kind not in _KINDS or len(sizes) != len(shape):
        raise ValueError(f"{dtype} is no type of number, or {shape} no shape")
    count = prod(sizes)
    if not count:
        return np.empty(sizes, dtype)
    return np.frombuffer(content, dtype, count, start).reshape(sizes)


# -- outcomes --------------------------------------------------------------------------------------


def pack_outcomes(outcomes: Sequence[Outcome]) -> bytes:
    """Encode the outcomes of a job as bytes; empty arrays are left out."""
    rows: list[NDArray[Any]] = []
    counts: list[NDArray[np.int64]] = []
    iq: list[NDArray[np.complex128]] = []
    evs: list[NDArray[np.float64]] = []
    stds: list[NDArray[np.float64]] = []
    for outcome in outcomes:
        if outcome.memory is not None:
            rows.append(outcome.memory)
        elif outcome.patterns is not None and outcome.counts is not None:
            rows.append(outcome.patterns)
            counts.append(outcome.counts)
        elif outcome.iq is not None:
            iq.append(outcome.iq)
        elif outcome.evs is not None and outcome.stds is not None:
            evs.append(outcome.evs)
            stds.append(outcome.stds)
    errors = {
        place: _write_error(outcome.error)
        for place, outcome in enumerate(outcomes)
        if outcome.error
    }
    text = json.dumps(errors).encode() if errors else b""
    arrays: dict[str, NDArray[Any]] = {
        "kinds": np.array([_kind(outcome) for outcome in outcomes], np.uint8),
        "shots": np.array([outcome.shots for outcome in outcomes], np.int64),
        "num_bits": np.array([outcome.num_bits for outcome in outcomes], np.int64),
        "heights": np.array([len(array) for array in rows], np.int64),
        "widths": np.array([array.shape[1] for array in rows], np.int64),
        "rows": _join(rows, np.uint8),
        "counts": _join(counts, np.int64),
        "iq_heights": np.array([len(a) if a.ndim == 2 else -1 for a in iq], np.int64),
        "iq_widths": np.array([array.shape[-1] for array in iq], np.int64),
        "iq": _join(iq, np.complex128),
        "sizes": np.array([len(array) for array in evs], np.int64),
        "evs": _join(evs, np.float64),
        "stds": _join(stds, np.float64),
        "errors": np.frombuffer(text, np.uint8),
    }
    return pack({name: array for name, array in arrays.items() if array.size or name == "kinds"})


def unpack_outcomes(content: bytes) -> list[Outcome]:
    """Decode the outcomes of :func:`pack_outcomes`.

    Raises:
        ValueError: If the content is something else.
    """
    try:
        return _read_outcomes(dict.fromkeys(_MAY_LACK, _NONE) | unpack(content))
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"outcomes cannot be read: {error!r}") from error


def _read_outcomes(arrays: dict[str, NDArray[Any]]) -> list[Outcome]:
    heights, widths = arrays["heights"].tolist(), arrays["widths"].tolist()
    rows = _divide(arrays["rows"], [h * w for h, w in zip(heights, widths, strict=True)])
    shaped = iter([r.reshape(h, w) for r, h, w in zip(rows, heights, widths, strict=True)])
    kinds = arrays["kinds"].tolist()
    counted = [k == _COUNTED for k in kinds if k in {_MEMORY, _COUNTED}]
    sizes = [h for h, known in zip(heights, counted, strict=True) if known]
    counts = iter(_divide(arrays["counts"], sizes))
    points = iter(_split_points(arrays))
    values, spreads = (
        iter(_divide(arrays[name], arrays["sizes"].tolist())) for name in ("evs", "stds")
    )
    errors = json.loads(arrays["errors"].tobytes() or b"{}")
    found = []
    for place, (kind, shots, bits) in enumerate(
        zip(kinds, arrays["shots"].tolist(), arrays["num_bits"].tolist(), strict=True)
    ):
        error = _read_error(errors[str(place)]) if str(place) in errors else None
        content: dict[str, Any] = {}
        if kind == _MEMORY:
            content = {"memory": next(shaped)}
        elif kind == _COUNTED:
            content = {"patterns": next(shaped), "counts": next(counts)}
        elif kind == _IQ:
            content = {"iq": next(points)}
        elif kind == _VALUES:
            content = {"evs": next(values), "stds": next(spreads)}
        found.append(Outcome(shots=shots, num_bits=bits, error=error, **content))
    return found


def _split_points(arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Split kerneled data; a height of -1 marks an array that is averaged over shots."""
    heights, widths = arrays["iq_heights"].tolist(), arrays["iq_widths"].tolist()
    sizes = [abs(h) * w for h, w in zip(heights, widths, strict=True)]
    return [
        part.reshape(width) if height < 0 else part.reshape(height, width)
        for part, height, width in zip(_divide(arrays["iq"], sizes), heights, widths, strict=True)
    ]


def _kind(outcome: Outcome) -> int:
    if outcome.memory is not None:
        return _MEMORY
    if outcome.patterns is not None:
        return _COUNTED
    if outcome.evs is not None:
        return _VALUES
    return _IQ if outcome.iq is not None else _NOTHING


def _join(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    flat = [array.reshape(-1) for array in arrays]
    return np.concatenate(flat).astype(dtype, copy=False) if flat else _NONE


def _divide(array: NDArray[Any], sizes: Sequence[int]) -> list[NDArray[Any]]:
    if sum(sizes) != len(array):
        raise ValueError("outcomes cannot be read: their sizes do not add up")
    return [array[end - size : end] for end, size in zip(accumulate(sizes), sizes, strict=True)]


def _write_error(error: BackendError) -> dict[str, Any]:
    return {"message": redact(str(error)), **{name: getattr(error, name) for name in _FACTS}}


def _read_error(facts: Mapping[str, Any]) -> BackendError:
    # A journal of an earlier version knows fewer.
    known = {name: facts[name] for name in _FACTS if name in facts}
    return BackendError(facts["message"], **known)


# -- plain data ------------------------------------------------------------------------------------


def write_plain(value: Any) -> str:
    """Encode numbers, texts, arrays and containers as JSON that keeps their types.

    Raises:
        TypeError: If anything else is in it.
    """
    return json.dumps(_tag(value))


def read_plain(text: str) -> Any:
    """Decode the data of :func:`write_plain`.

    Raises:
        ValueError: If the text is something else.
    """
    try:
        return _untag(json.loads(text))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"data cannot be read: {error!r}") from error


def _tag(value: Any) -> Any:
    match value:
        # First, because some of numpy's numbers are instances of Python's and would lose their type.
        case np.ndarray() | np.generic() if value.dtype.kind in _KINDS:
            return _tag_array(value)
        case None | bool() | int() | float() | str():
            return value
        case complex():
            return {"complex": [value.real, value.imag]}
        case list():
            return [_tag(item) for item in value]
        case tuple():
            return {"tuple": [_tag(item) for item in value]}
        case Mapping():
            return {"dict": [[_tag(key), _tag(item)] for key, item in value.items()]}
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def _tag_array(value: Any) -> dict[str, str]:
    kind = "scalar" if isinstance(value, np.generic) else "array"
    return {kind: base64.b64encode(pack({"": np.asarray(value)})).decode()}


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    match tag:
        case "complex":
            return complex(*content)
        case "tuple":
            return tuple(_untag(item) for item in content)
        case "dict":
            return {_untag(key): _untag(item) for key, item in content}
        case "array" | "scalar":
            array = unpack(base64.b64decode(content))[""].copy()
            return array if tag == "array" else array[()]
    raise ValueError(f"there is no kind of data {tag!r}")
