"""Terminal output: tables that fit the terminal, and JSON for programs."""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydantic_core import to_json
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qiskit_gateway.backends.failures.redaction import printable

# A file or a pipe has no width. Its reader is better served by long lines than by cut ones.
_NO_TERMINAL_COLUMNS = 200
_DRAWING_COLUMNS = 100
_GAP = 2

# Characters of JSON that only its strings may hold.
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> None:
    """Print a table; where the terminal is too narrow for it, a block of lines for each row.

    Cells are wrapped between words at most, and never cut.

    Args:
        columns: The heads.
        rows: The cells, one for each head.
        numbers: How many of the last columns hold numbers.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    console = _console()
    # Numbers stay on a line; it is names and texts that are wrapped.
    whole = [place >= len(columns) - numbers for place in range(len(columns))]
    parts = [[head, *(row[place] for row in cells)] for place, head in enumerate(columns)]
    widths = _widths(parts, whole, console.width)
    _print(console, _table(columns, cells, widths, numbers) if widths else _blocks(columns, cells))


def _widths(
    parts: Sequence[Sequence[str]], whole: Sequence[bool], available: int
) -> list[int] | None:
    """Share the width of a terminal among columns; ``None`` if words would have to be broken."""
    natural = [_longest(cells, lambda cell: cell.split("\n")) for cells in parts]
    least = [
        width if fixed else _longest(cells, str.split)
        for cells, fixed, width in zip(parts, whole, natural, strict=True)
    ]
    left = available - _GAP * (len(parts) - 1) - sum(least)
    if left < 0:
        return None
    widths = []
    for width, enough in zip(least, natural, strict=True):
        given = min(left, enough - width)
        widths.append(width + given)
        left -= given
    return widths


def _longest(cells: Iterable[str], split: Callable[[str], Iterable[str]]) -> int:
    return max((cell_len(part) for cell in cells for part in split(cell)), default=0)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], numbers: int
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0), show_edge=False)
    for place, (head, width) in enumerate(zip(columns, widths, strict=True)):
        number = place >= len(columns) - numbers
        table.add_column(head, justify="right" if number else "left", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Lay out each row as lines of head and cell, below its first cell."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold", ratio=1)
    for place, row in enumerate(rows):
        if place:
            grid.add_row()
        grid.add_row(Text(columns[0], style="bold"), Text(row[0], style="bold"))
        for head, cell in zip(columns[1:], row[1:], strict=True):
            grid.add_row(f"  {head}", Text(cell.replace("\n", ", ")))
    return grid


def _print(console: Console, table: Table) -> None:
    with console.capture() as capture:
        console.print(table)
    # Cells are padded to the right end of the table.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def columns_here() -> int:
    """Return the width of drawings: that of the terminal, within bounds."""
    return min(_console().width, _DRAWING_COLUMNS)


def say(text: str = "") -> None:
    """Print a text as it is."""
    sys.stdout.write(f"{printable(text)}\n")


def note(text: str) -> None:
    """Print something on stderr, where it disturbs nobody who reads the output."""
    sys.stderr.write(f"{printable(text)}\n")


def show_json(value: Any) -> None:
    """Print a value as JSON, in ASCII: a pipe may have any encoding."""
    sys.stdout.write(f"{_NOT_ASCII.sub(_escape, as_json(value))}\n")


def as_json(value: Any) -> str:
    """Write a value as JSON; what is infinite or no number is ``null``."""
    return to_json(value, indent=2, inf_nan_mode="null", fallback=_plain).decode()


def span(seconds: float) -> str:
    """Write a length of time in a unit that suits it."""
    if not math.isfinite(seconds):
        return "-"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "0 s" if seconds < 1e-3 else f"{seconds:.2g} s"


def moment(seconds: float) -> str:
    """Write a time of the wall clock, given in seconds since 1970, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def usd(amount: float) -> str:
    """Write an amount of money with as many digits as small prices need."""
    return f"{amount:,.4f}"


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _console() -> Console:
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console()
    return Console(width=_NO_TERMINAL_COLUMNS)


def _plain(value: Any) -> Any:
    """Turn what pydantic does not know into what it does."""
    if isinstance(value, np.ndarray):
        if np.iscomplexobj(value):
            return {"real": value.real.tolist(), "imag": value.imag.tolist()}
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else str(value)
