"""Facts about a provider's native sampler or estimator, beyond what every primitive does."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.backends.interface.adaptation import FAITHFUL, Adaptation
from qiskit_gateway.backends.interface.limits import Limits

ModeKind = Literal["job", "batch", "session"]


class _AllGates:
    """A set that has every gate."""

    def __contains__(self, name: object) -> bool:
        return True


ALL_GATES: Container[str] = _AllGates()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """A primitive's settings for one job.

    Attributes:
        seed: Seed for simulators, or ``None``.
        key: A name that no other job has.
        pubs: How many PUBs the job has.
        shots: Shots of each circuit; an estimator is asked for the precision that they give.
    """

    seed: int | None
    key: str
    pubs: int
    shots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionModes:
    """Batches and sessions of a provider, which hold jobs together. All calls may block.

    Attributes:
        begin: Open one on a backend: its kind, the backend, and how many seconds it may last, if
            that is said.
        enter: Return a primitive that sends its jobs in one.
        of: Return the one that a primitive is in, or ``None``.
        is_closed: Tell whether one takes no more jobs.
    """

    begin: Callable[[ModeKind, Any, int | None], Any]
    enter: Callable[[Any, Any], Any]
    of: Callable[[Any], Any]
    is_closed: Callable[[Any], bool]


def _keep_primitive(primitive: Any, _: JobTerms) -> Any:
    return primitive


Stds = NDArray[np.float64]


def _keep_told(_primitive: Any, _backend: Any, told: Stds, _precision: float) -> Stds:
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class NativePrimitive:
    """The facts about a native primitive. Each takes the primitive, and the backend under it.

    Attributes:
        backend: Find what circuits are compiled for where the primitive does not tell; ``None`` for
            anything.
        adaptation: What it gets wrong.
        limits: What a job may be, from what the backend tells.
        overlaps: Whether several of its jobs may run at once.
        binds: Gates whose angles it binds rightly by itself.
        for_job: Return a sampler for one job, which has its own seed and label. The one that is
            given is left as it is, for several jobs may be made at once.
        jobs: List the jobs of a backend that have a key; ``None`` where it cannot be asked.
        modes: How jobs are held together; ``None`` where they cannot be.
        over: Make a sampler over a backend that has no ``backend.run``; ``None`` for any other.
        stds: Return the standard errors of an estimator's values, from those that it told, where it
            told any, and the precision that it was asked for.
    """

    backend: Callable[[Any], Any] = lambda _: None
    adaptation: Callable[[Any, Any], Adaptation] = lambda *_: FAITHFUL
    limits: Callable[[Any, Any, Limits], Limits] = lambda _sampler, _backend, told: told
    overlaps: Callable[[Any, Any], bool] = lambda *_: False
    binds: Callable[[Any, Any], Container[str]] = lambda *_: ALL_GATES
    for_job: Callable[[Any, JobTerms], Any] = _keep_primitive
    jobs: Callable[[Any, str], Iterable[Any]] | None = None
    modes: ExecutionModes | None = None
    over: Callable[[Any], Any] = lambda _: None
    stds: Callable[[Any, Any, Stds, float], Stds] = _keep_told
