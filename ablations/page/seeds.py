"""The runs behind one claim: points by seed, and learning curves with their bands."""

from math import isfinite
from statistics import mean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ablations.claims.results import ArmResult
from ablations.claims.schema import TIMES
from ablations.page import words
from ablations.page.findings import Finding
from ablations.page.svg import COLOR, Drawing, canvas, place, render, write
from ablations.record import Record

_WIDTH, _HEIGHT = 330, 220
_LOOKS = {
    "without": {"color": COLOR["without"], "marker": "s", "ls": (0, (4, 2))},
    "with": {"color": COLOR["with"], "marker": "o", "ls": "-"},
}


def points(finding: Finding, part: str = "") -> Drawing | None:
    """Draw every pair of seeds of a part; None without any value."""
    key, measure = words.slug(finding.key, part, "points"), finding.measure
    arms = finding.result.arms.get(part, {})
    values = {side: _values(finding, arms.get(side)) for side in _LOOKS}
    found = [v for side in values.values() for v in side.values() if isfinite(v)]
    if not found:
        return None
    sign = -1 if finding.result.measure["direction"] == "higher" else 1
    seeds = sorted(values["without"].keys() | values["with"].keys())
    pairs = [s for s in seeds if all(isfinite(v.get(s, np.nan)) for v in values.values())]
    agree = sum((values["without"][s] - values["with"][s]) * sign > 0 for s in pairs)
    title = f"{_title(finding, part)}: every seed"
    description = (
        f"{words.capital(measure)}, one point for each run, lines join the runs of one "
        f"seed; {agree} of {len(pairs)} pairs point in the paper's direction."
    )
    with canvas(_WIDTH, _HEIGHT) as figure:
        axes = _axes(figure, measure)
        for seed in pairs:
            ends = [values["without"][seed], values["with"][seed]]
            axes.plot([0, 1], ends, color=COLOR["muted"], lw=1, alpha=0.6, zorder=1)
        for x, side in enumerate(values):
            reached = [v for v in values[side].values() if isfinite(v)]
            look = _LOOKS[side]
            axes.plot(
                [x] * len(reached),
                reached,
                ls="",
                marker=look["marker"],
                color=look["color"],
                ms=6.5,
                mec=COLOR["surface"],
                mew=0.8,
                clip_on=False,
                zorder=3,
            )
            if reached:
                outside = x + (-0.16 if x == 0 else 0.16)
                middle = mean(reached)
                axes.plot([outside - 0.07, outside + 0.07], [middle] * 2, color=COLOR["ink"], lw=2)
                axes.text(
                    outside + (-0.1 if x == 0 else 0.1),
                    middle,
                    words.number(middle, words.digits(float(np.ptp(found)) / 5)),
                    ha="right" if x == 0 else "left",
                    va="center",
                )
            lost = len(values[side]) - len(reached)
            if lost:
                axes.annotate(
                    f"{lost} not reached",
                    (x, 1),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    va="top",
                    color=COLOR["muted"],
                    size=11,
                )
        axes.set_xlim(-0.75, 1.75)
        axes.set_xticks([0, 1], ["without", "with"])
        axes.tick_params(axis="x", labelcolor=COLOR["ink"])
        svg = render(figure, key, title, description)
    decimals = words.digits(float(np.ptp(found)) / 5)
    rows = [
        (str(seed), *(_cell(values[side], seed, decimals) for side in values)) for seed in seeds
    ]
    head = ("seed", f"without, {measure}", f"with, {measure}")
    return Drawing(key, title, description, svg, head=head, rows=rows)


def curves(finding: Finding, runs: dict[str, Record], part: str = "") -> list[Drawing]:
    """Draw learning curves of both arms on training and validation images, over the seeds.

    Args:
        finding: The claim.
        runs: Records by run id; those that are missing are left out.
        part: Part of the claim.
    """
    arms = finding.result.arms.get(part, {})
    records = {
        side: [runs[name] for ids in arm.runs.values() for name in ids if name in runs]
        for side, arm in arms.items()
    }
    of, curve = finding.result.measure["of"], finding.result.measure["curve"]
    metric, unit = ("loss", "loss, nats") if of == "steps_to_loss" else ("top1", "top-1 error, %")
    drawings = []
    for split, word in (("train", "online training"), ("val", "validation")):
        measured = of in TIMES and (curve == "online") == (split == "train")
        x = "step" if measured and metric == "loss" else "epoch"
        series = {
            side: [_series(run, split, metric, x) for run in records.get(side, ())]
            for side in _LOOKS
        }
        target = finding.target if measured else None
        drawings.append(_curve(finding, part, series, f"{word} {unit}", x, target))
    return [drawing for drawing in drawings if drawing]


