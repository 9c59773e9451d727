"""Files that mean harm: a configuration or a journal may say anything, and steers nothing but runs."""

import os
import sqlite3
from pathlib import Path

import pytest
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import ConfigError, Journal, RouterSampler, load_config
from qiskit_gateway.backends import BackendError, Member
from qiskit_gateway.backends.failures.redaction import printable, redact
from qiskit_gateway.errors import JournalError

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
TURNED = "\u202egnp.exe"
BASIC = "qiskit.providers.basic_provider:BasicSimulator"


@pytest.fixture
def config(tmp_path):
    """Return a function that loads a text as a configuration, and the error where there is one."""

    def load(text, **given):
        path = tmp_path / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, **given)

    return load


# -- what a configuration may import and call ------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "subprocess:run",
        "builtins:eval",
        "pickle:loads",
        "runpy:run_path",
        "importlib:import_module",
        "posixpath:os.system",
        "ctypes.util:find_library",
    ],
)
@pytest.mark.parametrize("key", ["backend", "provider", "queue"])
def test_nothing_of_python_itself_is_called(config, tmp_path, key, path):
    """No backend lives in the standard library, so nothing there is imported or called for one."""
    mark = tmp_path / "mark"
    members = {
        "backend": f'backend = "{path}"\narguments = {{ command = "touch {mark}" }}',
        "provider": f'provider = "{path}"\nget_backend = "x"\narguments = {{ command = "touch {mark}" }}',
        "queue": f'backend = "{BASIC}"\nqueue = "{path}"',
    }
    with pytest.raises(ConfigError, match="a part of Python"):
        config(f"[[members]]\n{members[key]}")
    assert not mark.exists()


@pytest.mark.parametrize(
    "path",
    [
        f"{BASIC}.__init__.__globals__",
        f"{BASIC}.__class__",
        f"{BASIC}.__subclasses__",
        f"{BASIC}._default_options",
        "qiskit:__builtins__.eval",
    ],
)
def test_nothing_private_is_reached(config, path):
    """What begins with an underscore is nobody's backend, and leads everywhere."""
    with pytest.raises(ConfigError, match="must not be private"):
        config(f'[[members]]\nbackend = "{path}"')


@pytest.mark.parametrize("names", ["__class__.__init__", "device.__globals__.x", "_secret"])
def test_methods_of_a_provider_are_public(config, names):
    """So it is with the method that gives a backend."""
    text = f'[[members]]\nprovider = "{BASIC}"\nmethod = "{names}"'
    with pytest.raises(ConfigError, match="must not be private"):
        config(text)


@pytest.mark.parametrize(
    "path", ["qiskit.circuit.library:os.system", "numpy:os.system", "numpy.testing:os"]
)
def test_no_way_leads_through_another_package_into_python(config, path):
    """A module that has imported a part of Python is no door to it."""
    with pytest.raises(ConfigError, match=r"a part of Python|has no"):
        config(f'[[members]]\nbackend = "{path}"\narguments = {{ command = "true" }}')


def test_what_python_gave_away_is_still_its_own(config, tmp_path, monkeypatch):
    """A function of the standard library under the name of another module is not called."""
    (tmp_path / "lab_with_doors.py").write_text("from os import system\nimport os\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("system", "os.system", "os.path.join"):
        with pytest.raises(ConfigError, match="a part of Python"):
            config(f'[[members]]\nbackend = "lab_with_doors:{name}"')


# -- what a configuration may hold -----------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "weight = nan",
        "weight = inf",
        "weight = -1",
        "weight = 1e999",
        f"weight = 1{'0' * 400}",
        "fidelity = nan",
        "queue = nan",
        "queue = 1e300",
        "limits = { max_shots = 0 }",
        f"limits = {{ max_shots = -1{'0' * 400} }}",
        "pricing = { per_shot = nan }",
        "pricing = { per_shot = -inf }",
    ],
)
def test_numbers_that_are_none_are_refused(config, line):
    """Neither what is no number nor what is beyond all measure becomes a price, a weight or a wait."""
    with pytest.raises(ConfigError):
        config(f'[[members]]\nbackend = "{BASIC}"\n{line}')


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 50_000 + "]" * 50_000,
        "x = " + "{a=" * 50_000 + "1" + "}" * 50_000,
        "[" + "a." * 50_000 + "a]",
        f"x = {'9' * 10_000}",
        f'[[members]]\nbackend = "{BASIC}"\nrun_options = ' + "{ a = " * 300 + "1" + " }" * 300,
    ],
)
def test_what_is_nested_or_long_without_end_is_told(config, text):
    """A file that no reader can take in is an error of the file, not of the reader."""
    with pytest.raises(ConfigError, match=r"nested too deep|cannot be read"):
        config(text)


