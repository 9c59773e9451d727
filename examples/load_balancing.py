"""Share work over backends of unlike speed, so that all of them end at about the same time."""

import sys
import time

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member
from qiskit_gateway.policies import fastest


class Paced(BasicSimulator):
    """A simulator that takes a while over each circuit, as a device does."""

    def __init__(self, seconds_per_circuit: float) -> None:
        super().__init__()
        self._seconds_per_circuit = seconds_per_circuit

    def run(self, run_input, **options):
        circuits = run_input if isinstance(run_input, list) else [run_input]
        time.sleep(self._seconds_per_circuit * len(circuits))
        return super().run(run_input, **options)


PACES = {"quick": 0.005, "steady": 0.01, "slow": 0.02}
ROWS = 400

fleet = Fleet(
    Member(Paced(seconds), name=name, limits=Limits(max_circuits=50))
    for name, seconds in PACES.items()
)
sampler = RouterSampler(fleet, policy=fastest(), options={"default_shots": 200})

angle = Parameter("angle")
circuit = QuantumCircuit(1)
circuit.ry(angle, 0)
circuit.measure_all()
angles = np.linspace(0, np.pi, ROWS)

job = sampler.run([(circuit, angles[:, None])])
result = job.result()
report = job.report()
print(report)

alone = ROWS * PACES["quick"]
together = ROWS / sum(1 / pace for pace in PACES.values())
print(f"\nquick alone would need {alone:.2f} s, all three at best {together:.2f} s")
print(f"it took {report.seconds:.2f} s")

ones = result[0].data.meas.bitcount().mean(axis=-1)
worst = float(np.abs(ones - np.sin(angles / 2) ** 2).max())
print(f"largest deviation from sin^2(angle/2): {worst:.3f}")
if worst > 0.25:
    sys.exit("the merged result is wrong")
if set(report.members) != set(PACES):
    sys.exit("a member was left out")
