"""A page in the browser that shows the runs of a journal, live; see :func:`serve`."""

from qiskit_gateway.dashboard.server import application, serve

__all__ = ["application", "serve"]
