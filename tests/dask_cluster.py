"""A cluster of Dask's on this machine: a scheduler and workers, each a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


@contextlib.contextmanager
def start_cluster(folder, workers=2):
    """Start one, and yield the address of the scheduler and the processes of the workers.

    They log into the folder, and find the modules of the tests.
    """
    import distributed

    file = folder / "scheduler.json"
    environ = {
        **os.environ,
        "PYTHONPATH": str(TESTS),
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "30s",
    }
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        with (folder / f"{len(started)}.log").open("w") as log:
            started.append(
                subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log)  # noqa: S603
            )

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        for _ in range(workers):
            start(
                *("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny"),
                *("--host", "127.0.0.1"),
            )
        with distributed.Client(
            scheduler_file=str(file), timeout=120, set_as_default=False
        ) as client:
            client.wait_for_workers(workers, timeout=120)
        yield json.loads(file.read_text())["address"], started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()
