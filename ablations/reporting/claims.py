"""The table rows, warnings and plan of a claim, in the words and units of the report."""

from dataclasses import dataclass, replace
from typing import Literal

from ablations.claims.measures import SIDES
from ablations.claims.results import ArmResult, ClaimResult
from ablations.claims.schema import TIMES
from ablations.claims.words import figure, measured, notes
from ablations.stats.labels import Label, Verdict
from ablations.words import count, listed, number, plain, sentence, spoken

FAMILIES = {"paper": "Claims", "extension": "Extensions", "control": "Controls"}


@dataclass(frozen=True)
class Row:
    """A row of the table of claims: a claim, one of its parts, or a verdict on its top-5 error.

    Attributes:
        result: The claim; in the row of one verdict, with the label, margin and effect of that.
        level: What the row is about.
    """

    result: ClaimResult
    level: Literal["claim", "part", "secondary"]

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; None if the claim has none or several."""
        return self.result.verdicts[0] if len(self.result.verdicts) == 1 else None

    @property
    def name(self) -> str:
        """Name of the claim or of the part, as words."""
        if self.level == "claim" or not self.verdict:
            return spoken(self.result.claim)
        return self.verdict.part + ", secondary" * (self.level == "secondary")

    def to_reader(self, effect: float) -> float:
        """Convert an effect from the scale of the analysis to the unit for readers."""
        value = self.result.to_reader(effect)
        assert value is not None, "only None gives None"
        return value

    @property
    def paper(self) -> str:
        """The paper's effect with its unit, or ``no figure``."""
        return figure(self.result, self.result.effect) or "no figure"

    @property
    def elsewhere(self) -> bool:
        """Whether the paper's figure is for other data or another network; False without one."""
        return self.result.effect is not None and not self.result.at_paper

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
        points = self.result.points.get(self.verdict.part) if self.verdict else None
        if points is None or self.result.unit_of() != "×":
            return ""
        return "+" * (points >= 0.0005) + number(100 * points, 1)


def order_of(result: ClaimResult) -> tuple[int, str, str]:
    """Return the sort key of a claim: family, section of the paper, name."""
    return list(FAMILIES).index(result.family), result.section, spoken(result.claim)


def rows_of(result: ClaimResult) -> list[Row]:
    """Return the row of a claim, those of its parts if it has several, those of the top-5 error."""
    rows = [Row(result, "claim")]
    if len(result.verdicts) > 1:
        rows += [Row(_of_part(result, verdict), "part") for verdict in result.verdicts]
    whole = replace(result, effect=result.effect5)
    return rows + [Row(_of_part(whole, verdict), "secondary") for verdict in result.secondary]


def _of_part(result: ClaimResult, verdict: Verdict) -> ClaimResult:
    """Return a claim with the label, margin, effect and scale of one of its verdicts."""
    part = replace(result, label=verdict.label, margin=verdict.margin, verdicts=[verdict])
    if result.scale == "relative" and verdict.part.endswith("test error"):
        return replace(part, scale="ratio", effect=None)  # the paper's figure is that of the gap
    return part


def standing(result: ClaimResult | None) -> str:
    """Return the label of a claim with estimates, intervals and pairs; a dash for no claim."""
    if result is None:
        return "–"
    found = [
        f"{row.name}: " * (row.level == "part") + f"{row.ours}, {count(row.result.n, 'pair')}"
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
    data = result.paper["data"]
    return [
        ("Measure", measure_of(result)),
        ("Paper", result.paper["says"]),
        *[("Data of the paper", data)] * (data != "none"),
        *arms,
        ("Rule", f"hash {result.attempt}, version {version} of the study"),
    ]


def _arm(result: ClaimResult, arm: ArmResult) -> str:
    if not arm.tuned:
        return arm.name
    timed = result.measure["of"] in TIMES
    what = "validation top-1 error, %"
    if timed:
        what = f"{measure_of(result)} (the run's length if not reached)"
    scores = [
        f"{'None' if score is None else f'{score:.4g}' if timed else f'{100 * score:.2f}'} at {at}"
        for at, score in arm.scores.items()
    ]
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
