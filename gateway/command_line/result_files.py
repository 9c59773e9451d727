"""Results for programs: as JSON, and as arrays in a file of numpy."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.primitives import BitArray, PrimitiveResult

from qiskit_gateway.command_line.endings import EndingError, ExitCode
from qiskit_gateway.command_line.screen import as_json
from qiskit_gateway.reporting.report import Report

_FORMAT = "qiskit-gateway result, version 1"
_SUFFIXES = (".json", ".npz")


def check_out(out: Path | None, *, force: bool) -> None:
    """Make sure that a result can be written, before anything is paid for it.

    Args:
        out: Where to; nowhere if it is ``None``.
        force: A file that is there already may be replaced.

    Raises:
        EndingError: If it cannot.
    """
    if out is None:
        return
    if out.suffix not in _SUFFIXES:
        raise EndingError(
            f"--out {out}: must end in {' or '.join(_SUFFIXES)}; nothing was sent", ExitCode.USAGE
        )
    if out.is_dir() or (out.exists() and not force):
        raise EndingError(f"{out} is there already; nothing was sent: add --force to replace it")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise EndingError(f"{out.parent} is no folder that can be written to; nothing was sent")


def pubs_of(result: PrimitiveResult[Any]) -> list[Any]:
    """List the results of the PUBs."""
    return [result[place] for place in range(len(result))]


def write_result_facts(
    result: PrimitiveResult[Any], labels: Sequence[str], report: Report, *, complete: bool
) -> dict[str, Any]:
    """Turn a result into plain data.

    Args:
        result: The result.
        labels: What its PUBs are called.
        report: What happened.
        complete: Whether everything that was asked for is there.
    """
    return {
        "format": _FORMAT,
        "job_id": report.job_id,
        "complete": complete,
        "pubs": [
            {
                "label": label,
                "shape": list(pub.data.shape),
                "data": {name: _write_facts(value) for name, value in pub.data.items()},
                "metadata": pub.metadata,
            }
            for label, pub in zip(labels, pubs_of(result), strict=True)
        ],
        "report": report.to_dict(),
    }


def write_result(out: Path, result: PrimitiveResult[Any], facts: Mapping[str, Any]) -> None:
    """Write a result into a file, all of it or nothing.

    Args:
        out: The file; its ending says how.
        result: The result.
        facts: The same as plain data.

    Raises:
        OSError: If it cannot be written.
    """
    number, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    try:
        with os.fdopen(number, "wb") as file:
            if out.suffix == ".npz":
                np.savez_compressed(file, **dict(_write_arrays(result)))
            else:
                file.write(f"{as_json(facts)}\n".encode())
        # Temporary files are for their owner alone; this one is like any that a program writes.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_facts(value: Any) -> Any:
    if not isinstance(value, BitArray):
        return value
    counts = [value.get_counts(index) for index in np.ndindex(value.shape)]
    return {
        "num_bits": value.num_bits,
        "num_shots": value.num_shots,
        # Of a PUB with a shape one for each of its points, the last axis changing fastest.
        "counts": counts[0] if value.shape == () else counts,
    }


def _write_arrays(result: PrimitiveResult[Any]) -> Iterator[tuple[str, Any]]:
    for place, pub in enumerate(pubs_of(result)):
        for name, value in pub.data.items():
            if isinstance(value, BitArray):
                yield f"{place}.{name}", value.array
                yield f"{place}.{name}.num_bits", np.array(value.num_bits)
            else:
                yield f"{place}.{name}", np.asarray(value)
