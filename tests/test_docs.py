"""Every Python block of the README and of docs/ runs, in order, one namespace a page."""

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

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
