"""Progress is shown where somebody looks, as it changes, and nowhere else."""

import io
import os
import pty
import re
import subprocess
import sys
import threading

import pytest
from qiskit import QuantumCircuit
from small_circuits import ones

from qiskit_gateway import MemberProgress, Progress, RouterEstimator, RouterSampler, RunEvent
from qiskit_gateway.backends import Limits, Pricing, SimulatedMember
from qiskit_gateway.reporting.watch import (
    WATCH_ENDS,
    LinesScreen,
    NoScreen,
    TerminalScreen,
    Watch,
    find_screen,
    render_progress,
)
from qiskit_gateway.work.record.outlook import Outlook


def progress(done=1, seconds=0.0, name="a"):
    member = MemberProgress(
        circuits_done=done,
        shots_done=10 * done,
        circuits_running=3,
        shots_running=30,
        circuits_queued=2,
        price_usd=1.5,
    )
    return Progress(
        circuits=8,
        circuits_done=done,
        shots=80,
        shots_done=10 * done,
        members={name: member},
        seconds=seconds,
        outlook=Outlook(seconds=120.0, least_seconds=80.0, most_seconds=180.0),
    )


def sampler():
    members = [
        SimulatedMember(
            name,
            job_seconds=0.05,
            pricing=Pricing(per_job=0.25),
            limits=Limits(max_circuits=2, max_in_flight=1),
        )
        for name in ("north", "south")
    ]
    return RouterSampler(members)


class Shown:
    """A screen that keeps what it is shown."""

    def __init__(self):
        self.shown, self.closed = [], 0

    def show(self, one):
        self.shown.append(one)

    def close(self):
        self.closed += 1


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


def test_one_line_says_what_is_done_runs_waits_and_costs():
    """Each fact that a run has is there; what is 0 is left out."""
    assert str(progress()) == (
        "12% | 1 of 8 circuits | 1.5000 USD | 0 s so far | about 2.0 min more (80.0 s to 3.0 min) "
        "| a: 1 done, 1 running, 2 in queue"
    )
    assert "more" not in str(progress(done=8))


