"""Circuits from files: QPY, OpenQASM 2 and OpenQASM 3, told apart by what is in them."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qiskit import qpy
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import MissingOptionalLibraryError
from qiskit.qasm3 import loads as loads_qasm3

from qiskit_gateway.backends.circuits.normalize import find_written_bits
from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.command_line.endings import EndingError

_QPY_MARK = b"QISKIT"
_VERSION = re.compile(r"^\s*OPENQASM\s+(\d+)", re.MULTILINE)
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_QASM = re.compile(r"\b(OPENQASM|include|qreg|creg|qubit|bit|gate)\b")
_MOST_TOLD = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NamedCircuit:
    """A circuit and where it was read.

    Attributes:
        label: The file, and the place in it where it holds several.
        circuit: The circuit.
    """

    label: str
    circuit: QuantumCircuit


def read_circuits(paths: Iterable[Path]) -> list[NamedCircuit]:
    """Read circuits that a sampler can run.

    Args:
        paths: The files; a QPY file may hold several circuits.

    Raises:
        EndingError: If one cannot be read, measures nothing, or has parameters without values. All
            that is wrong is said at once.
    """
    circuits: list[NamedCircuit] = []
    problems: list[str] = []
    for path in paths:
        try:
            found = _read(path)
        except EndingError as error:
            problems.append(str(error))
            continue
        circuits += found
        problems += _find_problems(found)
    if problems:
        more = len(problems) - _MOST_TOLD
        told = problems[:_MOST_TOLD] + ([f"and {more} more"] if more > 0 else [])
        raise EndingError("nothing was sent:\n" + "\n".join(f"  {one}" for one in told))
    return circuits


def _read(path: Path) -> list[NamedCircuit]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EndingError(f"{path}: {error.strerror}") from None
    if content.startswith(_QPY_MARK):
        circuits = _read_qpy(path, content)
    else:
        circuits = [_read_qasm(path, content)]
    labels: Sequence[str] = [str(path)]
    if len(circuits) != 1:
        labels = [f"{path}[{place}]" for place in range(len(circuits))]
    return [
        NamedCircuit(label=label, circuit=circuit)
        for label, circuit in zip(labels, circuits, strict=True)
    ]


def _read_qpy(path: Path, content: bytes) -> list[QuantumCircuit]:
    try:
        loaded = qpy.load(io.BytesIO(content))
    except Exception as error:  # noqa: BLE001  A damaged file may do anything to a parser.
        raise EndingError(f"{path}: this QPY cannot be read: {text_of(error)}") from None
    if not loaded:
        raise EndingError(f"{path}: holds no circuit")
    strangers = [type(one).__name__ for one in loaded if not isinstance(one, QuantumCircuit)]
    if strangers:
        raise EndingError(f"{path}: holds a {strangers[0]}, and only circuits can be run")
    return list(loaded)


def _read_qasm(path: Path, content: bytes) -> QuantumCircuit:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    plain = _COMMENTS.sub("", text)
    if not _QASM.search(plain):
        raise EndingError(f"{path}: is neither QPY nor OpenQASM")
    version = _VERSION.search(plain)
    try:
        if version is not None and int(version[1]) >= 3:
            return loads_qasm3(text)
        return QuantumCircuit.from_qasm_str(text)
    except MissingOptionalLibraryError:
        raise EndingError(
            f"{path}: reading OpenQASM 3 takes an extra: pip install 'qiskit-gateway[qasm3]'"
        ) from None
    except Exception as error:  # noqa: BLE001  Parsers raise errors of many kinds.
        said = " ".join(text_of(error).split())
        raise EndingError(f"{path}: {said}") from None


def _find_problems(circuits: Iterable[NamedCircuit]) -> Iterator[str]:
    for one in circuits:
        parameters = sorted(parameter.name for parameter in one.circuit.parameters)
        if parameters:
            named = ", ".join(parameters[:_MOST_TOLD])
            yield (
                f"{one.label}: has parameters without values: {named}; assign them "
                "(circuit.assign_parameters) before you write the file"
            )
        if not one.circuit.cregs or not find_written_bits(one.circuit):
            yield (
                f"{one.label}: measures nothing into a classical register; add measurements "
                "(circuit.measure_all())"
            )
