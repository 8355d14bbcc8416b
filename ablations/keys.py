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
def keys() -> dict[str, tuple[str, str]]:
    """Return the values and the meaning of every key, read from the dataclasses."""
    schema = CONFIG.json_schema()
    text = f"{inspect.getdoc(Settings)}\n{schema['description']}"
    return dict(_walk(schema, text, schema["$defs"]))


def _walk(
    schema: dict, text: str, definitions: dict[str, dict], prefix: str = ""
) -> Iterator[tuple[str, tuple[str, str]]]:
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
        meaning = meanings.get(name) or " ".join(description.split())
        yield f"{prefix}{name}", (_values(entry), meaning.replace("``", "`"))


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


# Names of Lightning and its examples, with the key here or what replaces it.
_FAMILIAR = {
    "max_epochs": "recipe.epochs",
    "learning_rate": "recipe.lr",
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
}


def unknown_key(key: str) -> str:
    """Return the error message for a key that does not exist."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return f"`{key}=` is now `{new}{key.removeprefix(old)}=`"
    if any(name == key or name.startswith(f"{key}.") for name in keys()):
        return no_value(key)
    # Compare the last parts: `lr` and `trainer.lrr` mean `recipe.lr`.
    first, last = key.partition(".")[0], key.rpartition(".")[2]
    lasts = {name.rpartition(".")[2]: name for name in keys()}
    close = difflib.get_close_matches(last, lasts, n=1, cutoff=0.7)
    found = _FAMILIAR.get(last) or (lasts[close[0]] if close else _FAMILIAR.get(first, ""))
    hint = f"did you mean {found}?" if found in keys() else found
    return f"{key}: no such key; {hint or 'run.py --help lists all keys'}"


def no_value(key: str) -> str:
    """Return the error message for a key that the configuration lacks."""
    return (
        f"{key}: has no value; next step: {key}=... instead of ~{key}, or begin a file for "
        "--config-name with `defaults: [config, _self_]`"
    )


def wrong_value(key: str, value: Any) -> str:
    """Return the error message for a value that a key does not take."""
    given = "null" if value is None else value
    if inner := [name for name in keys() if name.startswith(f"{key}.")]:
        return (
            f"{key}={given}: {key} is a group of keys; next step: set experiment=NAME, or single "
            f"keys: {', '.join(inner)}"
        )
    if key == "experiment":  # a mapping, because Hydra nested the file's values under this key
        return "experiment: its file needs the first line `# @package _global_`"
    known = key if key in keys() else "callbacks"  # `callbacks.NAME` is no key of its own
    return f"{key}={given}: not valid; {known} takes {keys()[known][0]}"


def completions(word: str) -> list[str]:
    """Return the completions of ``KEY=`` and the beginning of its last value.

    Examples:
        >>> completions("pooling=over"), completions("norm=lrn,n")
        (['pooling=overlap'], ['norm=lrn,none'])
    """
    key, equals, typed = word.partition("=")
    before, comma, last = typed.rpartition(",")
    takes, _ = keys().get(key, ("", ""))
    return [
        f"{key}={before}{comma}{value}"
        for value in takes.split(" | ")
        if equals and " " not in value and value.startswith(last) and value not in before.split(",")
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


def keys_text(*prefixes: str) -> str:
    """Return the part of a help text that explains the keys.

    Args:
        prefixes: Beginnings of the keys; without them, all keys.
    """
    defaults = dict(flatten(CONFIG.dump_python(Config(), mode="json")))
    lines = []
    for name, (values, meaning) in keys().items():
        if name.startswith(prefixes or ""):
            default = json.dumps(defaults[name]).strip('"')
            text = f"  {name}={values} (default {default})"
            lines.append(fill(text, 80, subsequent_indent="    "))
            lines.append(fill(meaning, 80, initial_indent="      ", subsequent_indent="      "))
    return "\n".join(lines)