def test_many_events_at_once_are_drawn_at_most_five_times_a_second():
    """And what is drawn last is how the run stands after the last event."""
    clock, screen = Clock(), Shown()
    state = {"done": 0}
    watch = Watch(lambda: progress(state["done"], clock.now), screen, clock=clock, wait=clock.wait)
    watch.begin()
    for number in range(1000):
        state["done"] = min(8, number // 100)
        watch.on_event(RunEvent(job_id="x", seconds=number / 1000))
    watch.on_event(WATCH_ENDS)
    watch.on_event(RunEvent(job_id="x", seconds=2.0))

    assert 3 <= len(screen.shown) <= 8
    assert screen.shown[-1].circuits_done == 8
    assert screen.closed == 1


def test_lines_come_once_in_ten_seconds_and_at_the_end():
    """A log is not flooded, and ends with how the run ended."""
    clock, file = Clock(), io.StringIO()
    screen = LinesScreen(file, clock)
    for second in range(25):
        clock.now = float(second)
        screen.show(progress(min(8, second // 3), second))
    screen.show(progress(8, 25.0))
    screen.close()

    lines = file.getvalue().splitlines()
    assert [line.partition(" |")[0] for line in lines] == ["0%", "38%", "75%", "100%"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"onmouseover="x', "<b>"])
def test_names_cannot_act_as_html(name):
    """What stands in a name is text, whoever chose it."""
    html = render_progress(progress(name=name))
    assert name not in html
    assert html.count("<th") == 2


def test_no_bar_where_nobody_looks(capfd):
    """Neither stdout nor stderr gets a byte, where they are no terminal."""
    job = sampler().run([ones()] * 6, shots=10, progress=True)
    job.watch()
    job.result(timeout=60)

    assert isinstance(find_screen(), NoScreen)
    assert capfd.readouterr() == ("", "")


def test_watching_into_a_file_ends_with_the_run():
    """Who asks for lines gets them, the last one with all of it."""
    file = io.StringIO()
    job = sampler().run([ones()] * 6, shots=10)
    job.watch(file=file)

    assert job.done()
    last = file.getvalue().splitlines()[-1]
    paid = job.report().price_usd
    assert last.startswith(f"100% | 6 of 6 circuits | {paid:.4f} USD | ")
    done = [int(count) for count in re.findall(r"(?:north|south): (\d+) done", last)]
    assert sum(done) == 6
    job.watch(file=file)  # A run that is over is shown as it ended.
    assert file.getvalue().splitlines()[-1] == last


def test_a_run_that_fails_is_watched_to_its_end():
    """Watching raises nothing of the run's own failure."""
    file = io.StringIO()
    job = RouterSampler(SimulatedMember("a", num_qubits=1)).run([ghz()], shots=10)
    job.watch(file=file)
    assert job.in_final_state()
    assert not job.done()
    assert file.getvalue().startswith("0%")


def ghz():
    made = QuantumCircuit(2)
    made.measure_all()
    return made


def test_a_terminal_gets_a_bar_with_a_line_for_each_member():
    """The bar is drawn in place, and what stays has all done."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read():
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:
                return
            if not chunk:
                return
            seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w") as terminal:
        assert isinstance(find_screen(terminal), TerminalScreen)
        job = sampler().run([ones()] * 6, shots=10)
        job.watch(file=terminal)
    reader.join(30)
    os.close(ours)

    text = seen.decode()
    assert "\x1b[" in text  # Drawn over, not below.
    last = text[text.rindex("100%") :]
    assert "6 of 6 circuits" in last
    assert "north" in last
    assert "south" in last
    assert "0 running" in last


def test_the_estimator_shows_progress_too(capfd):
    """Both primitives take the same word."""
    made = QuantumCircuit(1)
    job = RouterEstimator(SimulatedMember("a")).run([(made, "Z")], progress=True)
    job.result(timeout=60)
    assert job.progress().share == 1
    assert capfd.readouterr() == ("", "")


def test_watching_ends_at_an_interrupt_and_the_run_goes_on():
    """Ctrl-C leaves the run alone."""
    program = "\n".join(
        [
            "import os, signal, sys, threading",
            "from qiskit import QuantumCircuit",
            "from qiskit.providers.basic_provider import BasicSimulator",
            "from qiskit_gateway import RouterSampler",
            "from qiskit_gateway.backends.scripted import Hangs, ScriptedBackend",
            "made = QuantumCircuit(1); made.measure_all()",
            "held = ScriptedBackend(BasicSimulator(), [Hangs('result')])",
            "job = RouterSampler(held).run([made])",
            "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()",
            "try:",
            "    job.watch()",
            "except KeyboardInterrupt:",
            "    print('interrupted', job.in_final_state())",
            "while not job.in_final_state():",
            "    held.release()  # It may not have been sent before.",
            "    threading.Event().wait(0.01)",
            "job.result(timeout=60)",
            "print('done', job.done())",
        ]
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)  # noqa: S603
    assert ended.stdout.split() == ["interrupted", "False", "done", "True"]
    assert ended.stderr == ""


def test_a_notebook_shows_a_bar_below_the_cell():
    """In a real kernel, from a cell that returns at once, and without anything being printed."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(
            "from qiskit import QuantumCircuit\n"
            "from qiskit_gateway import RouterSampler\n"
            "from qiskit_gateway.backends import Limits, SimulatedMember\n"
            "made = QuantumCircuit(1); made.measure_all()\n"
            "member = SimulatedMember('a', job_seconds=0.1, limits=Limits(max_circuits=2))\n"
            "job = RouterSampler(member).run([made] * 6, progress=True)"
        ),
        nbformat.v4.new_code_cell("job.watch()"),
    ]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbclient.NotebookClient(notebook, timeout=120).execute()

    for cell in notebook.cells:
        (output,) = cell.outputs
        assert output.output_type == "display_data"
        assert '<progress max="1" value="1.0000"' in output.data["text/html"]
        assert output.data["text/plain"].startswith("100% | 6 of 6 circuits")
