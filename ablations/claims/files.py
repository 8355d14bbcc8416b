"""Find and read claim and study files; errors name file, line and field."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablations.claims.fields import is_free, key_of
from ablations.claims.schema import Claim, ClaimPlan, Study, Tuning
from ablations.composition import compose, experiment_names, shipped
from ablations.config import ConfigError, Model
from ablations.words import count

# Messages by type of pydantic's error, where its own message is in terms of Python.
_KINDS = {
    "string_type": "must be a string, in quotes where YAML reads another type",
    "string_too_short": "must not be empty",
    "list_type": "must be a list [A, B]",
    "tuple_type": "must be a list [A, B]",
    "dict_type": "must be a mapping KEY: VALUE",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
}

# Location in a file: names of fields and positions in lists.
Place = tuple[str | int, ...]
Content = TypeVar("Content", bound=BaseModel)


def folders() -> list[Path]:
    """Return the folders of claims: the user's ``./sweeps`` first, then the shipped one."""
    return list(dict.fromkeys(path.resolve() for path in (Path("sweeps"), shipped("sweeps"))))


def claim_files() -> dict[str, Path]:
    """Return all claim files by name; the user's take precedence."""
    return _files("*.yaml")


def study_files() -> dict[str, Path]:
    """Return all study files by name; the user's take precedence."""
    return _files("studies/*.yaml")


def _files(pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob(pattern)):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def read_claims(patterns: Sequence[str]) -> list[Claim]:
    """Read the requested claims, in alphabetical order.

    Args:
        patterns: Names, globs such as ``*overfitting``, or ``all``.

    Raises:
        ConfigError: A claim does not exist, or a file is not valid.
    """
    files = claim_files()
    chosen: set[str] = set()
    for pattern in patterns:
        names = [name for name in files if pattern == "all" or fnmatchcase(name, pattern)]
        if not names:
            close = _close(pattern, [*files, *study_files()])
            hint = f"did you mean {' or '.join(close)}?" if close else "reproduce.py lists them"
            raise ConfigError(f"{pattern}: no such claim or study; {hint}")
        chosen.update(names)
    return [_read(path, Claim) for name, path in files.items() if name in chosen]


def read_study(path: Path) -> tuple[Study, list[Claim]]:
    """Read a study file and the claims that it names.

    Raises:
        ConfigError: A file is not valid, or its settings do not fit a claim.
    """
    study = _read(path, Study)
    known = claim_files()
    if unknown := sorted(set(study.claims) - set(known)):
        close = _close(unknown[0], list(known))
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"{_shown(path)}: there is no claim `{unknown[0]}`{hint}")
    claims = [_read(known[name], Claim) for name in study.claims]
    for claim in claims:
        if misfit := _misfit(study, claim):
            raise ConfigError(f"{_shown(path)}: {misfit}")
    return study, claims


def _misfit(study: Study, claim: Claim) -> str:
    """Return why a study's settings do not fit a claim; empty if they do."""
    plan, field = study.plan_of(claim), f"claims.{claim.name}"
    if plan.margin and claim.paper.effect is not None:
        return (
            f"{field}.margin: the margin is half of the paper's effect; next step: remove `margin`"
        )
    if plan.margin and plan.margin.margin <= claim.measure.no_effect:
        return (
            f"{field}.margin: margin={plan.margin.margin:g} must be above "
            f"{claim.measure.no_effect} for this measure"
        )
    if plan.target and claim.measure.of == "epochs_to_error" and plan.target >= 1:
        return f"{field}.target: target={plan.target:g} must be an error below 1"
    last = study.first_seed + study.looks_of(claim)[-1] * (claim.ensemble or 1)
    if clash := sorted(study.tuning_seeds & set(range(study.first_seed, last))):
        return (
            f"first_seed={study.first_seed}: {claim.name} would use seed {clash[0]}, which is "
            "reserved for tuning; next step: choose another first_seed"
        )
    return ""


def ad_hoc(
    asked: Sequence[Claim], claims: Sequence[Claim], overrides: Sequence[str]
) -> tuple[Study, list[str]]:
    """Return a study of claims that are tested without a study file.

    All claims share the error rate of the study, whether requested or not. Its grid is 0.5, 1 and 2
    times the learning rate of the experiment with these overrides.

    Args:
        asked: Requested claims.
        claims: All claims.
        overrides: Overrides of the command; those that affect results become the study's changes.

    Returns:
        The study and the other overrides.

    Raises:
        ConfigError: An override is not valid, or sets a key of the study or of a claim.
    """
    given = compose(overrides)
    free: list[str] = []
    changes: list[str] = []
    for item in overrides:
        key = key_of(item)
        if key in _REFUSED:
            raise ConfigError(f"{item}: cannot be set for a study; {_REFUSED[key]}")
        for claim in asked:
            if key in claim.chosen:
                raise ConfigError(
                    f"{item}: the claim {claim.name} sets {key}; next step: remove one of them"
                )
        if key != "experiment":
            (free if is_free(key) else changes).append(item)
    name = given.experiment
    if changes:
        name += "-" + hashlib.sha256(" ".join(sorted(changes)).encode()).hexdigest()[:6]
    rate = given.recipe.lr
    try:
        study = Study(
            name=name,
            title=" ".join([given.experiment, *changes]),
            experiment=given.experiment,
            changes=changes,
            claims={claim.name: ClaimPlan() for claim in claims},
            tuning=Tuning(values=[rate / 2, rate, rate * 2]),
        )
    except ValidationError as error:
        raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return study, free


