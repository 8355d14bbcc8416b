"""One claim of a study, and each of its verdicts, in the words and units of the report."""

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from ablations.claims.gates import Check
from ablations.claims.measures import SIDES
from ablations.claims.results import ArmResult, ClaimResult, StudyResult
from ablations.claims.schema import TIMES
from ablations.claims.words import figure, measured
from ablations.page import words
from ablations.page.labels import Mark, mark_of, word_of
from ablations.stats.labels import Label, Verdict


@dataclass(frozen=True)
class Row:
    """A row of the table of claims.

    Attributes:
        result: The claim; of a row for one part, with the label of that part.
        name: The claim's name as words, or that of the part.
        verdict: The verdict; None on the row of a claim that has none or several.
        level: ``claim``, ``part``, or ``secondary`` for the top-5 error.
    """

    result: ClaimResult
    name: str
    verdict: Verdict | None
    level: Literal["claim", "part", "secondary"] = "claim"

    @property
    def mark(self) -> Mark:
        """How the label looks."""
        return mark_of(self.result)

    @property
    def word(self) -> str:
        """The label."""
        return word_of(self.result)

    @property
    def n(self) -> int:
        """Pairs behind the label."""
        return self.verdict.n if self.verdict else self.result.n

    @property
    def part(self) -> str:
        """Part of the claim."""
        return self.verdict.part if self.verdict else ""

    @property
    def unit(self) -> str:
        """``×``, ``points`` or ``% of the test error``."""
        return self.result.unit_of(self.part)

    @property
    def paper_effect(self) -> float | None:
        """The paper's effect on the scale of the analysis; None where it gives no figure."""
        if self.level == "secondary":
            return self.result.effect5
        gap = self.result.measure["of"] == "gap"
        return None if gap and self.part.endswith("test error") else self.result.effect

    @property
    def paper(self) -> str:
        """The paper's figure with its unit."""
        if self.paper_effect is None:
            return "no figure"
        data = "" if self.result.at_paper else " (other data)"
        return figure(self.result, self.paper_effect, self.part) + data

    @property
    def ours(self) -> str:
        """Estimate and interval: ``1.034× [1.011, 1.058]``."""
        verdict = self.verdict
        if verdict is None or verdict.estimate is None:
            return "–"
        return " ".join(filter(None, measured(self.result, verdict)))

    @property
    def points(self) -> str:
        """Percentage points beside a ratio of errors."""
        points = self.result.points.get(self.part)
        if points is None or self.unit != "×" or self.verdict is None:
            return ""
        return ("+" if points >= 0.0005 else "") + words.number(100 * points)

    @property
    def axis(self) -> str:
        """Rows of one axis can be drawn beside each other."""
        if self.unit != "×":
            return self.unit
        return "times" if self.result.measure["of"] in TIMES else "errors"

    @property
    def estimate(self) -> float | None:
        """Mean effect in the reader's unit."""
        return self.to_reader(self.verdict.estimate if self.verdict else None)

    @property
    def ends(self) -> tuple[float, float] | None:
        """Ends of the interval in the reader's unit; an end without a bound is infinite or 0."""
        if self.verdict is None or not self.verdict.level:
            return None
        low, high = self.to_reader(self.verdict.low), self.to_reader(self.verdict.high)
        lowest = 0.0 if self.unit == "×" else -inf
        return lowest if low is None else low, inf if high is None else high

    @property
    def margin(self) -> str:
        """The margin with its unit."""
        return figure(self.result, self.verdict.margin, self.part) if self.verdict else ""

    @property
    def band(self) -> tuple[float, float]:
        """Effects smaller than the margin, in the reader's unit."""
        margin = self.verdict.margin if self.verdict else 0.0
        low, high = self.to_reader(-margin), self.to_reader(margin)
        return low or 0.0, high or 0.0

    def to_reader(self, effect: float | None) -> float | None:
        """Convert an effect from the scale of the analysis."""
        return self.result.to_reader(effect, self.part)


