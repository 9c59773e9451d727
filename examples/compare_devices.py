"""The same circuits on every member: how well does each device do?"""

import sys
import warnings

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Fleet, Member
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend

# Without Aer, GenericBackendV2 has no noise, and says so.
warnings.filterwarnings("ignore", message="Aer not found", category=RuntimeWarning)

SHOTS = 400


def mirrored(depth: int) -> QuantumCircuit:
    """A circuit of entangling layers and their inverse: it ends where it began, but for noise."""
    layers = QuantumCircuit(3)
    for _ in range(depth):
        layers.h(range(3))
        layers.cx(0, 1)
        layers.cx(1, 2)
    circuit = layers.compose(layers.inverse())
    circuit.measure_all()
    return circuit


down = ScriptedBackend(BasicSimulator(), then=Fails(transient=False))
fleet = Fleet(
    [
        Member(BasicSimulator(), name="ideal"),
        Member(GenericBackendV2(5, seed=2), name="device"),
        Member(down, name="in maintenance"),
    ]
)
depths = (1, 4, 8)
group = RouterSampler(fleet).run_on_each([mirrored(depth) for depth in depths], shots=SHOTS)
result = group.result()

for name, pubs in result.items():
    kept = [pub.data.meas.get_counts().get("000", 0) / SHOTS for pub in pubs]
    print(name, dict(zip(depths, np.round(kept, 3).tolist(), strict=True)))
for name, error in result.errors.items():
    print(f"{name}: {error}")
print(group.report())

if set(result) != {"ideal", "device"} or set(result.errors) != {"in maintenance"}:
    sys.exit("two results and one error were expected")
if any(pub.data.meas.get_counts() != {"000": SHOTS} for pub in result["ideal"]):
    sys.exit("the ideal simulator was expected to end where it began")
