"""The runs behind one claim: points by seed, and learning curves with their bands."""

from math import isfinite
from statistics import mean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ablations.page import words
from ablations.page.findings import Finding
from ablations.page.svg import COLOR, Drawing, canvas, place, render, write
from ablations.record import CurvePoint, Record
from ablations.study.verdicts import ArmResult

_WIDTH, _HEIGHT = 330, 220
_LOOKS = {
    "without": {"color": COLOR["without"], "marker": "s", "ls": (0, (4, 2))},
    "with": {"color": COLOR["with"], "marker": "o", "ls": "-"},
}


def points(finding: Finding) -> Drawing | None:
    """Every seed of both arms, pairs joined; none without any value."""
    key, measure = f"{finding.key}-points", finding.measure
    arms = {"without": finding.without, "with": finding.with_technique}
    values = {side: _values(finding, arm) for side, arm in arms.items()}
    found = [v for side in values.values() for v in side.values() if isfinite(v)]
    if not found:
        return None
    sign = -1 if finding.measured.get("direction") == "higher" else 1
    seeds = sorted(values["without"].keys() | values["with"].keys())
    pairs = [s for s in seeds if all(isfinite(v.get(s, np.nan)) for v in values.values())]
    agree = sum((values["without"][s] - values["with"][s]) * sign > 0 for s in pairs)
    title = f"{finding.title}: every seed"
    description = (
        f"{measure[0].upper() + measure[1:]}, one point for each run, lines join the runs of one "
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
                what = "not reached" if finding.result.kind == "time_to_target" else "diverged"
                axes.annotate(
                    f"{lost} {what}",
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


def curves(finding: Finding, runs: dict[str, Record]) -> list[Drawing]:
    """Learning curves of both arms on training and validation images, mean and range of seeds.

    Args:
        finding: The claim.
        runs: Records by run id; those that are missing are left out.
    """
    arms = {}
    for side, arm in (("without", finding.without), ("with", finding.with_technique)):
        members = [runs[name] for ids in arm.runs.values() for name in ids if name in runs]
        arms[side] = [run.curve for run in members if run.curve]
    if not any(arms.values()):
        return []
    derived = finding.result.kind in ("gap", "time_to_target") or finding.metric == "color"
    metric = "top1" if derived else finding.metric
    drawings = [_curve(finding, arms, split, metric) for split in ("train", "val")]
    return drawings


def _curve(
    finding: Finding, arms: dict[str, list[list[CurvePoint]]], split: str, metric: str
) -> Drawing:
    place_name = {"train": "running training", "val": "validation"}[split]
    what = {"top1": "top-1 error, %", "top5": "top-5 error, %", "loss": "loss, nats"}[metric]
    key, title = f"{finding.key}-{split}", f"{finding.title}: {place_name} {what}"
    description = (
        f"{place_name.capitalize()} {what} over the epochs: the mean over seeds as a line, "
        "their range as a band."
    )
    scale = 1.0 if metric == "loss" else 100.0
    table: dict[int, dict[str, str]] = {}
    with canvas(_WIDTH, _HEIGHT) as figure:
        axes = _axes(figure, f"{place_name} {what}")
        for side, members in arms.items():
            if not members:
                continue
            by_epoch: dict[int, list[float]] = {}
            for curve in members:
                for point in curve:
                    value = getattr(getattr(point, split), metric)
                    by_epoch.setdefault(point.epoch, []).append(scale * value)
            epochs = sorted(by_epoch)
            means = [mean(by_epoch[epoch]) for epoch in epochs]
            look = _LOOKS[side]
            low, high = ([f(by_epoch[e]) for e in epochs] for f in (min, max))
            axes.fill_between(epochs, low, high, color=look["color"], alpha=0.2, lw=0)
            axes.plot(epochs, means, color=look["color"], ls=look["ls"], lw=2)
            axes.plot(
                epochs[-1],
                means[-1],
                marker=look["marker"],
                color=look["color"],
                ms=6.5,
                mec=COLOR["surface"],
                mew=0.8,
                clip_on=False,
                zorder=3,
            )
            for epoch, value in zip(epochs, means, strict=True):
                table.setdefault(epoch, {})[side] = words.number(value, 2 if scale == 1 else 1)
        target = finding.target
        if target is not None and (finding.split == "val") == (split == "val"):
            axes.axhline(target, color=COLOR["paper"], lw=1.2, ls=(0, (2, 2)))
            axes.annotate(
                f"target {words.plain(target)} %",
                # Early on, every curve is above its target.
                (0.01, target),
                (0, -3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="top",
                color=COLOR["ink"],
                size=11,
            )
            description += f" A dotted line marks the target of {words.plain(target)} %."
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.annotate(
            "epoch",
            (1, 0),
            (0, -26),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=COLOR["muted"],
        )
        svg = render(figure, key, title, description)
    rows = [
        (str(epoch), *(cells.get(side, "–") for side in arms))
        for epoch, cells in sorted(table.items())
    ]
    head = ("epoch", f"without, mean {what}", f"with, mean {what}")
    return Drawing(key, title, description, svg, head=head, rows=rows)


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


def _values(finding: Finding, arm: ArmResult) -> dict[int, float]:
    scale = finding.value_scale
    return {seed: np.nan if value is None else scale * value for seed, value in arm.values.items()}


def _cell(values: dict[int, float], seed: int, decimals: int) -> str:
    if seed not in values:
        return "–"
    value = values[seed]
    return words.number(value, decimals + 1) if isfinite(value) else "none"
