"""Every command as a user calls it: a process, over real backends of a configuration file.

Most are forks of one process that has imported Qiskit. Those that are watched, killed or give help
are processes of their own.
"""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from command_server import Commands
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.primitives import BitArray

from qiskit_gateway import Journal, load_config
from qiskit_gateway.backends.tariffs import tariff_names
from qiskit_gateway.command_line.endings import exit_for

TESTS = Path(__file__).parents[2]
COMMANDS = (
    *("demo", "check", "members", "quote", "simulate", "run", "resume", "runs", "show", "spend"),
    *("dashboard", "tariffs", "schema"),
)

SIMULATOR = """
[[members]]
name = "local"
backend = "lab:Counting"
limits = { max_circuits = 50 }
tags = ["simulator"]
"""
PAID = """
[[members]]
name = "paid"
backend = "lab:Counting"
pricing = { per_job = 0.3, per_shot = 0.001 }
limits = { max_circuits = 2, max_shots = 400, max_in_flight = 1 }
"""
PUBLISHED = """
[[members]]
name = "eagle"
simulated = { job_seconds = 2, queue_seconds = 600 }
pricing = { tariff = "ibm:open", allowance = { used = 120, name = "ibm" } }

[[members]]
name = "forte"
simulated = { num_qubits = 36, circuit_seconds = 20 }
pricing = { tariff = "azure:ionq_forte", error_mitigation = false }
fidelity = 0.98
"""
BELL = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[2]; creg c[2];
h q[0]; cx q[0], q[1];
measure q -> c;
"""
GHZ = """/* of three
qubits */
OPENQASM 3.0;
include "stdgates.inc";
qubit[3] q; bit[3] c;
h q[0]; cx q[0], q[1]; cx q[1], q[2];
c = measure q;
"""


class Shell:
    """A folder with files, and commands that are called in it."""

    def __init__(self, folder, commands):
        self.folder = folder
        self.commands = commands
        self.seen = folder / "seen"

    def write(self, name, text):
        """Write a file and return its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def environment(self, **variables):
        """Return the environment of a command, in which files may name what is in tests/lab.py."""
        paths = {"PYTHONPATH": str(TESTS), "RUNS_SEEN": str(self.seen)}
        others = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        return {**others, **paths, **variables}

    def call(self, *words, **variables):
        """Call a command and return what became of it."""
        environment = self.environment(**variables)
        return self.commands.call([*map(str, words)], self.folder, environment)

    def read(self, *words, code=0, **variables):
        """Call a command with --json and return what it printed."""
        done = self.call(*words, "--json", **variables)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    @property
    def circuits_sent(self):
        """Names of the circuits that backends were sent."""
        return self.seen.read_text().split() if self.seen.exists() else []


@pytest.fixture(scope="module")
def commands():
    """Return what calls commands."""
    made = Commands({**os.environ, "PYTHONPATH": str(TESTS)})
    yield made
    made.close()


@pytest.fixture
def shell(tmp_path, commands):
    """Return a folder with a circuit in each language."""
    made = Shell(tmp_path, commands)
    made.write("bell.qasm", BELL)
    made.write("ghz.qasm", GHZ)
    circuits = []
    for number in range(2):
        circuit = QuantumCircuit(2, name=f"qpy{number}")
        circuit.x(number)
        circuit.measure_all()
        circuits.append(circuit)
    with (tmp_path / "two.qpy").open("wb") as file:
        qpy.dump(circuits, file)
    return made


