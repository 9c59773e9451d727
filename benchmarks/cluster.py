"""The same as ``executors``, on Dask: what a hop by its scheduler costs, and when two workers pay.

A scheduler and one or two worker processes of one thread each, on this machine.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from distributed import Client, LocalCluster

from benchmarks.executors import compare_workers, member_here, member_on
from benchmarks.measure import Row


def rows(*, quick: bool) -> Iterator[Row]:
    """Time jobs of several lengths here, on one worker and on two."""
    with ExitStack() as held:
        clients = [held.enter_context(_client(workers, held)) for workers in (1, 2)]
        made = [member_here(), *map(member_on, clients)]
        yield from compare_workers(made, (4,) if quick else (4, 14, 16, 18), 1 if quick else 3)


def _client(workers: int, held: ExitStack) -> Client:
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=40,
    )
    held.enter_context(cluster)
    return Client(cluster, set_as_default=False)