@dataclass(frozen=True)
class Finding:
    """One claim of a study, as the report shows it.

    Attributes:
        result: What the study wrote.
        study: The study.
        chapter: Prefix of addresses, unique for each study.
    """

    result: ClaimResult
    study: StudyResult
    chapter: str

    @property
    def key(self) -> str:
        """Name that is unique in the page and fit for an address."""
        return words.slug(self.chapter, self.result.claim)

    @property
    def title(self) -> str:
        """The claim's name as words."""
        return words.capital(words.spoken(self.result.claim))

    @property
    def order(self) -> tuple[int, str, str]:
        """Place among others: families, then sections of the paper."""
        family = ("paper", "extension", "control").index(self.result.family)
        return family, self.result.section, self.title

    @property
    def mark(self) -> Mark:
        """How its label looks."""
        return mark_of(self.result)

    @property
    def word(self) -> str:
        """Its label."""
        return word_of(self.result)

    @property
    def rows(self) -> list[Row]:
        """The claim, then each part where it has several, then its top-5 verdicts."""
        result, verdicts = self.result, self.result.verdicts
        several = len(verdicts) > 1
        rows = [Row(result, self.title, None if several or not verdicts else verdicts[0])]
        if several:
            rows += [Row(replace(result, label=v.label), v.part, v, "part") for v in verdicts]
        return rows + [
            Row(replace(result, label=v.label), f"{v.part}, secondary", v, "secondary")
            for v in result.secondary
        ]

    @property
    def failed(self) -> list[Check]:
        """The parts of the gate that failed."""
        return [check for check in self.result.checks if not check.passed]

    @property
    def notes(self) -> list[str]:
        """What a reader should know beside the label."""
        result, notes = self.result, []
        for verdict in result.verdicts:
            found = []
            # The parts of the gate that failed stand beside the label already.
            if verdict.reason and not (verdict.label is Label.not_testable and self.failed):
                found.append(verdict.reason)
            if verdict.label is Label.undecided and verdict.resolvable is not None:
                least = figure(result, verdict.resolvable, verdict.part)
                found.append(f"these pairs can resolve effects from {least}")
                if verdict.more:
                    found.append(
                        f"about {words.count(verdict.more, 'more pair')} would decide at the "
                        "present estimate"
                    )
            notes += [f"{verdict.part}: {text}" if verdict.part else text for text in found]
        if result.chance and result.chance[1] < 0.5:
            notes.append("not resolvable by this study: P(holds) is below 0.5 at 2Δ")
        notes += result.warnings
        return [words.sentence(text) for text in dict.fromkeys(notes)]

    @property
    def plan(self) -> list[tuple[str, str]]:
        """What was fixed before the first run, and the looks since then."""
        result = self.result
        effect = result.effect or 2 * result.margin
        chance = "unknown: no spread to plan with"
        if result.chance:
            once, twice = (f"{value:.2f}" for value in result.chance)
            chance = f"{once} at Δ = {figure(result, effect)}, {twice} at 2Δ"
        share = f"{100 * result.alpha:.3g} %"
        if result.claims_in_family > 1:
            share += f", shared by {result.claims_in_family} claims"
        rows = [
            ("Margin", f"{figure(result, result.margin)}: {result.margin_reason}"),
            ("Looks planned", f"{words.listed([str(n) for n in result.looks])} pairs"),
            ("Looks taken", words.sentence(result.history) if result.history else "None yet."),
            ("P(holds)", chance),
            ("Error rate", share),
        ]
        if result.family == "control":
            rows.append(("Control", f"{result.word}; expected: no effect, or undecided"))
        return rows

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """The measure, the arms with their chosen rates, and the paper's words."""
        result = self.result
        rows = [
            ("Measure", self.measure),
            ("Paper", f"{result.paper['says']} ({result.paper['data']})"),
        ]
        for part, arms in result.arms.items():
            for side in SIDES:
                if arm := arms.get(side):
                    name = f"{part}, arm {side}" if part else f"Arm {side}"
                    rows.append((name, self._arm(arm)))
        return [*rows, ("Rule", f"{result.attempt}, version {self.study.version} of the study")]

    def _arm(self, arm: ArmResult) -> str:
        if not arm.tuned:
            return arm.name
        timed = self.result.measure["of"] in TIMES
        scores = [
            f"{value}: {'none' if score is None else f'{score if timed else 100 * score:.4g}'}"
            for value, score in arm.scores.items()
        ]
        what = self.measure if timed else "validation top-1 error, %"
        return f"{arm.name}; chosen: {arm.tuned}; {what} of each value: {', '.join(scores)}"

    def arm_name(self, part: str, side: str) -> str:
        """Return what sets an arm apart."""
        arm = self.result.arms.get(part, {}).get(side)
        return arm.name if arm else "–"

    @property
    def measure(self) -> str:
        """What is measured of a run, with its unit."""
        measure, target = self.result.measure, self.target
        at = "" if target is None else words.plain(target)
        curve = "online training" if measure["curve"] == "online" else "validation"
        return {
            "test_error": "test top-1 error, %",
            "train_error": "training top-1 error, %",
            "gap": "test minus training top-1 error, points",
            "epochs_to_error": f"epochs to {at} % {curve} error",
            "steps_to_loss": f"steps to a training loss of {at} nats",
            "color": "difference of the towers' mean color, points",
            "neighbors": "nearest neighbors of the same class, %",
        }[measure["of"]]

    @property
    def target(self) -> float | None:
        """What times are measured to: an error in percent, or a loss in nats."""
        target = self.result.target
        if target is None or self.result.measure["of"] == "steps_to_loss":
            return target
        return 100 * target

    @property
    def value_scale(self) -> float:
        """Factor from a run's measure in the file to that of the page."""
        return 1.0 if self.result.measure["of"] in TIMES else 100.0
