"""Foreign exceptions, told as facts.

One table maps exception classes by name, so that no provider package is imported; HTTP status codes
and error codes come before it. A class that is not named takes the row of its nearest named base,
and one without any is unknown: neither transient nor final. What is known of one provider's errors
is in its profile.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Literal

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.failures.table import (
    CALLER,
    LOST,
    STATUS,
    UNAVAILABLE,
    UNKNOWN,
    UNREACHABLE,
    Kind,
    kind_of_code,
    row_of,
)

__all__ = ["Phase", "redact", "text_of", "translate", "translated"]

Phase = Literal["submit", "collect", "cancel", "reattach"]

_MAX_LINKS = 8
_MAX_MESSAGE = 600


@contextmanager
def translated(phase: Phase) -> Iterator[None]:
    """Turn whatever a provider raises into a :class:`BackendError`."""
    try:
        yield
    except BackendError:
        raise
    except BaseException as error:
        # Interrupts reach the main thread alone. All else is the provider's, a CancelledError too,
        # and a SystemExit in a worker: it must not end the event loop that waits for that.
        ours = threading.current_thread() is threading.main_thread()
        if ours and isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise translate(error, phase=phase) from error


def translate(exc: BaseException, *, phase: Phase) -> BackendError:
    """Return the facts of a foreign exception; raise them ``from`` it.

    Args:
        exc: What a provider's package raised.
        phase: What was being done. Once a job exists, its fate is known to be submitted.

    Returns:
        The facts, with the class name and the text of the exception, without secrets. A
        :class:`BackendError` is returned as it is.
    """
    if isinstance(exc, BackendError):
        return exc
    links = tuple(islice(_links(exc), _MAX_LINKS))
    kind, link = _verdict(links)
    # A request about a job that may be made again says nothing of the job: the way to it is blocked.
    asking = phase != "submit" and bool(kind.transient)
    return BackendError(
        _message(exc, link),
        transient=kind.transient,
        throttled=kind.throttled,
        retry_after_seconds=next(filter(None, map(_retry_after, links)), None),
        fault="network" if asking else kind.fault,
        submitted=kind.submitted if phase == "submit" else True,
        authentication=kind.authentication,
    )


def _verdict(links: tuple[BaseException, ...]) -> tuple[Kind, BaseException]:
    """Return the first link that says what happened, and what it says."""
    kinds = [_kind(link) for link in links]
    for number, kind in enumerate(kinds):
        if not kind.wraps:
            # A retry that found no connection may follow a request whose answer was lost.
            lost = kind is UNREACHABLE and LOST in kinds[number:]
            return (LOST if lost else kind), links[number]
    return kinds[0], links[0]


def _links(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what led to it, the outermost first."""
    seen: set[int] = set()
    pending: list[object] = [exc]
    while pending:
        link = pending.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        context = None if link.__suppress_context__ else link.__context__
        # IonQ keeps the cause aside as `_cause`, urllib3 as `reason`, requests as an argument.
        aside = (getattr(link, "_cause", None), getattr(link, "reason", None), *link.args[:1])
        pending += [link.__cause__ or context, *aside]


def _kind(exc: BaseException) -> Kind:
    known = kind_of_code(_code(exc))
    if known is not None:
        return known
    status = _status(exc)
    if status is not None:
        return _kind_of_status(status)
    return _row(type(exc)) or UNKNOWN


def _row(kind: type[BaseException]) -> Kind | None:
    """Return the row of the nearest class that the table names."""
    for base in kind.__mro__:
        row = row_of(base.__module__.partition(".")[0], base.__name__)
        if row is not None:
            return row
    return None


def _kind_of_status(status: int) -> Kind:
    if status in STATUS:
        return STATUS[status]
    return UNAVAILABLE if status >= 500 else CALLER


def _status(exc: BaseException) -> int | None:
    """Return the HTTP status that an exception carries."""
    response = getattr(exc, "response", None)
    found = (
        getattr(exc, "status_code", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
        _item(response, "ResponseMetadata", "HTTPStatusCode"),
        getattr(exc, "status", None),
        getattr(exc, "code", None),
    )
    return next((int(code) for code in found if isinstance(code, int) and 400 <= code < 600), None)


def _code(exc: BaseException) -> str:
    """Return the error code in an answer, as AWS writes it."""
    code = _item(getattr(exc, "response", None), "Error", "Code")
    return code if isinstance(code, str) else ""


def _retry_after(exc: BaseException) -> float | None:
    """Return how long the provider asked to be left alone, in seconds."""
    response = getattr(exc, "response", None)
    headers = _lowered(
        getattr(exc, "headers", None),
        getattr(response, "headers", None),
        _item(response, "ResponseMetadata", "HTTPHeaders"),
    )
    for value, unit in (
        (getattr(exc, "retry_after", None), 1.0),
        (headers.get("retry-after-ms"), 1e-3),
        (headers.get("x-ms-retry-after-ms"), 1e-3),
        (headers.get("retry-after"), 1.0),
    ):
        seconds = _number(value)
        if seconds is not None:
            return seconds * unit
    return _seconds_until(headers.get("retry-after"), headers.get("date"))


def _seconds_until(moment: object, asked: object) -> float | None:
    """Return the seconds to an HTTP date from the server's own date, or from now."""
    then = _http_date(moment)
    if then is None:
        return None
    return max(0.0, (then - (_http_date(asked) or datetime.now(UTC))).total_seconds())


def _http_date(text: object) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(str(text))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None


def _lowered(*headers: object) -> dict[str, object]:
    """Return the given mappings of headers as one, names in lower case."""
    return {
        str(name).lower(): value
        for mapping in headers
        if isinstance(mapping, Mapping)
        for name, value in mapping.items()
    }


def _item(source: object, *names: str) -> Any:
    for name in names:
        source = source.get(name) if isinstance(source, Mapping) else None
    return source


def _message(exc: BaseException, link: BaseException) -> str:
    """Return what an exception says, and what the link says that explains it."""
    texts = [text_of(exc)] if link is exc else [text_of(exc), text_of(link)]
    text = ", because of ".join(texts)
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def text_of(exc: BaseException) -> str:
    """Return the class of a foreign exception and what it says, without secrets."""
    # IonQ's str() shows headers and body of the answer, Qiskit's shows quotes.
    try:
        said = getattr(exc, "message", None)
        text = said if isinstance(said, str) else str(exc)
    except Exception:  # noqa: BLE001 - a text that cannot be made says nothing
        text = ""
    name = type(exc).__name__
    return f"{name}: {redact(text)}" if text else name
