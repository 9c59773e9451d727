"""What comes back from a fleet of unlike simulators is what an exact simulation says."""

from math import sqrt

import exact
import numpy as np
import pytest
from qiskit.primitives.containers import BitArray
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from scipy.stats import chi2
from unusual import circuits as random_circuits

from qiskit_gateway import RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.policies import round_robin

pytestmark = [
    pytest.mark.providers,
    pytest.mark.unusual,
    # Third parties warn about their own dependencies.
    pytest.mark.filterwarnings("ignore"),
]

SHOTS = 120
# A correct fleet fails for one circuit in a hundred million.
UNBELIEVABLE = 1e-8


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


def check_row(circuit, found, index):
    """Compare what all registers of a row hold, shot by shot, with the exact distribution."""
    expected = {}
    for bits, weight in exact.distribution(circuit).items():
        held = random_circuits.registers_of(circuit, bits)
        expected[held] = expected.get(held, 0.0) + weight
    held = zip(*(values_of(found.data[r.name], index) for r in circuit.cregs), strict=True)
    seen = {}
    for shot in held:
        seen[shot] = seen.get(shot, 0) + 1
    assert sum(seen.values()) == SHOTS
    impossible = [shot for shot in seen if expected.get(shot, 0.0) < exact.NEVER * 10]
    assert not impossible, f"{impossible} cannot be\n{expected}\n{circuit}"
    assert is_believable(seen, expected), f"{seen} is not\n{expected}\n{circuit}"


def values_of(bits: BitArray, index):
    """Return what a register holds in each shot of a row."""
    if bits.num_bits == 0:
        return [0] * bits.num_shots
    return [int(text, 2) for text in bits.get_bitstrings(index)]


def is_believable(seen, expected):
    """Tell whether numbers of shots may come from a distribution, by the likelihood ratio."""
    ratio = 2 * sum(n * np.log(n / (SHOTS * expected[shot])) for shot, n in seen.items())
    return chi2.sf(ratio, max(1, 2 * len(expected))) > UNBELIEVABLE


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
