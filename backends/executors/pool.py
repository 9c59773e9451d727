"""An executor that can be made anew, and how many jobs it runs at once."""

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from typing import Any

from qiskit_gateway.backends.executors.work import Answer, WorkOrder
from qiskit_gateway.backends.executors.worker import run
from qiskit_gateway.backends.failures.errors import (
    BackendError,
    amend,
    caller_fault,
    network_fault,
)
from qiskit_gateway.backends.failures.workers import (
    is_worker_lost,
    takes_nothing,
    worker_failure,
)
from qiskit_gateway.backends.forks import ProcessLock, renew_in_children
from qiskit_gateway.backends.interface.limits import read_property

# What a job is asked of its future.
_ASKED = ("result", "exception", "done", "running", "cancelled", "cancel")


class Pool:
    """The executor of a member.

    Safe for threads.

    Args:
        given: An executor, a callable that makes one, or what has one (a Dask client).

    Raises:
        TypeError: If it is neither.
    """

    def __init__(self, given: Any) -> None:
        if isinstance(given, type) or not (_is_executor(given) or _has_executor(given)):
            if not callable(given):
                raise TypeError(
                    "executor must be a concurrent.futures.Executor, or a callable that makes one; "
                    f"got {given!r}"
                )
            self._make: Callable[[], Any] | None = given
        else:
            self._make = None
        self.given = given
        self._executor: Executor | None = None if self._make else _executor_of(given)
        self._lock = ProcessLock()
        renew_in_children(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles make an executor of their own."""
        return Pool, (self.given,)

    def renew_in_child(self) -> None:
        """Leave the executor of a forked child's parent to that, where another can be made."""
        if self._make is not None:
            self._executor = None

    def workers(self) -> int | None:
        """Count the jobs that run at once; ``None`` where the executor does not tell, or has none yet.

        Raises:
            BackendError: If the executor could not be made, or asked.
        """
        executor = self._current()
        client = _client_of(executor)
        if client is not None:
            try:
                return sum(client.nthreads().values()) or None
            except Exception as error:
                raise worker_failure(error, sent=False) from error
        named = ("_max_workers", "max_workers", "num_workers")
        found = (read_property(executor, name) for name in named)
        numbers = (one for one in found if isinstance(one, int) and not isinstance(one, bool))
        return next((one for one in numbers if one > 0), None)

    def submit(self, work: WorkOrder) -> "WorkerJob":
        """Hand a job to the executor.

        Raises:
            BackendError: If it was not taken; then nothing was sent.
        """
        try:
            future, executor = self._submit(work)
        except BackendError:
            if self._make is None:
                raise
            # One that we made may have broken, or have been shut down, since it was used last.
            future, executor = self._submit(work)
        _require_future(future, executor)
        return WorkerJob(future=future, executor=executor, pool=self)

    def discard(self, executor: Executor) -> None:
        """Let go of an executor that is broken, if another can be made."""
        with self._lock:
            if self._executor is not executor or self._make is None:
                return
            self._executor = None
        with suppress(Exception):  # It is broken.
            executor.shutdown(wait=False, cancel_futures=True)

    def _submit(self, work: WorkOrder) -> "tuple[Future[Answer] | _DaskFuture, Executor]":
        executor = self._current()
        client = _client_of(executor)
        try:
            if client is None:
                return executor.submit(run, work), executor
            return _submit_to_dask(client, executor, work), executor
        except Exception as error:
            self.discard(executor)
            raise _about_executor(error, remade=self._make is not None) from error

    def _current(self) -> Executor:
        with self._lock:
            if self._executor is None:
                assert self._make is not None  # noqa: S101  One that was given is kept.
                self._executor = _make_executor(self._make)
            return self._executor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerJob:
    """A job on a worker, with what is asked of a provider's job objects.

    Attributes:
        future: What the executor gave for it.
        executor: Which that was.
        pool: Where that comes from.
    """

    future: "Future[Answer] | _DaskFuture"
    executor: Executor
    pool: Pool

    def job_id(self) -> str:
        """Nobody can ask for it again: it has no name."""
        return ""

    def status(self) -> str:
        """Return the stage of the job, in Qiskit's words."""
        if self.future.cancelled():
            return "CANCELLED"
        if self.future.done():
            return "DONE" if self.future.exception() is None else "ERROR"
        return "RUNNING" if self.future.running() else "QUEUED"

    def cancel(self) -> bool:
        """Call it off while it waits. What a worker has begun it finishes."""
        return self.status() == "QUEUED" and self.future.cancel()

    def answer(self) -> Answer:
        """Wait for what the worker answers.

        Raises:
            BackendError: If there is no answer.
        """
        try:
            return self.future.result()
        except BaseException as error:
            if is_worker_lost(error) and not self.future.cancelled():
                self.pool.discard(self.executor)
            raise worker_failure(error, sent=True) from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DaskFuture:
    """A job of Dask's, as far as it is asked what a future of an executor is asked.

    The futures of Dask's own executor are not used: they wait for ever for a result that is lost on
    its way here, and do not tell what runs.

    Attributes:
        client: Which sent it.
        key: Its name there.
        future: What Dask gave for it.
    """

    client: Any
    key: str
    future: Any

    def cancelled(self) -> bool:
        return bool(self.future.cancelled())

    def done(self) -> bool:
        return bool(self.future.done())

    def exception(self) -> BaseException | None:
        found: BaseException | None = self.future.exception()
        return found

    def running(self) -> bool:
        # A scheduler is not asked for the stack of what has not reached it, which it would take for
        # an error.
        if not any(self.key in given for given in self.client.processing().values()):
            return False
        stacks = self.client.call_stack(keys=[self.key])
        return any(self.key in running for running in stacks.values())

    def cancel(self) -> bool:
        self.future.cancel()
        return True

    def result(self) -> Answer:
        answer: Answer = self.future.result()
        return answer


def _submit_to_dask(client: Any, executor: Executor, work: WorkOrder) -> _DaskFuture:
    if read_property(executor, "_shutdown"):
        raise RuntimeError("cannot schedule new futures after shutdown")
    # Such as the workers that it may use, for which the user made it.
    options = read_property(executor, "_kwargs") or {}
    # Dask names jobs by what they are; a name of ours is what it can be asked about.
    key = f"qiskit-gateway-{work.token}"
    future = client.submit(run, work, key=key, **options)
    # To shut the executor down waits for the job, or cancels it, as for any other of its own.
    known = read_property(executor, "_futures")
    if known is not None:
        known.add(future)
    return _DaskFuture(client=client, key=key, future=future)


def _require_future(future: object, executor: Executor) -> None:
    if all(callable(getattr(future, name, None)) for name in _ASKED):
        return
    # No other job would fare better, and there is nothing that a worker could be billed by.
    raise BackendError(
        f"submit() of {type(executor).__name__} returned {future!r}, which is no future: it has to have "
        f"{', '.join(_ASKED)}, like those of concurrent.futures",
        transient=False,
        fault="backend",
        submitted=False,
        takes_nothing=True,
    )


def _make_executor(make: Callable[[], Any]) -> Executor:
    try:
        made = make()
    except BackendError:
        raise
    except Exception as error:
        failure = worker_failure(error, sent=False)
        raise _reworded(
            failure, f"the callable for executors, {_name(make)}, raised {failure}"
        ) from error
    if not (_is_executor(made) or _has_executor(made)):
        raise caller_fault(
            f"the callable for executors returned {made!r}, which is no concurrent.futures.Executor"
        )
    return _executor_of(made)


def _name(made_by: Callable[[], Any]) -> str:
    return str(read_property(made_by, "__qualname__") or type(made_by).__name__)


def _is_executor(given: object) -> bool:
    return isinstance(given, Executor)


def _has_executor(given: object) -> bool:
    """Check whether an object hands out its executor, as a client of Dask does."""
    return callable(getattr(given, "get_executor", None))


def _executor_of(given: Any) -> Executor:
    executor: Executor = given if _is_executor(given) else given.get_executor()
    return executor


def _client_of(executor: Executor) -> Any:
    """Return the client behind an executor of Dask's; ``None`` for all others."""
    ours = any(kind.__module__.startswith("distributed.") for kind in type(executor).__mro__)
    return read_property(executor, "_client") if ours else None


def _about_executor(error: Exception, *, remade: bool) -> BackendError:
    failure = worker_failure(error, sent=False)
    if takes_nothing(error):
        failure = amend(failure, transient=False, takes_nothing=True)
    if remade:
        return failure
    return _reworded(
        failure,
        f"{failure}; give a callable that makes the executor, so that another can take its place",
    )


def _reworded(failure: BackendError, message: str) -> BackendError:
    return amend(failure, submitted=False, message=message, args=(message,))


# -- executors that a configuration file names -----------------------------------------------------


def connect_dask(address: str, timeout_seconds: float = 30.0) -> Any:
    """Connect to the scheduler of a Dask cluster, and return its client.

    Args:
        address: Such as ``"tcp://head:8786"``.
        timeout_seconds: How long to wait for it.

    Raises:
        BackendError: If Dask is not installed, or the scheduler does not answer.
    """
    try:
        distributed = import_module("distributed")  # It takes a second.
    except ImportError as error:
        raise caller_fault(
            "a Dask cluster needs the package distributed: pip install 'qiskit-gateway[dask]'"
        ) from error
    # Made in two steps, to have one that cannot connect closed: a client that is left to the end of
    # the process waits there for a minute, for a loop that has ended.
    client = distributed.Client.__new__(distributed.Client)
    try:
        client.__init__(address, timeout=timeout_seconds, set_as_default=False)
    except Exception as error:
        with suppress(Exception):  # It was never open.
            client.close()
        failure = worker_failure(error, sent=False)
        raise network_fault(
            f"the Dask scheduler at {address} does not answer ({failure}); is it running, and is "
            "its port open to this machine?"
        ) from error
    return client


def make_process_pool(workers: int | None = None) -> Executor:
    """Make a pool of processes that share nothing with this one.

    Spawned and not forked: the threads of a simulator that has run here do not survive a fork.

    Args:
        workers: How many; by default one for each processor.
    """
    return ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn"))
