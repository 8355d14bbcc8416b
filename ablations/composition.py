"""Compose configurations with Hydra, and report its errors in one line.

Hydra composes plain values, which pydantic turns into :class:`ablations.config.Config`.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, chdir, redirect_stderr
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from ablations.config import CONFIG, Config, ConfigError, Run, flatten
from ablations.errors import ended_in_words
from ablations.keys import (
    command_line,
    completions,
    explain,
    keys,
    keys_text,
    no_value,
    unknown_key,
)

# Values that Hydra does not read as strings, and that therefore cannot name a file.
_NO_NAME = re.compile(r"null|true|false|[-+.]?\d[-+.\de]*", re.IGNORECASE)


def shipped(folder: str) -> Path:
    """Return the folder ``conf`` or ``sweeps`` of the clone, or of the installed package."""
    package = Path(str(files("ablations")))
    clone = package.parent / folder
    return clone if (package.parent / "pyproject.toml").exists() else package / "_shipped" / folder


def experiment_names() -> list[str]:
    """Return the names of the experiments."""
    return _groups()["experiment"]


def main(task: Callable[[DictConfig], Any], name: str = "config") -> None:
    """Run a Hydra application, and report its errors in one line.

    Args:
        task: Called once for each job, by the launcher that ``hydra/launcher`` names.
        name: Name of the root configuration.

    Raises:
        SystemExit: 1 after an error, 130 after Ctrl-C, 141 if standard output was closed.
    """
    if sys.argv[1:2] == ["-sc"] and (values := _completed_values()):
        print(*values, sep="\n")
        return
    register()
    command = hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name=name)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise errors, which _explain rewords
    with ended_in_words():
        try:
            _check_groups(sys.argv[1:])
            with redirect_stderr(cast(TextIO, _Errors(sys.stderr))):
                command(task)()
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(_explain(error)) from error


def in_start_folder() -> AbstractContextManager[None]:
    """Return a context in the folder where the command was started.

    Relative paths are resolved there, also with ``hydra.job.chdir``.
    """
    return chdir(HydraConfig.get().runtime.cwd)


def compose(overrides: Sequence[str]) -> Config:
    """Compose a configuration from overrides, outside the command line.

    Raises:
        ConfigError: An override has an unknown key or an invalid value.
    """
    register()
    with hydra.initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3"):
        try:
            return to_config(hydra.compose("config", list(overrides)))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from error


def alter(config: Config, overrides: Sequence[str]) -> Config:
    """Apply overrides to a configuration without composing it again; groups are not supported.

    Raises:
        ConfigError: An override has an unknown key or an invalid value.
    """
    try:
        node = OmegaConf.create(_plain(config))
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            OmegaConf.update(node, override.key_or_group, override.value())
        return to_config(node)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error


def register() -> None:
    """Register with Hydra every key at its default, and what help texts in ``conf/`` refer to."""
    ConfigStore.instance().store(name="defaults", node=_plain(Config()), provider="ablations")
    OmegaConf.register_new_resolver("command", command_line, replace=True)
    # The text must have no dollar sign, because Hydra would substitute what follows it.
    OmegaConf.register_new_resolver("keys", keys_text, replace=True)


def _groups() -> dict[str, list[str]]:
    """Return the names in each group of configuration files."""
    folders = sorted(path for path in shipped("conf").iterdir() if path.is_dir())
    return {path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in folders}


def _plain(config: Config) -> dict[str, Any]:
    return CONFIG.dump_python(config, mode="json")


def to_config(composed: DictConfig) -> Config:
    """Convert the configuration that Hydra composed, and check every key and value.

    Raises:
        ConfigError: A value is invalid, or a key is unknown or missing.
    """
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    values = cast(dict[str, Any], OmegaConf.to_container(own, resolve=True))
    given = {key for key, _ in flatten(values)}
    try:
        config = CONFIG.validate_python(values, extra="forbid")
    except ValidationError as error:
        raise ConfigError(explain(error)) from None
    for key in keys():
        if key not in given:  # the default would silently take its place
            raise ConfigError(no_value(key))
    return config


def experiment_of(config: Config) -> Run:
    """Return the run of the unchanged experiment, with which arms are compared to name them.

    Works only inside a Hydra application, whose search path has the experiment.
    """
    overrides = HydraConfig.get().overrides.hydra
    return _experiment(
        config.experiment, *(o for o in overrides if o.startswith("hydra.searchpath"))
    )


@cache
def _experiment(name: str, *where: str) -> Run:
    return to_config(hydra.compose("config", [*where, f"experiment={name}"])).run


def _completed_values() -> list[str]:
    """Return completions of the value of a key; Hydra itself completes only the current value."""
    line = os.environ.get("COMP_LINE", "")
    if not any(word.startswith("query=") for word in sys.argv) or line[-1:].strip() == "":
        return []
    return completions(line.split()[-1])


# Errors


class _Errors:
    """Standard error without the line that Hydra writes above an error of a job."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        return 0 if text.startswith("Error executing job with") else self.stream.write(text)


def _check_groups(words: Sequence[str]) -> None:
    """Refuse ``~GROUP`` and ``GROUP=null``, which Hydra would replace by defaults in silence."""
    groups = _groups()
    for word in words:
        key, _, value = word.lstrip("~").partition("=")
        if key in groups and (word.startswith("~") or _NO_NAME.fullmatch(value)):
            raise ConfigError(f"{word}: {key} is required; {key} takes {' | '.join(groups[key])}")


def _explain(error: Exception) -> str:
    """Return an error of Hydra or OmegaConf as one line: problem, valid values, next step."""
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: cannot be parsed as KEY=VALUE; a value with spaces, commas or "
            "brackets needs two pairs of quotes: 'KEY=\"a (b), c\"'"
        )
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={name}: does not exist; {group} takes {' | '.join(error.options)}"
    if match := re.match(r"Could not override '(?!hydra\b)([^']+)'", str(error)):
        return unknown_key(match[1])
    return " ".join(str(error).split())
