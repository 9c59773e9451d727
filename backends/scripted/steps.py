"""The steps of a script: faults of one job.

A step may act before each call that the provider would get, after the job was taken, on the
status, and on the result; those that spoil results are in :mod:`.tampering`. Steps are added up:
``Delays(2) + Short(0.5)``.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import KW_ONLY, dataclass, field
from threading import Event
from time import monotonic
from typing import Any, Literal, get_args

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.providers import JobError, JobStatus, JobV1

from qiskit_gateway.arguments import check_amount, make_plain

Moment = Literal["run", "status", "result", "cancel"]
"""A call of the provider: ``backend.run``, or one of ``job.status``, ``.result``, ``.cancel``."""


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One call of ``backend.run``, as the provider saw it.

    Attributes:
        number: Which call it was, from 0.
        sent: The circuits.
        options: The options.
        step: What the script had for it.
        rng: Randomness of its own.
        job: The job; ``None`` where it was not taken.
        cancel_requested: Whether ``job.cancel`` was called.
        cancelled: Whether the script cancelled it on request, as a provider does with a job
            that is still waiting. A job that nothing holds up is asked to cancel itself.
        released: Set once nothing may hold it up any more.
        taken_at: When the job was taken, by ``time.monotonic``.
    """

    number: int
    sent: tuple[QuantumCircuit, ...]
    options: dict[str, Any]
    step: "Step"
    rng: np.random.Generator
    job: JobV1 | None = None
    cancel_requested: bool = False
    cancelled: bool = False
    released: Event = field(default_factory=Event)
    taken_at: float = 0.0

    @property
    def circuits(self) -> int:
        """Number of circuits that were sent."""
        return len(self.sent)

    @property
    def shots(self) -> int | None:
        """Number of shots that were asked for, if the caller said."""
        return self.options.get("shots")

    @property
    def num_clbits(self) -> int:
        """The classical bits of the widest circuit."""
        return max((circuit.num_clbits for circuit in self.sent), default=0)


class Step:
    """The fate of one call of ``backend.run`` and its job; by itself, nothing goes wrong.

    Subclassing:
        Override what should differ. ``before`` may block or raise; the others must not block.
    """

    __slots__ = ()

    def __add__(self, other: "Step") -> "Step":
        """Return both together, the left one first."""
        return Together((self, other))

    def before(self, moment: Moment, call: Call) -> None:
        """Act before a call of the provider is answered."""

    def taken(self, call: Call) -> None:
        """Act after the provider took the job and before the caller hears of that."""

    def status(self, call: Call) -> JobStatus | None:
        """Return the status that the job shows, or ``None`` for its own."""

    def edit(self, result: Any, call: Call) -> Any:
        """Make what ``job.result()`` returns in place of a result, which is not modified."""
        return result


@dataclass(frozen=True, slots=True)
class Together(Step):
    """Let several steps happen to one job, in order."""

    steps: tuple[Step, ...]

    def before(self, moment: Moment, call: Call) -> None:
        """Let all act."""
        for step in self.steps:
            step.before(moment, call)

    def taken(self, call: Call) -> None:
        """Let all act."""
        for step in self.steps:
            step.taken(call)

    def status(self, call: Call) -> JobStatus | None:
        """Return the first status that any of them shows."""
        return next(filter(None, (step.status(call) for step in self.steps)), None)

    def edit(self, result: Any, call: Call) -> Any:
        """Let one edit what the one before it made."""
        for step in self.steps:
            result = step.edit(result, call)
        return result


@dataclass(frozen=True, slots=True)
class Runs(Step):
    """Do what the backend does."""


# Failing calls.


class ProviderHTTPError(Exception):
    """An error as SDKs over HTTP raise it: a status code and headers, and no facts of ours."""

    def __init__(self, status_code: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status_code} {text}")
        self.status_code = status_code
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Fails(Step):
    """Raise from a call, by default from ``backend.run`` and before anything was sent.

    Without an exception one is raised as providers' packages raise them, from which the adapter
    finds the facts given here, as far as real exceptions tell them.

    Attributes:
        exception: What to raise.
        transient: Whether to look like trying again may help; ``None`` to say nothing.
        throttled: Whether to look like HTTP 429.
        retry_after_seconds: What to put into a ``Retry-After`` header.
        submitted: ``None`` to look like a connection that broke, after which this is unknown.
        at: Which call raises.
    """

    exception: BaseException | None = None
    _: KW_ONLY
    transient: bool | None = True
    throttled: bool = False
    retry_after_seconds: float | None = None
    submitted: Literal[False] | None = False
    at: Moment = "run"

    def __post_init__(self) -> None:
        _check_moment(self.at)
        if self.exception is not None and not isinstance(self.exception, BaseException):
            raise TypeError(
                f"exception must be an exception, such as OSError(), got {self.exception!r}"
            )
        if self.retry_after_seconds is not None:
            check_amount("retry_after_seconds", self.retry_after_seconds)
        if self.submitted:
            raise ValueError("a job that was submitted and yet raised is AcceptsThenRaises()")
        make_plain(self)

    def before(self, moment: Moment, call: Call) -> None:
        """Raise, if this is the call."""
        if moment == self.at:
            raise self.exception or self._foreign()

    def _foreign(self) -> Exception:
        after = self.retry_after_seconds
        headers = {} if after is None else {"Retry-After": f"{after:g}"}
        if self.throttled:
            return ProviderHTTPError(429, "Too Many Requests", headers)
        if self.transient is None:
            return RuntimeError("device error 17")
        if not self.transient:
            return ProviderHTTPError(501, "this device was retired")
        if after is not None:
            code = 503 if self.submitted is None else 425
            return ProviderHTTPError(code, "down for maintenance", headers)
        if self.submitted is None:
            return ConnectionResetError(104, "Connection reset by peer")
        return ConnectionRefusedError(111, "Connection refused")


