"""Hydra's side of the suite: the schema, the help, errors in plain words.

Everything below this module works with plain dataclasses.
"""

import difflib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any, cast, get_type_hints

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType, ValueType
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from ablations.config import Config, ConfigError, Run, key_paths, plain

Execute = Callable[[list[tuple[Config, Run]]], int]
Grid = dict[str, list[Any]]  # the values of each key of a sweep
SHARED = {"output", "cache", "fast_dev_run", "summary"}  # keys that are the command's, not a run's
# Hydra's options that take a value.
VALUED = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"}
VALUED |= {"--config-dir", "-cd", "--experimental-rerun"}


def shipped(folder: str) -> Path:
    """Folder ``conf`` or ``sweeps``: of the clone, or as installed with the package."""
    package = Path(str(files("ablations")))
    clone = package.parent / folder
    return clone if (package.parent / "pyproject.toml").exists() else package / "_shipped" / folder


def setting_names() -> list[str]:
    """What ``setting=`` may be."""
    return sorted(path.stem for path in (shipped("conf") / "setting").glob("*.yaml"))


def main(execute: Execute) -> None:
    """Compose every job of the command line, then hand all of them to ``execute`` at once.

    Hydra's own launcher calls its task once for each job of a sweep; here that call only keeps the
    composed configuration. A misspelt value in the last job is thus found before the first begins,
    and no training runs inside Hydra.

    Raises:
        SystemExit: With the exit code of ``execute``, or 1 after a message.
    """
    register()
    words = _options_first(sys.argv[1:])
    composed: list[tuple[DictConfig, Run]] = []

    def keep(config: DictConfig) -> None:
        where = [o for o in HydraConfig.get().overrides.hydra if o.startswith("hydra.searchpath")]
        composed.append((config, _base(str(config.setting), *where)))

    full_error = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors arrive whole, and _explain words them
    command = hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name="config")
    try:
        sys.argv[1:], grid = _split(words)
        with TemporaryDirectory(prefix="ablations-") as scratch:
            OmegaConf.register_new_resolver("scratch", lambda: scratch, replace=True)
            try:
                command(keep)()
            except (ConfigError, OmegaConfBaseException):
                raise
            except ValueError as error:  # of Hydra's options, such as two that exclude each other
                raise ConfigError(str(error)) from error
        jobs = [(job, base) for config, base in composed for job in _points(_typed(config), grid)]
        code = execute(jobs) if jobs else 0
    except (HydraException, OmegaConfBaseException, ConfigError, OSError, YAMLError) as error:
        if full_error:
            raise
        sys.exit(f"error: {_explain(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code)


def compose(overrides: Sequence[str]) -> Config:
    """Compose a configuration from ordinary overrides, outside the command line.

    Raises:
        ConfigError: An override does not exist or does not fit.
    """
    register()
    with hydra.initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3"):
        try:
            composed = hydra.compose("config", list(overrides))
            return _to_config(composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from error


def alter(config: Config, overrides: Sequence[str]) -> Config:
    """Apply further overrides, none of a group: as composing with them, and much faster.

    Raises:
        ConfigError: An override does not exist or does not fit.
    """
    node = OmegaConf.structured(config)
    _thaw(node)
    try:
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            OmegaConf.update(node, override.key_or_group, override.value())
        altered = OmegaConf.to_object(node)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error
    assert isinstance(altered, Config)
    return altered


def register() -> None:
    """Give Hydra the schema and the help text."""
    schema = OmegaConf.structured(Config)
    _thaw(schema)
    store = ConfigStore.instance()
    store.store(name="schema", node=schema, provider="ablations")
    store.store(group="hydra/help", name="ablations", node=_help())


def _thaw(node: DictConfig) -> None:
    # OmegaConf makes frozen dataclasses read-only, defaults included; ours freeze when composed.
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _thaw(child)


def _options_first(words: Sequence[str]) -> list[str]:
    """Options, then overrides: Hydra's parser gives up on overrides on both sides of an option."""
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in VALUED:
            options += [word, next(rest, "")]
        else:
            (options if word.startswith("-") else overrides).append(word)
    return [*options, *overrides]


def _split(words: list[str]) -> tuple[list[str], Grid]:
    """Take the sweeps over values off the end of a command line; the rest is for Hydra.

    Hydra composes every job of a sweep from its files, twice, in tens of milliseconds. Only groups
    need that; a value is set on what is composed already.
    """
    grid: Grid = {}
    if not words or words[0] not in {"-m", "--multirun"}:
        return words, grid
    if any(word.startswith("-") for word in words[1:]):
        return words, grid  # Hydra's other options may change what a word means
    parse = OverridesParser.create().parse_overrides
    overrides = parse(words[1:])
    keys = [override.key_or_group for override in overrides]
    values_only = {name for name, *_ in _keys()} - {"setting"}  # which is a group as well
    kept = list(words)
    for place, override in reversed(list(enumerate(overrides, 1))):
        key = override.key_or_group
        if not override.is_sweep_override():
            continue
        if key in SHARED or key.startswith("logger"):
            raise ConfigError(f"{words[place]}: all runs of a sweep share it; give one value")
        glob = override.value_type is ValueType.GLOB_CHOICE_SWEEP  # over the names of a group
        listed = override.is_discrete_sweep() and not glob
        if key in values_only and not listed:
            raise ConfigError(
                f"{words[place]}: its values are not known; list them, as in {key}=A,B, or take "
                "range(START,STOP,STEP)"
            )
        simple = override.type is OverrideType.CHANGE and listed
        # What is left of a group varies more slowly than it; a later word on the same has the last.
        if not simple or key not in values_only or _said_again(key, keys[place:]):
            break
        values = [f"{key}={value}" for value in override.sweep_string_iterator()]
        if not values:
            raise ConfigError(f"{words[place]}: no value; give one or more")
        grid = {key: [one.value() for one in parse(values)], **grid}
        del kept[place]
    return kept, grid


def _said_again(key: str, later: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{other}.") for other in later)


def _points(typed: DictConfig, grid: Grid) -> Iterator[Config]:
    """The configurations of a grid, the last key varying fastest."""
    for point in product(*grid.values()):
        for key, value in zip(grid, point, strict=True):
            OmegaConf.update(typed, key, value)
        yield cast(Config, OmegaConf.to_object(typed))


def _to_config(composed: DictConfig) -> Config:
    return cast(Config, OmegaConf.to_object(_typed(composed)))


def _typed(composed: DictConfig) -> DictConfig:
    plain = {key: composed._get_node(key) for key in composed if key != "hydra"}
    schema = OmegaConf.structured(Config)
    _thaw(schema)
    # `~pooling` would silently mean the default.
    for key in schema:
        if key not in plain:
            raise ConfigError(f"~{key}: a key cannot be left out; give it a value, {key}=...")
    merged = OmegaConf.merge(schema, plain)
    known = {part for name, *_ in _keys() for part in (name, name.rpartition(".")[0])}
    # `+recipe.foo=1` goes past the schema.
    for key in key_paths(cast(dict, OmegaConf.to_container(merged))):
        if key not in known:
            raise ConfigError(_unknown_key(key))
    return cast(DictConfig, merged)


@cache
def _base(setting: str, *where: str) -> Run:
    """A setting as it stands in its file: an arm is named after its difference from that."""
    return _to_config(hydra.compose("config", [*where, f"setting={setting}"])).run


# Errors


def _explain(error: Exception) -> str:
    """Word an error of Hydra or OmegaConf for a user: what is wrong, what is valid, what next."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"`{error.override}` cannot be read: an override is KEY=VALUE, a value with spaces, "
            "commas or brackets in it is in quotes within the shell's: 'KEY=\"a (b), c\"'"
        )
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)=(.*)'", text):
        key, values = match.groups()
        if next((takes for name, takes, _ in _keys() if name == key), "").startswith("a list"):
            return f"{key}={values}: a list is in brackets, {key}=[{values}]"
        return f"{key}={values}: one value goes here; several are a sweep, ablations/run.py -m"
    cause: BaseException = error
    while not isinstance(cause, OmegaConfBaseException):
        if (deeper := cause.__cause__ or cause.__context__) is None:
            break
        cause = deeper
    key = str(getattr(cause, "full_key", "") or "")
    if isinstance(cause, OmegaConfBaseException) and key:
        file = re.match(r"In '([^']+)'", text)
        place = f" (in {file[1]}.yaml)" if file else ""
        if "not in" in str(cause):
            return _unknown_key(key) + place
        return _wrong_value(key, str(cause.msg or cause)) + place
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1])
    if match := re.search(r"Could not find '(\w+)/([^']*)'", text):
        options = " | ".join(
            text.partition("options in")[2].partition("Config search")[0].split()[1:]
        )
        return f"{match[1]}={match[2]} does not exist; {match[1]} takes {options}"
    if isinstance(error, OSError):
        return plain(error)
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _unknown_key(key: str) -> str:
    known = [name for name, *_ in _keys()]
    top = list(dict.fromkeys(re.sub(r"\..*", ".*", name) for name in known))
    last = key.rpartition(".")[2]
    close = [name for name in known if name.rpartition(".")[2] == last]  # `lr` for `recipe.lr`
    close = close or difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    guess = " or ".join(close)
    hint = f"did you mean {guess}?" if close else f"the keys are {', '.join(top)}"
    return f"there is no key `{key}`; {hint} (--help explains them)"


def _wrong_value(key: str, message: str) -> str:
    values = next((values for name, values, _ in _keys() if name == key), "")
    given = re.search(r"[Vv]alue '([^']*)'", message)
    hint = ""
    if given and given[1] in {"True", "False"} and "on, off" in message:
        hint = "; YAML reads a bare on or off as a truth value: put it in quotes there"
    if given:
        return f"{key}={given[1]} is not valid; {key} takes {values}{hint}"
    inner = ", ".join(name for name, *_ in _keys() if name.startswith(f"{key}."))
    if inner:
        return f"{key} is a group of keys; set {inner}"
    # A list for a single value, or the other way round.
    return f"{key}: the kind of value is not valid; {key} takes {values}"


# Help


@cache
def _keys() -> list[tuple[str, str, str]]:
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
                meaning = inspect.cleandoc(kind.__doc__ or "").replace("\n", " ")
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


def _help() -> dict[str, str]:
    groups = {
        name: ", ".join(sorted(path.stem for path in (shipped("conf") / name).glob("*.yaml")))
        for name in ("setting", "trainer", "logger")
    }
    lines = [
        "The AlexNet ablation suite: the 2012 network, one technique changed at a time.",
        "",
        "  python ablations/run.py                                one run",
        "  python ablations/run.py -m pooling=overlap,nonoverlap  a sweep, and its table",
        "  python ablations/run.py -m norm=lrn,none seed=0,1,2    three seeds each",
        "",
        "Groups (GROUP=NAME):",
        *(_wrapped(f"  {name:<9} {values}", 12) for name, values in groups.items()),
        "",
        "Keys (KEY=VALUE); the first value of a technique is the paper's:",
    ]
    for name, values, meaning in _keys():
        if name == "setting":
            continue
        lines.append(_wrapped(f"  {name}={values}", 4))
        if meaning:
            lines.append(_wrapped(f"      {meaning}", 6))
    lines += ["", "--cfg job prints the whole configuration."]
    # Hydra fills in $VARIABLES and OmegaConf ${interpolations}; a literal dollar sign is neither.
    return {"app_name": "ablations", "header": "", "footer": "", "template": "\n".join(lines)}


def _wrapped(line: str, indent: int) -> str:
    # Names of files and keys stay whole, and no line begins with a bar.
    kept = line.replace(" | ", "\xa0| ")
    text = fill(kept, 80, subsequent_indent=" " * indent, break_on_hyphens=False)
    return text.replace("\xa0", " ")
