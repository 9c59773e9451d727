"""Ask what a run would cost and when it would be done, before anything is sent."""

import sys
import warnings

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.policies import Budget, cheapest, most_faithful

# Without Aer, GenericBackendV2 has no noise, and says so.
warnings.filterwarnings("ignore", message="Aer not found", category=RuntimeWarning)

LINE = [[0, 1], [1, 2], [2, 3], [3, 4]]

fleet = Fleet(
    [
        Member(
            GenericBackendV2(5, coupling_map=LINE, seed=1),
            name="by_gate",
            pricing=Pricing(per_1q_gate_shot=2.2e-6, per_2q_gate_shot=9.75e-6),
            limits=Limits(max_circuits=4),
            queue=lambda: 1800.0,
        ),
        Member(
            GenericBackendV2(5, seed=2),
            name="by_shot",
            pricing=Pricing(per_job=0.30, per_shot=0.00145),
            queue=lambda: 240.0,
        ),
        Member(BasicSimulator(), name="two_qubits", limits=Limits(num_qubits=2)),
    ]
)

angle = Parameter("angle")
ghz = QuantumCircuit(4)
ghz.ry(angle, 0)
for qubit in range(3):
    ghz.cx(0, qubit + 1)
ghz.measure_all()
pubs = [(ghz, np.linspace(0, np.pi, 8)[:, None])]

sampler = RouterSampler(fleet, policy=cheapest(budget=Budget(usd=20)))
quote = sampler.quote(pubs, shots=1000)
print("cheapest, with 20 USD to spend:\n", quote, sep="\n")
best = RouterSampler(fleet, policy=most_faithful()).quote(pubs, shots=1000)
print("\nmost faithful:\n", best, sep="\n")

job = sampler.run(pubs, shots=1000)
job.result()
print("\nwhat the cheapest run then did:\n", job.report(), sep="\n")
if abs(job.report().price_usd - quote.price_usd) > 1e-9:
    sys.exit("the run did not cost what was quoted")
