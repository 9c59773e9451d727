"""Random faults over real backends and in real threads: what the chaos suite does without them."""

import random

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.backends.scripted import (
    AcceptsThenRaises,
    Cancels,
    CountsOnly,
    Delays,
    Drops,
    Errors,
    Fails,
    FailsExperiments,
    Hangs,
    Malforms,
    Runs,
    ScriptedBackend,
    Short,
)
from qiskit_gateway.policies import BreakerPolicy, RetryPolicy, fastest, round_robin
from qiskit_gateway.scheduling.members.state import FleetState

pytestmark = pytest.mark.providers

BITS, ROWS, SHOTS = 4, 16, 20
FAULTS = (
    Fails(),
    Fails(submitted=None),
    Fails(throttled=True),
    Fails(at="result"),
    AcceptsThenRaises(),
    Errors(),
    Cancels(),
    Hangs("run", 0.2),
    Delays(0.2),
    Short(0.5),
    Drops(0),
    FailsExperiments(1),
    CountsOnly(),
    *(Malforms(kind) for kind in ("no_data", "wide_hex", "negative", "nan", "none", "garbage")),
)


@pytest.mark.parametrize("seed", range(24))
def test_real_backends_with_random_faults_give_exact_results(seed, provider_members):
    """One backend is left in peace, so everything is done, and each row reads its own number."""
    rng = random.Random(seed)

    def script(number, circuits, options):
        return rng.choice(FAULTS) if rng.random() < 0.4 else Runs()

    names = rng.sample(["basic", "aer", "ddsim"], 3)
    backends = [
        ScriptedBackend(provider_members(name).backend, script if index else (), name=name)
        for index, name in enumerate(names)
    ]
    limits = Limits(max_circuits=3, max_shots=rng.choice([None, 15]))
    fleet = Fleet([Member(backend, limits=limits) for backend in backends])
    quick = RetryPolicy(wait_initial_seconds=0.01, budget_floor=10_000)
    policy = rng.choice([round_robin, fastest])(
        retry=quick,
        breaker=BreakerPolicy(max_ejected_share=0),
        spread=rng.choice(["rows", "shots", "pubs"]),
    )
    circuit = QuantumCircuit(BITS)
    for qubit, angle in enumerate(ParameterVector("a", BITS)):
        circuit.rx(angle, qubit)
    circuit.measure_all()
    bits = np.arange(ROWS)[:, None] >> np.arange(BITS) & 1

    job = RouterSampler(fleet, policy=policy).run([(circuit, bits * np.pi)], shots=SHOTS)
    try:
        values = job.result(60)[0].data.meas.array[..., 0]
    finally:
        job.cancel()
        for backend in backends:
            backend.release()

    assert values.shape == (ROWS, SHOTS)
    assert (values == np.arange(ROWS)[:, None]).all()
    assert not any(one.in_flight for one in fleet.keep(FleetState).members.values())
    assert all(one.outcome != "running" for one in job.report().attempts)
