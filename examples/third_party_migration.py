"""The example of Qiskit's guide "Migrate to primitives for users of third-party providers with
backend.run", with only the class changed.

https://quantum.cloud.ibm.com/docs/migration-guides/qiskit-backend-primitives
"""

import sys

from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.providers.basic_provider import BasicProvider

from qiskit_gateway import RouterSampler  # was: from qiskit.primitives import BackendSamplerV2

# The guide's provider is fictional; any backend with backend.run does.
backend = BasicProvider().get_backend("basic_simulator")
sampler = RouterSampler(backend, options={"default_shots": 1000})  # was: BackendSamplerV2(...)

# From here on nothing differs.
circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()

pass_manager = generate_preset_pass_manager(backend=backend, optimization_level=1)
isa_circuit = pass_manager.run(circuit)

result = sampler.run([isa_circuit]).result()
counts = result[0].data.meas.get_counts()
print("counts:  ", dict(sorted(counts.items())))
print("metadata:", result.metadata, {"shots": result[0].metadata["shots"]})

if set(counts) != {"00", "11"} or sum(counts.values()) != 1000:
    sys.exit("a Bell pair of 1000 shots was expected")
