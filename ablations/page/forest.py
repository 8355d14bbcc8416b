"""All effects of a study beside the paper's: a forest plot for each unit."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ablations.page import words
from ablations.page.findings import Finding, Row
from ablations.page.svg import COLOR, Drawing, canvas, place, render, write

_TITLES = {
    "errors": "Ratio of the errors, logarithmic scale",
    "times": "Ratio of the times, logarithmic scale",
    "points": "Difference, percentage points",
    "% of the test error": "Difference of the gaps, % of the test error",
}
_WIDE, _NARROW = 1000, 350
_TICKS = (0.1, 0.2, 0.5, 1, 2, 3, 4, 6, 8, 10, 20, 50)

Named = tuple[str, Row]


def forest(key: str, findings: list[Finding]) -> Drawing | None:
    """Draw every primary verdict that has an estimate; None without any.

    Args:
        key: Name of the drawing within the page.
        findings: Of one study.
    """
    named = [
        (f.title if row.level == "claim" else f"{f.title}: {row.name}", row)
        for f in findings
        for row in f.rows
        if row.estimate is not None and row.level != "secondary"
    ]
    groups = {axis: [item for item in named if item[1].axis == axis] for axis in _TITLES}
    groups = {axis: members for axis, members in groups.items() if members}
    if not groups:
        return None
    title = "Effects beside the paper’s"
    description = (
        "One row for each verdict: a mark at our estimate with a line over its interval, an arrow "
        "where that goes on, a diamond at the paper's figure, and a shaded band where an effect "
        "would be smaller than the margin. "
        + " ".join(f"{name}: {row.word}, {row.ours}, paper: {row.paper}." for name, row in named)
    )
    wide = _draw(groups, _WIDE, f"{key}-wide", title, description)
    narrow = _draw(groups, _NARROW, f"{key}-narrow", title, description)
    rows = [
        (
            name,
            row.ours,
            row.paper,
            row.margin,
            str(row.n),
            row.word,
        )
        for members in groups.values()
        for name, row in members
    ]
    head = ("claim", "ours [interval]", "paper", "margin", "pairs", "label")
    return Drawing(key, title, description, wide, narrow, head, rows)


def _draw(
    groups: dict[str, list[Named]], width: int, key: str, title: str, description: str
) -> str:
    wide = width == _WIDE
    line, head, foot = (44, 32, 36) if wide else (58, 32, 34)
    left, right = (340, 250) if wide else (14, 14)
    height = sum(head + line * len(members) + foot for members in groups.values())
    with canvas(width, height) as figure:
        top = 0
        for axis, members in groups.items():
            write(figure, 2, top + 14, _TITLES[axis], size=13, weight="bold")
            axes = place(figure, left, top + head, width - left - right, line * len(members))
            null = _scale(axes, [row for _, row in members])
            if wide:
                axes.axvline(null, color=COLOR["muted"], lw=1)
                axes.grid(axis="x", color=COLOR["rule"], lw=0.6)
                axes.set_axisbelow(True)
            for index, (name, row) in enumerate(members):
                y = index + (0.5 if wide else 0.74)
                _row(axes, row, y, 0.3 if wide else 0.2)
                middle = top + head + line * (index + 0.5)
                ours = row.ours.replace(" of the test error", "")  # the head of the axis has it
                label = f"{row.word}, {words.count(row.n, 'pair')}"
                if wide:
                    write(figure, 2, middle - 9, name, size=13)
                    write(figure, 2, middle + 9, label, size=11, color="muted")
                    write(figure, width - right + 18, middle - 9, ours, size=13)
                    paper = f"paper: {row.paper}"
                    write(figure, width - right + 18, middle + 9, paper, size=11, color="muted")
                else:
                    # Lines over the whole height would run through the words.
                    axes.plot([null, null], [y - 0.26, y + 0.26], color=COLOR["muted"], lw=1)
                    write(figure, 2, middle - 18, name)
                    write(figure, 2, middle - 3, label, size=11, color="muted")
                    write(figure, width - 2, middle - 3, ours, size=11, align="right")
            top += head + line * len(members) + foot
        return render(figure, key, title, description)


def _scale(axes: Axes, rows: list[Row]) -> float:
    """Set limits and ticks, and return the place of no effect."""
    ratio = rows[0].unit == "×"
    null, forward, back = (1.0, np.log, np.exp) if ratio else (0.0, np.asarray, np.asarray)
    # What must be seen sets the scale; beside others an interval of two seeds may reach out of it.
    marks = [null]
    for row in rows:
        marks += [x for x in (row.estimate, *row.band, row.to_reader(row.paper_effect)) if x]
    reach = max(1.25 * max(abs(forward(mark) - forward(null)) for mark in marks), 1e-3)
    ends = [end for row in rows for end in row.ends or ()]
    spans = [forward(end) - forward(null) for end in ends if np.isfinite(end) and end != 0]
    most = 1.6 * reach if len(rows) > 2 else np.inf
    low = max(min([*spans, -0.2 * reach]), -most)
    high = min(max([*spans, reach]), most)
    axes.set_xlim(*back(np.array([low, high]) * 1.05 + forward(null)))
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if ratio:
        axes.set_xscale("log")
    low, high = axes.get_xlim()
    if ratio and high > 3 * low:
        axes.xaxis.set_major_locator(FixedLocator([t for t in _TICKS if low <= t <= high]))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_minor_locator(NullLocator())
    sign = "×" if ratio else ""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: words.plain(round(x, 6)) + sign))
    return null


def _row(axes: Axes, row: Row, y: float, half: float) -> None:
    mark, estimate = row.mark, row.estimate
    assert estimate is not None, "checked by the caller"
    color = COLOR[mark.key]
    axes.fill_betweenx([y - half, y + half], *row.band, color=COLOR["band"], lw=0)
    low, high = axes.get_xlim()
    if row.ends:
        axes.plot(np.clip(row.ends, low, high), [y, y], color=color, lw=2.4, solid_capstyle="butt")
        for end, edge, arrow in zip(row.ends, (low, high), ("<", ">"), strict=True):
            if not low <= end <= high:
                axes.plot(edge, y, marker=arrow, color=color, ms=6, clip_on=False)
    axes.plot(
        estimate,
        y,
        marker=mark.marker,
        ms=9,
        mew=2,
        mec=color,
        mfc=color if mark.filled else COLOR["surface"],
        clip_on=False,
        zorder=4,
    )
    paper = row.to_reader(row.paper_effect)
    if paper is not None:
        axes.plot(
            paper,
            y,
            marker="D",
            ms=7,
            mew=1.6,
            mec=COLOR["paper"],
            mfc=COLOR["paper"] if row.result.at_paper else COLOR["surface"],
            clip_on=False,
            zorder=5,
        )
