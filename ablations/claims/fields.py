"""Types of the fields of claim and study files: overrides, names, numbers of pairs, grids."""

import re
from dataclasses import fields
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, Field, FiniteFloat, ValidationInfo

from ablations.techniques import Techniques

# Keys that only a command sets, or a study for all of its claims.
COMMAND_KEYS = (
    *("experiment", "seed", "trainer", "logger", "output", "cache"),
    *("fast_dev_run", "print_model", "plan", "pretrained"),
)

# Keys that a command may set for a study file: hardware, folders, and the source of the data.
FREE_KEYS = (
    *("trainer", "logger", "output", "cache"),
    *("data.name", "data.source", "data.path", "data.train", "data.test", "data.subset"),
    *("data.image", "data.label", "data.storage"),
)

# Techniques without a key: both arms read the same runs.
READINGS = ("ensemble", "neighbors")

# Valid techniques of a claim.
_FACTORS = (
    *(entry.name for entry in fields(Techniques)),
    *("init", "width", "replicate"),
    *READINGS,
)

# A value relative to the study's: `x0.5` is half of that.
RELATIVE = re.compile(r"x\d+(\.\d+)?")


def key_of(override: str) -> str:
    """Return the key of an override as on the command line, ``KEY=VALUE`` or ``+KEY=VALUE``."""
    return override.partition("=")[0].lstrip("+~")


def is_free(key: str) -> bool:
    """Return whether a command may set a key for a study file."""
    return any(key == free or key.startswith(f"{free}.") for free in FREE_KEYS)


def _check_override(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals or not value or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise ValueError("must be KEY=VALUE, as on the command line")
    if key.partition(".")[0] in COMMAND_KEYS:
        raise ValueError(f"`{key}` is only for the command line, not for a claim")
    return text


def _check_factor(name: str) -> str:
    if name not in _FACTORS and not name.startswith("recipe."):
        raise ValueError(f"must be one of {', '.join(_FACTORS)} or recipe.KEY")
    return name


def _is_known(*kinds: str) -> AfterValidator:
    """Return a check of a name against the names of these kinds in the validation context."""

    def check(name: str, info: ValidationInfo) -> str:
        context = info.context or {}
        known = [name for kind in kinds for name in context.get(f"{kind}s", ())]
        if known and name not in known:
            what = " or ".join(kinds)
            raise ValueError(f"there is no {what} `{name}`; it takes {', '.join(sorted(known))}")
        return name

    return AfterValidator(check)


def _check_looks(looks: tuple[int, ...]) -> tuple[int, ...]:
    if not looks or looks[0] < 2 or any(b <= a for a, b in pairwise(looks)):
        raise ValueError("must be increasing numbers of pairs, at least 2")
    return looks


def _check_rising(values: Any) -> Any:
    if any(b <= a for a, b in pairwise(values)):
        raise ValueError("must be increasing numbers")
    return values


Override = Annotated[str, AfterValidator(_check_override)]
Factor = Annotated[str, AfterValidator(_check_factor)]
Text = Annotated[str, Field(min_length=1)]
Experiment = Annotated[str, _is_known("experiment")]
ExperimentOrModel = Annotated[str, _is_known("experiment", "model")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Looks = Annotated[tuple[int, ...], AfterValidator(_check_looks)]
Values = Annotated[list[FiniteFloat], Field(min_length=2), AfterValidator(_check_rising)]
Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_check_rising)]
