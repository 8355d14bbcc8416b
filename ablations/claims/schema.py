"""Fields of claim and study files, and their checks.

A claim (``sweeps/*.yaml``) is a proposition of the paper: arms that differ in one technique, the
measure, and the paper's effect. A study (``sweeps/studies/*.yaml``) fixes everything else before
its first run: experiment, claims, margins, looks, seeds and the grids of tuned keys.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from math import log
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from ablations.composition import experiment_names
from ablations.config import Model

ERRORS = ("test_error", "train_error")
TIMES = ("epochs_to_error", "steps_to_loss")

# Techniques without a key: both arms read the same runs.
READINGS = ("ensemble", "neighbors")

# Keys that only a command sets, or a study for all of its claims.
COMMAND_KEYS = (
    *("experiment", "seed", "trainer", "logger", "output", "cache"),
    *("fast_dev_run", "print_model", "plan", "pretrained"),
)

# A value relative to the study's: `x0.5` is half of that.
RELATIVE = re.compile(r"x\d+(\.\d+)?")


def _check_override(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals or not value or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise ValueError("must be KEY=VALUE, as on the command line")
    if key.partition(".")[0] in COMMAND_KEYS:
        raise ValueError(f"`{key}` cannot be set in a claim or a study")
    return text


@cache
def _places() -> set[str]:
    return {*experiment_names(), *(model.value for model in Model)}


def _check_place(name: str) -> str:
    if name not in _places():
        raise ValueError(
            f"there is no experiment or model `{name}`; it takes {', '.join(sorted(_places()))}"
        )
    return name


def _check_rising(values: Any) -> Any:
    if any(b <= a for a, b in pairwise(values)):
        raise ValueError("must be increasing numbers")
    return values


Override = Annotated[str, AfterValidator(_check_override)]
Place = Annotated[str, AfterValidator(_check_place)]
Text = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Rising = AfterValidator(_check_rising)
Looks = Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1), Rising]
Values = Annotated[list[FiniteFloat], Field(min_length=2), Rising]
Seeds = Annotated[tuple[int, ...], Field(min_length=1), Rising]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# Claims


class Measure(_Part):
    """The quantity that a claim compares, read from finished runs.

    Attributes:
        of: ``test_error`` in the views of ``evaluation``; ``train_error`` without augmentation and
            dropout; ``gap``, test minus training error, both in the center view;
            ``epochs_to_error``; ``steps_to_loss`` of the online training loss; ``color``,
            difference of the towers in the mean colorfulness of their first-layer kernels;
            ``neighbors``, fraction of images whose nearest training image has the same class, by
            features with the technique and by pixels without.
        direction: Whether the technique lowers or raises it, according to the claim.
        curve: ``epochs_to_error``: ``online`` training error or ``val`` error.
        target: ``epochs_to_error``: the error to reach, unless the study file gives one.
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

    @property
    def no_effect(self) -> int:
        """Effect of an arm that changes nothing: 1 for ratios, 0 for differences."""
        return 1 if self.of in (*ERRORS, *TIMES) else 0


class Paper(_Part):
    """The paper's statement and its numbers.

    Attributes:
        says: The statement in our words, with its numbers.
        data: Data and network of these numbers.
        effect: Difference of the errors as a fraction, or ratio of the times.
        error: Error of the arm with the technique, as a fraction.
        top5: ``effect`` and ``error`` of the top-5 error.
        experiments: Experiments with the paper's own data and network.
    """

    says: Text
    data: Text
    effect: FiniteFloat | None = None
    error: Fraction | None = None
    top5: tuple[Fraction, Fraction] | None = None
    experiments: list[Place] = []


class Arms(_Part):
    """One comparison of a claim with several parts.

    Attributes:
        technique: Key in which its arms differ; default: the claim's.
        without: Overrides of the arm without it.
    """

    technique: Text | None = None
    without: list[Override]


