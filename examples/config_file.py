"""Members, prices and policy from one file: load each example, run those that are real."""

import sys
import warnings
from pathlib import Path

from qiskit import QuantumCircuit

from qiskit_gateway import load_config

# Without Aer, GenericBackendV2 has no noise, and says so.
warnings.filterwarnings("ignore", message="Aer not found", category=RuntimeWarning)


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for qubit in range(1, qubits):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    return circuit


folder = Path(__file__).parent / "config"
for path in sorted(folder.glob("*.toml")):
    if path.name == "lab.toml":
        continue  # It needs the packages of three providers.
    config = load_config(path)
    print(f"{path.name}: {', '.join(config.fleet.names)}")
    if path.name == "cheapest_within_deadline.toml":
        continue  # Its members are simulated: they take hours, and give zeros.
    # The last is wider than any simulator of simulators_first.toml.
    pubs = [(ghz(2), None, 200), (ghz(3), None, 200)]
    if path.name == "simulators_first.toml":
        pubs.append((ghz(6), None, 50))
    job = config.sampler(seed_simulator=7).run(pubs)
    job.result()
    for attempt in job.report().attempts:
        print(f"  {attempt.member}: {attempt.circuits} circuits, {attempt.price_usd:.2f} USD")
    served = {attempt.member for attempt in job.report().attempts}
    if path.name == "failover.toml" and served != {"first choice"}:
        sys.exit(f"the first choice alone was expected, got {served}")
    if path.name == "simulators_first.toml" and "hardware" not in served:
        sys.exit("the widest circuit was expected on the hardware")
