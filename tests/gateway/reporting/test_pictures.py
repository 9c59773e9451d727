"""Timelines show what happened, and pictures can be drawn of whatever a run may be."""

import io
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qiskit_gateway import Attempt, AttemptOutcome, Report, RouterSampler, compare, simulate
from qiskit_gateway.backends import Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import Budget, cheapest, fastest, round_robin
from qiskit_gateway.reporting.pictures import COLOURS
from qiskit_gateway.reporting.timeline import _MARKS, KINDS, arrange_timeline, write_timeline


def attempt(number=0, member="a", *, outcome="done", submitted=0.0, started=None, finished=10.0):
    return Attempt(
        shard=number,
        member=member,
        number=1,
        pieces=(),
        circuits=2,
        shots=10,
        submitted_seconds=submitted,
        started_seconds=started,
        finished_seconds=finished,
        outcome=outcome,
    )


def kinds(*attempts, seconds=20.0):
    timeline = arrange_timeline(attempts, seconds)
    return [
        [(part.kind, part.start, part.stop) for part in bar.parts]
        for row in timeline.rows
        for bar in row.bars
    ]


@pytest.mark.parametrize(
    ("outcome", "started", "finished", "expected"),
    [
        ("done", 4.0, 10.0, [("queue", 0.0, 4.0), ("run", 4.0, 10.0)]),
        ("short", 4.0, 10.0, [("queue", 0.0, 4.0), ("run", 4.0, 10.0)]),
        ("done", None, 10.0, [("whole", 0.0, 10.0)]),
        ("failed", 4.0, 10.0, [("queue", 0.0, 4.0), ("failed", 4.0, 10.0)]),
        ("failed", None, 10.0, [("failed", 0.0, 10.0)]),
        ("cancelled", None, 10.0, [("recalled", 0.0, 10.0)]),
        ("cancelled", 4.0, 10.0, [("queue", 0.0, 4.0), ("recalled", 4.0, 10.0)]),
        ("unknown", None, 10.0, [("unknown", 0.0, 10.0)]),
        ("running", None, None, [("queue", 0.0, 20.0)]),
        ("running", 4.0, None, [("queue", 0.0, 4.0), ("run", 4.0, 20.0)]),
    ],
)
def test_queue_run_failure_and_recall_are_told_apart(outcome, started, finished, expected):
    """What is not known is not made up, and what still goes on ends now."""
    assert kinds(attempt(outcome=outcome, started=started, finished=finished)) == [expected]


def test_what_was_refused_is_no_bar():
    """Nothing was sent."""
    assert kinds(attempt(outcome="refused")) == []


TIMES = st.floats(0, 1e6)


@given(st.lists(st.tuples(TIMES, TIMES, st.sampled_from("abc")), max_size=30))
def test_bars_of_a_lane_do_not_overlap(jobs):
    """Jobs that a member had at the same time lie side by side, as long as there are lanes."""
    timeline = arrange_timeline(
        [
            attempt(n, member, submitted=start, finished=start + length)
            for n, (start, length, member) in enumerate(jobs)
        ],
        0.0,
    )
    assert sum(len(row.bars) for row in timeline.rows) == len(jobs)
    for row in timeline.rows:
        assert all(bar.lane < row.lanes for bar in row.bars)
        for lane in range(row.lanes if row.lanes < 12 else 0):
            spans = [(b.parts[0].start, b.parts[-1].stop) for b in row.bars if b.lane == lane]
            assert all(one[1] <= two[0] for one, two in pairwise(spans))


def png(figure):
    """Draw a figure for real, and return its pixels."""
    file = io.BytesIO()
    figure.savefig(file, dpi=60)
    file.seek(0)
    return plt.imread(file)


def has_colour(pixels, colour):
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return bool((np.abs(pixels[:, :, :3] - [red, green, blue]).max(axis=2) < 0.02).any())


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_each_kind_has_its_colour_in_the_picture(style):
    """All of them can be seen on white and on black, and pyplot keeps no figure."""
    report = Report(
        job_id="x",
        seconds=60.0,
        attempts=(
            attempt(0, outcome="done", started=4.0, finished=20.0),
            attempt(1, outcome="failed", finished=20.0),
            attempt(2, outcome="cancelled", finished=20.0),
            attempt(3, outcome="unknown", finished=20.0),
            attempt(4, "b", outcome="done", finished=20.0),
        ),
    )
    with plt.style.context(style):
        pixels = png(report.draw())
    assert all(has_colour(pixels, COLOURS[kind]) for kind in KINDS)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    "attempts",
    [(), (attempt(finished=0.0),), (attempt(0, "$x_{$" * 30), attempt(1, "\n<b>"))],
    ids=["none", "in no time", "odd names"],
)
def test_any_report_can_be_drawn(attempts):
    """Also one without jobs, and with names that look like formulas."""
    assert png(Report(job_id="x", seconds=0.0, attempts=attempts).draw()).size


