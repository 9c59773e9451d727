"""Pictures by matplotlib: timelines, quotes, and policies compared.

Colours of text, axes and ground are those of the user's matplotlib style, so that a picture is dark
under ``plt.style.use("dark_background")``. Kinds of bars differ by hatches, too.
"""

# ruff: noqa: PLC0415

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qiskit_gateway.display.units import span, usd
from qiskit_gateway.reporting.timeline import KINDS, Kind, Row, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# They stand out from white and from black, and from one another for most colour-blind eyes too.
COLOURS: dict[Kind, str] = {
    "queue": "#9aa5b1",
    "run": "#4477aa",
    "whole": "#77aadd",
    "failed": "#d1495b",
    "recalled": "#d9a514",
    "unknown": "#aa66bb",
}
_HATCHES: dict[Kind, str] = {"queue": "///", "failed": "xxx", "recalled": "...", "unknown": "\\\\"}
_POINTS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999999")
_MARKERS = "osD^vPX"
_LONGEST_NAME = 28


def draw_timeline(timeline: Timeline, title: str = "") -> "Figure":
    """Draw a row of bars for each member.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    lanes = sum(row.lanes for row in timeline.rows) + 0.6 * len(timeline.rows)
    figure, axes = _make_figure(8.0, min(12.0, 1.7 + 0.28 * max(lanes, 3)))
    divisor, unit = _choose_unit(timeline.seconds)
    bottom, ticks = 0.0, []
    for row in timeline.rows:
        ticks.append(bottom + row.lanes / 2)
        _draw_row(axes, row, bottom, divisor, timeline.seconds)
        bottom += row.lanes + 0.6
    axes.set_yticks(ticks, [_shorten(row.member) for row in timeline.rows])
    axes.set(xlabel=f"time from the start, {unit}", ylim=(bottom or 1.0, -0.6))
    axes.set_xlim(0, timeline.seconds / divisor or 1.0)
    _finish(axes, title)
    axes.grid(visible=True, axis="x", alpha=0.3)
    _draw_legend(figure, timeline.kinds)
    return _close(figure)


def _draw_row(axes: "Axes", row: Row, bottom: float, divisor: float, seconds: float) -> None:
    least = seconds / divisor / 400  # A job that took no time is seen too.
    for lane in range(row.lanes):
        parts = [part for bar in row.bars if bar.lane == lane for part in bar.parts]
        for kind in KINDS:
            spans = [
                (part.start / divisor, max((part.stop - part.start) / divisor, least))
                for part in parts
                if part.kind == kind and (part.stop > part.start or kind != "queue")
            ]
            if spans:
                axes.broken_barh(spans, (bottom + lane + 0.08, 0.84), **_style(kind))


def _style(kind: Kind) -> dict[str, Any]:
    return {
        "facecolor": COLOURS[kind],
        "hatch": _HATCHES.get(kind, ""),
        "edgecolor": "#00000080",
        "linewidth": 0.4,
    }


def _draw_legend(figure: "Figure", kinds: Sequence[Kind]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(label=KINDS[kind], **_style(kind)) for kind in kinds]
    if handles:
        figure.legend(
            handles=handles, frameon=False, ncols=len(handles), loc="outside lower center"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedMember:
    """One member in a picture of a quote.

    Attributes:
        name: Its name.
        start_seconds: When its first job begins to run.
        finish_seconds: When its last one is done.
        price_usd: Their price.
        text: What there is to say of its work.
    """

    name: str
    start_seconds: float
    finish_seconds: float
    price_usd: float
    text: str


def draw_quote(members: Sequence[QuotedMember], title: str) -> "Figure":
    """Draw when members work, beside what that costs.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    plt = _import_pyplot()
    height = 1.5 + 0.42 * max(len(members), 2)
    figure, (times, prices) = plt.subplots(
        1, 2, figsize=(8.0, height), width_ratios=(3, 1), sharey=True, layout="constrained"
    )
    divisor, unit = _choose_unit(max((one.finish_seconds for one in members), default=1.0))
    for place, one in enumerate(members):
        start, length = one.start_seconds / divisor, (one.finish_seconds - one.start_seconds)
        times.barh(place, start, height=0.6, **_style("queue"))
        times.barh(place, length / divisor, left=start, height=0.6, **_style("run"))
        prices.barh(place, one.price_usd, height=0.6, color=COLOURS["run"])
        prices.annotate(
            f" {usd(one.price_usd)}", (one.price_usd, place), va="center", fontsize="small"
        )
    names = [f"{_shorten(one.name)}\n{one.text}" for one in members]
    times.set_yticks(range(len(members)), names, fontsize="small")
    times.set_ylim(max(len(members), 1) - 0.4, -0.6)
    times.set(xlabel=f"time from now, {unit}")
    times.grid(visible=True, axis="x", alpha=0.3)
    prices.set(xlabel="USD")
    prices.set_xlim(0, 1.9 * max((one.price_usd for one in members), default=0.0) or 1.0)
    prices.locator_params(axis="x", nbins=3)
    _finish(times, title)
    _finish(prices, "")
    prices.tick_params(axis="y", left=False, labelleft=False)
    return _close(figure)