# -- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS), []])
def test_help_says_and_runs_nothing(words):
    """Help of the program and of each command comes without Qiskit, and so at once."""
    program = "\n".join(
        [
            "import sys",
            "from qiskit_gateway.__main__ import main",
            f"sys.argv = {['qiskit-gateway', *words]!r}",
            "try:",
            "    main()",
            "except SystemExit as end:",
            "    print('ended with', end.code)",
            "print([name for name in ('qiskit', 'numpy', 'pydantic') if name in sys.modules])",
        ]
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    said = done.stdout.splitlines()
    assert "Usage: qiskit-gateway" in (done.stdout if words else done.stderr)
    assert said[-2] == f"ended with {0 if words else 2}"
    assert "qiskit" not in json.loads(said[-1].replace("'", '"'))


def test_all_commands_are_listed(shell):
    """The first page names every command, and the exit codes."""
    said = shell.call("--help", COLUMNS="80").stdout
    assert all(f"\n  {name} " in said for name in COMMANDS)
    assert "Exit codes" in said
    _, listed = said.split("Commands:")
    assert "..." not in listed  # No description is cut.


def test_the_shell_completes(shell):
    """The names of commands and options are completed."""
    variables = {
        "_QISKIT_GATEWAY_COMPLETE": "complete_bash",
        "COMP_WORDS": "qiskit-gateway qu",
        "COMP_CWORD": "1",
    }
    assert shell.call(**variables).stdout.split() == ["quote"]


def test_the_version_is_that_of_the_package(shell):
    """The version is told in one word."""
    from importlib.metadata import version

    assert shell.call("--version").stdout == f"qiskit-gateway {version('qiskit-gateway')}\n"


def test_the_demonstration_runs(shell):
    """It needs nothing but Qiskit."""
    done = shell.call("demo")
    assert done.returncode == 0, done.stderr
    assert "GHZ of 7 qubits" in done.stdout


# -- check, members ------------------------------------------------------------------------------


def test_a_right_file_is_checked(shell):
    """Each member is told with its limits and tariff, the source and date of published ones too."""
    file = shell.write("fleet.toml", SIMULATOR + PAID + PUBLISHED)
    said = shell.call("check", file).stdout
    for text in (
        "fleet.toml is right: 4 members",
        "50 circuits",
        "USD 0.3 a job, 0.001 a shot",
        "azure:ionq_forte: MicrosoftDocs/quantum-docs, articles/pricing.md, as of 2026-04-15",
        "budget: none",
    ):
        assert text in said
    facts = shell.read("check", file)
    assert facts["ok"] is True
    assert [one["name"] for one in facts["members"]] == ["local", "paid", "eagle", "forte"]
    assert facts["members"][1]["limits"]["max_in_flight"] == 1
    assert facts["members"][1]["tariff"]["rates"]["per_job"] == 0.3
    assert facts["members"][2]["tariff"]["source"].startswith("api-evangelist/ibm-quantum")
    assert facts["members"][2]["tariff"]["allowance"]["usd_per_unit"] is None  # None is sold.
    assert not shell.circuits_sent


def test_what_is_wrong_in_a_file_is_said(shell):
    """The text of the error has the line and the likely fix; the exit code is that of bad input."""
    file = shell.write("fleet.toml", SIMULATOR.replace("max_circuits", "max_circuit"))
    done = shell.call("check", file)
    assert done.returncode == 3
    assert "line 5: members[0].limits.max_circuit: unknown key; did you mean" in done.stderr
    assert not done.stdout


def test_members_that_do_not_answer_are_told(shell):
    """One that is away, one that rests and one that answers are told apart; no secret is shown."""
    members = "\n".join(
        f'[[members]]\nname = "{name}"\nbackend = "lab:{name}"'
        for name in ("Busy", "Resting", "Away", "Counting")
    )
    file = shell.write("fleet.toml", members)
    facts = shell.read("check", file, code=4)
    told = {one["name"]: one for one in facts["members"]}
    reached = {name: one["reachable"] for name, one in told.items()}
    assert reached == {"Busy": True, "Resting": False, "Away": False, "Counting": None}
    assert told["Busy"]["pending_jobs"] == 7
    assert told["Resting"]["why"] == "is not in operation: cooling down"
    assert "no route to host" in told["Away"]["why"]
    done = shell.call("check", file)
    assert done.returncode == 4
    assert "Away: ConnectionError: no route to host" in done.stdout
    assert "abc123secret456" not in done.stdout + done.stderr + json.dumps(facts)


def test_bits_are_examined(shell):
    """With --backends members that lie about bits are found, and others are said to be right."""
    lying = '[[members]]\nname = "mirrored"\nbackend = "lab:Mirrored"\n'
    file = shell.write("fleet.toml", SIMULATOR + lying)
    facts = shell.read("check", file, "--backends", code=4)
    assert [one["bits"]["ok"] for one in facts["members"]] == [True, False]
    done = shell.call("check", file, "--backends", "--member", "local")
    assert done.returncode == 0
    assert "local: ok" in done.stdout


def test_jobs_that_cost_are_not_sent_unasked(shell):
    """Where jobs cost money somebody has to say yes; without a terminal that is an option."""
    file = shell.write("fleet.toml", PAID)
    done = shell.call("check", file, "--backends")
    assert done.returncode == 2
    assert "cost money" in done.stderr
    assert not shell.circuits_sent
    assert shell.call("check", file, "--backends", "--yes").returncode == 0
    assert shell.circuits_sent


def test_members_are_listed_with_their_queues(shell):
    """The queue is read where it can be."""
    busy = '[[members]]\nname = "busy"\nbackend = "lab:Busy"\n'
    file = shell.write("fleet.toml", SIMULATOR + busy + PUBLISHED)
    listed = shell.call("members", file).stdout
    assert "pending" not in listed
    assert all(name in listed for name in ("local", "busy", "eagle", "forte"))
    facts = shell.read("members", file, "--queue")
    assert [one["pending_jobs"] for one in facts] == [None, 7, None, None]
    assert [one["wait_seconds"] for one in facts] == [None, None, 600, 0]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_tables_fit_the_terminal_and_lose_nothing(shell, columns):
    """Whatever the width, every name and number is there and tables are no wider."""
    long = "a device with quite a long name"
    file = shell.write("fleet.toml", PAID.replace('"paid"', f'"{long}"') + PUBLISHED)
    said = shell.call("members", file, "--queue", COLUMNS=str(columns)).stdout
    assert max(map(len, said.splitlines())) <= columns
    words = set(said.replace(",", " ").split())
    assert {*long.split(), "Counting", "0.98", "azure:ionq_forte"} - words <= {"0.98"}
    assert "0.980" in words


# -- circuits ------------------------------------------------------------------------------------


def test_a_quote_is_that_of_python(shell):
    """The quote of the command is what the sampler quotes, and nothing is sent."""
    file = shell.write("fleet.toml", PUBLISHED)
    told = shell.read("quote", file, "bell.qasm", "two.qpy", "--shots", 500)
    circuits = [QuantumCircuit.from_qasm_str(BELL)]
    with (shell.folder / "two.qpy").open("rb") as two:
        circuits += qpy.load(two)
    quote = load_config(shell.folder / file).sampler().quote(circuits, shots=500)
    assert told["price_usd"] == pytest.approx(quote.price_usd)
    assert told["shots"] == 1500
    assert "total" in shell.call("quote", file, "bell.qasm").stdout


def test_a_quote_beyond_the_budget_says_no(shell):
    """What would not be done is in the exit code, too."""
    file = shell.write("fleet.toml", PAID + "[policy.budget]\nusd = 0.1\n")
    done = shell.call("quote", file, "bell.qasm")
    assert done.returncode == 4
    assert "the budget of 0.1 usd" in done.stdout
    assert not shell.circuits_sent


def test_a_run_is_simulated(shell):
    """The makespan is that of the model, and a seed makes it the same again."""
    file = shell.write("fleet.toml", PUBLISHED)
    told = shell.read("simulate", file, "bell.qasm", "--seed", 3)
    assert told["makespan_seconds"] == pytest.approx(20, abs=0.1)
    assert told == shell.read("simulate", file, "bell.qasm", "--seed", 3)
    assert "20.0 s" in shell.call("simulate", file, "bell.qasm").stdout


def test_a_simulation_with_losses_says_no(shell):
    """Members that fail all jobs leave work undone."""
    failing = '[[members]]\nname = "bad"\nsimulated = { job_seconds = 1, failure_rate = 1 }\n'
    file = shell.write("fleet.toml", failing + "[policy]\ndeadline_seconds = 60\n")
    told = shell.read("simulate", file, "bell.qasm", code=4)
    assert told["given_up"]
    assert shell.call("simulate", file, "bell.qasm").returncode == 4


@pytest.mark.parametrize("backend", ["lab:Counting", "qiskit_aer:AerSimulator"])
def test_circuits_of_every_language_run(shell, backend):
    """QASM 2, QASM 3 and QPY: every circuit gets its shots, in the order of the files."""
    if "aer" in backend:
        pytest.importorskip("qiskit_aer")
    pytest.importorskip("qiskit_qasm3_import")
    file = shell.write("fleet.toml", SIMULATOR.replace("lab:Counting", backend) + PAID)
    words = ("run", file, "bell.qasm", "ghz.qasm", "two.qpy", "--shots", 300, "--seed", 5)
    facts = shell.read(*words, "--out", "result.json")
    assert facts == json.loads((shell.folder / "result.json").read_text())
    labels = [pub["label"] for pub in facts["pubs"]]
    assert labels == ["bell.qasm", "ghz.qasm", "two.qpy[0]", "two.qpy[1]"]
    counts = [next(iter(pub["data"].values()))["counts"] for pub in facts["pubs"]]
    assert [sum(one.values()) for one in counts] == [300] * 4
    assert [set(one) for one in counts] == [{"00", "11"}, {"000", "111"}, {"01"}, {"10"}]
    assert facts["complete"] is True
    again = shell.read(*words)
    assert [pub["data"] for pub in again["pubs"]] == [pub["data"] for pub in facts["pubs"]]


def test_arrays_can_be_loaded_again(shell):
    """A file of numpy has the bits of every shot, and how many there are."""
    file = shell.write("fleet.toml", SIMULATOR)
    done = shell.call("run", file, "bell.qasm", "two.qpy", "--shots", 64, "--out", "result.npz")
    assert done.returncode == 0, done.stderr
    assert "bell.qasm: c\n  " in done.stdout
    with np.load(shell.folder / "result.npz") as arrays:
        bits = BitArray(arrays["1.meas"], int(arrays["1.meas.num_bits"]))
        assert set(arrays) == {
            f"{n}{end}" for n in ("0.c", "1.meas", "2.meas") for end in ("", ".num_bits")
        }
    assert bits.get_counts() == {"01": 64}


def write_to(stdout, shell, *words):
    """Call a command whose output goes somewhere, in a process of its own."""
    command = [sys.executable, "-m", "qiskit_gateway", *words]
    where = shell.environment()
    return subprocess.run(  # noqa: S603
        command, cwd=shell.folder, env=where, stdout=stdout, stderr=subprocess.PIPE, check=False
    )


@pytest.mark.parametrize("words", [["--help"], ["schema"], ["members", "fleet.toml"]])
def test_output_that_cannot_be_written_ends_as_in_other_programs(shell, words):
    """A full disk is told in a line; where nobody reads any more, nothing is said."""
    shell.write("fleet.toml", SIMULATOR)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = write_to(full, shell, *words)
    assert done.returncode == 1
    assert done.stderr == b"error: the output cannot be written: No space left on device\n"

    reader, writer = os.pipe()
    os.close(reader)
    done = write_to(writer, shell, *words)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_names_that_an_encoding_lacks_cost_no_result(shell):
    """Where stdout cannot show a name, it has a mark there, JSON escapes it, and files have it."""
    file = shell.write("fleet.toml", SIMULATOR.replace('"local"', '"größe"'))
    name = shell.write("zürich🎉.qasm", BELL)

    def run(*words):
        command = [
            sys.executable,
            "-m",
            "qiskit_gateway",
            "run",
            file,
            name,
            "--shots",
            "7",
            *words,
        ]
        where = shell.environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        return subprocess.run(  # noqa: S603
            command, cwd=shell.folder, env=where, capture_output=True, check=False
        )

    done = run("--out", "result.json")
    assert done.returncode == 0, done.stderr
    assert b"z?rich?.qasm: c" in done.stdout
    facts = json.loads((shell.folder / "result.json").read_text(encoding="utf-8"))
    assert facts["pubs"][0]["label"] == name
    printed = json.loads(run("--json").stdout.decode("ascii"))
    assert printed["pubs"][0]["label"] == name
    assert set(printed["report"]["members"]) == {"größe"}


def test_what_came_back_is_delivered_where_some_failed(shell):
    """A run with a bad circuit ends with 5, and the result of the others is written."""
    bad = QuantumCircuit(1, name="bad")
    bad.measure_all()
    with (shell.folder / "bad.qpy").open("wb") as out:
        qpy.dump(bad, out)
    file = shell.write("fleet.toml", SIMULATOR.replace("Counting", "Picky"))
    done = shell.call("run", file, "bell.qasm", "bad.qpy", "--shots", 50, "--out", "part.json")
    assert done.returncode == 5
    assert "not to my taste" in done.stderr
    facts = json.loads((shell.folder / "part.json").read_text())
    assert facts["complete"] is False
    assert sum(facts["pubs"][0]["data"]["c"]["counts"].values()) == 50


def test_what_can_run_nowhere_is_not_sent(shell):
    """A circuit that is too wide ends with 4, each member's reason, and no file."""
    file = shell.write("fleet.toml", SIMULATOR.replace("max_circuits = 50", "num_qubits = 1"))
    done = shell.call("run", file, "bell.qasm", "--out", "result.json")
    assert done.returncode == 4
    assert "nothing was sent" in done.stderr
    assert "local: needs 2 qubits, has 1" in done.stderr
    assert not (shell.folder / "result.json").exists()


# -- bad input -----------------------------------------------------------------------------------


def parametrized():
    """Write a circuit with parameters, one that measures nothing, and damaged files."""
    open_ended = QuantumCircuit(1)
    open_ended.rx(Parameter("theta"), 0)
    open_ended.measure_all()
    return {"open.qpy": open_ended, "blind.qpy": QuantumCircuit(1, 1)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.qasm", "missing.qasm: No such file or directory"),
        (".", "Is a directory"),
        ("open.qpy", "open.qpy: has parameters without values: theta"),
        ("blind.qpy", "blind.qpy: measures nothing"),
        ("cut.qpy", "cut.qpy: this QPY cannot be read"),
        ("torn.qasm", "torn.qasm: "),
        ("torn3.qasm", "torn3.qasm: "),
        ("letter.txt", "letter.txt: is neither QPY nor OpenQASM"),
        ("noise.bin", "noise.bin: is neither QPY nor OpenQASM"),
        ("empty.qasm", "empty.qasm: is neither QPY nor OpenQASM"),
    ],
)
def test_circuits_that_cannot_be_run_are_told(shell, name, said):
    """Whatever is wrong with a circuit: a sentence, exit code 3, and nothing sent."""
    if name == "torn3.qasm":
        pytest.importorskip("qiskit_qasm3_import")
    for file, circuit in parametrized().items():
        with (shell.folder / file).open("wb") as out:
            qpy.dump(circuit, out)
    (shell.folder / "cut.qpy").write_bytes((shell.folder / "two.qpy").read_bytes()[:99])
    (shell.folder / "noise.bin").write_bytes(bytes(range(256)))
    shell.write("torn.qasm", BELL.replace("cx q[0]", "cx q[7]"))
    shell.write("torn3.qasm", GHZ.replace("c = measure q;", "c = measure r;"))
    shell.write("letter.txt", "Dear Sir or Madam,\n")
    shell.write("empty.qasm", "")
    file = shell.write("fleet.toml", SIMULATOR)
    done = shell.call("run", file, "bell.qasm", name)
    assert done.returncode == 3
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not shell.circuits_sent


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "none.toml", "bell.qasm"], 3, "none.toml: No such file or directory"),
        (["run", "fleet.toml"], 2, "CIRCUITS"),
        (["run", "fleet.toml", "bell.qasm", "--shots", "0"], 2, "--shots"),
        (["run", "fleet.toml", "bell.qasm", "--shots", "many"], 2, "--shots"),
        (["run", "fleet.toml", "bell.qasm", "--shots", "9" * 15], 3, "ask for fewer shots"),
        (["run", "fleet.toml", "keys.qasm"], 3, "nothing was sent: pub 0 has classical registers"),
        (["quote", "fleet.toml", "keys.qasm"], 3, "rename the register"),
        (["run", "fleet.toml", "bell.qasm", "--out", "result.csv"], 2, ".json or .npz"),
        (["run", "fleet.toml", "bell.qasm", "--out", "no/such/r.json"], 3, "no folder"),
        (["run", "fleet.toml", "bell.qasm", "--out", "there.json"], 3, "there already"),
        (["check", "bell.qasm"], 3, "bell.qasm is not TOML"),
        (["check", "fleet.toml", "--backends", "--member", "nobody"], 2, "there are local"),
        (["runs", "none.sqlite"], 3, "there is no journal at none.sqlite"),
        (["runs", "bell.qasm"], 3, "bell.qasm"),
        (["runs", "fleet.toml"], 3, "names no journal"),
        (["show", "none.sqlite", "abc"], 3, "there is no journal"),
        (["spend", "none.sqlite", "--by", "week"], 2, "member, day, run, user"),
        (["resume", "fleet.toml", "abc"], 3, "names no journal"),
        (["tariffs", "no-such-thing"], 3, "no-such-thing"),
        (["dashboard"], 2, "--journal FILE"),
        (["dashboard", "--journal", "none.sqlite"], 3, "there is no journal at none.sqlite"),
        (["dashboard", "--config", "fleet.toml"], 3, "names no journal"),
        (["dashboard", "--journal", "bell.qasm"], 3, "bell.qasm"),
        (["dashboard", "--journal", "fleet.toml", "--port", "70000"], 2, "--port"),
        (["flying"], 2, "flying"),
    ],
)
def test_wrong_calls_are_told(shell, words, code, said):
    """Whatever is wrong with a call: a sentence, the exit code of its kind, and nothing sent."""
    shell.write("fleet.toml", SIMULATOR)
    shell.write("there.json", "mine")
    shell.write("keys.qasm", BELL.replace("creg c", "creg keys").replace("-> c", "-> keys"))
    done = shell.call(*words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not shell.circuits_sent
    assert (shell.folder / "there.json").read_text() == "mine"
    assert not (shell.folder / "none.sqlite").exists()


def test_a_fault_of_ours_says_so(capsys, monkeypatch):
    """What nobody has foreseen ends with 1, hides secrets, and shows where it was on request."""
    fault = RuntimeError("token=abc123secret456")
    assert exit_for(fault) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: token=[redacted]\nThis should not happen.")
    monkeypatch.setenv("QISKIT_GATEWAY_DEBUG", "1")
    assert exit_for(fault) == 1
    assert "RuntimeError: token=[redacted]" in capsys.readouterr().err


# -- journals ------------------------------------------------------------------------------------


def hang(shell, file, *words):
    """Begin a run, and return its process once a job was submitted."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "qiskit_gateway", "run", file, "bell.qasm", *words],
        cwd=shell.folder,
        env=shell.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line == "a job is here\n":
            return process
    raise AssertionError(process.wait())


def test_a_run_outlives_its_process(shell):
    """A killed run is listed as interrupted, shown, resumed to its end, and paid for."""
    local = SIMULATOR.replace("Counting", "Hanging") + "pricing = { per_shot = 0.01 }\n"
    file = shell.write("fleet.toml", 'journal = "runs.sqlite"\n' + local)
    process = hang(shell, file, "--shots", "100")
    (running,) = shell.read("runs", file)
    assert (running["state"], running["held"]) == ("running", True)
    assert shell.call("resume", file, running["job_id"]).returncode == 3  # Somebody works on it.
    process.kill()
    process.communicate()

    (left,) = shell.read("runs", "runs.sqlite")
    assert (left["state"], left["held"], left["shots_done"]) == ("running", False, 0)
    assert "interrupted" in shell.call("runs", file).stdout
    begin = left["job_id"][:6]
    shown = shell.read("show", "runs.sqlite", begin)
    assert [one["outcome"] for one in shown["report"]["attempts"]] == ["unknown"]
    # The job is lost with the simulator that ran it, so that another member has to do it.
    shell.write(file, 'journal = "runs.sqlite"\n' + local + PAID)
    done = shell.call("resume", file, begin, "--out", "r.json", LET_GO="1")
    assert done.returncode == 0, done.stderr
    facts = json.loads((shell.folder / "r.json").read_text())
    assert sum(facts["pubs"][0]["data"]["c"]["counts"].values()) == 100

    (over,) = shell.read("runs", "sqlite:///runs.sqlite")
    assert (over["state"], over["shots_done"]) == ("done", 100)
    assert "done: 100 of 100 shots have arrived" in shell.call("show", file, begin).stdout
    for by in ("member", "day", "run", "user"):
        told = shell.read("spend", file, "--by", by)
        assert told["total"]["usd"] == pytest.approx(over["spent_usd"]) == pytest.approx(1.4)
    paid = {one["member"]: one["usd"] for one in shell.read("spend", file)["rows"]}
    assert paid == pytest.approx({"local": 1.0, "paid": 0.4})
    assert "total" in shell.call("spend", file).stdout
    (nobody,) = shell.read("spend", file, "--by", "user")["rows"]
    assert nobody["user"] == ""


def test_an_interrupted_run_without_a_journal_is_cancelled(shell):
    """Ctrl-C cancels, delivers what there is, and ends with 130."""
    file = shell.write("fleet.toml", SIMULATOR.replace("Counting", "Hanging"))
    process = hang(shell, file, "--shots", "100", "--out", "part.json")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "the job was cancelled" in said
    assert json.loads((shell.folder / "part.json").read_text())["complete"] is False


def test_an_interrupted_run_with_a_journal_goes_on_later(shell):
    """Ctrl-C leaves the jobs to their providers, and says how to go on."""
    file = shell.write(
        "fleet.toml", 'journal = "r.sqlite"\n' + SIMULATOR.replace("Counting", "Hanging")
    )
    process = hang(shell, file)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    (run,) = Journal(shell.folder / "r.sqlite").runs()
    assert f"qiskit-gateway resume {file} {run.job_id}" in said
    assert run.held is False


def test_the_latest_run_is_shown_without_an_id(shell):
    """Who has just run something need not look its id up; an empty journal is an error."""
    Journal(shell.folder / "empty.sqlite")
    done = shell.call("show", "empty.sqlite")
    assert done.returncode == 3
    assert "holds no run yet" in done.stderr
    file = shell.write("fleet.toml", 'journal = "runs.sqlite"\n' + SIMULATOR)
    for _ in range(2):
        assert shell.call("run", file, "bell.qasm").returncode == 0
    *_, latest = shell.read("runs", file)
    assert shell.read("show", file)["run"]["job_id"] == latest["job_id"]
    told = shell.call("show", file).stdout
    assert "queue and run" in told  # The timeline.


def test_ids_that_are_unclear_are_told(shell):
    """An id that is not there, or stands for several runs, is an error that says so."""
    file = shell.write("fleet.toml", 'journal = "runs.sqlite"\n' + SIMULATOR)
    assert shell.call("run", file, "bell.qasm").returncode == 0
    assert shell.call("run", file, "bell.qasm").returncode == 0
    assert len(shell.read("runs", file)) == 2
    for name, said in (("zzz", "there is no run 'zzz'"), ("", "there is no run ''")):
        done = shell.call("show", file, name)
        assert done.returncode == 3
        assert said in done.stderr


# -- progress ------------------------------------------------------------------------------------


def watch(shell, *words):
    """Call a command with a terminal for its stderr; return its exit code, output and terminal."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read():
        with contextlib.suppress(OSError):  # It says so when nobody writes any more.
            while chunk := os.read(ours, 4096):
                shown.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-m", "qiskit_gateway", *words],
        cwd=shell.folder,
        env=shell.environment(TERM="xterm", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=False,
    )
    os.close(theirs)
    reader.join(30)
    os.close(ours)
    return done.returncode, done.stdout, shown.decode()


@pytest.mark.parametrize("words", [(), ("--json",), ("--quiet",)])
def test_a_terminal_shows_how_far_a_run_is(shell, words):
    """A bar with a line for each member, beside the output; quiet, nothing."""
    file = shell.write("fleet.toml", SIMULATOR + PAID)
    code, output, shown = watch(shell, "run", file, "bell.qasm", "--shots", "100", *words)
    assert code == 0, shown
    assert "100%" not in output
    if "--quiet" in words:
        assert shown == ""
        return
    last = shown[shown.rindex("100%") :]
    assert "1 of 1 circuits" in last
    assert "local" in last
    assert "paid" in last
    if "--json" in words:
        assert json.loads(output)["complete"] is True


def test_a_resumed_run_shows_how_far_it_is(shell):
    """What was done before counts."""
    file = shell.write("fleet.toml", 'journal = "r.sqlite"\n' + SIMULATOR)
    assert shell.call("run", file, "bell.qasm").returncode == 0
    (run,) = shell.read("runs", file)
    code, _, shown = watch(shell, "resume", file, run["job_id"])
    assert code == 0, shown
    assert "1 of 1 circuits" in shown[shown.rindex("100%") :]


def test_a_pipe_shows_remarks_and_no_bar(shell):
    """Whoever reads the errors of a command from a file gets lines, and quiet none."""
    file = shell.write("fleet.toml", SIMULATOR)
    done = shell.call("run", file, "bell.qasm")
    assert re.fullmatch(r"run [0-9a-f-]{36}: 1 circuits, 1024 shots each\n", done.stderr)
    assert shell.call("run", file, "bell.qasm", "-q").stderr == ""


# -- reference -----------------------------------------------------------------------------------


def test_all_tariffs_are_listed(shell):
    """Each has its source, its date, and what it asks for."""
    told = shell.read("tariffs")
    assert [one["name"] for one in told] == list(tariff_names())
    assert all(one["source"] and one["as_of"] for one in told)
    pasqal = next(one for one in told if one["name"] == "azure:pasqal_qpu")
    assert pasqal["asks_for"] == ["usd_per_eur"]
    said = shell.call("tariffs", "pasqal").stdout
    assert "usd_per_eur: what you pay for one euro, in USD" in said
    assert "braket" not in said


def test_the_schema_is_that_of_python(shell):
    """Editors get what ``config_schema()`` returns."""
    from qiskit_gateway import config_schema

    done = shell.call("schema")
    assert json.loads(done.stdout) == config_schema()


# -- the dashboard -------------------------------------------------------------------------------


def serve(shell, *words):
    """Start the dashboard, and return its process and its address."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-W", "error", "-m", "qiskit_gateway", "dashboard", *map(str, words)],
        cwd=shell.folder,
        env=shell.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def test_a_dashboard_is_served_until_it_is_interrupted(shell):
    """It prints where it is, shows the runs, needs its token to act, and ends in peace, watched or not."""
    pytest.importorskip("starlette")
    file = shell.write("fleet.toml", f"journal = 'runs.sqlite'\n{SIMULATOR}")
    run_id = shell.read("run", file, "bell.qasm", "--shots", "10")["job_id"]

    process, address = serve(shell, "--config", file, "--port", "0")
    with process:
        page, _, token = address.partition("#token=")
        port = page.rpartition(":")[2].strip("/")
        assert page == f"http://127.0.0.1:{port}/"
        assert len(token) >= 32
        with urllib.request.urlopen(page) as answer:  # noqa: S310
            assert run_id[:8] in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{page}runs/{run_id}/cancel", data=b"")  # noqa: S310
        taken = shell.call("dashboard", "--config", file, "--port", port)
        assert taken.returncode == 4
        assert f"port {port} cannot be used" in taken.stderr

        with urllib.request.urlopen(f"{page}events") as live:  # noqa: S310
            assert live.readline() == b"event: parts\n"
            process.send_signal(signal.SIGINT)
            said = process.communicate()[1]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert token not in said
