"""Charts whose rows are rows of a table: forest plot, gaps, color of kernels.

Each row has a strip of SVG between its texts. Positions in a strip are in percent of its width, so
that one drawing serves every width of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf, log
from statistics import mean, median

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from ablations.claims.results import ClaimResult
from ablations.claims.schema import TIMES
from ablations.claims.words import figure
from ablations.reporting.claims import Row, rows_of
from ablations.reporting.evidence import Arm
from ablations.words import count, mean_sd, number, plain, spoken

# Each scale of the forest plot is a chart of its own.
_TITLES = {
    "errors": "Ratio of the errors, logarithmic scale",
    "times": "Ratio of the times, logarithmic scale",
    "points": "Difference, percentage points",
    "% of the test error": "Difference of the gaps, % of the test error",
}
_RATIOS = (0.1, 0.2, 0.5, 1, 2, 3, 4, 6, 8, 10, 20, 50)
_TICK = 0.115  # smallest distance of two ticks as a fraction of the axis, for a phone
_LEAST_SPAN = 10.0  # percentage points of error on an axis


@dataclass(frozen=True)
class Chart:
    """A table with a strip in each row, over a common axis.

    Attributes:
        title: What the axis shows.
        low: Left end of the axis.
        high: Right end of the axis.
        ratio: Whether the axis has logarithms of ratios, and its ticks the ratios.
        rows: Name, note below it, strip, value and note below that.
    """

    title: str
    low: float
    high: float
    ratio: bool = False
    rows: list[tuple[str, str, Markup, str, str]] = field(default_factory=list)

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """Position and text of each tick."""
        return [(self._at(value), text) for value, text in self.marks]

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Value and text of each tick."""
        low, high = (exp(self.low), exp(self.high)) if self.ratio else (self.low, self.high)
        values: Sequence[float] = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
        if self.ratio and high > 3 * low:
            values = _RATIOS
        near = _TICK * (self.high - self.low)
        found: list[tuple[float, str]] = []
        # No effect first: of two texts that would touch, the farther one is left out.
        for x in sorted(values, key=lambda x: abs(log(x)) if self.ratio else abs(x)):
            at = log(x) if self.ratio else x
            if low <= x <= high and all(abs(at - other) >= near for other, _ in found):
                found.append((at, plain(round(x, 6)) + "×" * self.ratio))
        return sorted(found)

    def _at(self, value: float) -> str:
        """Return the position of a value, or of the nearest end of the axis."""
        value = min(max(value, self.low), self.high)
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"

    def line(self, low: float, high: float, style: str, *, arrows: bool = False) -> Markup:
        """Draw a horizontal line, with arrows at ends that lie outside of the axis if asked to."""
        line = _LINE.format(style, self._at(low), self._at(high))
        if arrows and low < self.low:
            line += self.mark(low, "left", style)
        if arrows and high > self.high:
            line += self.mark(high, "right", style)
        return line

    def stroke(self, value: float, style: str, top: int) -> Markup:
        """Draw a vertical stroke that begins and ends ``top`` percent from the edges."""
        return _STROKE.format(style, self._at(value), top, 100 - top)

    def mark(self, value: float, icon: str, style: str, height: int = 50) -> Markup:
        """Place an icon of the page, ``height`` percent from the top."""
        return _MARK.format(style, self._at(value), height, icon)


_LINE = Markup('<line class="{}" x1="{}" x2="{}" y1="50%" y2="50%"/>')
_STROKE = Markup('<line class="{0}" x1="{1}" x2="{1}" y1="{2}%" y2="{3}%"/>')
_MARK = Markup(
    '<svg class="{}" x="{}" y="{}%" overflow="visible">'
    '<use href="#i-{}" x="-8" y="-8" width="16" height="16"/></svg>'
)


def forest(results: Sequence[ClaimResult]) -> list[Chart]:
    """Show every primary estimate beside the paper's effect, and claims that have none yet.

    Args:
        results: The claims of one study.

    Returns:
        A chart for each scale that is needed.
    """
    return [_effects(title, rows) for title, rows in effects(results).items()]


def effects(results: Sequence[ClaimResult]) -> dict[str, list[Row]]:
    """Return a row for each claim or each of its parts, by the title of their scale."""
    groups: dict[str, list[Row]] = {title: [] for title in _TITLES.values()}
    for result in results:
        for row in rows_of(result):
            whole = row.level == "claim" and not result.verdicts
            if whole or (row.verdict and row.level != "secondary"):
                unit = result.unit_of(part_of(row))
                timed = result.measure["of"] in TIMES
                scale = unit if unit != "×" else "times" if timed else "errors"
                groups[_TITLES[scale]].append(row)
    return {title: rows for title, rows in groups.items() if rows}


def part_of(row: Row) -> str:
    """Return the part of the claim that a row is about; empty for the whole claim."""
    return row.verdict.part if row.verdict else ""


def margin_of(row: Row) -> float:
    """Return the margin of a row, on the scale of the analysis."""
    return row.verdict.margin if row.verdict else row.result.margin


