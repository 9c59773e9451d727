"""Failures of a backend, told as facts.

A policy reads these facts and never the class or the message of a foreign exception. Two classes,
because they mean different things: :class:`BackendError` says that something went wrong,
:class:`Refused` that nothing did and the work simply cannot run there.
"""

import copyreg
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, Literal, TypeVar

from qiskit.exceptions import QiskitError

from qiskit_gateway.backends.failures.redaction import redact

Fault = Literal["caller", "backend", "network"]
T = TypeVar("T")
Made = TypeVar("Made")


class BackendError(QiskitError):
    """One failure of one backend, told as facts.

    Args:
        message: What was wrong, what was seen, and what to do. Secrets in it are left out.
        transient: Whether trying again on the same backend may help; ``None`` where that cannot
            be known.
        throttled: Whether the backend asked for fewer requests.
        retry_after_seconds: How long the backend asked to be left alone, in seconds.
        fault: Who has to change something: the caller, the backend, or the network between.
        submitted: Whether the provider took the job: ``True`` and ``False`` are known, ``None``
            is not, and a job of unknown fate must not be sent again blindly.
        authentication: Whether the provider refused our credentials.
        bad_result: Whether the provider delivered a result that cannot be true.
        alone: Whether nothing but that there were several circuits in the job was wrong, so that
            each is to be sent alone.
        unfinished: Whether only a wait has ended, for a job that its provider says is queued or
            running: it is waited for on.
        unreadable: Whether that result is of a kind which nobody can read, so that the next one will not
            be read either.
        takes_nothing: Whether the backend takes no work any more, whatever that is.
        unbilled: Whether nothing is charged for the job although it was taken.
    """

    # What holds of a subclass whose constructor does not call this one.
    message: str = ""
    transient: bool | None = None
    throttled: bool = False
    retry_after_seconds: float | None = None
    fault: Fault = "backend"
    submitted: bool | None = False
    authentication: bool = False
    bad_result: bool = False
    alone: bool = False
    unfinished: bool = False
    unreadable: bool = False
    takes_nothing: bool = False
    unbilled: bool = False

    def __init__(  # noqa: PLR0913  Each is one fact.
        self,
        message: str,
        *,
        transient: bool | None = None,
        throttled: bool = False,
        retry_after_seconds: float | None = None,
        fault: Fault = "backend",
        submitted: bool | None = False,
        authentication: bool = False,
        bad_result: bool = False,
        alone: bool = False,
        unfinished: bool = False,
        unreadable: bool = False,
        takes_nothing: bool = False,
        unbilled: bool = False,
    ) -> None:
        super().__init__(redact(message))  # type: ignore[no-untyped-call]
        self.transient = transient
        self.throttled = throttled
        self.retry_after_seconds = retry_after_seconds
        self.fault = fault
        self.submitted = submitted
        self.authentication = authentication
        self.bad_result = bad_result
        self.alone = alone
        self.unfinished = unfinished
        self.unreadable = unreadable
        self.takes_nothing = takes_nothing
        self.unbilled = unbilled

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the constructor, which a subclass may have changed; and once Dask is
        # imported, the copies that Python makes of an exception share its attributes.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        # QiskitError shows the repr of the message, with quotes.
        return str(self.message)


class Refused(BackendError):  # noqa: N818  A verdict is no error.
    """Programs cannot run on this member: a verdict, not a failure.

    Args:
        reasons: Why, by position of the entry in the batch. Entries not named here could run.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(
            "; ".join(dict.fromkeys(reasons.values())), transient=False, fault="caller"
        )
        self.reasons = {place: redact(reason) for place, reason in reasons.items()}


def make_each(entries: Iterable[T], make: Callable[[T], Made]) -> list[Made]:
    """Make something of each entry of a batch, in order.

    Raises:
        Refused: If some are refused, each with its reason; ``make`` gives it under entry 0.
    """
    made: list[Made] = []
    reasons: dict[int, str] = {}
    for place, entry in enumerate(entries):
        try:
            made.append(make(entry))
        except Refused as refused:
            reasons[place] = refused.reasons[0]
    if reasons:
        raise Refused(reasons)
    return made


def bad_result(message: str, *, unreadable: bool = False) -> BackendError:
    """Make the failure of a job whose result cannot be believed."""
    return BackendError(message, submitted=True, bad_result=True, unreadable=unreadable)


def caller_fault(message: str) -> BackendError:
    """Make the failure of what was not sent, and never will be as it is."""
    return BackendError(message, transient=False, fault="caller", submitted=False)


def network_fault(message: str) -> BackendError:
    """Make the failure of what was not sent, because nobody answered."""
    return BackendError(message, transient=True, fault="network", submitted=False)


def unknown_job(message: str) -> BackendError:
    """Make the failure of a search for a job, of which it is not known whether there is one."""
    return BackendError(message, transient=False, submitted=None)


def amend(error: BackendError, **facts: object) -> BackendError:
    """Copy a failure, with other facts.

    The code that raised it may raise the same object again, so it is never changed itself.

    Args:
        error: The failure.
        facts: What else holds, by name of the attribute.
    """
    other = copy(error)
    for name, value in facts.items():
        setattr(other, name, value)
    return other
