"""The table rows, warnings and plan of a claim, in the words and units of the report."""

from dataclasses import dataclass, replace
from typing import Literal

from ablations.claims.measures import SIDES
from ablations.claims.results import ArmResult, ClaimResult
from ablations.claims.schema import TIMES
from ablations.claims.words import figure, measured, notes
from ablations.reporting.labels import icon
from ablations.stats.labels import Label, Verdict
from ablations.words import count, listed, number, plain, sentence, spoken

FAMILIES = {"paper": "Claims", "extension": "Extensions", "control": "Controls"}


@dataclass(frozen=True)
class Row:
    """A row of the table of claims: a claim, one of its parts, or a verdict on its top-5 error.

    Attributes:
        result: The claim.
        level: What the row is about.
        verdict: The verdict; None if the claim has none or several.
    """

    result: ClaimResult
    level: Literal["claim", "part", "secondary"]
    verdict: Verdict | None = None

    @property
    def part(self) -> str:
        """Part of the claim; empty for the whole claim."""
        return self.verdict.part if self.verdict else ""

    @property
    def name(self) -> str:
        """Name of the claim or of the part, as words."""
        if self.level == "claim":
            return spoken(self.result.claim)
        return self.part + ", secondary" * (self.level == "secondary")

    @property
    def judged(self) -> ClaimResult:
        """The claim with the label of the row."""
        if self.level == "claim" or not self.verdict:
            return self.result
        return replace(self.result, label=self.verdict.label)

    @property
    def label(self) -> str:
        """The label for readers."""
        return self.judged.word

    @property
    def icon(self) -> str:
        """Name of the icon of the label."""
        return icon(self.judged)

    @property
    def n(self) -> int:
        """Pairs behind the label."""
        return self.verdict.n if self.verdict else self.result.n

    @property
    def margin(self) -> float:
        """Smallest effect that matters, on the scale of the analysis."""
        return self.verdict.margin if self.verdict else self.result.margin

    @property
    def effect(self) -> float | None:
        """The paper's effect on the scale of the analysis; None without a figure."""
        if self.level == "secondary":
            return self.result.effect5
        of_gap = self.result.measure["of"] == "gap"
        if self.level == "part" and of_gap and self.part.endswith("test error"):
            return None  # the paper's figure is that of the gap
        return self.result.effect

    @property
    def unit(self) -> str:
        """Unit for readers: ``×``, ``points`` or ``% of the test error``."""
        return self.result.unit_of(self.part)

    def to_reader(self, effect: float) -> float:
        """Convert an effect from the scale of the analysis to the unit for readers."""
        value = self.result.to_reader(effect, self.part)
        assert value is not None, "only None gives None"
        return value

    @property
    def paper(self) -> str:
        """The paper's effect with its unit, or ``no figure``."""
        return figure(self.result, self.effect, self.part) or "no figure"

    @property
    def elsewhere(self) -> bool:
        """Whether the paper's figure is for other data or another network; False without one."""
        return self.effect is not None and not self.result.at_paper

    @property
    def paper_and_place(self) -> str:
        """The paper's figure, marked if it is for other data or another network."""
        return self.paper + " (other data or network)" * self.elsewhere

    @property
    def ours(self) -> str:
        """Estimate and interval: ``1.034× [1.011, 1.058]``; a dash without an estimate."""
        texts = measured(self.result, self.verdict) if self.verdict else ()
        return " ".join(filter(None, texts)) or "–"

    @property
    def points(self) -> str:
        """Difference in percentage points where the effect is a ratio of errors; else empty."""
        points = self.result.points.get(self.part) if self.verdict and self.unit == "×" else None
        if points is None:
            return ""
        return "+" * (points >= 0.0005) + number(100 * points, 1)


def order_of(result: ClaimResult) -> tuple[int, str, str]:
    """Return the sort key of a claim: family, section of the paper, name."""
    return list(FAMILIES).index(result.family), result.section, spoken(result.claim)


