"""A claim: one proposition, with its arms, its measure and its rule.

Claims are data, one file each in ``sweeps/``; :mod:`ablations.claim_file` reads them.
:func:`check_arms` holds two composed arms to the one factor that the claim is about.
"""

import re
from dataclasses import fields
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
)

from ablations.config import ConfigError, Run
from ablations.techniques import Techniques

# Chosen by the command, for all claims alike.
COMMAND_KEYS = (
    *("experiment", "seed", "trainer", "logger", "output", "cache"),
    *("fast_dev_run", "print_model"),
)

# Besides the recipe's keys. `ensemble` is read out of finished runs: no key of a run.
_FACTORS = (*(entry.name for entry in fields(Techniques)), "init", "replicate", "ensemble")


def _check_override(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals or not value or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise ValueError("an override is KEY=VALUE, as on the command line")
    if key.partition(".")[0] in COMMAND_KEYS:
        raise ValueError(f"`{key}` is for the command line, not for a claim")
    return text


def _check_factor(name: str) -> str:
    if name not in _FACTORS and not name.startswith("recipe."):
        raise ValueError(f"takes {', '.join(_FACTORS)} or recipe.KEY")
    return name


def _check_experiment(name: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get("experiments")
    if known is not None and name not in known:
        raise ValueError(f"there is no experiment `{name}`; it takes {', '.join(sorted(known))}")
    return name


Override = Annotated[str, AfterValidator(_check_override)]
Text = Annotated[str, Field(min_length=1)]
Experiment = Annotated[str, AfterValidator(_check_experiment)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grid(_Part):
    """Values that a tuned key may take in either arm, chosen on tuning seeds."""

    with_: list[float] = Field(alias="with", min_length=1)
    without: list[float] = Field(min_length=1)


class Measure(_Part):
    """What is read out of a finished run.

    Attributes:
        metric: Error by the most probable class, by the five most probable, cross-entropy, or
            ``color``: how far apart the mean colourfulness of the towers' first kernels is.
        split: ``test`` in the views that ``evaluation`` names, ``val``, ``train`` without
            augmentation and dropout, or ``running``: the training passes themselves.
        direction: Whether the technique is said to lower or to raise it.
        epoch: Read ``val`` or ``running`` after this epoch instead of the last.
        target: ``time_to_target``: the value to be reached, in epochs.
        target_at: The same for single experiments.
    """

    metric: Literal["top1", "top5", "loss", "color"] = "top1"
    split: Literal["test", "val", "train", "running"] = "test"
    direction: Literal["lower", "higher"] = "lower"
    epoch: Annotated[int, Field(ge=1)] | None = None
    target: Fraction | None = None
    target_at: dict[Experiment, Fraction] = {}

    def target_for(self, experiment: str) -> float:
        """The value to be reached at an experiment."""
        target = self.target_at.get(experiment, self.target)
        assert target is not None, "checked when the claim was read"
        return target


class Paper(_Part):
    """What the paper says.

    Attributes:
        says: In our words, with its figures.
        effect: Its figure in the unit of the claim: a fraction, nats, or a factor.
        data: The data and network that the figure was measured on.
        experiments: Where our figure may be held against it; elsewhere only direction and margin are.
    """

    says: Text
    effect: FiniteFloat | None = None
    data: Text
    experiments: list[Experiment] = []


class Decision(_Part):
    """The rule, written down before the first run.

    Attributes:
        margin: Smallest effect that matters, in the unit of the claim.
        why: Where the margin comes from.
        looks: Numbers of pairs at which a verdict may be reached.
    """

    margin: FiniteFloat
    why: Text
    looks: tuple[int, ...] = (3, 5, 8)

    @field_validator("looks")
    @classmethod
    def _rising(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if not looks or looks[0] < 2 or any(b <= a for a, b in pairwise(looks)):
            raise ValueError("must be rising numbers of pairs, at least 2")
        return looks


class Claim(_Part):
    """A proposition, and how it is put to the test.

    Attributes:
        name: Name of its file.
        statement: In our words.
        section: Of the paper, or ``extension``.
        technique: The one key that tells the arms apart, or ``ensemble``.
        kind: Difference or ratio of the measure, ``gap`` between test and training error, or
            ``time_to_target``.
        family: ``confirmatory`` claims are the paper's and share one error rate, ``exploratory``
            ones are our extensions, and a ``control`` compares like with like.
        common: Overrides of both arms.
        with_: Overrides of the arm with the technique; ``with`` in the file.
        without: Overrides of the arm without it.
        parts: Several arms without it, each compared by itself; the claim asserts all of them.
        reference: Each arm is measured against itself with these overrides (an interaction).
        ensemble: The arm with the technique averages the predictions of this many runs; the arm
            without it averages their errors.
        tune: Keys chosen for each arm, with their values.
        measure: See :class:`Measure`.
        paper: See :class:`Paper`.
        confounds: What else might explain the paper's figure, or ours.
        decision: See :class:`Decision`.
        excluded: Experiments where the claim makes no sense, each with the reason.
    """

    name: str
    statement: Text
    section: Text
    technique: Annotated[str, AfterValidator(_check_factor)]
    kind: Literal["difference", "ratio", "gap", "time_to_target"]
    family: Literal["confirmatory", "exploratory", "control"]
    common: list[Override] = []
    with_: list[Override] = Field(alias="with", default=[])
    without: list[Override] = []
    parts: dict[str, list[Override]] = {}
    reference: list[Override] = []
    ensemble: Annotated[int, Field(ge=2)] | None = None
    tune: dict[str, Grid] = {}
    measure: Measure
    paper: Paper
    confounds: list[Text]
    decision: Decision
    excluded: dict[Experiment, Text] = {}

    @field_validator("parts")
    @classmethod
    def _one_way(cls, parts: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if parts and info.data.get("without"):
            raise ValueError("stand in place of `without`, not beside it")
        return parts

    @field_validator("ensemble")
    @classmethod
    def _is_the_factor(cls, size: int | None, info: ValidationInfo) -> int | None:
        if info.data.get("technique") not in (None, "ensemble"):
            raise ValueError("is for claims with technique: ensemble")
        return size

    @field_validator("measure")
    @classmethod
    def _fits_the_kind(cls, measure: Measure, info: ValidationInfo) -> Measure:
        timed = info.data.get("kind") == "time_to_target"
        if timed != (measure.target is not None):
            raise ValueError("target and kind: time_to_target go together")
        if timed and info.data.get("reference"):
            raise ValueError("kind: time_to_target cannot be measured against a reference")
        if (timed or measure.epoch) and measure.split not in ("val", "running"):
            raise ValueError("only split: val and split: running have a value for each epoch")
        if info.data.get("kind") == "gap" and (measure.split, measure.metric) != ("test", "top1"):
            raise ValueError("kind: gap is the test less the training error: leave split, metric")
        if measure.metric == "color":
            if info.data.get("kind") != "difference" or measure.split != "test":
                raise ValueError("metric: color is of kernels: kind is difference, without a split")
        elif measure.split == "test" and measure.metric == "loss":
            raise ValueError("averaged views have no loss: metric takes top1 or top5")
        return measure

    @field_validator("paper", "decision")
    @classmethod
    def _is_an_effect(cls, part: Paper | Decision, info: ValidationInfo) -> Paper | Decision:
        null = 1 if info.data.get("kind") in ("ratio", "time_to_target") else 0
        name, effect = (
            ("effect", part.effect) if isinstance(part, Paper) else ("margin", part.margin)
        )
        if effect is not None and effect <= null:
            raise ValueError(f"{name}={effect:g}: an effect of this kind is above {null}")
        return part

    @property
    def keys(self) -> set[str]:
        """Keys that the claim itself sets or tunes: no override of the command may touch them."""
        lists = (self.common, self.with_, self.without, self.reference, *self.parts.values())
        return {item.partition("=")[0] for part in lists for item in part} | set(self.tune)

    @property
    def comparisons(self) -> dict[str, list[str]]:
        """Overrides without the technique by name of the comparison; just one has no name."""
        return self.parts or {"": self.without}


def check_arms(claim: Claim, with_technique: Run, without: Run) -> None:
    """Hold the arms, before any tuning, to exactly the one factor that the claim names.

    Raises:
        ConfigError: They differ in more than that, or not in that.
    """
    ours, theirs = _flat(with_technique.to_dict()), _flat(without.to_dict())
    differing = {key for key in ours | theirs if ours.get(key) != theirs.get(key)}
    wanted = {claim.technique} - {"ensemble"}
    if differing != wanted:
        named = ", ".join(f"{key}={ours[key]} or {theirs[key]}" for key in sorted(differing))
        raise ConfigError(
            f"{claim.name}: the arms must differ in {claim.technique} and in nothing else, but "
            f"differ in {named or 'nothing'}. Move what both need to `common`"
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = prefix if key == "techniques" else f"{prefix}{key}."
        flat |= _flat(value, inner) if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
