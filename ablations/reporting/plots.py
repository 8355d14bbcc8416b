"""Values by seed of a claim, and learning curves, drawn once by matplotlib for page and files.

The figures have the light colors of the style sheet, which the page replaces by the variables of
the style sheet. Text is not converted to paths. Figures have a legend below the plot; the page
names the arms of a claim in text instead.
"""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from math import exp, inf, isfinite, isnan, nan
from statistics import mean
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ablations.claims.results import ArmResult, ClaimResult
from ablations.claims.schema import TIMES
from ablations.record import Record
from ablations.reporting.claims import measure_of, target_of
from ablations.reporting.evidence import Section
from ablations.words import capital, number, plain, spoken

_SHEET = (files("ablations.reporting") / "templates" / "report.css").read_text("utf-8")
# The light colors precede the first media query.
COLORS = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", _SHEET.partition("@media")[0]))
# Colors and markers of arms, in their order. "without" first: its place is on the left.
_MARKERS = {"without": "s", "with": "o", "holds": "^", "no-effect": "D", "ink": "v"}
_COLOR = {name: COLORS[name] for name in ("muted", "rule", "surface", *_MARKERS)}
# Size of a plot without its legend, in pixels of the page: no wider than a card on a small phone,
# so that text is never scaled down there.
WIDTH, HEIGHT = 300, 230
_FEW = 12  # largest number of epochs for which each has a marker
STYLE: dict[Any, Any] = {
    "font.size": 14,
    "text.color": _COLOR["ink"],
    "axes.axisbelow": True,
    "axes.edgecolor": _COLOR["rule"],
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": _COLOR["muted"],
    **{f"axes.spines.{side}": False for side in ("left", "right", "top")},
    "axes.titlecolor": _COLOR["muted"],
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 14,
    "axes.ymargin": 0.12,
    "grid.color": _COLOR["rule"],
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,
    **{f"{axis}tick.color": _COLOR["rule"] for axis in "xy"},
    **{f"{axis}tick.labelcolor": _COLOR["muted"] for axis in "xy"},
    "ytick.major.size": 0,
}
_ARM_STYLES: list[dict[str, Any]] = [
    {"color": _COLOR[name], "marker": marker, "ms": 6.5, "mec": _COLOR["surface"], "mew": 0.8}
    for name, marker in _MARKERS.items()
]
_ARM_STYLES[0]["ls"] = (0, (4, 2))
_SIDES = ("without", "with")  # from left to right
_SPLITS = {"train": "online training", "val": "validation"}
# Without dates the same records give the same files.
_DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


@dataclass(frozen=True)
class Panel:
    """A figure with the table of its data.

    Attributes:
        title: What it shows, in one line.
        svg: The plot as an element of the page.
        file: The figure as an SVG file.
        figure: The plot with its legend.
        head: Column names of the table.
        rows: Rows of the table, as text.
        paper: Value at which the plot marks the paper's effect; None if it does not.
    """

    title: str
    svg: Markup
    file: str
    figure: Figure
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    paper: float | None = None


# By the key of the section, the claim and its part, both empty for runs outside a study.
Drawn = Mapping[tuple[str, str, str], dict[str, Panel]]


def draw(sections: Iterable[Section]) -> Drawn:
    """Draw the panels of all claims, and the learning curves of runs outside a study."""
    drawn: dict[tuple[str, str, str], dict[str, Panel]] = {}
    for section in sections:
        for result in section.shown:
            for part in result.arms:
                drawn[section.key, result.claim, part] = panels(section, result, part)
        if not section.study:
            drawn[section.key, "", ""] = arm_curves(section)
    return drawn


def arm_curves(section: Section) -> dict[str, Panel]:
    """Draw the learning curves of all arms on training and validation images, five per figure.

    The first arm, usually the baseline, is in every figure.
    """
    first, *others = section.arms
    step = len(_ARM_STYLES) - 1
    drawn = {}
    for start in range(0, max(len(others), 1), step):
        arms = [first, *others[start : start + step]]
        names = {arm.name: arm.name for arm in arms}
        part = f"-{start // step + 1}" * bool(start)
        for split, word in _SPLITS.items():
            curves = [[_curve(run, split, "top1", "epoch") for run in arm.runs] for arm in arms]
            what, title = f"{word} top-1 error, %", section.title + part
            if panel := _curves(section.key, title, what, "epoch", curves, None, names):
                svg = _element(panel.file, panel.title, legend=True)
                drawn[split + part] = replace(panel, svg=svg)
    return drawn


