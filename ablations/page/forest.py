"""All effects of an experiment beside the paper's: a forest plot for each unit."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ablations.page import words
from ablations.page.findings import Finding
from ablations.page.svg import COLOR, Drawing, canvas, place, render, write

_TITLES = {
    "points": "Difference in error, percentage points",
    "nats": "Difference in loss, nats",
    "times": "Factor between the arms, logarithmic scale",
}
_WIDE, _NARROW = 1000, 350


def forest(key: str, findings: list[Finding]) -> Drawing | None:
    """Draw every finding that has an estimate; none without any.

    Args:
        key: Name of the drawing within the page.
        findings: Of one experiment.
    """
    groups = {
        unit: [f for f in findings if f.unit == unit and f.estimate is not None] for unit in _TITLES
    }
    groups = {unit: members for unit, members in groups.items() if members}
    if not groups:
        return None
    title = "Effects beside the paper’s"
    description = (
        "One row for each claim: a mark at our estimate with a line over its interval, an arrow "
        "where that goes on, a diamond at the paper's figure, and a shaded band where an effect "
        "would be too small to matter. "
        + " ".join(f"{f.title}: {f.mark.word}, {f.ours}, the paper {f.theirs}." for f in findings)
    )
    wide = _draw(groups, _WIDE, f"{key}-wide", title, description)
    narrow = _draw(groups, _NARROW, f"{key}-narrow", title, description)
    rows = [
        (
            f.title,
            f.ours,
            f.theirs,
            "" if f.margin is None else f.figure(f.margin),
            str(f.n),
            f.mark.word,
        )
        for members in groups.values()
        for f in members
    ]
    head = ("claim", "ours [interval]", "paper", "margin", "n", "verdict")
    return Drawing(key, title, description, wide, narrow, head, rows)


def _draw(
    groups: dict[str, list[Finding]], width: int, key: str, title: str, description: str
) -> str:
    wide = width == _WIDE
    row, head, foot = (44, 32, 36) if wide else (58, 32, 34)
    left, right = (320, 220) if wide else (14, 14)
    height = sum(head + row * len(members) + foot for members in groups.values())
    with canvas(width, height) as figure:
        top = 0
        for unit, members in groups.items():
            write(figure, 2, top + 14, _TITLES[unit], size=13, weight="bold")
            axes = place(figure, left, top + head, width - left - right, row * len(members))
            null = _scale(axes, unit, members)
            if wide:
                axes.axvline(null, color=COLOR["muted"], lw=1)
                axes.grid(axis="x", color=COLOR["rule"], lw=0.6)
                axes.set_axisbelow(True)
            for index, finding in enumerate(members):
                y = index + (0.5 if wide else 0.74)
                _row(axes, finding, y, 0.3 if wide else 0.2)
                middle = top + head + row * (index + 0.5)
                if wide:
                    write(figure, 2, middle - 9, finding.title, size=13)
                    write(figure, 2, middle + 9, _verdict(finding), size=11, color="muted")
                    write(figure, width - right + 18, middle - 9, finding.ours, size=13)
                    paper = f"paper {finding.theirs}"
                    write(figure, width - right + 18, middle + 9, paper, size=11, color="muted")
                else:
                    # Lines over the whole height would run through the words.
                    axes.plot([null, null], [y - 0.26, y + 0.26], color=COLOR["muted"], lw=1)
                    write(figure, 2, middle - 18, finding.title)
                    write(figure, 2, middle - 3, _verdict(finding), size=11, color="muted")
                    write(figure, width - 2, middle - 3, finding.ours, size=11, align="right")
            top += head + row * len(members) + foot
        return render(figure, key, title, description)


def _verdict(finding: Finding) -> str:
    return f"{finding.mark.word}, n = {finding.n}"


def _scale(axes: Axes, unit: str, members: list[Finding]) -> float:
    """Set limits and ticks, and return the place of no effect."""
    null = 1.0 if unit == "times" else 0.0
    forward = np.log if unit == "times" else np.asarray
    # What must be seen sets the scale; beside others an interval of two seeds may reach out of it.
    marks = [null, *(f.estimate for f in members)]
    marks += [f.margin for f in members if f.margin is not None]
    marks += [f.paper for f in members if f.paper is not None]
    reach = 1.25 * max(abs(forward(mark) - forward(null)) for mark in marks)
    ends = [
        end
        for f in members
        for end in f.interval or ()
        if np.isfinite(end) and end > (0 if unit == "times" else -np.inf)
    ]
    spans = [forward(end) - forward(null) for end in ends]
    most = 1.6 * reach if len(members) > 2 else np.inf
    low = max(min([*spans, -0.2 * reach]), -most)
    high = min(max([*spans, reach]), most)
    axes.set_xlim(*_back(unit, np.array([low, high]) * 1.05))
    axes.set_ylim(len(members), 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_minor_locator(NullLocator())
    if unit == "times":
        axes.set_xscale("log")
        ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 3, 4, 6, 8, 10, 20, 50) if _inside(axes, t)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{words.plain(x)}×"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: words.plain(round(x, 6))))
    return null


def _back(unit: str, spans: np.ndarray) -> np.ndarray:
    return np.exp(spans) if unit == "times" else spans


def _inside(axes: Axes, x: float) -> bool:
    low, high = axes.get_xlim()
    return low <= x <= high


def _row(axes: Axes, finding: Finding, y: float, half: float) -> None:
    color = COLOR[finding.mark.key]
    estimate, margin = finding.estimate, finding.margin
    assert estimate is not None, "checked by the caller"
    if margin is not None:
        below = 1 / margin if finding.is_factor else -margin
        axes.fill_betweenx([y - half, y + half], below, margin, color=COLOR["band"], lw=0)
    low, high = axes.get_xlim()
    if finding.interval:
        ends = finding.interval
        axes.plot(np.clip(ends, low, high), [y, y], color=color, lw=2.4, solid_capstyle="butt")
        for end, edge, arrow in zip(ends, (low, high), ("<", ">"), strict=True):
            if not low <= end <= high:
                axes.plot(edge, y, marker=arrow, color=color, ms=6, clip_on=False)
    axes.plot(
        estimate,
        y,
        marker=finding.mark.marker,
        ms=9,
        mew=2,
        mec=color,
        mfc=color if finding.mark.filled else COLOR["surface"],
        clip_on=False,
        zorder=4,
    )
    if finding.paper is not None:
        axes.plot(
            finding.paper,
            y,
            marker="D",
            ms=7,
            mew=1.6,
            mec=COLOR["paper"],
            mfc=COLOR["paper"] if finding.comparable else COLOR["surface"],
            clip_on=False,
            zorder=5,
        )
