"""Describe every key that a user may set, and word the errors for wrong keys and values."""

import difflib
import inspect
import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

from pydantic import ValidationError

from ablations.config import CONFIG, Config, Settings, flatten

_TYPES = {
    "boolean": "true | false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "null": "null",
    "object": "{NAME: {_target_: CLASS, ...}}",
}
_LIMITS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}


@cache
def keys() -> list[tuple[str, str, str]]:
    """Return every key with its values and its meaning, read from the dataclasses."""
    schema = CONFIG.json_schema()
    text = f"{inspect.getdoc(Settings)}\n{schema['description']}"
    return list(_walk(schema, text, schema["$defs"]))


def _walk(
    schema: dict, text: str, definitions: dict[str, dict], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield the keys of a JSON schema, whose meanings are the attributes in a docstring."""
    attributes = re.findall(r"^    (\w+): ((?:.+\n?)(?:^ {8}.+\n?)*)", text, re.M)
    meanings = {name: " ".join(meaning.split()) for name, meaning in attributes}
    for name, entry in schema["properties"].items():
        if "$ref" in entry:
            entry = definitions[entry["$ref"].rpartition("/")[2]]
        description = entry.get("description", "")
        if "properties" in entry:
            yield from _walk(entry, description, definitions, f"{prefix}{name}.")
            continue
        meaning = meanings.get(name, "")
        if not meaning or meaning.startswith("See :"):
            meaning = " ".join(description.split())
        yield f"{prefix}{name}", _values(entry), meaning.replace("``", "`")


def _values(schema: dict) -> str:
    """Describe the values of a JSON schema: `overlap | nonoverlap`, `a number, above 0 | null`."""
    if "anyOf" in schema:
        return " | ".join(_values(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if schema["type"] == "array":
        numbers = schema["items"]["type"] == "number"
        return "a list of numbers [0.5,0.75]" if numbers else "a list [A,B]"
    limits = [f"{word} {schema[name]}" for name, word in _LIMITS.items() if name in schema]
    if "minLength" in schema:
        limits.append("not empty")
    return ", ".join([_TYPES[schema["type"]], *limits])


# Keys of earlier versions, with their new names.
RENAMED = {
    "setting": "experiment",
    "network": "model",
    "dataset": "data",
    "trainer.nodes": "trainer.num_nodes",
    "recipe.bias_rate": "recipe.bias_lr_mult",
    "stream": "replicate",
    "summary": "print_model",
    "data.root": "data.path",
}


# Names in other tools, with the key here or what replaces it.
_FAMILIAR = {
    "max_epochs": "recipe.epochs",
    "learning_rate": "recipe.lr",
    "scheduler": "recipe.schedule",
    "limit_train_batches": "data.train_limit",
    "data_dir": "data.path",
    "gpus": "trainer.devices",
    "default_root_dir": "output",
    "ckpt_path": "the same command resumes an interrupted run; pretrained=RUN_ID starts from "
    "another run's weights",
    "optimizer": "the optimizer is SGD with momentum (§5), set by recipe.lr, recipe.momentum and "
    "recipe.weight_decay",
    "strategy": "several devices use DDP: trainer.devices=N, trainer.num_nodes=N",
    "num_workers": "batches are read from a memory-mapped store, without workers",
    "wandb": "logger=wandb enables it; set logger.project and logger.entity",
}


def unknown_key(key: str) -> str:
    """Return the error message for a key that does not exist."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return f"`{key}=` is now `{new}{key.removeprefix(old)}=`"
    known = [name for name, *_ in keys()]
    if any(name == key or name.startswith(f"{key}.") for name in known):
        return no_value(key)
    return f"{key}: no such key; {_meant(key, known)}"


def _meant(key: str, known: list[str]) -> str:
    # Compare the last parts: `lr` and `trainer.lrr` mean `recipe.lr`.
    first, last = key.partition(".")[0], key.rpartition(".")[2]
    lasts = [name.rpartition(".")[2] for name in known]
    alike = difflib.get_close_matches(last, lasts, n=1, cutoff=0.7)
    close = [name for name, part in zip(known, lasts, strict=True) if part in alike]
    if last in _FAMILIAR or (first in _FAMILIAR and not close):
        close = [_FAMILIAR.get(last) or _FAMILIAR[first]]
        if close[0] not in known:
            return close[0]
    if not close:
        return "run.py --help lists all keys"
    return f"did you mean {' or '.join(close)}? run.py --help lists all keys"


def no_value(key: str) -> str:
    """Return the error message for a key that the configuration lacks."""
    return (
        f"{key}: has no value; next step: {key}=... instead of ~{key}, or begin a file for "
        "--config-name with `defaults: [config, _self_]`"
    )


def wrong_value(key: str, value: Any) -> str:
    """Return the error message for a value that a key does not take."""
    given = "null" if value is None else value
    if inner := [name for name, *_ in keys() if name.startswith(f"{key}.")]:
        return (
            f"{key}={given}: {key} is a group of keys; next step: set experiment=NAME, or single "
            f"keys: {', '.join(inner)}"
        )
    if key == "experiment" and isinstance(value, dict):
        return "experiment: its file needs the first line `# @package _global_`"
    takes = next(takes for name, takes, _ in keys() if name == key)
    close = difflib.get_close_matches(str(value).lower(), takes.split(" | "), n=1)
    hint = f"; next step: {key}={close[0]}" if close else ""
    if isinstance(value, list):
        hint = f"; next step: for a sweep, -m {key}=A,B"
    return f"{key}={given}: not valid; {key} takes {takes}{hint}"


def words(key: str) -> list[str]:
    """Return the values of a key that takes one of several words; empty for other keys."""
    takes = next((takes for name, takes, _ in keys() if name == key), "")
    found = takes.split(" | ")
    return found if takes and not any(" " in word for word in found) else []


def completions(word: str) -> list[str]:
    """Return the completions of ``KEY=`` and the beginning of its last value.

    Examples:
        >>> completions("pooling=over"), completions("norm=lrn,n")
        (['pooling=overlap'], ['norm=lrn,none'])
    """
    key, equals, typed = word.partition("=")
    before, comma, last = typed.rpartition(",")
    return [
        f"{key}={before}{comma}{value}"
        for value in words(key)
        if equals and value.startswith(last) and value not in before.split(",")
    ]


def explain(error: ValidationError) -> str:
    """Return the error message for the first problem that pydantic found in a configuration."""
    first = error.errors()[0]
    key = ".".join(part for part in first["loc"] if isinstance(part, str))
    match first["type"]:
        case "unexpected_keyword_argument":
            return unknown_key(key)
        case "value_error":  # raised by a dataclass for a combination of keys
            return first["msg"].removeprefix("Value error, ")
    return wrong_value(key, first["input"])


# For each command: its arguments, its description, the end of the heading of its keys, the prefixes
# of these keys, and its groups.
_COMMANDS = {
    "run": (
        "[-m] [KEY=VALUE ...]",
        """The AlexNet ablation suite: the 2012 network, one technique changed at a time.

  {command}                                one run
  {command} -m pooling=overlap,nonoverlap  a sweep; prints a table
  {command} -m norm=lrn,none seed=0,1,2    three seeds each""",
        "; the first of several words is the default, for a technique the paper's; an experiment "
        "may set other defaults",
        ("",),
        ("experiment", "logger", "trainer", "callbacks"),
    ),
    "prepare": (
        "[KEY=VALUE ...]",
        """Decode the data of an experiment once. Runs also do this when needed.

  {command} experiment=cifar10
  {command} experiment=imagenet data.path=/data/imagenet""",
        "; which data to decode, and where to store them",
        ("data.", "cache"),
        ("experiment",),
    ),
}


# Arguments that several commands have, for ``parents=``.
OUTPUT = ArgumentParser(add_help=False)
OUTPUT.add_argument(
    "--output",
    type=Path,
    default=Path("runs"),
    metavar="FOLDER",
    help="folder of the runs (default: runs)",
)
RUN = ArgumentParser(add_help=False, parents=[OUTPUT])
RUN.add_argument("run", metavar="RUN", help="id of the run, its first digits, or its folder")


def command_line(command: str) -> str:
    """Return how to start a command: as a file or through ``ablations``, like this one."""
    installed = Path(sys.argv[0]).name.startswith("ablations ")  # by the console script
    return f"ablations {command}" if installed else f"python ablations/{command}.py"


def help_text(groups: dict[str, list[str]], command: str = "run") -> str:
    """Return the text of ``--help``.

    Args:
        groups: Names in each group of configuration files.
        command: ``run`` or ``prepare``.
    """
    arguments, about, which, prefixes, group_names = _COMMANDS[command]
    lines = [
        f"usage: {command_line(command)} {arguments}",
        "",
        about.format(command=command_line(command)),
        "",
        "Groups (GROUP=NAME):",
        *(_wrapped(f"  {name:<10} {', '.join(groups[name])}", 13) for name in group_names),
        "",
        _wrapped(f"Keys (KEY=VALUE){which}:", 2),
    ]
    defaults = dict(flatten(CONFIG.dump_python(Config(), mode="json")))
    for name, values, meaning in keys():
        if name == "experiment" or not name.startswith(prefixes):
            continue
        default = json.dumps(defaults[name], separators=(",", ":")).strip('"')
        first = values.startswith(f"{default} |")
        shown = values if first else f"{values} (default {default})"
        lines += [_wrapped(f"  {name}={shown}", 4), _wrapped(f"      {meaning}", 6)]
    return "\n".join([*lines, "", "--cfg job prints the whole configuration."])


def _wrapped(line: str, indent: int) -> str:
    # Keep names of files and keys whole, and begin no line with a bar.
    kept = line.replace(" | ", "\xa0| ")
    text = fill(kept, 80, subsequent_indent=" " * indent, break_on_hyphens=False)
    return text.replace("\xa0", " ")
