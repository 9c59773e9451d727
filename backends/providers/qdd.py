"""QDD, a local simulator of decision diagrams."""

from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

# A backend keeps the qubits of the circuit that runs, so its jobs do not overlap. Memory is binary,
# seeds are taken and not honoured, and all that fails is a result that says so.
PROFILE = ProviderProfile(name="qdd", packages=("qdd",), is_local=lambda _: True)
