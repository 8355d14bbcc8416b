"""The figures as files: the forest plot and the plots of each claim, as SVG and PDF."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ablations.claims.results import ArmResult
from ablations.files import write_atomically
from ablations.reporting.evidence import Section
from ablations.reporting.plots import COLORS, DASHES, LOOKS, STYLE, panels
from ablations.reporting.strips import axis, estimates, full_name
from ablations.reporting.words import slug

# As the icons of the page; a hollow one has no face.
_MARKERS = {
    "holds": "o",
    "direction": "^",
    "no-effect": "s",
    "opposite": "X",
    "expected": "s",
    "false-alarm": "^",
    "incomplete": "v",
}
_PAPER: dict[str, Any] = {"marker": "D", "ls": "", "ms": 6, "color": COLORS["ink"]}
# Without dates the same records give the same files.
_DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


def save(folder: Path, sections: list[Section]) -> list[Path]:
    """Write each figure as SVG and as PDF, and return the files.

    Args:
        folder: Where to, created if there is a figure.
        sections: The studies.
    """
    written = []
    for section in sections:
        for name, figure in _figures(section):
            folder.mkdir(exist_ok=True)
            for kind, dates in _DATES.items():
                buffer = io.BytesIO()
                with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
                    figure.savefig(buffer, format=kind, metadata=dates)
                written.append(folder / f"{name}.{kind}")
                write_atomically(written[-1], buffer.getvalue(), lasting=False)
    return written


def _figures(section: Section) -> Iterator[tuple[str, Figure]]:
    if any(estimates(section.shown)):
        yield slug(section.key, "forest"), forest(section)
    for result in section.shown:
        for part, arms in result.arms.items():
            for name, panel in panels(section, result, part).items():
                _add_key(panel.figure, arms)
                yield slug(section.key, result.claim, part, name), panel.figure


def _add_key(figure: Figure, arms: Mapping[str, ArmResult]) -> None:
    """Name the arms below a figure, which in the page stands below their names."""
    lines = [
        Line2D([], [], ls=DASHES[side], label=f"{side}: {arms[side].name}", **look)
        for side, look in LOOKS.items()
        if side in arms
    ]
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.25 * len(lines))
    with matplotlib.rc_context(STYLE):
        figure.legend(handles=lines, loc="outside lower left", frameon=False, fontsize=10)


def forest(section: Section) -> Figure:
    """Draw every primary verdict that has an estimate beside the paper's effect."""
    groups = estimates(section.shown)
    sizes = [len(rows) for rows in groups.values()]
    style: dict[Any, Any] = {"font.size": 9, "axes.grid.axis": "x", "axes.titlesize": 9}
    with matplotlib.rc_context({**STYLE, **style}):
        height = 0.42 * sum(sizes) + 0.7 * len(sizes) + 0.4
        figure = Figure((7.2, height), layout="constrained")
        charts = figure.subplots(len(sizes), squeeze=False, height_ratios=sizes)[:, 0]
        for axes, (title, rows) in zip(charts, groups.items(), strict=True):
            _draw_effects(axes, title, rows)
        key = [
            Line2D([], [], marker="o", color=COLORS["holds"], label="ours, adjusted interval"),
            Line2D([], [], label="the paper’s, own data", **_PAPER),
            Line2D([], [], label="the paper’s, other data", mfc="white", **_PAPER),
            Patch(color=COLORS["band"], label="smaller than the margin"),
        ]
        figure.legend(handles=key, loc="outside lower left", ncols=4, frameon=False, fontsize=8)
    return figure


def _draw_effects(axes: Axes, title: str, rows: list[Any]) -> None:
    chart = axis(title, rows)
    scale = 1 if chart.ratio else 100
    for place, (row, verdict) in enumerate(rows):
        color, margin = COLORS.get(row.icon, COLORS["muted"]), scale * verdict.margin
        axes.fill_betweenx([place - 0.4, place + 0.4], -margin, margin, color=COLORS["band"], lw=0)
        if verdict.level:
            ends = zip((verdict.low, verdict.high), (chart.low, chart.high), "<>", strict=True)
            reach = []
            for end, edge, arrow in ends:
                if end is not None and chart.low <= scale * end <= chart.high:
                    reach.append(scale * end)
                else:
                    reach.append(edge)
                    axes.plot(edge, place, arrow, color=color, ms=6, clip_on=False)
            axes.plot(reach, [place, place], color=color, lw=2)
        hollow = row.icon not in _MARKERS
        face = "white" if hollow else color
        marker = _MARKERS.get(row.icon, "o" if row.icon == "undecided" else "s")
        axes.plot(scale * verdict.estimate, place, marker, color=color, mfc=face, ms=8, zorder=3)
        if row.paper_effect is not None:
            filled = _PAPER["color"] if row.result.at_paper else "white"
            at = min(max(scale * row.paper_effect, chart.low), chart.high)
            axes.plot(at, place, mfc=filled, **_PAPER)
        text = {"xycoords": axes.get_yaxis_transform(), "va": "center"}
        ours = row.ours.replace(" of the test error", "")
        axes.annotate(ours, (1.04, place), annotation_clip=False, **text)
    axes.axvline(0, color=COLORS["muted"], lw=1, zorder=1)
    axes.set_title(title)
    axes.set_xlim(chart.low, chart.high)
    axes.set_xticks([value for value, _ in chart.marks], [name for _, name in chart.marks])
    names = [f"{full_name(row)}\n{row.label}, n = {row.n}" for row, _ in rows]
    axes.set_yticks(range(len(rows)), names, color=COLORS["ink"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
