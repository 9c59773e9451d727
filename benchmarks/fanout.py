"""One run over several backends that block: against one of them, and against a pool of threads.

A backend runs one circuit after the other, and ``result()`` blocks until its job is done, as the
clients of providers do. The pool is what one would write by hand: stock samplers in a thread each,
rows divided evenly, arrays joined at the end.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from qiskit.primitives import BackendSamplerV2, BitArray

from benchmarks.canned import CannedBackend
from benchmarks.measure import Row, faster, paired, sweep
from qiskit_gateway import RouterSampler

SHOTS = 100
CIRCUIT_SECONDS = 0.004
# Of four unlike backends, how many times as long as the fastest each takes.
UNLIKE = (1, 2, 4, 8)


def rows(*, quick: bool) -> Iterator[Row]:
    """Time one backend against several, equal ones and others."""
    count = 48 if quick else 1600
    alone = _router_seconds([1], count)
    for size in (2, 4) if quick else (2, 4, 8, 16):
        least = 3.8 if size == 4 and not quick else None
        together = _router_seconds([1] * size, count)
        yield faster(f"{size} equal blocking backends", alone, together, who="one", target=least)
    for slowness in ((1,) * 4, UNLIKE):
        pool, router = paired([_pool(slowness, count), _router(slowness, count)], 1 if quick else 2)
        name = "equal" if slowness != UNLIKE else "unlike"
        yield faster(f"4 {name} blocking backends", pool, router, who="threads")


def _router_seconds(slowness: Sequence[float], count: int) -> float:
    return paired([_router(slowness, count)], 1 if len(slowness) == 1 else 2)[0]


def _backends(slowness: Sequence[float]) -> list[CannedBackend]:
    return [CannedBackend(5, circuit_seconds=CIRCUIT_SECONDS * slow) for slow in slowness]


def _router(slowness: Sequence[float], count: int) -> Callable[[], None]:
    """Return a run by the router."""
    pub, sampler = sweep(5, count), RouterSampler(_backends(slowness))
    sampler.run([(pub[0], pub[1][:8])], shots=SHOTS).result()  # Starts the loop, compiles.

    def run() -> None:
        found = sampler.run([pub], shots=SHOTS).result()[0]
        assert found.data.meas.shape == (count,)

    return run


def _pool(slowness: Sequence[float], count: int) -> Callable[[], None]:
    """Return the same by a pool of threads."""
    circuit, values = sweep(5, count)
    samplers = [BackendSamplerV2(backend=backend) for backend in _backends(slowness)]
    parts = np.array_split(values, len(samplers))

    def part_of(sampler: BackendSamplerV2, part: np.ndarray) -> np.ndarray:
        return sampler.run([(circuit, part)], shots=SHOTS).result()[0].data.meas.array

    def run() -> None:
        with ThreadPoolExecutor(len(samplers)) as pool:
            arrays = list(pool.map(part_of, samplers, parts))
        assert BitArray(np.concatenate(arrays), circuit.num_clbits).shape == (count,)

    return run
