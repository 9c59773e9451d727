"""Secrets, kept out of texts that are logged, stored or shown."""

import base64
import re
from collections.abc import Iterator, Sequence
from html import escape

_HIDDEN = "[redacted]"
_MAX_READ = 20_000

# How the name of a secret ends: `x_ibm_api_key`, `IONQ_TOKEN`. The one list of the package: texts of
# providers, what the journal writes down and configuration files all go by it.
_NAMES = (
    r"api[-_ ]?key|apikey|access[-_]?key(?:[-_]?id)?|account[-_]?key|private[-_]?key|"
    r"subscription[-_]?key|token|secret|password|passwd|pwd|passphrase|credentials?|signature|"
    r"sig|jwt|cookie"
)
# A quote may be escaped, since texts are quoted in texts, and percent-encoded in an address.
_QUOTE = r"(?:\\{0,3}[\"']|%2[27])"
_IS = rf"{_QUOTE}?\s{{0,9}}(?:=>|[=:]|%3[ad])\s*"
_VALUE = r"\"[^\"]*\"|'[^']*'|\\{1,3}\"[^\"]*\"|\\{1,3}'[^']*'|[^\s\"'<>,;&(){}\[\]]+"
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
        r"(\b(?:api[-_ ]?key|bearer|basic|token|jwt|secret|password)\s+)(?=[^\s\"']*\d)[\w.~+/=-]{6,}",
        rf"\1{_HIDDEN}",
    ),
    # token=abc, "api_key": "abc", ?X-Amz-Signature=abc
    (rf"((?:{_NAMES}){_IS})(?:{_VALUE})", rf"\1{_HIDDEN}"),
    # ("X-Api-Key", "abc123"), as headers are shown; lists of names alone look much like that
    (
        rf"([(\[]b?[\"'][\w-]{{0,60}}(?:{_NAMES}|authorization)[\"']\s{{0,9}},\s{{0,9}}b?)"
        r"(?=[\"'][^\"']*\d)[\"'][^\"']{8,}[\"'](?=\s{0,9}[)\]])",
        rf"\1{_HIDDEN}",
    ),
    # <apiKey>abc</apiKey>
    (rf"((?:{_NAMES})>)[^<>]+(?=</)", rf"\1{_HIDDEN}"),
    # A key file
    (r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]+", rf"\1{_HIDDEN}"),
    # key=abc: not every key is a secret, so it must look like one
    (
        rf"(\bkey{_IS}{_QUOTE}?)(?=[^\s\"']*\d)[\w.~+/%=-]{{16,}}",
        rf"\1{_HIDDEN}",
    ),
    # AWS access key ids, and JSON web tokens
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b", _HIDDEN),
    (r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?", _HIDDEN),
    # Whatever is long, has digits, and is no path, name or uuid
    (r"(?<![\w/.-])(?=[A-Za-z_-]*\d)[\w-]{40,}={0,2}(?![\w/.-])", _HIDDEN),
)
# Every pattern must read a text in linear time: providers send whole pages of HTML. The last goes
# by the length alone.
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), into) for pattern, into in _RULES)

# A shorter secret than this would be found in words that are none, and one shorter than the second
# is looked for as a word of its own.
_SHORTEST_SECRET = 4
_PLAIN_WORD = 8
# The secrets that are known, each with the pattern of its forms; and one pattern of them all.
_KEPT: dict[str, str] = {}
_KEPT_PATTERN: list[re.Pattern[str]] = []

# Control characters, and those that change the direction of what follows.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What most job ids are. Of what names are searched for, only AWS key ids fit into one word.
_ONE_WORD = re.compile(r"(?!.*(?:AKIA|ASIA))[\w-]*", re.IGNORECASE)
_SECRET_NAME = re.compile(rf"(?:{_NAMES}|authorization)s?$", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Check whether a value with this name is a secret."""
    return bool(_SECRET_NAME.search(name))


def keep_secret(value: str) -> None:
    """Take a secret out of every text from now on, in whatever form it is written.

    That is as it is, escaped, percent-encoded, and in base64, also as a part of what is encoded.
    Texts do not say which member they came from by the time that they are shown, so this holds for
    the whole process.

    Args:
        value: The secret. One shorter than four characters is not looked for: it would be found in
            words that are none.
    """
    # A key file has lines, which are shown one by one.
    for part in {value.strip(), *map(str.strip, value.splitlines())}:
        if len(part) >= _SHORTEST_SECRET and part not in _KEPT:
            _KEPT[part] = "|".join(_forms(part))
            longest_first = sorted(_KEPT, key=len, reverse=True)
            _KEPT_PATTERN[:] = [re.compile("|".join(_KEPT[one] for one in longest_first))]


def _forms(secret: str) -> Iterator[str]:
    written = "".join(map(_spell, secret))
    if len(secret) < _PLAIN_WORD:
        yield rf"(?<![A-Za-z0-9]){written}(?![A-Za-z0-9])"
        return
    yield written
    for offset in range(3):
        # Base64 writes three bytes as four characters, so what precedes the secret, such as
        # the name of a user, shifts it. The characters that are shared with that are left.
        shifted = base64.b64encode(b"\0" * offset + secret.encode("utf-8", "replace")).rstrip(b"=")
        core = shifted.decode()[-(-offset * 4 // 3) :][:-1]
        pattern = "".join({"+": "[+-]|%2[bB]", "/": "[/_]|%2[fF]"}.get(c, c) + "\0" for c in core)
        units = (unit for unit in pattern.split("\0") if unit)
        yield rf"{''.join(f'(?:{unit})' for unit in units)}(?:[\w+/=-]|%3[dD])*"


def _spell(character: str) -> str:
    """Pattern of a character as it is, escaped, or percent-encoded, once or more often."""
    if character.isascii() and character.isalnum():
        return character
    encoded = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in character.encode("utf-8", "replace"))
    forms = [
        rf"\\*{re.escape(character)}",
        encoded,
        rf"\\+u(?i:{ord(character):04x})",
        re.escape(escape(character)),
        *([r"\+"] if character == " " else []),
    ]
    return f"(?:{'|'.join(forms)})"


def redact(text: str) -> str:
    """Return a text without secrets: the known ones, and those told by their form or name.

    Catches what :func:`keep_secret` was given, and API keys, bearer tokens, authorization headers,
    passwords, AWS access keys, and secrets inside URLs. Of others, a secret that looks like a
    plain word cannot be told.

    Args:
        text: What a provider said. Only its first 20 000 characters are kept.
    """
    return _without(_PATTERNS, text)


def redact_name(text: str) -> str:
    """Return a name or an id without the secrets that can be told from it.

    As :func:`redact`, but that it is long makes no secret of a name.
    """
    return _without(() if _ONE_WORD.fullmatch(text) else _PATTERNS[:-1], text)


def printable(text: str) -> str:
    """Return a text with what would steer a terminal, or turn the reading about, written out.

    Args:
        text: Any; line breaks and tabs stay what they are.
    """
    text = text.replace("\r\n", "\n")
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def _without(patterns: Sequence[tuple[re.Pattern[str], str]], text: str) -> str:
    # Before the text is cut, so that no half of a secret is left at its end.
    for pattern in _KEPT_PATTERN:
        text = pattern.sub(_HIDDEN, text)
    # Half a surrogate pair can be neither written nor stored.
    text = text[:_MAX_READ].encode("utf-8", "backslashreplace").decode("utf-8")
    for pattern, into in patterns:
        text = pattern.sub(into, text)
    return printable(text)