def draw_points(points: Mapping[str, tuple[float, float]], title: str) -> "Figure":
    """Draw price against time: a named point for each choice, and a line through the best ones.

    Args:
        points: By name: seconds, and USD.
        title: The heading.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure, axes = _make_figure(8.0, 4.4)
    divisor, unit = _choose_unit(max((seconds for seconds, _ in points.values()), default=1.0))
    line = list_unbeaten(points)
    axes.plot(
        [points[name][0] / divisor for name in line],
        [points[name][1] for name in line],
        drawstyle="steps-post",
        linestyle="--",
        linewidth=1,
        color=COLOURS["queue"],
        label="no policy is cheaper and sooner",
    )
    for place, (name, (seconds, price)) in enumerate(points.items()):
        look: dict[str, Any] = {"color": _POINTS[place % 7], "marker": _MARKERS[place // 7 % 7]}
        label = f"{_shorten(name)}: {usd(price)}, {span(seconds)}"
        axes.plot(
            [seconds / divisor],
            [price],
            markersize=10,
            linestyle="",
            label=label,
            clip_on=False,
            **look,
        )
    axes.set(xlabel=f"time until all is done, {unit}", ylabel="price, USD")
    axes.margins(0.12)
    axes.grid(visible=True, alpha=0.3)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    _finish(axes, title)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return _close(figure)


def list_unbeaten(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """List the names of the points that no other one beats in both, by time."""
    found, least = [], math.inf
    for name, (_, price) in sorted(points.items(), key=lambda item: item[1]):
        if price < least:
            found.append(name)
            least = price
    return found


def _import_pyplot() -> Any:
    try:
        # In notebooks this is also what makes figures show as pictures.
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "a picture needs matplotlib: pip install 'qiskit-gateway[visualization]'"
        ) from error
    return plt


def _make_figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    figure, axes = _import_pyplot().subplots(figsize=(width, height), layout="constrained")
    return figure, axes


def _close(figure: "Figure") -> "Figure":
    """Take a figure from pyplot, which would show it a second time, and keep it for ever."""
    _import_pyplot().close(figure)
    return figure


def _finish(axes: "Axes", title: str) -> None:
    # Names and titles are texts, whatever signs of formulas are in them.
    axes.set_title(title, loc="left", fontsize="medium", parse_math=False)
    for label in (*axes.get_yticklabels(), *axes.get_xticklabels()):
        label.set_parse_math(False)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _choose_unit(seconds: float) -> tuple[float, str]:
    for size, unit, least in ((86_400.0, "days", 3.0), (3600.0, "hours", 2.0), (60.0, "min", 3.0)):
        if seconds >= least * size:
            return size, unit
    return 1.0, "s"


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:13]}…{name[-14:]}"
