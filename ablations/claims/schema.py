"""Claims and studies as YAML files: their fields, and how they are checked against each other.

A claim (``sweeps/*.yaml``) is a proposition of the paper: arms that differ in one technique, the
measure, and the paper's figure. A study (``sweeps/studies/*.yaml``) fixes everything else before
its first run: experiment, claims, margins, looks, seeds and the grids of tuned keys.
"""

import hashlib
import json
from collections.abc import Mapping
from math import log
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ablations.claims.fields import (
    READINGS,
    RELATIVE,
    Experiment,
    ExperimentOrModel,
    Factor,
    Fraction,
    Looks,
    Override,
    Positive,
    Seeds,
    Text,
    Values,
)

ERRORS = ("test_error", "train_error")
TIMES = ("epochs_to_error", "steps_to_loss")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# Claims


class Measure(_Part):
    """What is read from a finished run.

    Attributes:
        of: ``test_error`` in the views of ``evaluation``; ``train_error`` without augmentation and
            dropout; ``gap``, test minus training error, both in the center view;
            ``epochs_to_error``; ``steps_to_loss`` of the online training loss; ``color``, how far
            apart the mean colorfulness of the towers' first kernels is; ``neighbors``, how often
            the nearest training image is of the same class.
        direction: Whether the technique is said to lower or to raise it.
        curve: ``epochs_to_error``: ``online`` training error or ``val`` error.
        target: ``epochs_to_error``: the error to reach; else the study file gives it.
    """

    of: Literal[
        "test_error",
        "train_error",
        "gap",
        "epochs_to_error",
        "steps_to_loss",
        "color",
        "neighbors",
    ] = "test_error"
    direction: Literal["lower", "higher"] = "lower"
    curve: Literal["online", "val"] = "online"
    target: Fraction | None = None


class Paper(_Part):
    """What the paper says.

    Attributes:
        says: In our words, with its figures.
        data: The data and network that the figure was measured on.
        effect: Difference of the errors as a fraction, or ratio of the times.
        error: Error of the arm with the technique, as a fraction.
        top5: ``effect`` and ``error`` of the top-5 error.
        experiments: Where our data and network are the paper's own.
    """

    says: Text
    data: Text
    effect: FiniteFloat | None = None
    error: Fraction | None = None
    top5: tuple[Fraction, Fraction] | None = None
    experiments: list[Experiment] = []


class Arms(_Part):
    """One comparison of a claim with several parts.

    Attributes:
        technique: The key that tells its arms apart; the claim's if left out.
        without: Overrides of the arm without it.
    """

    technique: Factor | None = None
    without: list[Override]


