"""Superstaq."""

from qiskit_gateway.backends.interface.provider_profile import ProviderProfile

PROFILE = ProviderProfile(name="superstaq", packages=("qiskit_superstaq",), jobs_overlap=True)
