"""The frontier of price and time that ``balanced(usd_per_hour=v)`` traces as v goes up.

    python -m benchmarks.frontier [FILE]

A fleet with published tariffs runs 300 circuits of 1,000 shots in simulation, once for each value of
an hour; so do other presets. Queues and speeds are made up, of the order that such machines have. The
picture goes to ``docs/frontier.svg``, or to the file given, in the format of its ending.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.measure import sweep
from qiskit_gateway import Simulation, simulate
from qiskit_gateway.backends import Fleet, Limits, SimulatedMember
from qiskit_gateway.backends.pricing.published import tariff
from qiskit_gateway.policies import Policy, balanced, cheapest, fastest, round_robin
from qiskit_gateway.scheduling.members.state import FleetState

SHOTS = 1_000
CIRCUITS = 300
# Tariff, minutes in the queue, seconds for a circuit.
FLEET = (
    ("qbraid:rigetti_cepheus_1_108q", 40, 2.0),
    ("braket:rigetti_ankaa", 20, 2.0),
    ("braket:iqm_garnet", 10, 2.0),
    ("qbraid:aqt_ibex_q1", 5, 10.0),
    ("braket:ionq_forte", 0, 20.0),
)
USD_PER_HOUR = (0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000)
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")


def run(policy: Policy) -> Simulation:
    """Return what a policy makes of the work."""
    members = [
        SimulatedMember(
            name,
            pricing=tariff(name),
            limits=Limits(max_circuits=25),
            queue_seconds=60.0 * minutes,
            circuit_seconds=seconds,
        )
        for name, minutes, seconds in FLEET
    ]
    fleet = Fleet(members)
    for name, _, seconds in FLEET:  # The fleet has been used before: its speeds are known.
        fleet.keep(FleetState).of(name).speed.observe(25, 25 * SHOTS, 25 * seconds)
    found = simulate(fleet, [sweep(2, CIRCUITS)], policy=policy, shots=SHOTS, seed=1)
    assert not found.given_up
    return found


def drawn(traced: Mapping[int, Simulation], others: Mapping[str, Simulation], path: Path) -> None:
    """Draw the frontier, and who does the work along it."""
    mpl.rcParams.update({"svg.hashsalt": "frontier", "font.size": 9, "svg.fonttype": "none"})
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7, 8), height_ratios=(3, 2), layout="constrained"
    )
    _draw_frontier(above, traced, others)
    _draw_shares(below, traced)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, dpi=150, metadata=metadata)


def _place(found: Simulation) -> tuple[float, float]:
    return found.makespan_seconds / 60, found.cost_usd


def _by_place(traced: Mapping[int, Simulation]) -> dict[tuple[float, float], list[int]]:
    """Return the values of an hour that come to the same, by what they come to."""
    values: dict[tuple[float, float], list[int]] = {}
    for value, found in traced.items():
        values.setdefault(_place(found), []).append(value)
    return values


def _draw_frontier(
    axes: Axes, traced: Mapping[int, Simulation], others: Mapping[str, Simulation]
) -> None:
    minutes, usd = zip(*map(_place, traced.values()), strict=True)
    axes.plot(minutes, usd, "o-", color="#333333", label="balanced(usd_per_hour=v)", zorder=3)
    for place, values in _by_place(traced).items():
        label = f"v = {values[0]:,}" + (f" to {values[-1]:,}" if len(values) > 1 else "")
        axes.annotate(label, place, (9, 6), textcoords="offset points")
    for (name, found), marker, colour in zip(others.items(), "sD^", _COLOURS[::2], strict=True):
        axes.plot(*_place(found), marker, color=colour, markersize=12, alpha=0.6, label=name)
    axes.set(xlabel="time until all is done, minutes", ylabel="price, USD", yscale="log")
    axes.set_title(f"{CIRCUITS} circuits x {SHOTS:,} shots: what time costs", loc="left")
    axes.grid(visible=True, which="both", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.set_yticks((200, 500, 1_000, 2_000, 5_000, 10_000))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlim(0, 62)
    axes.legend(frameon=False)


def _draw_shares(axes: Axes, traced: Mapping[int, Simulation]) -> None:
    base = [0.0] * len(traced)
    labels = [f"{value:,}" for value in traced]
    for (name, minutes, seconds), colour in zip(FLEET, _COLOURS, strict=True):
        done = [found.members[name].circuits for found in traced.values()]
        label = f"{name}: {minutes} min queue, {seconds:g} s each"
        axes.bar(labels, done, bottom=base, color=colour, label=label, width=0.8)
        base = [low + more for low, more in zip(base, done, strict=True)]
    axes.set(xlabel="v, USD for an hour sooner", ylabel="circuits")
    axes.set_title("who runs them", loc="left")
    axes.tick_params(axis="x", labelrotation=35)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.42))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main(arguments: Sequence[str]) -> None:
    """Simulate, print the points, and draw them."""
    traced = {value: run(balanced(usd_per_hour=value)) for value in USD_PER_HOUR}
    presets = {"cheapest()": cheapest(), "fastest()": fastest(), "round_robin()": round_robin()}
    others = {name: run(policy) for name, policy in presets.items()}
    points = {f"balanced, {value:,} USD/h": found for value, found in traced.items()}
    for name, found in {**points, **others}.items():
        minutes, usd = _place(found)
        print(f"{name:28} {minutes:8.2f} min {usd:10.2f} USD")
    drawn(traced, others, Path(arguments[0] if arguments else "docs/frontier.svg"))


if __name__ == "__main__":
    main(sys.argv[1:])
