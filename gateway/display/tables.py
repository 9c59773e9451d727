"""A table and remarks below it, as text and as HTML for notebooks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from qiskit_gateway.display.cards import Fold, render_folds

# The text is that wide at most, except that names up to this length are not shortened.
_WIDTH = 80
_LONG_NAME = 28
# What is more than fits a screen is folded.
_MOST_ROWS = 15
_MOST_REMARKS = 8
# Jupyter puts tables in the middle of the page, and what is said of them to its left.
_TABLE_STYLE = "margin-left:0;border-collapse:collapse"
_NAME_STYLE = (
    "text-align:left;vertical-align:top;padding:2px 8px;max-width:32em;overflow-wrap:break-word;"
    "white-space:pre-line"
)
_CELL_STYLE = "text-align:right;vertical-align:top;padding:2px 8px;white-space:nowrap"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say of a table.

    Attributes:
        text: It, as one line.
        parts: What it consists of.
    """

    text: str
    parts: tuple["Remark", ...] = ()


def render_text(rows: Sequence[Sequence[str]], remarks: Iterable[Remark], *, words: int = 1) -> str:
    """Write a table and its remarks as text, each remark and each part of it on a line.

    Args:
        rows: The rows, of which the first is the head.
        remarks: What there is to say.
        words: How many of the first columns hold words, and not numbers.
    """
    others = len(write_table([("", *cells) for _, *cells in rows]).partition("\n")[0])
    longest = max(_LONG_NAME, _WIDTH - others)
    cells = [(_shorten(first, longest), *others) for first, *others in rows]
    return "\n".join([write_table(cells, words=words), *_lines(remarks, "")])


def render_html(
    rows: Sequence[Sequence[str]], remarks: Iterable[Remark], *, footed: bool = True, words: int = 1
) -> str:
    """Write the same as HTML; what does not fit a screen is folded.

    Args:
        rows: The rows, of which the first is the head.
        remarks: What there is to say.
        footed: Whether the last row is a foot.
        words: How many of the first columns hold words, and not numbers.
    """
    first, *middle = rows
    last = middle.pop() if footed else None
    head = _row("th", first, words, "border-bottom:1px solid")
    foot = "" if last is None else _row("th", last, words, "border-top:1px solid")
    shown, more = middle[:_MOST_ROWS], middle[_MOST_ROWS:]
    rest = _table(head, more, words) if more else ""
    return (
        _table(head, shown, words, foot)
        + render_folds([Fold(f"{len(more)} more", rest)])
        + _list(list(remarks))
    )


def _shorten(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    # Both ends tell names apart: a provider's first, a device's last.
    end = longest // 2
    return f"{name[: longest - end - 1]}…{name[-end:]}"


def _lines(remarks: Iterable[Remark], indent: str) -> list[str]:
    lines = []
    for remark in remarks:
        lines += [indent + remark.text, *_lines(remark.parts, indent + "  ")]
    return lines


def _table(head: str, rows: Sequence[Sequence[str]], words: int, foot: str = "") -> str:
    body = "".join(_row("td", row, words) for row in rows)
    return (
        f'<div style="overflow-x:auto"><table style="{_TABLE_STYLE}"><thead>{head}</thead>'
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def _list(remarks: Sequence[Remark]) -> str:
    items = [f"<li>{escape(one.text)}{_list(one.parts)}</li>" for one in remarks]
    if not items:
        return ""
    more = items[_MOST_REMARKS:]
    rest = f"<ul>{''.join(more)}</ul>" if more else ""
    return f"<ul>{''.join(items[:_MOST_REMARKS])}</ul>{render_folds([Fold(f'{len(more)} more', rest)])}"


def _row(tag: str, cells: Sequence[str], words: int, style: str = "") -> str:
    made = "".join(
        f'<{tag} style="{_NAME_STYLE if place < words else _CELL_STYLE};{style}">{escape(cell)}</{tag}>'
        for place, cell in enumerate(cells)
    )
    return f"<tr>{made}</tr>"


def write_table(rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """Write rows as text in columns: words to the left, and numbers to the right.

    Args:
        rows: The rows, of as many cells each.
        words: How many of the first columns hold words.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
