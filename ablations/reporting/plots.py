"""The figures of the report: values by seed and learning curves; the forest plot and the gaps."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from math import exp, inf, isfinite, isnan, nan
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ablations.claims.results import ClaimResult
from ablations.claims.schema import TIMES
from ablations.files import write_atomically
from ablations.record import Record
from ablations.reporting.claims import measure_of, target_of
from ablations.reporting.drawing import COLORS, STYLE, Panel, blank
from ablations.reporting.evidence import Section
from ablations.reporting.forest import forest, gaps
from ablations.words import capital, number, plain, slug, spoken

# Size of a plot without its legend, in pixels of the page: no wider than a card on a small phone,
# so that text is never scaled down there.
WIDTH, HEIGHT = 300, 230
_FEW = 12  # largest number of epochs for which each has a marker
# The colors and markers of arms, in their order. "without" first: its place is on the left.
_MARKERS = {"without": "s", "with": "o", "holds": "^", "no-effect": "D", "ink": "v"}
_ARM_STYLES: list[dict[str, Any]] = [
    {"color": COLORS[name], "marker": marker, "ms": 6.5, "mec": COLORS["surface"], "mew": 0.8}
    for name, marker in _MARKERS.items()
]
_ARM_STYLES[0]["ls"] = (0, (4, 2))
_SIDES = ("without", "with")  # from left to right
_SPLITS = {"train": "online training", "val": "validation"}

# By the key of the section, the claim and its part, both empty for figures of the whole section.
Drawn = Mapping[tuple[str, str, str], Mapping[str, Panel]]


def draw(sections: Iterable[Section]) -> Drawn:
    """Draw the figures of each section and of each comparison, those that have values, by name."""
    drawn: dict[tuple[str, str, str], Mapping[str, Panel | None]] = {}
    for section in sections:
        curves = {} if section.study else arm_curves(section)
        scale = f"{section.dataset}: {section.scale}"
        effects = forest(section.title, scale, section.shown)
        whole = {"forest": effects, "gaps": gaps(section), **curves}
        drawn[section.key, "", ""] = whole
        for result in section.shown:
            for part in result.arms:
                drawn[section.key, result.claim, part] = panels(section, result, part)
    return {
        place: {name: panel for name, panel in found.items() if panel}
        for place, found in drawn.items()
    }


def save(folder: Path, drawn: Drawn) -> list[Path]:
    """Write each figure as SVG and as PDF, and return the files.

    Args:
        folder: Where to, created if there is a figure.
        drawn: The figures.
    """
    written = []
    for place, found in drawn.items():
        for name, panel in found.items():
            folder.mkdir(exist_ok=True)
            for kind, content in (("svg", panel.svg.encode()), ("pdf", panel.pdf)):
                path = folder / f"{slug(*place, name)}.{kind}"
                write_atomically(path, content, lasting=False)
                written.append(path)
    return written


def arm_curves(section: Section) -> dict[str, Panel | None]:
    """Draw the learning curves of all arms on training and validation images, five per figure.

    The first arm, usually the baseline, is in every figure.
    """
    first, *others = section.arms
    step = len(_ARM_STYLES) - 1
    drawn = {}
    for start in range(0, max(len(others), 1), step):
        arms = {arm.name: arm.runs for arm in [first, *others[start : start + step]]}
        page = f"-{start // step + 1}" * bool(start)
        for split in _SPLITS:
            drawn[split + page] = _curves(section.title + page, split, arms)
    return drawn


def panels(section: Section, result: ClaimResult, part: str) -> dict[str, Panel | None]:
    """Draw the values of all ``seeds``, and learning curves on ``train`` and ``val`` images.

    Args:
        section: Where the claim and its runs are; curves of missing runs are left out.
        result: The claim.
        part: Part of the claim.
    """
    runs = {run.run_id: run for run in section.runs}
    arms = {
        f"{side}: {arm.name}": [
            runs[run_id] for ids in arm.runs.values() for run_id in ids if run_id in runs
        ]
        for side, arm in ((side, result.arms[part][side]) for side in _SIDES)
    }
    title = ": ".join(filter(None, [section.title, spoken(result.claim), part]))
    drawn = {"seeds": _points(title, result, part)}
    of, online = result.measure["of"], result.measure["curve"] == "online"
    for split in _SPLITS:
        # Only the curve from which a time is read shows the target.
        target = target_of(result) if of in TIMES and online == (split == "train") else None
        drawn[split] = _curves(title, split, arms, of == "steps_to_loss", target)
    return drawn


@matplotlib.rc_context(STYLE)
def _points(title: str, result: ClaimResult, part: str) -> Panel | None:
    """Draw a point for each run, and a line between the runs of one seed; None without values.

    A diamond is where the mean with the technique would lie if the effect were the paper's.
    """
    arms = [result.arms[part][side] for side in _SIDES]
    seeds = sorted({seed for arm in arms for seed in arm.values})
    found = [[arm.values.get(seed, nan) for arm in arms] for seed in seeds]
    # Infinite where a target was not reached, NaN where there is no run.
    values = np.array([[inf if value is None else value for value in row] for row in found])
    if not np.isfinite(values).any():
        return None
    values *= 1 if result.measure["of"] in TIMES else 100
    pairs = values[np.isfinite(values).all(1)]
    better = (pairs[:, 0] - pairs[:, 1]) * (-1 if result.measure["direction"] == "higher" else 1)
    measure = measure_of(result)
    marks: dict[str, dict[str, Any]] = {
        f"{side}: {arm.name}": style
        for side, arm, style in zip(_SIDES, arms, _ARM_STYLES, strict=False)
    }
    expected = _expected(result, values[:, 0])
    if expected is not None:  # hollow on other data, below the points
        color = {"color": COLORS["ink"], "mfc": COLORS["ink"] if result.at_paper else "none"}
        diamond = {"marker": "D", "ls": "", "ms": 9, "mew": 1.6, "zorder": 1.5, **color}
        marks["with the paper’s effect"] = diamond
    figure, axes = _blank(measure, marks)
    axes.plot([0, 1], pairs.T, color=COLORS["muted"], lw=1, alpha=0.6, zorder=1)
    ticks = []
    for x, (side, style, column) in enumerate(zip(_SIDES, _ARM_STYLES, values.T, strict=False)):
        reached = column[np.isfinite(column)]
        axes.plot(np.full(len(reached), x), reached, clip_on=False, **{**style, "ls": ""})
        if len(reached):
            middle, outward = float(reached.mean()), 2 * x - 1
            axes.plot(x + 0.16 * outward, middle, "_", color=COLORS["ink"], ms=12, mew=2)
            place: dict[str, Any] = {"ha": ("right", "left")[x], "va": "center"}
            axes.text(x + 0.26 * outward, middle, number(middle, 2), **place)
        lost = np.isinf(column).sum()
        ticks.append(side + f"\n{lost} not reached" * bool(lost))
    if expected is not None:
        axes.plot(1, expected, **marks["with the paper’s effect"])
    axes.set_xlim(-0.75, 1.75)
    axes.set_xticks([0, 1], ticks, color=COLORS["ink"])
    text = (
        f"{capital(measure)}, one point for each run, lines join the runs of one seed; "
        f"{(better > 0).sum()} of {len(pairs)} pairs point in the paper's direction."
    )
    head = ("seed", *(f"{side}, {measure}" for side in _SIDES))
    return Panel(f"{title}: every seed", figure, text, head, _rows(seeds, values))


def _expected(result: ClaimResult, without: NDArray[np.float64]) -> float | None:
    """Return the mean with the technique if the effect were the paper's.

    None if the paper gives no figure, for gaps, and if a run without it has no finite value.
    """
    if result.effect is None or result.scale == "relative" or not np.isfinite(without).all():
        return None
    sign = 1 if result.measure["direction"] == "higher" else -1
    if result.scale == "ratio":
        return float(without.mean()) * exp(sign * result.effect)
    return float(without.mean()) + sign * 100 * result.effect


@matplotlib.rc_context(STYLE)
def _curves(
    title: str,
    split: str,
    arms: Mapping[str, Sequence[Record]],
    loss: bool = False,
    target: float | None = None,
) -> Panel | None:
    """Draw the mean over the runs of each arm as a line, and their range as a band.

    If there are few epochs, each has a marker, otherwise only the last.

    Args:
        title: Of the comparison.
        split: ``train`` or ``val``.
        arms: Runs by the name of their arm.
        loss: Draw the loss rather than the top-1 error.
        target: Value to mark by a line; if it is a loss, the x axis has steps instead of epochs.

    Returns:
        The figure; None without values.
    """
    what = f"{_SPLITS[split]} " + ("loss, nats" if loss else "top-1 error, %")
    x = "step" if loss and target is not None else "epoch"
    curves = [[_curve(run, split, loss, x) for run in runs] for runs in arms.values()]
    places = sorted({place for members in curves for curve in members for place in curve})
    if not places:
        return None
    marks = dict(zip(arms, _ARM_STYLES, strict=False))
    dotted = {"color": COLORS["ink"], "lw": 1.2, "ls": (0, (2, 2))}
    if target is not None:
        marks[f"target {plain(target)} {what.split(', ')[-1]}"] = dotted
    figure, axes = _blank(what, marks)
    if target is not None:
        axes.axhline(target, **dotted)
    means = np.full((len(places), len(arms)), nan)
    for column, (style, members) in enumerate(zip(_ARM_STYLES, curves, strict=False)):
        values = [[curve[at] for curve in members if at in curve] for at in places]
        means[:, column] = [mean(found) if found else nan for found in values]
        low, high = ([f(found, default=nan) for found in values] for f in (min, max))
        axes.fill_between(places, low, high, color=style["color"], alpha=0.2, lw=0)
        last = np.flatnonzero(np.isfinite(means[:, column]))[-1:].tolist()
        every = None if x == "epoch" and len(places) <= _FEW else last
        axes.plot(places, means[:, column], clip_on=False, lw=2, markevery=every, **style)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.set_xlabel(x, loc="right")
    text = f"A line over the {x}s is the mean over the runs of an arm, a band their range."
    head = (x, *(f"{name}, mean {what}" for name in arms))
    return Panel(f"{title}: {what}", figure, text, head, _rows(places, means))


def _curve(run: Record, split: str, loss: bool, x: str) -> dict[int, float]:
    """Return the values of a learning curve by epoch or step, errors in percent."""
    if x == "step":
        pairs = list(zip(run.online_loss.steps, run.online_loss.loss, strict=True))
    else:
        scores = [(point.epoch, getattr(point, split)) for point in run.curve]
        pairs = [(at, found.loss if loss else 100 * found.top1) for at, found in scores if found]
    return {place: value for place, value in pairs if value is not None}


def _rows(places: Sequence[int], values: NDArray[np.float64]) -> list[tuple[str, ...]]:
    """Return the rows of a table: the place, then the values as text."""

    def text(value: float) -> str:
        if isnan(value):
            return "–"
        return number(value, 2) if isfinite(value) else "not reached"

    rows = zip(places, values.tolist(), strict=True)
    return [(str(place), *map(text, row)) for place, row in rows]


def _blank(title: str, marks: Mapping[str, Mapping[str, Any]]) -> tuple[Figure, Axes]:
    """Return an empty figure, with a legend of styles by their names below the axes."""
    names = [_wrapped(name) for name in marks]
    entries = [Line2D([], [], label=n, **m) for n, m in zip(names, marks.values(), strict=True)]
    figure = blank(WIDTH, HEIGHT + 22 * sum(name.count("\n") + 1 for name in names))
    axes = figure.add_subplot()
    axes.set_title(_wrapped(title))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda y, _: plain(round(y, 6)))
    figure.legend(handles=entries, loc="outside lower left")
    return figure, axes


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 32, break_on_hyphens=False)
