"""The version of what is installed; ``pyproject.toml`` alone holds it."""

from importlib.metadata import version

__version__ = version("qiskit-gateway")
