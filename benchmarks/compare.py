"""The same benchmarks in two checkouts, in turn, and the ratio of their figures.

Every run is a fresh process, and the two trees take turns, so that whatever else the machine does
meets both. The benchmarks are each tree's own: a case that only one of them has is left out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Row

HEADER = ("case", "there", "here", "here / there", "range")
_ROOT = Path(__file__).parents[1]
_PROGRAM = """
import json, sys
from dataclasses import asdict
from importlib import import_module
rows = import_module(f"benchmarks.{sys.argv[1]}").rows(quick=sys.argv[2] == "quick")
print(json.dumps([asdict(row) for row in rows]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One case in both trees.

    Attributes:
        case: The name of the case.
        unit: The unit of its figure.
        pairs: For each turn the figure there and here.
    """

    case: str
    unit: str
    pairs: tuple[tuple[float, float], ...]

    @property
    def ratios(self) -> list[float]:
        """The figure here over the figure there, for each turn, smallest first."""
        return sorted(here / there for there, here in self.pairs if there)

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its line: medians of both trees and of the ratio, and the ratio's range."""
        there, here = (median(side) for side in zip(*self.pairs, strict=True))
        ratios = self.ratios or [float("nan")]
        return (
            self.case,
            f"{there:.3g} {self.unit}",
            f"{here:.3g} {self.unit}",
            f"{median(ratios):.2f}",
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        )


def compare(
    tree: Path, names: Sequence[str], *, turns: int = 5, quick: bool = False
) -> Iterator[Comparison]:
    """Run benchmarks in another checkout and in this one, in turn.

    Args:
        tree: The root of the other checkout.
        names: The benchmarks.
        turns: How often each is run in each tree.
        quick: Whether the small sizes are run.

    Yields:
        The cases that both trees have, as each benchmark ends.
    """
    with TemporaryDirectory() as folder:
        trees = [(root, _lay_out(root, Path(folder) / name)) for root, name in _sides(tree)]
        for name in names:
            found: dict[str, tuple[str, list[tuple[float, float]]]] = {}
            for _ in range(turns):
                there, here = (_run(*one, name, quick=quick) for one in trees)
                for case in there.keys() & here.keys():
                    pairs = found.setdefault(case, (here[case].unit, []))[1]
                    pairs.append((there[case].figure, here[case].figure))
            for case, (unit, pairs) in sorted(found.items()):
                yield Comparison(case=case, unit=unit, pairs=tuple(pairs))


def _sides(tree: Path) -> Iterator[tuple[Path, str]]:
    yield tree.resolve(), "there"
    yield _ROOT, "here"


def _lay_out(root: Path, folder: Path) -> Path:
    """Link a checkout's packages under the names that are imported; nothing is installed."""
    package = folder / "qiskit_gateway"
    package.mkdir(parents=True)
    for entry in (root / "gateway").iterdir():
        (package / entry.name).symlink_to(entry)
    for name in ("backends", "policies"):
        (package / name).symlink_to(root / name)
    return folder


def _run(root: Path, path: Path, name: str, *, quick: bool) -> dict[str, Row]:
    command = [sys.executable, "-c", _PROGRAM, name, "quick" if quick else "whole"]
    paths = os.pathsep.join([str(path), str(root)])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603
        command, cwd=root, env=environment, check=True, capture_output=True, text=True
    )
    rows = [Row(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    return {row.case: row for row in rows}
