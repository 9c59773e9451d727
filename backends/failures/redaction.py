"""Secrets, kept out of texts that are logged, stored or shown."""

import re
from collections.abc import Sequence

_HIDDEN = "[redacted]"
_MAX_READ = 20_000

# How the name of a secret ends: `x_ibm_api_key`, `IONQ_TOKEN`. The one list of the package: texts of
# providers, what the journal writes down and configuration files all go by it.
_NAMES = (
    r"api[-_ ]?key|apikey|access[-_]?key(?:[-_]?id)?|account[-_]?key|private[-_]?key|"
    r"subscription[-_]?key|token|secret|password|passwd|pwd|passphrase|credentials?|signature|"
    r"sig|jwt|cookie"
)
_VALUE = r"\"[^\"]*\"|'[^']*'|[^\s\"'<>,;&(){}\[\]]+"
_RULES = (
    # https://user:password@host
    (r"(://)[^/\s@\"']+@", rf"\1{_HIDDEN}@"),
    # Authorization: Basic dXNlcjpwYXNz
    (
        rf"(\b(?:proxy-)?authorization[\"']?\s*[=:]\s*)(?:[\"'][^\"']*[\"']|(?:[a-z]+\s+)?(?:{_VALUE}))",
        rf"\1{_HIDDEN}",
    ),
    # apiKey abc123, Bearer abc123: the secret follows, and has a digit where a plain word has none
    (
        r"(\b(?:api[-_ ]?key|bearer|basic|token|jwt)\s+)(?=[^\s\"']*\d)[\w.~+/=-]{6,}",
        rf"\1{_HIDDEN}",
    ),
    # token=abc, "api_key": "abc", ?X-Amz-Signature=abc
    (rf"((?:{_NAMES})[\"']?\s{{0,9}}(?:=>|[=:])\s*)(?:{_VALUE})", rf"\1{_HIDDEN}"),
    # AWS access key ids, and JSON web tokens
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b", _HIDDEN),
    (r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?", _HIDDEN),
    # Whatever is long, has digits, and is no path, name or uuid
    (r"(?<![\w/.-])(?=[A-Za-z_-]*\d)[\w-]{40,}={0,2}(?![\w/.-])", _HIDDEN),
)
# Every pattern must read a text in linear time: providers send whole pages of HTML. The last goes
# by the length alone.
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), into) for pattern, into in _RULES)


# Control characters, and those that change the direction of what follows.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SECRET_NAME = re.compile(rf"(?:{_NAMES}|authorization)s?$", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Tell by a name whether what goes by it is a secret."""
    return bool(_SECRET_NAME.search(name))


def redact(text: str) -> str:
    """Return a text without the secrets that can be told from their form or their names.

    Catches API keys, bearer tokens, authorization headers, passwords, AWS access keys, and
    secrets inside URLs. A secret that looks like a plain word cannot be told.

    Args:
        text: What a provider said. Only its first 20 000 characters are kept.
    """
    return _without(_PATTERNS, text)


def redact_name(text: str) -> str:
    """Return a name or an id without the secrets that can be told from it.

    As :func:`redact`, but that it is long makes no secret of a name.

    Args:
        text: What something goes by.
    """
    return _without(_PATTERNS[:-1], text)


def printable(text: str) -> str:
    """Return a text with what would steer a terminal, or turn the reading about, written out.

    Args:
        text: Any; line breaks and tabs stay what they are.
    """
    text = text.replace("\r\n", "\n")
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def _without(patterns: Sequence[tuple[re.Pattern[str], str]], text: str) -> str:
    # Half a surrogate pair can be neither written nor stored.
    text = text[:_MAX_READ].encode("utf-8", "backslashreplace").decode("utf-8")
    for pattern, into in patterns:
        text = pattern.sub(into, text)
    return printable(text)