class Claim(_Part):
    """A proposition, its arms and its measure.

    A numeric override may be relative to the study: ``width=x0.5`` is half the study's width.

    Attributes:
        name: Name of its file.
        statement: The claim in our words.
        section: Section of the paper, or ``extension`` or ``control``.
        family: Claims of the ``paper`` share one error rate, our ``extension`` claims share
            another, and a ``control`` expects no effect and is judged alone.
        technique: The one key in which the arms differ, or ``ensemble`` or ``neighbors``.
        common: Overrides of both arms.
        with_: Overrides of the arm with the technique; ``with`` in the file.
        without: Overrides of the arm without it.
        parts: Several arms without the technique, each compared alone; all must hold.
        ensemble: The arm with the technique averages the predictions of this many runs; the arm
            without it averages their errors.
        measure: See :class:`Measure`.
        margin: Smallest effect that matters, if the paper gives no effect: a difference, or a ratio
            of errors or times. A study may give another before its first run.
        why: Reason for the margin.
        overfits_without: The gate requires that the arm without the technique overfits.
        trained_out: The gate requires that training has converged.
        paper: See :class:`Paper`.
        confounds: Other explanations of the paper's result or of ours: a sentence for each by its
            name, the most important first.
        excluded: Experiments and models to which the claim does not apply, each with the reason.
    """

    name: str
    statement: Text
    section: Text
    family: Literal["paper", "extension", "control"]
    technique: Text
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
    confounds: dict[Text, Text]
    excluded: dict[Place, Text] = {}

    @model_validator(mode="after")
    def _fits(self) -> "Claim":
        of, paper = self.measure.of, self.paper
        least = self.measure.no_effect
        problems = {
            "parts: cannot be combined with `without`": self.parts and self.without,
            "ensemble: required for technique: ensemble, and only there": (
                (self.ensemble is None) == (self.technique == "ensemble")
            ),
            "measure.of: must be neighbors for technique: neighbors, and only there": (
                (of == "neighbors") != (self.technique == "neighbors")
            ),
            "paper.effect: must be a difference above 0, in the paper's direction; for times a "
            "ratio above 1": paper.effect is not None and paper.effect <= (1 if of in TIMES else 0),
            "paper.error: missing; needed for the effect as a ratio at other scales": (
                of in ERRORS and paper.effect and not paper.error
            ),
            "margin: missing; required if the paper gives no effect": (
                paper.effect is None and self.margin is None
            ),
            f"margin: must be above {least} for this measure": (
                self.margin is not None and self.margin <= least
            ),
            "why: missing; next step: give the reason for the margin": (
                self.margin is not None and not self.why
            ),
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(problem)
        return self

    @property
    def chosen(self) -> set[str]:
        """Keys that the arms set to fixed values, so that no command may set them."""
        arms = [*self.with_, *self.without, *(o for p in self.parts.values() for o in p.without)]
        pairs = (item.partition("=")[::2] for item in arms)
        return {key for key, value in pairs if not RELATIVE.fullmatch(value)}

    @property
    def comparisons(self) -> dict[str, Arms]:
        """Arms without the technique by part; the name of a single part is empty."""
        return self.parts or {"": Arms(without=self.without)}

    @property
    def reads_one_run(self) -> bool:
        """Whether both arms read the same runs."""
        return self.technique in (*READINGS, "evaluation")


# Studies


class Grid(_Part):
    """Values of a tuned key for each arm.

    Attributes:
        with_: Values for the arm with the technique, increasing; ``with`` in the file.
        without: Values for the arm without it.
    """

    with_: Values = Field(alias="with")
    without: Values


class Tuning(_Part):
    """How one key is tuned for each arm of a study.

    If the best value is on the edge of the grid, the grid is extended by ``factor``.

    Attributes:
        key: The tuned key.
        values: Its grid, increasing, at least two values.
        seeds: Tuning seeds, which no verdict uses.
        factor: Ratio of an added value to the edge.
        extensions: Maximum number of extensions of a grid.
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
        why: Reason for the margin.
    """

    margin: FiniteFloat
    why: Text


class ClaimPlan(_Part):
    """Settings of a study for one of its claims.

    Attributes:
        looks: Looks instead of the study's.
        grid: Grid instead of the study's.
        target: Error, or loss in nats, that ends the measured time.
        why_target: Reason for the target.
        margin: Smallest effect that matters, for claims without an effect in the paper.
        planning_sd: Standard deviation of a paired difference for planning the power, on the scale
            of the analysis, from pilot runs.
    """

    looks: Looks | None = None
    grid: Grid | None = None
    target: Positive | None = None
    why_target: Text | None = None
    margin: Margin | None = None
    planning_sd: Positive | None = None


class Study(_Part):
    """Claims and how they are judged at one experiment, fixed before the first run.

    Attributes:
        name: Name of its file.
        title: Title in tables and pages.
        why: Purpose of the study.
        version: Raised with every change of rule, claim or grid.
        experiment: Name of the experiment.
        changes: Overrides of all runs.
        fingerprint: Fingerprint of the data; other data are refused.
        claims: Settings of each claim, by its name.
        looks: Numbers of pairs at which verdicts may be reached.
        first_seed: Seed of the first pair.
        tuning: See :class:`Tuning`.
        gate_seeds: Seeds of the runs that check whether training has converged.
        planning_sd: See :class:`ClaimPlan`; default for claims on errors whose arms are different
            runs.
        elsewhere: The command set other data than the experiment's, so that no result is at the
            paper's scale.
    """

    name: str
    title: Text
    why: Text = "claims named on the command line"
    version: Annotated[int, Field(ge=1)] = 1
    experiment: Place
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
    def _named(cls, claims: Any) -> Any:
        if isinstance(claims, list):  # names without settings
            claims = dict.fromkeys(map(str, claims))
        if isinstance(claims, dict):
            return {name: plan or {} for name, plan in claims.items()}
        return claims

    def plan_of(self, claim: Claim) -> ClaimPlan:
        """Return the settings of a claim, empty if the study does not name it."""
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

    def misfit(self, claim: Claim) -> str:
        """Return why the settings of the study do not fit a claim; empty if they do."""
        plan, field = self.plan_of(claim), f"claims.{claim.name}"
        if plan.margin and claim.paper.effect is not None:
            return f"{field}.margin: must be removed; the margin is half of the paper's effect"
        if plan.margin and plan.margin.margin <= (least := claim.measure.no_effect):
            return f"{field}.margin: must be above {least} for this measure"
        if plan.target and claim.measure.of == "epochs_to_error" and plan.target >= 1:
            return f"{field}.target: must be an error below 1"
        last = self.first_seed + self.looks_of(claim)[-1] * (claim.ensemble or 1)
        if clash := sorted(self.tuning_seeds & set(range(self.first_seed, last))):
            return (
                f"first_seed: {claim.name} would use seed {clash[0]}, which is reserved for tuning"
            )
        return ""

    def at_paper(self, claim: Claim) -> bool:
        """Return whether data and network are the paper's own."""
        changed = self.changes or self.elsewhere or claim.common
        return self.experiment in claim.paper.experiments and not changed

    def target_of(self, claim: Claim) -> float | None:
        """Return the error or the loss that ends the measured time."""
        return self.plan_of(claim).target or claim.measure.target

    def scale_of(self, claim: Claim) -> Literal["points", "ratio", "relative", "plain"]:
        """Return how differences of a claim are taken.

        ``points``: differences of errors, at the paper's own data and network. ``ratio``:
        logarithms of ratios of errors or times. ``relative``: gaps divided by the baseline's
        test error. ``plain``: differences of any other measure.
        """
        of = claim.measure.of
        if of in ERRORS:
            return "points" if self.at_paper(claim) and claim.paper.effect else "ratio"
        if of in TIMES:
            return "ratio"
        return "relative" if of == "gap" else "plain"

    def margin_of(self, claim: Claim) -> tuple[float, str]:
        """Return the smallest effect that matters, on the scale of the analysis, and the reason.

        It is half of the paper's effect, or the margin of the study or the claim if the paper gives
        no effect.
        """
        fixed, effect = self.plan_of(claim).margin, self.effect_of(claim)
        if fixed is None and effect is not None:
            return effect / 2, "half of the paper's effect"
        margin, why = (fixed.margin, fixed.why) if fixed else (claim.margin, claim.why)
        assert margin is not None, "checked when the claim was read"
        return (log(margin) if self.scale_of(claim) == "ratio" else margin), why or ""

    def effect_of(self, claim: Claim, k: int = 1) -> float | None:
        """Return the paper's effect on the scale of the analysis; None if it gives none.

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
        """Return all settings that could change a verdict on a claim, as plain values."""
        given, grid = claim.model_dump(mode="json", by_alias=True), self.plan_of(claim).grid
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
            "grid": grid and grid.model_dump(mode="json"),
            "gate_seeds": list(self.gate_seeds),
            "experiment": self.experiment,
            "changes": sorted(self.changes),
            "first_seed": self.first_seed,
            "version": self.version,
        }

    def attempt(self, claim: Claim, context: Mapping[str, Any] | None = None) -> str:
        """Return the hash of a claim's rule in this study, twelve hexadecimal digits.

        Args:
            claim: The claim.
            context: Other inputs of the verdict: the family, the settings of the baseline run, and
                the version of the numerics.
        """
        known = {"study": self.name, **self.rule_of(claim), **(context or {})}
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


# All names of fields, to suggest one for a misspelled name.
FIELDS = {
    entry.alias or name
    for part in _Part.__subclasses__()
    for name, entry in part.model_fields.items()
}
