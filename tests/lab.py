"""Backends that configuration files of tests name, as users name those of their labs."""

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

from qiskit.circuit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator


class Counting(BasicSimulator):
    """A simulator that writes down each circuit that it is sent, in the file RUNS_SEEN."""

    def run(self, run_input, **options):
        """Write the circuits' names, and run them."""
        circuits = [run_input] if isinstance(run_input, QuantumCircuit) else run_input
        with Path(os.environ["RUNS_SEEN"]).open("a", encoding="utf-8") as seen:
            seen.writelines(f"{circuit.name}\n" for circuit in circuits)
        return super().run(run_input, **options)


class Busy(BasicSimulator):
    """A simulator with seven jobs in its queue."""

    def status(self):
        """Tell the queue."""
        return SimpleNamespace(operational=True, status_msg="active", pending_jobs=7)


class Resting(BasicSimulator):
    """A simulator that is not in operation."""

    def status(self):
        """Say so."""
        return SimpleNamespace(operational=False, status_msg="cooling down", pending_jobs=0)


class Away(BasicSimulator):
    """A simulator that nobody can ask, and whose error holds a secret."""

    def status(self):
        """Fail."""
        raise ConnectionError("no route to host, token=abc123secret456")


class Mirrored(BasicSimulator):
    """A simulator that gives the bits of odd outcomes wrongly."""

    def run(self, run_input, **options):
        """Run, and report the inverse of each outcome that ends in 1."""
        job = super().run(run_input, **options)
        for one in job.result().results:
            wrong = {}
            for name, count in one.data.counts.items():
                other = hex(int(name, 16) ^ 2) if int(name, 16) & 1 else name
                wrong[other] = wrong.get(other, 0) + count
            one.data.counts = wrong
            one.data.memory = None
        return job


class Picky(BasicSimulator):
    """A simulator that fails at circuits whose name begins with bad."""

    def run(self, run_input, **options):
        """Run, or fail."""
        circuits = [run_input] if isinstance(run_input, QuantumCircuit) else run_input
        if any(circuit.name.startswith("bad") for circuit in circuits):
            raise ValueError("this circuit is not to my taste")
        return super().run(run_input, **options)


class Hanging(Counting):
    """A simulator that says on stderr that it has a job, and never has its result.

    With an environment variable LET_GO it answers like any other.
    """

    def run(self, run_input, **options):
        """Run, and hold the result back."""
        job = super().run(run_input, **options)
        if "LET_GO" not in os.environ:
            sys.stderr.write("a job is here\n")
            sys.stderr.flush()
            job.result = threading.Event().wait
        return job
