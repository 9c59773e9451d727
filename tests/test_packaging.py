"""What is shipped, and under which names."""

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import qiskit_gateway
from qiskit_gateway import backends, policies

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "qiskit_gateway": "gateway",
    "qiskit_gateway.backends": "backends",
    "qiskit_gateway.policies": "policies",
}


@pytest.fixture(scope="module")
def settings():
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_on_disk_is_listed(settings):
    """A sub-package that is not listed would be missing from the wheel."""
    on_disk = set()
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            on_disk.add(".".join([package, *inner]))
    assert set(settings["tool"]["setuptools"]["packages"]) == on_disk


def test_every_package_has_its_folder(settings):
    """The names that users import come from these folders and no others."""
    assert settings["tool"]["setuptools"]["package-dir"] == FOLDERS


def test_every_module_on_disk_is_installed():
    """An editable install that is older than a module lacks it: then install again."""
    for package, folder in FOLDERS.items():
        on_disk = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.pyi")]
        modules = [path.relative_to(ROOT / folder) for path in on_disk]
        missing = [path for path in modules if not files(package).joinpath(*path.parts).is_file()]
        assert not missing, f"run pip install -e . again: {missing}"


def test_types_are_shipped():
    """Type checkers read the annotations of a package only where it says so."""
    assert files(qiskit_gateway).joinpath("py.typed").is_file()


def test_folders_are_no_packages():
    """Imported under the folder's name, every class would exist twice."""
    code = "import sys, qiskit_gateway.backends, qiskit_gateway.policies; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    top = {name.partition(".")[0] for name in done.stdout.split()}
    assert top.isdisjoint(FOLDERS.values())
    assert top.isdisjoint({"pytest", "hypothesis", "trio", "qiskit_aer"})
    assert sys.modules.keys().isdisjoint(FOLDERS.values())


@pytest.mark.parametrize("package", [qiskit_gateway, backends, policies])
def test_packages_export_what_they_say(package):
    """A package shows the names in ``__all__``, and beside them only its modules."""
    shown = {name for name in dir(package) if name[0] != "_" or name in package.__all__}
    modules = {
        name
        for name in shown
        if getattr(package, name) is sys.modules.get(f"{package.__name__}.{name}")
    }
    assert shown - modules == set(package.__all__)
    assert len(package.__all__) == len(set(package.__all__))


def test_what_takes_long_to_import_is_left_until_it_is_needed():
    """Importing the package brings in nothing heavy that Qiskit has not brought in already."""
    heavy = {
        "IPython",
        "attr",
        "matplotlib",
        "opentelemetry",
        "pandas",
        "pydantic",
        "qiskit_aer",
        "rich",
        "structlog",
    }
    program = "\n".join(
        [
            "import sys, qiskit",
            "before = set(sys.modules)",
            "import qiskit_gateway, qiskit_gateway.backends, qiskit_gateway.policies",
            "print(*{name.partition('.')[0] for name in set(sys.modules) - before})",
        ]
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert not heavy & set(done.stdout.split())


def test_what_is_imported_late_is_found_all_the_same():
    """Every public name can be had from the package, and no other."""
    assert all(hasattr(qiskit_gateway, name) for name in qiskit_gateway.__all__)
    assert not hasattr(qiskit_gateway, "no_such_name")


def test_the_version_stands_in_one_place(settings):
    """The package tells the version of pyproject.toml, and has none of its own."""
    assert qiskit_gateway.__version__ == settings["project"]["version"]
    assert "version" not in (ROOT / "CITATION.cff").read_text().replace("cff-version", "").split(
        ":"
    )


def test_files_for_a_host_can_be_read():
    """Workflows and forms are YAML, and the workflows call .ci/run, which is there."""
    found = {
        path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github").rglob("*.yml")
    }
    assert {"ci.yml", "release.yml", "bug.yml"} <= set(found)
    for name in ("ci.yml", "release.yml"):
        steps = [step for job in found[name]["jobs"].values() for step in job["steps"]]
        assert any(step.get("run") == ".ci/run" for step in steps)
    assert (ROOT / ".ci" / "run").is_file()
    pythons = found["ci.yml"]["jobs"]["all"]["strategy"]["matrix"]["python"]
    classified = (ROOT / "pyproject.toml").read_text()
    assert all(f"Python :: {one}" in classified for one in pythons)
