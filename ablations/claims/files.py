"""Find and read claim and study files; errors name file, line and field."""

import difflib
import hashlib
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablations.claims import schema
from ablations.claims.schema import Claim, Study, Tuning
from ablations.composition import compose, shipped
from ablations.config import ConfigError

# Keys that a command may set for a study file: hardware, folders, and the source of the data.
FREE_KEYS = (
    *("trainer", "logger", "output", "cache"),
    *("data.name", "data.source", "data.path", "data.train", "data.test", "data.subset"),
    *("data.image", "data.label", "data.storage"),
)

# Names of fields and positions in lists.
Location = tuple[str | int, ...]
Content = TypeVar("Content", bound=BaseModel)


def claim_files() -> dict[str, Path]:
    """Return all claim files by name; those in ``./sweeps`` replace shipped ones."""
    return _files("*.yaml")


def study_files() -> dict[str, Path]:
    """Return all study files by name; those in ``./sweeps/studies`` replace shipped ones."""
    return _files("studies/*.yaml")


def _files(pattern: str) -> dict[str, Path]:
    folders = shipped("sweeps"), Path("sweeps")
    found = {path.stem: path.resolve() for folder in folders for path in folder.glob(pattern)}
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
            hint = _meant(pattern, [*files, *study_files()])
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
        hint = _meant(unknown[0], known)
        raise ConfigError(f"{_shown(path)}: there is no claim `{unknown[0]}`; {hint}")
    claims = [_read(known[name], Claim) for name in study.claims]
    for claim in claims:
        if misfit := study.misfit(claim):
            raise ConfigError(f"{_shown(path)}: {misfit}")
    return study, claims


def is_free(override: str) -> bool:
    """Return whether a command may set the key of an override for a study file."""
    return f"{key_of(override)}.".startswith(tuple(f"{key}." for key in FREE_KEYS))


def key_of(override: str) -> str:
    """Return the key of an override as on the command line, ``KEY=VALUE`` or ``+KEY=VALUE``."""
    return override.partition("=")[0].lstrip("+~")


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
    free = [item for item in overrides if is_free(item)]
    changes = [item for item in overrides if item not in free and key_of(item) != "experiment"]
    for item, claim in product(changes, asked):
        if (key := key_of(item)) in claim.chosen:
            raise ConfigError(
                f"{item}: the claim {claim.name} sets {key}; next step: remove one of them"
            )
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
            claims={claim.name: schema.ClaimPlan() for claim in claims},
            tuning=Tuning(values=[rate / 2, rate, rate * 2]),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['input']}: {_problem(first)}") from None
    return study, free


def _meant(typed: str, names: Collection[str], other: str = "reproduce.py lists them") -> str:
    close = difflib.get_close_matches(typed, names)
    return f"did you mean {' or '.join(close)}?" if close else other


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
    try:
        return model.model_validate({**values, "name": path.stem})
    except ValidationError as error:
        # A misspelled field also leaves one missing, so report missing fields last.
        found = [(e["type"] == "missing", _line(e["loc"], lines), e) for e in error.errors()]
        _, line, first = min(found, key=lambda item: item[:2])
        raise ConfigError(f"{shown}:{line}: {_explain(first)}") from None


def _lines(node: yaml.Node | None, location: Location = ()) -> Iterator[tuple[Location, int]]:
    if node is None:
        return
    yield location, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*location, index))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, item in node.value:
            if key.value in seen:  # YAML would silently take the later one
                raise yaml.MarkedYAMLError(
                    problem=f"`{key.value}` is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            yield from _lines(item, (*location, key.value))
            # Replaces the line of the value, which may start below its key.
            yield (*location, key.value), key.start_mark.line + 1


def _line(location: Location, lines: dict[Location, int]) -> int:
    while location not in lines:  # a missing field has the line of its parent
        location = location[:-1]
    return lines[location]


def _explain(error: ErrorDetails) -> str:
    field = ".".join(str(part) for part in error["loc"] if part != "[key]")
    given, problem = error["input"], _problem(error)
    if error["type"] == "extra_forbidden":
        known, other = schema.FIELDS, "docs/claim.md lists the fields"
        return f"there is no field `{field}`; {_meant(str(error['loc'][-1]), known, other)}"
    if not field:  # an error of the whole file, whose message names the field
        return problem
    return f"{field}: {problem}" + ("" if isinstance(given, dict) else f" (given: {given!r})")


def _problem(error: ErrorDetails) -> str:
    return error["msg"].removeprefix("Value error, ")
