"""The table of providers in the documents says what profiles and the tests' packages say."""

import re
import tomllib
from pathlib import Path

import pytest

from qiskit_gateway.backends.registry import _own_profiles

ROOT = Path(__file__).parents[3]
COLUMNS = ("profile", "package", "tried", "limits", "queue", "price", "found", "primitives")
KINDS = ("tests apart", "tests", "by hand", "read", "prices")


def rows():
    """Return the rows of the first table, by profile."""
    lines = (ROOT / "docs" / "providers.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| profile |"))
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        row = dict(zip(COLUMNS, (cell.strip() for cell in line[1:-1].split("|")), strict=True))
        found[row["profile"].strip("`")] = row
    return found


def extras():
    """Return the packages of extras and their least versions; those of the core are in ``""``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    parsed = {}
    for name, packages in groups.items():
        split = (re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", one) for one in packages)
        parsed[name] = {one[1].lower(): one[2] for one in split if one}
    return parsed


def numbers(version):
    return tuple(map(int, version.split(".")))


OURS = {profile.name: profile for profile in _own_profiles()}


def packages_of(row):
    """Return the packages of a row, each with its versions."""
    found = re.findall(r"`([\w.-]+)` ([\d.]+(?:, [\d.]+)*)", row["package"])
    return {name: versions.split(", ") for name, versions in found}


def test_every_profile_has_a_row():
    """And there is no row of a provider that nobody knows."""
    assert set(rows()) == set(OURS), "docs/providers.md has a row for each profile"


WITH_ROWS = sorted(set(OURS) & set(rows()))


@pytest.mark.parametrize("name", WITH_ROWS)
def test_a_row_says_what_its_profile_says(name):
    """How a queue is read, what a job costs and how it is found again, and its primitives."""
    profile, row = OURS[name], rows()[name]
    if profile.queue is not None:
        assert row["queue"] not in {"no", "none", ""}
    tariffs = re.match(r"(\d+) tariffs?", row["price"])
    assert int(tariffs[1] if tariffs else 0) == len(profile.tariffs)
    assert ("charge" in row["price"]) is (profile.charge is not None)
    assert ("estimate" in row["price"]) is (profile.quote is not None)
    native = profile.primitive
    has_label = profile.label is not None or (native is not None and native.jobs is not None)
    assert ("by label" in row["found"]) is has_label
    assert ("sampler" in row["primitives"]) is (native is not None)
    known = (
        row["primitives"] != "its estimator, like any other" and "estimator" in row["primitives"]
    )
    assert known is (profile.estimator is not None)


@pytest.mark.parametrize("name", WITH_ROWS)
def test_a_row_says_how_it_was_tried(name):
    """Whatever runs in tests is installed for them; whatever ran by hand says when."""
    row, known = rows()[name], extras()
    kinds = [kind for kind in KINDS if re.search(rf"(?:^|, ){kind}(?:$|[:,])", row["tried"])]
    assert kinds, row["tried"]
    installed = known[""] | known["providers"] | known["providers-apart"]
    installed["menos"] = re.search(r"menos>=([\d.]+)", (ROOT / ".ci" / "run").read_text())[1]
    given = packages_of(row)
    if {"tests", "tests apart"} & set(kinds):
        for package, versions in given.items():
            least = installed[package.lower()]
            assert any(numbers(one) >= numbers(least) for one in versions), package
    else:
        assert not set(given) & set(installed)
    assert ("by hand" in kinds) is bool(re.search(r"\d{4}-\d\d-\d\d", row["tried"]))
    assert bool(given) is (kinds != ["prices"])


def test_every_package_of_the_tests_has_a_row():
    """What is installed for them was tried."""
    named = {package.lower() for row in rows().values() for package in packages_of(row)}
    known = extras()
    assert not (set(known["providers"]) | set(known["providers-apart"])) - named
