"""Run benchmarks, and print one table."""

import argparse
import importlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import compare
from benchmarks.measure import HEADER, Row, machine

SUITE = (
    "sampler",
    "estimator",
    "memory",
    "aer",
    "latency",
    "loops",
    "vqe",
    "crowd",
    "binding",
    "fanout",
    "pool",
    "scheduler",
    "scale",
    "makespan",
    "planner",
    "trace",
    "imports",
    "journal",
    "ledger",
    "executors",
    "cluster",
)
_WIDTHS = (46, 22, 11, 11, 10, 6)
_COMPARED_WIDTHS = (58, 11, 11, 12, 14)
# What stands between these two lines of a page is written by ``--markdown``.
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def measured(names: Iterable[str], *, quick: bool) -> Iterator[Row]:
    """Run benchmarks one after the other, and yield their rows as they come."""
    for name in names:
        yield from importlib.import_module(f"benchmarks.{name}").rows(quick=quick)


def markdown(rows: Sequence[Row], command: str, about: str) -> str:
    """Return rows as a table of a page, with the command and the machine."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells for row in rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"Measured by `{command}` on {time.strftime('%Y-%m-%d')}: {about}.\n\n{table}"


def rewritten(page: str, block: str) -> str:
    """Return a page with what was measured in its place, or at the end where there is none yet."""
    before, begin, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    if not begin:
        return f"{page}\n{_BEGIN}\n{block}\n{_END}\n".lstrip()
    return f"{before}{_BEGIN}\n{block}\n{_END}{after}"


def _line(cells: Sequence[str], widths: Sequence[int] = _WIDTHS) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(f"{cell:{width}}" for cell, width in pairs).rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 if a target is missed."""
    given_here = sys.argv[1:] if arguments is None else list(arguments)
    if given_here[:1] == ["drill"]:
        return int(importlib.import_module("benchmarks.drill.command").main(given_here[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="python -m benchmarks drill: the router and others, while things go wrong",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITE)}; all")
    parser.add_argument("--quick", action="store_true", help="small sizes, no targets; a minute")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument(
        "--compare", type=Path, metavar="TREE", help="run them there too, in turn, and print ratios"
    )
    parser.add_argument("--turns", type=int, default=5, help="of --compare (default: 5)")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in SUITE]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(SUITE)}")
    about = machine()
    print(about, flush=True)
    if given.compare:
        print(_line(compare.HEADER, _COMPARED_WIDTHS), flush=True)
        names = given.names or SUITE
        for one in compare.compare(given.compare, names, turns=given.turns, quick=given.quick):
            print(_line(one.cells, _COMPARED_WIDTHS), flush=True)
        return 0
    print(_line(HEADER), flush=True)
    rows: list[Row] = []
    for row in measured(given.names or SUITE, quick=given.quick):
        rows.append(row)
        print(_line(row.cells), flush=True)
    if given.markdown:
        page = given.markdown.read_text() if given.markdown.exists() else ""
        command = " ".join(["python -m benchmarks", *given.names, *["--quick"] * given.quick])
        given.markdown.write_text(rewritten(page, markdown(rows, command, about)))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
