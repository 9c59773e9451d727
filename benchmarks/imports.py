"""What ``import qiskit_gateway`` adds to ``import qiskit``, in fresh interpreters.

Compiled files are kept in a folder of their own and are there before anything is timed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from statistics import median

from benchmarks.measure import Row, timed

_NO_FILES = "PYTHONDONTWRITEBYTECODE"
# Timed inside, so that what the interpreter itself takes to start does not count.
_PROGRAM = """
import time
began = time.process_time()
import qiskit
between = time.process_time()
import qiskit_gateway
print([between - began, time.process_time() - between])
"""


def rows(*, quick: bool) -> Iterator[Row]:
    """Time both imports, and compare medians."""
    with tempfile.TemporaryDirectory() as folder:
        _imported(folder)
        found = [_imported(folder) for _ in range(1 if quick else 11)]
    stock, ours = (median(times) for times in zip(*found, strict=True))
    yield Row(
        case="import qiskit_gateway after import qiskit",
        against=f"qiskit {timed(stock)}",
        router=timed(ours),
        figure=ours / 1e-3,
        unit="ms",
        at_most=None if quick else 150,
    )


def _imported(folder: str) -> list[float]:
    environment = {key: value for key, value in os.environ.items() if key != _NO_FILES}
    environment["PYTHONPYCACHEPREFIX"] = folder
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(  # noqa: S603
        command, check=True, capture_output=True, text=True, env=environment
    )
    times: list[float] = json.loads(done.stdout)
    return times
