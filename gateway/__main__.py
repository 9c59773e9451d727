"""The command line, ``python -m qiskit_gateway``, which is also installed as ``qiskit-gateway``."""

from qiskit_gateway.command_line.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
