"""The words of a command line, and the grid of values that they sweep over."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from omegaconf import DictConfig, OmegaConf

from ablations.config import Config, ConfigError
from ablations.keys import keys

Grid = dict[str, list[Any]]  # the values of each key of a sweep
MULTIRUN = {"-m", "--multirun"}
SHARED = {
    "output",
    "cache",
    "fast_dev_run",
    "print_model",
}  # keys that are the command's, not a run's
# Hydra's options that take a value.
VALUED = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"}
VALUED |= {"--config-dir", "-cd", "--experimental-rerun"}


def sort_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options with their values, and overrides, each in their order.

    Raises:
        ConfigError: An override is written as an option.
    """
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    known = {part for name, *_ in keys() for part in (name, name.partition(".")[0])}
    for word in rest:
        key, _, value = word.lstrip("-").partition("=")
        if word.startswith("-") and key in known:
            raise ConfigError(f"{word}: an override has no dashes; {key}={value or 'VALUE'}")
        if word in VALUED:
            options += [word, next(rest, "")]
        else:
            (options if word.startswith("-") else overrides).append(word)
    return options, overrides


def split(words: Sequence[str]) -> tuple[list[str], Grid]:
    """Take the sweeps over values off the end of a sweep's overrides; the rest is for Hydra.

    Hydra composes every job of a sweep from its files, twice, in tens of milliseconds. Only groups
    need that; a value is set on what is composed already.

    Args:
        words: The overrides.

    Returns:
        Those that are left to Hydra, and the grid, whose last key varies fastest.

    Raises:
        ConfigError: A sweep over what all runs share, or over no known values.
        OverrideParseException: A word is no override.
    """
    overrides = OverridesParser.create().parse_overrides(list(words))
    for word, override in zip(words, overrides, strict=True):
        _refuse(word, override)
    names = [override.key_or_group for override in overrides]
    kept, grid = list(words), {}
    for place, override in reversed(list(enumerate(overrides))):
        if not override.is_sweep_override():
            continue
        # What is left of a group varies more slowly than it; a later word on the same has the last.
        if not _of_values(override) or _said_again(names[place], names[place + 1 :]):
            break
        grid = {names[place]: _values(override), **grid}
        del kept[place]
    return kept, grid


def points(typed: DictConfig, grid: Grid) -> Iterator[Config]:
    """The configurations of a grid, the last key varying fastest."""
    for point in product(*grid.values()):
        for key, value in zip(grid, point, strict=True):
            OmegaConf.update(typed, key, value)
        yield cast(Config, OmegaConf.to_object(typed))


def _refuse(word: str, override: Override) -> None:
    key = override.key_or_group
    if not override.is_sweep_override():
        return
    if key in SHARED or key.partition(".")[0] == "logger":
        raise ConfigError(f"{word}: all runs of a sweep share it; give one value")
    if key not in _value_keys():
        return
    if not _listed(override):
        raise ConfigError(
            f"{word}: its values are not known; list them, as in {key}=A,B, or take "
            "range(START,STOP,STEP)"
        )
    if next(iter(override.sweep_string_iterator()), None) is None:
        raise ConfigError(f"{word}: no value; give one or more")


def _value_keys() -> set[str]:
    return {name for name, *_ in keys()} - {"experiment"}  # which is a group as well


def _listed(override: Override) -> bool:
    glob = override.value_type is ValueType.GLOB_CHOICE_SWEEP  # over the names of a group
    return override.is_discrete_sweep() and not glob


def _of_values(override: Override) -> bool:
    changes = override.type is OverrideType.CHANGE
    return changes and _listed(override) and override.key_or_group in _value_keys()


def _values(override: Override) -> list[Any]:
    words = [f"{override.key_or_group}={text}" for text in override.sweep_string_iterator()]
    return [one.value() for one in OverridesParser.create().parse_overrides(words)]


def _said_again(key: str, later: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{other}.") for other in later)