Series = list[tuple[int, float]]


def _series(run: Record, split: str, metric: str, x: str) -> Series:
    scale = 1.0 if metric == "loss" else 100.0
    if x == "step":
        pairs = zip(run.online_loss.steps, run.online_loss.loss, strict=True)
    else:
        scores = ((point.epoch, getattr(point, split)) for point in run.curve)
        pairs = ((epoch, getattr(found, metric)) for epoch, found in scores if found)
    return [(at, scale * value) for at, value in pairs if value is not None]


def _curve(
    finding: Finding,
    part: str,
    arms: dict[str, list[Series]],
    what: str,
    x: str,
    target: float | None,
) -> Drawing | None:
    if not any(point for members in arms.values() for series in members for point in series):
        return None
    key = words.slug(finding.key, part, "val" if what.startswith("validation") else "train")
    title = f"{_title(finding, part)}: {what}"
    description = (
        f"{words.capital(what)} over the {x}s: the mean over seeds as a line, "
        "their range as a band."
    )
    table: dict[int, dict[str, str]] = {}
    with canvas(_WIDTH, _HEIGHT) as figure:
        axes = _axes(figure, what)
        for side, members in arms.items():
            by_x: dict[int, list[float]] = {}
            for at, value in (point for series in members for point in series):
                by_x.setdefault(at, []).append(value)
            if not by_x:
                continue
            places = sorted(by_x)
            means = [mean(by_x[at]) for at in places]
            look = _LOOKS[side]
            low, high = ([f(by_x[at]) for at in places] for f in (min, max))
            axes.fill_between(places, low, high, color=look["color"], alpha=0.2, lw=0)
            axes.plot(places, means, color=look["color"], ls=look["ls"], lw=2)
            axes.plot(
                places[-1],
                means[-1],
                marker=look["marker"],
                color=look["color"],
                ms=6.5,
                mec=COLOR["surface"],
                mew=0.8,
                clip_on=False,
                zorder=3,
            )
            for at, value in zip(places, means, strict=True):
                table.setdefault(at, {})[side] = words.number(value, 1 if "%" in what else 2)
        if target is not None:
            text = f"target {words.plain(target)} {what.split(', ')[-1]}"
            axes.axhline(target, color=COLOR["paper"], lw=1.2, ls=(0, (2, 2)))
            axes.annotate(
                text,
                # Early on, every curve is above its target.
                (0.01, target),
                (0, -3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="top",
                color=COLOR["ink"],
                size=11,
            )
            description += f" A dotted line marks the {text}."
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.annotate(
            x,
            (1, 0),
            (0, -26),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=COLOR["muted"],
        )
        svg = render(figure, key, title, description)
    rows = [
        (str(at), *(cells.get(side, "–") for side in arms)) for at, cells in sorted(table.items())
    ]
    head = (x, f"without, mean {what}", f"with, mean {what}")
    return Drawing(key, title, description, svg, head=head, rows=rows)


def _title(finding: Finding, part: str) -> str:
    return f"{finding.title}: {part}" if part else finding.title


def _axes(figure: Figure, label: str) -> Axes:
    axes = place(figure, 38, 28, _WIDTH - 50, _HEIGHT - 60)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.margins(y=0.12)
    axes.spines["left"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: words.plain(round(y, 6))))
    write(figure, 2, 10, label, color="muted")
    return axes


def _values(finding: Finding, arm: ArmResult | None) -> dict[int, float]:
    values = arm.values.items() if arm else ()
    return {seed: np.nan if v is None else finding.value_scale * v for seed, v in values}


def _cell(values: dict[int, float], seed: int, decimals: int) -> str:
    if seed not in values:
        return "–"
    value = values[seed]
    return words.number(value, decimals + 1) if isfinite(value) else "not reached"
