"""Objects as HTML for notebooks, on one screen: facts, with long parts folded."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

_LABEL = (
    "text-align:left;vertical-align:top;padding:1px 12px 1px 0;font-weight:normal;opacity:.7;"
    "white-space:nowrap"
)
_TEXT = "text-align:left;padding:1px 0;max-width:60em;overflow-wrap:break-word;white-space:pre-line"


@dataclass(frozen=True, slots=True)
class Fold:
    """Something that is shown when somebody asks for it.

    Attributes:
        summary: What it is, as text.
        html: It, as HTML.
    """

    summary: str
    html: str


def render_card(title: str, facts: Iterable[tuple[str, str]], folds: Iterable[Fold] = ()) -> str:
    """Make a card of an object.

    Args:
        title: What it is.
        facts: Labels and texts; those without a text are left out. Both are escaped.
        folds: What is folded below.
    """
    rows = "".join(
        f'<tr><th style="{_LABEL}">{escape(label)}</th><td style="{_TEXT}">{escape(text)}</td></tr>'
        for label, text in facts
        if text
    )
    style = "margin-left:0;border-collapse:collapse"
    table = (
        f'<div style="overflow-x:auto"><table style="{style}">{rows}</table></div>' if rows else ""
    )
    return f"<div><strong>{escape(title)}</strong>{table}{render_folds(folds)}</div>"


def render_folds(folds: Iterable[Fold]) -> str:
    """Write what is folded, one below the other; what is empty is left out."""
    return "".join(
        f'<details><summary style="cursor:pointer">{escape(one.summary)}</summary>{one.html}</details>'
        for one in folds
        if one.html
    )


def list_few(names: Iterable[str], most: int = 8) -> str:
    """Name the first few of many."""
    every = list(names)
    more = len(every) - most
    return ", ".join([*every[:most], *([f"and {more} more"] if more > 0 else [])])