@dataclass(frozen=True, slots=True)
class AcceptsThenRaises(Step):
    """Take the job, and then lose the connection: the caller cannot know its fate."""

    def taken(self, call: Call) -> None:
        """Raise."""
        raise ConnectionResetError(104, "Connection reset by peer")


@dataclass(frozen=True, slots=True)
class Poison(Step):
    """Fail the whole job if any of its circuits is a bad one.

    Attributes:
        predicate: Whether a circuit is bad. It sees the circuit that was sent: compiled, bound,
            and with the name and the metadata of the user's.
        at: Which call raises: ``run``, which blames the caller, or ``result``, which says nothing.
    """

    predicate: Callable[[QuantumCircuit], bool]
    _: KW_ONLY
    at: Moment = "result"

    def __post_init__(self) -> None:
        _check_moment(self.at)
        if not callable(self.predicate):
            raise TypeError(f"predicate must be a function of a circuit, got {self.predicate!r}")

    def before(self, moment: Moment, call: Call) -> None:
        """Raise, if this is the call and a circuit is bad."""
        if moment == self.at and any(map(self.predicate, call.sent)):
            if moment == "run":
                raise ProviderHTTPError(400, "the program is not valid")
            raise JobError("the job failed: internal error 9999")


@dataclass(frozen=True, slots=True)
class Errors(Step):
    """Let the job end in status ERROR, and its result raise."""

    message: str = "the job failed: internal error 9999"

    def __post_init__(self) -> None:
        if not isinstance(self.message, str):
            raise TypeError(f"message must be a text, got {self.message!r}")

    def before(self, moment: Moment, call: Call) -> None:
        """Raise from ``result``."""
        if moment == "result":
            raise JobError(self.message)

    def status(self, call: Call) -> JobStatus:
        """Return ERROR."""
        return JobStatus.ERROR


@dataclass(frozen=True, slots=True)
class Cancels(Step):
    """Let the provider cancel the job by itself; its result raises as Aer's does."""

    def before(self, moment: Moment, call: Call) -> None:
        """Raise from ``result``."""
        if moment == "result":
            raise CancelledError

    def status(self, call: Call) -> JobStatus:
        """Return CANCELLED."""
        return JobStatus.CANCELLED


# Holding up calls.


@dataclass(frozen=True, slots=True)
class Hangs(Step):
    """Hold up a call until the backend or the job is released, or for some seconds.

    Held up at ``result``, the job looks RUNNING and can be cancelled, and the seconds count from
    when it was taken.

    Attributes:
        at: Which call.
        seconds: For how long; ``None`` is for ever.
    """

    at: Moment = "run"
    seconds: float | None = None

    def __post_init__(self) -> None:
        _check_moment(self.at)
        if self.seconds is not None:
            check_amount("seconds", self.seconds)
        make_plain(self)

    def before(self, moment: Moment, call: Call) -> None:
        """Wait, if this is the call."""
        if moment == self.at:
            call.released.wait(self._seconds_left(call))

    def status(self, call: Call) -> JobStatus | None:
        """Return RUNNING while the result is held up."""
        held = self.at == "result" and not call.released.is_set() and self._seconds_left(call) != 0
        return JobStatus.RUNNING if held else None

    def _seconds_left(self, call: Call) -> float | None:
        if self.seconds is None or self.at != "result":
            return self.seconds
        return max(0.0, call.taken_at + self.seconds - monotonic())


def Delays(seconds: float, at: Moment = "result") -> Hangs:  # noqa: N802  A step like the others.
    """Return a step that holds up a call for some seconds, by default the result of the job."""
    return Hangs(at, seconds)


def _check_moment(moment: str) -> None:
    if moment not in get_args(Moment):
        raise ValueError(f"no call {moment!r}; there are {', '.join(get_args(Moment))}")
