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

Place = tuple[str | int, ...]


def find(patterns: Sequence[str], folder: Path, settings: Collection[str]) -> list[Claim]:
    """Read the claims that are asked for, in alphabetical order.

    Args:
        patterns: Names, globs such as ``*overfitting``, or ``all``.
        folder: Where the files are.
        settings: Names that the claims may refer to.

    Raises:
        ConfigError: There is no such claim, or a file is broken.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    chosen: set[str] = set()
    for pattern in patterns:
        names = [name for name in files if pattern == "all" or fnmatchcase(name, pattern)]
        if not names:
            # Names are long: what is typed may be the beginning of one, or a word in it.
            close = [
                name
                for name in files
                if difflib.get_close_matches(
                    pattern, [name, name[: len(pattern)], *name.split("_")]
                )
            ]
            hint = (
                f"did you mean {' or '.join(close[:3])}?" if close else "`sweep` alone lists them"
            )
            raise ConfigError(f"there is no claim `{pattern}`; {hint}")
        chosen.update(names)
    return [read(path, settings) for name, path in files.items() if name in chosen]


def read(path: Path, settings: Collection[str]) -> Claim:
    """Read one claim file.

    Args:
        path: The file; its name is the claim's.
        settings: Names that the claim may refer to.

    Raises:
        ConfigError: The file is no claim: the first thing wrong, with its line and field.
    """
    try:
        root = yaml.compose(path.read_text(), yaml.SafeLoader)
        lines = dict(_lines(root))
        values = yaml.safe_load(path.read_text())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{_place(path)}:{line}: not YAML: {error.problem}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{_place(path)}:1: a claim file is a mapping of fields")
    try:
        return Claim.model_validate({**values, "name": path.stem}, context={"settings": settings})
    except ValidationError as error:
        # A misspelt field also leaves one missing.
        first = min(
            error.errors(),
            key=lambda item: (item["type"] == "missing", _line(item["loc"], lines)),
        )
        line = _line(first["loc"], lines)
        raise ConfigError(f"{_place(path)}:{line}: {_explain(first)}") from None


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _lines(node: yaml.Node | None, path: Place = ()) -> Iterator[tuple[Place, int]]:
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*path, index))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, item in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"`{key.value}` is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            yield from _lines(item, (*path, key.value))
            yield (*path, key.value), key.start_mark.line + 1


def _line(place: Place, lines: dict[Place, int]) -> int:
    while place not in lines:  # a missing field has the line of what it is missing from
        place = place[:-1]
    return lines[place]


def _explain(error: ErrorDetails) -> str:
    *outer, last = error["loc"]
    field = ".".join(str(part) for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "missing":
            return f"the field `{field}` is missing"
        case "extra_forbidden":
            known = _fields(outer)
            close = difflib.get_close_matches(str(last), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(known)}"
            return f"there is no field `{field}`; {hint}"
        case "value_error":
            return f"{field}: {error['ctx']['error']}" + _given(error["input"])
        case "literal_error":
            return f"{field}={error['input']!r} is not valid; it takes {error['ctx']['expected']}"
    return f"{field}: {error['msg']}{_given(error['input'])}"


def _given(value: Any) -> str:
    return "" if isinstance(value, dict) else f" (given: {value!r})"


def _fields(outer: Sequence[str | int]) -> list[str]:
    model: Any = Claim
    for part in outer:
        annotation = (
            model.model_fields[part].annotation
            if isinstance(part, str) and part in model.model_fields
            else None
        )
        args = [annotation, *getattr(annotation, "__args__", ())]
        model = next((a for a in args if hasattr(a, "model_fields")), model)
    return [entry.alias or name for name, entry in model.model_fields.items() if name != "name"]
