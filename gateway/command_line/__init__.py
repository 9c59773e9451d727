"""The command line, ``qiskit-gateway``."""
