"""A result of a study in the words and units of the page."""

import re
from dataclasses import dataclass
from math import inf
from typing import Any

from ablations.page import words
from ablations.page.labels import BY_LABEL, EXCLUDED, Mark
from ablations.study.verdicts import ArmResult, Result, StudyResult, changes, not_adjusted_with


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim at one experiment, as the page shows it.

    Effects, margins and the paper's figure are in the page's unit: percentage points, nats, or
    factors.

    Attributes:
        result: What the study wrote.
        study: The study.
        chapter: Prefix of addresses, unique for each study.
    """

    result: Result
    study: StudyResult
    chapter: str

    @property
    def key(self) -> str:
        """Name that is unique in the page and fit for an address."""
        parts = (self.chapter, self.result.claim, self.result.part)
        return "-".join(filter(None, parts)).replace("_", "-")

    @property
    def title(self) -> str:
        """The claim's name as words."""
        name = words.spoken(self.result.claim)
        name = name[0].upper() + name[1:]
        return f"{name}: {words.spoken(self.result.part)}" if self.result.part else name

    @property
    def order(self) -> tuple[int, str, str]:
        """Place among others: families, then sections of the paper."""
        family = ("confirmatory", "exploratory", "control").index(self.result.family)
        return family, self.result.section, self.title

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict; empty before the first look."""
        return self.result.verdict or {}

    @property
    def mark(self) -> Mark:
        """How its verdict looks."""
        if self.result.status == "excluded":
            return EXCLUDED
        return BY_LABEL[self.result.label]

    @property
    def n(self) -> int:
        """Pairs of seeds behind the verdict."""
        return self.verdict.get("n", 0)

    @property
    def without(self) -> ArmResult:
        """The arm without the technique."""
        return self.result.arms.get("without", _NO_ARM)

    @property
    def with_technique(self) -> ArmResult:
        """The arm with it."""
        return self.result.arms.get("with", _NO_ARM)

    @property
    def sentence(self) -> str:
        """The verdict for a reader, or why there is none."""
        # The label stands above it.
        sentence = self.verdict.get("sentence", "").partition(": ")[2]
        parts = [sentence, self.result.reason]
        parts = [f"{part[:1].upper()}{part[1:]}." for part in parts if part]
        return re.sub(r"(?<!\S)-(?=\d)", words.MINUS, " ".join(parts))

    @property
    def notes(self) -> list[str]:
        """What a reader should know: the verdict's warnings, the study's notes, changed rules."""
        notes = [*self.verdict.get("warnings", ()), *self.result.notes]
        if changed := changes(self.result):
            notes.append(f"the rule was changed after it had been used: {'; '.join(changed)}")
        if apart := not_adjusted_with(self.result, self.study):
            notes.append(
                f"not adjusted for {words.count(len(apart), 'claim')} of the same family, decided "
                "by other commands; one command with the names of all adjusts them together, from "
                "the same runs"
            )
        return [f"{note[:1].upper()}{note[1:]}." for note in notes]

    def arm_label(self, side: str) -> str:
        """What sets an arm apart: ``with`` or ``without``."""
        arm = self.result.arms.get(side)
        return words.arm(arm.label) if arm else " ".join(self.result.rule.get(side, ()))

    @property
    def measured(self) -> dict[str, Any]:
        """The ``measure`` of the claim's rule; empty for an excluded claim."""
        return self.result.rule.get("measure", {})

    @property
    def metric(self) -> str:
        """``top1``, ``top5``, ``loss`` or ``color``."""
        return self.measured.get("metric", "top1")

    @property
    def split(self) -> str:
        """``test``, ``val``, ``train`` or ``running``."""
        return self.measured.get("split", "test")

    @property
    def target(self) -> float | None:
        """What is to be reached, in percent."""
        target = self.result.rule.get("target")
        return None if target is None else 100 * target

    @property
    def measure(self) -> str:
        """What is measured of a run, with its unit."""
        metric = METRICS[self.metric]
        if self.result.kind == "gap":
            return f"test less training {metric}, %"
        if self.metric == "color":
            return f"{metric}, points"
        if self.target is not None:
            return f"epochs to {words.plain(self.target)} % {SPLITS[self.split]} {metric}"
        unit = "nats" if self.metric == "loss" else "%"
        epoch = self.measured.get("epoch")
        return f"{SPLITS[self.split]} {metric}{f' after epoch {epoch}' if epoch else ''}, {unit}"

    @property
    def is_factor(self) -> bool:
        """Whether effects are factors, and 1 is none."""
        return self.result.kind in ("ratio", "time_to_target")

    @property
    def unit(self) -> str:
        """``points``, ``nats`` or ``times``."""
        if self.is_factor:
            return "times"
        return "nats" if self.metric == "loss" else "points"

    @property
    def scale(self) -> float:
        """From the unit of effects in the file to that of the page."""
        return 100.0 if self.unit == "points" else 1.0

    @property
    def value_scale(self) -> float:
        """From a run's measure in the file to that of the page."""
        timed = self.result.kind == "time_to_target"
        return 1.0 if timed or self.metric == "loss" else 100.0

    @property
    def paper(self) -> float | None:
        """The paper's figure."""
        effect = self.result.paper.get("effect")
        return None if effect is None else self.scale * effect

    @property
    def comparable(self) -> bool:
        """Whether ours may be held against that figure."""
        return bool(self.result.paper.get("comparable"))

    @property
    def margin(self) -> float | None:
        """Smallest effect that matters; the verdict's own, which is never below one test image."""
        margin = self.verdict.get("margin", self.result.rule.get("margin"))
        return None if margin is None else self.scale * margin

    @property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the interval; an end without a bound is infinite, or zero for a factor."""
        return self._ends(self.verdict.get("interval"))

    def _ends(self, found: dict[str, float | None] | None) -> tuple[float, float] | None:
        if not found:
            return None
        low, high = found["low"], found["high"]
        lowest = 0.0 if self.is_factor else -inf
        return (
            lowest if low is None else self.scale * low,
            inf if high is None else self.scale * high,
        )

    @property
    def estimate(self) -> float | None:
        """Mean effect."""
        found = self.verdict.get("estimate")
        return None if found is None else self.scale * found

    @property
    def ours(self) -> str:
        """Effect and interval: ``1.3 points [0.9, 1.7]``."""
        return self._effect(self.verdict.get("bound", ""), self.interval)

    @property
    def on_new_images(self) -> str:
        """Verdict and effect in the wider scope; empty where it was not measured."""
        wider = self.verdict.get("new_images")
        if not wider:
            return ""
        return f"{wider['label']}: {self._effect('', self._ends(wider['interval']))}"

    def _effect(self, bound: str, interval: tuple[float, float] | None) -> str:
        if self.estimate is None:
            return "not measured"
        low, high = interval or (-inf, inf)
        reaches = [abs(end - self.estimate) for end in (low, high)]
        decimals = words.digits(max([r for r in reaches if r < inf], default=1.0))
        if bound == "at least":
            return f"≥ {words.number(low, decimals)}{self.suffix}"
        if bound == "at most":
            return f"≤ {words.number(high, decimals)}{self.suffix}"
        text = f"{words.number(self.estimate, decimals)}{self.suffix}"
        if inf in reaches:
            return text
        return f"{text} [{words.number(low, decimals)}, {words.number(high, decimals)}]"

    @property
    def theirs(self) -> str:
        """The paper's figure with its unit."""
        return "no figure" if self.paper is None else self.figure(self.paper)

    def figure(self, value: float) -> str:
        """A figure as it was written down, with its unit: ``1 point``, ``0.4 points``."""
        text = f"{words.plain(value)}{self.suffix}"
        return text[:-1] if text == "1 points" else text

    @property
    def suffix(self) -> str:
        """The unit behind a number."""
        return words.TIMES if self.is_factor else f" {self.unit}"


METRICS = {
    "top1": "top-1 error",
    "top5": "top-5 error",
    "loss": "loss",
    "color": "difference of the towers' mean colour",
}
SPLITS = {"test": "test", "val": "validation", "train": "training", "running": "running training"}

_NO_ARM = ArmResult("")
