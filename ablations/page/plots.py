"""Values by seed and learning curves of a claim, drawn by matplotlib as inline SVG.

The figures use stand-in colors, each of which becomes a variable of the style sheet. Text remains
text.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ablations.claims.results import ArmResult, ClaimResult
from ablations.claims.schema import TIMES
from ablations.claims.words import number
from ablations.page.claims import measure_of, target_of
from ablations.page.evidence import Section
from ablations.page.words import capital, plain, spoken
from ablations.record import Record

_NAMES = ("ink", "muted", "rule", "surface", "with", "without", "paper")
_COLOR = {name: f"#0000{place:02x}" for place, name in enumerate(_NAMES, start=1)}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 11.5,
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
    "axes.titlesize": 12,
    "axes.ymargin": 0.12,
    "grid.color": _COLOR["rule"],
    **{f"{axis}tick.color": _COLOR["rule"] for axis in "xy"},
    **{f"{axis}tick.labelcolor": _COLOR["muted"] for axis in "xy"},
    "ytick.major.size": 0,
}
# "without" first: its place is on the left.
_LOOKS: dict[str, dict[str, Any]] = {
    side: {"color": _COLOR[side], "marker": marker, "ms": 6.5, "mec": _COLOR["surface"], "mew": 0.8}
    for side, marker in (("without", "s"), ("with", "o"))
}
_DASHES = {"without": (0, (4, 2)), "with": "-"}


@dataclass(frozen=True)
class Panel:
    """A figure with the table of its data.

    Attributes:
        title: What it shows, in one line.
        svg: The figure.
        head: Column names of the table.
        rows: Rows of the table, as text.
    """

    title: str
    svg: Markup
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def panels(section: Section, result: ClaimResult, part: str) -> list[Panel]:
    """Draw the values of all seeds, and learning curves on training and validation images.

    Args:
        section: Where the claim and its runs are; curves of missing runs are left out.
        result: The claim.
        part: Part of the claim.
    """
    key, runs = section.key, {run.run_id: run for run in section.runs}
    arms = {side: result.arms[part].get(side, ArmResult("")) for side in _LOOKS}
    title = ": ".join(filter(None, [spoken(result.claim), part]))
    drawn = [_points(key, title, result, arms)]
    records = {
        side: [runs[run_id] for ids in arm.runs.values() for run_id in ids if run_id in runs]
        for side, arm in arms.items()
    }
    timed, online = result.measure["of"] in TIMES, result.measure["curve"] == "online"
    metric = "loss" if result.measure["of"] == "steps_to_loss" else "top1"
    for split in ("train", "val"):
        # The split that a time is measured on has its target, and steps if it counts steps.
        target = target_of(result) if timed and online == (split == "train") else None
        x = "step" if target is not None and metric == "loss" else "epoch"
        what = "online training" if split == "train" else "validation"
        what += " loss, nats" if metric == "loss" else " top-1 error, %"
        values: dict[int, dict[str, list[float]]] = {}
        for side, members in records.items():
            for run in members:
                for place, value in _curve(run, split, metric, x):
                    values.setdefault(place, {}).setdefault(side, []).append(value)
        if values:
            drawn.append(_curves(key, title, what, x, dict(sorted(values.items())), target))
    return [panel for panel in drawn if panel]


def _points(
    key: str, title: str, result: ClaimResult, arms: Mapping[str, ArmResult]
) -> Panel | None:
    """Draw a point for each run, and a line between the runs of one seed; None without values."""
    scale = 1.0 if result.measure["of"] in TIMES else 100.0
    seeds = sorted({seed for arm in arms.values() for seed in arm.values})
    # NaN where a target was not reached, and where there is no run.
    values = scale * np.array([[arms[s].values.get(n) for s in _LOOKS] for n in seeds], float)
    if not np.isfinite(values).any():
        return None
    pairs = values[np.isfinite(values).all(1)]
    better = (pairs[:, 0] - pairs[:, 1]) * (-1 if result.measure["direction"] == "higher" else 1)
    measure, title = measure_of(result), f"{title}: every seed"
    label = (
        f"{title}. {capital(measure)}, one point for each run, lines join the runs of one seed; "
        f"{(better > 0).sum()} of {len(pairs)} pairs point in the paper's direction."
    )
    with _figure(measure) as (figure, axes):
        axes.plot([0, 1], pairs.T, color=_COLOR["muted"], lw=1, alpha=0.6, zorder=1)
        for x, (side, column) in enumerate(zip(_LOOKS, values.T, strict=True)):
            axes.plot(np.full(len(column), x), column, ls="", clip_on=False, **_LOOKS[side])
            if np.isfinite(column).any():
                middle, away = float(np.nanmean(column)), 2 * x - 1
                axes.plot(x + 0.16 * away, middle, "_", color=_COLOR["ink"], ms=12, mew=2)
                axes.annotate(
                    number(middle, 2),
                    (x + 0.16 * away, middle),
                    (12 * away, 0),
                    textcoords="offset points",
                    ha=("right", "left")[x],
                    va="center",
                )
            if lost := sum(value is None for value in arms[side].values.values()):
                place: dict[str, Any] = {"ha": "center", "va": "top", "color": _COLOR["muted"]}
                at = axes.get_xaxis_transform()
                axes.text(x, 1, f"{lost} not reached", transform=at, **place)
        axes.set_xlim(-0.75, 1.75)
        axes.set_xticks([0, 1], list(_LOOKS), color=_COLOR["ink"])
        svg = _svg(figure, key, label)

    rows = [
        (
            str(seed),
            *(
                number(value, 2)
                if np.isfinite(value)
                else "not reached" * (seed in arms[side].values) or "–"
                for side, value in zip(_LOOKS, row, strict=True)
            ),
        )
        for seed, row in zip(seeds, values, strict=True)
    ]
    return Panel(title, svg, ("seed", *(f"{side}, {measure}" for side in _LOOKS)), rows)


def _curve(run: Record, split: str, metric: str, x: str) -> list[tuple[int, float]]:
    """Return places and values of a learning curve, errors in percent."""
    if x == "step":
        pairs = list(zip(run.online_loss.steps, run.online_loss.loss, strict=True))
    else:
        scores = [(point.epoch, getattr(point, split)) for point in run.curve]
        pairs = [(epoch, getattr(found, metric)) for epoch, found in scores if found]
    scale = 1.0 if metric == "loss" else 100.0
    return [(place, scale * value) for place, value in pairs if value is not None]


def _curves(
    key: str,
    title: str,
    what: str,
    x: str,
    values: Mapping[int, Mapping[str, Sequence[float]]],
    target: float | None,
) -> Panel:
    """Draw the mean over seeds as a line and the range as a band.

    Args:
        key: Key of the section.
        title: Name of the claim and its part.
        what: The measure with its unit.
        x: ``epoch`` or ``step``.
        values: Values of all runs, by place and side.
        target: A value to mark.
    """
    title = f"{title}: {what}"
    label = f"{title}. The mean over seeds as a line over the {x}s, their range as a band."
    table = {
        side: np.array([_summary(cells.get(side, ())) for cells in values.values()])
        for side in _LOOKS
    }
    places = list(values)
    with _figure(what) as (figure, axes):
        for side, look in _LOOKS.items():
            low, middle, high = table[side].T
            axes.fill_between(places, low, high, color=look["color"], alpha=0.2, lw=0)
            last = np.flatnonzero(np.isfinite(middle))[-1:].tolist()
            line = {"ls": _DASHES[side], "lw": 2, "markevery": last, "clip_on": False}
            axes.plot(places, middle, **look, **line)
        if target is not None:
            text = f"target {plain(target)} {what.split(', ')[-1]}"
            label += f" A dotted line marks the {text}."
            axes.axhline(target, color=_COLOR["paper"], lw=1.2, ls=(0, (2, 2)))
            # At the left every curve is above its target.
            place = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
            axes.annotate(text, (0.01, target), (0, -3), va="top", **place)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(x, loc="right")
        svg = _svg(figure, key, label)
    means = np.stack([table[side][:, 1] for side in _LOOKS], axis=1)
    rows = [
        (str(place), *("–" if np.isnan(value) else number(value, 2) for value in row))
        for place, row in zip(places, means, strict=True)
    ]
    return Panel(title, svg, (x, *(f"{side}, mean {what}" for side in _LOOKS)), rows)


def _summary(values: Sequence[float]) -> NDArray[np.float64]:
    """Return minimum, mean and maximum; NaN without values."""
    found = np.array(values)
    return np.array([found.min(), found.mean(), found.max()]) if values else np.full(3, np.nan)


@contextmanager
def _figure(title: str) -> Iterator[tuple[Figure, Axes]]:
    with matplotlib.rc_context(_STYLE):
        # 72 dots an inch: a point of the figure is a pixel of the page.
        figure = Figure((330 / 72, 220 / 72), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(lambda y, _: plain(round(y, 6)))
        yield figure, axes


def _svg(figure: Figure, key: str, label: str) -> Markup:
    """Return a figure as an element of the page: its fonts, its colors, unique ids.

    Args:
        figure: The figure.
        key: Key of the section.
        label: Description for screen readers, unique in the section.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": key + label}):  # ids are unique in the page
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
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
    for name, color in _COLOR.items():
        text = text.replace(color, f"var(--{name})")
    head = Markup('<svg role="img" aria-label="{}" viewBox="0 0 330 220">').format(label)
    return head + Markup(text)


_DECIMAL = re.compile(r"-?\d+\.\d{2,}")


def _rounded(match: re.Match[str]) -> str:
    return f"{round(float(match[0]), 1):g}"
