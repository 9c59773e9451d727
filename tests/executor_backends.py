"""Backends that workers build by import path, and what tests have done in processes of their own."""

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import ones

from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import ExecutorMember
from qiskit_gateway.backends.executors.pool import make_process_pool

BUILT = []


class Held(BasicSimulator):
    """A simulator whose first job, of all processes, is held until somebody opens a gate.

    It tells the id of its process through a pipe, and waits at another one.
    """

    def __init__(self, folder):
        super().__init__()
        BUILT.append(os.getpid())
        self.folder = Path(folder)

    def run(self, run_input, **options):
        """Run as the simulator does, once it may."""
        if self.is_first():
            (self.folder / "began").write_text(str(os.getpid()))
            (self.folder / "gate").read_text()
        return super().run(run_input, **options)

    def is_first(self):
        """Claim to be the first, which one alone can do."""
        try:
            (self.folder / "claim").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def keep_results(folder, dask_worker):
    """Let a worker of Dask's keep its results, and tell through a pipe when one is asked for."""

    async def keep(*_, **__):
        (Path(folder) / "asked").write_text("")
        await asyncio.Event().wait()

    dask_worker.handlers["get_data"] = keep


class Gated(BasicSimulator):
    """A simulator whose results come once a gate is open.

    Attributes:
        gate: Of all of them in this process.
    """

    gate = threading.Event()

    def run(self, run_input, **options):
        """Run as the simulator does; the job tells its result later."""
        job = super().run(run_input, **options)
        asked = job.result
        job.result = lambda *args, **others: self.gate.wait(60.0) and asked(*args, **others)
        return job


class Counted(BasicSimulator):
    """A simulator that counts how often it is built in this process."""

    def __init__(self, label=""):
        super().__init__()
        BUILT.append(label)


class Spent(BasicSimulator):
    """A simulator whose runs raise what no pickle survives."""

    def run(self, run_input, **options):
        """Raise."""

        class LocalError(Exception):
            pass

        raise LocalError(f"{len(run_input)} circuits, {len(options)} options")


def not_a_backend():
    """Give something else."""
    return 3


def only_on_workers():
    """Be built where a variable says that this is a worker."""
    if os.environ.get("IS_WORKER") != "1":
        raise RuntimeError("there is no such device")
    return BasicSimulator()


def make_pool():
    """Make a pool of one process."""
    return make_process_pool(1)


def make_threads():
    """Make a pool of two threads."""
    return ThreadPoolExecutor(2)


def prepare(folder):
    """Make the pipes of :class:`Held`."""
    for name in ("began", "gate"):
        os.mkfifo(folder / name)


def kill_holder(folder):
    """Wait until the first job runs, and kill the process that runs it; return its id."""
    process = int((folder / "began").read_text())
    os.kill(process, signal.SIGKILL)
    return process


def sampler_over(folder, *, policy=None):
    """Make a router over two worker processes, with a journal."""
    member = ExecutorMember(
        partial(make_process_pool, 2), "executor_backends:Held", {"folder": str(folder)}
    )
    journal = Journal(folder / "journal.db")
    return RouterSampler(member, journal=journal, policy=policy, options={"seed_simulator": 5})


def main(folder):
    """Begin a run, and die in the middle of it."""
    job = sampler_over(folder).run(turned(), shots=200)
    print(job.job_id(), flush=True)  # noqa: T201
    (folder / "began").read_text()
    os.kill(os.getpid(), signal.SIGKILL)


def turned():
    """Make PUBs whose answers are random, of two widths."""
    pubs = []
    for width in (1, 2, 3):
        circuit = ones(width)
        circuit.data = [one for one in circuit.data if one.name != "x"]
        turned = circuit.copy_empty_like()
        for qubit in range(width):
            turned.h(qubit)
        pubs.append(turned.compose(circuit))
    return pubs


if __name__ == "__main__":
    main(Path(sys.argv[1]))
