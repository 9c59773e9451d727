"""RouterSampler against Qiskit's BackendSamplerV2 over a backend that costs nothing.

The backend returns hexadecimal memory and counts kept from before, each bit 1 as often as 0, so
that all the time measured is the samplers' own. The two must return the same bits.

Beside the sizes with a target stands what no sampler written in Python can do without: a copy of the
circuit for each row, bound, and one look at each text of memory, for which ``str.join`` is quickest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import transpile
from qiskit.primitives import BackendSamplerV2, PrimitiveResult

from benchmarks.canned import CannedBackend, answers
from benchmarks.measure import Row, faster, paired, sweep, timed
from qiskit_gateway import RouterSampler


@dataclass(frozen=True, slots=True)
class Case:
    """A size, and how many times faster the router is to be."""

    rows: int
    shots: int
    qubits: int = 5
    target: float | None = None

    @property
    def name(self) -> str:
        return f"sampler, {self.rows} rows x {self.shots:,} shots, {self.qubits} bits"


CASES = (
    Case(1, 10_000),
    Case(1, 100_000),
    Case(100, 1_000),
    Case(100, 100_000),
    Case(1000, 1_000, target=4),
    Case(1000, 10_000, target=9),
    Case(5000, 1_000),
    Case(1000, 1_000, 20),
    Case(1000, 10_000, 20),
    Case(100, 10_000, 127),
)
QUICK = (Case(1, 1_000), Case(20, 1_000, 20), Case(20, 1_000, 127))
# Where stock takes longer than this in all, it is not asked again.
_SHOTS_OF_ONE_REPEAT = 2_000_000


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure every size."""
    for case in QUICK if quick else CASES:
        yield from measured(case)


def measured(case: Case) -> Iterator[Row]:
    """Check that both give the same, and time them in turn."""
    backend, pub = CannedBackend(case.qubits), sweep(case.qubits, case.rows)
    stock, router = BackendSamplerV2(backend=backend), RouterSampler(backend)

    def theirs() -> PrimitiveResult[Any]:
        return stock.run([pub], shots=case.shots).result()

    def ours() -> PrimitiveResult[Any]:
        return router.run([pub], shots=case.shots).result()

    check(ours(), theirs())  # Also fills the caches of the router and of the backend.
    repeats = 2 if case.rows * case.shots > _SHOTS_OF_ONE_REPEAT else 5
    their_seconds, *our_seconds = paired([theirs, ours, ours], repeats)
    yield faster(case.name, their_seconds, min(our_seconds), target=case.target)
    if case.target is None:
        return
    memory = [memory for _, memory in answers(case.qubits, case.shots, case.rows)]
    circuit, values = transpile(pub[0], backend), pub[1].tolist()
    binding, joining = paired(
        [
            lambda: [circuit.assign_parameters(row) for row in values],
            lambda: ["".join(texts) for texts in memory],
        ],
        repeats,
    )
    yield Row(
        case=f"{case.name}: what cannot be spared",
        against=f"{timed(binding)} to bind, {timed(joining)} to join",
        router=timed(min(our_seconds)),
        figure=min(our_seconds) / (binding + joining),
        unit="x",
    )


def check(ours: PrimitiveResult[Any], theirs: PrimitiveResult[Any]) -> None:
    """Check that two samplers returned the same bits and said the same of them."""
    assert ours[0].metadata == theirs[0].metadata
    assert ours[0].data.meas.num_bits == theirs[0].data.meas.num_bits
    assert np.array_equal(ours[0].data.meas.array, theirs[0].data.meas.array)