def rows_of(result: ClaimResult) -> list[Row]:
    """Return the row of a claim, those of its parts if it has several, those of the top-5 error."""
    verdicts = result.verdicts
    rows = [Row(result, "claim", verdicts[0] if len(verdicts) == 1 else None)]
    if len(verdicts) > 1:
        rows += [Row(result, "part", verdict) for verdict in verdicts]
    return rows + [Row(result, "secondary", verdict) for verdict in result.secondary]


def standing(result: ClaimResult | None) -> str:
    """Return the label of a claim with estimates, intervals and pairs; a dash for no claim."""
    if result is None:
        return "–"
    found = [
        f"{row.name}: " * (row.level == "part") + f"{row.ours}, {count(row.n, 'pair')}"
        for row in rows_of(result)
        if row.verdict and row.level != "secondary" and row.verdict.estimate is not None
    ]
    return "; ".join([result.word, *found])


def warnings_of(result: ClaimResult) -> list[str]:
    """Return the reasons and warnings of a claim, without those of its gate, as sentences."""
    found = notes(result)
    if result.chance and result.chance[1] < 0.5:
        found.append("not resolvable by this study: P(holds) is below 0.5 at 2Δ")
    return [sentence(text) for text in found]


def plan_of(result: ClaimResult) -> list[tuple[str, str]]:
    """Return what was fixed before the first run, and the looks since, as names and values."""
    chance = "unknown, because the study has no planning_sd"
    if result.chance:
        once, twice = result.chance
        effect = figure(result, result.effect or 2 * result.margin)
        chance = f"{once:.2f} at Δ = {effect}, {twice:.2f} at 2Δ"
    share = f"{100 * result.alpha:.3g} %"
    if result.claims_in_family > 1:
        share += f", shared by {result.claims_in_family} claims"
    rows = [
        ("Margin", f"{figure(result, result.margin)}: {result.margin_reason}"),
        ("Looks planned", f"{listed(result.looks)} pairs"),
        ("Looks taken", sentence(result.history or "none yet")),
        ("P(holds)", chance),
        ("Error rate", share),
    ]
    if result.family == "control" and result.label:
        found = Label(result.label).word(result.at_paper)
        rows.append(("Control", f"{found}; expected: no effect here"))
    return rows


def details_of(result: ClaimResult, version: int) -> list[tuple[str, str]]:
    """Return the measure, the paper's words and the arms with their rates, as names and values.

    Args:
        result: The claim.
        version: Version of the study.
    """
    arms = [
        (f"{part}, arm {side}" if part else f"Arm {side}", _arm(result, pair[side]))
        for part, pair in result.arms.items()
        for side in SIDES
    ]
    return [
        ("Measure", measure_of(result)),
        ("Paper", f"{result.paper['says']} ({result.paper['data']})"),
        *arms,
        ("Rule", f"hash {result.attempt}, version {version} of the study"),
    ]


def _arm(result: ClaimResult, arm: ArmResult) -> str:
    if not arm.tuned:
        return arm.name
    timed = result.measure["of"] in TIMES
    scores = [
        f"{value}: {'None' if score is None else f'{score if timed else 100 * score:.4g}'}"
        for value, score in arm.scores.items()
    ]
    what = "validation top-1 error, % of each value"
    if timed:
        what = f"{measure_of(result)} of each value (the run's length if not reached)"
    return f"{arm.name}; chosen: {arm.tuned}; {what}: {', '.join(scores)}"


def measure_of(result: ClaimResult) -> str:
    """Return the name of the measure with its unit."""
    target = target_of(result)
    at = "" if target is None else plain(target)
    curve = "online training" if result.measure["curve"] == "online" else "validation"
    return {
        "test_error": "test top-1 error, %",
        "train_error": "training top-1 error, %",
        "gap": "test minus training top-1 error, points",
        "epochs_to_error": f"epochs to {at} % {curve} error",
        "steps_to_loss": f"steps to a training loss of {at} nats",
        "color": "difference of the towers' mean color, points",
        "neighbors": "nearest neighbors of the same class, %",
    }[result.measure["of"]]


def target_of(result: ClaimResult) -> float | None:
    """Return the target of a time: an error in percent, or a loss in nats."""
    if result.target is None or result.measure["of"] == "steps_to_loss":
        return result.target
    return 100 * result.target
