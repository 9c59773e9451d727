"""What the router adds to the time of one small circuit."""

import gc
from collections.abc import Iterator

from qiskit.primitives import BackendSamplerV2
from qiskit_aer import AerSimulator

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, paired, slowness, sweep, timed
from qiskit_gateway import RouterSampler


def rows(*, quick: bool) -> Iterator[Row]:
    """Time one circuit over a backend that costs nothing, and over Aer."""
    circuit, values = sweep(5, 1)
    bound = circuit.assign_parameters(values[0])
    for name, backend in (
        ("zero-cost", CannedBackend(5)),
        ("Aer", AerSimulator(max_parallel_threads=1)),
    ):
        stock, router = BackendSamplerV2(backend=backend), RouterSampler(backend)
        sides = [lambda one=one: one.run([bound], shots=1000).result() for one in (stock, router)]
        for side in sides:
            side()
        gc.collect()
        gc.freeze()  # Or the collection before each of them would take a hundred times as long.
        theirs, ours = paired(sides, 20 if quick else 200)
        gc.unfreeze()
        yield Row(
            case=f"one circuit x 1,000 shots, {name} backend: added",
            against=timed(theirs),
            router=timed(ours),
            figure=(ours - theirs) / slowness() / 1e-3,
            unit="ms",
            at_most=1.5 if name == "zero-cost" and not quick else None,
        )
