"""Showing the progress of a run: on a terminal, in a notebook, or as lines of text."""

# ruff: noqa: PLC0415

import sys
import time
from collections.abc import Callable
from contextvars import Context
from html import escape
from typing import Any, Protocol, TextIO

from qiskit_gateway.display.units import number, usd
from qiskit_gateway.reporting.progress import MemberProgress, Progress
from qiskit_gateway.work.record.run_events import RunEvent

# A picture that changes more often is not seen better.
_DRAW_SECONDS = 0.2
_LINE_SECONDS = 10.0
# More members than this are told together, so that the bar stays on the screen.
_MOST_MEMBERS = 12

WATCH_ENDS = object()
"""Posted to a watch when the run is over, however it ended."""


class Screen(Protocol):
    """The place where progress is shown."""

    def show(self, progress: Progress) -> None:
        """Show it in place of what was shown before."""
        ...

    def close(self) -> None:
        """Leave what was shown last, and show no more."""
        ...


class Watch:
    """An observer of one run that shows how far it is.

    Each event makes it ask for the progress of the run and show that, so that nothing is drawn while nothing
    happens. Events that are older than what was shown last say nothing new.
    """

    def __init__(
        self,
        ask: Callable[[], Progress],
        screen: Screen,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._ask = ask
        self._screen = screen
        self._clock = clock
        self._wait = wait
        self._shown_seconds = -1.0
        self._drawn = -_DRAW_SECONDS
        self._closed = False

    def begin(self) -> None:
        """Show the progress before anything else happens."""
        self._draw()

    def on_event(self, event: RunEvent | object) -> None:
        """Show the progress, if it may have changed."""
        # A notebook takes what is drawn in the context of a cell that has ended for that cell's
        # output, which is over.
        Context().run(self._on_event, event)

    def _on_event(self, event: RunEvent | object) -> None:
        if self._closed:
            return
        if event is WATCH_ENDS:
            self.close()
        elif not isinstance(event, RunEvent) or event.seconds >= self._shown_seconds:
            rest = self._drawn + _DRAW_SECONDS - self._clock()
            if rest > 0:
                self._wait(rest)
            if not self._closed:
                self._draw()

    def close(self) -> None:
        """Show the progress a last time, and no more."""
        if not self._closed:
            self._closed = True
            self._draw()
            self._screen.close()

    def _draw(self) -> None:
        progress = self._ask()
        self._screen.show(progress)
        self._shown_seconds, self._drawn = progress.seconds, self._clock()


def find_screen(file: TextIO | None = None) -> Screen:
    """Find out where somebody looks.

    Args:
        file: Where to show progress in any case.
    """
    if file is None and _is_in_notebook():
        return NotebookScreen()
    stream = sys.stderr if file is None else file
    # A program without a console has no stderr at all.
    if stream is not None and stream.isatty():
        return TerminalScreen(stream)
    return NoScreen() if file is None else LinesScreen(file)


def _is_in_notebook() -> bool:
    """Check whether the front end shows HTML, as a notebook does."""
    # A program that has not imported IPython is not in it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class NoScreen:
    """Nobody looks."""

    def show(self, progress: Progress) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class LinesScreen:
    """A line of text now and then, for logs."""

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._next = -1.0
        self._last = self._written = ""

    def show(self, progress: Progress) -> None:
        """Write a line, unless the last one is new enough."""
        self._last = str(progress)
        if self._clock() >= self._next:
            self._write()

    def close(self) -> None:
        """Write how it ended."""
        self._write()

    def _write(self) -> None:
        if self._last != self._written:
            self._file.write(f"{self._last}\n")
            self._file.flush()
            self._written, self._next = self._last, self._clock() + _LINE_SECONDS


class TerminalScreen:
    """A bar, and below it a line for each member, drawn anew in place."""

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._closed = False
        self._live = Live(
            console=Console(file=file), auto_refresh=False, redirect_stdout=False, transient=False
        )

    def show(self, progress: Progress) -> None:
        """Draw it."""
        if not self._closed:
            self._live.start()
            self._live.update(_as_rich(progress), refresh=True)

    def close(self) -> None:
        """Leave the bar where it is."""
        self._closed = True
        self._live.stop()


def _as_rich(progress: Progress) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(width=5)
    head.add_column(ratio=1)
    bar = ProgressBar(total=1.0, completed=progress.share)
    head.add_row(Text(f"{progress.share:.0%}"), bar)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(overflow="ellipsis", max_width=28, no_wrap=True)
    for column in ("done", "running", "waiting", "money"):
        rows.add_column(justify="right", no_wrap=True, style="dim" if column == "money" else "")
    for name, cells in _rows(progress):
        rows.add_row(Text(name), *map(Text, cells))
    return Group(head, Text(" | ".join(progress.facts())), rows)


def _rows(progress: Progress) -> list[tuple[str, tuple[str, str, str, str]]]:
    """Members and what each has done, runs, has waiting and costs; busy ones first."""
    busy = sorted(
        progress.members.items(),
        key=lambda item: -(item[1].shots_running + item[1].shots_done),
    )
    shown, others = busy[:_MOST_MEMBERS], busy[_MOST_MEMBERS:]
    rows = [(name, _cells(one)) for name, one in shown]
    if others:
        rest = MemberProgress(
            circuits_done=sum(one.circuits_done for _, one in others),
            circuits_running=sum(one.circuits_running for _, one in others),
            circuits_queued=sum(one.circuits_queued for _, one in others),
            price_usd=sum(one.price_usd for _, one in others),
        )
        rows.append((f"{len(others)} more", _cells(rest)))
    if left := progress.shots_waiting:
        circuits = progress.circuits * left / progress.shots
        rows.append(("not sent yet", ("", "", f"{number(round(circuits, 1))} waiting", "")))
    return rows


def _cells(one: MemberProgress) -> tuple[str, str, str, str]:
    running = one.circuits_running - one.circuits_queued
    return (
        f"{number(one.circuits_done)} done",
        f"{number(running)} running",
        f"{number(one.circuits_queued)} waiting",
        usd(one.price_usd) if one.price_usd else "",
    )


class NotebookScreen:
    """A bar below the cell, updated in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        """Draw it."""
        from IPython.display import display

        shown = {"text/html": render_progress(progress), "text/plain": str(progress)}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def close(self) -> None:
        """Leave the bar where it is."""


def render_progress(progress: Progress) -> str:
    """Render progress as HTML: a bar, what there is to say of it, and a row for each member."""
    facts = escape(" | ".join(progress.facts()))
    cell = "text-align:right;padding:0 8px;white-space:nowrap"
    name = "text-align:left;padding:0 8px 0 0;max-width:28em;overflow-wrap:break-word"
    rows = "".join(
        f'<tr><th style="{name};font-weight:normal">{escape(member)}</th>'
        + "".join(f'<td style="{cell}">{escape(text)}</td>' for text in cells)
        + "</tr>"
        for member, cells in _rows(progress)
    )
    return (
        f'<div><progress max="1" value="{progress.share:.4f}" style="width:100%;max-width:40em">'
        f'</progress> {progress.share:.0%}<br>{facts}<table style="margin-left:0">{rows}</table></div>'
    )
