"""A table and remarks below it, as text and as HTML for notebooks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# The text is that wide at most, but that names of so many letters are not shortened.
_WIDTH = 80
_LONG_NAME = 28
# Jupyter puts tables in the middle of the page, and what is said of them to its left.
_TABLE_STYLE = "margin-left:0;border-collapse:collapse"
_NAME_STYLE = "text-align:left;padding:2px 8px;max-width:32em;overflow-wrap:anywhere"
_CELL_STYLE = "text-align:right;padding:2px 8px;white-space:nowrap"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say of a table.

    Attributes:
        text: It, as one line.
        parts: What it consists of.
    """

    text: str
    parts: tuple["Remark", ...] = ()


def shown_as_text(rows: Sequence[Sequence[str]], remarks: Iterable[Remark]) -> str:
    """Return a table and its remarks as text, each remark and each part of it on a line."""
    others = len(table([("", *cells) for _, *cells in rows]).partition("\n")[0])
    longest = max(_LONG_NAME, _WIDTH - others)
    cells = [(_shortened(first, longest), *others) for first, *others in rows]
    return "\n".join([table(cells), *_lines(remarks, "")])


def shown_as_html(
    rows: Sequence[Sequence[str]], remarks: Iterable[Remark], *, footed: bool = True
) -> str:
    """Return the same as HTML; the first row is the head, and the last the foot, if there is one."""
    first, *middle = rows
    last = middle.pop() if footed else None
    head = _row("th", first, "border-bottom:1px solid")
    body = "".join(_row("td", row) for row in middle)
    foot = "" if last is None else _row("th", last, "border-top:1px solid")
    return (
        f'<table style="{_TABLE_STYLE}"><thead>{head}</thead><tbody>{body}</tbody>'
        f"<tfoot>{foot}</tfoot></table>{_list(remarks)}"
    )


def _shortened(name: str, longest: int) -> str:
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


def _list(remarks: Iterable[Remark]) -> str:
    items = "".join(f"<li>{escape(one.text)}{_list(one.parts)}</li>" for one in remarks)
    return f"<ul>{items}</ul>" if items else ""


def _row(tag: str, cells: Sequence[str], style: str = "") -> str:
    first, *others = (escape(cell) for cell in cells)
    made = "".join(f'<{tag} style="{_CELL_STYLE};{style}">{cell}</{tag}>' for cell in others)
    return f'<tr><{tag} style="{_NAME_STYLE};{style}">{first}</{tag}>{made}</tr>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns, the first one to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