def panels(section: Section, result: ClaimResult, part: str) -> dict[str, Panel]:
    """Draw the values of all ``seeds``, and learning curves on ``train`` and ``val`` images.

    Args:
        section: Where the claim and its runs are; curves of missing runs are left out.
        result: The claim.
        part: Part of the claim.

    Returns:
        The panels that have values, by name.
    """
    arms = [result.arms[part][side] for side in _SIDES]
    names = {side: f"{side}: {arm.name}" for side, arm in zip(_SIDES, arms, strict=True)}
    runs = {run.run_id: run for run in section.runs}
    records = [
        [runs[run_id] for ids in arm.runs.values() for run_id in ids if run_id in runs]
        for arm in arms
    ]
    title = ": ".join(filter(None, [spoken(result.claim), part]))
    drawn = {"seeds": _points(section.key, title, result, arms, names)}
    timed, online = result.measure["of"] in TIMES, result.measure["curve"] == "online"
    metric = "loss" if result.measure["of"] == "steps_to_loss" else "top1"
    for split, word in _SPLITS.items():
        what = f"{word} loss, nats" if metric == "loss" else f"{word} top-1 error, %"
        # Only the curve from which a time is read shows the target, by steps for a time in steps.
        target = target_of(result) if timed and online == (split == "train") else None
        x = "step" if target is not None and metric == "loss" else "epoch"
        curves = [[_curve(run, split, metric, x) for run in members] for members in records]
        drawn[split] = _curves(section.key, title, what, x, curves, target, names)
    return {name: panel for name, panel in drawn.items() if panel}


def _points(
    key: str,
    title: str,
    result: ClaimResult,
    arms: Sequence[ArmResult],
    names: Mapping[str, str],
) -> Panel | None:
    """Draw a point for each run, and a line between the runs of one seed; None without values.

    A diamond is where the mean with the technique would lie if the effect were the paper's.
    """
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
    text = (
        f"{capital(measure)}, one point for each run, lines join the runs of one seed; "
        f"{(better > 0).sum()} of {len(pairs)} pairs point in the paper's direction."
    )
    expected = _expected(result, values[:, 0])
    marks = {} if expected is None else {"with the paper's effect": _diamond(result)}
    with _figure(measure, names, marks) as (figure, axes):
        axes.plot([0, 1], pairs.T, color=_COLOR["muted"], lw=1, alpha=0.6, zorder=1)
        for x, (style, column) in enumerate(zip(_ARM_STYLES, values.T, strict=False)):
            reached = column[np.isfinite(column)]
            axes.plot(np.full(len(reached), x), reached, clip_on=False, **{**style, "ls": ""})
            if len(reached):
                middle, outward = float(reached.mean()), 2 * x - 1
                axes.plot(x + 0.16 * outward, middle, "_", color=_COLOR["ink"], ms=12, mew=2)
                place: dict[str, Any] = {"ha": ("right", "left")[x], "va": "center"}
                axes.text(x + 0.26 * outward, middle, number(middle, 2), **place)
            if lost := np.isinf(column).sum():
                place = {"ha": "center", "va": "bottom", "transform": axes.get_xaxis_transform()}
                axes.text(x, 1, f"{lost} not reached", color=_COLOR["muted"], **place)
                axes.set_title(axes.get_title("left"), pad=28)
        if expected is not None:
            text += f" A diamond marks {number(expected, 2)}, the mean with the paper's effect."
            axes.plot(1, expected, **_diamond(result))
        axes.set_xlim(-0.75, 1.75)
        axes.set_xticks([0, 1], _SIDES, color=_COLOR["ink"])
    head = ("seed", *(f"{side}, {measure}" for side in _SIDES))
    panel = _panel(figure, key, f"{title}: every seed", text, head, seeds, values)
    return replace(panel, paper=expected)


def _diamond(result: ClaimResult) -> dict[str, Any]:
    """Return the style of the paper's effect: hollow on other data, drawn below the points."""
    face = _COLOR["ink"] if result.at_paper else "none"
    ink = {"color": _COLOR["ink"], "mec": _COLOR["ink"]}
    return {"marker": "D", "ls": "", "mfc": face, "ms": 9, "mew": 1.6, "zorder": 1.5, **ink}


