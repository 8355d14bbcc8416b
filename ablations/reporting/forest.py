"""Figures with a row for each claim or arm, between its name and its numbers."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

from ablations.claims.results import ClaimResult
from ablations.claims.schema import TIMES
from ablations.claims.words import figure as figure_of
from ablations.reporting.claims import Row, rows_of
from ablations.reporting.drawing import COLORS, STYLE, Panel, blank
from ablations.reporting.evidence import Section
from ablations.reporting.labels import icon
from ablations.words import count, mean_sd, plain, spoken

# In pixels: a figure has the width of a README, and its rows have one height.
WIDTH, NAMES, ROW = 800, 262, 60
# The markers of the page's icons; labels that are not listed have a hollow marker.
_MARKERS = {
    "holds": "o",
    "direction": "^",
    "no-effect": "s",
    "opposite": "X",
    "expected": "s",
    "false-alarm": "^",
    "incomplete": "v",
}
_TITLES = {
    "errors": "Ratio of the errors, logarithmic scale",
    "times": "Ratio of the times, logarithmic scale",
    "points": "Difference, percentage points",
    "% of the test error": "Difference of the gaps, % of the test error",
}
_POWERS = (0.01, 0.1, 1, 10, 100)
_RATIOS = (*_POWERS, 0.02, 0.05, 0.2, 0.5, 2, 5, 20, 50)
_PAPER: dict[str, Any] = {"marker": "D", "ls": "", "ms": 8, "mew": 1.6, "color": COLORS["ink"]}
_TRAIN: dict[str, Any] = {"marker": ">", "ms": 9, "mew": 2, "mfc": COLORS["surface"]}
_TEST: dict[str, Any] = {"marker": "o", "ms": 9}


@matplotlib.rc_context(STYLE)
def forest(title: str, caption: str, results: Iterable[ClaimResult]) -> Panel | None:
    """Draw every primary estimate beside the paper's effect, and claims that have none yet.

    Each row has the claim, its section, label, pairs, interval, the paper's figure and the margin.
    Each scale has a chart of its own.

    Args:
        title: Title of the figure.
        caption: Text above the legend, such as the data and the network.
        results: The claims.
    """
    groups: dict[str, list[Row]] = {name: [] for name in _TITLES}
    for row in (row for result in results for row in rows_of(result)):
        whole = row.level == "claim" and not row.result.verdicts
        if whole or (row.verdict and row.level != "secondary"):
            ratio = "times" if row.result.measure["of"] in TIMES else "errors"
            groups[ratio if row.result.unit_of() == "×" else row.result.unit_of()].append(row)
    groups = {_TITLES[name]: rows for name, rows in groups.items() if rows}
    if not groups:
        return None
    figure, charts = _charts(title, {name: len(rows) for name, rows in groups.items()})
    for axes, rows in zip(charts, groups.values(), strict=True):
        _scale(axes, rows)
        for y, row in enumerate(rows):
            _draw(axes, y, row)
    shown = [row for rows in groups.values() for row in rows if row.result.effect is not None]
    marks: list[Line2D | Patch] = [
        Line2D([], [], label="ours, adjusted interval", color=COLORS["holds"], lw=2.4, **_TEST),
        *(
            Line2D([], [], label=f"the paper’s, {place}", mfc=COLORS[face], **_PAPER)
            for own, face, place in (
                (True, "ink", "own data"),
                (False, "surface", "other data or network"),
            )
            if own in {row.result.at_paper for row in shown}
        ),
        Patch(color=COLORS["band"], label="smaller than the margin"),
    ]
    _legend(figure, caption, marks)
    text = "Effects in the paper’s direction are to the right."
    return Panel(f"{title}: effects compared with the paper’s", figure, text)


@matplotlib.rc_context(STYLE)
def gaps(section: Section) -> Panel | None:
    """Draw training and test error of the arms with finished runs, in the center view."""
    arms = [arm for arm in section.arms if arm.train_test]
    if not arms:
        return None
    figure, (axes,) = _charts(section.title, {"Top-1 error in the center view, %": len(arms)})
    for y, arm in enumerate(arms):
        train, test = zip(*arm.train_test, strict=True)
        axes.plot([mean(train), mean(test)], [y, y], color=COLORS["muted"], lw=2)
        axes.plot([*train, *test], 2 * len(train) * [y], "|", color=COLORS["muted"], ms=18)
        axes.plot(mean(train), y, color=COLORS["with"], **_TRAIN)
        axes.plot(mean(test), y, color=COLORS["with"], **_TEST)
        note = f"train {mean_sd(train)}, test {mean_sd(test)}"
        _write(axes, y, 0, arm.name, count(len(train), "run"))
        _write(axes, y, 1, f"gap {mean_sd(arm.gaps)} points", note)
    names = ("mean on training images, without augmentation and dropout", "mean on test images")
    marks = [
        Line2D([], [], label=name, color=COLORS["with"], ls="", **style)
        for name, style in zip(names, (_TRAIN, _TEST), strict=True)
    ]
    _legend(figure, f"{section.dataset}: {section.scale}", marks)
    text = "The line between them is the generalization gap; strokes are single seeds."
    return Panel(f"{section.title}: training and test error", figure, text)


def _charts(title: str, sizes: Mapping[str, int]) -> tuple[Figure, list[Axes]]:
    """Return a figure with a chart for each of ``sizes``, numbers of rows by the chart's title."""
    figure = blank(WIDTH, 130 + 60 * len(sizes) + ROW * sum(sizes.values()))
    figure.set_layout_engine("constrained", w_pad=14 / 72, h_pad=8 / 72)
    figure.suptitle(title, x=0.02, ha="left", size=18, weight="bold")
    shape = {"height_ratios": list(sizes.values()), "squeeze": False}
    charts = figure.subplots(len(sizes), **shape)[:, 0].tolist()
    for axes, (name, rows) in zip(charts, sizes.items(), strict=True):
        axes.grid(axis="x")
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks([])
        axes.set_title(name, color=COLORS["ink"], weight="bold", size=12.5)
        axes.tick_params(labelsize=12.5)
    return figure, charts


