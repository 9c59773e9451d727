"""What comes back from a fleet of unlike simulators is what an exact simulation says."""

from math import sqrt

import exact
import numpy as np
import pytest
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from unusual import circuits as random_circuits
from unusual.judging import SHOTS, check_row

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.policies import round_robin

pytestmark = [
    pytest.mark.providers,
    pytest.mark.unusual,
    # Third parties warn about their own dependencies.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def fleet():
    """Four simulators that have little in common, none of which takes much in a job."""
    aer = pytest.importorskip("qiskit_aer").AerSimulator(max_parallel_threads=1)
    ddsim = pytest.importorskip("mqt.ddsim").DDSIMProvider().get_backend("qasm_simulator")
    fake = GenericBackendV2(5, control_flow=True, noise_info=False, seed=1)
    return Fleet(
        [
            Member(aer, name="aer", limits=Limits(max_circuits=5, max_shots=70)),
            Member(ddsim, name="ddsim", limits=Limits(max_circuits=3, max_shots=50)),
            Member(BasicSimulator(), name="basic", limits=Limits(max_circuits=4)),
            Member(fake, name="fake", limits=Limits(max_circuits=7, max_shots=60)),
        ]
    )


def seeds(request, option):
    first, number = request.config.getoption("--unusual-seed"), request.config.getoption(option)
    return [np.random.default_rng([first, index]) for index in range(number)]


def in_parts(things, size=50):
    return [things[start : start + size] for start in range(0, len(things), size)]


def test_sampled(request, fleet):
    """Every register of every row has the distribution that it must have, and all work together."""
    members = set()
    for part in in_parts(seeds(request, "--unusual-circuits")):
        pubs = []
        for rng in part:
            circuit = random_circuits.sampled(rng)
            pubs.append((circuit, random_circuits.values_for(circuit, rng)))
        sampler = RouterSampler(
            fleet, policy=round_robin(deadline_seconds=150), options={"seed_simulator": 7}
        )
        job = sampler.run(pubs, shots=SHOTS)
        for (circuit, rows), found in zip(pubs, job.result(), strict=True):
            for index, row in enumerate(rows):
                check_row(circuit.assign_parameters(row), found, index)
        members |= job.report().members.keys()
    assert members == {"aer", "ddsim", "basic", "fake"}


def test_estimated(request, fleet):
    """Expectation values are within five standard errors of the exact ones."""
    for part in in_parts(seeds(request, "--unusual-pubs")):
        pubs, labels = [], []
        for rng in part:
            circuit = random_circuits.estimated(rng)
            labels.append([random_circuits.label_for(circuit, rng) for _ in range(2)])
            observable = SparsePauliOp(labels[-1], [0.75, -0.5])
            pubs.append((circuit, observable, random_circuits.values_for(circuit, rng)))
        estimator = RouterEstimator(
            fleet, policy=round_robin(deadline_seconds=150), options={"seed_simulator": 7}
        )
        result = estimator.run(pubs, precision=1 / sqrt(SHOTS)).result()
        for (circuit, _, rows), (first, second), found in zip(pubs, labels, result, strict=True):
            for index, row in enumerate(rows):
                bound = circuit.assign_parameters(row)
                values = exact.expectation(bound, first), exact.expectation(bound, second)
                expected = 0.75 * values[0] - 0.5 * values[1]
                error = sum(
                    factor * sqrt(max(0.0, 1 - value**2) / SHOTS)
                    for factor, value in zip((0.75, 0.5), values, strict=True)
                )
                off = abs(float(found.data.evs[index]) - expected)
                assert off <= 5 * error + 1e-9, (
                    f"{found.data.evs[index]}, not {expected}\n{circuit}"
                )
