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
times = [time.process_time()]
import qiskit
times.append(time.process_time())
import qiskit_gateway, qiskit_gateway.backends, qiskit_gateway.policies
times.append(time.process_time())
from qiskit_gateway import RouterEstimator, RouterSampler
times.append(time.process_time())
print([after - before for before, after in zip(times, times[1:])])
"""


def rows(*, quick: bool) -> Iterator[Row]:
    """Time the imports, and compare medians."""
    with tempfile.TemporaryDirectory() as folder:
        _imported(folder)
        found = [_imported(folder) for _ in range(1 if quick else 11)]
    stock, faces, primitives = (median(times) for times in zip(*found, strict=True))
    for what, ours, target in (
        ("import qiskit_gateway and its faces", faces, 0.15),
        # A hundred and fifty dataclasses, most of it: Python writes the methods of each as text.
        ("first use of both primitives", primitives, None),
    ):
        yield Row(
            case=f"{what}, CPU",
            against=f"import qiskit {timed(stock)}",
            router=timed(ours),
            figure=ours / stock,
            unit="of it",
            at_most=None if quick else target,
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
