"""The benchmarks run, and their table says what was measured."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = {"__init__", "__main__", "canned", "compare", "frontier", "measure"}


@pytest.fixture
def suite(monkeypatch):
    """Return the module that runs the benchmarks."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.__main__")


@pytest.fixture
def measure(suite):
    """Return what the benchmarks share."""
    return importlib.import_module("benchmarks.measure")


def test_every_benchmark_is_in_the_suite(suite):
    """No benchmark is left out by whoever runs them all."""
    on_disk = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - SHARED
    assert on_disk == set(suite.SUITE)


def test_a_benchmark_runs_and_writes_its_table(tmp_path):
    """The command prints a table, and puts the same into a page, where that says or at its end."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\n\nAfter.\n")
    command = [sys.executable, "-m", "benchmarks", "scheduler", "--quick", "--markdown", page]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    assert "scheduler, 10 members, 1,000 rows" in done.stdout
    text = page.read_text()
    assert "| scheduler, 10 members, 1,000 rows" in text
    assert "old" not in text
    assert text.startswith("# Page\n")
    assert text.endswith("\n\nAfter.\n")
    assert "python -m benchmarks scheduler --quick" in text


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it there")
def test_what_runs_in_a_process_of_its_own_tells_its_memory():
    """The largest growth of a process is measured while it holds what it asked for."""
    program = """
import json
import numpy as np
from benchmarks.measure import grown_bytes
print(json.dumps(grown_bytes(lambda: int(np.ones(10_000_000).sum()))))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    grown, answer = json.loads(done.stdout)
    assert answer == 10_000_000
    assert 75e6 < grown < 160e6


@pytest.mark.parametrize(
    ("figure", "target", "met", "cell"),
    [
        (4.1, {"at_least": 4}, True, "yes"),
        (3.9, {"at_least": 4}, False, "MISSED"),
        (99, {"at_most": 100}, True, "yes"),
        (101, {"at_most": 100}, False, "MISSED"),
        (5, {}, True, ""),
    ],
)
def test_a_target_is_met_or_missed(measure, figure, target, met, cell):
    """A row says whether its target is met; one without a target misses none."""
    row = measure.Row(case="case", router="", figure=figure, unit="x", **target)
    assert row.met is met
    assert row.cells[-1] == cell


def test_the_suite_fails_where_a_target_is_missed(suite, measure, monkeypatch, capsys):
    """The exit code tells whether every target was met."""
    missed = measure.Row(case="case", router="", figure=1, unit="x", at_least=2)
    monkeypatch.setattr(suite, "measured", lambda names, *, quick: iter([missed]))
    assert suite.main(["scheduler"]) == 1
    assert "MISSED" in capsys.readouterr().out


def test_an_unknown_benchmark_is_named(suite, capsys):
    """A name that is none is told, with those there are."""
    with pytest.raises(SystemExit):
        suite.main(["schedular"])
    assert "there is no benchmark 'schedular'; there are sampler" in capsys.readouterr().err


def test_two_checkouts_are_compared():
    """The benchmarks run in both trees, and the table has the ratio of each case."""
    command = [sys.executable, "-m", "benchmarks", "scheduler", "--quick"]
    done = subprocess.run(  # noqa: S603
        [*command, "--compare", ROOT, "--turns", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    _, head, *lines = done.stdout.splitlines()
    assert "here / there" in head
    assert lines