_REFUSED = {
    "seed": "the study chooses the seeds",
    "fast_dev_run": "a verdict needs records; next step: shorten the runs, as with recipe.epochs=1",
    "print_model": "it is only for ablations/run.py",
    "plan": "it is only for ablations/run.py; next step: use --plan",
    "pretrained": "claims are about networks that start from random weights",
}


def _close(typed: str, names: list[str]) -> list[str]:
    """Return at most three names, the likeliest first."""

    def likeness(name: str) -> float:
        # Names are long, so also compare with their beginnings and their words.
        parts = name, name[: len(typed)], *name.split("_")
        return max(difflib.SequenceMatcher(None, typed, part).ratio() for part in parts)

    close = [name for name in names if likeness(name) >= 0.6]
    return sorted(close, key=likeness, reverse=True)[:3]


def _shown(path: Path) -> str:
    """Return the path of a file for messages, from the folder ``sweeps`` on."""
    parts = path.parts
    return "/".join(parts[parts.index("sweeps") :] if "sweeps" in parts else parts[-2:])


def _read(path: Path, model: type[Content]) -> Content:
    """Read a YAML file as a model; the first error names its line and field."""
    shown = _shown(path)
    try:
        text = path.read_text(encoding="utf-8")
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader)))
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{shown}:{line}: not YAML: {error.problem}") from None
    # ValueError: bytes that are not UTF-8, or an impossible date or number.
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ConfigError(f"{shown}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{shown}:1: must be a mapping of fields")
    experiments = experiment_names()
    context = {"experiments": experiments, "models": [member.value for member in Model]}
    try:
        return model.model_validate({**values, "name": path.stem}, context=context)
    except ValidationError as error:
        # A misspelled field also leaves one missing, so report missing fields last.
        found = [(e["type"] == "missing", _line(e["loc"], lines), e) for e in error.errors()]
        _, line, first = min(found, key=lambda item: item[:2])
        raise ConfigError(f"{shown}:{line}: {_explain(first, model)}") from None


def _lines(node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
    if node is None:
        return
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*place, index))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, item in node.value:
            if key.value in seen:  # YAML would silently take the later one
                raise yaml.MarkedYAMLError(
                    problem=f"`{key.value}` is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            yield from _lines(item, (*place, key.value))
            yield (*place, key.value), key.start_mark.line + 1


def _line(place: Place, lines: dict[Place, int]) -> int:
    while place not in lines:  # a missing field has the line of its parent
        place = place[:-1]
    return lines[place]


def _explain(error: ErrorDetails, model: type[BaseModel]) -> str:
    field = ".".join(str(part) for part in error["loc"] if part != "[key]")
    context, given = error.get("ctx", {}), error["input"]
    if not error["loc"]:  # an error of the whole file, whose message names the field
        return str(context.get("error", error["msg"]))
    match error["type"]:
        case "missing":
            return f"the field `{field}` is missing"
        case "extra_forbidden":
            *outer, last = error["loc"]
            known = _fields(model, outer)
            close = difflib.get_close_matches(str(last), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(known)}"
            return f"there is no field `{field}`; {hint}"
        case "literal_error":
            return f"{field}={given!r} is not valid; it takes {context['expected']}"
        case "string_pattern_mismatch":
            return f"{field}={given!r} is not valid; it takes recipe.KEY or width"
        case "too_short":
            return f"{field}: must have at least {count(context['min_length'], 'value')}"
        case "value_error":
            reason = context["error"]
        case kind:
            reason = _KINDS.get(kind, error["msg"])
    return f"{field}: {reason}" + ("" if isinstance(given, dict) else f" (given: {given!r})")


def _fields(model: type[BaseModel], outer: Sequence[str | int]) -> list[str]:
    """Return the valid fields at a location of a file."""
    part: Any = model
    for name in outer:
        for field, entry in part.model_fields.items() if hasattr(part, "model_fields") else ():
            if name in (field, entry.alias):
                part = _inner(entry.annotation)
    return [entry.alias or name for name, entry in part.model_fields.items() if name != "name"]


def _inner(annotation: Any) -> Any:
    """Return the model within ``dict[str, Model]`` or ``Model | None``."""
    for inner in getattr(annotation, "__args__", ()):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return annotation