class Claim(_Part):
    """A proposition, its arms and its measure.

    A numeric override may be relative to the study: ``width=x0.5`` is half the study's width.

    Attributes:
        name: Name of its file.
        statement: In our words.
        section: Of the paper, or ``extension`` or ``control``.
        family: ``paper`` claims share one error rate, ``extension`` claims are ours and share
            another, a ``control`` compares like with like.
        technique: The one key that tells the arms apart, or a reading of one run.
        common: Overrides of both arms.
        with_: Overrides of the arm with the technique; ``with`` in the file.
        without: Overrides of the arm without it.
        parts: Several arms without it, each compared by itself; the claim asserts all of them.
        ensemble: The arm with the technique averages the predictions of this many runs; the arm
            without it averages their errors.
        measure: See :class:`Measure`.
        margin: Smallest effect that matters, where the paper has no figure: a difference, or a
            ratio of errors or times. A study may give another before its first run.
        why: Where the margin comes from.
        overfits_without: The claim rests on overfitting, see the gate.
        trained_out: The claim is on networks whose training has converged, see the gate.
        paper: See :class:`Paper`.
        confounds: What else might explain the paper's figure, or ours.
        excluded: Experiments and models where the claim makes no sense, each with the reason.
    """

    name: str
    statement: Text
    section: Text
    family: Literal["paper", "extension", "control"]
    technique: Factor
    common: list[Override] = []
    with_: list[Override] = Field(alias="with", default=[])
    without: list[Override] = []
    parts: dict[str, Arms] = {}
    ensemble: Annotated[int, Field(ge=2)] | None = None
    measure: Measure = Measure()
    margin: FiniteFloat | None = None
    why: Text | None = None
    overfits_without: bool = False
    trained_out: bool = True
    paper: Paper
    confounds: list[Text]
    excluded: dict[ExperimentOrModel, Text] = {}

    @field_validator("parts")
    @classmethod
    def _one_way(cls, parts: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if parts and info.data.get("without"):
            raise ValueError("replace `without`; give one of them")
        return parts

    @field_validator("margin")
    @classmethod
    def _is_an_effect(cls, margin: float | None, info: ValidationInfo) -> float | None:
        measure = info.data.get("measure")
        least = 1 if measure and measure.of in (*ERRORS, *TIMES) else 0
        if margin is not None and margin <= least:
            raise ValueError(f"an effect of this measure is above {least}")
        return margin

    @model_validator(mode="after")
    def _fits(self) -> "Claim":
        if (self.ensemble is None) == (self.technique == "ensemble"):
            raise ValueError("ensemble: goes together with technique: ensemble")
        if (self.measure.of == "neighbors") != (self.technique == "neighbors"):
            raise ValueError("measure.of: neighbors goes together with technique: neighbors")
        effect, error = self.paper.effect, self.paper.error
        if effect is not None and effect <= 0:
            raise ValueError(f"paper.effect: {effect:g} must be above 0, in the paper's direction")
        if effect is not None and self.measure.of in ERRORS and effect + (error or 0) >= 1:
            raise ValueError(f"paper.effect: {effect:g} is a difference of errors, as a fraction")
        if self.paper.effect is None and self.margin is None:
            raise ValueError("margin: is missing, and the paper gives no effect to derive it from")
        if self.margin is not None and not self.why:
            raise ValueError("why: is missing; say where the margin comes from")
        if self.measure.of in ERRORS and self.paper.effect and not self.paper.error:
            raise ValueError("paper.error: is missing; elsewhere the effect is judged as a ratio")
        if self.measure.of in TIMES and self.paper.effect is not None and self.paper.effect <= 1:
            raise ValueError("paper.effect: a ratio of times is above 1")
        return self

    @property
    def chosen(self) -> set[str]:
        """Keys that tell the arms apart by fixed values: no command may set them."""
        arms = [*self.with_, *self.without, *(o for p in self.parts.values() for o in p.without)]
        pairs = (item.partition("=")[::2] for item in arms)
        return {key for key, value in pairs if not RELATIVE.fullmatch(value)}

    @property
    def no_effect(self) -> int:
        """Return the effect of an arm that changes nothing: 1 for ratios, 0 for differences."""
        return 1 if self.measure.of in (*ERRORS, *TIMES) else 0

    @property
    def comparisons(self) -> dict[str, Arms]:
        """Arms without the technique by name of the part; a single one has no name."""
        return self.parts or {"": Arms(without=self.without)}

    @property
    def reads_one_run(self) -> bool:
        """Whether both arms are readings of the same runs."""
        return self.technique in (*READINGS, "evaluation")


# Studies


class Grid(_Part):
    """Values of a tuned key in either arm.

    Attributes:
        with_: Values for the arm with the technique, rising; ``with`` in the file.
        without: Values for the arm without it.
    """

    with_: Values = Field(alias="with")
    without: Values


class Tuning(_Part):
    """How rates are chosen, for all arms of a study.

    The best value on the edge of a grid extends the grid beyond it by ``factor``.

    Attributes:
        key: The key that is tuned.
        values: Its grid, rising, two values or more.
        seeds: Seeds that no verdict uses.
        factor: Step of an extension.
        extensions: Most extensions of one grid.
    """

    key: Annotated[str, Field(pattern=r"^(recipe\.\w+|width)$")] = "recipe.lr"
    values: Values
    seeds: Seeds = (1000, 1001)
    factor: Annotated[float, Field(gt=1)] = 2.0
    extensions: Annotated[int, Field(ge=0)] = 3


class Margin(_Part):
    """A margin that a study fixes, with its reason.

    Attributes:
        margin: See ``Claim.margin``.
        why: Where it comes from.
    """

    margin: FiniteFloat
    why: Text


class ClaimPlan(_Part):
    """What a study fixes for one of its claims.

    Attributes:
        looks: Instead of the study's.
        grid: Instead of the study's grid.
        target: The error, or the loss in nats, that times are measured to.
        why_target: Where the target comes from.
        margin: Smallest effect that matters, for claims without a figure of the paper.
        planning_sd: Standard deviation of a paired difference that the power is planned with, on
            the scale of the analysis, from pilots.
    """

    looks: Looks | None = None
    grid: Grid | None = None
    target: Positive | None = None
    why_target: Text | None = None
    margin: Margin | None = None
    planning_sd: Positive | None = None

    @field_validator("why_target")
    @classmethod
    def _has_target(cls, why: str | None, info: ValidationInfo) -> str | None:
        if why and info.data.get("target") is None:
            raise ValueError("there is no target to explain")
        return why


class Study(_Part):
    """Claims, and how they are judged at one experiment: fixed before the first run.

    Attributes:
        name: Name of its file.
        title: For tables and pages.
        why: What the study is for.
        version: Raised with every change of rule, claim or grid.
        experiment: Name of the experiment.
        changes: Overrides of all runs.
        fingerprint: Of the data; other data are refused.
        claims: Names of the claims, each with what is fixed for it alone.
        looks: Numbers of pairs at which verdicts may be reached.
        first_seed: Seed of the first pair.
        tuning: See :class:`Tuning`.
        gate_seeds: Seeds of the runs that tell whether training has converged.
        planning_sd: See :class:`ClaimPlan`; for claims on errors without one of their own.
        elsewhere: A command gave other data than the experiment's, so that nothing speaks of the
            paper.
    """

    name: str
    title: Text
    why: Text = "claims named on the command line"
    version: Annotated[int, Field(ge=1)] = 1
    experiment: Experiment
    changes: list[Override] = []
    fingerprint: str | None = None
    claims: Annotated[dict[str, ClaimPlan], Field(min_length=1)]
    looks: Looks = (3, 5, 8)
    first_seed: Annotated[int, Field(ge=0)] = 100
    tuning: Tuning | None = None
    gate_seeds: Annotated[Seeds, Field(min_length=5)] = (1000, 1001, 1002, 1003, 1004)
    planning_sd: Positive | None = None
    elsewhere: bool = False

    @field_validator("claims", mode="before")
    @classmethod
    def _plain_names(cls, claims: Any) -> Any:
        if isinstance(claims, list) and all(isinstance(name, str) for name in claims):
            return {name: {} for name in claims}
        if isinstance(claims, dict):
            return {name: plan or {} for name, plan in claims.items()}
        return claims

    def plan_of(self, claim: Claim) -> ClaimPlan:
        """Return what the study fixes for a claim; nothing for one that it does not name."""
        return self.claims.get(claim.name, ClaimPlan())

    def looks_of(self, claim: Claim) -> tuple[int, ...]:
        """Return the looks of a claim."""
        return self.plan_of(claim).looks or self.looks

    @property
    def tuning_seeds(self) -> set[int]:
        """Seeds of the tuning and the gate, which no verdict uses."""
        return {*self.gate_seeds, *(self.tuning.seeds if self.tuning else ())}

    def grid_of(self, claim: Claim, side: str) -> list[float]:
        """Return the values of the tuned key for the arm ``with`` or ``without`` the technique."""
        assert self.tuning is not None, "only tuned arms have a grid"
        if grid := self.plan_of(claim).grid:
            return grid.with_ if side == "with" else grid.without
        return self.tuning.values

    def at_paper(self, claim: Claim) -> bool:
        """Whether data and network are the paper's own, so that effects are in points."""
        changed = self.changes or self.elsewhere or claim.common
        return self.experiment in claim.paper.experiments and not changed

    def target_of(self, claim: Claim) -> float | None:
        """Return the error or the loss that times are measured to."""
        return self.plan_of(claim).target or claim.measure.target

    def scale_of(self, claim: Claim) -> Literal["points", "ratio", "relative", "plain"]:
        """Return how differences of a claim are taken.

        ``points``: differences of errors, at the paper's own data and network. ``ratio``:
        logarithms of ratios of errors or times. ``relative``: gaps over the baseline's test
        error. ``plain``: differences of any other measure.
        """
        of = claim.measure.of
        if of in ERRORS:
            return "points" if self.at_paper(claim) and claim.paper.effect else "ratio"
        if of in TIMES:
            return "ratio"
        return "relative" if of == "gap" else "plain"

    def margin_of(self, claim: Claim) -> tuple[float, str]:
        """Return the smallest effect that matters, on the scale of the analysis, and the reason.

        Half of the paper's effect, on that scale; a margin of the study file or of the claim where
        the paper has no figure.
        """
        fixed, effect = self.plan_of(claim).margin, self.effect_of(claim)
        if fixed is None and effect is not None:
            return effect / 2, "half of the paper's effect"
        margin, why = (fixed.margin, fixed.why) if fixed else (claim.margin, claim.why)
        assert margin is not None, "checked when the claim was read"
        return (log(margin) if self.scale_of(claim) == "ratio" else margin), why or ""

    def effect_of(self, claim: Claim, k: int = 1) -> float | None:
        """Return the paper's effect on the scale of the analysis; None if it gives no figure.

        Args:
            claim: The claim.
            k: 1 or 5, for the top-1 or the top-5 error.
        """
        effect, error = claim.paper.effect, claim.paper.error
        if k == 5:
            effect, error = claim.paper.top5 or (None, None)
        if effect is None:
            return None
        if claim.measure.of in TIMES:
            return log(effect)
        if self.scale_of(claim) != "ratio" or error is None:
            return effect
        return log((error + effect) / error)

    def rule_of(self, claim: Claim) -> dict[str, Any]:
        """Return all that could change a verdict on a claim, in plain values."""
        given = claim.model_dump(mode="json", by_alias=True)
        arms = ("technique", "family", "common", "with", "without", "parts", "ensemble", "measure")
        return {
            **{key: given[key] for key in arms},
            "overfits_without": claim.overfits_without,
            "trained_out": claim.trained_out,
            "margin": self.margin_of(claim)[0],
            "scale": self.scale_of(claim),
            "target": self.target_of(claim),
            "looks": list(self.looks_of(claim)),
            "tuning": self.tuning and self.tuning.model_dump(mode="json"),
            "grid": (grid := self.plan_of(claim).grid) and grid.model_dump(mode="json"),
            "gate_seeds": list(self.gate_seeds),
            "experiment": self.experiment,
            "changes": sorted(self.changes),
            "first_seed": self.first_seed,
            "version": self.version,
        }

    def attempt(self, claim: Claim, context: Mapping[str, Any] | None = None) -> str:
        """Return twelve hexadecimal digits, equal for equal rules: another study has others.

        Args:
            claim: The claim.
            context: What else a verdict depends on: the resolved experiment and the family.
        """
        known = {"study": self.name, **self.rule_of(claim), **(context or {})}
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