def _expected(result: ClaimResult, without: NDArray[np.float64]) -> float | None:
    """Return the mean with the technique if the effect were the paper's; None without a figure."""
    if result.effect is None or result.scale == "relative" or not np.isfinite(without).all():
        return None
    sign = 1 if result.measure["direction"] == "higher" else -1
    if result.scale == "ratio":
        return float(without.mean()) * exp(sign * result.effect)
    return float(without.mean()) + sign * 100 * result.effect


Curve = dict[int, float]


def _curve(run: Record, split: str, metric: str, x: str) -> Curve:
    """Return the values of a learning curve by epoch or step, errors in percent."""
    if x == "step":
        pairs = list(zip(run.online_loss.steps, run.online_loss.loss, strict=True))
    else:
        scores = [(point.epoch, getattr(point, split)) for point in run.curve]
        pairs = [(epoch, getattr(found, metric)) for epoch, found in scores if found]
    scale = 1.0 if metric == "loss" else 100.0
    return {place: scale * value for place, value in pairs if value is not None}


def _curves(
    key: str,
    title: str,
    what: str,
    x: str,
    arms: Sequence[Sequence[Curve]],
    target: float | None,
    names: Mapping[str, str],
) -> Panel | None:
    """Draw the mean over seeds as a line and the range as a band; None without values.

    Texts name mean and range only if an arm has several runs.

    If there are few epochs, each has a marker, otherwise only the last.
    """
    places = sorted({place for curves in arms for curve in curves for place in curve})
    if not places:
        return None
    means = np.full((len(places), len(arms)), nan)
    several = any(sum(map(bool, curves)) > 1 for curves in arms)
    if several:
        text = f"The mean over seeds as a line over the {x}s, their range as a band."
    else:
        text = f"One run of each arm as a line over the {x}s."
    few = x == "epoch" and len(places) <= _FEW
    with _figure(what, names) as (figure, axes):
        for column, (style, curves) in enumerate(zip(_ARM_STYLES, arms, strict=False)):
            values = [[curve[at] for curve in curves if at in curve] for at in places]
            means[:, column] = [mean(found) if found else nan for found in values]
            low, high = ([f(found, default=nan) for found in values] for f in (min, max))
            axes.fill_between(places, low, high, color=style["color"], alpha=0.2, lw=0)
            last = np.flatnonzero(np.isfinite(means[:, column]))[-1:].tolist()
            every = None if few else last
            axes.plot(places, means[:, column], clip_on=False, lw=2, markevery=every, **style)
        if target is not None:
            name = f"target {plain(target)} {what.split(', ')[-1]}"
            text += f" A dotted line marks the {name}."
            axes.axhline(target, color=_COLOR["ink"], lw=1.2, ls=(0, (2, 2)))
            at, up = _free_place(axes, target, np.array(places), means)
            place: dict[str, Any] = {
                "ha": ("left", "center", "right")[round(2 * at)],
                "va": "bottom" if up else "top",
            }
            place |= {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
            axes.annotate(name, (at, target), (3 - 6 * at, 3 if up else -3), **place)
        if len(places) == 1:  # matplotlib's own margin would be a twentieth of an epoch
            axes.set_xlim(places[0] - 1, places[0] + 1)
            axes.set_xticks(places)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=2))
        axes.set_xlabel(x, loc="right")
    head = (x, *(f"{name}, {'mean ' * several}{what}" for name in names))
    return _panel(figure, key, f"{title}: {what}", text, head, places, means)


def _free_place(
    axes: Axes, target: float, places: NDArray[np.int64], means: NDArray[np.float64]
) -> tuple[float, bool]:
    """Return where to write the name of the target, to cover the fewest points of the curves.

    Returns:
        Position along the line of the target, from 0 to 1, and whether the name is above the line.
    """
    width, height = 0.36, 0.12  # of the axes
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    along = (places[:, None] - left) / (right - left)
    above = (means - target) / (high - low)

    def crowd(place: tuple[float, bool]) -> int:
        start = place[0] * (1 - width)
        gap = above if place[1] else -above
        inside = (along >= start) & (along <= start + width) & (gap >= 0) & (gap <= height)
        return int(inside.sum())

    return min(((at, up) for up in (False, True) for at in (0.0, 1.0, 0.5)), key=crowd)


