"""Foreign exceptions, told as facts.

One table maps exception classes by name, so that no provider package is imported; HTTP status codes
and error codes come before it. A class that is not named takes the row of its nearest named base,
and one without any is unknown: neither transient nor final. Of those that say nothing the text is read. What is known of one provider's errors
is in its profile.

An exception is a foreign object like any other: each look at it may raise, and what cannot be read
counts as absent.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from inspect import iscoroutinefunction
from itertools import islice
from typing import Any, Literal, TypeVar

from qiskit_gateway.backends.failures.errors import BackendError, amend
from qiskit_gateway.backends.failures.redaction import redact
from qiskit_gateway.backends.failures.table import (
    LOST,
    THROTTLED,
    UNKNOWN,
    UNREACHABLE,
    Kind,
    kind_of_code,
    row_of,
)
from qiskit_gateway.backends.failures.wording import (
    asks_for_fewer,
    kind_of_status,
    kind_of_text,
)

__all__ = ["Phase", "redact", "text_of", "translate", "translated"]

Phase = Literal["submit", "collect", "cancel", "reattach"]

T = TypeVar("T")

_MAX_LINKS = 8
_MAX_MESSAGE = 600
_MAX_BODY = 300


class translated:  # noqa: N801  Read as a verb, as those of contextlib are.
    """Turn whatever a provider raises into a :class:`BackendError`.

    Args:
        phase: As for :func:`translate`.
        unsent: Whether it is certain that nothing was sent, whatever is raised.
    """

    # No generator: that takes thrice the time, and a small job enters seven of these.
    def __init__(self, phase: Phase, *, unsent: bool = False) -> None:
        self._phase: Phase = phase
        self._unsent = unsent

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or is_interrupt(error):
            return
        told = translate(error, phase=self._phase)
        if self._unsent and told.submitted is not False:
            told = amend(told, submitted=False)
        if told is not error:
            raise told from error


def is_interrupt(error: BaseException) -> bool:
    """Check whether an exception is meant to end the program.

    Interrupts reach the main thread alone. All else is the provider's, a CancelledError too, and a
    SystemExit in a worker: it must not end the event loop that waits for that.
    """
    ours = threading.current_thread() is threading.main_thread()
    return ours and issubclass(type(error), KeyboardInterrupt | SystemExit)


def cancels_itself(error: BaseException) -> bool:
    """Tell a cancellation that somebody's own async code raises from one that was asked for."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    with suppress(RuntimeError):  # On trio, which cancels by another class, there is no such task.
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return True


def translate(exc: BaseException, *, phase: Phase) -> BackendError:
    """Return the facts of a foreign exception; raise them ``from`` it.

    Args:
        exc: What a provider's package raised.
        phase: What was being done. Once a job exists, its fate is known to be submitted.

    Returns:
        The facts, with the class name and the text of the exception, without secrets. A
        :class:`BackendError` is returned as it is.
    """
    if issubclass(type(exc), BackendError):
        return exc  # type: ignore[return-value]
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
    told = next((number for number, kind in enumerate(kinds) if not kind.wraps), None)
    # What a wrapper says itself outweighs a cause of which only the class is known.
    if told is None or not (kinds[told].transient or _status(links[told])):
        for link in links[:told]:
            kind = kind_of_text(_read_text(link))
            if kind is not None:
                return kind, link
    if told is None:
        return kinds[0], links[0]
    # A retry that found no connection may follow a request whose answer was lost.
    lost = kinds[told] is UNREACHABLE and LOST in kinds[told:]
    return (LOST if lost else kinds[told]), links[told]


