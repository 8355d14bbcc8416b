"""The claim files in ``sweeps/``: found by name, read, and refused with file, line and field."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ablations.claim import Claim
from ablations.config import ConfigError

# What fields take, by pydantic's name for its error, where its own words are those of Python.
_KINDS = {
    "string_type": "must be a text, in quotes where YAML reads it otherwise",
    "string_too_short": "must not be empty",
    "list_type": "must be a list [A, B]",
    "tuple_type": "must be a list [A, B]",
    "too_short": "must not be empty",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
}

# Where something stands in a file: names of fields, and positions in lists.
Place = tuple[str | int, ...]


def find(patterns: Sequence[str], folder: Path, experiments: Collection[str]) -> list[Claim]:
    """Read the claims that are asked for, in alphabetical order.

    Args:
        patterns: Names, globs such as ``*overfitting``, or ``all``.
        folder: Where the files are.
        experiments: Names that the claims may refer to.

    Raises:
        ConfigError: There is no such claim, or a file is broken.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    chosen: set[str] = set()
    for pattern in patterns:
        names = [name for name in files if pattern == "all" or fnmatchcase(name, pattern)]
        if not names:
            close = _close(pattern, list(files))
            hint = f"did you mean {' or '.join(close)}?" if close else "`sweep` alone lists them"
            raise ConfigError(f"there is no claim `{pattern}`; {hint}")
        chosen.update(names)
    return [read(path, experiments) for name, path in files.items() if name in chosen]


def _close(typed: str, names: list[str]) -> list[str]:
    whole = difflib.get_close_matches(typed, names, n=3, cutoff=0.8)
    # Names are long: what was typed may be the beginning of one, or a word in it.
    pieces = ((name, [name[: len(typed)], *name.split("_")]) for name in names)
    return whole or [name for name, of_it in pieces if difflib.get_close_matches(typed, of_it)][:3]


def read(path: Path, experiments: Collection[str]) -> Claim:
    """Read one claim file.

    Args:
        path: The file; its name is the claim's.
        experiments: Names that the claim may refer to.

    Raises:
        ConfigError: The file is no claim: the first thing wrong, with its line and field.
    """
    place = f"{path.parent.name}/{path.name}"
    text = path.read_text()
    try:
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader)))
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{place}:{line}: not YAML: {error.problem}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{place}:1: a claim file is a mapping of fields")
    try:
        return Claim.model_validate(
            {**values, "name": path.stem}, context={"experiments": experiments}
        )
    except ValidationError as error:
        # A misspelt field also leaves one missing: what is there and wrong comes first.
        found = [(e["type"] == "missing", _line(e["loc"], lines), e) for e in error.errors()]
        _, line, first = min(found, key=lambda item: item[:2])
        raise ConfigError(f"{place}:{line}: {_explain(first)}") from None


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
            if key.value in seen:  # the later one would win in silence
                raise yaml.MarkedYAMLError(
                    problem=f"`{key.value}` is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            yield from _lines(item, (*place, key.value))
            yield (*place, key.value), key.start_mark.line + 1


def _line(place: Place, lines: dict[Place, int]) -> int:
    while place not in lines:  # a missing field has the line of what it is missing from
        place = place[:-1]
    return lines[place]


def _explain(error: ErrorDetails) -> str:
    *outer, last = error["loc"]
    field = ".".join(str(part) for part in error["loc"] if part != "[key]")
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"the field `{field}` is missing"
        case "extra_forbidden":
            known = _fields(outer)
            close = difflib.get_close_matches(str(last), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(known)}"
            return f"there is no field `{field}`; {hint}"
        case "literal_error":
            return f"{field}={error['input']!r} is not valid; it takes {context['expected']}"
    reason = context["error"] if error["type"] == "value_error" else _KINDS.get(error["type"])
    reason = reason or error["msg"]
    given = "" if isinstance(error["input"], dict) else f" (given: {error['input']!r})"
    return f"{field}: {reason}{given}"


def _fields(outer: Sequence[str | int]) -> list[str]:
    """Fields of the part of a claim at a place."""
    part: Any = Claim
    for name in outer:
        for alias, entry in part.model_fields.items() if hasattr(part, "model_fields") else ():
            if name in (alias, entry.alias):
                part = entry.annotation
    # `tune` maps any key to its grids.
    part = getattr(part, "__args__", (part,))[-1]
    return [entry.alias or name for name, entry in part.model_fields.items() if name != "name"]
