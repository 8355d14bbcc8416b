"""Every key that a user may set: its values and meaning, and what to say of a wrong one."""

import difflib
import inspect
import re
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from textwrap import fill
from typing import Any, get_type_hints

from ablations.config import Config


@cache
def keys() -> list[tuple[str, str, str]]:
    """Every key with its values and its meaning, read from the dataclasses."""
    return list(_walk(Config, ""))


def _walk(owner: type, prefix: str) -> Any:
    hints = get_type_hints(owner)
    meanings = _attributes(owner)
    for entry in fields(owner):
        kind, name = hints[entry.name], f"{prefix}{entry.name}"
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _walk(kind, f"{name}.")
        elif isinstance(kind, type) and issubclass(kind, Enum):
            meaning = meanings.get(entry.name, "")
            if not meaning or meaning.startswith("See"):
                meaning = " ".join((kind.__doc__ or "").split())
            yield name, " | ".join(member.name for member in kind), meaning.replace("``", "`")
        else:
            words = {int: "a whole number", float: "a number", str: "a text", bool: "true | false"}
            text = words.get(kind) or str(kind)
            for word, said in (
                ("list[str]", "a list [A,B]"),
                ("list[float]", "a list of numbers [0.5,0.75]"),
                ("int | None", "a whole number | null"),
                ("float | None", "a number | null"),
                ("str | None", "a text | null"),
            ):
                text = said if text == word else text
            yield name, text, meanings.get(entry.name, "")


def _attributes(owner: type) -> dict[str, str]:
    """Meanings of the fields, from the section ``Attributes`` of the docstring."""
    text = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for name, meaning in re.findall(r"^    (\w+): ((?:.+\n?)(?:^ {8}.+\n?)*)", text, re.M):
        found[name] = re.sub(r"\s+", " ", meaning).strip().replace("``", "`")
    return found


# Keys and values of earlier versions, by what took their place.
RENAMED = {
    "setting": "experiment",
    "network": "model",
    "dataset": "data",
    "trainer.nodes": "trainer.num_nodes",
    "recipe.bias_rate": "recipe.bias_lr_mult",
    "stream": "replicate",
    "summary": "print_model",
    "data.root": "data.path",
    "data.source=parquet": "data.source=huggingface",
    "data.source=image_folder": "data.source=huggingface",
}


def unknown_key(key: str) -> str:
    """Word the error for a key that does not exist."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return f"`{key}=` is now `{new}{key.removeprefix(old)}=`"
    known = [name for name, *_ in keys()]
    top = list(dict.fromkeys(re.sub(r"\..*", ".*", name) for name in known))
    last = key.rpartition(".")[2]
    close = [name for name in known if name.rpartition(".")[2] == last]  # `lr` for `recipe.lr`
    close = close or difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    guess = " or ".join(close)
    hint = f"did you mean {guess}?" if close else f"the keys are {', '.join(top)}"
    return f"there is no key `{key}`; {hint} (--help explains them)"


def wrong_value(key: str, message: str) -> str:
    """What to say of a value that a key does not take.

    Args:
        key: The key.
        message: OmegaConf's words, which may hold the value.
    """
    values = next((values for name, values, _ in keys() if name == key), "")
    given = re.search(r"[Vv]alue '([^']*)'", message)
    hint = ""
    if given and given[1] in {"True", "False"} and "on, off" in message:
        meant = "on" if given[1] == "True" else "off"
        hint = (
            f": use {key}={meant}; in a file in quotes, as YAML reads a bare {meant} as {given[1]}"
        )
    if given and given[1].lower() == "none" and "null" in values:
        hint = f": use {key}=null"
    if given and (new := RENAMED.get(f"{key}={given[1]}")):
        return f"`{key}={given[1]}` is now `{new}`"
    if given:
        return f"{key}={given[1]} is not valid; {key} takes {values}{hint}"
    inner = ", ".join(name for name, *_ in keys() if name.startswith(f"{key}."))
    if inner:
        return f"{key} is a group of keys; set {inner}"
    if values.startswith("a list"):
        return f"{key}: a list in brackets goes here; {key} takes {values}"
    return (
        f"{key}: one value goes here, without brackets; {key} takes {values}; "
        f"for a sweep -m {key}=A,B"
    )


def help_text(groups: dict[str, list[str]]) -> str:
    """The page of ``--help``.

    Args:
        groups: Names in each group of configuration files.
    """
    lines = [
        "The AlexNet ablation suite: the 2012 network, one technique changed at a time.",
        "",
        "  python ablations/run.py                                one run",
        "  python ablations/run.py -m pooling=overlap,nonoverlap  a sweep, and its table",
        "  python ablations/run.py -m norm=lrn,none seed=0,1,2    three seeds each",
        "",
        "Groups (GROUP=NAME):",
        *(_wrapped(f"  {name:<10} {', '.join(names)}", 13) for name, names in groups.items()),
        "",
        "Keys (KEY=VALUE); the first value of a technique is the paper's:",
    ]
    for name, values, meaning in keys():
        if name == "experiment":
            continue
        lines.append(_wrapped(f"  {name}={values}", 4))
        if meaning:
            lines.append(_wrapped(f"      {meaning}", 6))
    lines += ["", "--cfg job prints the whole configuration."]
    return "\n".join(lines)


def _wrapped(line: str, indent: int) -> str:
    # Names of files and keys stay whole, and no line begins with a bar.
    kept = line.replace(" | ", "\xa0| ")
    text = fill(kept, 80, subsequent_indent=" " * indent, break_on_hyphens=False)
    return text.replace("\xa0", " ")