def axis(title: str, rows: Sequence[Row]) -> Chart:
    """Return a chart without rows whose axis includes estimates, margins and the paper's effects.

    It is linear in the scale of the analysis. With more than two rows, long intervals may extend
    beyond the axis.
    """
    ratio = rows[0].result.unit_of(part_of(rows[0])) == "×"
    scale = 1 if ratio else 100
    verdicts = [row.verdict for row in rows if row.verdict]
    shown = [margin_of(row) for row in rows] + [row.paper_effect for row in rows]
    shown += [verdict.estimate for verdict in verdicts]
    reach = max(1.25 * max(abs(x) for x in shown if x is not None), 1e-3)
    ends = [end for v in verdicts for end in (v.low, v.high) if v.level and end is not None]
    most = 1.6 * reach if len(rows) > 2 else inf
    low, high = max(min([*ends, -0.2 * reach]), -most), min(max([*ends, reach]), most)
    return Chart(title, 1.05 * scale * low, 1.05 * scale * high, ratio)


def _effects(title: str, rows: Sequence[Row]) -> Chart:
    chart = axis(title, rows)
    scale = 1 if chart.ratio else 100
    for row in rows:
        verdict, margin = row.verdict, scale * margin_of(row)
        strip = chart.line(-margin, margin, "band") + chart.stroke(0, "null", 0)
        if verdict and verdict.level:
            low, high = (
                open_end if end is None else scale * end
                for end, open_end in ((verdict.low, -inf), (verdict.high, inf))
            )
            strip += chart.line(low, high, f"interval c-{row.icon}", arrows=True)
        if verdict and verdict.estimate is not None:
            strip += chart.mark(scale * verdict.estimate, row.icon, f"c-{row.icon}")
        if row.paper_effect is not None:
            where = "own" if row.result.at_paper else "other"
            strip += chart.mark(scale * row.paper_effect, "paper", f"paper {where}")
        chart.rows.append((full_name(row), note(row), strip, ours(row), remark(row)))
    return chart


def full_name(row: Row) -> str:
    """Return the name of the claim and of its part."""
    return spoken(row.result.claim) + f": {row.name}" * (row.level == "part")


def note(row: Row) -> str:
    """Return label, section and number of pairs: ``holds here · § 3.3 · 5 pairs``."""
    section = row.result.section
    section = f"§ {section}" if section[:1].isdigit() else section
    return " · ".join([row.label, section, count(row.n, "pair")])


def ours(row: Row) -> str:
    """Return estimate and interval without the unit that the title of the scale has."""
    return row.ours.replace(" of the test error", "") if row.ours != "–" else "no estimate"


def remark(row: Row) -> str:
    """Return the paper's figure and the margin, as text."""
    least = figure(row.result, margin_of(row), part_of(row)).replace(" of the test error", "")
    return f"paper: {row.paper}, margin {least}"


def gaps(arms: Sequence[Arm]) -> list[Chart]:
    """Show training and test error of the arms with finished runs, in the center view.

    Returns:
        One chart, or none without finished runs.
    """
    arms = [arm for arm in arms if arm.train_test]
    if not arms:
        return []
    errors = [error for arm in arms for pair in arm.train_test for error in pair]
    middle = (min(errors) + max(errors)) / 2
    # A gap of half a point should not fill the width.
    reach = 0.55 * max(max(errors) - min(errors), _LEAST_SPAN)
    title = "Top-1 error in the center view, %"
    chart = Chart(title, max(middle - reach, min([*errors, 0]) - 1), middle + reach)
    for arm in arms:
        train, test = zip(*arm.train_test, strict=True)
        strip = chart.line(min(mean(train), mean(test)), max(mean(train), mean(test)), "gap")
        strip += Markup("").join(chart.stroke(error, "seed", 34) for error in (*train, *test))
        strip += chart.mark(mean(train), "train", "train") + chart.mark(mean(test), "test", "test")
        note = f"train {mean_sd(train)}, test {mean_sd(test)}"
        chart.rows.append(
            (arm.name, count(len(train), "run"), strip, f"gap {mean_sd(arm.gaps)} points", note)
        )
    return [chart]


def kernel_colors(towers: Sequence[Sequence[float]]) -> list[Chart]:
    """Show how colorful the first kernels are (§6.1).

    Args:
        towers: Colorfulness of each kernel from 0 (gray) to 1, by tower.

    Returns:
        One chart.
    """
    chart = Chart("Color in each kernel, % of its energy", 0, 100)
    for index, tower in enumerate(towers):
        style = ("with", "without")[index % 2]
        strip = Markup("").join(
            chart.mark(100 * color, style, f"dot {style}", 28 + 44 * (place % 2))
            for place, color in enumerate(tower)
        )
        strip += chart.stroke(100 * mean(tower), "mean", 10)
        name = f"tower {index + 1}" if len(towers) > 1 else "kernels"
        value = f"mean {number(100 * mean(tower), 1)} %"
        note = f"median {number(100 * median(tower), 1)} %"
        chart.rows.append((name, count(len(tower), "kernel"), strip, value, note))
    return [chart]
