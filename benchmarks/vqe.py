"""A variational eigensolver of 300 evaluations: over one simulator as stock Qiskit does, and over three."""

import gc
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
from qiskit.primitives import BackendEstimatorV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from benchmarks.loops import H2, SHOTS, TFIM
from benchmarks.measure import Row, sweep, timed
from qiskit_gateway import RouterEstimator
from qiskit_gateway.backends import Fleet, Member

EVALUATIONS = 300


def rows(*, quick: bool) -> Iterator[Row]:
    """Minimise the energies of H2 and of a chain of eight spins."""
    evaluations, turns = (20, 1) if quick else (EVALUATIONS, 3)
    for name, observable in (("H2", H2), ("TFIM of 8 qubits", TFIM)):
        stock = BackendEstimatorV2(backend=_simulator())
        sides = [stock, *(RouterEstimator(_fleet(size)) for size in (1, 3))]
        for side in sides:
            minimise(side, observable, 4)
        taken = [[_timed(side, observable, evaluations) for side in sides] for _ in range(turns)]
        theirs, one, three = zip(*taken, strict=True)
        case = f"VQE of {name}, {evaluations} evaluations"
        limits = (None, None) if quick else (1.05, 1.0)
        for what, who, number, other, mine, most in (
            ("one member, CPU", "stock", 0, theirs, one, limits[0]),
            ("three members, wall", "one member", 1, one, three, limits[1]),
        ):
            pairs = [(a[number], b[number]) for a, b in zip(other, mine, strict=True)]
            yield Row(
                case=f"{case}, {what}",
                against=f"{who} {timed(median(a for a, _ in pairs))}",
                router=timed(median(b for _, b in pairs)),
                figure=median(b / a for a, b in pairs),
                unit="x",
                at_most=most,
            )


def minimise(estimator: Any, observable: SparsePauliOp, evaluations: int) -> float:
    """Return the energy that so many evaluations come to, two for each step along a random direction.

    The steps are those of simultaneous perturbation (Spall, IEEE Trans. Autom. Control 37, 1992), with
    the exponents that are usual for it.
    """
    circuit, values = sweep(observable.num_qubits, 1)
    circuit.remove_final_measurements()
    rng, point = np.random.default_rng(7), values[0]

    def energy(at: np.ndarray) -> float:
        pub = (circuit, observable, at)
        return float(estimator.run([pub], precision=1 / np.sqrt(SHOTS)).result()[0].data.evs)

    for step in range(evaluations // 2):
        width = 0.2 / (step + 1) ** 0.101
        along = rng.choice([-1.0, 1.0], point.size)
        slope = (energy(point + width * along) - energy(point - width * along)) / (2 * width)
        point = point - 0.1 / (step + 1) ** 0.602 * slope * along
    return energy(point)


def _timed(estimator: Any, observable: SparsePauliOp, evaluations: int) -> tuple[float, float]:
    """Return the processor time and the wall time of it."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    minimise(estimator, observable, evaluations)
    return time.process_time() - cpu, time.perf_counter() - wall


def _simulator() -> AerSimulator:
    return AerSimulator(max_parallel_threads=1)


def _fleet(size: int) -> Fleet:
    return Fleet([Member(_simulator(), name=f"aer{number}") for number in range(size)])
