"""Draw ``failover.png``, the picture of the README: ``python docs/failover.py``.

A run of 300 circuits by simulation, whose first member goes down after an hour. The same versions
of matplotlib and of this package draw the same file.
"""

import sys
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qiskit_gateway import Simulation, simulate
from qiskit_gateway.backends import Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import failover

HOUR = 3600


def run() -> Simulation:
    """Simulate the run."""
    angle = Parameter("angle")
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    circuit.measure_all()
    limits = Limits(max_circuits=25, max_in_flight=2)
    fleet = [
        SimulatedMember(
            "garnet",
            queue_seconds=300,
            circuit_seconds=30,
            pricing=Pricing(per_job=0.30, per_shot=0.00145),
            limits=limits,
            outages=[(HOUR, 2 * HOUR)],
        ),
        SimulatedMember(
            "forte",
            queue_seconds=600,
            circuit_seconds=45,
            pricing=Pricing(per_job=0.30, per_shot=0.004),
            limits=limits,
        ),
    ]
    pubs = [(circuit, np.linspace(0, np.pi, 300)[:, None])]
    return simulate(fleet, pubs, shots=100, policy=failover("garnet", "forte"), seed=1)


def main(path: Path) -> None:
    """Draw it into a file."""
    picture = run().draw()
    picture.savefig(
        path, dpi=110, metadata={"Software": None}, facecolor="white", bbox_inches="tight"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".png"))