@pytest.mark.parametrize("name", [ESCAPE, TURNED, "a\nb", "a\tb", "\x00", "\x7f", "\x9b2J"])
def test_names_that_steer_a_terminal_are_refused(config, name):
    """A name stands in tables and logs: it must be what it looks like."""
    quoted = "".join(f"\\u{ord(letter):04x}" for letter in name)
    with pytest.raises(ConfigError, match="printed on a line") as raised:
        config(f'[[members]]\nbackend = "{BASIC}"\nname = "{quoted}"')
    assert printable(str(raised.value)) == str(raised.value)


def test_what_is_told_of_a_file_steers_no_terminal(config):
    """Keys, values and file names are shown as they are written, never as they act."""
    quoted = "".join(f"\\u{ord(letter):04x}" for letter in ESCAPE + TURNED)
    with pytest.raises(ConfigError) as raised:
        config(f'"{quoted}" = 1\n[policy]\npreset = "{quoted}"\n[[members]]\n"{quoted}" = 2')
    assert printable(str(raised.value)) == str(raised.value)


def test_a_variable_that_is_not_set_is_named(config):
    """What is missing is the variable, and nothing is made without it."""
    text = f'[[members]]\nbackend = "{BASIC}"\nrun_options = {{ token = {{ env = "NOT_SET" }} }}'
    with pytest.raises(ConfigError, match="NOT_SET"):
        config(text, environ={})


# -- what providers say ----------------------------------------------------------------------------


def test_what_a_provider_says_steers_no_terminal():
    """Errors and names of backends are shown, and so are no control characters of theirs."""

    class Steering(BasicSimulator):
        """A backend whose name clears the screen."""

        def __init__(self):
            super().__init__()
            self.name = ESCAPE

    for text in (redact(ESCAPE), str(BackendError(TURNED)), Member(Steering()).name):
        assert text == printable(text)
        assert "\\x" in text or "\\u" in text
    assert redact("a\r\n\tb") == "a\n\tb"


# -- where a journal may be ------------------------------------------------------------------------


def test_a_file_that_is_no_journal_stays_as_it_was(tmp_path):
    """Neither the content nor the mode of a file of somebody else's is changed."""
    text, database = tmp_path / "text", tmp_path / "database"
    text.write_text("do not touch")
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, database):
        path.chmod(0o644)
        held = path.read_bytes()
        with pytest.raises(JournalError):
            Journal(path)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (held, 0o644)


def test_a_journal_that_all_may_read_is_closed_to_them(tmp_path):
    """The file and whatever SQLite keeps beside it are its owner's alone."""
    path = tmp_path / "journal"
    journal = Journal(path)
    RouterSampler(BasicSimulator(), journal=journal).run([_bell()], shots=1).result()
    files = [path, *(Path(f"{path}{end}") for end in ("-wal", "-shm"))]
    for file in files:
        file.chmod(0o666)
    again = Journal(path)
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
    assert len(again.runs()) == 1


def test_links_lead_to_journals_or_nowhere(tmp_path):
    """A link is followed to a journal; one to anything else is refused and leaves that as it is."""
    real, victim = tmp_path / "real", tmp_path / "victim"
    Journal(real).close()
    victim.write_text("precious")
    victim.chmod(0o644)
    for name, target in (("good", real), ("bad", victim), ("nowhere", tmp_path / "none" / "x")):
        (tmp_path / name).symlink_to(target)
    Journal(tmp_path / "good")
    for name in ("bad", "nowhere"):
        with pytest.raises(JournalError):
            Journal(tmp_path / name)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_no_journal(tmp_path, kind):
    """A folder, a pipe or a device is refused at once, without being opened."""
    path = tmp_path / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = Path("/dev/null")
    with pytest.raises(JournalError, match="is not a regular file"):
        Journal(path)


def test_a_journal_of_somebody_else_is_refused(tmp_path, monkeypatch):
    """Whoever owns a journal can have it say anything of jobs, so it must be ours."""
    path = tmp_path / "journal"
    Journal(path).close()
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(JournalError, match="belongs to another user"):
        Journal(path)


def test_a_path_that_climbs_is_where_it_leads(config, tmp_path):
    """A path with dots is one like any other, from the folder of the file, and no less guarded."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "text").write_text("no journal")
    members = f'[[members]]\nbackend = "{BASIC}"'
    assert (
        Path(config(f'journal = "inner/../runs"\n{members}').journal).resolve() == tmp_path / "runs"
    )
    with pytest.raises(JournalError):
        config(f'journal = "inner/../text"\n{members}').sampler()


def _bell():
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(1)
    circuit.measure_all()
    return circuit