def _panel(
    figure: Figure,
    key: str,
    title: str,
    text: str,
    head: tuple[str, ...],
    places: Sequence[int],
    values: NDArray[np.float64],
) -> Panel:
    """Return a figure with its table.

    Args:
        figure: The figure.
        key: Key of the section.
        title: Title of the panel.
        text: Description for screen readers.
        head: Column names.
        places: The first column.
        values: The other columns, shape (places, columns).
    """
    rows = [
        (
            str(place),
            *("–" if isnan(v) else number(v, 2) if isfinite(v) else "not reached" for v in row),
        )
        for place, row in zip(places, values.tolist(), strict=True)
    ]
    label = f"{title}. {text}"
    file = saved(figure, "svg", key + label).decode()
    return Panel(title, _element(file, label), file, figure, head, rows)


def saved(figure: Figure, kind: str, salt: str) -> bytes:
    """Return the content of a figure's file.

    Args:
        figure: The figure.
        kind: ``svg``, with its size in pixels, or ``pdf``.
        salt: Makes the ids of an SVG file unique in a page.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        figure.savefig(buffer, format=kind, metadata=_DATES[kind])
    if kind == "pdf":
        return buffer.getvalue()
    # A browser would show points a third larger.
    return re.sub(rb' (width|height)="([\d.]+)pt"', rb' \1="\2"', buffer.getvalue(), count=2)


@contextmanager
def _figure(
    title: str, names: Mapping[str, str], marks: dict[str, dict[str, Any]] | None = None
) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure with its legend, and the axes to draw on.

    Args:
        title: Title of the plot.
        names: Names of the arms by column.
        marks: Styles of further marks by their names.
    """
    styles = dict(zip(names.values(), _ARM_STYLES, strict=False)) | (marks or {})
    entries = [Line2D([], [], label=_wrapped(name), **style) for name, style in styles.items()]
    lines = sum(str(entry.get_label()).count("\n") + 1 for entry in entries)
    with matplotlib.rc_context(STYLE):
        # 72 dots an inch: a point of the figure is a pixel of the page.
        size = WIDTH / 72, (HEIGHT + 22 * lines) / 72
        figure = Figure(size, dpi=72, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(_wrapped(title))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(lambda y, _: plain(round(y, 6)))
        figure.legend(handles=entries, loc="outside lower left", frameon=False)
        yield figure, axes


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 32, break_on_hyphens=False)


def _element(file: str, label: str, *, legend: bool = False) -> Markup:
    """Return the plot of a figure as an element of the page, with its fonts and colors.

    Args:
        file: The figure as an SVG file.
        label: Description for screen readers, unique in the section.
        legend: Whether to keep the legend.
    """
    text, size = file, file.partition('viewBox="')[2].partition('"')[0]
    if not legend:  # it is the last group of the figure, before the definitions
        text, _, rest = file.partition('<g id="legend_1">')
        text += "</g>" + rest[rest.rindex("<defs>") :]
        size = f"0 0 {WIDTH} {HEIGHT}"
    for pattern, by in (
        # A style sheet inside an SVG would style the whole page.
        (r"(?s)^.*?<svg.*?>|<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", ""),
        (r' id="\w[\w.]*_\d+"', ""),
        (r"xlink:href", "href"),
        (r"font-family: [^;\"]*;? ?|'DejaVu Sans'", ""),
        (r"\s+", " "),
        (r"> <", "><"),
    ):
        text = re.sub(pattern, by, text)
    # A tenth of a pixel is enough for coordinates; text has no quotes.
    text = re.sub(r'"[^"]*"', lambda quoted: _DECIMAL.sub(_rounded, quoted[0]), text)
    text = text.replace("#ffffff", "none")  # the background of the file
    for name, color in _COLOR.items():
        text = text.replace(color, f"var(--{name})")
    head = f'<svg role="img" aria-label="{{}}" viewBox="{size}">'
    return Markup(head).format(label) + Markup(text)


_DECIMAL = re.compile(r"-?\d+\.\d{2,}")


def _rounded(match: re.Match[str]) -> str:
    return f"{round(float(match[0]), 1):g}"
