"""Every Python block of the README and of docs/ runs, in order, one namespace a page."""

import contextlib
import io
import re
import runpy
import textwrap
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qiskit_gateway.__main__ import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(page):
    """Yield each block with as many empty lines before it as make its line numbers right."""
    text = page.read_text()
    for match in BLOCK.finditer(text):
        yield "\n" * text.count("\n", 0, match.start(1)) + match[1]


# What pages need that are about a provider.
NEEDED = {
    "migrating.md": ("qiskit_ibm_runtime",),
    "native-estimators.md": ("qiskit_aer",),
    "primitives.md": ("qiskit_aer", "qiskit_ibm_runtime"),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page):
    """What the page says works, and whatever it asserts holds."""
    for package in NEEDED.get(page.name, ()):
        pytest.importorskip(package)
    namespace = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # Without Aer, GenericBackendV2 has no noise, and says so.
        warnings.filterwarnings("ignore", message="Aer not found", category=RuntimeWarning)
        for block in blocks(page):
            exec(compile(block, page, "exec"), namespace)  # noqa: S102


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / f"{name}.md" for name in ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_lead_somewhere(page):
    """A link to a file of the repository has a file at its end."""
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_the_first_run_of_the_command_line_runs(tmp_path, monkeypatch):
    """Its files and commands, word for word, do what it shows: a failover, with price and report."""
    text = (ROOT / "docs" / "command-line.md").read_text()
    for name, language in (("fleet.toml", "toml"), ("bell.qasm", "text")):
        (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(block)
    commands = re.findall(
        r"^qiskit-gateway ((?:check|quote|run|runs|show) .*?)(?: +#.*)?$", text, re.MULTILINE
    )
    assert [command.split()[0] for command in commands] == ["check", "quote", "run", "runs", "show"]
    said = {}
    monkeypatch.chdir(tmp_path)
    for command in commands:
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, done.output
        said[command.split()[0]] = done.stdout
    shown = re.search(
        r"^    member .*?cannot be reached: it is down$", text, re.DOTALL | re.MULTILINE
    )
    assert textwrap.dedent(shown[0]) in said["run"]
    assert textwrap.dedent(shown[0]) in said["show"]


def test_the_picture_of_the_readme_is_of_what_it_says(tmp_path):
    """The command beside it draws it, and what the caption tells of it is so."""
    pytest.importorskip("matplotlib")
    scope = runpy.run_path(str(ROOT / "docs" / "failover.py"))
    scope["main"](tmp_path / "made.png")
    assert (tmp_path / "made.png").stat().st_size > 10_000
    simulation = scope["run"]()
    text = (ROOT / "README.md").read_text()
    assert not simulation.given_up
    assert sum(use.shots for use in simulation.members.values()) == 30_000
    told = f"after {simulation.makespan_seconds / 3600:.1f} h, for {simulation.cost_usd:.2f} USD"
    assert told in " ".join(text.split())


def test_every_page_is_in_the_site():
    """Its index lists it: a page that nobody can find fails the build of the site."""
    docs = ROOT / "docs"
    listed = {docs / "index.md"}
    for index in (docs / "index.md", docs / "api" / "index.md"):
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```", index.read_text(), re.DOTALL | re.MULTILINE
        ):
            for line in block.split("\n\n", 1)[1].split():
                listed |= set(index.parent.glob(f"{line}.md"))
    assert set(docs.rglob("*.md")) == listed
