"""The most memory that a run needs, as a multiple of the arrays that it returns.

Each side runs in a fresh interpreter, over a backend whose answers are there before: what counts is
by how much the resident memory of the process grew at most. A small run warms everything up.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from qiskit.primitives import BackendSamplerV2, PrimitiveResult

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, grown_bytes, in_process, sized, sweep
from qiskit_gateway import RouterSampler

# Rows, shots, bits, and the target.
CASES = ((5000, 10_000, 5, 2.2), (1000, 10_000, 20, None))
QUICK = ((100, 10_000, 5, None),)


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure every size, for both."""
    for count, shots, qubits, target in QUICK if quick else CASES:
        theirs, ours = (
            in_process("memory", who, count, shots, qubits) for who in ("stock", "router")
        )
        assert theirs["arrays"] == ours["arrays"]
        yield Row(
            case=f"peak memory / result, {count} rows x {shots:,} shots, {qubits} bits",
            against=f"{sized(theirs['grown'])}, {theirs['grown'] / theirs['arrays']:.1f} x",
            router=sized(ours["grown"]),
            figure=ours["grown"] / ours["arrays"],
            unit="x",
            at_most=target,
        )


def peak(who: str, count: int, shots: int, qubits: int) -> dict[str, float]:
    """Return by how much this process grew in a run, and the size of the result."""
    backend, (circuit, values) = CannedBackend(qubits), sweep(qubits, count)
    kinds: dict[str, Any] = {"stock": BackendSamplerV2, "router": RouterSampler}
    sampler = kinds[who](backend=backend)

    def run(part: int) -> PrimitiveResult[Any]:
        return sampler.run([(circuit, values[:part])], shots=shots).result()

    run(16)
    grown, result = grown_bytes(lambda: run(count))
    return {"grown": grown, "arrays": result[0].data.meas.array.nbytes}


if __name__ == "__main__":
    print(json.dumps(peak(sys.argv[1], *map(int, sys.argv[2:]))))