def sweep(rows=40):
    angle = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    return circuit, np.zeros((rows, 1))


def fleet():
    return Fleet(
        [
            SimulatedMember("free", queue_seconds=600, circuit_seconds=5.0),
            SimulatedMember(
                "dear",
                circuit_seconds=1.0,
                pricing=Pricing(per_job=1.0),
                limits=Limits(max_circuits=5),
                failure_rate=0.2,
            ),
        ]
    )


def test_simulations_tell_failures_and_can_be_drawn():
    """Shards say how they ended, and the picture has it."""
    found = simulate(fleet(), [sweep()], policy=round_robin(), seed=2)
    assert "failed" in {shard.outcome for shard in found.shards}
    assert all((shard.outcome == "done") == shard.succeeded for shard in found.shards)
    pixels = png(found.draw())
    assert has_colour(pixels, COLOURS["failed"])
    assert has_colour(pixels, COLOURS["run"])


@pytest.mark.parametrize("budget", [None, Budget(usd=0)])
def test_quotes_can_be_drawn(budget):
    """With the price of each member, also where nothing would be done."""
    members = [SimulatedMember("dear", pricing=Pricing(per_job=1.0))]
    quote = RouterSampler(members, policy=fastest(budget=budget)).quote([sweep()])
    figure = quote.draw()
    assert png(figure).size
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == [" 0.00 USD"] if budget else texts[0].endswith("USD")


def test_policies_are_compared_on_ones_own_fleet():
    """Each is what simulate() says of it; those that none beats are named, the soonest first."""
    policies = {"cheap": cheapest(), "soon": fastest(), "round": round_robin()}
    found = compare(fleet(), [sweep()], policies, shots=100, seed=1)

    for name, policy in policies.items():
        alone = simulate(fleet(), [sweep()], policy=policy, shots=100, seed=1)
        assert found[name] == alone
    assert "cheap" in found.unbeaten
    costs = [found[name].cost_usd for name in found.unbeaten]
    assert costs == sorted(costs, reverse=True)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == list(policies)
    assert found._repr_html_().count("<tr>") == 4
    assert found.to_dict()["cheap"]["cost_usd"] == found["cheap"].cost_usd
    assert png(found.draw()).size


@pytest.mark.parametrize(
    ("policies", "error", "says"),
    [
        ([fastest()], TypeError, "by names of your own"),
        ({}, ValueError, "at least one"),
        ({"a": "fastest"}, TypeError, "fastest"),
    ],
)
def test_policies_that_cannot_be_compared_are_told(policies, error, says):
    """What is wrong is said before anything is simulated."""
    with pytest.raises(error, match=says):
        compare(fleet(), [sweep()], policies)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    """And everything else works."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    report = Report(job_id="x", seconds=1.0, attempts=(attempt(),))
    with pytest.raises(ImportError, match=r"qiskit-gateway\[visualization\]"):
        report.draw()
    assert "USD" in str(report)


def test_a_timeline_as_text_has_a_line_for_each_lane():
    """Queue, run and failure are told apart, side by side jobs are, and what is short is seen."""
    drawn = write_timeline(
        arrange_timeline(
            [
                attempt(0, "north", started=5.0, finished=10.0),
                attempt(1, "north", submitted=0.0, started=10.0, finished=20.0),
                attempt(2, "south", outcome="failed", finished=0.01),
            ],
            20.0,
        ),
        columns=27,
    )
    assert drawn.splitlines() == [
        "north  ░░░░░█████",
        "       ░░░░░░░░░░██████████",
        "south  x",
        "       0             20.0 s",
        "░ in queue  █ runs  x failed",
    ]
    assert write_timeline(arrange_timeline([attempt(outcome="refused")], 3.0)) == ""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b" * 90]),
            st.sampled_from([one for one in AttemptOutcome if one is not AttemptOutcome.REFUSED]),
            st.floats(0, 100),
            st.none() | st.floats(0, 100),
            st.none() | st.floats(0, 100),
        ),
        max_size=20,
    ),
    st.integers(20, 200),
)
def test_a_timeline_as_text_fits_its_columns(given_, columns):
    """However jobs went, no line is too wide, and each kind of part is in the legend."""
    attempts = [
        attempt(number, member, outcome=outcome, submitted=at, started=start, finished=end)
        for number, (member, outcome, at, start, end) in enumerate(given_)
    ]
    timeline = arrange_timeline(attempts, 50.0)
    lines = write_timeline(timeline, columns).splitlines()
    assert all(len(line) <= columns for line in lines[:-1])
    if attempts:
        *_, legend = lines
        assert {_MARKS[kind] for kind in timeline.kinds} <= set(legend)


def test_every_kind_has_a_mark_of_its_own():
    """None is drawn as another."""
    assert len(set(_MARKS.values())) == len(_MARKS) == len(KINDS)
