"""The meaning of failure texts, where no class, status or code tells it.

Many packages wrap whatever happens in one class, and some servers answer a full queue with the status
of a bad request. Only wordings that mean one thing are read; a text without any says nothing.
"""

import re
from dataclasses import replace
from http import HTTPStatus

from qiskit_gateway.backends.failures.table import (
    CALLER,
    CREDENTIALS,
    STATUS,
    THROTTLED,
    UNAVAILABLE,
    Kind,
)

# Texts may be whole pages of HTML; their subject is at the beginning.
_MAX_READ = 4000

_WORK = (
    r"(?:jobs?|tasks?|requests?|submissions?|executions?|workloads?|experiments?|programs?|runs)"
)
_AT_ONCE = (
    r"(?:concurrent(?:ly)?|simultaneous(?:ly)?|(?:in )?parallel|pending|queued|waiting|active|open|"
    r"running(?! time)|outstanding|unfinished|in[- ]?flight|in progress|in (?:the|your) queue|"
    r"at (?:a|the same) time|at once)"
)
_GAP = r"(?:[\s_-]+[\w()'-]+){0,%d}[\s_-]+"
# "concurrent jobs", "jobs that are running"; and somewhere that there are as many as there may be.
_JOBS_AT_ONCE = re.compile(
    rf"\b{_AT_ONCE}{_GAP % 2}{_WORK}\b|\b{_WORK}{_GAP % 4}{_AT_ONCE}\b", re.IGNORECASE
)
_LIMIT = re.compile(
    r"\b(?:limit(?:ed|s)?|max(?:imum)?|too many|exceed(?:s|ed|ing)?|quota|at most|no more than|"
    r"only \d+|already)\b",
    re.IGNORECASE,
)
_THROTTLED = re.compile(
    r"\btoo[\s_]many[\s_](?:requests|jobs)\b|\brate[\s_-]?limit|\brate (?:is |was |has been )?exceeded\b|\bthrottl(?:ed|ing)\b|"
    r"\bqueue(?: is|'s| has been)?(?: currently| now| already)? (?:full|at capacity)\b|"
    r"\bfull queue\b|\bqueue[\s_](?:limit|capacity) (?:was |is |has been )?(?:reached|exceeded)\b|"
    r"\bjobs? limit (?:was |is |has been )?(?:reached|exceeded)\b",
    re.IGNORECASE,
)
_UNAVAILABLE = re.compile(
    r"\btemporar(?:y|ily) (?:unavailable|offline|out of service|overloaded|busy|down)\b|"
    r"\bservice (?:is )?(?:temporarily )?unavailable\b|\b(?:try|retry)(?: \w+)? (?:again )?(?:later|soon|shortly)\b|"
    r"\btry again in\b|\boverloaded\b|\bbad gateway\b|\bgateway time-?out\b|\bunder maintenance\b|"
    r"\b(?:currently|server is|service is|system is|backend is|device is|machine is) "
    r"(?:unavailable|offline|busy|down)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"tim(?:e|ed|ing)[\s_-]?out|time limit|deadline|out of time|\bwait(?:ed|ing)?\b|\bgave up\b|"
    r"\btook too long\b|\b(?:did not|didn't|has not|not yet) (?:been )?(?:finish|complet|end)|"
    r"\bnot (?:yet )?(?:finished|completed|ready|done|in (?:a )?final)|"
    r"\bstill (?:queued|running|pending|executing|waiting|in )|\bwithin [\d.]+ ?(?:s|min|h)",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(
    r"\bunauthori[sz]ed\b|\bauthentication (?:failed|failure|required|error)\b|"
    r"\b(?:token|credentials?|api key|session)(?: (?:has|have|is|was|are))* (?:expired|invalid|revoked)\b|"
    r"\b(?:invalid|expired|revoked) (?:\w+ )?(?:token|credentials?|api key)\b",
    re.IGNORECASE,
)
_NOT_TAKEN = re.compile(
    r"\b(?:not|never) (?:been )?(?:accepted|submitted|taken|queued|enqueued)\b|\brejected\b",
    re.IGNORECASE,
)
# "503: ...", "(429) ...", "HTTP 502", "HTTP/1.1 502", "status code: 503"; "500 shots" is none.
_STATUS = re.compile(
    r"^\W{0,3}([45]\d\d)(?=\W*$|\s?[:)\],;-])|"
    r"\bhttps?(?:/\d(?:\.\d)?)?(?:[\s_]*(?:error|status|code|response))*\W{0,3}([45]\d\d)\b|"
    r"\bstatus(?:[\s_-]?code)?\W{0,4}(?:is |was |of )?\W?([45]\d\d)\b|"
    r"\b([45]\d\d) (?:client|server) error\b",
    re.IGNORECASE,
)
# "failed with 503 Service Unavailable"
_NUMBER = re.compile(r"\b([45]\d\d)\b\W{0,3}")
_ERROR = re.compile(r"\berror(?:[\s_]?code)?\W{0,3}([45]\d\d)\b", re.IGNORECASE)


def kind_of_status(status: int) -> Kind:
    """Find what an HTTP status means."""
    if status in STATUS:
        return STATUS[status]
    return UNAVAILABLE if status >= 500 else CALLER


def kind_of_text(text: str) -> Kind | None:
    """Find what a text says of a failure; ``None`` where it says nothing that is plain."""
    text = text[:_MAX_READ]
    kind = _kind(text)
    if kind is not None and kind.transient and _NOT_TAKEN.search(text):
        return replace(kind, submitted=False)
    return kind


def tells_of_time(text: str) -> bool:
    """Check whether a failed wait ran out of time, by its text."""
    return bool(_TIME.search(text[:_MAX_READ]))


def asks_for_fewer(text: str) -> bool:
    """Check whether a text complains of too many requests or too many jobs."""
    text = text[:_MAX_READ]
    too_many_jobs = _JOBS_AT_ONCE.search(text) and _LIMIT.search(text)
    return bool(too_many_jobs or _THROTTLED.search(text))


def _kind(text: str) -> Kind | None:
    if asks_for_fewer(text):
        return THROTTLED
    status = _status(text)
    if status is not None:
        return kind_of_status(status)
    # A bare number may be any code of a device, which is no verdict; one that passes does no harm.
    error = _ERROR.search(text)
    kind = kind_of_status(int(error[1])) if error else None
    if kind is not None and kind.transient:
        return kind
    if _CREDENTIALS.search(text):
        return CREDENTIALS
    return UNAVAILABLE if _UNAVAILABLE.search(text) else None


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    if found is not None:
        return int(next(filter(None, found.groups())))
    for number in _NUMBER.finditer(text):
        phrase = _PHRASES.get(int(number[1]), "")
        if phrase and text[number.end() :].lower().startswith(phrase):
            return int(number[1])
    return None


_PHRASES = {int(one): one.phrase.lower() for one in HTTPStatus if one >= 400}
