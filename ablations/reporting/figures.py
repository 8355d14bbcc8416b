"""The figures as files: the forest plot and those of ``plots``, as SVG and PDF."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ablations.files import write_atomically
from ablations.reporting import strips
from ablations.reporting.claims import Row
from ablations.reporting.evidence import Section
from ablations.reporting.plots import COLORS, STYLE, Drawn, saved
from ablations.words import slug

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
_PAPER: dict[str, Any] = {"marker": "D", "ls": "", "ms": 8, "mew": 1.6, "color": COLORS["ink"]}


def save(folder: Path, sections: Iterable[Section], drawn: Drawn) -> list[Path]:
    """Write each figure as SVG and as PDF, and return the files.

    Args:
        folder: Where to, created if there is a figure.
        sections: What the report shows.
        drawn: The plots.
    """
    written = []
    for name, content in _files(sections, drawn):
        folder.mkdir(exist_ok=True)
        write_atomically(folder / name, content, lasting=False)
        written.append(folder / name)
    return written


def _files(sections: Iterable[Section], drawn: Drawn) -> Iterator[tuple[str, bytes]]:
    for section in sections:
        if section.shown:
            name = slug(section.key, "forest")
            figure = forest(section)
            for kind in ("svg", "pdf"):
                yield f"{name}.{kind}", saved(figure, kind, name)
        for place, panels in drawn.items():
            for kind, panel in panels.items() if place[0] == section.key else ():
                name = slug(*place, kind)
                yield f"{name}.svg", panel.file.encode()
                yield f"{name}.pdf", saved(panel.figure, "pdf", name)


# Sizes of the forest plot in pixels; the width is that of a README.
_WIDTH, _EDGE, _LINE = 800, 16, 18
_LEFT, _RIGHT = 275, 535  # of the charts, between the names and the numbers


def forest(section: Section) -> Figure:
    """Draw every primary estimate beside the paper's effect, and claims that have none yet.

    Each row has the claim, its section, label, pairs, interval, the paper's figure and the margin.
    The figure has a light background, so that it is readable on any page.
    """
    groups = strips.effects(section.shown)
    rows = [row for members in groups.values() for row in members]
    head = _wrapped(f"{section.dataset}: {section.scale}", 100)
    above, between, below = 52 + _LINE * len(head), 66, 44
    height = above + sum(map(_height, rows)) + between * len(groups) + below
    with matplotlib.rc_context({**STYLE, "axes.grid.axis": "x", "font.size": 12.5}):
        figure = Figure((_WIDTH / 72, height / 72), dpi=72)
        write = _Writer(figure, height)
        write(_EDGE, 30, section.title, size=18, weight="bold")
        for line, text in enumerate(head):
            write(_EDGE, 52 + _LINE * line, text, color=COLORS["muted"])
        top = above
        for title, members in groups.items():
            write(_EDGE, top + 14, title, weight="bold")
            top += between - 40
            ends = [*accumulate(map(_height, members), initial=top)]
            middles = [(a + b) / 2 for a, b in pairwise(ends)]
            left, bottom = _LEFT / _WIDTH, 1 - ends[-1] / height
            size = (_RIGHT - _LEFT) / _WIDTH, (ends[-1] - top) / height
            axes = figure.add_axes((left, bottom, *size))
            _draw_effects(axes, strips.axis(title, members), members, middles)
            axes.set_ylim(ends[-1], top)
            for row, middle in zip(members, middles, strict=True):
                write.lines(_EDGE, middle, *_left(row))
                write.lines(_RIGHT + 14, middle, [strips.ours(row)], [strips.remark(row)])
            top = ends[-1] + 40
        figure.legend(
            handles=_legend(rows), loc="lower left", ncols=4, frameon=False, handlelength=1.6
        )
    return figure


def _height(row: Row) -> int:
    return _LINE * sum(map(len, _left(row))) + 12


def _left(row: Row) -> tuple[list[str], list[str]]:
    """Return the lines of a row's name, and those of the note below it."""
    # Lines break between the items of the note.
    items = [text.replace(" ", "\u00a0") for text in strips.note(row).split(" · ")]
    return _wrapped(strips.full_name(row), 34), _wrapped(" · ".join(items), 41)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _legend(rows: Iterable[Row]) -> list[Line2D | Patch]:
    """Return the legend entries of the marks that occur in the rows."""
    ours = {"lw": 2.4, "marker": "o", "ms": 9, "color": COLORS["holds"]}
    marks: list[Line2D | Patch] = [Line2D([], [], label="ours, adjusted interval", **ours)]
    at_paper = {row.result.at_paper for row in rows if row.paper_effect is not None}
    if True in at_paper:
        marks.append(Line2D([], [], label="the paper’s, own data", **_PAPER))
    if False in at_paper:
        hollow = _PAPER | {"mfc": COLORS["surface"]}
        marks.append(Line2D([], [], label="the paper’s, other data or network", **hollow))
    return [*marks, Patch(color=COLORS["band"], label="smaller than the margin")]


class _Writer:
    """Writes text at pixels of a figure, counted from its left and upper edge."""

    def __init__(self, figure: Figure, height: float) -> None:
        self._figure, self._height = figure, height

    def __call__(self, x: float, y: float, text: str, **style: Any) -> None:
        self._figure.text(x / _WIDTH, 1 - y / self._height, text, va="baseline", **style)

    def lines(self, x: float, middle: float, names: Sequence[str], notes: Sequence[str]) -> None:
        """Write names and the notes below them around the middle of a row."""
        first = middle - (len(names) + len(notes) - 1) / 2 * _LINE + 4.5
        for line, text in enumerate([*names, *notes]):
            size, color = (14, "ink") if line < len(names) else (12.5, "muted")
            self(x, first + line * _LINE, text, size=size, color=COLORS[color])


def _draw_effects(
    axes: Axes, chart: strips.Chart, rows: Sequence[Row], middles: Sequence[float]
) -> None:
    scale = 1 if chart.ratio else 100
    for row, y in zip(rows, middles, strict=True):
        verdict, margin = row.verdict, scale * strips.margin_of(row)
        color = COLORS.get(row.icon, COLORS["muted"])
        axes.fill_betweenx([y - 15, y + 15], -margin, margin, color=COLORS["band"], lw=0)
        if verdict and verdict.level:
            ends = zip((verdict.low, verdict.high), (chart.low, chart.high), "<>", strict=True)
            interval = []
            for end, edge, arrow in ends:
                if end is not None and chart.low <= scale * end <= chart.high:
                    interval.append(scale * end)
                else:
                    interval.append(edge)
                    axes.plot(edge, y, arrow, color=color, ms=9, clip_on=False)
            axes.plot(interval, [y, y], color=color, lw=2.4)
        if verdict and verdict.estimate is not None:
            face = color if row.icon in _MARKERS else COLORS["surface"]
            marker = _MARKERS.get(row.icon, "o" if row.icon == "undecided" else "s")
            x = scale * verdict.estimate
            axes.plot(x, y, marker, color=color, mfc=face, ms=11, mew=2, zorder=3)
        if row.paper_effect is not None:
            filled = COLORS["ink" if row.result.at_paper else "surface"]
            x = min(max(scale * row.paper_effect, chart.low), chart.high)
            axes.plot(x, y, mfc=filled, zorder=4, **_PAPER)
    axes.axvline(0, color=COLORS["muted"], lw=1.2, zorder=1)
    axes.set_xlim(chart.low, chart.high)
    axes.set_xticks([value for value, _ in chart.marks], [name for _, name in chart.marks])
    axes.set_yticks([])