def _links(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    pending: list[object] = [exc]
    while pending:
        link = pending.pop(0)
        # Not isinstance(), which asks the object for its class.
        if not issubclass(type(link), BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link  # type: ignore[misc]
        context = None if _read(link, "__suppress_context__") else _read(link, "__context__")
        cause = _read(link, "__cause__")
        # IonQ keeps the cause aside as `_cause`, urllib3 as `reason`, requests as an argument.
        aside = (_read(link, "_cause"), _read(link, "reason"), _first_argument(link))
        pending += [context if cause is None else cause, *aside]


def _first_argument(exc: object) -> object:
    args = _read(exc, "args")
    return args[0] if type(args) is tuple and args else None


def _kind(exc: BaseException) -> Kind:
    known = kind_of_code(_code(exc))
    if known is not None:
        return known
    status = _status(exc)
    kind = (_row(type(exc)) or UNKNOWN) if status is None else kind_of_status(status)
    # Some servers call it a bad request. It is none: the same is taken once a job has ended.
    if kind.fault == "caller" and asks_for_fewer(f"{_read_text(exc)} {_body(exc)}"):
        return THROTTLED
    return kind


def _row(kind: type[BaseException]) -> Kind | None:
    # As type has them: a metaclass may give other answers, or none.
    for base in type.mro(kind):
        row = row_of(str(_of_class(base, "__module__")).partition(".")[0], _class_name(base))
        if row is not None:
            return row
    return None


def _status(exc: BaseException) -> int | None:
    response = _read(exc, "response")
    found = (
        _read(exc, "status_code"),
        _read(response, "status_code"),
        _read(response, "status"),
        _item(response, "ResponseMetadata", "HTTPStatusCode"),
        _read(exc, "status"),
        _read(exc, "code"),
        _read(exc, "http_status"),
    )
    codes = (_number(code) for code in found)
    return next((int(code) for code in codes if code is not None and 400 <= code < 600), None)


def _code(exc: BaseException) -> str:
    """Return the error code in an answer, as AWS writes it."""
    return _text(_item(_read(exc, "response"), "Error", "Code"))


def _retry_after(exc: BaseException) -> float | None:
    """Find how long the provider asked to be left alone, in seconds."""
    response = _read(exc, "response")
    headers = _lower(
        _read(exc, "headers"),
        _read(response, "headers"),
        _item(response, "ResponseMetadata", "HTTPHeaders"),
    )
    for value, unit in (
        (_read(exc, "retry_after"), 1.0),
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
    parsed = _quietly(lambda: parsedate_to_datetime(_text(text)), None)
    return parsed if parsed is None or parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _number(value: object) -> float | None:
    """Read a number that may be written as a text; ``None`` for what is none, or no plain one."""
    number = _quietly(lambda: float(value), None)  # type: ignore[arg-type]
    return number if number is not None and 0 <= number < float("inf") else None


def _lower(*headers: object) -> dict[str, object]:
    """Return the given mappings of headers as one, names in lower case."""
    return {_text(name).lower(): value for mapping in headers for name, value in _items(mapping)}


def _items(mapping: Any) -> list[tuple[object, object]]:
    return _quietly(lambda: [(name, value) for name, value in mapping.items()], [])


def _item(source: object, *names: str) -> Any:
    for name in names:
        source = _quietly(lambda name=name, of=source: of.get(name), None)  # type: ignore[misc]
    return source


def _message(exc: BaseException, link: BaseException) -> str:
    """Read the text of an exception, and that of the link that explains it."""
    texts = [text_of(exc)] if link is exc else [text_of(exc), text_of(link)]
    text = ", because of ".join(texts)
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def text_of(exc: BaseException) -> str:
    """Return the class of a foreign exception and what it says, without secrets.

    Where its server refused the request, what that answered is a part of it.
    """
    text, name = _read_text(exc), _class_name(type(exc))
    status = _status(exc)
    body = " ".join(_body(exc).split()) if status is not None and status < 500 else ""
    if body and body not in text:
        body = body if len(body) <= _MAX_BODY else body[: _MAX_BODY - 1] + "…"
        text = f"{text}, answered with {body}" if text else f"answered with {body}"
    return f"{name}: {redact(text)}" if text else name


def _read_text(exc: BaseException) -> str:
    """Read the text of an exception; ``""`` if it has none, or cannot be read."""
    # IonQ's str() shows headers and body of the answer, Qiskit's shows quotes.
    return _text(_read(exc, "message")) or _quietly(lambda: _text(str(exc)), "")


def _body(exc: BaseException) -> str:
    response = _read(exc, "response")
    # An error with a message of its own has made it from the body.
    sources = [response] if _text(_read(exc, "message")) else [response, exc]
    found = (
        _text_in(_read(source, name))
        for source in sources
        for name in ("text", "content", "body", "data")
    )
    text = next(filter(None, (_text_in(response), *found)), "")
    parse = _read(response, "json")
    # A coroutine would be left unawaited.
    if text or parse is None or iscoroutinefunction(parse):
        return text
    return _text_in(_quietly(parse, None))


def _text_in(value: object) -> str:
    """Return a text that may be bytes, or the data that it was made from."""
    if issubclass(type(value), bytes | bytearray):
        return _quietly(lambda: value.decode("utf-8", "replace"), "")  # type: ignore[attr-defined]
    if type(value) in {dict, list} and value and _item(value, "ResponseMetadata") is None:
        return _quietly(lambda: json.dumps(value, default=str), "")
    return _text(value)


# -- reading foreign objects -------------------------------------------------------------------


def _read(source: object, name: str) -> Any:
    return _quietly(lambda: getattr(source, name, None), None)


def _class_name(kind: type) -> str:
    return _text(_of_class(kind, "__name__"))


def _of_class(kind: type, name: str) -> Any:
    return _quietly(lambda: type.__getattribute__(kind, name), None)


def _text(value: object) -> str:
    return _quietly(lambda: str.__str__(value), "") if issubclass(type(value), str) else ""


def _quietly(look: Callable[[], T], otherwise: T) -> T:
    """Look at a foreign object; where that raises, something else is returned."""
    try:
        return look()
    except BaseException as error:
        # A SystemExit or a CancelledError of somebody's property must end nothing but the look. Only
        # a user who interrupts means more than that.
        if is_interrupt(error) and not issubclass(type(error), SystemExit):
            raise
        return otherwise
