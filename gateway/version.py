"""The version of what is installed; it stands in ``pyproject.toml`` alone."""

from importlib.metadata import version

__version__ = version("qiskit-gateway")