def _legend(figure: Figure, caption: str, marks: Sequence[Line2D | Patch]) -> None:
    """Add a legend below a caption."""
    figure.legend(
        handles=marks,
        loc="outside lower left",
        ncols=4,
        fontsize=12.5,
        title=textwrap.fill(caption, 100),
        title_fontproperties={"size": 12.5},
        alignment="left",
    )


def _scale(axes: Axes, rows: Sequence[Row]) -> None:
    """Set limits that include estimates, margins and the paper's effects, and their ticks.

    Long intervals may extend beyond the axis.
    """
    verdicts = [row.verdict for row in rows if row.verdict]
    values = [row.result.margin for row in rows] + [row.result.effect for row in rows]
    values += [verdict.estimate for verdict in verdicts]
    reach = max(1.25 * max(abs(x) for x in values if x is not None), 1e-3)
    ends = [end for v in verdicts for end in (v.low, v.high) if v.level and end is not None]
    ends = [min(max(end, -1.6 * reach), 1.6 * reach) for end in ends]
    low, high = min([*ends, -0.2 * reach]), max([*ends, reach])
    left, right = (rows[0].to_reader(1.05 * end) for end in (low, high))
    ratio = rows[0].result.unit_of() == "×"
    ticks: Iterable[float] = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(left, right)
    if ratio:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        ticks = _RATIOS if right > 3 * left else ticks
    axes.set_xlim(left, right)
    shown = [tick for tick in ticks if left <= tick <= right]
    axes.set_xticks(shown if len(shown) < 7 else [tick for tick in shown if tick in _POWERS])
    axes.xaxis.set_major_formatter(lambda x, _: plain(round(x, 6)) + "×" * ratio)
    axes.axvline(rows[0].to_reader(0), color=COLORS["muted"], lw=1.2, zorder=1)


def _draw(axes: Axes, y: float, row: Row) -> None:
    verdict, shape = row.verdict, icon(row.result)
    color = COLORS.get(shape, COLORS["muted"])
    left, right = axes.get_xlim()
    low, high = row.to_reader(-row.result.margin), row.to_reader(row.result.margin)
    axes.fill_betweenx([y - 0.2, y + 0.2], low, high, color=COLORS["band"], lw=0)
    if verdict and verdict.level:
        ends = []
        for end, edge, arrow in ((verdict.low, left, "<"), (verdict.high, right, ">")):
            x = None if end is None else row.to_reader(end)
            if x is not None and left <= x <= right:
                ends.append(x)
            else:
                ends.append(edge)
                axes.plot(edge, y, arrow, color=color, ms=9, clip_on=False)
        axes.plot(ends, [y, y], color=color, lw=2.4)
    if verdict and verdict.estimate is not None:
        face = color if shape in _MARKERS else COLORS["surface"]
        style = {"marker": _MARKERS.get(shape, "o"), "mfc": face, "ms": 11, "mew": 2}
        axes.plot(row.to_reader(verdict.estimate), y, color=color, zorder=3, **style)
    if row.result.effect is not None:
        face = COLORS["ink" if row.result.at_paper else "surface"]
        x = min(max(row.to_reader(row.result.effect), left), right)
        axes.plot(x, y, mfc=face, zorder=4, **_PAPER)
    section = f"§ {row.result.section}" if row.result.section[:1].isdigit() else row.result.section
    note = " · ".join([row.result.word, section, count(row.result.n, "pair")])
    name = spoken(row.result.claim) + f": {row.name}" * (row.level == "part")
    _write(axes, y, 0, name, note)
    ours = row.ours if row.ours != "–" else "no estimate"
    remark = f"paper: {row.paper}, margin {figure_of(row.result, row.result.margin)}"
    _write(axes, y, 1, *(text.replace(" of the test error", "") for text in (ours, remark)))


def _write(axes: Axes, y: float, side: Literal[0, 1], text: str, note: str) -> None:
    """Write a text and a note below it beside a row, on the left (0) or on the right (1)."""
    place: dict[str, Any] = {
        "xycoords": axes.get_yaxis_transform(),
        "textcoords": "offset points",
    }
    name, below = (textwrap.fill(t, n, break_on_hyphens=False) for t, n in ((text, 34), (note, 41)))
    x = 14 if side else -NAMES
    axes.annotate(name, (side, y), (x, 1), va="bottom", **place)
    axes.annotate(below, (side, y), (x, -3), va="top", size=12.5, color=COLORS["muted"], **place)
