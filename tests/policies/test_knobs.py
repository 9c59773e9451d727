import re
from dataclasses import fields
from pathlib import Path

from qiskit_gateway import policies
from qiskit_gateway.policies import BreakerPolicy, Policy, RecallPolicy, RetryPolicy

PAGE = Path(__file__).parents[2] / "docs" / "knobs.md"
ROW = re.compile(r"^\| `(\w+)\.(\w+)` \| `([^`]+)` \|([^|]*)\| [^|]*\w[^|]* \|$", re.MULTILINE)


def test_the_page_of_settings_lists_every_field_once_with_its_default():
    """The page and the classes agree, and what is measured in seconds says so."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    expected = {
        f"{kind.__name__}.{field.name}": getattr(kind(), field.name)
        for kind in (Policy, RetryPolicy, BreakerPolicy, RecallPolicy)
        for field in fields(kind)
    }
    written = [f"{kind}.{name}" for kind, name, _, _ in rows]
    assert sorted(written) == sorted(expected)
    for kind, name, default, unit in rows:
        # Names in a default are those of the public package: `RetryPolicy()`, `Anything()`.
        value = eval(default, {name: getattr(policies, name) for name in policies.__all__})  # noqa: S307
        assert value == expected[f"{kind}.{name}"], name
        assert (unit.strip() == "s") == name.endswith("_seconds"), name
